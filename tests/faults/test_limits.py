"""`kill -9` of who holds a place under a limit: none is lost, none given twice, and nobody in line is forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet

TTL = "5 minutes"
SERVES = ("limited",)


def places(fleet: Fleet) -> int:
    """Runs that are counted, or in line, by the store."""
    bases = [fleet.keys.base(partition) for partition in range(fleet.partitions)]
    return sum(fleet.redis.scard(f"{b}gs:limited:") + fleet.redis.zcard(f"{b}gl:limited:") for b in bases)


def most_at_once(fleet: Fleet) -> int:
    """How many different runs were inside at any time; one that began again after a death is one."""
    inside: set[str] = set()
    most = 0
    for line in fleet.trail.path.read_text().splitlines():
        event, _, fact = line.split(" ", 2)
        if event == "inside":
            inside.add(fact)
            most = max(most, len(inside))
        elif event == "outside":
            inside.discard(fact)
    return most


@pytest.fixture(autouse=True)
def kept(no_leaks: set[str]) -> None:
    no_leaks.add("limits")


async def work_is_done(fleet: Fleet, jobs: int) -> None:
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec("limited", args=[n], id=str(n), ttl=TTL)) for n in range(jobs)]
        if fleet.workers[0].alive:
            await fleet.until(lambda: len(fleet.trail.lines("inside")) >= 3)
            fleet.workers[0].kill()
        assert await fleet.ended(calls, [f"limited:{n}" for n in range(jobs)]) == list(range(jobs))
    for n in range(jobs):
        assert fleet.record(f"limited:{n}")["steps"] == "1"
        fleet.assert_outcomes_once(f"limited:{n}")
    assert most_at_once(fleet) <= 2
    await fleet.until(lambda: places(fleet) == 0)


async def test_the_place_of_a_process_that_was_killed_goes_to_who_takes_over(fleet: Fleet) -> None:
    await fleet.start(1, serves=SERVES, concurrency=2)
    fleet.launch(serves=SERVES)
    await fleet.ready(*fleet.workers)
    await work_is_done(fleet, 16)


@pytest.mark.parametrize("point", ["before finish:3", "after finish:3", "before step:4", "after step:4"])
async def test_a_death_at_any_step_of_who_holds_a_place_loses_none(fleet: Fleet, point: str) -> None:
    await fleet.start(1, serves=SERVES, crash=point)
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec("limited", args=[n], id=str(n), ttl=TTL)) for n in range(10)]
        await fleet.workers[0].died()
        await fleet.start(1, serves=SERVES)
        assert await fleet.ended(calls, [f"limited:{n}" for n in range(10)]) == list(range(10))
    assert most_at_once(fleet) <= 2
    await fleet.until(lambda: places(fleet) == 0)


async def test_a_death_while_places_are_carried_between_partitions_loses_none(fleet: Fleet) -> None:
    if fleet.partitions == 1:
        pytest.skip("nothing is carried")
    await fleet.start(1, serves=SERVES, crash="before relay:4")
    fleet.launch(serves=SERVES, crash="after relay:5")
    fleet.launch(serves=SERVES)
    await fleet.ready(fleet.workers[2])
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec("limited", args=[n], id=str(n), ttl=TTL)) for n in range(12)]
        assert await fleet.ended(calls, [f"limited:{n}" for n in range(12)]) == list(range(12))
    assert most_at_once(fleet) <= 2
    await fleet.until(lambda: places(fleet) == 0)


async def test_who_stands_in_line_by_priority_outlives_the_deaths_of_those_who_read(fleet: Fleet) -> None:
    await fleet.start(2, serves=("order",), crash="before pick:4")
    await fleet.start(1, serves=("order",), crash="after pick:3")
    async with fleet.client() as mesh:
        kinds = ("high", "normal", "low")
        calls = [
            asyncio.create_task(mesh.exec("order", args=[n], id=str(n), ttl=TTL, priority=kinds[n % 3]))
            for n in range(24)
        ]
        await fleet.workers[2].died()
        fleet.launch(serves=("order",))
        assert await fleet.ended(calls, [f"order:{n}" for n in range(24)]) == [6 * n for n in range(24)]
    for n in range(24):
        fleet.assert_order_is_right(n)
