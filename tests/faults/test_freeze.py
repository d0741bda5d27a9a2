"""A worker that stands still past its life sign (SIGSTOP, a pause of its machine) and goes on later: it writes nothing
of what it held, and serves again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from meshdata.errors import JobNotFound

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet

TTL = "5 minutes"


def everything(fleet: Fleet, jobs: list[str]) -> dict[str, Any]:
    """All that is stored of some jobs."""
    return {job: (fleet.header(job), fleet.record(job), fleet.journal(job)) for job in jobs}


async def test_a_frozen_worker_writes_nothing_of_what_it_held_and_serves_on(fleet: Fleet) -> None:
    frozen, other = await fleet.start(2)
    jobs = [f"sleeper:{n}" for n in range(12)]
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="sleeper", args=[n, 0.4], id=str(n), ttl=TTL)) for n in range(12)]
        await fleet.until(lambda: len(fleet.trail.runs()) == 12)
        held = {key for pid, key in fleet.trail.lines("begin") if pid == frozen.pid}
        assert held, "the frozen worker holds some"
        frozen.freeze()
        # Some of these are given to the frozen worker: its read is still under way at the server.
        late = [asyncio.create_task(mesh.exec(entity="order", args=[n], id=str(n), ttl=TTL)) for n in range(20)]
        assert await fleet.ended(calls, jobs, 20) == list(range(12))
        orders = [f"order:{n}" for n in range(20)]
        assert await fleet.ended(late, orders, 20) == [6 * n for n in range(20)]
        before = everything(fleet, jobs + orders)
        frozen.thaw()
        # Its activities end now, and it writes their outcomes: in vain.
        await fleet.until(lambda: held <= {key for pid, key in fleet.trail.lines("end") if pid == frozen.pid})
        await fleet.until(lambda: frozen.process in fleet.signs(), what="it has a life sign again")
        other.popen.terminate()
        await fleet.until(lambda: not other.alive)
        assert await mesh.exec(entity="order", args=[100], id="100", ttl=TTL, timeout=20) == 600, "it serves on, alone"
    assert everything(fleet, jobs + orders) == before
    for n in range(12):
        assert fleet.record(f"sleeper:{n}")["steps"] == "1"
        fleet.assert_outcomes_once(f"sleeper:{n}")
    for n in range(20):
        fleet.assert_order_is_right(n)


async def test_what_a_frozen_worker_was_given_last_is_taken_from_it_even_if_it_never_wakes(fleet: Fleet) -> None:
    [frozen] = await fleet.start()
    frozen.freeze()
    async with fleet.client() as mesh:
        # Its read is under way: the server gives it these.
        calls = [asyncio.create_task(mesh.exec(entity="order", args=[n], id=str(n), ttl=TTL)) for n in range(4)]
        await fleet.until(lambda: all(fleet.header(f"order:{n}") for n in range(4)))
        await fleet.start()
        assert await fleet.ended(calls, [f"order:{n}" for n in range(4)], 20) == [6 * n for n in range(4)]
    frozen.kill()
    assert not [line for line in fleet.trail.lines("begin") if line[0] == frozen.pid]


async def test_a_frozen_worker_writes_nothing_into_a_job_begun_anew_under_the_same_id(fleet: Fleet) -> None:
    [frozen] = await fleet.start()
    async with fleet.client() as mesh:
        old = asyncio.create_task(mesh.exec(entity="sleeper", args=[1, 0.3], id="a", ttl=TTL))
        await fleet.until(fleet.trail.runs)
        frozen.freeze()
        await mesh.flush("sleeper", "a")
        [result] = await asyncio.gather(old, return_exceptions=True)
        assert isinstance(result, JobNotFound)
        new = asyncio.create_task(mesh.exec(entity="sleeper", args=[2, 1.0], id="a", ttl=TTL))
        await fleet.until(lambda: fleet.header("sleeper:a"))
        frozen.thaw()
        assert await asyncio.wait_for(new, 20) == 2
    assert fleet.record("sleeper:a")["steps"] == "1"
    fleet.assert_outcomes_once("sleeper:a")
