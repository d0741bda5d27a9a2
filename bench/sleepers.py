"""Ten thousand workflows asleep at once: what they hold in memory, and how punctually they wake."""

import asyncio
import time
from types import TracebackType

from bench.harness import NAMESPACE, Bench, spread
from bench.processes import Child
from bench.report import Line
from meshdata import MeshData, workflow

WAKING_S = 10.0
"""The wake-ups are spread over so many seconds: a thousand a second."""

RESIDENT_LIMIT_MB = 100.0
LATE_LIMIT_S = 0.05
KEPT_SHARE = 0.05
"""How much of what a fleet allocated may still be allocated when it is suspended.

Judged by the interpreter's own count of allocated blocks. CPython rarely gives memory back to the system: of 10,000
plain tasks that waited and are gone, nine tenths of the process's growth stay with it, to be used again.
"""


class Sleeper:
    """A worker whose workflows sleep, and note when they woke."""

    def __init__(self, url: str, namespace: str, linger: float) -> None:
        self._mesh = MeshData(url, namespace=namespace, linger=linger, resident_limit=1_000_000)
        self._woke: dict[str, float] = {}

    async def __aenter__(self) -> "Sleeper":
        await self._mesh.start()
        await self._mesh.connect("nap", self._nap)
        await self._mesh.exec(entity="nap", args=["first", 0.01])
        self._woke.clear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._mesh.close(drain=0)

    async def _nap(self, name: str, seconds: float) -> None:
        await workflow.sleep_for(seconds)
        self._woke[name] = time.time()

    async def resident(self) -> int:
        """Runs in memory."""
        return len(self._mesh._host.runs)

    async def woke(self) -> dict[str, float]:
        """When each woke, seconds since 1970."""
        return self._woke


async def _until(worker: Child, question: str, count: int, *, limit_s: float) -> None:
    """Wait until the worker's answer has come to `count`."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = await worker.ask(question)
        if (answer if isinstance(answer, int) else len(answer)) == count:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{question} did not come to {count} within {limit_s:g} s")
        await asyncio.sleep(0.2)


async def _fall_asleep(bench: Bench, namespace: str, count: int, asleep_s: float) -> dict[str, float]:
    """Start workflows that wake from `asleep_s` from now on; returns when each is due, seconds since 1970."""
    async with MeshData(bench.url, namespace=namespace) as client:
        wake = time.time() + asleep_s

        async def start(number: int) -> None:
            left = wake + WAKING_S * number / count - time.time()
            await client.exec(entity="nap", args=[str(number), left], id=str(number), wait=False)

        for at in range(0, count, 500):
            await asyncio.gather(*(start(number) for number in range(at, min(at + 500, count))))
    timers = f"mesh:{{{namespace}}}:timers"
    while await bench.redis.zcard(timers) < count:
        if time.time() > wake:
            raise RuntimeError("some woke before all had fallen asleep: this machine is too slow for the times chosen")
        await asyncio.sleep(0.1)
    scores = await bench.redis.zrange(timers, 0, -1, withscores=True)
    return {member.decode().rpartition(":")[2]: due / 1000 for member, due in scores}


def _late(dues: dict[str, float], woke: dict[str, float]) -> tuple[dict[str, float], bool]:
    late = [woke[name] - due for name, due in dues.items()]
    figures = {**spread(late, unit="late_ms", scale=1e3), "earliest_ms": min(late) * 1e3}
    return figures, figures["p50_late_ms"] <= LATE_LIMIT_S * 1e3 and min(late) >= 0


async def asleep(bench: Bench) -> list[Line]:
    """Once resident all the time, once suspended before they wake."""
    count = bench.size(10_000, 1_000)
    asleep_s = bench.size(25, 6)
    lines = []
    async with Child("bench.sleepers:Sleeper", url=bench.url, namespace=NAMESPACE, linger=3600) as worker:
        before = await worker.ask("memory")
        dues = await _fall_asleep(bench, NAMESPACE, count, asleep_s)
        await _until(worker, "resident", count, limit_s=5)
        grown = (await worker.ask("memory") - before) / 2**20
        await _until(worker, "woke", count, limit_s=asleep_s + 3 * WAKING_S)
        figures, punctual = _late(dues, await worker.ask("woke"))
        limit = RESIDENT_LIMIT_MB * count / 10_000
        figures = {"count": count, "grown_mb": grown, "each_kb": grown * 1024 / count, **figures}
        target = f"worker grows by <= {limit:g} MB; woken <= 50 ms late at the median, never early"
        lines.append(Line("asleep, resident", figures, target, grown <= limit and punctual))
    async with Child("bench.sleepers:Sleeper", url=bench.url, namespace="cold", linger=asleep_s / 2) as worker:
        before, blocks = await worker.ask("memory"), await worker.ask("blocks")
        dues = await _fall_asleep(bench, "cold", count, asleep_s)
        resident = (await worker.ask("memory") - before) / 2**20
        taken = await worker.ask("blocks") - blocks
        await _until(worker, "resident", 0, limit_s=asleep_s)
        kept = (await worker.ask("memory") - before) / 2**20
        share = (await worker.ask("blocks") - blocks) / taken
        await _until(worker, "woke", count, limit_s=asleep_s + 3 * WAKING_S)
        figures, punctual = _late(dues, await worker.ask("woke"))
        figures = {"count": count, "grown_mb": resident, "kept_mb": kept, "kept_share": share, **figures}
        target = "suspended: <= 5 % stays allocated; woken by replay <= 50 ms late at the median, never early"
        lines.append(Line("asleep, suspended", figures, target, share <= KEPT_SHARE and punctual))
    return lines
