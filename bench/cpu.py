"""CPU of a workflow of 3 activities in client, worker and Redis, each a process of its own, beside the sketch's."""

import asyncio
from types import TracebackType

from bench.harness import NAMESPACE, Bench, in_tasks, redis_cpu_s
from bench.processes import Child
from bench.report import Line
from bench.workflows import chain, runner
from meshdata import MeshData

AT_ONCE = 100


class Client:
    """A process that only calls."""

    def __init__(self, url: str, namespace: str) -> None:
        self._mesh = MeshData(url, namespace=namespace)

    async def __aenter__(self) -> "Client":
        await self._mesh.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._mesh.close()

    async def run(self, count: int, at_once: int) -> None:
        """So many workflows, so many of them at a time."""
        await in_tasks(runner(self._mesh, 3), tasks=at_once, count=count)


class Worker(Client):
    """A process that only serves."""

    async def __aenter__(self) -> "Worker":
        await super().__aenter__()
        await self._mesh.connect("chain", chain)
        return self


async def _round(bench: Bench, client: Child, worker: Child, count: int) -> tuple[dict[str, float], float]:
    """CPU seconds by process, and seconds by the clock."""

    async def used() -> dict[str, float]:
        return {
            "client": await client.ask("cpu"),
            "worker": await worker.ask("cpu"),
            "redis": await redis_cpu_s(bench.redis),
        }

    clock = asyncio.get_running_loop().time
    before, begun = await used(), clock()
    await client.ask("run", count=count, at_once=AT_ONCE)
    took, after = clock() - begun, await used()
    return {name: after[name] - before[name] for name in before}, took


async def cpu_by_process(bench: Bench) -> list[Line]:
    """Product and sketch by turns, on one server."""
    count, rounds = bench.size(3000, 500), bench.size(4, 2)
    spent: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    async with (
        Child("bench.cpu:Worker", url=bench.url, namespace=NAMESPACE) as worker,
        Child("bench.cpu:Client", url=bench.url, namespace=NAMESPACE) as client,
        Child("bench.sketch:Worker", url=bench.url, namespace="sketch") as sketch_worker,
        Child("bench.sketch:Client", url=bench.url, namespace="sketch") as sketch_client,
    ):
        pairs = {"product": (client, worker), "sketch": (sketch_client, sketch_worker)}
        for which, pair in pairs.items():
            await _round(bench, *pair, count // 4)
            spent[which], seconds[which] = {"client": 0.0, "worker": 0.0, "redis": 0.0}, 0.0
        for _ in range(rounds):
            for which, pair in pairs.items():
                used, took = await _round(bench, *pair, count)
                seconds[which] += took
                for name, cpu in used.items():
                    spent[which][name] += cpu
    jobs = count * rounds
    figures: dict[str, float] = {}
    for which in pairs:
        for name, cpu in spent[which].items():
            figures[f"{which}_{name}_cpu_us"] = cpu / jobs * 1e6
        figures[f"{which}_cpu_us"] = sum(spent[which].values()) / jobs * 1e6
        figures[f"{which}_per_second"] = jobs / seconds[which]
    figures["ratio"] = figures["product_cpu_us"] / figures["sketch_cpu_us"]
    target = "CPU of client, worker and Redis together <= 3 x the sketch's"
    return [Line("CPU of a workflow of 3", figures, target, figures["ratio"] <= 3)]
