"""Polling: ask a service that is not ready yet. Often, inside one activity; seldom, by the retry policy of another.

python examples/meshflow/polling.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, RetryPolicy, activity

asked = {"often": 0, "seldom": 0}


def service(way: str, ready_after: int) -> str:
    asked[way] += 1
    if asked[way] < ready_after:
        raise ConnectionError("not ready")
    return f"ready when asked {asked[way]} times"


@activity(timeout="10 seconds")
async def poll_often() -> str:
    """Every few milliseconds: one activity does it all; if its process dies, the next begins anew."""
    while True:
        try:
            return service("often", 5)
        except ConnectionError:
            await asyncio.sleep(0.005)


@activity(retry=RetryPolicy(max_attempts=100, initial="20 ms", coefficient=1))
async def poll_seldom() -> str:
    """Every hour, say: each attempt is recorded, and nothing stays in memory between two of them."""
    return service("seldom", 4)


async def polls() -> list[str]:
    return [await poll_often(), await poll_seldom()]


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="polling") as mesh:
        async with MeshFlow.Worker(mesh, workflows=[polls]):
            print(*await MeshFlow.Client(mesh).execute(polls), sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
