"""A cron: many processes ask for it, one makes it, and it goes on whatever comes of them.

python examples/cron.py
"""

import asyncio
import os

from meshdata import MeshCall

counted = asyncio.Event()


async def tidy(shelf: str) -> str:
    """Stands for work that is to be done again and again. Nothing in it knows of the schedule."""
    counted.set()
    return f"{shelf} is tidy"


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshCall(url, namespace="examples") as call:
        asked = [
            call.cron("shelf.tidy", tidy, id="often", interval="250 ms", args=["the top shelf"], overlap="allow")
            for _ in range(100)
        ]
        print(f"{sum(await asyncio.gather(*asked))} of 100 who asked for it made it")

        await counted.wait()
        await call.pause("shelf.tidy", id="often")
        [one] = await call.schedules("shelf.tidy")
        print(f"every {one.interval}, paused: {one.paused}")

        print(await (await call.trigger("shelf.tidy", id="often")), "by hand")
        await call.update("shelf.tidy", id="often", interval="@daily", tz="Europe/Paris")
        await call.resume("shelf.tidy", id="often")
        [one] = await call.schedules("shelf.tidy")
        assert one.next is not None
        print(f"from now on {one.interval}, at {one.next:%H:%M} in {one.tz}")

        ended = [await call.interrupt("shelf.tidy", id="often") for _ in range(2)]
        print(f"interrupted: {ended[0]}, and again: {ended[1]}")


if __name__ == "__main__":
    asyncio.run(main())
