"""Models of the reference family, with the results its engine gives: versions one after another, awaits, cycles, codes,
interim states, signals, time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from meshdata import HotMesh, MeshData
from meshdata.errors import JobFailed
from meshdata.hotmesh import JobOutput, StreamData, StreamReply

OpenApp = Callable[..., Any]


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
async def open_app(
    request: pytest.FixtureRequest, redis_url: str, namespace: str, no_leaks: set[str]
) -> AsyncIterator[OpenApp]:
    """Opens an app on a mesh of its own: `await open_app("abc", workers=[…])`."""
    no_leaks |= {"inseq", "outseq"}
    async with AsyncExitStack() as stack:

        async def open_one(app: str, **options: Any) -> HotMesh:
            no_leaks.add(f"app:{app}")
            mesh = MeshData(redis_url, namespace=namespace, partitions=request.param)
            await stack.enter_async_context(mesh)
            return await stack.enter_async_context(await HotMesh.init(app, mesh, **options))

        yield open_one


async def run(hot: HotMesh, model: str, version: str) -> None:
    await hot.deploy(model)
    assert await hot.activate(version) is True


async def over(hot: HotMesh, id: str) -> JobOutput:
    async with asyncio.timeout(20):
        while await hot.get_status(id) > 0:
            await asyncio.sleep(0.01)
    return await hot.get_state("", id)


# --- upgrades ---------------------------------------------------------------------------------------------------------

FIRST = """
app:
  id: abc
  version: '{version}'
  graphs:
    - subscribes: abc.test
      activities:
        t1: {{type: trigger}}
{activities}
{further}
"""


async def test_an_app_is_upgraded_while_its_engine_runs(open_app: OpenApp) -> None:
    hot = await open_app("abc", workers=[("work.do", lambda asked: {"hello": "world"})])
    to_a1 = "      transitions:\n        t1: [{to: a1}]"
    second = "    - subscribes: tests.b\n      activities:\n        t2: {type: trigger}"
    ladder = [
        ("", ""),
        ("        a1: {type: hook}", to_a1),
        ("        a1: {type: await, topic: tests.b}", f"{to_a1}\n{second}"),
        ("        a1: {type: worker, topic: work.do}", to_a1),
        ("        a1: {type: activity}", to_a1),
    ]
    for number, (activities, further) in enumerate(ladder, 1):
        await run(hot, FIRST.format(version=number, activities=activities, further=further), str(number))
        output = await hot.pubsub("abc.test", {}, timeout=10)
        assert output.metadata["jid"] and output.metadata["js"] == 0 and output.metadata["vrs"] == str(number)
        assert output.data is None, "nothing was mapped"


# --- cycles -----------------------------------------------------------------------------------------------------------

CYCLE = """
app:
  id: cycle
  version: '{version}'
  graphs:
    - subscribes: cycle.test
      expire: 60
      activities:
        t{version}: {{type: trigger}}
        a{version}: {{type: hook, cycle: true}}
        w{version}:
          type: worker
          topic: cycle.count
          job: {{maps: {{counter: '{{$self.output.data.counter}}'}}}}
        c{version}: {{type: cycle, ancestor: a{version}}}
      transitions:
        t{version}: [{{to: a{version}}}]
        a{version}: [{{to: w{version}}}]
        w{version}:
          - to: c{version}
            conditions: {conditions}
"""
LESS_THAN_5 = (
    "{match: [{expected: true, actual: {'@pipe': [['{$self.output.data.counter}', 5], ['{@conditional.less_than}']]}}]}"
)


async def test_a_cycle_by_condition_and_after_an_upgrade_by_code(open_app: OpenApp) -> None:
    counter = 0

    def count(asked: StreamData) -> Any:
        nonlocal counter
        counter += 1
        if asked.metadata["aid"] == "w1":
            return {"counter": counter}
        return StreamReply({"counter": counter}, code=500 if counter < 5 else 200)

    hot = await open_app("cycle", workers=[("cycle.count", count)])
    for version, conditions in (("1", LESS_THAN_5), ("2", "{code: 500}")):
        counter = 0
        await run(hot, CYCLE.format(version=version, conditions=conditions), version)
        output = await hot.pubsub("cycle.test", {}, timeout=20)
        assert output.data == {"counter": 5} and counter == 5
        assert await hot.get_status(output.metadata["jid"]) == 0


# --- codes ------------------------------------------------------------------------------------------------------------

CODES = """
app:
  id: def
  version: '{version}'
  graphs:
    - subscribes: def.test
      expire: 60
      output: {{schema: {{type: object}}}}
      activities:
        t{version}: {{type: trigger}}
        w{version}:
          type: worker
          topic: work.do
          input: {{maps: {{code: '{{t{version}.output.data.code}}'}}}}
          job: {{maps: {{message: success, percentage: '{{$self.output.data.percentage}}'}}}}
          output: {{'422': {{schema: {{type: object}}}}}}
        a200v{version}:
          type: hook
          job: {{maps: {{code: '{{w{version}.output.data.code}}', message: '{{w{version}.output.data.none}}'}}}}
{further}
      transitions:
        t{version}: [{{to: w{version}}}]
        w{version}:
{edges}
"""


async def test_codes_take_their_edges_in_each_version(open_app: OpenApp) -> None:
    late: set[asyncio.Task[Any]] = set()

    def work(asked: StreamData) -> Any:
        code = asked.data["code"]
        if code == 202:

            async def later() -> None:
                await asyncio.sleep(0.05)
                await hot.add(asked.metadata, {"code": 200, "percentage": 99}, code=200)

            task = asyncio.create_task(later())
            late.add(task)
            return StreamReply({"code": 202, "percentage": 49}, "pending", 202)
        if code == 422:
            return StreamReply({"code": 422, "message": "invalid input", "reason": "r"}, "error", 422)
        return StreamReply({"code": code}, code=code)

    async def answer(asked: StreamData) -> Any:
        return work(asked)

    hot = await open_app("def", workers=[("work.do", answer)])

    async def has(version: str, code: int) -> JobOutput:
        return await hot.pubsub("def.test", {"code": code}, timeout=20)

    await run(hot, CODES.format(version="1", further="", edges="          - {to: a200v1}"), "1")
    output = await has("1", 200)
    assert output.data == {"code": 200, "message": "success"}, "an undefined message erases none"
    assert (await has("1", 422)).data is not None, "an edge without conditions is taken on an error too"

    edges = """          - to: a200v2
            conditions: {match: [{expected: 200, actual: '{$self.output.data.code}'}]}
          - to: a422v2
            code: 422
            conditions: {code: 422}"""
    further = "        a422v2: {type: hook, job: {maps: {rejected: '{w2.output.metadata.$error.message}'}}}"
    await run(hot, CODES.format(version="2", further=further, edges=edges), "2")
    assert (await has("2", 200)).data == {"code": 200, "message": "success"}
    assert (await has("2", 422)).data == {"message": "success", "rejected": "invalid input"}

    edges = """          - {to: a200v3, conditions: {code: 200}}
          - {to: a202v3, conditions: {code: 202}}
          - {to: a422v3, conditions: {code: 422}}"""
    further = """        a202v3: {type: hook, job: {maps: {was: '{w3.output.data.percentage}'}}}
        a422v3: {type: hook}"""
    await run(hot, CODES.format(version="3", further=further, edges=edges), "3")
    output = await has("3", 202)
    assert output.data == {"code": 200, "percentage": 99, "message": "success", "was": 49}
    with pytest.raises(JobFailed) as caught:
        await run_unhandled(hot)
    assert caught.value.code == 599 and caught.value.job_id
    await asyncio.gather(*late)


async def run_unhandled(hot: HotMesh) -> None:
    await hot.worker("fails", lambda asked: StreamReply({"message": "nobody minds me"}, "error", 599))
    await run(
        hot,
        """
app:
  id: def
  version: '4'
  graphs:
    - subscribes: def.fails
      activities:
        t4: {type: trigger}
        w4: {type: worker, topic: fails}
      transitions:
        t4: [{to: w4}]
""",
        "4",
    )
    await hot.pubsub("def.fails", {}, timeout=20)


# --- interim states and signals ---------------------------------------------------------------------------------------

EMIT = """
app:
  id: emit
  version: '1'
  graphs:
    - subscribes: emit.test
      publishes: emit.tested
      activities:
        t1: {type: trigger, job: {maps: {done: false}}}
        w1: {type: worker, topic: emit.work, emit: true, job: {maps: {status: '{$self.output.data.status}'}}}
        h1: {type: hook, sleep: 0.2, job: {maps: {done: true}}}
      transitions:
        t1: [{to: w1}]
        w1: [{to: h1}]
"""


async def test_an_interim_state_is_told_before_the_end(open_app: OpenApp) -> None:
    hot = await open_app("emit", workers=[("emit.work", lambda asked: {"status": "success"})])
    await run(hot, EMIT, "1")
    heard: list[tuple[str, JobOutput]] = []
    two = asyncio.Event()

    def hear(topic: str, job: JobOutput) -> None:
        heard.append((topic, job))
        if len(heard) == 2:
            two.set()

    await hot.psub("emit.tested*", hear)
    await hot.pub("emit.test", {})
    async with asyncio.timeout(20):
        await two.wait()
    assert [topic for topic, _ in heard] == ["emit.tested"] * 2
    assert all(job.data is not None and job.data["status"] == "success" for _, job in heard)
    assert heard[-1][1].data == {"done": True, "status": "success"}
    await hot.punsub("emit.tested*")


SIGNAL = """
app:
  id: signal
  version: '1'
  graphs:
    - subscribes: signal.toggle
      publishes: signal.toggled
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.jobId}'}, job: {maps: {done: false}}}
        a1:
          type: hook
          statusThreshold: '{t1.output.data.statusThreshold}'
          emit: '{t1.output.data.emit}'
          job: {maps: {done: '{$self.hook.data.done}', howdy: '{$self.hook.data.howdy}'}}
      transitions:
        t1: [{to: a1}]
      hooks:
        waitForSignaler.doPleaseResume:
          - to: a1
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
    - subscribes: signal.one.test
      publishes: signal.one.tested
      activities:
        t2: {type: trigger}
        a2: {type: hook, sleep: 0.1}
        s1:
          type: signal
          subtype: one
          topic: hook.resume
          status: pending
          code: 202
          signal: {maps: {id: '{t2.output.data.child}', done: false}}
        s2:
          type: signal
          subtype: one
          topic: hook.resume
          status: success
          code: 200
          signal: {maps: {id: '{t2.output.data.child}', done: true}}
        a3:
          type: await
          topic: hook.test
          input: {maps: {job_id: '{t2.output.data.child}', parent_job_id: '{$job.metadata.jid}'}}
        a4: {type: hook, job: {maps: {interim: '{a3.output.data.done}'}}}
        a5: {type: hook, job: {maps: {final: '{a3.output.data.done}'}}}
      transitions:
        t2: [{to: a2}, {to: a3}]
        a2: [{to: s1}]
        s1: [{to: s2}]
        a3: [{to: a4, conditions: {code: 202}}, {to: a5, conditions: {code: 200}}]
    - subscribes: hook.test
      publishes: hook.tested
      activities:
        t3:
          type: trigger
          emit: true
          stats: {id: '{$self.input.data.job_id}', key: '{$self.input.data.parent_job_id}', granularity: infinity}
          job: {maps: {parent: '{$self.input.data.parent_job_id}'}}
        a6: {type: hook, job: {maps: {done: '{$self.hook.data.done}'}}}
        a7: {type: hook, emit: true, job: {maps: {told: true}}}
        a8: {type: hook}
      transitions:
        t3: [{to: a6}]
        a6: [{to: a7, conditions: {code: 202}}, {to: a8, conditions: {code: 200}}]
      hooks:
        hook.resume:
          - to: a6
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
"""


async def test_a_threshold_ends_a_job_without_its_signal(open_app: OpenApp) -> None:
    hot = await open_app("signal")
    await run(hot, SIGNAL, "1")
    heard: asyncio.Future[tuple[str, JobOutput]] = asyncio.get_running_loop().create_future()
    await hot.sub("signal.toggled.alone", lambda topic, job: heard.set_result((topic, job)))
    await hot.pub("signal.toggle", {"jobId": "alone", "statusThreshold": 1})
    async with asyncio.timeout(10):
        topic, job = await heard
    assert topic == "signal.toggled" and job.data == {"done": False} and job.metadata["jid"] == "alone"
    await hot.unsub("signal.toggled.alone")


async def test_without_a_threshold_the_signal_ends_it(open_app: OpenApp) -> None:
    hot = await open_app("signal")
    await run(hot, SIGNAL, "1")
    waiting = asyncio.create_task(hot.pubsub("signal.toggle", {"jobId": "waits"}, timeout=20))
    await hot.hook("waitForSignaler.doPleaseResume", {"id": "waits", "done": True, "howdy": "partner"})
    assert (await waiting).data == {"done": True, "howdy": "partner"}


async def test_signals_one_after_another_reach_the_hook_of_an_awaited_job(open_app: OpenApp) -> None:
    hot = await open_app("signal")
    await run(hot, SIGNAL, "1")
    of_child: list[JobOutput] = []
    await hot.psub("hook.tested*", lambda topic, job: of_child.append(job))
    output = await hot.pubsub("signal.one.test", {"child": "kid"}, timeout=20)
    assert output.data is not None and output.data["final"] is True
    async with asyncio.timeout(10):
        while not (of_child and of_child[-1].data and of_child[-1].data.get("done") is True):
            await asyncio.sleep(0.01)
    assert {job.data["parent"] for job in of_child if job.data} == {output.metadata["jid"]}
    await hot.punsub("hook.tested*")


async def test_a_duration_comes_with_the_payload(open_app: OpenApp) -> None:
    hot = await open_app("sleeper")
    await run(
        hot,
        """
app:
  id: sleeper
  version: '1'
  graphs:
    - subscribes: sleep.do
      expire: 120
      activities:
        t1: {type: trigger, job: {maps: {duration: '{$self.input.data.duration}'}}}
        a1: {type: hook, sleep: '{$job.data.duration}', job: {maps: {done: true}}}
      transitions:
        t1: [{to: a1}]
""",
        "1",
    )
    id = await hot.pub("sleep.do", {"duration": 0.1})
    assert (await over(hot, id)).data == {"duration": 0.1, "done": True}
    await hot.scrub(id)
