"""Redis cut off, restarted, robbed of its scripts and of its last moments: everything goes on by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from meshdata.store.embedded import EmbeddedServer

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet

TTL = "5 minutes"


async def work_through(fleet: Fleet, count: int, disturb: Callable[[], Any], *, every_s: float) -> None:
    """Run orders while something disturbs; each runs each activity once, because nobody dies."""
    async with fleet.client() as mesh:
        calls = [
            asyncio.create_task(mesh.exec(entity="order", args=[n, 2 * every_s], id=str(n), ttl=TTL))
            for n in range(count)
        ]
        times = 0
        while not all(call.done() for call in calls) and times < 200:
            disturb()
            times += 1
            await asyncio.wait(calls, timeout=every_s)
        assert times >= 3, "it was disturbed"
        assert await fleet.ended(calls, [f"order:{n}" for n in range(count)], 30) == [6 * n for n in range(count)]
    for n in range(count):
        fleet.assert_order_is_right(n)
    assert set(fleet.trail.runs().values()) == {1}
    assert len(fleet.trail.runs()) == 3 * count


async def test_connections_cut_again_and_again_cost_nothing(fleet: Fleet) -> None:
    await fleet.start(2, life_sign=5)

    def cut() -> None:
        for kind in ("normal", "pubsub"):  # a lane that has subscribed counts as pubsub
            fleet.redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    await work_through(fleet, 60 if fleet.partitions == 1 else 24, cut, every_s=0.15)


async def test_scripts_flushed_in_mid_flight_are_loaded_again(fleet: Fleet) -> None:
    await fleet.start(2, life_sign=5)
    await work_through(fleet, 60 if fleet.partitions == 1 else 24, fleet.redis.script_flush, every_s=0.04)


# --- a server of our own, to kill -------------------------------------------------------------------------------------


class Server:
    """An embedded server that keeps its data, to kill and start again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.embedded = EmbeddedServer(path)

    def start(self) -> None:
        self.embedded.start()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.embedded.url, protocol=3)

    async def kill(self) -> None:
        """kill -9 of the server."""
        with self.client() as client:
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        await self.embedded.astop()

    def lose_the_last(self, size: int) -> None:
        """Cut the log of changes: what a power cut takes from a log that is written every second."""
        [log] = (self.path / "appendonlydir" if (self.path / "appendonlydir").exists() else self.path).rglob(
            "*.incr.aof"
        )
        assert log.stat().st_size > 2 * size
        os.truncate(log, log.stat().st_size - size)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "redis")
    server.start()
    yield server
    await server.embedded.astop()


@pytest.fixture
async def own_fleet(fleet: Fleet, server: Server) -> AsyncIterator[Fleet]:
    """A fleet on a server of its own."""
    fleet.url = server.embedded.url
    with server.client() as client:
        fleet.redis = client
        yield fleet
        await fleet.only_the_living()
        await fleet.stop()
        left = {key.decode() for key in client.scan_iter(match="mesh:*", count=1000) if client.pttl(key) == -1}
        assert {key for key in left if key.rpartition(":")[2] not in ("meta", "outseq", "inseq")} == set()


@pytest.mark.timeout(90)
async def test_redis_killed_and_started_again_costs_nothing(own_fleet: Fleet, server: Server) -> None:
    fleet = own_fleet
    await fleet.start(2, life_sign=8)
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="order", args=[n, 0.2], id=str(n), ttl=TTL)) for n in range(40)]
        await fleet.until(lambda: len(fleet.trail.lines("end")) > 20)
        await server.kill()
        server.start()
        assert await fleet.ended(calls, [f"order:{n}" for n in range(40)], 30) == [6 * n for n in range(40)]
    for n in range(40):
        fleet.assert_order_is_right(n)
    assert set(fleet.trail.runs().values()) == {1}


@pytest.mark.timeout(90)
async def test_redis_away_for_longer_than_a_life_sign_makes_nobody_dead(own_fleet: Fleet, server: Server) -> None:
    fleet = own_fleet
    await fleet.start(2, life_sign=3)
    async with fleet.client() as mesh:
        calls = [asyncio.create_task(mesh.exec(entity="sleeper", args=[n, 6], id=str(n), ttl=TTL)) for n in range(10)]
        await fleet.until(lambda: len(fleet.trail.runs()) == 10)
        await server.kill()
        back = asyncio.get_running_loop().time() + 3.5
        await fleet.until(lambda: asyncio.get_running_loop().time() > back)
        server.start()
        assert await fleet.ended(calls, [f"sleeper:{n}" for n in range(10)], 40) == list(range(10))
    assert set(fleet.trail.runs().values()) == {1}, "nobody was taken for dead"
    assert {fleet.record(f"sleeper:{n}")["steps"] for n in range(10)} == {"1"}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("size", [1_500, 6_000, 20_000])
async def test_runs_go_on_from_what_redis_kept_when_it_lost_its_last_moments(
    own_fleet: Fleet, server: Server, size: int
) -> None:
    """Starts, steps, waits, suspensions and ends are lost; whatever job is left goes on from there to its end."""
    fleet = own_fleet
    await fleet.start(2, life_sign=2, linger=0.1)
    async with fleet.client(life_sign=2) as mesh:
        orders, waiting = [], []
        for n in range(20):
            orders.append(await mesh.exec(entity="order", args=[n, 0.1], id=str(n), ttl=TTL, wait=False))
            waiting.append(await mesh.exec(entity="waits", args=[f"end-{n}"], id=str(n), ttl=TTL, wait=False))
            await fleet.until(lambda n=n: len(fleet.trail.lines("begin")) > n)
            await asyncio.sleep(0.02)  # nothing is waited for: it spreads them over all their phases
        await fleet.until(lambda: fleet.header("order:8").get("status") == "completed")
        await server.kill()
        server.lose_the_last(size)
        server.start()
        with server.client() as client:
            kept = [n for n in range(20) if client.exists(f"{fleet.base(f'order:{n}')}j:order:{n}")]
            waits = [n for n in range(20) if client.exists(f"{fleet.base(f'waits:{n}')}j:waits:{n}")]
        assert len(kept) > 3 and len(waits) > 3
        for n in kept:
            assert await orders[n].result(timeout=20) == 6 * n
        await fleet.ended([asyncio.create_task(ended(fleet, n)) for n in kept], [f"order:{n}" for n in kept], 20)
        for n in waits:
            await mesh.signal(f"end-{n}", n)
            assert await waiting[n].result(timeout=20) == n, fleet.header(f"waits:{n}")
    for n in kept:
        fleet.assert_order_is_right(n)


async def ended(fleet: Fleet, n: int) -> None:
    """The caller may know of an end that Redis lost; it comes again."""
    await fleet.until(lambda: fleet.header(f"order:{n}")["status"] == "completed")


async def test_health_tells_the_truth_throughout(own_fleet: Fleet, server: Server) -> None:
    fleet = own_fleet

    async def nothing() -> None:
        return None

    async with fleet.client(life_sign=1) as mesh:
        health = await mesh.health()
        assert health.ok and not health.serving, health
        await mesh.connect("nothing", nothing)
        health = await mesh.health()
        assert health.ok and health.serving, health
        await server.kill()
        health = await mesh.health()
        assert not health.ok and not health.reachable, health

        async def dead() -> bool:
            return not (await mesh.health()).alive

        await fleet.until(dead, what="its life sign lapses")
        server.start()

        async def well() -> bool:
            return (await mesh.health()).ok

        await fleet.until(well, what="it is well again by itself")
        assert await mesh.exec(entity="nothing", timeout=10) is None
