"""What graphs cost in a process: to compile a model, and to map an activity. Nothing is asked of the server."""

import time
from collections.abc import Callable
from typing import Any

from bench.harness import Bench
from bench.report import Line
from meshdata.graph.compiler import compile_app
from meshdata.graph.mapping import compile_maps

ACTIVITIES = 100

_ACTIVITY = """\
        w{n}:
          type: worker
          title: Step {n}
          topic: work.{n}
          input:
            schema: {{type: object, properties: {{id: {{type: string}}, total: {{type: number}}}}}}
            maps:
              id: '{{t1.output.data.id}}'
              customer: {{name: '{{t1.output.data.customer.name}}', city: '{{t1.output.data.customer.city}}'}}
              last: '{{{above}.output.data.result}}'
              greeting:
                '@pipe':
                  - ['{{t1.output.data.customer.name}}', ' ']
                  - ['{{@string.split}}', 0]
                  - ['{{@array.get}}']
              total:
                '@pipe':
                  - ['{{$job.data.total}}', '{{{above}.output.data.result}}']
                  - ['{{@math.add}}', 2]
                  - ['{{@number.toFixed}}']
          job:
            maps:
              total: '{{$self.output.data.total}}'
"""

MAPS: dict[str, Any] = {
    "id": "{t1.output.data.id}",
    "name": "{t1.output.data.customer.name}",
    "city": "{t1.output.data.customer.city}",
    "last": "{w1.output.data.result}",
    "total": "{$job.data.total}",
    "first": {"@pipe": [["{t1.output.data.customer.name}", " "], ["{@string.split}", 0], ["{@array.get}"]]},
    "sum": {"@pipe": [["{$job.data.total}", "{w1.output.data.result}"], ["{@math.add}", 2], ["{@number.toFixed}"]]},
}
"""A typical activity: five references, and two pipes of three rows."""

SCOPE: dict[str, Any] = {
    "t1": {"output": {"data": {"id": "o1", "customer": {"name": "Ada Lovelace", "city": "London"}}}},
    "w1": {"output": {"data": {"result": 3.5}}},
    "$job": {"data": {"total": 17}},
}


def model(activities: int = ACTIVITIES) -> str:
    """A model with so many activities: a trigger, and workers that each follow another, ten to a row."""
    workers = range(1, activities)
    above = {n: "t1" if n % 10 == 1 else f"w{n - 1}" for n in workers}
    written = "".join(_ACTIVITY.format(n=n, above=above[n]) for n in workers)
    edges = "".join(
        f"        w{n - 1}:\n          - to: w{n}\n            conditions:\n              code: [200, 202]\n"
        for n in workers
        if above[n] != "t1"
    )
    edges += "        t1:\n" + "".join(f"          - to: w{n}\n" for n in workers if above[n] == "t1")
    head = "app:\n  id: bench\n  version: '1'\n  graphs:\n    - subscribes: bench.start\n      expire: 60\n"
    trigger = "        t1:\n          type: trigger\n          job: {maps: {total: 0}}\n"
    return f"{head}      activities:\n{trigger}{written}      transitions:\n{edges}"


def _best(times: int, rounds: int, fn: Callable[[], Any]) -> float:
    """Seconds a call took, in the best of some rounds: what others do on the machine only adds."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(times):
            fn()
        best = min(best, (time.perf_counter() - begun) / times)
    return best


async def graphs(bench: Bench) -> list[Line]:
    """Compile a model of 100 activities from its text, and as a process reads it from the store; map an activity."""
    text = model()
    stored = compile_app(text).source
    mapper = compile_maps(MAPS)
    rounds = bench.size(10, 3)
    compile_ms = _best(1, rounds, lambda: compile_app(text)) * 1e3
    stored_ms = _best(1, rounds, lambda: compile_app(stored)) * 1e3
    map_us = _best(bench.size(2_000, 200), rounds, lambda: mapper(SCOPE)) * 1e6
    return [
        Line(
            "graphs: compile 100 activities", {"compile_ms": compile_ms, "stored_ms": stored_ms}, "≤ 200 ms",
            compile_ms <= 200,
        ),
        Line("graphs: map an activity", {"map_us": map_us}, "≤ 60 us", map_us <= 60),
    ]  # fmt: skip
