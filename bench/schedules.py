"""Schedules: how late a slot begins when nothing else is to be done, what it costs, and many due at one moment."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from bench.harness import NAMESPACE, Bench, count_commands, spread
from bench.report import Line
from meshdata import MeshData, workflow

LATE_LIMIT_MS = 50.0


class Tick:
    """The scheduled function: notes by how much each of its runs began after its slot."""

    def __init__(self) -> None:
        self.late: dict[str, float] = {}

    async def __call__(self, name: str) -> None:
        now = time.time()
        slot = workflow.info().id.partition("@")[2]
        self.late[f"{name} {slot}"] = now - datetime.fromisoformat(slot).timestamp()


async def _until(holds: Callable[[], bool], *, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the slots did not come within {limit_s:g} s")
        await asyncio.sleep(0.01)


async def _idle(bench: Bench, partitions: int) -> Line:
    slots = bench.size(100, 20)
    tick = Tick()
    async with MeshData(bench.url, namespace=f"{NAMESPACE}{partitions}", partitions=partitions) as mesh:
        await mesh.connect("tick", tick.__call__)

        async def work() -> None:
            await mesh.schedule("tick", ["a"], id="a", interval="200 ms", delay="200 ms", max_cycles=slots)
            await _until(lambda: len(tick.late) == slots, limit_s=slots)

        commands = await count_commands(bench, work)
    late = list(tick.late.values())
    figures = {**spread(late, unit="late_ms", scale=1e3), "earliest_ms": min(late) * 1e3, **commands.figures(slots)}
    met = figures["p50_late_ms"] <= LATE_LIMIT_MS and min(late) >= 0
    target = f"slots begin <= {LATE_LIMIT_MS:g} ms late at the median, never early"
    return Line(f"schedule, idle, {partitions} partition{'s' * (partitions > 1)}", figures, target, met)


async def _together(bench: Bench) -> Line:
    count = bench.size(1_000, 100)
    tick = Tick()
    async with MeshData(bench.url, namespace="together") as mesh:
        await mesh.connect("tick", tick.__call__)
        before = (await bench.redis.info("memory"))["used_memory"]
        for number in range(count):
            await mesh.schedule("tick", [str(number)], id=str(number), interval="*/5 * * * * *", overlap="queue")
            if number == 0:
                one = (await bench.redis.info("memory"))["used_memory"]
        grown = (await bench.redis.info("memory"))["used_memory"] - max(before, one)
        tick.late.clear()
        await _until(lambda: len(tick.late) >= 2 * count, limit_s=60)
        for number in range(count):
            await mesh.unschedule("tick", str(number))
    figures = {"count": count, **spread(list(tick.late.values()), unit="late_ms", scale=1e3)}
    return Line("schedules, all due at one moment", {**figures, "each_bytes": grown / (count - 1)}, "", None)


async def schedules(bench: Bench) -> list[Line]:
    """One schedule on an idle machine, with one partition and with four; then a thousand that are due together."""
    return [await _idle(bench, 1), await _idle(bench, 4), await _together(bench)]
