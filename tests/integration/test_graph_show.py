"""`meshdata graph show --job`: how far a job has come is marked on its graph."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from meshdata import HotMesh
from meshdata.cli import app
from tests.integration.conftest import Eventually, OpenMesh

MODEL = """\
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order.placed
      activities:
        t1: {type: trigger}
        w1: {type: worker, topic: work.do}
        h1: {type: hook}
        h2: {type: hook}
      transitions:
        t1: [{to: w1}]
        w1: [{to: h1}, {to: h2, conditions: {code: 500}}]
      hooks:
        order.approve: [{to: h1, conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$hook.data.id}'}]}}]
"""


async def test_a_jobs_path_is_marked(
    open_mesh: OpenMesh, redis_url: str, namespace: str, no_leaks: set[str], eventually: Eventually, tmp_path: Path
) -> None:
    no_leaks |= {"app:shop"}
    model = tmp_path / "shop.yaml"
    model.write_text(MODEL, "utf-8")
    place = ("--url", redis_url, "--namespace", namespace)

    async def shown(job: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["graph", "show", str(model), "--job", job, *place])

    async with await HotMesh.init("shop", await open_mesh(), workers=[("work.do", lambda asked: {"x": 1})]) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        job = await hot.pub("order.placed", {})

        async def waits() -> bool:
            return "  class n2 waiting" in (await shown(job)).stdout.splitlines()

        await eventually(waits)
        assert "  class n0,n1 done" in (await shown(job)).stdout.splitlines()
        ran = await shown("nothing")
        assert ran.exit_code == 3 and "app shop has no job nothing" in ran.stderr
        await hot.scrub(job)
