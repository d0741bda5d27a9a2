"""howdy: a workflow that returns what its activity says. In the older style: names in lists, in place of decorators."""

from meshdata import MeshData, MeshOS


class Howdy(MeshOS, entity="howdy", ttl="1 minute"):
    workflow_functions = ("ciao",)
    proxy_functions = ("howdy",)

    async def ciao(self, name: str) -> str:
        return await self.howdy(name)

    async def howdy(self, name: str) -> str:
        return f"Hello {name}!"


async def run(mesh: MeshData) -> str:
    await mesh.register(Howdy)
    return await Howdy.on(mesh).of().ciao("world")
