"""An order that is charged, approved if it is large, and shipped: a worker, conditions, a signal, an error."""

import asyncio
import os
from pathlib import Path

from meshdata import HotMesh
from meshdata.errors import JobFailed
from meshdata.hotmesh import StreamData, StreamReply

URL = os.environ.get("MESHDATA_URL", "embedded://")
MODEL = Path(__file__).with_suffix(".yaml")


async def charge(asked: StreamData) -> StreamReply:
    if asked.data["card"] == "stolen":
        return StreamReply({"message": "the card was refused"}, status="error", code=402)
    return StreamReply({"receipt": f"{asked.data['amount']} paid"})


async def ship(asked: StreamData) -> dict[str, str]:
    return {"parcel": f"parcel of order {asked.data['number']}"}


async def refund(asked: StreamData) -> dict[str, str]:
    return {"undone": asked.data["receipt"]}


async def main() -> None:
    workers = [("payments.charge", charge), ("orders.ship", ship), ("payments.refund", refund)]
    async with await HotMesh.init("shop", URL, namespace="order-approval", workers=workers) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")

        small = await hot.pubsub("order.placed", {"number": 1, "amount": 20, "card": "visa"}, timeout=10)
        print("small", small.data)

        done: asyncio.Queue[object] = asyncio.Queue()
        await hot.sub("order.done", lambda topic, job: done.put_nowait(job.data))
        for number, approved in ((2, True), (3, False)):
            job_id = await hot.pub("order.placed", {"number": number, "amount": 500, "card": "visa"})
            await hot.hook("order.approve", {"id": job_id, "approved": approved, "by": "ann"})
            print("large", await done.get())

        try:
            await hot.pubsub("order.placed", {"number": 4, "amount": 20, "card": "stolen"}, timeout=10)
        except JobFailed as error:
            print(error.code, error.message)


if __name__ == "__main__":
    asyncio.run(main())
