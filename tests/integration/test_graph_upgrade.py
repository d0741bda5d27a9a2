"""Engines that have not heard yet of the version others carry out: nothing is lost, nothing is refused wrongly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from meshdata import HotMesh
from meshdata.errors import InvalidOptions
from meshdata.graph.effects import run_topic
from meshdata.hotmesh import StreamData
from tests.integration.conftest import Eventually, OpenMesh

HOOK = """
      hooks:
        {topic}:
          - to: {hook}
            conditions:
              match:
                - {{expected: '{{$job.metadata.jid}}', actual: '{{$self.hook.data.id}}'}}
"""
OLD = """app:
  id: grows
  version: '1'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        h1: {type: hook, job: {maps: {woken: true}}}
      transitions:
        t1: [{to: h1}]""" + HOOK.format(topic="wake", hook="h1")
NEW = (
    """app:
  id: grows
  version: '2'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        h1: {type: hook, job: {maps: {woken: true}}}
        w1: {type: worker, topic: late.work, job: {maps: {worked: '{$self.output.data.n}'}}}
      transitions:
        t1: [{to: h1}]
        h1: [{to: w1}]"""
    + HOOK.format(topic="wake", hook="h1")
    + """
    - subscribes: new.run
      expire: 60
      activities:
        t2: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        h2: {type: hook}
      transitions:
        t2: [{to: h2}]"""
    + HOOK.format(topic="new.wake", hook="h2")
)


async def work(asked: StreamData) -> dict[str, int]:
    return {"n": 7}


class Two:
    """Two engines; the second one has heard nothing of version 2, and does the work that is new in it."""

    def __init__(self, one: HotMesh, two: HotMesh) -> None:
        self.one, self.two = one, two

    async def upgrade(self) -> None:
        await self.one.deploy(NEW)
        apps = self.one.mesh.store.apps
        await apps.activate("grows", "2", digest=(await apps.kept("grows", "2")).deployed)
        await self.one._definitions.refresh()
        assert (self.one._definitions.current().version, self.two._definitions.current().version) == ("2", "1")


@pytest.fixture
async def two(open_mesh: OpenMesh, no_leaks: set[str]) -> AsyncIterator[Two]:
    no_leaks |= {"app:grows"}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(await HotMesh.init("grows", await open_mesh()))
        other = await stack.enter_async_context(
            await HotMesh.init("grows", await open_mesh(), workers=[("late.work", work)])
        )
        await one.deploy(OLD)
        await one.activate("1", delay=10)
        definitions = other._definitions
        definitions._subscription.close()  # type: ignore[union-attr] # it hears nothing more, and does not look
        definitions._task.cancel()  # type: ignore[union-attr] # either
        yield Two(one, other)


async def test_a_reply_for_an_activity_that_is_new_makes_an_engine_look(two: Two, eventually: Eventually) -> None:
    await two.one.pub("run", {"id": "j"})
    await two.two.mesh.throttle(-1, topic=run_topic("grows"), process=two.two.mesh.process)
    await eventually(lambda: _rate(two.two) == -1)
    await two.upgrade()
    await two.one.hook("wake", {"id": "j"})

    async def is_over() -> bool:
        return await two.one.get_status("j") == 0

    await eventually(is_over)
    assert (await two.one.get_state("run", "j")).data == {"woken": True, "worked": 7}
    await two.one.scrub("j")


def _rate(hot: HotMesh) -> int:
    found: int = hot.mesh._router.pace.rates.get(run_topic("grows"), 0)
    return found


async def test_a_graph_and_a_hook_that_are_new_are_known_when_they_are_asked_for(two: Two) -> None:
    await two.upgrade()
    assert await two.two.pub("new.run", {"id": "k"}) == "k"
    await two.two.hook("new.wake", {"id": "k"})
    with pytest.raises(InvalidOptions, match="no subscription found for topic none"):
        await two.two.pub("none", {})
    await two.two.scrub("k")


async def test_a_hook_that_is_new_is_known_when_it_is_asked_for(two: Two) -> None:
    await two.upgrade()
    await two.one.pub("new.run", {"id": "k"})
    await two.two.hook("new.wake", {"id": "k"})
    with pytest.raises(InvalidOptions, match="unable to find hook rule for topic none"):
        await two.two.hook("none", {"id": "k"})
    await two.two.scrub("k")
