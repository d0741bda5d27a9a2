"""Workflows of N inline activities: commands, latency beside the floor, growth with history, many at once."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from bench.harness import NAMESPACE, Bench, apart, compared, count_commands, in_tasks, percentile, spread, timed
from bench.report import Line
from meshdata import MeshData, activity

LENGTHS = (1, 3, 10, 50, 200)


@activity()
async def work(number: int) -> int:
    """What an activity does costs nothing here: the rest is measured."""
    return number + 1


async def chain(length: int) -> int:
    """So many activities, one after the other."""
    number = 0
    for _ in range(length):
        number = await work(number)
    return number


def runner(mesh: MeshData, length: int) -> Callable[[], Awaitable[Any]]:
    """A call of a workflow of so many activities."""
    return partial(mesh.exec, entity="chain", args=[length])


async def inline_activities(bench: Bench) -> list[Line]:
    """Each length on its own, one workflow at a time, client and worker in one process."""
    await apart(bench)
    lines = []
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        await mesh.connect("chain", chain)
        for length in LENGTHS:
            run = runner(mesh, length)
            await run()
            operations = 5

            async def several(run: Callable[[], Awaitable[Any]] = run, operations: int = operations) -> None:
                for _ in range(operations):
                    await run()

            commands = await count_commands(bench, several)
            trips = length + 4
            found = await compared(mesh, run, trips=trips, count=max(20, bench.size(8000, 800) // trips))
            met = commands.total <= trips * operations and found.ratio <= 2
            figures = {**commands.figures(operations), **found.figures()}
            target = f"<= {trips} commands, p50 <= 2 x the floor of {trips} round trips"
            lines.append(Line(f"workflow of {length}", figures, target, met))
        lines.append(await _growth(bench, mesh))
    return lines


async def _growth(bench: Bench, mesh: MeshData) -> Line:
    """By turns, so that the machine's other work falls on both."""
    short, long = runner(mesh, 50), runner(mesh, 200)
    times: dict[str, list[float]] = {"short": [], "long": []}
    for _ in range(bench.size(40, 8)):
        times["short"] += await timed(short, 2)
        times["long"] += await timed(long, 1)
    of_50, of_200 = percentile(times["short"], 0.5), percentile(times["long"], 0.5)
    figures = {"of_50_ms": of_50 * 1e3, "of_200_ms": of_200 * 1e3, "ratio": of_200 / of_50}
    return Line("growth with history", figures, "200 activities take <= 4.5 x the time of 50", of_200 <= 4.5 * of_50)


async def at_once(bench: Bench) -> list[Line]:
    """Workflows of 3 activities by 1 and by 100 callers, client and worker in one process."""
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        await mesh.connect("chain", chain)
        run = runner(mesh, 3)
        await in_tasks(run, tasks=100, count=300)
        seconds = {1: 0.0, 100: 0.0}
        counts = {1: bench.size(1000, 100), 100: bench.size(6000, 600)}
        times: dict[int, list[float]] = {1: [], 100: []}
        cpu = 0.0
        rounds = 3
        for _ in range(rounds):
            for tasks in (1, 100):
                took, used, each = await in_tasks(run, tasks=tasks, count=counts[tasks] // rounds)
                seconds[tasks] += took
                times[tasks] += each
                cpu += used if tasks == 100 else 0.0
    rate = {tasks: len(times[tasks]) / seconds[tasks] for tasks in (1, 100)}
    figures = {
        "per_second": rate[100],
        "alone_per_second": rate[1],
        "ratio": rate[100] / rate[1],
        **spread(times[100], unit="ms", scale=1e3),
        "cpu_us": cpu / len(times[100]) * 1e6,
    }
    return [Line("100 workflows at once", figures, ">= 3 x the rate of one at a time", rate[100] >= 3 * rate[1])]
