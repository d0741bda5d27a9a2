"""A client process for test_processes.py: `python process_client.py url namespace first last` executes orders."""

import asyncio
import sys

from meshdata import MeshData


async def main(url: str, namespace: str, first: int, last: int) -> None:
    async with MeshData(url, namespace=namespace) as mesh:
        calls = (
            mesh.exec(entity="order", args=[n], id=f"o{n}", ttl="5 minutes", timeout=50) for n in range(first, last)
        )
        print(sum(await asyncio.gather(*calls)))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
