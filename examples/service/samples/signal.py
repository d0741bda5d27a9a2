"""signal: a workflow waits for a signal that its own hook sends after a while."""

from typing import Any

from meshdata import MeshData, MeshOS, workflow


class Signal(MeshOS, entity="signal", ttl="1 minute"):
    @workflow.run
    async def wait(self, name: str) -> Any:
        await self.signal_back(name)
        # A key is the namespace's, and one signal is for one who waits: two requests at once must not share it.
        return await workflow.wait_for(f"abc-signal-{self.id}", timeout="1 minute")

    @workflow.hook
    async def signal_back(self, name: str) -> None:
        await workflow.sleep_for("1 second")
        await workflow.signal(f"abc-signal-{self.id}", {"name": name})


async def run(mesh: MeshData) -> Any:
    await mesh.register(Signal)
    return await Signal.on(mesh).of().wait("fred")
