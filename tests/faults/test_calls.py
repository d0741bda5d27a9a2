"""`kill -9` of the processes that serve calls: each call is answered, and runs again only where its process died."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from meshdata import MeshCall

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet


def begin(call: MeshCall, count: int, pause: float) -> list[asyncio.Task[Any]]:
    """Calls, every second of them by an id that two callers ask for."""
    tasks = []
    for n in range(count):
        options: dict[str, Any] = {"id": f"k{n}", "ttl": "5 minutes"} if n % 2 else {}
        for _ in range(2 if n % 2 else 1):
            made = call.exec("plain", args=[f"k{n}", pause], timeout=50, **options)
            tasks.append(asyncio.create_task(made))
    return tasks


async def assert_answered(fleet: Fleet, tasks: list[asyncio.Task[Any]], count: int, victims: set[int]) -> None:
    async with asyncio.timeout(40):
        answers = Counter(await asyncio.gather(*tasks))
    assert answers == {f"k{n}": 2 if n % 2 else 1 for n in range(count)}
    begun = fleet.trail.lines("begin")
    at_death = Counter(key for pid, key in begun if pid in victims)
    too_often = {key: times for key, times in Counter(key for _, key in begun).items() if times > 1 + at_death[key]}
    assert not too_often


@pytest.mark.slow
async def test_calls_survive_workers_killed_at_random(fleet: Fleet) -> None:
    await fleet.start(3)
    victims = set()
    async with fleet.client() as mesh:
        tasks = begin(MeshCall(mesh), 60, 0.05)
        for kill in range(2):
            await fleet.until(lambda kill=kill: len(fleet.trail.lines("end")) >= 15 * (kill + 1))
            victim = random.choice([worker for worker in fleet.workers if worker.alive])
            victim.kill()
            victims.add(victim.pid)
            fleet.launch()
        await assert_answered(fleet, tasks, 60, victims)
    await fleet.ready(*[worker for worker in fleet.workers if worker.alive])


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_worker_killed_as_it_answers_is_replaced(fleet: Fleet, side: str) -> None:
    [victim] = await fleet.start(crash=f"{side} answer:3")
    async with fleet.client() as mesh:
        tasks = begin(MeshCall(mesh), 8, 0.01)
        await victim.died()
        await fleet.start()
        await assert_answered(fleet, tasks, 8, {victim.pid})
