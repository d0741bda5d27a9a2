"""Hello: a workflow that calls one activity, a worker that runs both, a client that starts it.

python examples/meshflow/hello_activity.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, activity


@activity
async def compose_greeting(greeting: str, name: str) -> str:
    return f"{greeting}, {name}!"


async def greeting_workflow(name: str) -> str:
    return await compose_greeting("Hello", name)


async def main() -> None:
    # A client and a worker take a URL each; here both share one mesh, so that they share the embedded Redis.
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="hello_activity") as mesh:
        client = MeshFlow.Client(mesh)
        async with MeshFlow.Worker(mesh, queue="greetings", workflows=[greeting_workflow]):
            handle = await client.start(greeting_workflow, args=["World"], queue="greetings")
            print(await handle.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
