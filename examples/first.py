"""The first program: connect a function, execute it by name, read its record.

    python examples/first.py

Starts a Redis of its own; MESHDATA_URL=redis://localhost:6379 uses yours.
"""

import asyncio
import os

from meshdata import MeshData, workflow


async def greet(name: str) -> str:
    await workflow.state.set(greeted=name)  # into the record, together with the journal entry that says so
    return f"Hello, {name}!"


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="examples") as mesh:
        await mesh.connect("greeting", greet)

        # Any process on the same Redis could say this; it does not need the function, only its name.
        print(await mesh.exec(entity="greeting", args=["Ada"], id="ada", ttl="1 minute"))

        print(await mesh.get("greeting", "ada"))
        info = await mesh.info("greeting", "ada")
        print(f"{info.status}, kept for {info.ttl_ms} ms")


if __name__ == "__main__":
    asyncio.run(main())
