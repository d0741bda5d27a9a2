"""Indexes on a real server: built full, swapped without a gap, told and dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from meshdata.errors import IndexNotFound, SearchUnavailable
from meshdata.search import Find, Geo, Index, Numeric, Record, Tag, Text, Vector, field, schema_of
from meshdata.store.store import Store
from tests.search_store import open_store, write, write_raw


class User(Record, entity="user"):
    id: str = ""
    plan: str = ""
    age: int | None = None


class Wider(Record, entity="user"):
    id: str = ""
    plan: Annotated[str, Tag(sortable=True)] = ""
    age: Annotated[int | None, Numeric(sortable=True)] = None
    bio: Annotated[str, Text()] = ""


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
async def store(redis_url: str, namespace: str, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with open_store(redis_url, namespace, request.param) as opened:
        yield opened


async def test_an_index_holds_the_records_there_were_and_those_that_come(store: Store) -> None:
    schema = schema_of(User)
    for n in range(20):
        await write(store, schema, f"u{n}", {"plan": "pro", "age": n})
    assert await Index(store).create(schema)
    assert await Find(store, "user", schema).where(User.plan == "pro").count() == 20
    await write(store, schema, "late", {"plan": "pro"})
    assert await Find(store, "user", schema).where(User.plan == "pro").count() == 21


async def test_creating_again_changes_nothing(store: Store) -> None:
    index = Index(store)
    assert await index.create(schema_of(User))
    assert not await index.create(schema_of(User))
    assert len(await index.list()) == 1


async def test_many_processes_may_create_at_once(store: Store) -> None:
    await write(store, schema_of(User), "u", {"plan": "pro"})
    await asyncio.gather(*(Index(store).create(schema_of(User)) for _ in range(10)))
    assert [info.documents for info in await Index(store).list()] == [1]


async def test_a_changed_model_is_swapped_in_when_it_is_full(store: Store) -> None:
    index, old, new = Index(store), schema_of(User), schema_of(Wider)
    await index.create(old)
    await asyncio.gather(*(write(store, old, f"u{n}", {"plan": "pro", "age": n}) for n in range(1_000)))

    counts: list[int] = []
    swapped = asyncio.Event()

    async def poll() -> None:
        while not swapped.is_set():
            counts.append(await Find(store, "user", old).where(User.plan == "pro").count())

    reader = asyncio.create_task(poll())
    assert await index.create(new)
    swapped.set()
    await reader
    assert set(counts) <= {1_000}, "no reader saw an index that was not full"
    (info,) = await index.list()
    assert (info.version, info.current, info.documents) == (new.version, True, 1_000)


async def test_entities_whose_names_begin_alike_are_kept_apart(store: Store) -> None:
    schema = schema_of(User)
    await Index(store).create(schema)
    await write(store, schema, "a", {"plan": "pro"})
    await write_raw(store, "users", "b", {"plan": "pro"})
    await write_raw(store, "user.bill", "c", {"plan": "pro"})
    assert await Find(store, "user", schema).where(User.plan == "pro").ids() == ["a"]


async def test_list_tells_fields_documents_and_failures(store: Store) -> None:
    schema = schema_of(User)
    await Index(store).create(schema)
    await write(store, schema, "a", {"plan": "pro", "age": 3})
    await write_raw(store, "user", "bad", {"plan": "pro", "age": "many"})
    (info,) = await Index(store).list()
    assert (info.entity, info.documents, info.failures, info.progress) == ("user", 1, 1, 1.0)
    assert info.fields["plan"] == "TAG" and info.fields["age"] == "NUMERIC" and info.fields["_created"] == "NUMERIC"


async def test_drop_takes_the_index_and_leaves_the_records(store: Store) -> None:
    schema = schema_of(User)
    await Index(store).create(schema)
    await write(store, schema, "a", {"plan": "pro"})
    assert await Index(store).drop("user")
    assert not await Index(store).drop("user")
    with pytest.raises(IndexNotFound, match="create_index"):
        await Find(store, "user", schema).where(User.plan == "pro").count()
    await Index(store).create(schema)
    assert await Find(store, "user", schema).where(User.plan == "pro").count() == 1


async def test_a_query_without_an_index_says_what_to_do(store: Store) -> None:
    with pytest.raises(IndexNotFound, match="create_index"):
        await Find(store, "user")
    with pytest.raises(IndexNotFound, match="create_index"):
        await Find(store, "user", schema_of(User))


async def test_an_index_tells_its_fields_to_callers_without_the_model(store: Store) -> None:
    class Shop(Record, entity="shop"):
        name: Annotated[str, Text(exact=True)] = ""
        tags: list[str] = []  # noqa: RUF012 - pydantic copies it
        spot: Annotated[tuple[float, float] | None, Geo()] = None
        shape: Annotated[list[float] | None, Vector(dim=2)] = None
        price: float = 0

    await Index(store).create(schema_of(Shop))
    told = await Index(store).schema("shop")
    assert {name: column.kind for name, column in told.fields.items()} == {
        "id": "TAG",
        "name": "TEXT",
        "tags": "TAG",
        "spot": "GEO",
        "price": "NUMERIC",
    }
    await write(store, schema_of(Shop), "s", {"name": "Bread & Co", "tags": ["a", "b"], "price": 2.5})
    found = await Find(store, "shop").where(
        (field("name") == "Bread & Co") & field("name").match("bread") & (field("tags") == "b") & (field("price") < 3)
    )
    assert found.items == [{"id": "s", "name": "Bread & Co", "tags": "a\x1fb", "price": "2.5"}]


async def test_without_the_module_indexes_are_unavailable(store: Store) -> None:
    store.has_search = False
    for call in (Index(store).create(schema_of(User)), Index(store).list(), Index(store).drop("user")):
        with pytest.raises(SearchUnavailable):
            await call


async def test_every_kind_and_option_is_understood_by_the_module(store: Store) -> None:
    class Full(Record, entity="full"):
        a: Annotated[str, Tag(sortable=True, case_sensitive=False, separator=";", suffix=True)] = ""
        b: Annotated[str, Text(weight=3, sortable=True, nostem=True, phonetic="dm:en", exact=True, suffix=True)] = ""
        c: Annotated[float, Numeric(index=False, sortable=True)] = 0
        d: Annotated[str, Tag(index=False)] = ""
        e: Annotated[list[float] | None, Vector(dim=4, algorithm="FLAT", type="FLOAT64", metric="L2")] = None
        f: Annotated[str | None, Geo()] = None
        g: Annotated[list[str], Tag(separator=",")] = []  # noqa: RUF012

    schema = schema_of(Full)
    await Index(store).create(schema)
    values: dict[str, Any] = {
        "a": "X-y",
        "b": "Smith",
        "c": 1,
        "d": "d",
        "e": [1, 2, 3, 4],
        "f": "1,2",
        "g": ["x", "y"],
    }
    await write(store, schema, "one", values)
    find = Find(store, "full", schema)
    for condition in (
        Full.a == "x-Y",
        Full.a.contains("x-"),
        Full.b == "Smith",
        Full.b.match("smyth"),
        Full.f.near(1, 2, 1),
        Full.g.contains("y"),
        Full.e.knn([1, 2, 3, 4], 1),
    ):
        (item,) = (await find.where(condition)).items
        assert item.g == ["x", "y"] and item.e == [1, 2, 3, 4] and item.f == "1.0,2.0"


async def test_fields_may_be_called_as_the_module_calls_its_options(store: Store) -> None:
    class Load(Record, entity="load"):
        weight: float = 0
        sortable: bool = False
        separator: Annotated[str, Tag()] = ""
        text: Annotated[str, Text()] = ""
        noindex: Annotated[str, Text()] = ""

    schema = schema_of(Load)
    assert await Index(store).create(schema)
    assert not await Index(store).create(schema)
    written = {"weight": 2.5, "sortable": True, "separator": "x", "text": "some words", "noindex": "other words"}
    await write(store, schema, "l", written)
    load = Load  # a condition on each
    conditions = (load.weight > 2, load.sortable == True, load.separator == "x", load.noindex.match("other"))  # noqa: E712  # a condition
    assert [await Find(store, "load", schema).where(one).count() for one in conditions] == [1, 1, 1, 1]
