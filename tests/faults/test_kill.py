"""`kill -9` of workers, at random and at every named crash point: all work is done, and each effect there is once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import JobCancelled, JobFailed, JobInterrupted
from meshdata.store.crash import VARIABLE

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet

ROOT = Path(__file__).parents[2]

TTL = "5 minutes"


async def kill_at_random(fleet: Fleet, *, jobs: int, kills: int) -> None:
    """Run `jobs` orders on three workers; now and then kill one and start another in its place."""
    await fleet.start(3)
    in_flight: Counter[str] = Counter()
    async with fleet.client() as mesh:
        calls = [
            asyncio.create_task(mesh.exec(entity="order", args=[n, 0.02], id=str(n), ttl=TTL)) for n in range(jobs)
        ]
        for kill in range(kills):
            wanted = jobs * (2 * kill + 1) // (2 * kills + 2)
            await fleet.until(lambda wanted=wanted: sum(call.done() for call in calls) >= wanted)
            victim = random.choice([worker for worker in fleet.workers if worker.alive])
            victim.kill()
            in_flight.update(fleet.unrecorded(victim.pid))
            fleet.launch()
        assert await fleet.ended(calls, [f"order:{n}" for n in range(jobs)]) == [6 * n for n in range(jobs)]
    await fleet.ready(*[worker for worker in fleet.workers if worker.alive])
    for n in range(jobs):
        fleet.assert_order_is_right(n)
    runs = fleet.trail.runs()
    assert len(runs) == 3 * jobs
    too_often = {key: count for key, count in runs.items() if count > 1 + in_flight[key]}
    assert not too_often, "an activity runs again only if it was in flight at a kill, once for each"


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_500_jobs_survive_workers_killed_at_random(fleet: Fleet) -> None:
    jobs, kills = (500, 4) if fleet.partitions == 1 else (120, 2)
    await kill_at_random(fleet, jobs=jobs, kills=kills)


# --- every named crash point ------------------------------------------------------------------------------------------

JOURNEYS = 6


async def begin_journeys(mesh: MeshData, jobs: range) -> list[asyncio.Task[Any]]:
    """Start journeys, and send each the signal it will wait for: before its waiter is there, or after."""
    calls = []
    for n in jobs:
        retry = RetryPolicy(max_attempts=3, initial=0.05)
        calls.append(asyncio.create_task(mesh.exec(entity="journey", args=[n], id=str(n), ttl=TTL, retry=retry)))
    return calls


def assert_journey_is_right(fleet: Fleet, n: int) -> None:
    """A `journey` that was given n did all it should, once."""
    job = f"journey:{n}"
    header, record = fleet.header(job), fleet.record(job)
    assert (header["status"], header["result"]) == ("completed", str(5 * n)), header
    assert (record["steps"], record["_status"]) == ("5", "completed"), record
    fleet.assert_outcomes_once(job)
    [child] = [entry.name for entry in fleet.journal(job) if entry.kind == "child"]
    assert fleet.record(child)["leaves"] == "1"
    fleet.assert_outcomes_once(child)
    assert not [name for name in header if name.startswith(("w:", "c:", "k:"))], header


FIRE_POINT = "fire"
WORKER_POINTS = ["step:9", "finish:2", "again:2", "suspend:2", "lease:3", "beat:3", FIRE_POINT, "reply:2"]
RELAY_POINTS = ["relay:3", "relayed:3"]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", WORKER_POINTS + RELAY_POINTS)
async def test_a_worker_killed_at_a_crash_point_is_replaced(fleet: Fleet, point: str, side: str) -> None:
    if point in RELAY_POINTS and fleet.partitions == 1:
        pytest.skip("there is nothing to relay with one partition")
    if point == FIRE_POINT:  # each partition's poller has fired, in vain, before a worker is ready
        point = f"fire:{3 + fleet.partitions}"
    [victim] = await fleet.start(crash=f"{side} {point}")
    async with fleet.client() as mesh:
        calls = await begin_journeys(mesh, range(JOURNEYS))
        for n in range(0, JOURNEYS, 2):
            await mesh.signal(f"go-{n}", n)
        for n in range(1, JOURNEYS, 2):
            await fleet.until(lambda n=n: not victim.alive or waits_for_signal(fleet, f"journey:{n}"))
            await mesh.signal(f"go-{n}", n)
        await victim.died()
        in_flight = fleet.unrecorded(victim.pid)
        await fleet.start()
        values = await fleet.ended(calls, [f"journey:{n}" for n in range(JOURNEYS)], 20)
    assert values == [5 * n for n in range(JOURNEYS)]
    for n in range(JOURNEYS):
        assert_journey_is_right(fleet, n)
    again = {key for key, count in fleet.trail.runs().items() if count > 1}
    assert again <= in_flight


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_worker_killed_while_a_job_goes_on_as_a_new_run_is_replaced(fleet: Fleet, side: str) -> None:
    [victim] = await fleet.start(crash=f"{side} renew:4")
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="rounds", args=[n], id=str(n), ttl=TTL)) for n in range(5)]
        await victim.died()
        in_flight = fleet.unrecorded(victim.pid)
        await fleet.start()
        assert await fleet.ended(calls, [f"rounds:{n}" for n in range(5)], 20) == [4 * n for n in range(5)]
    for n in range(5):
        assert fleet.record(f"rounds:{n}")["steps"] == "4"
        assert fleet.header(f"rounds:{n}")["runs"] == "4"
        assert len(fleet.journal(f"rounds:{n}")) == 3
    runs = fleet.trail.runs()
    assert len(runs) == 5 * 4
    assert {key for key, count in runs.items() if count > 1} <= in_flight


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", ["step:18", "finish:2"])
async def test_a_worker_killed_while_cancelled_jobs_clean_up_is_replaced(fleet: Fleet, point: str, side: str) -> None:
    [victim] = await fleet.start(crash=f"{side} {point}")
    async with fleet.client() as mesh:
        handles = [await mesh.exec(entity="rental", args=[n], id=str(n), ttl=TTL, wait=False) for n in range(5)]
        for n in range(5):
            await fleet.until(lambda n=n: waits_for_signal(fleet, f"rental:{n}"))
        assert await asyncio.gather(*(handle.cancel(f"no {n}") for n, handle in enumerate(handles))) == [True] * 5
        await victim.died()
        in_flight = fleet.unrecorded(victim.pid)
        await fleet.start()
        ends = await asyncio.wait_for(asyncio.gather(*handles, return_exceptions=True), 20)
    assert [(type(end), getattr(end, "reason", "")) for end in ends] == [(JobCancelled, f"no {n}") for n in range(5)]
    for n in range(5):
        record = fleet.record(f"rental:{n}")
        assert (record["taken"], record["given_back"], record["_status"]) == ("1", "1", "interrupted")
        assert sum(entry.kind == "cancel" for entry in fleet.journal(f"rental:{n}")) == 1
    runs = fleet.trail.runs()
    assert len(runs) == 5 * 2
    assert {key for key, count in runs.items() if count > 1} <= in_flight


def waits_for_signal(fleet: Fleet, job: str) -> bool:
    return any(name.startswith("w:") and " go-" in value for name, value in fleet.header(job).items())


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_worker_killed_while_it_joins_is_replaced(fleet: Fleet, side: str) -> None:
    victim = fleet.launch(crash=f"{side} join:3")
    await victim.died()
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="order", args=[n], id=str(n), ttl=TTL)) for n in range(5)]
        await fleet.start()
        assert await fleet.ended(calls, [f"order:{n}" for n in range(5)], 20) == [6 * n for n in range(5)]


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_worker_killed_while_it_leaves_is_replaced(fleet: Fleet, side: str) -> None:
    [victim] = await fleet.start(crash=f"{side} leave:1")
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="sleeper", args=[n, 0.3], id=str(n), ttl=TTL)) for n in range(5)]
        await fleet.until(lambda: len(fleet.trail.runs()) == 5)
        os.kill(victim.pid, signal.SIGTERM)
        await victim.died()
        await fleet.start()
        assert await fleet.ended(calls, [f"sleeper:{n}" for n in range(5)], 20) == list(range(5))
    for n in range(5):
        assert fleet.record(f"sleeper:{n}")["steps"] == "1"


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_worker_killed_while_it_takes_over_is_replaced(fleet: Fleet, side: str) -> None:
    [first] = await fleet.start()
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="order", args=[n, 0.1], id=str(n), ttl=TTL)) for n in range(8)]
        await fleet.until(lambda: len(fleet.trail.runs()) >= 8)
        first.kill()
        in_flight = fleet.unrecorded(first.pid)
        [second] = await fleet.start(crash=f"{side} take_over:1")
        await second.died()
        in_flight |= fleet.unrecorded(second.pid)
        await fleet.start()
        assert await fleet.ended(calls, [f"order:{n}" for n in range(8)], 20) == [6 * n for n in range(8)]
    for n in range(8):
        fleet.assert_order_is_right(n)
    assert {key for key, count in fleet.trail.runs().items() if count > 1} <= in_flight


@pytest.mark.timeout(90)
async def test_a_take_over_comes_within_two_life_signs(fleet: Fleet) -> None:
    life_sign = 1.5
    victim, _ = await fleet.start(2, life_sign=life_sign)
    other = fleet.workers[1]
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="sleeper", args=[n, 1.0], id=str(n), ttl=TTL)) for n in range(6)]
        # The lease of a run whose first activity is long is taken by a life sign; a young run is held by its message.
        await fleet.until(lambda: len(fleet.trail.runs()) == 6)
        held = {key for pid, key in fleet.trail.lines("begin") if pid == victim.pid}
        victim.kill()
        died = asyncio.get_running_loop().time()

        def taken_over() -> bool:
            return held <= {key for pid, key in fleet.trail.lines("begin") if pid == other.pid}

        await fleet.until(taken_over, 2 * life_sign + 5, what="everything the dead worker held runs again")
        assert asyncio.get_running_loop().time() - died < 2 * life_sign
        assert await fleet.ended(calls, [f"sleeper:{n}" for n in range(6)], 20) == list(range(6))


# --- crash points of callers ------------------------------------------------------------------------------------------

CALLER = """
import asyncio, json, sys
from meshdata import MeshData

async def main(url, namespace, partitions):
    async with MeshData(url, namespace=namespace, partitions=partitions) as mesh:
        await mesh.exec(entity="held", args=[1], id="a", ttl="1 minute", wait=False)
        await mesh.signal("go", 5)
        await mesh.hook(entity="held", id="a", hook_entity="held.mark", args=[2])
        await mesh.set("held", "a", {"colour": "red"})
        await mesh.interrupt("held", "a", reason="enough")
        await mesh.flush("held", "a")

asyncio.run(main(*json.loads(sys.argv[1])))
"""
CALLER_POINTS = ["start", "signal", "hook", "change", "interrupt_job", "flush_job"]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", CALLER_POINTS)
async def test_a_caller_killed_at_a_crash_point_has_done_the_whole_call_or_none_of_it(
    fleet: Fleet, point: str, side: str
) -> None:
    facts = json.dumps([fleet.url, fleet.namespace, fleet.partitions])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: f"{side} {point}"}
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALLER, facts, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    assert await asyncio.wait_for(caller.wait(), 20) == -signal.SIGKILL
    done = CALLER_POINTS.index(point) + (side == "after")
    header, record = fleet.header("held:a"), fleet.record("held:a")
    line = fleet.redis.lrange(f"{fleet.keys.base(fleet.keys.partition('go'))}sig:go", 0, -1)
    assert line == ([b"p 5"] if done >= 2 else [])
    if done in (0, 6):
        assert header == record == {}
    else:
        assert header["status"] == ("interrupted" if done == 5 else "queued")
        assert header.get("hooks", "0") == ("1" if done in (3, 4) else "0")
        assert record.get("colour") == ("red" if done >= 4 else None)
        assert [entry.kind for entry in fleet.journal("held:a")][:1] == ["start"]
        assert [entry.kind for entry in fleet.journal("held:a", "1")][:1] == ["start"] * (done >= 3)
    async with fleet.client() as mesh:  # whoever comes next finds a mesh that works
        mesh.connect("held", held)
        mesh.connect("held.mark", held_mark)
        if done in (0, 6):
            assert await mesh.exec(entity="held", args=[1], id="a", ttl="1 minute") == 1
        elif done < 5:
            assert await mesh.handle("held", "a").result(timeout=10) == 1
        else:
            with pytest.raises(JobInterrupted, match="enough"):
                await mesh.handle("held", "a").result(timeout=10)
        # What was queued for runs that were interrupted or flushed is void, and is cleared away when it is read.
        await fleet.until(lambda: not waiting_messages(fleet, "held") and not waiting_messages(fleet, "held.mark"))
        if done in (3, 4):
            assert await mesh.all("held", "a") == {"marks": "2"} | ({"colour": "red"} if done == 4 else {})
        await mesh.flush("held", "a")


async def held(n: int) -> int:
    return n


async def held_mark(by: int) -> int:
    return int(await workflow.state.incr("marks", by))


def waiting_messages(fleet: Fleet, topic: str) -> int:
    """Messages of a topic nobody has consumed."""
    streams = [f"{fleet.keys.base(p)}{kind}:{topic}" for p in range(fleet.partitions) for kind in "qc"]
    return sum(fleet.redis.xlen(stream) for stream in streams)


# --- runs that kill whoever runs them ---------------------------------------------------------------------------------

DEATHS = 5


@pytest.mark.parametrize("entity", ["poison", "poison_at_once"])
@pytest.mark.timeout(90)
async def test_a_run_that_kills_every_worker_ends_in_the_dead_letters(
    fleet: Fleet, entity: str, no_leaks: set[str]
) -> None:
    """After its first step, and before."""
    no_leaks.add("dead")
    async with fleet.client() as mesh:
        call = asyncio.create_task(mesh.exec(entity=entity, args=[7], id="7", ttl=TTL))
        for _ in range(DEATHS):
            await fleet.launch(life_sign=0.3).died()
        await fleet.start(life_sign=0.3)
        with pytest.raises(JobFailed, match="each of 5 processes that ran it died") as caught:
            await asyncio.wait_for(call, 20)
        assert (caught.value.code, caught.value.type) == (999, "Undeliverable")
        assert fleet.header(f"{entity}:7")["status"] == "failed"
        assert "dead letters" in fleet.record(f"{entity}:7")["_error"]
        assert await mesh.exec(entity="order", args=[1], id="1", ttl=TTL) == 6, "the last worker lives and works"
    [letter] = dead_letters(fleet)
    assert letter[b"run"] == f"0 {entity}:7".encode()
    assert json.loads(letter[b"body"])["a"] == [7]
    assert b"died" in letter[b"error"]
    assert (letter[b"topic"], letter[b"name"], letter[b"hookable"]) == (entity.encode(), entity.encode(), b"1")


@pytest.mark.timeout(90)
async def test_an_activity_that_kills_every_worker_of_its_queue_ends_in_the_dead_letters(
    fleet: Fleet, no_leaks: set[str]
) -> None:
    no_leaks.add("dead")
    await fleet.start(serves=("asks_for_poison",), life_sign=0.3)
    async with fleet.client() as mesh:
        call = asyncio.create_task(mesh.exec(entity="asks_for_poison", args=[7], id="7", ttl=TTL))
        for _ in range(DEATHS):
            await fleet.launch(serves=("far",), life_sign=0.3).died()
        assert "each of 5 processes that ran it died" in await asyncio.wait_for(call, 20)
    [letter] = dead_letters(fleet)
    assert letter[b"run"] == b"0 asks_for_poison:7"
    assert json.loads(letter[b"body"])["a"] == [7]


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_what_kills_its_workers_does_not_take_others_to_the_dead_letters_with_it(
    fleet: Fleet, no_leaks: set[str]
) -> None:
    no_leaks.add("dead")
    orders, sleepers = (20, 6) if fleet.partitions == 1 else (10, 4)
    await fleet.start(life_sign=0.3)
    async with fleet.client() as mesh:
        calls = [
            asyncio.create_task(mesh.exec(entity="order", args=[n, 0.1], id=str(n), ttl=TTL)) for n in range(orders)
        ]
        waiting = [
            asyncio.create_task(mesh.exec(entity="waits", args=[f"end-{n}"], id=str(n), ttl=TTL))
            for n in range(sleepers)
        ]
        await fleet.until(lambda: len(fleet.trail.runs()) >= orders)
        bad = asyncio.create_task(mesh.exec(entity="poison_at_once", args=[0], id="0", ttl=TTL))
        while not bad.done():
            await fleet.until(lambda: bad.done() or not any(worker.alive for worker in fleet.workers))
            if not bad.done():
                fleet.launch(life_sign=0.3)
        with pytest.raises(JobFailed, match="died"):
            await bad
        assert await fleet.ended(calls, [f"order:{n}" for n in range(orders)], 60) == [6 * n for n in range(orders)]
        for n in range(sleepers):
            await mesh.signal(f"end-{n}", n)
        assert await fleet.ended(waiting, [f"waits:{n}" for n in range(sleepers)], 60) == list(range(sleepers))
    assert [letter[b"run"] for letter in dead_letters(fleet)] == [b"0 poison_at_once:0"]


def dead_letters(fleet: Fleet) -> list[dict[bytes, bytes]]:
    return [entry for p in range(fleet.partitions) for _, entry in fleet.redis.xrange(fleet.keys.dead(p))]


@pytest.mark.timeout(90)
async def test_a_run_that_gets_on_between_deaths_is_not_blamed_for_them(fleet: Fleet) -> None:
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="order", args=[n, 0.25], id=str(n), ttl=TTL)) for n in range(3)]
        for death in range(3):
            [victim] = await fleet.start(life_sign=0.3)
            # Each worker gets every run on by one activity, and no further.
            await fleet.until(lambda death=death: all(ends(fleet, f"order:{n}") > death for n in range(3)))
            victim.kill()
        assert all(int(fleet.header(f"order:{n}").get("deaths", 0)) <= 1 for n in range(3))
        await fleet.start(life_sign=0.3)
        assert await fleet.ended(calls, [f"order:{n}" for n in range(3)], 20) == [6 * n for n in range(3)]


def ends(fleet: Fleet, job: str) -> int:
    return sum(entry.kind == "activity" and entry.is_final for entry in fleet.journal(job))
