"""Calls between services, without a job: beside the floor of two stream hops; answers that are kept, here and near."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bench.harness import NAMESPACE, Bench, apart, count_commands, in_tasks, percentile, spread
from bench.report import Line
from meshdata import MeshCall
from meshdata.store.redis import Connections

ASKED, ANSWERED = "bench:asked", "bench:answered"
ROUNDS = 20
NEAR_TARGET_US = 5.0


async def _answer(name: str) -> dict[str, str]:
    return {"name": name, "plan": "pro"}


@asynccontextmanager
async def _two_hops(bench: Bench) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A request by one stream and its answer by another, read by a group, acknowledged and deleted; nothing else."""
    connections = await Connections.open(bench.url, name="floor")
    lane, server, client = connections.lane(), await connections.dedicated(), await connections.dedicated()
    await lane.call("XGROUP", "CREATE", ASKED, "g", "$", "MKSTREAM")
    waiting: dict[bytes, asyncio.Future[None]] = {}
    count = 0

    async def serve() -> None:
        while True:
            found = await server.call(
                "XREADGROUP", "GROUP", "g", "one", "COUNT", 64, "BLOCK", 1000, "STREAMS", ASKED, ">"
            )
            for number, fields in (found or {}).get(ASKED.encode(), ()):
                lane.call("XACK", ASKED, "g", number)
                lane.call("XDEL", ASKED, number)
                lane.call("XADD", ANSWERED, "MAXLEN", "~", 1000, "*", "n", fields[1], "b", fields[3])

    async def hear() -> None:
        last: bytes | str = "$"
        while True:
            found = await client.call("XREAD", "COUNT", 64, "BLOCK", 1000, "STREAMS", ANSWERED, last)
            for number, fields in (found or {}).get(ANSWERED.encode(), ()):
                last = number
                waiting.pop(fields[1]).set_result(None)

    async def call() -> None:
        nonlocal count
        count += 1
        name = b"%d" % count
        future = waiting[name] = asyncio.get_running_loop().create_future()
        lane.call("XADD", ASKED, "*", "n", name, "b", '{"a":["jsmith"]}')
        await future

    tasks = [asyncio.create_task(serve()), asyncio.create_task(hear())]
    try:
        await asyncio.sleep(0.05)  # both are reading
        yield call
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connections.aclose()


async def remote_calls(bench: Bench) -> list[Line]:
    """A plain call, by one caller and by fifty, by turns with two stream hops."""
    await apart(bench)
    lines = []
    async with MeshCall(bench.url, namespace=NAMESPACE) as call, _two_hops(bench) as hops:
        await call.connect("user", _answer)

        async def plain() -> None:
            await call.exec("user", args=["jsmith"])

        await plain()
        operations = 50

        async def several() -> None:
            for _ in range(operations):
                await plain()

        commands = await count_commands(bench, several)
        for tasks, count in ((1, bench.size(4_000, 400)), (50, bench.size(20_000, 2_000))):
            figures, ratio = await _by_turns(plain, hops, tasks=tasks, count=count)
            figures |= commands.figures(operations)
            is_met = commands.total <= 2 * operations and (tasks > 1 or ratio <= 2)
            target = "2 commands besides the read" + (", p50 <= 2 x the floor of two stream hops" if tasks == 1 else "")
            lines.append(Line(f"remote call, {tasks} at once", figures, target, is_met))
    return lines


async def _by_turns(
    work: Callable[[], Awaitable[Any]], floor: Callable[[], Awaitable[Any]], *, tasks: int, count: int
) -> tuple[dict[str, Any], float]:
    times: list[float] = []
    floors: list[float] = []
    ratios, seconds, floor_seconds, cpu = [], 0.0, 0.0, 0.0
    for way in (work, floor):
        await in_tasks(way, tasks=tasks, count=count // 10)
    for _ in range(ROUNDS):
        took, _, below = await in_tasks(floor, tasks=tasks, count=count // ROUNDS)
        floor_seconds += took
        took, used, above = await in_tasks(work, tasks=tasks, count=count // ROUNDS)
        seconds += took
        cpu += used
        times += above
        floors += below
        ratios.append(percentile(above, 0.5) / percentile(below, 0.5))
    ratio = percentile(ratios, 0.5)
    return {
        **spread(times), "per_second": len(times) / seconds, "cpu_us": cpu / len(times) * 1e6,
        **spread(floors, prefix="floor_"), "floor_per_second": len(floors) / floor_seconds, "floor_ratio": ratio,
    }, ratio  # fmt: skip


async def kept_answers(bench: Bench) -> list[Line]:
    """An answer an entry keeps, and one kept in the process as well."""
    await apart(bench)
    async with MeshCall(bench.url, namespace=NAMESPACE) as call:
        await call.connect("user", _answer)

        async def kept() -> None:
            await call.exec("user", args=["jsmith"], id="jsmith", ttl="1 hour")

        async def near() -> None:
            await call.exec("user", args=["jsmith"], id="jsmith", ttl="1 hour", near_cache=True)

        await kept()
        operations = 50

        async def several() -> None:
            for _ in range(operations):
                await kept()

        commands = await count_commands(bench, several)
        _, _, times = await in_tasks(kept, tasks=1, count=bench.size(4_000, 400))
        for _ in range(3):
            await near()
        each = []
        for _ in range(ROUNDS):
            count = bench.size(5_000, 500)
            begun = time.perf_counter()
            for _ in range(count):
                await near()
            each.append((time.perf_counter() - begun) / count * 1e6)
    near_us = percentile(each, 0.5)
    return [
        Line("kept answer", commands.figures(operations) | spread(times), "1 command", commands.total == operations),
        Line("near answer", {"each_us": near_us}, f"<= {NEAR_TARGET_US:g} us", near_us <= NEAR_TARGET_US),
    ]
