"""What every workload needs: a server of its own, commands counted there, latencies, and the floor beside them."""

import asyncio
import gc
import math
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from meshdata import MeshData
from meshdata.store import scripts
from meshdata.store.embedded import EmbeddedServer
from meshdata.store.lane import Lane

FLOOR_SCRIPT = "return ARGV[1]"
"""The least a script can do: what a round trip costs whatever the script."""

UPKEEP = frozenset({"beat", "fire", "join", "leave"})
"""Scripts a process calls by the clock, not per operation."""

NAMESPACE = "bench"


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: its server, and how thorough it is."""

    url: str
    redis: "Redis"
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """A number of operations, by thoroughness."""
        return quick if self.quick else full


@asynccontextmanager
async def served(*, quick: bool) -> AsyncIterator[Bench]:
    """A fresh server, without persistence; it ends with the workload."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    server = await EmbeddedServer().astart()
    redis = Redis.from_url(server.url)
    try:
        for name in scripts.names():  # else the first call of each would count twice: NOSCRIPT, then the whole text
            await redis.script_load(scripts.load(name).source)
        yield Bench(server.url, redis, quick)
    finally:
        await redis.aclose()
        await server.astop()
        if cores is not None:
            os.sched_setaffinity(0, cores)


async def apart(bench: Bench) -> None:
    """Keep client and server on a core each, where there are two and the system lets us.

    Left alone, the scheduler puts both on one core when the machine is busy, and a round trip then costs a quarter of
    what it costs between two: the floor would be another one from run to run.
    """
    if not hasattr(os, "sched_setaffinity"):  # not Linux
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        server = await bench.redis.info("server")
        os.sched_setaffinity(int(server["process_id"]), {cores[1]})
        os.sched_setaffinity(0, {cores[0]})


def lane_of(mesh: MeshData) -> Lane:
    """The connection a mesh sends its commands on: the floor is measured on the same one."""
    return mesh._store.connections.lane(0)


# --- commands -------------------------------------------------------------------------------------------------------

_HEAD = re.compile(r'^\+[\d.]+ \[\d+ (\S+)\] "([^"]*)"(?: "([^"]*)")?')
_BLOCKING = frozenset({"XREADGROUP", "XREAD", "BLPOP"})


@dataclass(frozen=True, slots=True)
class Commands:
    """What clients sent during some operations; what scripts do inside is not counted."""

    names: Counter[str]
    blocking: int
    upkeep: int

    @property
    def total(self) -> int:
        """All but blocking reads and upkeep."""
        return self.names.total()

    def figures(self, operations: int) -> dict[str, Any]:
        """Per operation, as a line shows it."""
        return {
            "commands": self.total / operations,
            "commands_by_name": {name: count / operations for name, count in sorted(self.names.items())},
            "blocking_reads": self.blocking / operations,
        }


async def count_commands(bench: Bench, work: Callable[[], Awaitable[Any]]) -> Commands:
    """Watch the server while `work` runs.

    MONITOR tells commands of clients from those that scripts run, which the server's statistics do not; the statistics
    must agree on the number of script calls, else this raises RuntimeError.
    """
    path = bench.url.removeprefix("unix://")
    reader, writer = await asyncio.open_unix_connection(path, limit=2**26)
    try:
        writer.write(b"MONITOR\r\n")
        await reader.readline()
        before = await _script_calls(bench.redis)
        await bench.redis.echo("bench begins")
        await work()
        await bench.redis.echo("bench ends")
        after = await _script_calls(bench.redis)
        commands, calls = await _read_monitor(reader)
    finally:
        writer.close()
    if calls != after - before:
        raise RuntimeError(f"MONITOR saw {calls} script calls, the server's statistics say {after - before}")
    return commands


async def _script_calls(redis: "Redis") -> int:
    stats = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


async def _read_monitor(reader: asyncio.StreamReader) -> tuple[Commands, int]:
    verbs = {script.sha: name for name in scripts.names() for script in (scripts.load(name),)}
    names: Counter[str] = Counter()
    blocking = upkeep = calls = 0
    begun = False
    while True:
        match = _HEAD.match((await reader.readline()).decode(errors="replace"))
        if match is None or match[1] == "lua":
            continue
        name, first = match[2].upper(), match[3]
        if name == "ECHO":
            if begun:
                return Commands(names, blocking, upkeep), calls
            begun = True
        elif not begun or name == "INFO":
            continue
        elif name in _BLOCKING:
            blocking += 1
        else:
            if name in ("EVALSHA", "EVAL"):
                calls += 1
                name = verbs.get(first, name)
            if name in UPKEEP:
                upkeep += 1
            else:
                names[name] += 1


# --- time -----------------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float], *, unit: str = "us", scale: float = 1e6, prefix: str = "") -> dict[str, float]:
    """p50, p95 and p99 of times in seconds."""
    return {f"{prefix}p{share}_{unit}": percentile(values, share / 100) * scale for share in (50, 95, 99)}


async def timed(work: Callable[[], Awaitable[Any]], count: int) -> list[float]:
    """Seconds of each of `count` calls, one after the other."""
    clock = time.perf_counter
    times = []
    for _ in range(count):
        begun = clock()
        await work()
        times.append(clock() - begun)
    return times


@dataclass(frozen=True, slots=True)
class Compared:
    """Times of an operation and of its floor, measured by turns; the ratio of the medians of each turn."""

    times: list[float]
    floor: list[float]
    cpu_s: float
    ratios: list[float]

    @property
    def ratio(self) -> float:
        """The median turn's: a turn is short, so that whatever else the machine does falls on both or is an outlier."""
        return percentile(self.ratios, 0.5)

    def figures(self) -> dict[str, float]:
        """As a line shows them; the rate is that of one caller."""
        return {
            **spread(self.times),
            "per_second": len(self.times) / sum(self.times),
            "cpu_us": self.cpu_s / len(self.times) * 1e6,
            **spread(self.floor, prefix="floor_"),
            "floor_ratio": self.ratio,
        }


async def compared(
    mesh: MeshData, work: Callable[[], Awaitable[Any]], *, trips: int, count: int, rounds: int = 20
) -> Compared:
    """Time `work` against as many sequential EVALSHA round trips on the same client, in turns: noise hits both."""
    lane = lane_of(mesh)
    sha = await lane.call("SCRIPT", "LOAD", FLOOR_SCRIPT)

    async def floor() -> None:
        for _ in range(trips):
            await lane.call("EVALSHA", sha, 1, "bench:floor", "x")

    times: list[float] = []
    floors: list[float] = []
    ratios: list[float] = []
    cpu = 0.0
    for work_or_floor in (work, floor):
        await timed(work_or_floor, max(3, count // 20))
    each = max(1, count // rounds)
    for _ in range(rounds):
        below = await timed(floor, each)
        begun = time.process_time()
        above = await timed(work, each)
        cpu += time.process_time() - begun
        times += above
        floors += below
        ratios.append(percentile(above, 0.5) / percentile(below, 0.5))
    return Compared(times, floors, cpu, ratios)


async def in_tasks(work: Callable[[], Awaitable[Any]], *, tasks: int, count: int) -> tuple[float, float, list[float]]:
    """`count` calls by so many tasks: seconds in all, CPU seconds of this process, seconds of each call."""
    left = count
    times: list[float] = []

    async def caller() -> None:
        nonlocal left
        clock = time.perf_counter
        while left > 0:
            left -= 1
            begun = clock()
            await work()
            times.append(clock() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(tasks)))
    return time.perf_counter() - begun, time.process_time() - cpu, times


# --- CPU and memory -------------------------------------------------------------------------------------------------


async def redis_cpu_s(redis: "Redis") -> float:
    """CPU seconds the server has used."""
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def resident_bytes() -> int:
    """Memory this process holds, after a collection."""
    gc.collect()
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no /proc: macOS
        shown = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True)
        return int(shown.stdout) * 1024
