"""Graphs as who knows only their description would try them."""

from typing import Any

import pytest

from meshdata import HotMesh
from tests.integration.conftest import Eventually, OpenMesh

APP = "outside"
MODEL = """
app:
  id: outside
  version: '1'
  graphs:
    - subscribes: shown
      publishes: was.shown
      expire: 60
      activities:
        t1: {type: trigger, emit: '{$self.output.data.early}', job: {maps: {stage: 0}}}
        w1: {type: worker, topic: work.do, emit: true, job: {maps: {stage: 1}}}
        h1: {type: hook, job: {maps: {stage: 2}}}
        h2: {type: hook, job: {maps: {stage: 3}}}
      transitions: {t1: [{to: w1}], w1: [{to: h1}], h1: [{to: h2}]}
    - subscribes: awaits
      expire: 60
      activities:
        a1: {type: trigger}
        a2: {type: await, topic: shown}
        a3: {type: hook, job: {maps: {interim: '{a2.output.data.stage}'}}}
        a4: {type: hook, job: {maps: {last: '{a2.output.data.stage}'}}}
      transitions: {a1: [{to: a2}], a2: [{to: a3, conditions: {code: 202}}, {to: a4, conditions: {code: 200}}]}
"""


@pytest.mark.parametrize("early", [False, True])
async def test_what_is_emitted_is_the_state_at_that_activity(
    open_mesh: OpenMesh, no_leaks: set[str], eventually: Eventually, early: bool
) -> None:
    no_leaks |= {f"app:{APP}"}
    heard: list[tuple[Any, Any]] = []
    async with await HotMesh.init(APP, await open_mesh(), workers=[("work.do", lambda asked: {})]) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        await hot.psub("was.shown.*", lambda topic, output: heard.append((output.metadata["js"], output.data["stage"])))
        await hot.pub("shown", {"early": early})
        expected = [(1, 0)] * early + [(1, 1), (0, 3)]
        await eventually(lambda: heard == expected)
        assert (await hot.pubsub("awaits", timeout=10)).data == {"interim": 1, "last": 3}
