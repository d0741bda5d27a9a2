"""What a query costs beside the same command sent raw; what compiling one costs, and importing the library."""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from bench.harness import NAMESPACE, Bench, apart, lane_of
from bench.report import Line
from meshdata import MeshData
from meshdata.search import Numeric, Record, Tag, Text, avg, count, schema_of, sum_
from meshdata.search.fulltext import compile_query
from meshdata.search.query import bind

BORN_MS = 1_700_000_000_000


class Item(Record, entity="item"):
    """What is searched: ten fields, as many as an order or a user has."""

    id: str
    plan: Annotated[str, Tag(sortable=True)] = "free"
    country: Annotated[str, Tag()] = ""
    bio: Annotated[str, Text()] = ""
    age: Annotated[int, Numeric(sortable=True)] = 0
    price: float = 0
    name: Annotated[str, Tag(index=False)] = ""


SCHEMA = schema_of(Item)


async def queries(bench: Bench) -> list[Line]:
    """Find, aggregate, compile, import."""
    size = bench.size(100_000, 10_000)
    async with MeshData(bench.url, namespace=NAMESPACE, partitions=1) as mesh:
        await mesh.create_index(Item)
        await _write(bench, mesh, size)
        await apart(bench)
        lines = [*(await _find(bench, mesh)), *(await _aggregate(bench, mesh))]
    return [*lines, _compile(), _import()]


async def _find(bench: Bench, mesh: MeshData) -> list[Line]:
    lane = lane_of(mesh)
    query = mesh.find(Item).where((Item.plan == "p7") & Item.age.between(20, 60)).limit(20)
    plan = await query._plan()
    command = plan.command(mesh._store.keys.alias(0, "item"), 0, 20)
    raw, rows, models = await _beside(
        lambda: _awaited(lane.call(*command)),
        lambda: query._fetch(plan, 0, 20),
        lambda: _awaited(query),
        times=bench.size(2_000, 300),
    )
    return [
        Line("find of 20, undecoded", {"raw_us": raw, "us": rows, "ratio": rows / raw}, "<= 1.3 x", rows <= 1.3 * raw),
        Line("find of 20 as models", {"raw_us": raw, "us": models, "ratio": models / raw}, "<= 2 x", models <= 2 * raw),
    ]


async def _aggregate(bench: Bench, mesh: MeshData) -> list[Line]:
    lane = lane_of(mesh)
    alias = mesh._store.keys.alias(0, "item")
    query = mesh.aggregate(Item).group_by(Item.plan).reduce(n=count(), total=sum_(Item.age), mean=avg(Item.age))
    reduced = (
        "COUNT",
        0,
        "AS",
        "n",
        "REDUCE",
        "SUM",
        1,
        "@age",
        "AS",
        "total",
        "REDUCE",
        "AVG",
        1,
        "@age",
        "AS",
        "mean",
    )
    command = ("FT.AGGREGATE", alias, "*", "GROUPBY", 1, "@plan", "REDUCE", *reduced, "LIMIT", 0, 1000, "DIALECT", 2)
    raw, ours = await _beside(lambda: _awaited(lane.call(*command)), lambda: _awaited(query), times=bench.size(40, 20))
    return [Line("aggregate by tag", {"raw_us": raw, "us": ours, "ratio": ours / raw}, "<= 1.2 x", ours <= 1.2 * raw)]


def _compile() -> Line:
    def once() -> None:
        condition = (
            (Item.plan == "pro")
            & (Item.age >= 18)
            & (Item.price < 3.5)
            & Item.country.in_(["de", "fr"])
            & ~Item.bio.match("spam")
        )
        compile_query(bind(condition, SCHEMA))

    us = min(_timed(once, 2_000) for _ in range(7)) * 1e6
    return Line("five-term condition, written and compiled", {"us": us}, "<= 30 us", us <= 30)


def _timed(once: Callable[[], None], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        once()
    return (time.perf_counter() - start) / times


def _import() -> Line:
    with tempfile.TemporaryDirectory() as cache:
        # as an installed package has it: compiled; whatever this shell says of writing bytecode
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}

        def took(words: str) -> float:
            program = f"import time; t = time.process_time(); {words}; print(time.process_time() - t)"
            command = [sys.executable, "-c", program]
            runs = [subprocess.run(command, capture_output=True, check=True, env=environment) for _ in range(8)]
            return min(float(run.stdout) for run in runs) * 1000

        bare, mesh = took("import meshdata"), took("from meshdata import MeshData")
        floor = took("import redis.asyncio, pydantic")
    figures = {"cpu_ms": bare, "with_MeshData_cpu_ms": mesh, "redis_and_pydantic_alone_cpu_ms": floor}
    return Line("import meshdata", figures, "<= 200 ms, MeshData too", bare <= 200 and mesh <= 200)


async def _beside(*calls: Callable[[], Awaitable[Any]], times: int) -> list[float]:
    """The median of each call in microseconds, taken in turns, so that a disturbance falls on all of them."""
    for call in calls:
        for _ in range(10):
            await call()
    took: list[list[float]] = [[] for _ in calls]
    gc.collect()
    for _ in range(times):
        for at, call in enumerate(calls):
            start = time.perf_counter()
            await call()
            took[at].append(time.perf_counter() - start)
    return [sorted(one)[len(one) // 2] * 1e6 for one in took]


async def _awaited(query: Any) -> Any:
    return await query


async def _write(bench: Bench, mesh: MeshData, size: int) -> None:
    keys = mesh._store.keys
    for at in range(0, size, 1_000):
        pipe = bench.redis.pipeline(transaction=False)
        for n in range(at, min(at + 1_000, size)):
            values = {
                "plan": f"p{n % 50}",
                "country": f"c{n % 20}",
                "bio": "red green blue",
                "age": n * 7 % 100,
                "price": n * 0.25,
                "name": f"item {n}",
            }
            setting, _ = SCHEMA.to_hash(values, partial=True)
            system = {"_entity": "item", "_id": f"i{n}", "_rev": 1, "_created": BORN_MS + n, "_updated": BORN_MS + n}
            pipe.hset(keys.record(f"item:i{n}"), mapping={**system, **setting})
        await pipe.execute()
