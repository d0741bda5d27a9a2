"""Children: workflows of workflows. One is awaited, one goes on by itself and is found again by its id.

python examples/meshflow/child.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, workflow


async def child(name: str) -> str:
    return f"{name}, child of {workflow.info().origin}"


async def slow_child() -> str:
    await workflow.sleep_for("50 ms")
    return "done on its own"


async def parent() -> list[str]:
    return [await workflow.exec_child(child, ["Ada"]), await workflow.start_child(slow_child, ttl="1 minute")]


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="child") as mesh:
        async with MeshFlow.Worker(mesh, workflows=[parent, child, slow_child]):
            client = MeshFlow.Client(mesh)
            handle = await client.start(parent, ttl="1 minute")
            told, started = await handle
            print(told.replace(handle.id, "…"))
            print(await client.handle(started, workflow=slow_child))


if __name__ == "__main__":
    asyncio.run(main())
