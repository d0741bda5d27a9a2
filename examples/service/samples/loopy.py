"""loopy: five activities in turn, each with a random number that is the same on every replay."""

from meshdata import MeshData, MeshOS, activity, workflow


class Loopy(MeshOS, entity="loopy", ttl="1 minute"):
    @workflow.run
    async def loop(self, cycles: int) -> list[str]:
        return [await self.cycle(number, workflow.random().random()) for number in range(1, cycles + 1)]

    @activity
    async def cycle(self, number: int, random: float) -> str:
        return f"loopy cycle {number} {random}"


async def run(mesh: MeshData) -> list[str]:
    await mesh.register(Loopy)
    return await Loopy.on(mesh).of().loop(5)
