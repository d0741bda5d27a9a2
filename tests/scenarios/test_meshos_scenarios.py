"""Scenarios of classes, as users of the reference family know them; each is one sequence on a fresh namespace.

The first is the newer form, a class over records, the second the older one, a class whose methods are workflows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, ClassVar

import pytest

from meshdata import MeshData, MeshOS, activity, workflow
from meshdata.errors import EntityNotFound, InvalidOptions, RecordNotFound
from meshdata.meshos import Namespace, Profile, Profiles
from meshdata.search import Numeric, Tag, Text


class Widget(MeshOS, entity="widget", version="v1"):
    """Widgets"""

    name: Annotated[str, Text(sortable=True)] = ""
    colour: Annotated[str, Tag()] = "grey"
    size: Annotated[int, Numeric(sortable=True)] = 0
    active: Annotated[bool, Tag()] = True


async def test_the_newer_form_life_of_records_by_profile(redis_url: str, namespace: str, no_leaks: set[str]) -> None:
    profile = Profile("redis", redis_url, [Namespace(namespace, [Widget], label="Sandbox")], label="Local Redis")
    async with Profiles(profile) as profiles:
        widgets = profiles.find_entity("redis", namespace, "widget")
        made = await widgets.create({"name": "one", "size": 1})  # no id: it gets one, and is found under it
        assert (await widgets.retrieve(made.id))["name"] == "one"
        assert await widgets.retrieve(made.id, sparse=True) == {"id": made.id}
        for number in range(2, 6):
            await widgets.create({"id": f"w{number}", "name": f"number {number}", "size": number, "colour": "red"})
        assert (await widgets.update("w2", {"active": False})).active is False
        page = await widgets.find([{"field": "size", "is": ">=", "value": 3}]).sort("size").limit(2)
        assert ([one.id for one in page], page.total) == (["w3", "w4"], 3)
        assert await widgets.count([{"field": "active", "is": "=", "value": False}]) == 1
        figures = await widgets.aggregate(
            filter=[{"field": "size", "is": "<", "value": 5}], rows=["colour"],
            reduce=[{"operation": "COUNT"}, {"operation": "SUM", "property": "size", "as": "all"}],
            sort=[{"field": "all", "order": "DESC"}],
        )  # fmt: skip
        assert [*figures] == [{"colour": "red", "count": 3, "all": 9}, {"colour": "grey", "count": 1, "all": 1}]
        with pytest.raises(EntityNotFound, match="there are: widget"):
            profiles.find_entity("redis", namespace, "gadget")
        with pytest.raises(InvalidOptions, match="there are: redis"):
            profiles.find_entity("postgres", namespace, "widget")
        assert profiles.manifest()["redis"]["namespaces"][namespace]["entities"][0]["name"] == "widget"
        for id in (made.id, "w2", "w3", "w4", "w5"):
            assert await widgets.delete(id) is True
            with pytest.raises(RecordNotFound):
                await widgets.retrieve(id)
        assert await widgets.count() == 0


class Inventory(MeshOS, entity="inventory", ttl="1 minute"):
    workflow_functions: ClassVar[list[str]] = ["create", "depleted"]
    hook_functions: ClassVar[list[str]] = ["set_quantity", "incr_quantity"]
    proxy_functions: ClassVar[list[Any]] = [{"name": "notify", "options": {"timeout": "5 seconds"}}]

    quantity: Annotated[int, Numeric()] = 0
    status: Annotated[str, Tag()] = ""
    notes: ClassVar[list[str]] = []

    async def create(self, quantity: int) -> dict[str, Any]:
        await self.set_quantity(quantity)
        await workflow.wait_for(f"{self.id}_depleted")
        report = await self.depleted(self.id)
        return {"report": report, **await self.state.all()}

    async def depleted(self, order: str) -> str:
        return await self.notify(order)

    async def set_quantity(self, quantity: int) -> None:
        await self.state.set(quantity=quantity, status="available")

    async def incr_quantity(self, by: int) -> None:
        if await self.state.incr("quantity", by) == 0:
            await self.state.set(status="depleted")
            await workflow.signal(f"{self.id}_depleted")

    async def notify(self, order: str) -> str:
        self.notes.append(order)
        return self.told(order)

    def told(self, order: str) -> str:
        return f"{order} is depleted"


@pytest.fixture
async def mesh(redis_url: str, namespace: str, no_leaks: set[str]) -> AsyncIterator[MeshData]:
    async with MeshData(redis_url, namespace=namespace) as mesh:
        yield mesh


async def test_the_older_form_an_order_from_creation_to_depletion(mesh: MeshData) -> None:
    Inventory.notes.clear()
    await mesh.register(Inventory)
    order = Inventory(id="ord_1")
    created = await order.create.start(1)
    async with asyncio.timeout(10):
        while not await Inventory.count(Inventory.status == "available"):
            await asyncio.sleep(0.005)
    await order.incr_quantity(-1)
    assert await created == {"report": "ord_1 is depleted", "quantity": 0, "status": "depleted"}
    assert Inventory.notes == ["ord_1"]
    found = await Inventory.find(Inventory.quantity == 0, Inventory.status == "depleted")
    assert [(one.id, one.quantity, one.status) for one in found] == [("ord_1", 0, "depleted")]
    assert order.told("x") == "x is depleted"  # in no list: a plain method


async def test_two_orders_at_once_share_nothing(mesh: MeshData) -> None:
    class Marked(MeshOS, entity="marked", ttl="1 minute"):
        @workflow.run
        async def work(self, mark: str) -> list[str]:
            object.__setattr__(self, "mark", mark)  # what a careless method may do
            await self.pause()
            return [self.id, getattr(self, "mark", "")]

        @activity
        async def pause(self) -> None:
            await asyncio.sleep(0.01)

    await mesh.register(Marked)
    runs = [Marked(id=f"m{number}").work(f"mark {number}") for number in range(10)]
    assert await asyncio.gather(*runs) == [[f"m{number}", f"mark {number}"] for number in range(10)]
