"""An order: activities with retries, several at once, a child workflow, and what a failure looks like.

python examples/order.py
"""

import asyncio
import os

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import ActivityFailed, Fatal

attempts = 0


@activity(retry=RetryPolicy(max_attempts=5, initial="50 ms"))
async def reserve(item: str) -> str:
    """A service that is down at first. What fails is tried again; what succeeded is never repeated."""
    global attempts
    attempts += 1
    if attempts <= 2:
        raise ConnectionError("the warehouse does not answer")
    return f"{item} reserved"


@activity(retry=RetryPolicy(max_attempts=5))
async def charge(card: str, cents: int) -> int:
    if card == "stolen":
        raise Fatal("the card was refused")  # trying again is no use
    return cents


async def ship(items: list[str]) -> str:
    await workflow.sleep_for("50 ms")
    return f"parcel of {len(items)}"


async def order(items: list[str], card: str) -> dict[str, object]:
    reserved = await asyncio.gather(*(reserve(item) for item in items))
    try:
        paid = await charge(card, 500 * len(items))
    except ActivityFailed as error:
        await workflow.state.set(problem=error.message)
        return {"ok": False, "problem": error.message}
    parcel = await workflow.exec_child("shipment", [items])
    return {"ok": True, "reserved": reserved, "paid": paid, "parcel": parcel}


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="examples") as mesh:
        await mesh.connect("shipment", ship)
        orders = await mesh.connect("order", order)

        print(await orders(["tea", "cup", "spoon"], "visa"))
        print(f"the warehouse was asked {attempts} times")
        print(await orders(["tea"], "stolen"))


if __name__ == "__main__":
    asyncio.run(main())
