"""Scenarios of the reference: functions that are called again after each thing they waited for, as graphs.

A worker answers with a code: 588 sleep, 590 child, 591 activity, 595 signal; the graph does that, keeps what came of it
as a slot of the job's data, and goes back to where the worker is asked again. `done` is shown while the job stays open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from meshdata import HotMesh
from meshdata.hotmesh import StreamData, StreamReply

Eventually = Callable[..., Awaitable[Any]]

MODEL = """app:
  id: meshflow
  version: '1'
  graphs:
    - subscribes: meshflow.execute
      publishes: meshflow.executed
      expire: '{trigger.output.data.expire}'
      activities:
        trigger:
          type: trigger
          stats: {id: '{$self.input.data.workflowId}'}
          job: {maps: {done: false, plan: '{$self.input.data.plan}'}}
        cycle_hook:
          type: hook
          cycle: true
        worker:
          type: worker
          topic: '{trigger.output.data.workflowTopic}'
          emit: '{$job.data.done}'
          input:
            maps:
              workflowId: '{$job.metadata.jid}'
              plan: '{trigger.output.data.plan}'
              retryCount: '{cycle_hook.output.data.retryCount}'
          job:
            maps:
              done: '{$self.output.data.done}'
              value: '{$self.output.data.value}'
        sleeper:
          type: hook
          sleep:
            '@pipe':
              - ['{worker.output.data.duration}', 1]
              - ['{@math.multiply}']
          job:
            maps:
              'mark[-]':
                '@pipe':
                  - '@pipe':
                      - ['-sleep', ',0,0-', '{worker.output.data.index}', '-']
                      - ['{@string.concat}']
                  - '@pipe':
                      - ['{worker.output.data.duration}']
                  - ['{@object.create}']
              'response[25]':
                '@pipe':
                  - ['{worker.output.data.index}', slept]
                  - ['{@object.create}']
        sleep_cycler: {type: cycle, ancestor: cycle_hook, input: {maps: {retryCount: 0}}}
        waiter:
          type: await
          topic: meshflow.wait
          input: {maps: {signal: '{worker.output.data.signal}'}}
          job:
            maps:
              'response[25]':
                '@pipe':
                  - ['{worker.output.data.index}', '{waiter.output.data.payload}']
                  - ['{@object.create}']
        wait_cycler: {type: cycle, ancestor: cycle_hook, input: {maps: {retryCount: 0}}}
        proxyer:
          type: await
          topic: meshflow.activity
          input: {maps: {topic: '{worker.output.data.topic}', parent: '{$job.metadata.jid}'}}
          job:
            maps:
              'response[25]':
                '@pipe':
                  - ['{worker.output.data.index}', '{proxyer.output.data.value}']
                  - ['{@object.create}']
        proxy_cycler: {type: cycle, ancestor: cycle_hook, input: {maps: {retryCount: 0}}}
        childer:
          type: await
          topic: meshflow.child
          await: '{worker.output.data.await}'
          input: {maps: {workflowId: '{worker.output.data.child}'}}
          job:
            maps:
              child: '{$self.output.data.job_id}'
              'response[25]':
                '@pipe':
                  - ['{worker.output.data.index}', '{childer.output.data.value}']
                  - ['{@object.create}']
        child_cycler: {type: cycle, ancestor: cycle_hook, input: {maps: {retryCount: 0}}}
        signaler:
          type: hook
        signaler_worker:
          type: hook
          job: {maps: {signalled: '{signaler.hook.data.n}'}}
      transitions:
        trigger: [{to: cycle_hook}, {to: signaler}]
        cycle_hook: [{to: worker}]
        worker:
          - {to: sleeper, conditions: {code: 588}}
          - {to: waiter, conditions: {code: 595}}
          - {to: proxyer, conditions: {code: [591]}}
          - {to: childer, conditions: {code: [590, 592]}}
        sleeper: [{to: sleep_cycler}]
        waiter: [{to: wait_cycler}]
        proxyer: [{to: proxy_cycler}]
        childer: [{to: child_cycler}]
        signaler: [{to: signaler_worker, conditions: {code: 202}}]
      hooks:
        meshflow.flow.signal:
          - to: signaler
            conditions:
              match:
                - {expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}

    - subscribes: meshflow.wait
      activities:
        wait_trigger: {type: trigger}
        wait_hook: {type: hook, job: {maps: {payload: '{$self.hook.data.data}'}}}
      transitions:
        wait_trigger: [{to: wait_hook}]
      hooks:
        meshflow.wfs.signal:
          - to: wait_hook
            conditions:
              match:
                - {expected: '{wait_trigger.output.data.signal}', actual: '{$self.hook.data.id}'}

    - subscribes: meshflow.activity
      activities:
        act_trigger: {type: trigger}
        act_hook: {type: hook, cycle: true}
        act_worker:
          type: worker
          topic: '{act_trigger.output.data.topic}'
          input: {maps: {parent: '{act_trigger.output.data.parent}'}}
          job: {maps: {value: '{$self.output.data.value}'}}
        act_retry:
          type: hook
          sleep:
            '@pipe':
              - ['{act_worker.output.metadata.$error.code}', 599]
              - ['{@math.divide}', 0.05]
              - ['{@math.multiply}']
        act_cycler: {type: cycle, ancestor: act_hook}
      transitions:
        act_trigger: [{to: act_hook}]
        act_hook: [{to: act_worker}]
        act_worker: [{to: act_retry, conditions: {code: 599}}]
        act_retry: [{to: act_cycler}]

    - subscribes: meshflow.child
      activities:
        child_trigger:
          type: trigger
          stats: {id: '{$self.input.data.workflowId}'}
          job: {maps: {value: child-value}}
"""


class Functions:
    """The workers: what a function asks for is its plan, one thing at each call."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.failures = 2

    async def workflow(self, asked: StreamData) -> StreamReply:
        id = asked.data["workflowId"]
        at = self.calls[id]
        self.calls[id] += 1
        plan = asked.data["plan"]
        if at < len(plan):
            step = dict(plan[at])
            return StreamReply({"index": at, **step}, code=step.pop("code"))
        return StreamReply({"done": True, "value": at})

    async def activity(self, asked: StreamData) -> StreamReply:
        self.calls["activity"] += 1
        if self.calls["activity"] <= self.failures:
            return StreamReply({"message": "not yet", "code": 599}, status="error", code=599)
        return StreamReply({"value": f"for {asked.data['parent']}"})


@pytest.fixture
def functions() -> Functions:
    return Functions()


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
async def hot(
    request: pytest.FixtureRequest, redis_url: str, namespace: str, functions: Functions, no_leaks: set[str]
) -> AsyncIterator[HotMesh]:
    no_leaks |= {"app:meshflow", "inseq", "outseq"}
    workers = [("my.workflow", functions.workflow), ("my.activity", functions.activity)]
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(
            await HotMesh.init("meshflow", redis_url, namespace=namespace, partitions=request.param, workers=workers)
        )
        await found.deploy(MODEL)
        await found.activate("1")
        yield found
        await found.interrupt("meshflow.execute", "w", suppress=True)  # its signal-in hook keeps it open
        await found.scrub("w")


async def done(hot: HotMesh, *plan: dict[str, Any]) -> dict[str, Any]:
    payload = {"workflowId": "w", "workflowTopic": "my.workflow", "plan": list(plan), "expire": 60}
    output = await hot.pubsub("meshflow.execute", payload, timeout=15)
    assert output.data is not None and output.data["done"] is True
    assert output.metadata["js"] > 0
    return output.data


async def test_without_interruption(hot: HotMesh, functions: Functions) -> None:
    assert (await done(hot))["value"] == 0
    assert functions.calls["w"] == 1


async def test_a_sleep(hot: HotMesh, functions: Functions) -> None:
    data = await done(hot, {"code": 588, "duration": 0.2})
    assert (data["value"], data["response"]) == (1, {"0": "slept"})
    story = await hot.export("w", flow=True, allow=["timeline"])
    assert story["timeline"] == [{"key": "sleep", "index": 0, "dimension": ",0,0", "value": 0.2}]


async def test_a_signal(hot: HotMesh, functions: Functions, eventually: Eventually) -> None:
    payload = {"workflowId": "w", "workflowTopic": "my.workflow", "plan": [{"code": 595, "signal": "s1"}], "expire": 60}
    await hot.pub("meshflow.execute", payload)
    await hot.hook("meshflow.wfs.signal", {"id": "s1", "data": {"hello": "there"}})

    async def is_done() -> bool:
        data = (await hot.get_state("meshflow.execute", "w")).data
        return data is not None and data["done"] is True

    await eventually(is_done)
    data = (await hot.get_state("meshflow.execute", "w")).data
    assert data is not None and data["response"] == {"0": {"hello": "there"}}


async def test_an_activity_that_fails_twice_first(hot: HotMesh, functions: Functions) -> None:
    data = await done(hot, {"code": 591, "topic": "my.activity"})
    assert (data["response"], functions.calls["activity"]) == ({"0": "for w"}, 3)


async def test_a_child_that_is_not_waited_for(hot: HotMesh, functions: Functions) -> None:
    data = await done(hot, {"code": 590, "await": False, "child": "c"})
    assert data["child"] == "c" and "response" not in data
    await hot.scrub("c")


async def test_a_child_that_is_awaited(hot: HotMesh, functions: Functions) -> None:
    data = await done(hot, {"code": 590, "await": True, "child": "c"})
    assert data["response"] == {"0": "child-value"} and "child" not in data


async def test_one_after_another_each_in_its_slot(hot: HotMesh, functions: Functions) -> None:
    data = await done(
        hot, {"code": 588, "duration": 0.1}, {"code": 591, "topic": "my.activity"}, {"code": 590, "child": "c"}
    )
    assert data["response"] == {"0": "slept", "1": "for w", "2": "child-value"}
    assert functions.calls["w"] == 4


async def test_a_hook_that_stays_open_takes_any_number_of_signals(
    hot: HotMesh, functions: Functions, eventually: Eventually
) -> None:  # fmt: skip
    await done(hot)
    for n in (1, 2, 3):
        await hot.hook("meshflow.flow.signal", {"id": "w", "n": n}, status="pending", code=202)

        async def is_signalled(n: int = n) -> bool:
            data = (await hot.get_state("meshflow.execute", "w")).data
            return data is not None and data.get("signalled") == n

        await eventually(is_signalled)
    await hot.hook("meshflow.flow.signal", {"id": "w"})

    async def is_over() -> bool:
        return await hot.get_status("w") == 0

    await eventually(is_over)
