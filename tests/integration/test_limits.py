"""Limits over all processes: so many at once, so many within a time, for a topic or for each key; who goes first."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from meshdata import MeshCall, MeshData, RetryPolicy, workflow
from meshdata.call.why import why
from meshdata.engine.limits import RateLimit, check_limits
from meshdata.errors import InvalidOptions, JobInterrupted, MeshTimeout
from meshdata.testing import Clock
from tests.integration.conftest import Eventually, OpenMesh


@pytest.fixture(autouse=True)
def kept(no_leaks: set[str]) -> None:
    """The limits themselves stay: they hold while nobody serves."""
    no_leaks.add("limits")


class Crowd:
    """A function that says how many of it there are, and began within a time."""

    def __init__(self) -> None:
        self.inside: Counter[Any] = Counter()
        self.most: Counter[Any] = Counter()
        self.began: list[tuple[float, Any]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def enter(self, n: Any, group: str = "") -> Any:
        self.began.append((time.monotonic(), n))
        self.inside[group] += 1
        self.most[group] = max(self.most[group], self.inside[group])
        try:
            await asyncio.sleep(0.005)
            await self.go.wait()
        finally:
            self.inside[group] -= 1
        return n

    @property
    def order(self) -> list[Any]:
        return [n for _, n in self.began]


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


# --- at once ----------------------------------------------------------------------------------------------------------


async def test_no_more_than_the_limit_run_at_once_in_all_processes(open_mesh: OpenMesh, crowd: Crowd) -> None:
    meshes = [await open_mesh() for _ in range(3)]
    for mesh in meshes:
        await mesh.connect("order", crowd.enter, limit=4)
    calls = [meshes[n % 3].exec("order", args=[n]) for n in range(60)]
    assert await asyncio.gather(*calls) == list(range(60))
    assert crowd.most[""] == 4


async def test_who_waits_goes_in_the_order_in_which_it_came(mesh: MeshData, crowd: Crowd, partitions: int) -> None:
    await mesh.connect("order", crowd.enter, limit=1)
    handles = [await mesh.exec("order", args=[n], wait=False) for n in range(20)]
    await asyncio.gather(*handles)
    if partitions == 1:  # between partitions they come in the order in which they are carried over
        assert crowd.order == list(range(20))
    assert sorted(crowd.order) == list(range(20))


async def test_each_key_has_a_limit_of_its_own(mesh: MeshData, crowd: Crowd) -> None:
    await mesh.connect("order", crowd.enter, limit=2, key=lambda n, group="": group)
    groups = ["ann", "bob", "cy"]
    await asyncio.gather(*(mesh.exec("order", args=[n, groups[n % 3]]) for n in range(45)))
    assert crowd.most == {"ann": 2, "bob": 2, "cy": 2}


async def test_a_caller_that_does_not_know_the_function_names_the_key(open_mesh: OpenMesh, crowd: Crowd) -> None:
    worker, caller = await open_mesh(), await open_mesh()
    await worker.connect("order", crowd.enter, limit=1)
    groups = ["ann", "bob"]
    calls = [caller.exec("order", args=[n, groups[n % 2]], limit_key=groups[n % 2]) for n in range(20)]
    await asyncio.gather(*calls)
    assert crowd.most == {"ann": 1, "bob": 1}


async def test_who_is_queued_and_who_waits_ends_the_same_ways(
    mesh: MeshData, crowd: Crowd, eventually: Eventually
) -> None:
    await mesh.connect("order", crowd.enter, limit=1)
    crowd.go.clear()
    handles = {n: await mesh.exec("order", args=[n], id=n, ttl="1 minute", wait=False) for n in "abcdef"}
    await eventually(lambda: crowd.order == ["a"])
    assert "stands in line" in (await why(mesh.store, "order", "f"))[0]
    assert await mesh.interrupt("order", "b")  # in line
    assert await mesh.cancel("order", "c")
    assert await mesh.flush("order", "d")
    assert await mesh.interrupt("order", "a")  # inside
    crowd.go.set()
    assert await handles["e"] == "e" and await handles["f"] == "f"
    assert sorted(crowd.order) == ["a", "e", "f"]
    with pytest.raises(JobInterrupted):
        await handles["b"]
    assert await mesh.exec("order", args=["d2"], id="d", ttl="1 minute") == "d2"


async def test_a_function_that_fails_frees_its_place_when_it_is_tried_no_more(mesh: MeshData, crowd: Crowd) -> None:
    tries: Counter[int] = Counter()

    async def fails(n: int) -> int:
        tries[n] += 1
        await crowd.enter(n)
        if tries[n] < 3:
            raise ValueError("again")
        return n

    policy = RetryPolicy(max_attempts=3, initial=0.001)
    await mesh.connect("order", fails, limit=2, retry=policy)
    assert await asyncio.gather(*(mesh.exec("order", args=[n]) for n in range(8))) == list(range(8))
    assert crowd.most[""] <= 2 and set(tries.values()) == {3}


async def test_delayed_scheduled_and_child_runs_are_under_the_limit_too(mesh: MeshData, crowd: Crowd) -> None:
    async def parent(count: int) -> list[Any]:
        return await workflow.all_(*(workflow.exec_child("order", [n]) for n in range(count)))

    await mesh.connect("order", crowd.enter, limit=2)
    await mesh.connect("parent", parent)
    delayed = [mesh.exec("order", args=["late"], id=f"l{n}", ttl="1 minute", delay=0.02) for n in range(5)]
    found = await asyncio.gather(mesh.exec("parent", args=[10]), *delayed)
    assert found[0] == list(range(10)) and found[1:] == ["late"] * 5
    assert crowd.most[""] == 2


async def test_hooks_are_under_the_limit_of_their_own_function(mesh: MeshData, crowd: Crowd) -> None:
    await mesh.connect("order", crowd.enter)
    await mesh.connect("order.pack", crowd.enter, limit=1)
    await mesh.exec("order", args=[0], id="o", ttl="1 minute")
    crowd.most.clear()
    handles = [await mesh.hook("order", "o", "order.pack", args=[n]) for n in range(8)]
    assert sorted(await asyncio.gather(*handles)) == list(range(8))
    assert crowd.most[""] == 1


async def test_a_limit_is_changed_and_taken_away_by_whoever_connects_next(open_mesh: OpenMesh, crowd: Crowd) -> None:
    one = await open_mesh()
    await one.connect("order", crowd.enter, limit=1)
    await asyncio.gather(*(one.exec("order", args=[n]) for n in range(5)))
    assert crowd.most[""] == 1
    two = await open_mesh()
    await two.connect("order", crowd.enter, limit=3)
    await asyncio.gather(*(one.exec("order", args=[n]) for n in range(20)))
    assert crowd.most[""] == 3
    three = await open_mesh()
    await three.connect("order", crowd.enter)
    crowd.go.clear()
    calls = [asyncio.ensure_future(one.exec("order", args=[n])) for n in range(20)]
    while crowd.inside[""] < 20:
        await asyncio.sleep(0.005)
    crowd.go.set()
    await asyncio.gather(*calls)


async def test_the_limit_holds_for_what_was_started_while_nobody_served(open_mesh: OpenMesh, crowd: Crowd) -> None:
    worker, caller = await open_mesh(), await open_mesh()
    await worker.connect("order", crowd.enter, limit=2)
    await worker.close()
    handles = [await caller.exec("order", args=[n], wait=False) for n in range(12)]
    later = await open_mesh()
    await later.connect("order", crowd.enter, limit=2)
    assert sorted(await asyncio.gather(*handles)) == list(range(12))
    assert crowd.most[""] == 2


# --- within a time ----------------------------------------------------------------------------------------------------


async def test_no_more_than_the_rate_begin_within_any_time_of_that_length(open_mesh: OpenMesh, crowd: Crowd) -> None:
    meshes = [await open_mesh() for _ in range(2)]
    for mesh in meshes:
        await mesh.connect("order", crowd.enter, rate="5/400 ms")
    calls = [meshes[n % 2].exec("order", args=[n]) for n in range(18)]
    assert await asyncio.gather(*calls) == list(range(18))
    times = [at for at, _ in crowd.began]
    # On a machine that is busy a function begins a while after its message was read.
    assert min(later - earlier for earlier, later in zip(times, times[5:], strict=False)) > 0.2


async def test_a_rate_counts_who_has_begun_and_not_who_is_queued(open_mesh: OpenMesh, crowd: Crowd) -> None:
    caller = await open_mesh()
    worker = await open_mesh()
    await worker.connect("order", crowd.enter, rate=RateLimit(3, per=0.2))
    await worker.close()
    handles = [await caller.exec("order", args=[n], wait=False) for n in range(6)]
    await asyncio.sleep(0.25)  # longer than the rate's time: were they counted from here, all six could begin at once
    later = await open_mesh()
    await later.connect("order", crowd.enter, rate=RateLimit(3, per=0.2))
    await asyncio.gather(*handles)
    times = [at for at, _ in crowd.began]
    assert min(b - a for a, b in zip(times, times[3:], strict=False)) > 0.1


async def test_each_key_has_a_rate_of_its_own(mesh: MeshData, crowd: Crowd) -> None:
    await mesh.connect("order", crowd.enter, rate="2/hour", key=lambda n, group: group)
    groups = ["ann", "bob", "cy"]
    await asyncio.gather(*(mesh.exec("order", args=[n, groups[n % 3]]) for n in range(6)))
    with pytest.raises(MeshTimeout):
        await mesh.exec("order", args=[7, "ann"], id="late", ttl="1 minute", timeout="50 ms")
    assert (await mesh.info("order", "late")).status == "queued"
    assert await mesh.exec("order", args=[8, "dan"]) == 8
    assert await mesh.flush("order", "late")


async def test_a_rate_and_a_limit_hold_together(mesh: MeshData, crowd: Crowd) -> None:
    await mesh.connect("order", crowd.enter, rate="6/100 ms", limit=2)
    await asyncio.gather(*(mesh.exec("order", args=[n]) for n in range(15)))
    times = [at for at, _ in crowd.began]
    assert crowd.most[""] <= 2
    assert min(b - a for a, b in zip(times, times[6:], strict=False)) > 0.03


async def test_a_rate_goes_by_the_clock_that_a_test_sets() -> None:
    clock = Clock()
    begun: list[int] = []

    async def note(n: int) -> int:
        begun.append(n)
        return n

    async with MeshData("fake://", namespace="limits", clock=clock) as mesh:
        await mesh.connect("order", note, rate="3/minute")
        handles = [await mesh.exec("order", args=[n], wait=False) for n in range(7)]
        for count in (3, 6, 7):
            await clock.settle()
            assert begun == list(range(count))
            await clock.advance("1 minute")
        assert await asyncio.gather(*handles) == list(range(7))


# --- priorities -------------------------------------------------------------------------------------------------------


async def test_of_those_in_line_each_priority_gets_its_share(
    mesh: MeshData, crowd: Crowd, eventually: Eventually
) -> None:
    await mesh.connect("order", crowd.enter, limit=1)
    crowd.go.clear()
    first = await mesh.exec("order", args=["first"], wait=False)
    await eventually(lambda: crowd.order == ["first"])
    handles = []
    for _ in range(26):
        for priority in ("low", "normal", "high"):
            handles.append(await mesh.exec("order", args=[priority], priority=priority, wait=False))

    async def all_in_line() -> bool:
        bases = [mesh.store.keys.base(p) for p in range(mesh.store.partitions)]
        lengths = [await mesh.store.command(p, "ZCARD", f"{base}gl:order:") for p, base in enumerate(bases)]
        return sum(lengths) == 78

    await eventually(all_in_line)
    crowd.go.set()
    await asyncio.gather(first, *handles)
    share = Counter(crowd.order[1:27])
    assert abs(share["high"] - 18) <= 1 and abs(share["normal"] - 6) <= 1 and abs(share["low"] - 2) <= 1
    assert Counter(crowd.order[1:]) == {"high": 26, "normal": 26, "low": 26}


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_calls_without_a_job_become_jobs_where_there_is_a_limit(open_mesh: OpenMesh, crowd: Crowd) -> None:
    mesh, other = await open_mesh(), await open_mesh()
    one, two = MeshCall(mesh), MeshCall(other)
    add = await one.connect("add", crowd.enter, limit=2, key=lambda n, group="": group)
    assert await asyncio.gather(*(add(n) for n in range(10)), *(two.exec("add", [n]) for n in range(10))) == [
        *range(10),
        *range(10),
    ]
    assert crowd.most[""] == 2
    assert await two.exec("add", [5], id="five", ttl="1 minute") == await one.exec("add", [6], id="five") == 5
    assert await one.flush("add", id="five")
    assert await two.exec("add", [6], id="five", ttl="1 minute") == 6
    with pytest.raises(InvalidOptions) as refused:
        await two.exec("add", [1], id="x", ttl=1, tags=["t"])
    assert refused.value.argument == "tags"
    assert await two.flush("add", id="five")


async def test_a_call_in_line_is_taken_back_when_its_caller_gives_up(
    mesh: MeshData, crowd: Crowd, eventually: Eventually
) -> None:
    call = MeshCall(mesh)
    await call.connect("add", crowd.enter, limit=1)
    crowd.go.clear()
    first = asyncio.ensure_future(call.exec("add", [1]))
    await eventually(lambda: crowd.order == [1])
    with pytest.raises(MeshTimeout):
        await call.exec("add", [2], timeout="30 ms")
    crowd.go.set()
    assert await first == 1
    assert await call.exec("add", [3]) == 3
    assert crowd.order == [1, 3]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"rate": "fast"}, "rate"), ({"rate": "0/minute"}, "rate"), ({"rate": 5}, "rate"),
        ({"rate": RateLimit(5, "never")}, "rate"), ({"rate": RateLimit(5, 0)}, "rate"), ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"), ({"limit": 1, "key": "n"}, "key"), ({"key": lambda n: n}, "key"),
    ],
)  # fmt: skip
async def test_limits_that_are_none_are_refused(
    mesh: MeshData, crowd: Crowd, options: dict[str, Any], argument: str
) -> None:
    with pytest.raises(InvalidOptions) as refused:
        mesh.connect("order", crowd.enter, **options)
    assert refused.value.argument == argument


async def test_a_key_that_cannot_be_made_or_a_priority_that_is_none_is_refused(mesh: MeshData, crowd: Crowd) -> None:
    await mesh.connect("order", crowd.enter, limit=1, key=lambda n, group="": n.name)
    for options, argument in (({}, "key"), ({"limit_key": ""}, "limit_key"), ({"priority": "first"}, "priority")):
        with pytest.raises(InvalidOptions) as refused:
            await mesh.exec("order", args=[1], **options)
        assert refused.value.argument == argument
    assert crowd.began == []


@pytest.mark.parametrize(
    ("text", "count", "ms"),
    [
        ("100/minute", 100, 60_000), ("5 / 10 seconds", 5, 10_000), ("2 per hour", 2, 3_600_000), ("7/s", 7, 1000),
        ("1/min", 1, 60_000),
    ],
)  # fmt: skip
def test_a_rate_is_read_as_people_write_it(text: str, count: int, ms: int) -> None:
    limits = check_limits(text, None, None)
    assert limits is not None and limits.rate is not None
    assert (limits.rate.count, limits.rate.per_ms) == (count, ms)
