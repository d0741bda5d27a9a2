"""Calls between services: one asks, another answers; answers are kept by id, near, stale and in groups.

python examples/calls.py
"""

import asyncio
import os

from meshdata import MeshCall
from meshdata.errors import NotConnected

runs = 0


async def quote(symbol: str) -> dict[str, float]:
    """Stands for a slow service. Nothing in it knows of the cache."""
    global runs
    runs += 1
    await asyncio.sleep(0.05)
    return {symbol: 100.0 + runs}


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://calls")
    async with MeshCall(url, namespace="examples") as service, MeshCall(url, namespace="examples") as client:
        try:
            await client.exec("quote", args=["ACME"], timeout=0.1)
        except NotConnected as error:
            print(f"{type(error).__name__}: {error.topic}")

        await service.connect("quote", quote)
        await client.flush(tag="quotes")  # what an earlier run left
        print(await client.exec("quote", args=["ACME"]))

        kept = {"id": "auto", "ttl": "1 hour", "tags": ["quotes"]}
        before = runs
        await asyncio.gather(*(client.exec("quote", args=["ACME"], **kept) for _ in range(100)))
        print(f"a hundred callers, {runs - before} run")

        fresh = {"id": "stale", "ttl": "100 ms", "stale": "1 minute", "tags": ["quotes"]}
        first = await client.exec("quote", args=["ACME"], **fresh)
        while (found := await client.exec("quote", args=["ACME"], **fresh)) == first:
            await asyncio.sleep(0.01)  # it is given at once while a newer one is worked out
        print("and then a newer one:", found != first)

        near = [await client.exec("quote", args=["ACME"], **kept, near_cache=True) for _ in range(1000)]
        print(f"asked {len(near)} times more: {near[0] == near[-1]}")

        print("flushed:", await client.flush(tag="quotes"))


if __name__ == "__main__":
    asyncio.run(main())
