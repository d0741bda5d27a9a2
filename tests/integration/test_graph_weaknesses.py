"""What goes wrong in the reference engine, and does not here: each test is named by what it is about."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshdata import HotMesh
from meshdata.errors import JobFailed, StoreUnavailable
from meshdata.hotmesh import JobOutput, StreamData, StreamReply
from meshdata.store.lane import Lane
from tests.integration.conftest import Eventually
from tests.integration.test_graphs import OpenApp, open_app

__all__ = ["open_app"]  # a fixture


async def test_time_never_wakes_a_hook_early(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: sleeps
      expire: 60
      activities:
        t1: {type: trigger}
        h1: {type: hook, sleep: 0.05, job: {maps: {at: '{$self.hook.data.timestamp}'}}}
      transitions:
        t1: [{to: h1}]
"""
    )
    for output in await asyncio.gather(*(hot.pubsub("sleeps", {}, timeout=10) for _ in range(20))):
        began = await hot.mesh.store.graphs.fields(f"shop:{output.metadata['jid']}", ["a:t1"])
        assert began["a:t1"] is not None and output.data is not None
        created = int(began["a:t1"].split(b"[")[1].split(b",")[0])
        # A clock in the caller's process stands behind one, the server's behind the other: they differ by their ms.
        assert output.data["at"] - created >= 49


WAITERS = """
    - subscribes: waits
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        h1: {type: hook, job: {maps: {got: '{$self.hook.data.n}'}}}
      transitions:
        t1: [{to: h1}]
      hooks:
        shared.resume:
          - to: h1
            conditions: {match: [{expected: 'the same', actual: '{$self.hook.data.key}'}]}
"""


async def test_two_that_wait_for_one_key_are_woken_one_after_the_other(open_app: OpenApp) -> None:
    hot = await open_app(WAITERS)
    calls = []
    for id in ("first", "second"):
        calls.append(asyncio.create_task(hot.pubsub("waits", {"id": id}, timeout=10)))
        while not await _waits(hot, id):
            await asyncio.sleep(0.005)
    for n in (1, 2):
        await hot.hook("shared.resume", {"key": "the same", "n": n})
    assert [output.data for output in await asyncio.gather(*calls)] == [{"got": 1}, {"got": 2}]


async def _waits(hot: HotMesh, id: str) -> bool:
    header = await hot.mesh.store.header(f"0 shop:{id}")
    return header.get("status") == b"waiting" and "w:h1" in header


async def test_a_result_reaches_a_caller_that_hears_nothing(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publications are hints: whoever waits looks by itself, too."""
    hot = await open_app(
        """
    - subscribes: quick
      expire: 60
      activities:
        t1: {type: trigger, job: {maps: {done: true}}}
        h1: {type: hook, sleep: 0.05}
      transitions:
        t1: [{to: h1}]
"""
    )
    pushed = Lane._pushed

    def deaf(lane: Lane, push: list[Any]) -> None:
        if push[0] != b"message":
            pushed(lane, push)

    monkeypatch.setattr(Lane, "_pushed", deaf)
    assert (await hot.pubsub("quick", {}, timeout=30)).data == {"done": True}


async def test_a_step_that_cannot_be_made_yet_is_made_later(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the lease keeps at it while Redis is away: nobody else would."""
    hot = await open_app(
        """
    - subscribes: away
      expire: 60
      activities:
        t1: {type: trigger}
        h1: {type: hook, sleep: 0.05, job: {maps: {done: true}}}
      transitions:
        t1: [{to: h1}]
"""
    )
    known, failures = hot._definitions.active, 0

    async def away() -> Any:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise StoreUnavailable("Redis is away")
        return await known()

    id = await hot.pub("away", {})
    monkeypatch.setattr(hot._steps._versions, "active", away)
    async with asyncio.timeout(20):
        while await hot.get_status(id):
            await asyncio.sleep(0.01)
    assert failures == 2 and (await hot.get_state("away", id)).data == {"done": True}


async def test_an_await_is_tried_again_by_its_policy(open_app: OpenApp) -> None:
    tries: list[int] = []

    def work(asked: StreamData) -> Any:
        tries.append(1)
        return {"value": 7} if len(tries) == 3 else StreamReply({"message": "not yet"}, "error", 503)

    hot = await open_app(
        """
    - subscribes: asks
      expire: 60
      activities:
        t1: {type: trigger}
        a1:
          type: await
          topic: answers
          retry: {'503': [3]}
          input: {maps: {id: fixed}}
          job: {maps: {value: '{$self.output.data.value}'}}
      transitions:
        t1: [{to: a1}]
    - subscribes: answers
      activities:
        t2: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        w2: {type: worker, topic: work, job: {maps: {value: '{$self.output.data.value}'}}}
      transitions:
        t2: [{to: w2}]
""",
        workers=[("work", work)],
    )
    assert (await hot.pubsub("asks", {}, timeout=10)).data == {"value": 7} and len(tries) == 3


async def test_an_error_that_comes_again_and_again_ends_its_tries(open_app: OpenApp) -> None:
    tries: list[int | None] = []

    def work(asked: StreamData) -> StreamReply:
        tries.append(asked.metadata.get("try"))
        return StreamReply({"message": "never"}, "error", 503)

    hot = await open_app(
        """
    - subscribes: never
      expire: 60
      activities:
        t1: {type: trigger}
        w1: {type: worker, topic: work, retry: {'503': [2]}}
      transitions:
        t1: [{to: w1}]
""",
        workers=[("work", work)],
    )
    with pytest.raises(JobFailed, match="never"):
        await hot.pubsub("never", {}, timeout=10)
    assert tries == [None, 1, 2]


async def test_work_of_a_topic_by_mapping_waits_for_its_first_worker(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: somewhere
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        w1: {type: worker, topic: '{t1.output.data.where}', job: {maps: {by: '{$self.output.data.by}'}}}
      transitions:
        t1: [{to: w1}]
"""
    )
    call = asyncio.create_task(hot.pubsub("somewhere", {"id": "s", "where": "far away"}, timeout=20))
    while not (await hot.mesh.store.header("0 shop:s")):
        await asyncio.sleep(0.005)
    await hot.worker("far away", lambda asked: {"by": asked.metadata["topic"]})
    assert (await call).data == {"by": "far away"}


async def test_a_job_that_is_not_awaited_reports_once(open_app: OpenApp, eventually: Eventually) -> None:
    hot = await open_app(
        """
    - subscribes: spawns
      expire: 60
      activities:
        t1: {type: trigger}
        a1: {type: await, topic: spawned, await: false, job: {maps: {child: '{$self.output.data.job_id}'}}}
        h1: {type: hook, sleep: 0.1, job: {maps: {passes: '{a1.output.data.value}'}}}
      transitions:
        t1: [{to: a1}]
        a1: [{to: h1}]
    - subscribes: spawned
      publishes: spawned.over
      expire: 60
      activities:
        t2: {type: trigger, job: {maps: {value: from the child}}}
"""
    )
    heard: list[JobOutput] = []
    await hot.sub("spawned.over", lambda topic, job: heard.append(job))
    data = (await hot.pubsub("spawns", {}, timeout=10)).data
    assert data is not None and set(data) == {"child"}
    await eventually(lambda: heard)
    assert heard[0].metadata["jid"] == data["child"] and heard[0].metadata["px"] is True


async def test_what_an_activity_is_given_does_not_leak_into_the_job(open_app: OpenApp) -> None:
    """Branches do not overwrite what they only read, and inputs stay inputs."""
    hot = await open_app(
        """
    - subscribes: branches
      expire: 60
      activities:
        t1: {type: trigger, job: {maps: {x: 1, y: 1}}}
        w1: {type: worker, topic: work, input: {maps: {x: 99, seen: '{$job.data.y}'}}}
        w2: {type: worker, topic: work, input: {maps: {x: 98}}, job: {maps: {y: '{$self.output.data.x}'}}}
      transitions:
        t1: [{to: w1}, {to: w2}]
""",
        workers=[("work", lambda asked: {"x": asked.data["x"]})],
    )
    assert (await hot.pubsub("branches", {}, timeout=10)).data == {"x": 1, "y": 98}


VALUES = {
    "two": "/two", "done": "/done", "seven": "/seven", "empty": "", "null": None, "no": False, "zero": 0,
    "float": 1.5, "list": [1, [2, {"a": None}]], "object": {"1": "b", "a": {}}, "text": "null", "number": "12",
    "unicode": "héllo \u2028 \U0001f600", "quote": 'a "quoted" \\ text', "date": "2026-01-02T03:04:05.006Z",
}  # fmt: skip


async def test_values_are_kept_as_they_are(open_app: OpenApp) -> None:
    maps = "\n".join(f"              {name}: '{{w1.output.data.{name}}}'" for name in VALUES)
    hot = await open_app(
        f"""
    - subscribes: keeps
      expire: 60
      activities:
        t1: {{type: trigger}}
        w1:
          type: worker
          topic: work
          input: {{maps: {{all: '{{t1.output.data.all}}'}}}}
        h1: {{type: hook, sleep: 0.02}}
        h2:
          type: hook
          job:
            maps:
{maps}
      transitions:
        t1: [{{to: w1}}]
        w1: [{{to: h1}}]
        h1: [{{to: h2}}]
""",
        workers=[("work", lambda asked: asked.data["all"])],
    )
    assert (await hot.pubsub("keeps", {"all": VALUES}, timeout=10)).data == VALUES


async def test_slots_are_filled_one_by_one(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: collects
      expire: 60
      activities:
        t1: {type: trigger, job: {maps: {'found[3]': ['a']}}}
        w1: {type: worker, topic: work, job: {maps: {'found[3]': {'1': '{$self.output.data.n}'}}}}
        w2: {type: worker, topic: work, job: {maps: {'found[3]': {'2': '{$self.output.data.n}', '3': beyond}}}}
      transitions:
        t1: [{to: w1}, {to: w2}]
""",
        workers=[("work", lambda asked: {"n": asked.metadata["aid"]})],
    )
    assert (await hot.pubsub("collects", {}, timeout=10)).data == {"found": {"0": "a", "1": "w1", "2": "w2"}}


async def test_data_are_held_against_their_schemas_where_the_model_asks(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: strict
      expire: 60
      settings: {validate: true}
      input: {schema: {type: object, required: [n], properties: {n: {type: integer}}}}
      activities:
        t1: {type: trigger}
        w1:
          type: worker
          topic: work
          input: {maps: {n: '{t1.output.data.n}'}}
          output: {schema: {type: object, properties: {m: {type: string}}}}
          job: {maps: {m: '{$self.output.data.m}'}}
      transitions:
        t1: [{to: w1}]
""",
        workers=[("work", lambda asked: {"m": "text" if asked.data["n"] else 5})],
    )
    assert (await hot.pubsub("strict", {"n": 1}, timeout=10)).data == {"m": "text"}
    with pytest.raises(Exception, match="schema"):
        await hot.pub("strict", {"n": "one"})
    with pytest.raises(JobFailed, match="m"):
        await hot.pubsub("strict", {"n": 0}, timeout=10)
