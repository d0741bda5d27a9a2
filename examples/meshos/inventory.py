"""A class per entity: fields that are searched, a workflow, a hook and an activity as methods.

python examples/meshos/inventory.py
"""

import asyncio
import os
from typing import Annotated

from meshdata import MeshData, MeshOS, activity, workflow
from meshdata.search import Numeric, Tag, count, sum_


class Order(MeshOS, entity="order", version="v1"):
    """Orders of a shop; without a ttl their records stay until they are deleted."""

    quantity: Annotated[int, Numeric(sortable=True)] = 0
    status: Annotated[str, Tag()] = "available"

    @workflow.run
    async def create(self, quantity: int) -> str:
        receipt = await self.charge(quantity * 9.5)
        await self.state.set(quantity=quantity, status="available")
        return receipt

    @workflow.hook
    async def incr_quantity(self, by: int) -> None:
        if await self.state.incr("quantity", by) <= 0:
            await self.state.set(status="depleted")

    @activity
    async def charge(self, amount: float) -> str:
        return f"{self.id}: {amount} paid"


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="inventory") as mesh, Order.served(mesh):
        async for left in Order.find():  # by an earlier run
            await left.delete()

        order = Order(id="o1")
        print(await order.create(1))
        print(await Order(id="o2").create(5))
        await order.incr_quantity(-1)

        print([(one.id, one.quantity) for one in await Order.find(Order.status == "depleted")])
        print(await Order.get("o2"))
        await Order.update("o2", quantity=8)
        print(await Order.count(Order.quantity > 5), "with more than 5")
        figures = Order.aggregate().group_by(Order.status).reduce(n=count(), pieces=sum_(Order.quantity))
        for row in await figures.sort(Order.status):
            print(row)
        print("deleted:", [await Order.delete(id) for id in ("o1", "o2", "o3")])


if __name__ == "__main__":
    asyncio.run(main())
