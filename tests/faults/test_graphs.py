"""`kill -9` of processes that carry out graphs: every voyage ends as it should, and each effect is there once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from meshdata import HotMesh
from meshdata.errors import JobFailed
from meshdata.store.crash import VARIABLE
from tests.faults.voyage import APP, LEDGER, MODEL, outcome

if TYPE_CHECKING:
    from tests.faults.conftest import Fleet

ROOT = Path(__file__).parents[2]
POINTS = [
    "graph_reply:3",
    "graph_reply:11",
    "graph_commit:2",
    "graph_commit:9",
    "graph_commit:20",
    "graph_lease:2",
    "fire",
]


async def client(fleet: Fleet, no_leaks: set[str]) -> HotMesh:
    """A process that only starts and looks."""
    no_leaks |= {f"app:{APP}"}
    mesh = fleet.client()
    await mesh.start()
    hot = await HotMesh.init(APP, mesh, readonly=True)
    await hot.deploy(MODEL)
    await hot.activate("1")
    return hot


def state(fleet: Fleet, id: str) -> dict[str, bytes]:
    raw = fleet.redis.hgetall(f"{fleet.base(f'{APP}:{id}')}g:{APP}:{id}")
    return {name.decode(): value for name, value in raw.items()}


def assert_voyage_is_right(fleet: Fleet, n: int) -> None:
    """A voyage did all it should, once."""
    found = state(fleet, str(n))
    assert orjson.loads(found["$"]) == outcome(n)
    assert found[":"] == b"0"
    ledgers = {name[2:]: int(value) for name, value in found.items() if name.startswith("l:")}
    assert {name: ledgers[name] for name in LEDGER} == LEDGER
    header = fleet.header(f"{APP}:{n}")
    assert header["status"] == "completed"
    assert not [name for name in header if name.startswith(("w:", "k:"))], header


async def sail(fleet: Fleet, hot: HotMesh, count: int) -> list[asyncio.Task[Any]]:
    """Begin voyages; the signals that they want are sent before their waits, and after."""
    calls = []
    for n in range(count):
        if n % 2:
            await hot.hook("voyage.external", {"id": str(n), "n": n})
        payload = {"id": str(n), "n": n, "beacon": f"beacon {n}"}
        calls.append(asyncio.create_task(hot.pubsub("voyage", payload, timeout="2 minutes")))
    return calls


async def signal_the_others(fleet: Fleet, hot: HotMesh, count: int) -> None:
    for n in range(0, count, 2):
        await fleet.until(lambda n=n: b"loops" in state(fleet, str(n)).get("$", b""))
        await hot.hook("voyage.external", {"id": str(n), "n": n})


async def finish(fleet: Fleet, calls: list[asyncio.Task[Any]]) -> None:
    await asyncio.wait(calls, timeout=40)
    stuck = {n: (fleet.header(f"{APP}:{n}"), state(fleet, str(n))) for n, call in enumerate(calls) if not call.done()}
    assert not stuck, f"{len(stuck)} did not end: {dict(list(stuck.items())[:2])}\n{fleet.workers[-1].words()}"
    for n, output in enumerate(await asyncio.gather(*calls)):
        assert output.data == outcome(n)
        assert_voyage_is_right(fleet, n)
        # The interrupt of a job in another partition is on its way for a moment.
        await fleet.until(lambda n=n: fleet.header(f"{APP}:beacon {n}").get("status") == "interrupted")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_process_killed_at_a_crash_point_is_replaced(
    fleet: Fleet, no_leaks: set[str], point: str, side: str
) -> None:
    if fleet.partitions > 1 and point not in ("graph_reply:11", "graph_commit:9", "graph_lease:2"):
        pytest.skip("partitions change nothing here")
    if point == "fire":  # each partition's poller has fired, in vain, before a process is ready
        point = f"fire:{3 + fleet.partitions}"
    [victim] = await fleet.start(crash=f"{side} {point}", serves=("graphs",))
    hot = await client(fleet, no_leaks)
    try:
        calls = await sail(fleet, hot, 4)
        await victim.died()
        await fleet.start(serves=("graphs",))
        await signal_the_others(fleet, hot, 4)
        await finish(fleet, calls)
    finally:
        await hot.stop()
        await hot.mesh.close()
    begun = {guid for pid, guid in fleet.trail.lines("begin") if pid == victim.pid}
    again = {guid for guid, count in fleet.trail.runs().items() if count > 1}
    assert again <= begun and max(Counter(fleet.trail.runs()).values()) <= 2


CALLER = """
import asyncio, json, sys
from meshdata import HotMesh, MeshData

async def main(url, namespace, partitions):
    async with MeshData(url, namespace=namespace, partitions=partitions) as mesh:
        hot = await HotMesh.init("sea", mesh, readonly=True)
        await hot.pub("voyage", {"id": "0", "n": 0, "beacon": "beacon 0"})
        await hot.hook("voyage.external", {"id": "0", "n": 0})

asyncio.run(main(*json.loads(sys.argv[1])))
"""


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", ["graph_start", "signal"])
async def test_a_caller_killed_at_a_crash_point_has_begun_the_whole_job_or_none_of_it(
    fleet: Fleet, no_leaks: set[str], point: str, side: str
) -> None:
    hot = await client(fleet, no_leaks)
    try:
        facts = json.dumps([fleet.url, fleet.namespace, fleet.partitions])
        environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: f"{side} {point}"}
        caller = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CALLER, facts, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(20):
            assert await caller.wait() == -signal.SIGKILL
        begun = (point, side) != ("graph_start", "before")
        assert (fleet.header(f"{APP}:0").get("status") == "waiting") is begun
        await fleet.start(serves=("graphs",))
        if not begun:
            await hot.pub("voyage", {"id": "0", "n": 0, "beacon": "beacon 0"})
        if (point, side) != ("signal", "after"):
            await hot.hook("voyage.external", {"id": "0", "n": 0})
        await fleet.until(lambda: state(fleet, "0")[":"] == b"0")
        assert_voyage_is_right(fleet, 0)
    finally:
        await hot.stop()
        await hot.mesh.close()


@pytest.mark.soak
@pytest.mark.timeout(90)
async def test_work_that_kills_every_worker_ends_in_the_dead_letters(fleet: Fleet, no_leaks: set[str]) -> None:
    if fleet.partitions > 1:
        pytest.skip("partitions change nothing here")
    no_leaks |= {"dead"}
    hot = await client(fleet, no_leaks)
    try:
        call = asyncio.create_task(hot.pubsub("poison", {}, timeout="2 minutes"))
        for _ in range(5):
            [victim] = await fleet.start(serves=("graphs",))
            await victim.died(30)
        await fleet.start(serves=("graphs",))
        with pytest.raises(JobFailed) as caught:
            await call
        assert caught.value.code == 999
        assert await fleet.until(lambda: fleet.redis.xlen(f"{fleet.base(f'{APP}:x')}dead")) == 1
    finally:
        await hot.stop()
        await hot.mesh.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_voyages_survive_processes_killed_at_random(fleet: Fleet, no_leaks: set[str]) -> None:
    await fleet.start(3, serves=("graphs",))
    hot = await client(fleet, no_leaks)
    count = 60
    try:
        calls = await sail(fleet, hot, count)
        others = asyncio.create_task(signal_the_others(fleet, hot, count))
        for kill in range(3):
            await fleet.until(lambda kill=kill: len(fleet.trail.lines("end")) > count * (kill + 1))
            next(worker for worker in fleet.workers if worker.alive).kill()
            fleet.launch(serves=("graphs",))
        await others
        await finish(fleet, calls)
    finally:
        await hot.stop()
        await hot.mesh.close()
    await fleet.ready(*[worker for worker in fleet.workers if worker.alive])


@pytest.mark.slow
async def test_a_frozen_process_that_wakes_up_late_writes_nothing(fleet: Fleet, no_leaks: set[str]) -> None:
    [frozen] = await fleet.start(serves=("graphs",))
    hot = await client(fleet, no_leaks)
    try:
        calls = await sail(fleet, hot, 6)
        await fleet.until(lambda: len(fleet.trail.lines("begin")) >= 4)
        frozen.freeze()
        await fleet.start(serves=("graphs",))
        await signal_the_others(fleet, hot, 6)
        await finish(fleet, calls)
        frozen.thaw()
        before = [state(fleet, str(n)) for n in range(6)]
        await fleet.until(lambda: len(fleet.signs()) >= 2)
        assert [state(fleet, str(n)) for n in range(6)] == before
    finally:
        await hot.stop()
        await hot.mesh.close()
