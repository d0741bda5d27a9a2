"""`kill -9` of whoever deploys, activates, or signals to all: a version is active or is not, and no signal is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshdata import HotMesh
from meshdata.store.crash import VARIABLE

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet

ROOT = Path(__file__).parents[2]
APP = "fleet"
MODEL = """app:
  id: fleet
  version: '{version}'
  graphs:
    - subscribes: held
      expire: 600
      activities:
        t1:
          type: trigger
          stats:
            id: '{{$self.input.data.id}}'
            key: '{{$self.input.data.batch}}'
            granularity: infinity
            measures: [{{measure: index, target: '{{t1.output.data.batch}}'}}]
        h1: {{type: hook, job: {{maps: {{done: '{{$self.hook.data.done}}'}}}}}}
      transitions:
        t1: [{{to: h1}}]
      hooks:
        release:
          - to: h1
            conditions:
              match:
                - {{expected: '{{$job.metadata.jid}}', actual: '{{$self.hook.data.id}}'}}
"""
KILLED = """
import asyncio, json, sys
from meshdata import HotMesh


async def main():
    url, namespace, partitions, verb, given = json.loads(sys.argv[1])
    hot = await HotMesh.init("fleet", url, namespace=namespace, partitions=partitions, readonly=True)
    if verb == "activate":
        await hot.deploy(given)
        await hot.activate("2")
    else:
        await hot.hook_all("release", {"done": True}, given)


asyncio.run(main())
"""


async def killed(fleet: Fleet, point: str, verb: str, given: object) -> None:
    """Have a process do something, and die at a crash point."""
    facts = json.dumps([fleet.url, fleet.namespace, fleet.partitions, verb, given])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: point}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, facts, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(30):
        assert await process.wait() == -signal.SIGKILL


@pytest.fixture
async def hot(fleet: Fleet, no_leaks: set[str]) -> AsyncIterator[HotMesh]:
    """A living engine of version 1."""
    no_leaks |= {f"app:{APP}"}
    mesh = fleet.client()
    await mesh.start()
    async with await HotMesh.init(APP, mesh) as found:
        await found.deploy(MODEL.format(version="1"))
        await found.activate("1")
        yield found
    await mesh.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", ["app_deploy", "app_activate"])
async def test_a_version_is_active_or_it_is_not(fleet: Fleet, hot: HotMesh, point: str, side: str) -> None:
    await killed(fleet, f"{side} {point}", "activate", MODEL.format(version="2"))
    if (point, side) == ("app_activate", "after"):
        # It died before it could tell: engines look by themselves.
        await fleet.until(lambda: hot._definitions.current().version == "2")
    else:
        await hot._definitions.refresh()
        assert hot._definitions.current().version == "1"
        await hot.deploy(MODEL.format(version="2"))
    assert await hot.activate("2") is True
    await hot.pub("held", {"id": "j", "batch": 7})
    assert (await hot.get_state("held", "j")).metadata["vrs"] == "2"
    await hot.scrub("j")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", ["before stat_ids", "after signal:2", "before stat_scrub", "after stat_scrub"])
async def test_a_signal_to_all_that_was_cut_short_is_sent_again_and_lost_by_nobody(
    fleet: Fleet, hot: HotMesh, point: str
) -> None:
    """Jobs that begin while it is cut short are listed as well, and are woken by the next."""
    query = {"data": {"batch": 7}, "scrub": True}
    for n in range(5):
        await hot.pub("held", {"id": f"j{n}", "batch": 7})
    await killed(fleet, point, "hook_all", query)
    await hot.pub("held", {"id": "later", "batch": 7})
    await hot.hook_all("release", {"done": True}, query)
    for id in ("j0", "j1", "j2", "j3", "j4", "later"):

        async def is_over(id: str = id) -> bool:
            return await hot.get_status(id) == 0

        await fleet.until(is_over)
        assert (await hot.get_state("held", id)).data == {"done": True}
    assert await hot.hook_all("release", {"done": True}, query) == []
    # What the one that died had left for other partitions is carried over with the next life sign.
    await fleet.until(lambda: not list(fleet.redis.scan_iter(match=f"mesh:{{{fleet.namespace}*:out:*", count=1000)))
