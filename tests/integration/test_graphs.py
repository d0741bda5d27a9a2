"""Graphs by their door: every type of activity, on a real Redis, with one partition and with four."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from meshdata import HotMesh, MeshData
from meshdata.errors import (
    InvalidOptions,
    JobCancelled,
    JobExists,
    JobFailed,
    JobInterrupted,
    JobNotFound,
    MeshTimeout,
    VersionNotFound,
)
from meshdata.hotmesh import JobOutput, StreamData, StreamReply
from tests.integration.conftest import Eventually, OpenMesh

APP = "shop"


class OpenApp(Protocol):
    """Opens the app on a mesh of its own, and has it run some graphs."""

    async def __call__(self, graphs: str = "", **options: Any) -> HotMesh: ...


def model(graphs: str, version: str = "1") -> str:
    """An app of some graphs."""
    return f"app:\n  id: {APP}\n  version: '{version}'\n  graphs:\n{graphs}"


@pytest.fixture
async def open_app(open_mesh: OpenMesh, no_leaks: set[str]) -> AsyncIterator[OpenApp]:
    no_leaks |= {f"app:{APP}"}  # versions are kept until somebody takes them away
    async with AsyncExitStack() as stack:

        async def open_one(graphs: str = "", **options: Any) -> HotMesh:
            hot = await stack.enter_async_context(await HotMesh.init(APP, await open_mesh(), **options))
            if graphs:
                await hot.deploy(model(graphs))
                await hot.activate("1")
            return hot

        yield open_one


ECHO = """
    - subscribes: echo
      publishes: echoed
      expire: 60
      activities:
        t1: {type: trigger}
        w1:
          type: worker
          topic: work.do
          input: {maps: {x: '{t1.output.data.x}'}}
          job: {maps: {y: '{$self.output.data.y}'}}
        h1: {type: hook, job: {maps: {z: '{w1.output.data.y}', by: '{$job.metadata.tpc}'}}}
      transitions:
        t1: [{to: w1}]
        w1: [{to: h1}]
"""


async def double(asked: StreamData) -> dict[str, Any]:
    return {"y": asked.data["x"] * 2}


async def test_a_worker_is_asked_and_what_follows_is_carried_out_with_its_reply(open_app: OpenApp) -> None:
    hot = await open_app(ECHO, workers=[("work.do", double)])
    output = await hot.pubsub("echo", {"x": 21}, timeout=10)
    assert output.data == {"y": 42, "z": 42, "by": "echo"}
    assert output.metadata["js"] == 0 and output.metadata["tpc"] == "echo" and output.metadata["vrs"] == "1"
    state = await hot.get_state("echo", output.metadata["jid"])
    assert state.data == output.data and state.metadata == output.metadata
    assert await hot.get_status(output.metadata["jid"]) == 0


async def test_a_worker_is_told_where_its_work_belongs(open_app: OpenApp) -> None:
    seen: list[StreamData] = []

    def note(asked: StreamData) -> dict[str, Any]:
        seen.append(asked)
        return {"y": 1}

    hot = await open_app(ECHO, workers=[("work.do", note)])
    output = await hot.pubsub("echo", {"x": 1}, timeout=10)
    told = seen[0].metadata
    assert told["jid"] == output.metadata["jid"] and told["gid"] == output.metadata["gid"]
    assert (told["aid"], told["dad"], told["topic"]) == ("w1", ",0,0", "work.do")
    assert told["guid"].startswith("H") and "try" not in told


async def test_any_process_starts_any_works_any_goes_on(open_app: OpenApp) -> None:
    engine = await open_app(ECHO)
    await open_app(workers=[("work.do", double)], readonly=True)
    caller = await open_app(readonly=True)
    assert (await caller.pubsub("echo", {"x": 4}, timeout=10)).data == {"y": 8, "z": 8, "by": "echo"}
    assert (await engine.pubsub("echo", {"x": 5}, timeout=10)).data == {"y": 10, "z": 10, "by": "echo"}


async def test_an_id_is_taken_once(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: once
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}, job: {maps: {n: '{$self.input.data.n}'}}}
"""
    )
    assert await hot.pub("once", {"id": "a", "n": 1}) == "a"
    with pytest.raises(JobExists, match="Duplicate job: a") as caught:
        await hot.pub("once", {"id": "a", "n": 2})
    assert caught.value.job_id == "a"
    assert (await hot.get_state("once", "a")).data == {"n": 1}
    assert await hot.scrub("a") is True and await hot.scrub("a") is False
    assert await hot.pub("once", {"id": "a", "n": 3}) == "a"
    await hot.scrub("a")


async def test_state_is_there_when_pub_returns(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: waits
      activities:
        t1: {type: trigger, job: {maps: {seen: true}}}
        w1: {type: worker, topic: nobody.does}
      transitions:
        t1: [{to: w1}]
""",
        readonly=True,
    )
    id = await hot.pub("waits", {})
    assert await hot.get_status(id) == 1
    assert (await hot.get_state("waits", id)).data == {"seen": True}
    with pytest.raises(MeshTimeout) as caught:
        await hot.pubsub("waits", {}, timeout=0.05)
    assert caught.value.code == 504 and await hot.get_status(caught.value.job_id) == 1
    for one in (id, caught.value.job_id):
        await hot.scrub(one)
    with pytest.raises(JobNotFound):
        await hot.get_status(id)


async def test_a_topic_without_a_graph_and_a_hook_without_a_rule_are_refused(open_app: OpenApp) -> None:
    hot = await open_app(ECHO)
    with pytest.raises(InvalidOptions, match="no subscription found for topic nope in app shop for app version 1"):
        await hot.pub("nope", {})
    with pytest.raises(InvalidOptions, match="unable to find hook rule for topic nope"):
        await hot.hook("nope", {})


@pytest.mark.parametrize("id", ["a", "no_underscore", "", "two words"])
async def test_an_app_has_a_proper_id(id: str, redis_url: str) -> None:
    with pytest.raises(InvalidOptions, match=r"config\.appId"):
        await HotMesh.init(id, redis_url)


# --- await ------------------------------------------------------------------------------------------------------------

AWAITER = """
    - subscribes: awaiter
      expire: 60
      activities:
        t1: {type: trigger, job: {maps: {do_await: '{$self.output.data.do_await}'}}}
        a1:
          type: await
          topic: awaiter.target
          await: '{t1.output.data.do_await}'
          input: {maps: {from: '{$job.metadata.jid}'}}
          job: {maps: {child_job_id: '{$self.output.data.job_id}', child_some_data: '{$self.output.data.some_data}'}}
        h1: {type: hook, sleep: 0.1}
      transitions:
        t1: [{to: a1}]
        a1: [{to: h1}]
    - subscribes: awaiter.target
      activities:
        t2: {type: trigger, job: {maps: {some_data: '{$self.input.data.from}'}}}
"""


@pytest.mark.parametrize("payload", [{}, {"do_await": True}])
async def test_an_await_waits_for_the_other_graph(open_app: OpenApp, payload: dict[str, Any]) -> None:
    output = await (await open_app(AWAITER)).pubsub("awaiter", payload, timeout=10)
    assert output.data is not None and "child_job_id" not in output.data
    assert output.data["child_some_data"] == output.metadata["jid"]


async def test_an_await_that_does_not_wait_has_the_id(open_app: OpenApp) -> None:
    output = await (await open_app(AWAITER)).pubsub("awaiter", {"do_await": False}, timeout=10)
    assert output.data is not None and output.data["child_job_id"].startswith("H")
    assert "child_some_data" not in output.data


FAILING_CHILD = """
    - subscribes: parent
      expire: 60
      activities:
        t1: {type: trigger}
        a1: {type: await, topic: '{t1.output.data.topic}', input: {maps: {id: '{t1.output.data.id}'}}}
        h1:
          type: hook
          job: {maps: {failed: '{a1.output.metadata.$error.message}', how: '{a1.output.metadata.$error.code}'}}
      transitions:
        t1: [{to: a1}]
        a1: [{to: h1, conditions: {code: [500, 422]}}]
    - subscribes: child
      activities:
        t2: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        w2: {type: worker, topic: fails}
      transitions:
        t2: [{to: w2}]
"""


async def test_a_childs_error_is_the_awaits(open_app: OpenApp) -> None:
    hot = await open_app(
        FAILING_CHILD, workers=[("fails", lambda asked: StreamReply({"message": "bad", "more": 1}, "error", 422))]
    )
    output = await hot.pubsub("parent", {"topic": "child", "id": "c"}, timeout=10)
    assert output.data == {"failed": "bad", "how": 422}


async def test_an_unknown_graph_and_a_taken_id_are_errors_of_the_await(open_app: OpenApp) -> None:
    hot = await open_app(FAILING_CHILD)
    data = (await hot.pubsub("parent", {"topic": "nope", "id": "c"}, timeout=10)).data
    assert data is not None and data["how"] == 500 and "no subscription found for topic nope" in data["failed"]
    await hot.pub("child", {"id": "c"})
    output = await hot.pubsub("parent", {"topic": "child", "id": "c"}, timeout=10)
    assert output.data == {"failed": "Duplicate job: c", "how": 500}
    await hot.scrub("c")


# --- cycles -----------------------------------------------------------------------------------------------------------

CYCLE = """
    - subscribes: cycle
      expire: 60
      activities:
        t1: {type: trigger}
        a1: {type: hook, cycle: true}
        w1: {type: worker, topic: count, job: {maps: {counter: '{$self.output.data.counter}'}}}
        c1: {type: cycle, ancestor: a1}
      transitions:
        t1: [{to: a1}]
        a1: [{to: w1}]
        w1:
          - to: c1
            conditions:
              match:
                - expected: true
                  actual: {'@pipe': [['{$self.output.data.counter}', 5], ['{@conditional.less_than}']]}
"""


async def test_a_cycle_goes_back_until_its_condition_holds_no_more(open_app: OpenApp) -> None:
    counter = iter(range(1, 100))
    addresses: list[str] = []

    def count(asked: StreamData) -> dict[str, int]:
        addresses.append(asked.metadata["dad"])
        return {"counter": next(counter)}

    hot = await open_app(CYCLE, workers=[("count", count)])
    output = await hot.pubsub("cycle", {}, timeout=10)
    assert output.data == {"counter": 5}
    assert addresses == [",0,0,0", ",0,1,0", ",0,2,0", ",0,3,0", ",0,4,0"]
    state = await hot.mesh.store.graphs.state(f"{APP}:{output.metadata['jid']}")
    assert state["l:a1"] == b"889000005000005" and state["l:w1/a1:4"] == b"888000001000001"


async def test_a_loop_that_waits_for_nobody_is_carried_out_in_several_commits(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: loop
      expire: 60
      activities:
        t1: {type: trigger}
        h1:
          type: hook
          cycle: true
          job: {maps: {n: {'@pipe': [['{$job.data.n}', 0], ['{@conditional.nullish}', 1], ['{@math.add}']]}}}
        c1: {type: cycle, ancestor: h1}
      transitions:
        t1: [{to: h1}]
        h1:
          - to: c1
            conditions:
              match:
                - expected: true
                  actual:
                    '@pipe': [['{$job.data.n}', 0], ['{@conditional.nullish}', 300], ['{@conditional.less_than}']]
"""
    )
    assert (await hot.pubsub("loop", {}, timeout=20)).data == {"n": 301}


# --- codes ------------------------------------------------------------------------------------------------------------

CODES = """
    - subscribes: codes
      expire: 60
      activities:
        t1: {type: trigger}
        w1:
          type: worker
          topic: answer
          input: {maps: {code: '{t1.output.data.code}'}}
          job: {maps: {message: success, percentage: '{$self.output.data.percentage}'}}
          retry: {'599': [2]}
        a200: {type: hook, job: {maps: {code: 200}}}
        a202: {type: hook, job: {maps: {was_pending: true}}}
        a422: {type: hook, job: {maps: {error: '{w1.output.metadata.$error.message}'}}}
      transitions:
        t1: [{to: w1}]
        w1:
          - {to: a200, conditions: {code: 200}}
          - {to: a202, conditions: {code: '202'}}
          - {to: a422, conditions: {code: [421, 422]}}
"""


async def test_replies_take_the_edges_of_their_codes(open_app: OpenApp) -> None:
    tries: list[int | None] = []
    asked_of: list[StreamData] = []

    async def answer(asked: StreamData) -> Any:
        code = asked.data["code"]
        asked_of.append(asked)
        if code == 202:
            return StreamReply({"percentage": 49}, "pending", 202)
        if code == 422:
            return StreamReply({"message": "invalid input", "reason": "rules"}, "error", 422)
        if code == 599:
            tries.append(asked.metadata.get("try"))
            return {"percentage": 1} if len(tries) == 3 else StreamReply({"message": "again"}, "error", 599)
        if code == 598:
            return StreamReply(None, "error", 598)
        if code == 500:
            raise ValueError("it broke")
        return None if code == 0 else {"percentage": 100}

    hot = await open_app(CODES, workers=[("answer", answer)])
    assert (await hot.pubsub("codes", {"code": 200}, timeout=10)).data == {
        "code": 200, "message": "success", "percentage": 100,
    }  # fmt: skip
    assert (await hot.pubsub("codes", {"code": 422}, timeout=10)).data == {
        "message": "success", "error": "invalid input"
    }  # fmt: skip
    assert (await hot.pubsub("codes", {"code": 599}, timeout=10)).data == {
        "code": 200, "message": "success", "percentage": 1,
    }  # fmt: skip
    assert tries == [None, 1, 2]
    with pytest.raises(JobFailed, match="unknown") as caught:
        await hot.pubsub("codes", {"code": 598}, timeout=10)
    assert caught.value.code == 598
    with pytest.raises(JobFailed, match="it broke") as caught:
        await hot.pubsub("codes", {"code": 500}, timeout=10)
    assert caught.value.code == 500
    state = await hot.get_state("codes", caught.value.job_id)
    assert state.metadata["err"].startswith('{"message":"it broke","code":500,"stack":"Traceback')
    assert state.metadata["err"].endswith('"is_stream_error":true}')


@pytest.mark.parametrize("code", [202, 0])
async def test_a_reply_may_come_later_and_once(open_app: OpenApp, eventually: Eventually, code: int) -> None:
    asked_of: list[StreamData] = []

    def answer(asked: StreamData) -> Any:
        asked_of.append(asked)
        return StreamReply({"percentage": 49}, "pending", 202) if code else None

    hot = await open_app(CODES, workers=[("answer", answer)])
    waiting = asyncio.create_task(hot.pubsub("codes", {"code": code}, timeout=10))
    await eventually(lambda: asked_of)
    metadata = asked_of[0].metadata

    async def open_obligations() -> int:
        return await hot.get_status(metadata["jid"])

    if code:
        state = await eventually(lambda: _data(hot, metadata["jid"], "was_pending"))
        assert state["percentage"] == 49
    assert await open_obligations() == 1
    if code:
        again = {**metadata, "guid": "first"}
        assert await hot.add(again, {"percentage": 60}, status="pending", code=202)
        assert not await hot.add(again, {"percentage": 61}, status="pending", code=202)
        await eventually(lambda: _data(hot, metadata["jid"], "percentage", 60))
    assert not await hot.add({**metadata, "gid": "another generation", "guid": "x"}, {"percentage": 98}, code=200)
    assert await hot.add({**metadata, "guid": "last"}, {"percentage": 99}, code=200)
    output = await waiting
    assert output.data is not None and output.data["percentage"] == 99 and output.data["code"] == 200
    assert not await hot.add({**metadata, "guid": "late"}, {"percentage": 1})


async def _data(hot: HotMesh, id: str, name: str, value: Any = True) -> dict[str, Any] | None:
    data = (await hot.get_state("", id)).data or {}
    return data if data.get(name) == value else None


# --- hooks and signals ------------------------------------------------------------------------------------------------

HOOK = """
    - subscribes: toggle
      publishes: toggled
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}, job: {maps: {done: false}}}
        h1:
          type: hook
          cycle: true
          statusThreshold: '{t1.output.data.threshold}'
          job:
            maps:
              done: '{$self.hook.data.done}'
              told[_]: {_howdy: '{$self.hook.data.howdy}'}
              -mark: '{$self.hook.data.done}'
      transitions:
        t1: [{to: h1}]
      hooks:
        toggle.resume:
          - to: h1
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
"""


async def test_a_hook_is_woken_by_the_signal_that_fits_it(open_app: OpenApp) -> None:
    hot = await open_app(HOOK)
    for id in ("one", "two"):
        await hot.pub("toggle", {"id": id})
    await hot.hook("toggle.resume", {"id": "one", "done": True, "howdy": "hello"})
    assert (await _ended(hot, "one")).data == {"done": True}
    assert await hot.get_status("two") == 1
    assert await hot.mesh.get(APP, "one", "howdy") == {"howdy": "hello"}
    state = await hot.mesh.store.graphs.state(f"{APP}:one")
    assert state["-mark"] == b"true"
    await hot.scrub("two")


async def _ended(hot: HotMesh, id: str) -> JobOutput:
    async with asyncio.timeout(10):
        while await hot.get_status(id) > 0:
            await asyncio.sleep(0.005)
    return await hot.get_state("", id)


async def test_a_signal_that_comes_first_is_kept(open_app: OpenApp) -> None:
    hot = await open_app(HOOK)
    await hot.hook("toggle.resume", {"id": "early", "done": "kept"})
    assert (await hot.pubsub("toggle", {"id": "early"}, timeout=10)).data == {"done": "kept"}


async def test_a_code_other_than_200_leaves_the_wait_standing(open_app: OpenApp, eventually: Eventually) -> None:
    hot = await open_app(HOOK)
    await hot.pub("toggle", {"id": "more"})
    for n in (1, 2, 3):
        await hot.hook("toggle.resume", {"id": "more", "done": n}, "pending", 202)
        await eventually(lambda n=n: _data(hot, "more", "done", n))
    assert await hot.get_status("more") == 1
    await hot.hook("toggle.resume", {"id": "more", "done": "at last"})
    assert (await _ended(hot, "more")).data == {"done": "at last"}


async def test_a_side_branch_is_never_the_last_one_standing(open_app: OpenApp) -> None:
    hot = await open_app(HOOK)
    assert (await hot.pubsub("toggle", {"id": "side", "threshold": 1}, timeout=10)).data == {"done": False}


async def test_time_wakes_a_hook_and_tells_when(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: sleeps
      expire: 60
      activities:
        t1: {type: trigger, job: {maps: {duration: '{$self.input.data.duration}'}}}
        h1: {type: hook, sleep: '{$job.data.duration}', job: {maps: {done: true, at: '{$self.hook.data.timestamp}'}}}
      transitions:
        t1: [{to: h1}]
"""
    )
    id = await hot.pub("sleeps", {"duration": 0.05})
    assert (await hot.get_state("sleeps", id)).data == {"duration": 0.05, "done": True}
    data = (await _ended(hot, id)).data
    assert data is not None and data["at"] > 1_700_000_000_000


SIGNALS = """
    - subscribes: sender
      expire: 60
      activities:
        t1: {type: trigger}
        s1:
          type: signal
          subtype: one
          topic: receiver.resume
          status: pending
          code: 202
          signal: {maps: {id: '{t1.output.data.to}', done: first}}
        s2:
          type: signal
          topic: receiver.resume
          signal: {maps: {id: '{t1.output.data.to}', done: second}}
          job: {maps: {sent: true}}
      transitions:
        t1: [{to: s1}]
        s1: [{to: s2}]
    - subscribes: receiver
      expire: 60
      activities:
        t2: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        h2: {type: hook, job: {maps: {last: '{$self.hook.data.done}'}}}
        h3: {type: hook, job: {maps: {first: '{h2.hook.data.done}'}}}
      transitions:
        t2: [{to: h2}]
        h2: [{to: h3, conditions: {code: 202}}]
      hooks:
        receiver.resume:
          - to: h2
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
"""


async def test_a_graph_signals_another(open_app: OpenApp) -> None:
    hot = await open_app(SIGNALS)
    await hot.pub("receiver", {"id": "r"})
    assert (await hot.pubsub("sender", {"to": "r"}, timeout=10)).data == {"sent": True}
    assert (await _ended(hot, "r")).data == {"first": "first", "last": "second"}


# --- ends -------------------------------------------------------------------------------------------------------------

INTERRUPT = """
    - subscribes: stops
      publishes: stopped
      expire: 60
      activities:
        t1: {type: trigger}
        i1:
          type: interrupt
          target: '{t1.output.data.target}'
          reason: stop it
          code: 451
          throw: '{t1.output.data.throw}'
          job: {maps: {saved: true}}
        h1: {type: hook, sleep: 60}
        h2: {type: hook, job: {maps: {after: true}}}
      transitions:
        t1:
          - {to: i1}
          - {to: h1, conditions: {match: [{expected: true, actual: '{t1.output.data.stays}'}]}}
        i1: [{to: h2}]
    - subscribes: stays
      activities:
        t2: {type: trigger, stats: {id: '{$self.input.data.id}'}, job: {maps: {begun: true}}}
        w2: {type: worker, topic: nobody}
      transitions:
        t2: [{to: w2}]
"""


async def test_a_job_ends_itself(open_app: OpenApp) -> None:
    hot = await open_app(INTERRUPT)
    with pytest.raises(JobInterrupted, match="stop it") as caught:
        await hot.pubsub("stops", {"stays": True}, timeout=10)
    assert caught.value.code == 451
    state = await hot.get_state("stops", caught.value.job_id)
    assert state.data == {"saved": True} and state.metadata["js"] < -100_000_000
    assert '"message":"stop it"' in state.metadata["err"]
    output = await hot.pubsub("stops", {"stays": True, "throw": False}, timeout=10)
    assert output.data == {"saved": True} and "err" not in output.metadata


async def test_a_graph_ends_another_job_and_goes_on(open_app: OpenApp) -> None:
    hot = await open_app(INTERRUPT)
    waiting = asyncio.create_task(hot.pubsub("stays", {"id": "other"}, timeout=10))
    await _eventually_there(hot, "other")
    assert (await hot.pubsub("stops", {"target": "other"}, timeout=10)).data == {"saved": True, "after": True}
    with pytest.raises(JobInterrupted):
        await waiting
    # One that is over, or that nobody knows, is as good as ended.
    assert (await hot.pubsub("stops", {"target": "other"}, timeout=10)).data == {"saved": True, "after": True}


async def _eventually_there(hot: HotMesh, id: str) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await hot.get_status(id)
            except JobNotFound:
                await asyncio.sleep(0.005)
            else:
                return


async def test_a_caller_ends_a_job(open_app: OpenApp) -> None:
    hot = await open_app(INTERRUPT)
    await hot.pub("stays", {"id": "x"})
    assert await hot.interrupt("stays", "x", reason="enough", expire=60)
    assert await hot.get_status("x") < -100_000_000
    state = await hot.get_state("stays", "x")
    assert state.data == {"begun": True}
    assert state.metadata["err"] == '{"code":410,"message":"enough","stack":"","job_id":"x"}'
    with pytest.raises(Exception, match="Job x already completed"):
        await hot.interrupt("stays", "x")
    assert await hot.interrupt("stays", "x", suppress=True) is False
    with pytest.raises(JobNotFound, match="Job y not found"):
        await hot.interrupt("stays", "y")


async def test_a_job_that_is_asked_to_end_ends(open_app: OpenApp) -> None:
    hot = await open_app(HOOK)
    waiting = asyncio.create_task(hot.pubsub("toggle", {"id": "c"}, timeout=10))
    await _eventually_there(hot, "c")
    await hot.mesh.cancel(APP, "c", reason="changed my mind")
    with pytest.raises(JobCancelled, match="changed my mind"):
        await waiting
    assert await hot.get_status("c") < -100_000_000


@pytest.mark.parametrize("descend", [True, False])
async def test_an_interrupt_reaches_the_jobs_a_job_awaits_if_asked_to(open_app: OpenApp, descend: bool) -> None:
    hot = await open_app(
        """
    - subscribes: top
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        a1: {type: await, topic: low, input: {maps: {id: below}}}
      transitions:
        t1: [{to: a1}]
    - subscribes: low
      activities:
        t2: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        w2: {type: worker, topic: nobody}
      transitions:
        t2: [{to: w2}]
"""
    )
    await hot.pub("top", {"id": "above"})
    await _eventually_there(hot, "below")
    await hot.interrupt("top", "above", descend=descend, expire=60)
    if descend:
        async with asyncio.timeout(10):
            while await hot.get_status("below") > 0:
                await asyncio.sleep(0.005)
    else:
        assert await hot.get_status("below") == 1
        await hot.scrub("below")
    await hot.scrub("above")


async def test_what_cannot_be_mapped_is_an_error_once_and_then_the_jobs(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: bad
      expire: 60
      activities:
        t1: {type: trigger}
        h1: {type: hook, job: {maps: {up: {'@pipe': [['{t1.output.data.text}'], ['{@string.toUpperCase}']]}}}}
        h2: {type: hook, job: {maps: {told: '{h1.output.metadata.$error.message}'}}}
      transitions:
        t1: [{to: h1}]
        h1:
          - to: h2
            conditions:
              code: 500
              match: [{expected: true, actual: '{t1.output.data.handled}'}]
"""
    )
    with pytest.raises(JobFailed, match="toUpperCase needs a value"):
        await hot.pubsub("bad", {"text": None}, timeout=10)


# --- who hears of it --------------------------------------------------------------------------------------------------


async def test_results_and_interim_states_are_heard_by_topic(open_app: OpenApp, eventually: Eventually) -> None:
    hot = await open_app(
        """
    - subscribes: emits
      publishes: emitted
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}, job: {maps: {done: false}}}
        w1: {type: worker, topic: work.do, emit: true, job: {maps: {status: '{$self.output.data.status}'}}}
        h1: {type: hook, sleep: 0.05, job: {maps: {done: true}}}
      transitions:
        t1: [{to: w1}]
        w1: [{to: h1}]
""",
        workers=[("work.do", lambda asked: {"status": "success"})],
    )
    listener = await open_app(readonly=True)
    heard: dict[str, list[tuple[str, JobOutput]]] = {"exact": [], "one": [], "all": [], "none": []}
    await listener.sub("emitted", lambda topic, output: heard["exact"].append((topic, output)))
    await listener.sub("emitted.a", lambda topic, output: heard["one"].append((topic, output)))
    await listener.psub("emit*", lambda topic, output: heard["all"].append((topic, output)))
    await listener.psub("other*", lambda topic, output: heard["none"].append((topic, output)))
    await hot.pub("emits", {"id": "a"})
    await hot.pub("emits", {"id": "b"})
    await eventually(lambda: len(heard["all"]) >= 4)
    assert {topic for topic, _ in heard["all"]} == {"emitted"}
    of_a = [output.data for _, output in heard["one"]]
    assert of_a[0] is not None and of_a[0]["status"] == "success"
    assert of_a[-1] == {"status": "success", "done": True} and len(of_a) == 2
    assert len(heard["exact"]) == 4 and heard["none"] == []
    await listener.unsub("emitted.a")
    await listener.punsub("emit*")
    await hot.pub("emits", {"id": "c"})
    await eventually(lambda: len(heard["exact"]) == 6)
    assert len(heard["one"]) == 2 and len(heard["all"]) == 4


async def test_persist_tells_who_waits_and_goes_on(open_app: OpenApp) -> None:
    hot = await open_app(
        """
    - subscribes: early
      expire: 60
      activities:
        t1: {type: trigger}
        h1: {type: hook, persist: true, job: {maps: {told: true}}}
        h2: {type: hook, sleep: 0.2, job: {maps: {late: '{$self.hook.data.timestamp}'}}}
      transitions:
        t1: [{to: h1}, {to: h2}]
"""
    )
    output = await hot.pubsub("early", {}, timeout=10)
    assert output.data == {"told": True} and await hot.get_status(output.metadata["jid"]) == 1
    assert "late" in ((await _ended(hot, output.metadata["jid"])).data or {})


async def test_a_job_may_be_reserved_and_begin_later(open_app: OpenApp) -> None:
    hot = await open_app(ECHO, workers=[("work.do", double)])
    id = await hot.pub("echo", {"x": 3}, pending="1 minute", search={"color": "red"}, markers={"-note": "here"})
    assert await hot.get_status(id) == -1
    assert await hot.mesh.get(APP, id, "color") == {"color": "red"}
    await hot.mesh.resume(APP, id)
    assert (await _ended(hot, id)).data == {"y": 6, "z": 6, "by": "echo"}
    assert (await hot.mesh.store.graphs.state(f"{APP}:{id}"))["-note"] == b"here"


Look = Callable[[], Awaitable[Any]]


async def test_the_jobs_of_a_graph_are_jobs_of_the_mesh(open_app: OpenApp, mesh: MeshData) -> None:
    hot = await open_app(ECHO, workers=[("work.do", double)])
    output = await hot.pubsub("echo", {"x": 1}, timeout=10)
    info = await mesh.info(APP, output.metadata["jid"])
    assert info.status == "completed" and info.entity == APP
    assert (await mesh.handle(APP, output.metadata["jid"]).result())["data"] == output.data
    assert await mesh.flush(APP, output.metadata["jid"])


# --- versions ---------------------------------------------------------------------------------------------------------

BEFORE = """
    - subscribes: grows
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        w1:
          type: worker
          topic: work.do
          input: {maps: {x: '{t1.output.data.x}'}}
        h1: {type: hook, job: {maps: {y: '{w1.output.data.y}', ended: '{$self.hook.data.ended}'}}}
        gone: {type: hook, sleep: 0.05, job: {maps: {gone: true}}}
      transitions:
        t1: [{to: w1}]
        w1: [{to: h1}, {to: gone}]
      hooks:
        grows.resume:
          - to: h1
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
"""

AFTER = """
    - subscribes: grows
      expire: 60
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        new: {type: hook, job: {maps: {new: true}}}
        w1:
          type: worker
          topic: work.do
          input: {maps: {x: '{t1.output.data.x}'}}
        h1: {type: hook, job: {maps: {y: '{w1.output.data.y}', ended: '{$self.hook.data.ended}'}}}
        h2: {type: hook, job: {maps: {later: '{w1.output.data.y}'}}}
      transitions:
        t1: [{to: new}]
        new: [{to: w1}]
        w1: [{to: h1}]
        h1: [{to: h2}]
      hooks:
        grows.resume:
          - to: h1
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
"""


async def test_a_running_job_goes_on_with_the_new_version(open_app: OpenApp, eventually: Eventually) -> None:
    """An activity above those that wait changes nothing for them; one that is gone is carried out as it was."""
    hot = await open_app(BEFORE, workers=[("work.do", double)])
    for id in ("a", "b"):
        await hot.pub("grows", {"id": id, "x": 4})
        await eventually(lambda id=id: _status_is(hot, id, 2))
    await hot.deploy(model(AFTER, "2"))
    await hot.activate("2")
    await hot.hook("grows.resume", {"id": "a", "ended": True})
    assert (await _ended(hot, "a")).data == {"gone": True, "y": 8, "ended": True, "later": 8}
    await hot.pub("grows", {"id": "c", "x": 5})
    await hot.hook("grows.resume", {"id": "c", "ended": True})
    output = await _ended(hot, "c")
    assert output.data == {"new": True, "y": 10, "ended": True, "later": 10} and output.metadata["vrs"] == "2"
    await hot.scrub("b")


async def _status_is(hot: HotMesh, id: str, value: int) -> bool:
    return await hot.get_status(id) == value


async def test_a_version_runs_once_it_is_activated(open_app: OpenApp) -> None:
    hot = await open_app(BEFORE, workers=[("work.do", double)])
    await hot.deploy(model(AFTER, "2"))
    await hot.pub("grows", {"id": "x", "x": 4})
    assert (await hot.get_state("grows", "x")).metadata["vrs"] == "1"
    with pytest.raises(VersionNotFound, match="Version 3 does not exist for app shop"):
        await hot.activate("3")
    await hot.scrub("x")
