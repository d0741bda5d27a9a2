"""An index over the versions of a model: added to, built anew, held back, defended from older code, verified."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from meshdata.errors import IndexNotFound, IndexOutdated
from meshdata.search import Find, Geo, Index, Numeric, Record, Tag, Text, Vector, match_all, schema_of
from meshdata.search.verify import verify
from meshdata.store.store import Store
from tests.search_store import open_store, write, write_raw


class First(Record, entity="user"):
    id: str = ""
    plan: str = ""


class More(Record, entity="user"):
    id: str = ""
    plan: str = ""
    age: int | None = None
    bio: Annotated[str, Text(exact=True)] = ""


class Other(Record, entity="user"):
    id: str = ""
    plan: Annotated[str, Text()] = ""


FIRST, MORE, OTHER = schema_of(First), schema_of(More), schema_of(Other)


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
async def store(redis_url: str, namespace: str, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with open_store(redis_url, namespace, request.param) as opened:
        yield opened


async def names(store: Store) -> set[str]:
    listed = await store.command(0, "FT._LIST")
    prefix = store.keys.alias(0, "user")
    return {name.decode() for name in listed if name.decode().startswith(prefix)}


async def test_new_fields_are_added_to_the_index_there_is(store: Store) -> None:
    index = Index(store)
    await index.create(FIRST)
    await asyncio.gather(
        *(write(store, MORE, f"u{n}", {"plan": "pro", "age": n, "bio": "red dog"}) for n in range(500))
    )
    before = await names(store)
    counts: set[int] = set()
    done = asyncio.Event()

    async def poll() -> None:
        while not done.is_set():
            counts.add(await Find(store, "user", FIRST).where(First.plan == "pro").count())

    reader = asyncio.create_task(poll())
    assert await index.create(MORE)
    done.set()
    await reader
    assert counts <= {500}
    assert await names(store) == before, "no second index was built"
    find = Find(store, "user", MORE)
    assert await find.where(More.age < 10).count() == 10
    assert await find.where(More.bio.match("dog") & (More.bio == "red dog")).count() == 500
    (info,) = await index.list()
    assert (info.version, info.generation, info.current) == (MORE.version, 2, True)
    assert not await index.create(MORE)


async def test_a_field_that_a_model_lost_stays_for_who_still_asks_for_it(store: Store) -> None:
    index = Index(store)
    await index.create(MORE)
    await write(store, MORE, "u", {"plan": "pro", "age": 3})

    class Lost(Record, entity="user"):
        id: str = ""
        age: int | None = None

    await index.create(schema_of(Lost))
    assert await Find(store, "user", MORE).where(More.plan == "pro").ids() == ["u"]


async def test_older_code_works_with_the_newer_index_and_leaves_it(store: Store) -> None:
    index = Index(store)
    await index.create(FIRST)
    await index.create(MORE)
    assert not await index.create(FIRST)
    (info,) = await index.list()
    assert info.version == MORE.version
    await write(store, FIRST, "u", {"plan": "pro"})
    assert await Find(store, "user", FIRST).where(First.plan == "pro").ids() == ["u"]


async def test_older_code_that_the_newer_index_cannot_serve_is_told_and_may_be_forced(store: Store) -> None:
    index = Index(store)
    await index.create(FIRST)
    await index.create(OTHER)
    with pytest.raises(IndexOutdated, match="force=True") as caught:
        await index.create(FIRST)
    assert caught.value.missing == ["plan"]
    (info,) = await index.list()
    assert (info.version, info.generation) == (OTHER.version, 2)
    assert await index.create(FIRST, force=True)
    (info,) = await index.list()
    assert (info.version, info.generation) == (FIRST.version, 3)
    with pytest.raises(IndexOutdated):
        await index.create(OTHER)


async def test_two_versions_brought_at_once_end_with_one_index(store: Store) -> None:
    await asyncio.gather(*(write(store, FIRST, f"u{n}", {"plan": "pro"}) for n in range(50)))
    calls = [Index(store).create(schema) for schema in (FIRST, OTHER, FIRST, OTHER, FIRST)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, bool | IndexOutdated) for one in done), done
    infos = await Index(store).list()
    assert [info.current for info in infos].count(True) == 1
    (current,) = [info for info in infos if info.current]
    assert (current.documents, current.progress, current.generation) == (50, 1.0, 2)


async def test_an_index_may_be_built_and_used_later(store: Store) -> None:
    index = Index(store)
    await index.create(FIRST)
    await write(store, FIRST, "u", {"plan": "pro plus"})
    with pytest.raises(IndexNotFound):
        await index.swap(OTHER)
    told: list[float] = []
    assert await index.create(OTHER, hold=True, progress=told.append)
    assert told and told[-1] == 1.0
    assert await Find(store, "user", FIRST).where(First.plan == "pro plus").count() == 1
    assert await index.swap(OTHER)
    assert not await index.swap(OTHER)
    assert await Find(store, "user", OTHER).where(Other.plan.match("plus")).count() == 1
    (info,) = await index.list()
    assert (info.version, info.generation) == (OTHER.version, 2)


async def test_dropping_forgets_the_history(store: Store) -> None:
    index = Index(store)
    await index.create(FIRST)
    await index.create(OTHER)
    assert await index.drop("user")
    assert await index.create(FIRST)
    (info,) = await index.list()
    assert (info.version, info.generation) == (FIRST.version, 1)


async def test_verification_names_the_records_that_are_not_in_the_index(store: Store) -> None:
    class Shape(Record, entity="shape"):
        id: str = ""
        name: Annotated[str, Tag()] = ""
        size: Annotated[float | None, Numeric()] = None
        spot: Annotated[tuple[float, float] | None, Geo()] = None
        vec: Annotated[list[float] | None, Vector(dim=2)] = None

    schema = schema_of(Shape)
    with pytest.raises(IndexNotFound):
        await verify(store, "shape", schema)
    await Index(store).create(schema)
    for n in range(700):
        await write(store, schema, f"s{n}", {"name": "a", "size": n})
    good = await verify(store, "shape", schema)
    assert (good.records, good.documents, good.unindexed, good.is_whole) == (700, 700, (), True)
    odd: dict[str, dict[str, Any]] = {
        "number": {"size": "many"},
        "place": {"spot": "here"},
        "vector": {"vec": b"12"},
    }
    for id, fields in odd.items():
        await write_raw(store, "shape", id, fields)
    found = await verify(store, "shape", schema)
    assert (found.records, found.documents, found.is_whole) == (703, 700, False)
    reasons = {one.id: one.reason for one in found.unindexed}
    assert set(reasons) == set(odd)
    assert reasons["number"].startswith("size") and reasons["place"].startswith("spot")
    assert reasons["vector"].startswith("vec")
    assert len((await verify(store, "shape", limit=1)).unindexed) == 1
    assert await Find(store, "shape", schema).where(match_all()).count() == 700
