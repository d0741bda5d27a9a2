"""Several real processes on one namespace: workers and clients that come and go, and no work that is lost."""

import asyncio
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis

from meshdata import MeshData, workflow
from meshdata.call.why import why
from meshdata.errors import JobNotFound
from tests.integration.conftest import Eventually, OpenMesh

HERE = Path(__file__).parent
Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(redis_url: str, namespace: str, open_mesh: OpenMesh) -> AsyncIterator[Start]:
    """Starts `process_<role>.py` on the test's namespace; stops what is left of them."""
    started: list[Process] = []

    async def start_one(role: str, *args: object) -> Process:
        script = str(HERE / f"process_{role}.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            script,
            redis_url,
            namespace,
            *map(str, args),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        if role != "client":
            line = await asyncio.wait_for(process.stdout.readline(), 30) if process.stdout else b""
            assert line == b"serving\n"
        return process

    yield start_one
    for process in started:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
    said = await asyncio.gather(*(process.communicate() for process in started))
    errors = [line for _, err in said for line in err.decode().splitlines()]
    assert [line for line in errors if not line.startswith("a run was parked")] == []


@pytest.fixture
async def mesh(open_mesh: OpenMesh) -> MeshData:
    """A mesh that serves nothing; it also fixes the number of partitions that the processes find."""
    return await open_mesh()


@pytest.fixture
def ran(redis_client: redis.Redis, namespace: str) -> Iterator[Callable[[], dict[str, int]]]:
    """How often each step of each order ran."""

    def look() -> dict[str, int]:
        return {key.decode(): int(count) for key, count in redis_client.hgetall(f"{namespace}:ran").items()}

    yield look
    redis_client.delete(f"{namespace}:ran")


async def stop(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 30) == 0


async def assert_done(mesh: MeshData, ran: Callable[[], dict[str, int]], count: int) -> None:
    """Every order has its result and its record, and each step ran once: nobody was killed."""
    for n in range(count):
        assert await mesh.handle("order", f"o{n}").result(timeout=30) == n * 2
        assert await mesh.get("order", f"o{n}", "steps") == {"steps": "3"}
    assert ran() == {f"o{n}/{step}": 1 for n in range(count) for step in (1, 2, 3)}


async def test_clients_and_workers_come_and_go_and_nothing_is_lost(
    mesh: MeshData, start: Start, ran: Callable[[], dict[str, int]], eventually: Eventually
) -> None:
    early_client = await start("client", 0, 50)  # there is no worker yet
    first, second = await start("worker"), await start("worker")
    calls = [
        asyncio.create_task(mesh.exec(entity="order", args=[n], id=f"o{n}", ttl="5 minutes")) for n in range(50, 150)
    ]
    await eventually(lambda: len(ran()) > 20, within=30)
    await stop(first)
    late_client, third = await start("client", 100, 200), await start("worker")
    await eventually(lambda: len(ran()) > 300, within=30)
    await stop(second)
    assert await asyncio.wait_for(asyncio.gather(*calls), 40) == [n * 2 for n in range(50, 150)]
    for client, first_n, last_n in ((early_client, 0, 50), (late_client, 100, 200)):
        out, err = await asyncio.wait_for(client.communicate(), 40)
        assert (out.decode().strip(), err.decode()) == (str(sum(n * 2 for n in range(first_n, last_n))), "")
    await assert_done(mesh, ran, 200)
    await stop(third)


async def test_a_wait_survives_every_worker_that_held_it(mesh: MeshData, start: Start, eventually: Eventually) -> None:
    handles = [await mesh.exec(entity="approval", args=[n], id=f"a{n}", ttl="5 minutes", wait=False) for n in range(20)]
    for _ in range(2):
        worker = await start("worker")

        async def all_wait() -> bool:
            return all([(await handle.info()).waiting_for for handle in handles])

        await eventually(all_wait, within=30)
        await stop(worker)
    assert {await handle.status() for handle in handles} <= {"waiting", "queued"}
    for n in range(20):  # nobody serves them now
        await mesh.signal(f"approve {n}", f"boss {n}")
    await start("worker")
    answers = await asyncio.wait_for(asyncio.gather(*handles), 30)
    assert answers == [f"{n} by boss {n}" for n in range(20)]


async def test_a_client_that_dies_leaves_its_calls_to_others(
    mesh: MeshData, start: Start, ran: Callable[[], dict[str, int]], eventually: Eventually
) -> None:
    client = await start("client", 0, 50)

    async def last_is_queued() -> bool:
        try:
            return bool(await mesh.info("order", "o49"))
        except JobNotFound:
            return False

    await eventually(last_is_queued, within=30)
    client.kill()
    await client.wait()
    await start("worker")
    await assert_done(mesh, ran, 50)


async def test_stopped_workers_leave_no_trace_of_themselves(
    mesh: MeshData, start: Start, keys: Callable[[], set[str]], redis_client: redis.Redis, eventually: Eventually
) -> None:
    before = keys()
    workers = [await start("worker") for _ in range(2)]
    assert await mesh.exec(entity="child", args=[4], timeout=30) == 8
    for worker in workers:
        await stop(worker)
    assert {key for key in keys() - before if redis_client.pttl(key) == -1} == set()


async def test_a_run_parked_by_one_process_goes_on_in_another_whose_code_fits(
    mesh: MeshData, start: Start, eventually: Eventually
) -> None:
    async def status_is(wanted: str) -> bool:
        return (await mesh.info("version", "v")).status == wanted

    first = await start("version", "first")
    handle = await mesh.exec(entity="version", args=["go"], id="v", ttl="1 minute", wait=False)
    await eventually(lambda: _waits(mesh, "version", "v"))
    await stop(first)
    changed = await start("version", "changed")
    await mesh.signal("go", "on")
    await eventually(lambda: status_is("parked"))
    told = (await mesh.info("version", "v")).error or ""
    for part in ("0:1", "activity old", "entry 1", "activity new", "process_version.py:", "in version"):
        assert part in told
    assert told in " ".join(await why(mesh.store, "version", "v"))
    await stop(changed)
    await start("version", "patched")
    assert await handle.result(timeout=20) == ["old", "on", "patched"]
    again = await mesh.exec(entity="version", args=["gone"], id="w", ttl="1 minute", wait=False)
    await mesh.signal("gone", "on")
    assert await again.result(timeout=20) == ["new", "on", "patched"]


async def _waits(mesh: MeshData, entity: str, id: str) -> bool:
    return bool((await mesh.info(entity, id)).waiting_for)


@pytest.mark.parametrize("ticks", range(4))
async def test_a_mesh_closes_though_a_timer_is_told_of_just_then(
    open_mesh: OpenMesh, eventually: Eventually, ticks: int
) -> None:
    async def naps() -> None:
        await workflow.sleep_for("1 hour")

    mesh = await open_mesh()
    await mesh.connect("naps", naps)
    handle = await mesh.exec(entity="naps", id="n", wait=False)
    await eventually(lambda: _waits(mesh, "naps", "n"))
    for event in mesh._scheduler._sooner:
        event.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await mesh._scheduler.close()
    await handle.interrupt()
