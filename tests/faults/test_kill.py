"""`kill -9` of workers, at random and at every named crash point: all work is done, and each effect there is once."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet

TTL = "5 minutes"


async def kill_at_random(fleet: Fleet, *, jobs: int, kills: int) -> None:
    """Run `jobs` orders on three workers; now and then kill one and start another in its place."""
    await fleet.start(3)
    in_flight: set[str] = set()
    async with fleet.client() as mesh:
        calls = [
            asyncio.create_task(mesh.exec(entity="order", args=[n, 0.02], id=str(n), ttl=TTL)) for n in range(jobs)
        ]
        for kill in range(kills):
            wanted = jobs * (kill + 1) // (kills + 1)

            async def enough() -> bool:
                return sum(call.done() for call in calls) >= wanted - jobs // (kills + 1) // 2

            while not await enough():
                await asyncio.sleep(0.002)
            victim = random.choice([worker for worker in fleet.workers if worker.alive])
            victim.kill()
            in_flight |= fleet.unrecorded(victim.pid)
            fleet.launch()
        assert await fleet.ended(calls, [f"order:{n}" for n in range(jobs)]) == [6 * n for n in range(jobs)]
    await fleet.ready(*[worker for worker in fleet.workers if worker.alive])
    for n in range(jobs):
        fleet.assert_order_is_right(n)
    again = {key for key, count in fleet.trail.runs().items() if count > 1}
    assert again <= in_flight
    assert sum(count - 1 for count in fleet.trail.runs().values()) <= len(in_flight) * kills
    assert len(fleet.trail.runs()) == 3 * jobs


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_500_jobs_survive_workers_killed_at_random(fleet: Fleet) -> None:
    jobs, kills = (500, 4) if fleet.partitions == 1 else (120, 2)
    await kill_at_random(fleet, jobs=jobs, kills=kills)
