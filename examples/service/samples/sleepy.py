"""sleepy: a workflow whose hook sets a field of the record, while it sleeps; it reads the field when it wakes."""

from typing import Annotated

from meshdata import MeshData, MeshOS, activity, workflow
from meshdata.search import Tag


class Sleepy(MeshOS, entity="sleepy", ttl="1 minute"):
    user: Annotated[str, Tag()] = ""

    @workflow.run
    async def doze(self, name: str) -> str:
        await self.rename(name)
        user = None
        while not user:  # the hook has its own pace: what it does may take longer than one nap
            await workflow.sleep_for("1 second")
            user = await self.state.get("user")
        return await self.sleepy(user)

    @workflow.hook
    async def rename(self, name: str) -> None:
        await self.state.set(user=name)

    @activity
    async def sleepy(self, name: str) -> str:
        return f"Hi, Sleepy {name}!"


async def run(mesh: MeshData) -> str:
    await mesh.register(Sleepy)
    return await Sleepy.on(mesh).of().doze("world")
