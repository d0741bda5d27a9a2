"""A report that is asked for until it is ready: a loop whose passes each have a state of their own."""

import asyncio
import os
from collections import Counter
from pathlib import Path

from meshdata import HotMesh
from meshdata.hotmesh import StreamData, StreamReply

URL = os.environ.get("MESHDATA_URL", "embedded://")
MODEL = Path(__file__).with_suffix(".yaml")
asked_for: Counter[str] = Counter()


async def state(asked: StreamData) -> StreamReply:
    asked_for[asked.data["id"]] += 1
    times = asked_for[asked.data["id"]]
    if times < 4:
        return StreamReply({"asked": times}, code=202)
    return StreamReply({"asked": times, "url": "https://reports/r1.pdf"})


async def main() -> None:
    async with await HotMesh.init("poll", URL, namespace="polling", workers=[("report.state", state)]) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        job = await hot.pubsub("poll.until.ready", {"id": "r1", "pause": 0.02}, timeout=10)
        print(job.data)


if __name__ == "__main__":
    asyncio.run(main())
