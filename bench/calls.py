"""Calls without activities: a cached answer, a plain call."""

from bench.harness import NAMESPACE, Bench, apart, compared, count_commands
from bench.report import Line
from meshdata import MeshData


async def _answer(name: str) -> dict[str, str]:
    return {"name": name, "plan": "pro"}


async def cached_hit(bench: Bench) -> list[Line]:
    """An answer that is stored already: one script."""
    await apart(bench)
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        await mesh.connect("user", _answer)

        async def call() -> None:
            await mesh.exec(entity="user", args=["jsmith"], id="jsmith", ttl="1 hour")

        await call()
        operations = 50

        async def several() -> None:
            for _ in range(operations):
                await call()

        commands = await count_commands(bench, several)
        found = await compared(mesh, call, trips=1, count=bench.size(4000, 400))
    met = commands.total == operations and found.ratio <= 1.5
    figures = {**commands.figures(operations), **found.figures()}
    return [Line("cached hit", figures, "1 command, p50 <= 1.5 x the floor of 1 round trip", met)]


async def plain_call(bench: Bench) -> list[Line]:
    """A call without an id: run, answered, forgotten."""
    await apart(bench)
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        await mesh.connect("user", _answer)

        async def call() -> None:
            await mesh.exec(entity="user", args=["jsmith"])

        await call()
        operations = 50

        async def several() -> None:
            for _ in range(operations):
                await call()

        commands = await count_commands(bench, several)
        found = await compared(mesh, call, trips=3, count=bench.size(2000, 200))
    figures = {**commands.figures(operations), **found.figures()}
    target = "<= 3 commands outside the blocking read"
    return [Line("plain call", figures, target, commands.total <= 3 * operations)]
