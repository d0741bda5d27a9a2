"""A slow function behind a cache: one run for all who ask at once, and failures are remembered too.

python examples/cache.py
"""

import asyncio
import os

from meshdata import MeshData
from meshdata.errors import JobFailed

runs = 0


async def profile(user_id: str) -> dict[str, str]:
    """Stands for a slow service. Nothing in it knows of the cache."""
    global runs
    runs += 1
    await asyncio.sleep(0.2)
    if user_id == "nobody":
        raise LookupError(f"no user {user_id}")
    return {"id": user_id, "plan": "pro"}


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="examples") as mesh:
        user = await mesh.connect("user", profile)
        for old in ("jsmith", "nobody"):
            await mesh.flush("user", old)  # what an earlier run left

        cached = user.options(id="jsmith", ttl="15 minutes")
        answers = await asyncio.gather(*(cached("jsmith") for _ in range(200)))
        print(f"{len(answers)} callers at once, {runs} run: {answers[0]}")

        await cached("jsmith")
        print(f"asked again: still {runs} run")

        await mesh.flush("user", "jsmith")
        await cached("jsmith")
        print(f"after a flush: {runs} runs")

        for _ in range(2):
            try:
                await user.options(id="nobody", ttl="1 minute")("nobody")
            except JobFailed as error:
                print(f"failed with {error.type}: {error.message} ({runs} runs)")


if __name__ == "__main__":
    asyncio.run(main())
