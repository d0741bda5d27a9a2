"""Three workers at once, whose answers come in any order: each fills a place of its own in the job's data."""

import asyncio
import os
from pathlib import Path

from meshdata import HotMesh
from meshdata.hotmesh import StreamData

URL = os.environ.get("MESHDATA_URL", "embedded://")
MODEL = Path(__file__).with_suffix(".yaml")
PRICES = {"supplier.north": 12, "supplier.south": 9, "supplier.west": 14}


async def quote(asked: StreamData) -> dict[str, int]:
    await asyncio.sleep(PRICES[asked.metadata["topic"]] / 1000)
    return {"price": PRICES[asked.metadata["topic"]]}


async def main() -> None:
    workers = [(topic, quote) for topic in PRICES]
    async with await HotMesh.init("quotes", URL, namespace="fan-out", workers=workers) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        job = await hot.pubsub("quotes.ask", {"part": "gear"}, timeout=10)
        assert job.data is not None
        print(job.data["part"], dict(sorted(job.data["quotes"].items())), "best", min(job.data["quotes"].values()))


if __name__ == "__main__":
    asyncio.run(main())
