"""Signals: a queue of names, greeted as they come, until it is told to stop. Signals may come before their waiter.

python examples/meshflow/signals.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, workflow


async def greeter(id: str) -> list[str]:
    greetings: list[str] = []
    while True:
        name = await workflow.wait_for(f"greet:{id}")
        if name is None:
            return greetings
        greetings.append(f"Hello, {name}")


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="signals") as mesh:
        client = MeshFlow.Client(mesh)
        for name in ("early bird", "Ada"):
            await client.signal("greet:front-door", name)  # nobody waits yet: it is kept
        async with MeshFlow.Worker(mesh, workflows=[greeter]):
            handle = await client.start(greeter, args=["front-door"])
            await handle.signal("greet:front-door", "Grace")
            await handle.signal("greet:front-door", None)
            print(await handle)


if __name__ == "__main__":
    asyncio.run(main())
