"""What waiting together and waiting for others costs: a large gather, a signal to its result, a child."""

import asyncio
from collections.abc import Callable
from typing import Any

from bench.harness import NAMESPACE, Bench, count_commands, lane_of, timed
from bench.report import Line
from bench.workflows import work
from meshdata import MeshData, workflow

MEMBERS = 1000


async def wide(members: int) -> int:
    """So many activities at once."""
    return sum(await asyncio.gather(*(work(n) for n in range(members))))


async def waiting(key: str) -> int:
    """One that is told its result."""
    told: int = await workflow.wait_for(key)
    return told


async def leaf(number: int) -> int:
    """A child that does nothing."""
    return number


async def parent(number: int) -> int:
    """One child, awaited."""
    result: int = await workflow.exec_child("leaf", [number])
    return result


class Writes:
    """Counts the writes to the socket of a mesh's commands while it is entered."""

    def __init__(self, mesh: MeshData) -> None:
        self._transport: Any = lane_of(mesh)._transport
        self._write: Callable[[bytes], None] = self._transport.write
        self.count = 0

    def __enter__(self) -> "Writes":
        def counted(data: bytes) -> None:
            self.count += 1
            self._write(data)

        self._transport.write = counted
        return self

    def __exit__(self, *_: object) -> None:
        del self._transport.write


async def together(bench: Bench) -> list[Line]:
    """Client and worker in one process."""
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        for name, fn in {"wide": wide, "waiting": waiting, "leaf": leaf, "parent": parent}.items():
            await mesh.connect(name, fn)
        return [await _gather(bench, mesh), await _signal(bench, mesh), await _child(bench, mesh)]


async def _gather(bench: Bench, mesh: MeshData) -> Line:
    async def run() -> None:
        await mesh.exec(entity="wide", args=[MEMBERS])

    await run()
    with Writes(mesh) as writes:
        commands = await count_commands(bench, run)
    times = await timed(run, bench.size(20, 3))
    figures = {**commands.figures(1), "writes": writes.count, "ms": min(times) * 1e3}
    met = commands.total <= MEMBERS + 10 and writes.count <= 20
    return Line(f"gather of {MEMBERS} activities", figures, f"<= {MEMBERS + 10} commands, <= 20 writes", met)


async def _signal(bench: Bench, mesh: MeshData) -> Line:
    operations = 20
    handles = [await mesh.exec(entity="waiting", args=[f"k{n}"], id=f"w{n}", wait=False) for n in range(operations)]
    for n in range(operations):
        while not (await mesh.info("waiting", f"w{n}")).waiting_for:  # noqa: ASYNC110  # nothing tells of a wait
            await asyncio.sleep(0.01)

    async def run() -> None:
        for n, handle in enumerate(handles):
            await mesh.signal(f"k{n}", n)
            await handle.result()

    commands = await count_commands(bench, run)
    met = commands.total <= 4 * operations
    return Line("signal to result, resident", commands.figures(operations), "<= 4 commands", met)


async def _child(bench: Bench, mesh: MeshData) -> Line:
    operations = 20

    async def run() -> None:
        for n in range(operations):
            await mesh.exec(entity="parent", args=[n])

    await run()
    commands = await count_commands(bench, run)
    met = commands.total <= 6 * operations
    return Line("child, start and result", commands.figures(operations), "<= 6 commands, its parent's included", met)
