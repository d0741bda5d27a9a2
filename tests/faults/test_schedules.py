"""`kill -9` of the processes that keep schedules going: every slot is started, and none twice."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from meshdata import MeshData

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet, Worker

TTL = "5 minutes"
EVERY_MS = 100


class Slots:
    """What became of the slots of one schedule."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.open: Counter[str] = Counter()

    def begun(self) -> Counter[str]:
        """How often the run of each slot began, by the run's id."""
        return Counter(id for _, id in self.fleet.trail.lines("tick"))

    def ended(self, count: int) -> bool:
        """Whether the runs of so many slots are over."""
        begun = self.begun()
        return len(begun) >= count and all(self.is_over(id) for id in begun)

    def is_over(self, id: str) -> bool:
        return self.fleet.header(f"tick:{id}").get("status") == "completed"

    def died(self, victim: Worker) -> None:
        """What a victim was at when it died has to be begun again."""
        self.open.update(
            {id for pid, id in self.fleet.trail.lines("tick") if pid == victim.pid and not self.is_over(id)}
        )

    def assert_counted(self, count: int) -> None:
        """So many slots one after another, and each counted once."""
        begun = self.begun()
        moments = sorted(datetime.fromisoformat(id.partition("@")[2]) for id in begun)
        assert len(begun) == count
        assert {round((b - a).total_seconds() * 1000) for a, b in pairwise(moments)} == {EVERY_MS}, "none is left out"
        assert {self.fleet.record(f"tick:{id}")["ticks"] for id in begun} == {"1"}

    def assert_right(self, count: int) -> None:
        """The same, and each was begun once, unless a process died over it."""
        self.assert_counted(count)
        twice = {id: times for id, times in self.begun().items() if times > 1 + self.open[id]}
        assert not twice, "a run begins again only if its process died over it"


async def schedule(mesh: MeshData, count: int) -> None:
    made = await mesh.schedule(
        "tick", id="a", interval=f"{EVERY_MS} ms", catch_up=True, overlap="allow", max_cycles=count, ttl=TTL
    )
    assert made


async def gone(mesh: MeshData) -> bool:
    return not await mesh.schedules()


@pytest.mark.parametrize("point", ["before slot:4", "after slot:12", "after fire:9"])
async def test_whoever_dies_over_a_slot_another_starts_it_once(fleet: Fleet, point: str) -> None:
    slots = Slots(fleet)
    [victim] = await fleet.start(crash=point)
    async with fleet.client() as mesh:
        await schedule(mesh, 12)
        await victim.died()
        slots.died(victim)
        await fleet.start()
        await fleet.until(lambda: slots.ended(12), what=f"12 slots; there are {slots.begun()}")
        await fleet.until(lambda: gone(mesh), what="the schedule ends")
    slots.assert_right(12)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_slots_survive_workers_killed_at_random(fleet: Fleet) -> None:
    count = 45
    slots = Slots(fleet)
    await fleet.start(3)
    async with fleet.client() as mesh:
        await schedule(mesh, count)
        for wanted in (8, 18, 28):
            await fleet.until(lambda wanted=wanted: len(slots.begun()) >= wanted)
            victim = random.choice([worker for worker in fleet.workers if worker.alive])
            victim.kill()
            slots.died(victim)
            fleet.launch()
        await fleet.until(lambda: slots.ended(count), 60, what=f"{count} slots; there are {len(slots.begun())}")
        await fleet.until(lambda: gone(mesh), what="the schedule ends")
    await fleet.ready(*[worker for worker in fleet.workers if worker.alive])
    slots.assert_right(count)


async def test_a_frozen_process_that_comes_back_counts_nothing_twice(fleet: Fleet) -> None:
    slots = Slots(fleet)
    workers = await fleet.start(2)
    async with fleet.client() as mesh:
        await schedule(mesh, 24)
        for worker in workers:
            seen = len(slots.begun())
            worker.freeze()
            await fleet.until(lambda seen=seen: len(slots.begun()) >= min(seen + 8, 22))
            worker.thaw()
        await fleet.until(lambda: slots.ended(24), what=f"24 slots; there are {slots.begun()}")
    slots.assert_counted(24)


async def test_without_hints_every_slot_is_started_all_the_same(fleet: Fleet) -> None:
    slots = Slots(fleet)
    await fleet.start(2, deaf=True)
    async with fleet.client() as mesh:
        await schedule(mesh, 10)
        await fleet.until(lambda: slots.ended(10), what=f"10 slots; there are {slots.begun()}")
    slots.assert_right(10)
