"""Who goes first where runs wait for a worker: each priority gets its share, and none is left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
import redis

from meshdata import MeshCall, MeshData, MeshFlow
from meshdata.errors import InvalidOptions, JobInterrupted
from tests.integration.conftest import Eventually, OpenMesh


class Line:
    """A function that says who came in which order."""

    def __init__(self) -> None:
        self.order: list[Any] = []

    async def take(self, what: Any) -> Any:
        self.order.append(what)
        return what


@pytest.fixture
def line() -> Line:
    return Line()


async def test_each_priority_gets_its_share_of_a_worker(open_mesh: OpenMesh, line: Line) -> None:
    mesh = await open_mesh(concurrency=1)
    await mesh.connect("order", line.take)
    await mesh.throttle(-1)
    handles = []
    for _ in range(39):
        for priority in ("low", "normal", "high"):
            handles.append(await mesh.exec("order", args=[priority], priority=priority, wait=False))
    await mesh.throttle(0)
    await asyncio.gather(*handles)
    assert Counter(line.order) == {"low": 39, "normal": 39, "high": 39}
    share = Counter(line.order[:52])
    # Of the first normal ones none has a priority before it; between partitions readers take turns.
    assert share["high"] >= 27 and share["normal"] >= 8 and share["low"] >= 2, share


async def test_a_high_one_overtakes_those_that_were_queued_before_there_was_a_line(
    open_mesh: OpenMesh, line: Line
) -> None:
    mesh = await open_mesh(concurrency=1)
    await mesh.connect("order", line.take)
    await mesh.throttle(-1)
    handles = [await mesh.exec("order", args=[n], wait=False) for n in range(80)]
    handles += [await mesh.exec("order", args=["high"], priority="high", wait=False)]
    await mesh.throttle(0)
    await asyncio.gather(*handles)
    assert line.order.index("high") < 60 and len(line.order) == 81


async def test_once_nobody_is_in_line_runs_begin_as_they_come(
    mesh: MeshData, line: Line, keys: Any, redis_client: redis.Redis
) -> None:
    await mesh.connect("order", line.take)
    found = await asyncio.gather(*(mesh.exec("order", args=[n], priority="low") for n in range(20)))
    assert found == list(range(20))
    assert not [key for key in keys() if key.endswith(":limits") or ":gl:" in key or ":gv:" in key]
    handle = await mesh.exec("order", args=[1], id="one", ttl="1 minute", wait=False)
    assert await handle == 1


async def test_who_ends_in_line_is_passed_over(open_mesh: OpenMesh, line: Line, eventually: Eventually) -> None:
    mesh = await open_mesh(concurrency=1)
    await mesh.connect("order", line.take)
    await mesh.throttle(-1)
    handles = {
        n: await mesh.exec("order", args=[n], id=n, ttl="1 minute", priority="high", wait=False) for n in "abcdef"
    }
    assert await mesh.interrupt("order", "a")
    assert await mesh.cancel("order", "b")
    assert await mesh.flush("order", "c")
    again = await mesh.exec("order", args=["c2"], id="c", ttl="1 minute", priority="low", wait=False)
    await mesh.throttle(0)
    assert [await handles[n] for n in "def"] == ["d", "e", "f"] and await again == "c2"
    with pytest.raises(JobInterrupted):
        await handles["a"]
    assert sorted(line.order) == ["c2", "d", "e", "f"]

    async def all_read() -> bool:
        return (await mesh.roll_call(5))[0].depths == {"order": 0}

    await eventually(all_read)  # messages of those who have ended too


async def test_priorities_are_of_delayed_ones_and_of_calls_too(mesh: MeshData, line: Line) -> None:
    call = MeshCall(mesh)
    await call.connect("add", line.take)
    assert await call.exec("add", [1], priority="high") == 1
    assert await mesh.exec("add", [2], id="two", ttl="1 minute", delay=0.01, priority="low") == 2
    assert await asyncio.gather(*(call.exec("add", [n], id=f"n{n}", ttl=60, tags=["t"]) for n in range(5))) == [
        *range(5)
    ]


async def test_a_limit_that_comes_while_there_is_a_line_forgets_nobody(
    open_mesh: OpenMesh, line: Line, eventually: Eventually, no_leaks: set[str]
) -> None:
    no_leaks.add("limits")
    mesh = await open_mesh()
    await mesh.connect("order", line.take)
    await mesh.throttle(-1)
    handles = [await mesh.exec("order", args=[n], priority="low", wait=False) for n in range(5)]
    other = await open_mesh()
    await other.connect("order", line.take, limit=1)
    handles += [await mesh.exec("order", args=[n], wait=False) for n in range(5, 10)]
    await mesh.throttle(0)
    assert sorted(await asyncio.gather(*handles)) == list(range(10))


async def test_a_started_workflow_may_have_a_priority(open_mesh: OpenMesh, line: Line) -> None:
    mesh = await open_mesh(concurrency=1)
    client = MeshFlow.Client(mesh)
    async with MeshFlow.Worker(mesh, queue="work", workflows=[line.take]):
        await mesh.throttle(-1)
        options = [("low", n) for n in range(10)] + [("high", n) for n in range(10, 20)]
        handles = [await client.start("take", [n], queue="work", priority=priority) for priority, n in options]
        await mesh.throttle(0)
        assert await asyncio.gather(*(handle.result(timeout=20) for handle in handles)) == list(range(20))
    first = line.order[:10]
    assert sum(n >= 10 for n in first) >= 6, first
    with pytest.raises(InvalidOptions):
        await client.start("take", [1], queue="work", priority="first")  # type: ignore[call-overload] # on purpose
