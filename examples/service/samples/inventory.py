"""inventory: an order lives until a hook takes the last piece of it, and signals that it is depleted."""

from typing import Annotated, Any

from meshdata import MeshData, MeshOS, workflow
from meshdata.search import Numeric, Tag
from meshdata.values import mint_id


class Order(MeshOS, entity="inventory", ttl="1 minute"):
    quantity: Annotated[int, Numeric()] = 0
    status: Annotated[str, Tag()] = "available"

    @workflow.run
    async def create(self) -> dict[str, Any]:
        await workflow.wait_for(f"{self.id}_depleted", timeout="1 minute")
        return await self.state.all()

    @workflow.hook
    async def incr_quantity(self, by: int) -> None:
        left = await self.state.incr("quantity", by)
        if left <= 0:
            await self.state.set(status="depleted")
            await workflow.signal(f"{self.id}_depleted")


async def run(mesh: MeshData) -> dict[str, Any]:
    await mesh.register(Order)
    order = Order.on(mesh).of(f"ord_{mint_id()}")
    # What a record begins with is there with its job: the hook cannot come before it.
    created = await order.create.options(state={"quantity": 1, "status": "available"}).start()
    await order.incr_quantity(-1)
    return await created
