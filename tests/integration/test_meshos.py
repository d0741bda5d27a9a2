"""Classes of entities: their methods as workflows, hooks and activities, and their records."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import pytest

from meshdata import MeshData, MeshOS, activity, workflow
from meshdata.search import Numeric, Tag

done: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


class Order(MeshOS, entity="order", version="v1"):
    """Orders of a shop."""

    quantity: Annotated[int, Numeric(sortable=True)] = 0
    status: Annotated[str, Tag()] = "available"

    @workflow.run
    async def create(self, quantity: int) -> str:
        await self.state.set(quantity=quantity, status="available")
        return await self.charge(quantity * 1.5)

    @workflow.hook
    async def incr_quantity(self, by: int) -> None:
        if await self.state.incr("quantity", by) <= 0:
            await self.state.set(status="depleted")

    @activity
    async def charge(self, amount: float) -> str:
        done[f"charge {self.id}"] += 1
        return f"{self.id} paid {amount}"


async def test_a_class_is_an_entity_whose_methods_are_durable(mesh: MeshData) -> None:
    async with Order.served(mesh):
        order = Order(id="o1")
        assert await order.create(1) == "o1 paid 1.5"
        await order.incr_quantity(-1)
        found = await Order.find(Order.status == "depleted")
        assert [one.id for one in found] == ["o1"]
        assert (found[0].quantity, type(found[0])) == (0, Order)
        assert await Order.get("o1") == found[0]
        assert await order.create(7) == "o1 paid 1.5"  # the answer that is kept
        assert done == {"charge o1": 1}
        assert await Order.delete("o1")
        assert not await Order.delete("o1")
