"""The graphs the fault tests run, and their workers: every type of activity, in one journey.

What a voyage that is given n comes to: `outcome`. It wants one signal from outside, on `voyage.external`, and lights a
beacon, another job, which it interrupts at its end.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from meshdata import HotMesh, MeshData
from meshdata.hotmesh import StreamData, StreamReply

APP = "sea"
MODEL = """
app:
  id: sea
  version: '1'
  graphs:
    - subscribes: voyage
      publishes: voyage.over
      expire: 300
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}, job: {maps: {n: '{$self.input.data.n}'}}}
        w1:
          type: worker
          topic: work.first
          input: {maps: {n: '{t1.output.data.n}'}}
          job: {maps: {first: '{$self.output.data.value}'}}
        h1: {type: hook, job: {maps: {passed: true}}}
        s1:
          type: signal
          subtype: one
          topic: voyage.own
          signal: {maps: {id: '{$job.metadata.jid}', woken: true}}
        h2: {type: hook, job: {maps: {woken: '{$self.hook.data.woken}'}}}
        a1:
          type: await
          topic: leaf
          input: {maps: {n: '{$job.data.n}'}}
          job: {maps: {leaf: '{$self.output.data.value}'}}
        a2: {type: await, topic: beacon, await: false, input: {maps: {id: '{t1.output.data.beacon}'}}}
        h3: {type: hook, sleep: 0.1}
        h4: {type: hook, cycle: true}
        w2:
          type: worker
          topic: work.loop
          job: {maps: {loops: '{$self.output.data.loops}'}}
        c1: {type: cycle, ancestor: h4}
        h5: {type: hook, job: {maps: {external: '{$self.hook.data.n}'}}}
        w3:
          type: worker
          topic: work.last
          input: {maps: {n: '{$job.data.n}'}}
          job: {maps: {last: '{$self.output.data.value}'}}
          retry: {'599': [2]}
        i1: {type: interrupt, topic: beacon, target: '{t1.output.data.beacon}'}
      transitions:
        t1: [{to: w1}]
        w1: [{to: h1}]
        h1: [{to: h2}, {to: s1}]
        h2: [{to: a1}]
        a1: [{to: a2}]
        a2: [{to: h3}]
        h3: [{to: h4}]
        h4: [{to: w2}]
        w2:
          - to: c1
            conditions: {match: [{expected: false, actual: '{$self.output.data.done}'}]}
          - to: h5
            conditions: {match: [{expected: true, actual: '{$self.output.data.done}'}]}
        h5: [{to: w3}]
        w3: [{to: i1}]
      hooks:
        voyage.own:
          - to: h2
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
        voyage.external:
          - to: h5
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
    - subscribes: leaf
      activities:
        t2: {type: trigger}
        w4:
          type: worker
          topic: work.leaf
          input: {maps: {n: '{t2.output.data.n}'}}
          job: {maps: {value: '{$self.output.data.value}'}}
      transitions:
        t2: [{to: w4}]
    - subscribes: poison
      activities:
        t4: {type: trigger}
        w5: {type: worker, topic: work.poison}
      transitions:
        t4: [{to: w5}]
    - subscribes: beacon
      expire: 300
      activities:
        t3: {type: trigger, stats: {id: '{$self.input.data.id}'}, job: {maps: {lit: true}}}
        h6: {type: hook, sleep: 3600}
      transitions:
        t3: [{to: h6}]
"""

LEDGER = {
    "t1": 888_000_001_000_001, "w1": 888_000_001_000_001, "h1": 888_000_001_000_001, "s1": 888_000_001_000_001,
    "h2": 888_000_001_000_001, "a1": 888_000_001_000_001, "a2": 888_000_001_000_001, "h3": 888_000_001_000_001,
    "h4": 889_000_003_000_003, "w2": 888_000_001_000_001, "w2/h4:2": 888_000_001_000_001,
    "c1": 888_000_000_000_000, "c1/h4:1": 888_000_000_000_000, "h5/h4:2": 888_000_001_000_001,
    "w3/h4:2": 888_000_001_000_001, "i1/h4:2": 888_000_001_000_001,
}  # fmt: skip
"""What the ledgers of a voyage come to; that of w3 whatever its tries."""


def outcome(n: int) -> dict[str, Any]:
    """What a voyage that was given n comes to."""
    return {
        "n": n, "first": n, "passed": True, "woken": True, "leaf": 2 * n, "loops": 3, "external": n, "last": n,
    }  # fmt: skip


async def serve(mesh: MeshData, note: Callable[..., None]) -> HotMesh:
    """Be an engine and a worker of the voyages."""

    async def told(asked: StreamData, value: dict[str, Any]) -> dict[str, Any]:
        note("begin", asked.metadata["guid"])
        await asyncio.sleep(0.005)
        note("end", asked.metadata["guid"])
        return value

    async def first(asked: StreamData) -> Any:
        return await told(asked, {"value": asked.data["n"]})

    async def loop(asked: StreamData) -> Any:
        turn = int(asked.metadata["dad"].split(",")[-2])  # of h4, which w2 follows
        return await told(asked, {"loops": turn + 1, "done": turn == 2})

    async def last(asked: StreamData) -> Any:
        value = await told(asked, {"value": asked.data["n"]})
        return value if asked.metadata.get("try") else StreamReply({"message": "not yet"}, "error", 599)

    async def leaf(asked: StreamData) -> Any:
        return await told(asked, {"value": asked.data["n"] * 2})

    async def poison(asked: StreamData) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    workers = [
        ("work.poison", poison),
        ("work.first", first),
        ("work.loop", loop),
        ("work.last", last),
        ("work.leaf", leaf),
    ]
    return await HotMesh.init(APP, mesh, workers=workers)
