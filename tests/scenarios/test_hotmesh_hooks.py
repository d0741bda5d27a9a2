"""Scenarios of the reference: one signal for many jobs, from outside and from a graph; figures of what ran."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from meshdata import HotMesh
from meshdata.errors import InvalidOptions
from meshdata.hotmesh import JobOutput

Eventually = Callable[..., Awaitable[Any]]
OpenApp = Callable[..., Awaitable[HotMesh]]

HOOKED = """
    - subscribes: hook.test
      publishes: hook.tested
      expire: 60
      activities:
        trigger-a1:
          type: trigger
          emit: true
          stats:
            id: '{$self.input.data.job_id}'
            key: '{$self.input.data.parent_job_id}'
            granularity: infinity
            measures:
              - {measure: index, target: '{trigger-a1.output.data.parent_job_id}'}
              - {measure: count, target: '{trigger-a1.output.data.parent_job_id}'}
          job:
            maps:
              job_id: '{$self.input.data.job_id}'
              parent_job_id: '{$self.input.data.parent_job_id}'
              done: false
        hook-a1:
          type: hook
          job: {maps: {done: '{$self.hook.data.done}'}}
      transitions:
        trigger-a1: [{to: hook-a1}]
      hooks:
        hook.resume:
          - to: hook-a1
            conditions:
              match:
                - {expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}
"""

SIGNALER = """
    - subscribes: signal.test
      publishes: signal.tested
      expire: 60
      activities:
        trigger-b1:
          type: trigger
          stats: {id: '{$self.input.data.parent_job_id}'}
          job: {maps: {child_job_id: '{$self.input.data.child_job_id}', done: false}}
        await-b1:
          type: await
          topic: hook.test
          input:
            maps: {job_id: '{trigger-b1.output.data.child_job_id}', parent_job_id: '{$job.metadata.jid}'}
          job: {maps: {done: '{$self.output.data.done}'}}
        pending-b1: {type: hook, job: {maps: {seen: 202}}}
        final-b1: {type: hook, job: {maps: {final: true}}}
        sleep-b1: {type: hook, sleep: 1}
        signal-b1:
          type: signal
          subtype: all
          topic: hook.resume
          key_name: parent_job_id
          key_value: '{$job.metadata.jid}'
          scrub: true
          signal: {maps: {done: true}}
          resolver: {maps: {data: {parent_job_id: '{$job.metadata.jid}'}, scrub: true}}
      transitions:
        trigger-b1: [{to: await-b1}, {to: sleep-b1}]
        sleep-b1: [{to: signal-b1}]
        await-b1:
          - {to: final-b1}
          - {to: pending-b1, conditions: {code: 202}}
"""


MISTAKEN = """
    - subscribes: mistaken
      expire: 60
      activities:
        trigger-c1: {type: trigger}
        signal-c1:
          type: signal
          subtype: all
          topic: hook.resume
          key_name: parent_job_id
          key_value: p1
          signal: {maps: {done: true}}
          resolver: {maps: {data: {other: 1}}}
        failed-c1: {type: hook, job: {maps: {told: '{signal-c1.output.metadata.$error.message}'}}}
      transitions:
        trigger-c1: [{to: signal-c1}]
        signal-c1: [{to: failed-c1, conditions: {code: 500}}]
"""


def model(version: str = "1") -> str:
    return f"app:\n  id: hook\n  version: '{version}'\n  graphs:\n{HOOKED}{SIGNALER}{MISTAKEN}"


@pytest.fixture
async def open_app(redis_url: str, namespace: str, no_leaks: set[str]) -> AsyncIterator[OpenApp]:
    no_leaks |= {"app:hook", "inseq", "outseq"}
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> HotMesh:
            found = await HotMesh.init("hook", redis_url, namespace=namespace, partitions=4, **options)
            return await stack.enter_async_context(found)

        yield open_one


class Heard:
    """What a subscriber hears."""

    def __init__(self) -> None:
        self.all: list[tuple[str, JobOutput]] = []

    def __call__(self, topic: str, output: JobOutput) -> None:
        self.all.append((topic, output))

    def done(self, id: str) -> list[Any]:
        return [out.data["done"] for _, out in self.all if out.metadata["jid"] == id and out.data is not None]


@pytest.fixture
async def hot(open_app: OpenApp) -> HotMesh:
    found = await open_app()
    await found.deploy(model())
    await found.activate("1")
    return found


async def test_a_model_may_be_deployed_and_activated_by_two_engines_at_once(open_app: OpenApp) -> None:
    one, two = await open_app(), await open_app()
    await one.deploy(model())
    await asyncio.gather(one.deploy(model()), two.deploy(model()))
    assert await asyncio.gather(one.activate("1"), two.activate("1")) == [True, True]
    assert await one.activate("1") is True


async def test_hook_all_wakes_every_job_of_an_index(hot: HotMesh, open_app: OpenApp, eventually: Eventually) -> None:
    heard = Heard()
    await hot.psub("hook.tested*", heard)
    other = await open_app()
    for id in ("j1", "j2", "j3"):
        await hot.pub("hook.test", {"job_id": id, "parent_job_id": "p1"})
    await hot.pub("hook.test", {"job_id": "other", "parent_job_id": "p2"})
    await eventually(lambda: len(heard.all) >= 4)
    query = {"data": {"parent_job_id": "p1"}, "scrub": True}
    names = await other.hook_all("hook.resume", {"done": True}, query, ["parent_job_id:p1"])
    assert len(names) == 1 and names[0].endswith("parent_job_id:p1")
    await eventually(lambda: all(heard.done(id)[-1:] == [True] for id in ("j1", "j2", "j3")))
    assert {topic for topic, _ in heard.all} == {"hook.tested"}
    assert heard.done("other") == [False]
    assert await hot.hook_all("hook.resume", {"done": True}, query, ["parent_job_id:p1"]) == []
    for id in ("j1", "j2", "j3", "other"):
        await hot.scrub(id)


async def test_without_scrub_the_index_stays(hot: HotMesh, eventually: Eventually) -> None:
    await hot.pub("hook.test", {"job_id": "j1", "parent_job_id": "p1"})
    query = {"data": {"parent_job_id": "p1"}}
    ids = await hot.get_ids("hook.test", query)
    assert ids["counts"] == [{"facet": "parent_job_id:p1", "count": 1}]
    assert len(await hot.hook_all("hook.resume", {"done": True}, query)) == 1
    await eventually(lambda: _over(hot, "j1"))
    assert await hot.get_ids("hook.test", query) == ids
    assert await hot.hook_all("hook.resume", {"done": True}, query) == []  # no living job is listed
    await hot.scrub("j1")


async def _over(hot: HotMesh, id: str) -> bool:
    return await hot.get_status(id) == 0


async def test_a_graph_signals_all_jobs_of_its_key(hot: HotMesh, eventually: Eventually) -> None:
    child, parent = Heard(), Heard()
    await hot.psub("hook.tested*", child)
    await hot.sub("signal.tested", parent)
    await hot.pub("signal.test", {"parent_job_id": "p9", "child_job_id": "c9"})
    await eventually(lambda: parent.all)
    [(topic, output)] = parent.all
    assert topic == "signal.tested" and output.data is not None
    assert output.data["done"] is True and output.data["final"] is True and output.metadata["jid"] == "p9"
    assert child.done("c9") == [False, True]
    assert all(out.data is not None and out.data["parent_job_id"] == "p9" for _, out in child.all)
    ids = await hot.get_ids("hook.test", {"data": {"parent_job_id": "p9"}}, ["parent_job_id:p9"])
    assert ids["counts"] == [{"facet": "parent_job_id:p9", "count": 0}]
    for id in ("p9", "c9"):
        await hot.scrub(id)


async def test_figures_are_asked_for_by_a_payload(hot: HotMesh) -> None:
    for id in ("j1", "j2"):
        await hot.pub("hook.test", {"job_id": id, "parent_job_id": "p1"})
    stats = await hot.get_stats("hook.test", {"data": {"parent_job_id": "p1"}, "sparse": True})
    assert (stats["key"], stats["count"], stats["granularity"]) == ("p1", 2, "infinity")
    assert stats["measures"] == [{"target": "parent_job_id:p1", "type": "count", "value": 2}]
    assert "segments" not in stats
    resolved = await hot.resolve_query("hook.test", {"data": {"parent_job_id": "p1"}, "end": "NOW", "range": "1h"})
    assert (resolved["key"], resolved["end"], resolved["range"]) == ("p1", "NOW", "1h")
    for id in ("j1", "j2"):
        await hot.scrub(id)


async def test_a_signal_to_all_says_what_is_wrong_before_it_is_sent(hot: HotMesh) -> None:
    with pytest.raises(InvalidOptions, match=r"unable to find hook rule for topic hook\.none"):
        await hot.hook_all("hook.none", {}, {"data": {"parent_job_id": "p"}})
    with pytest.raises(InvalidOptions, match="an object is needed"):
        await hot.hook_all("hook.resume", [1], {"data": {"parent_job_id": "p"}})


async def test_a_query_that_comes_to_nothing_is_the_error_of_the_activity_that_signals(hot: HotMesh) -> None:
    output = await hot.pubsub("mistaken", {}, timeout=10)
    assert output.data is not None and "the data give no key of graph hook.test" in output.data["told"]
