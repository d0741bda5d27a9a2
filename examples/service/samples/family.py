"""family: a workflow that calls an activity, and another workflow of its class as a child."""

from meshdata import MeshData, MeshOS, activity, workflow


class Family(MeshOS, entity="family", ttl="1 minute"):
    @workflow.run
    async def parent(self, name: str) -> str:
        said = await self.greet(name)
        return f"{said} - {await self.child(name)}"

    @workflow.run
    async def child(self, name: str) -> str:
        return f"Hi, Workflow {name}!"

    @activity
    async def greet(self, name: str) -> str:
        return f"Hi, Activity {name}!"


async def run(mesh: MeshData) -> str:
    await mesh.register(Family)
    return await Family.on(mesh).of().parent("world")
