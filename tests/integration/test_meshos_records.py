"""The records of classes: made, read, changed, removed, found, counted, and told of as databases with namespaces."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from meshdata import MeshData, MeshOS, workflow
from meshdata.errors import (
    EntityNotFound,
    InvalidOptions,
    QueryInvalid,
    RecordExists,
    RecordInvalid,
    RecordNotFound,
    RevisionConflict,
    UsageError,
)
from meshdata.meshos import Namespace, Profile, Profiles
from meshdata.search import Numeric, Tag, Text, count, sum_
from tests.integration.conftest import OpenMesh


class Item(MeshOS, entity="item"):
    """Things on shelves"""

    name: Annotated[str, Text()] = ""
    shelf: Annotated[str, Tag()] = "none"
    pieces: Annotated[int, Numeric(sortable=True)] = 0


class Cart(MeshOS, entity="cart", ttl="1 minute"):
    """A class whose first workflow has the name of a verb."""

    owner: str
    lines: Annotated[list[str], Tag()] = Field(default_factory=list)

    @workflow.run
    async def create(self, owner: str) -> str:
        await self.state.set(owner=owner, lines=["tea"])
        return f"{self.id} of {owner}"

    @workflow.hook
    async def update(self, line: str) -> None:
        await self.state.append("lines", line)


@pytest.fixture
async def shop(mesh: MeshData) -> Any:
    """Three items on a mesh, taken away afterwards."""
    await mesh.register(Item)
    for id, shelf, pieces in (("a", "left", 1), ("b", "left", 5), ("c", "right", 10)):
        await Item.create(id=id, name=f"thing {id}", shelf=shelf, pieces=pieces)
    yield mesh
    async for item in Item.find():
        await item.delete()


async def test_a_record_is_made_with_or_without_an_id(mesh: MeshData) -> None:
    await mesh.register(Item)
    made = await Item.create({"name": "lamp", "pieces": 3})
    assert made.id and await Item.get(made.id) == made  # no orphan under another id
    named = await Item.create(id="i2", name="chair")
    assert (named.id, named.pieces) == ("i2", 0)
    whole = await Item.create(Item(id="i3", name="table", pieces=1))
    assert await Item.retrieve("i3") == {"id": "i3", "name": "table", "shelf": "none", "pieces": 1}
    bare = await Item.create(Item(id="i4"))
    assert [one.id for one in await Item.find(Item.shelf == "none", Item.pieces == 0)] == ["i2", "i4"]
    with pytest.raises(RecordExists):
        await Item.create(id="i2")
    with pytest.raises(RecordInvalid) as refused:
        await Item.create(id="i5", pieces="many")
    assert (refused.value.field, refused.value.id, refused.value.model) == ("pieces", "i5", "Item")
    with pytest.raises(RecordInvalid, match="no such field"):
        await Item.create(id="i5", price=3)
    for one in (made, named, whole, bare):
        assert await one.delete()
    assert not await mesh.exists("item", "i5")


async def test_defaults_of_a_bare_reference_are_stored(mesh: MeshData) -> None:
    await mesh.register(Item)
    await mesh.create(Item(id="bare"))
    assert await Item.count(Item.shelf == "none") == 1
    assert await Item.delete("bare")


async def test_a_record_is_read_whole_or_as_its_id(shop: MeshData) -> None:
    assert (await Item.get("b")).pieces == 5
    assert await Item.retrieve("b") == {"id": "b", "name": "thing b", "shelf": "left", "pieces": 5}
    assert await Item.retrieve("b", sparse=True) == {"id": "b"}
    for read in (Item.get("z"), Item.retrieve("z"), Item.retrieve("z", sparse=True)):
        with pytest.raises(RecordNotFound):
            await read


async def test_a_record_is_changed_by_id_and_by_instance(shop: MeshData) -> None:
    assert (await Item.update("a", {"pieces": 2}, shelf="right")).shelf == "right"
    item = await Item.get("a")
    item.pieces = 7
    assert (await item.update(name="lamp")) is item
    assert await Item.retrieve("a") == {"id": "a", "name": "lamp", "shelf": "right", "pieces": 7}
    await Item(id="a").update(pieces=8)
    with pytest.raises(RevisionConflict):
        await item.update(if_unchanged=True, pieces=9)
    assert (await Item.get("a")).pieces == 8
    with pytest.raises(RecordNotFound):
        await Item.update("z", {"pieces": 2})
    with pytest.raises(RecordNotFound):
        await Item(id="z").update(pieces=2)
    with pytest.raises(RecordInvalid):
        await item.update(price=2)
    with pytest.raises(RecordInvalid):
        await Item.update("a", {"pieces": "many"})
    assert not await shop.exists("item", "z")


async def test_a_record_is_removed_however_it_was_made(mesh: MeshData) -> None:
    await mesh.register(Item, Cart)
    await Item.create(id="plain")
    await Cart.of("jobs").create("jo")
    assert await Item.delete("plain")
    assert await Cart.of("jobs").delete()
    for entity, id in (("item", "plain"), ("cart", "jobs")):
        assert not await mesh.exists(entity, id)
    assert not await Item.delete("plain")
    with pytest.raises(InvalidOptions, match="takes an id"):
        await Item.of("plain").delete("plain")


async def test_a_class_may_have_workflows_and_hooks_of_the_names_of_verbs(mesh: MeshData) -> None:
    await mesh.register(Cart)
    assert await Cart.of("c1").create("jo") == "c1 of jo"
    await Cart.of("c1").update("sugar")
    assert (await Cart.get("c1")).lines == ["tea", "sugar"]


async def test_records_are_found_and_counted(shop: MeshData) -> None:
    page = await Item.find(Item.shelf == "left").sort(-Item.pieces)
    assert ([one.id for one in page], page.total) == (["b", "a"], 2)
    by_dicts = Item.find([{"field": "pieces", "is": ">", "value": 1}]).sort(Item.id).limit(1, offset=1)
    assert [one.id for one in await by_dicts] == ["c"]
    assert (await Item.count(), await Item.count(Item.pieces > 4), await Item.count([])) == (3, 2, 3)


async def test_figures_are_asked_by_methods_and_in_dicts(shop: MeshData) -> None:
    rows = await Item.aggregate(Item.pieces > 0).group_by(Item.shelf).reduce(n=count(), all=sum_(Item.pieces)).sort("n")
    assert [*rows] == [{"shelf": "right", "n": 1, "all": 10}, {"shelf": "left", "n": 2, "all": 6}]
    said = await Item.aggregate(
        filter=[{"field": "pieces", "is": ">=", "value": 5}],  # an operator counts for numbers too
        rows=["shelf"],
        reduce=[{"operation": "COUNT"}, {"operation": "sum", "property": "pieces"}],
        apply=[{"expression": "@pieces * 2", "as": "double"}],
        sort=[{"field": "sum_pieces", "order": "DESC"}],
    )
    assert [*said] == [
        {"shelf": "right", "count": 1, "sum_pieces": 10},
        {"shelf": "left", "count": 1, "sum_pieces": 5},
    ]
    # which rows: both ends count
    assert [*await Item.aggregate(rows=["shelf"], sort=[{"field": "shelf"}], start=1, size=1)] == [
        {"shelf": "right", "count": 1}
    ]
    assert [*await Item.aggregate(rows=["shelf"], sort=[{"field": "shelf"}], size=1)] == [{"shelf": "left", "count": 2}]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"reduce": [{"operation": "MEDIAN", "property": "pieces"}]}, "no reducer 'MEDIAN'"),
        ({"reduce": [{"operation": "SUM"}]}, "'property' is a text"),
        ({"sort": [{"field": "shelf", "order": "down"}], "rows": ["shelf"]}, "ASC or DESC"),
        ({"rows": ["shelf"], "limit": 3}, "has no option 'limit'"),
        ({"apply": {"as": "x"}}, "a list of dicts"),
    ],
)
async def test_a_request_in_dicts_is_refused_and_not_half_done(
    shop: MeshData, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOptions, match=message):
        Item.aggregate(**request_)
    with pytest.raises(QueryInvalid):
        Item.aggregate(filter=[{"field": "price", "value": 3}])


async def test_what_is_found_belongs_to_the_mesh_it_was_found_on(redis_url: str, namespace: str) -> None:
    async with MeshData(redis_url, namespace=f"{namespace}a") as one, MeshData(redis_url, namespace=namespace) as other:
        await one.register(Item)
        await other.register(Item)
        for mesh in (one, other):
            await Item.on(mesh).create(id="i", shelf=mesh.namespace)
        assert [found.shelf for found in await Item.find()] == [namespace]  # a class's own verbs: the last mesh
        async for found in Item.on(one).find():
            await found.update(pieces=4)
        assert (await Item.on(one).get("i")).pieces == 4
        assert (await Item.on(other).get("i")).pieces == 0
        assert await (await Item.on(one).get("i")).delete()
        assert await Item.on(other).count() == 1
        assert await Item.on(other).delete("i")
        await one.drop_index(Item)


async def test_a_class_without_an_entity_has_no_records(mesh: MeshData) -> None:
    class Base(MeshOS):
        size: int = 0

    with pytest.raises(InvalidOptions, match="names no entity"):
        mesh.register(Base)
    with pytest.raises(UsageError, match="belongs to no mesh"):
        Base.find()


async def test_profiles_open_databases_and_find_their_classes(
    redis_url: str, namespace: str, no_leaks: set[str]
) -> None:
    shop = Namespace(namespace, [Item, Cart], label="The shop")
    profiles = Profiles(Profile("main", redis_url, [shop], label="Main database"))
    with pytest.raises(UsageError, match="not open"):
        profiles.find_entity("main", namespace, "item")
    async with profiles:
        items = profiles.find_entity("main", namespace, "item")
        made = await items.create(name="lamp")
        assert (await profiles.find_entity("main", namespace, "item*").get(made.id)).name == "lamp"
        assert await items.of("c").delete() is False
        for first in ("", "*", "-v"):
            assert profiles.find_entity("main", namespace, first).model is Item
        assert await profiles.find_entity("main", namespace, "cart").of("c1").create("jo") == "c1 of jo"
        with pytest.raises(EntityNotFound, match="there are: item, cart"):
            profiles.find_entity("main", namespace, "chart")
        with pytest.raises(InvalidOptions, match="there are: main"):
            profiles.find_entity("mian", namespace, "item")
        with pytest.raises(InvalidOptions, match=f"there are: {namespace}"):
            profiles.find_entity("main", "nowhere", "item")
        assert [one.entity for one in profiles] == ["item", "cart"]
        assert await made.delete()
        manifest = profiles.manifest()
        assert manifest["main"]["db"] == {"name": "main", "label": "Main database", "search": True}
        told = manifest["main"]["namespaces"][namespace]
        assert (told["label"], [one["name"] for one in told["entities"]]) == ("The shop", ["item", "cart"])
        assert told["entities"][0] == {
            "name": "item", "label": "Things on shelves", "version": "",
            "schema": {
                "name": {"type": "TEXT", "sortable": False},
                "shelf": {"type": "TAG", "sortable": False},
                "pieces": {"type": "NUMERIC", "sortable": True},
            },
        }  # fmt: skip
        assert redis_url not in str(manifest)
        assert profiles.find_schemas("main", namespace)["item"] == told["entities"][0]["schema"]
    assert profiles.manifest()["main"]["db"]["search"] is None


def test_profiles_that_make_no_sense_are_refused() -> None:
    class Base(MeshOS):
        pass

    with pytest.raises(InvalidOptions, match="with an entity"):
        Namespace("shop", [Base])
    with pytest.raises(InvalidOptions, match="'shop' is there twice"):
        Profile("main", None, [Namespace("shop", [Item]), Namespace("shop", [Cart])])
    with pytest.raises(InvalidOptions, match="one name"):
        Profiles(Profile("main", None, []), Profile("main", None, []))


async def test_a_process_may_look_at_classes_without_serving_them(open_mesh: OpenMesh) -> None:
    server, client = await open_mesh(), await open_mesh()
    await server.register(Item)
    await client.register(Item, serve=False)
    assert client.entities == []
    assert await Item.on(client).count() == 0
