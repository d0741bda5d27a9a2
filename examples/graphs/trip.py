"""A hotel and a flight: sub-workflows that are waited for, a retry, and what was done undone where the rest fails."""

import asyncio
import os
from pathlib import Path

from meshdata import HotMesh
from meshdata.hotmesh import StreamData, StreamReply

URL = os.environ.get("MESHDATA_URL", "embedded://")
MODEL = Path(__file__).with_suffix(".yaml")


async def hotel(asked: StreamData) -> dict[str, str]:
    return {"room": f"room in {asked.data['city']}"}


async def flight(asked: StreamData) -> StreamReply:
    if asked.data["city"] == "Atlantis":
        return StreamReply({"message": "no airport"}, status="error", code=404)
    if asked.metadata.get("try", 0) == 0:
        return StreamReply({"message": "the line was busy"}, status="error", code=503)
    return StreamReply({"seat": "12A"})


async def main() -> None:
    workers = [("hotel.desk", hotel), ("flight.book", flight)]
    async with await HotMesh.init("travel", URL, namespace="trip", workers=workers) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        for city in ("Rome", "Atlantis"):
            job = await hot.pubsub("trip.book", {"to": city}, timeout=10)
            found = job.data or {}
            if found["booked"]:
                print("to", found["to"], "with", found["room"], "and seat", found["seat"])
            else:
                print(f"back with the {found['given_back']}, because of {found['because']}")


if __name__ == "__main__":
    asyncio.run(main())
