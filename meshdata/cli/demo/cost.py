"""What a step of a demonstration cost, by the server's own command statistics."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from meshdata.mesh import MeshData

T = TypeVar("T")

# What opening a connection asks, and our own question.
_NOT_WORK = {"info", "hello", "ping", "subscribe"}


@dataclass(frozen=True, slots=True)
class Cost(Generic[T]):
    """A step's value, its time, and what Redis counted meanwhile.

    Attributes:
        trips: commands sent, by name: what crossed the wire. inside: operations that scripts did in the server.
        learned: scripts that were sent in full, because this server had not seen them yet.
    """

    value: T
    ms: float
    trips: dict[str, int]
    inside: int
    learned: int

    def __str__(self) -> str:
        if not self.trips:
            return ""
        total = sum(self.trips.values())
        if len(self.trips) == 1 and total == 1:
            return f"1 command: {next(iter(self.trips))}"
        return f"{total} commands: {' + '.join(f'{count} {name}' for name, count in self.trips.items())}"


async def measured(mesh: MeshData, work: Callable[[], Awaitable[T]]) -> Cost[T]:
    """Do some work and see what it cost, by the server's own command statistics."""
    before = await _statistics(mesh)
    began = time.perf_counter()
    value = await work()
    ms = (time.perf_counter() - began) * 1000
    after = await _statistics(mesh)
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    done = {name: n for name, n in grown.items() if n > 0 and name not in _NOT_WORK and not name.startswith("client|")}
    scripts, learned = done.pop("evalsha", 0), done.pop("eval", 0)
    if not scripts:
        return Cost(value, ms, {name.upper(): count for name, count in done.items()}, 0, 0)
    # Reading a stream blocks, so no script does it: it crossed the wire. The other commands ran inside the scripts.
    reads = done.pop("xreadgroup", 0)
    trips = {"EVALSHA": scripts} | ({"XREADGROUP": reads} if reads else {})
    return Cost(value, ms, trips, sum(done.values()), learned)


async def _statistics(mesh: MeshData) -> dict[str, int]:
    reply = (await mesh.store.command(0, "INFO", "commandstats")).decode()
    lines = (line.removeprefix("cmdstat_").partition(":") for line in reply.splitlines() if line.startswith("cmdstat_"))
    return {name: int(facts.partition("calls=")[2].partition(",")[0]) for name, _, facts in lines}
