"""A saga: a trip of three bookings. When one fails, or the trip is called off, what was booked before it is given back.

python examples/saga.py
"""

import asyncio
import os

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import JobCancelled, JobFailed


@activity(retry=RetryPolicy(max_attempts=3, initial="20 ms"))
async def book(what: str, guest: str) -> str:
    if guest == "Nemo" and what == "car":
        raise LookupError("no licence")
    print(f"  {what} booked")
    return f"{what} for {guest}"


@activity(retry=RetryPolicy(max_attempts=5, initial="20 ms"))
async def give_back(what: str, guest: str) -> None:
    """Asked for a booking that was never made, it does nothing: a step that failed may have had its effect or not."""
    print(f"  {what} given back")


async def trip(guest: str) -> list[str]:
    async with workflow.saga() as saga:
        bookings = []
        for what in ("flight", "room", "car"):
            saga.compensate(give_back, what, guest)
            bookings.append(await book(what, guest))
        if guest == "Hamlet":
            await workflow.wait_for("decided at last", timeout="1 week")
        return bookings


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="saga") as mesh:
        trips = await mesh.connect("trip", trip)

        print("Ada travels")
        print(await trips("Ada"))

        print("Nemo may not drive")
        try:
            await trips("Nemo")
        except JobFailed as error:
            print(f"{error.type}: {error.message}")

        print("Hamlet calls it off")
        handle = await mesh.exec(entity="trip", args=["Hamlet"], id="hamlet", ttl="1 minute", flush=True, wait=False)
        while not (await handle.info()).waiting_for:
            await asyncio.sleep(0.01)
        await handle.cancel("the rest is silence")
        try:
            await handle
        except JobCancelled as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
