"""Many records at once: created or changed in batches, each accounted for."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
import redis
from pydantic import Field

from meshdata import MeshData
from meshdata.entity import bulk
from meshdata.errors import (
    InvalidOptions,
    RecordExists,
    RecordInvalid,
    RecordNotFound,
    ScriptFailed,
    StoreUnavailable,
    UniqueViolation,
)
from meshdata.search import Record, Tag, match_all


class Item(Record, entity="item"):
    id: str
    name: str = ""
    price: float = 0
    tags: list[str] = Field(default=[])


class Coupon(Record, entity="coupon"):
    id: str
    code: Annotated[str, Tag(unique=True)]


async def count(mesh: MeshData) -> int:
    return await mesh.find(Item).where(match_all()).count()


async def test_many_records_are_created_and_found(mesh: MeshData) -> None:
    await mesh.create_index(Item)
    items = [Item(id=f"i{n}", name=f"name {n}", price=n / 2, tags=[str(n % 7)]) for n in range(2_500)]
    report = await mesh.create_many(Item, items, ttl="1 minute")
    assert (report.created, report.updated, report.failed) == (2_500, 0, [])
    report.raise_for_failures()
    assert await count(mesh) == 2_500
    assert await mesh.get(Item, "i2499") == items[-1]
    items[3].price = 9.5
    assert await mesh.update(items[3], if_unchanged=True) == 1


async def test_each_record_that_is_refused_is_told_of_and_the_others_are_written(mesh: MeshData) -> None:
    await mesh.create(Item(id="there"), ttl="1 minute")
    broken = Item(id="broken")
    broken.price = "much"  # type: ignore[assignment]  # pydantic does not check an assignment by default
    report = await mesh.create_many(
        Item,
        [
            Item(id="a"),
            Item(id="there"),
            {"id": "b", "price": "2"},
            {"id": "c", "prize": 1},
            ("d", {"name": "D"}),
            broken,
            {"name": "no id"},
            7,
            Item(id="a"),
            Item(id=""),
        ],
        ttl="1 minute",
    )
    assert (report.created, report.updated) == (3, 0)
    assert [(one.position, one.id, type(one.error)) for one in report.failed] == [
        (1, "there", RecordExists),
        (3, "c", RecordInvalid),
        (5, "broken", RecordInvalid),
        (6, "", InvalidOptions),
        (7, "", InvalidOptions),
        (8, "a", RecordExists),
        (9, "", InvalidOptions),
    ]
    with pytest.raises(ExceptionGroup) as caught:
        report.raise_for_failures()
    assert len(caught.value.exceptions) == 7
    assert (await mesh.get(Item, "b")).price == 2.0
    assert (await mesh.get(Item, "d")).name == "D"


async def test_many_records_are_updated_by_what_differs(mesh: MeshData) -> None:
    items = [Item(id=f"i{n}", name="old", price=1) for n in range(300)]
    await mesh.create_many(Item, items, ttl="1 minute")
    for item in items:
        item.name = "new"
    await mesh.incr(Item, "i7", "price", 5)
    gone = await mesh.create(Item(id="gone"))
    await mesh.delete(gone)
    gone.name = "new"
    report = await mesh.update_many(Item, [*items, gone, ("i8", {"price": 3}), {"id": "i9", "name": None}])
    assert (report.created, report.updated) == (0, 302)
    assert [(one.id, type(one.error)) for one in report.failed] == [("gone", RecordNotFound)]
    assert await mesh.get(Item, "i7", "name", "price") == {"name": "new", "price": 6}
    assert await mesh.get(Item, "i8", "price") == {"price": 3}
    assert await mesh.get(Item, "i9", "name") == {"name": None}
    items[7].tags = ["x"]
    assert await mesh.update(items[7]) == 1
    again = await mesh.update_many(Item, items[:5])
    assert (again.updated, again.unchanged) == (0, 5)
    assert (await mesh.raw("item", "i0"))["_rev"] == b"2"


async def test_records_without_a_model(mesh: MeshData) -> None:
    report = await mesh.create_many("loose", [{"id": n, "a": n} for n in range(5)], ttl="1 minute")
    assert report.created == 5
    assert await mesh.get("loose", "3") == {"a": "3"}


async def test_a_generator_is_read_no_faster_than_records_are_written(mesh: MeshData) -> None:
    taken = 0

    def make() -> Iterator[Item]:
        nonlocal taken
        for n in range(3_000):
            taken += 1
            yield Item(id=f"i{n}")

    written = 0
    real = mesh.store.change_many

    async def slow(*args: Any, **options: Any) -> Any:
        nonlocal written
        ahead = taken - written
        assert ahead <= (bulk.IN_FLIGHT + 1) * bulk.BATCH_RECORDS * mesh.store.partitions
        await asyncio.sleep(0)
        answer = await real(*args, **options)
        written += len(answer)
        return answer

    mesh.store.change_many = slow  # type: ignore[method-assign]
    report = await mesh.create_many(Item, make(), ttl="1 minute")
    assert report.created == written == 3_000


async def test_an_asynchronous_generator_serves_too_and_its_error_comes_through(mesh: MeshData) -> None:
    async def make() -> AsyncIterator[Item]:
        for n in range(250):
            yield Item(id=f"i{n}")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        await mesh.create_many(Item, make(), ttl="1 minute")
    for wrong in (Item(id="x"), {"id": "x"}, "x", 3):
        with pytest.raises(InvalidOptions) as caught:
            await mesh.create_many(Item, wrong)  # type: ignore[arg-type]
        assert caught.value.argument == "records"


async def test_what_a_broken_connection_leaves_unknown_is_said(mesh: MeshData) -> None:
    real = mesh.store.change_many
    calls = 0

    async def breaks(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreUnavailable("whether it took effect is unknown")
        return await real(*args, **options)

    mesh.store.change_many = breaks  # type: ignore[method-assign]
    report = await mesh.create_many(Item, [Item(id=f"i{n}") for n in range(1_000)], ttl="1 minute")
    assert report.failed
    assert report.created + len(report.failed) == 1_000
    assert {type(one.error) for one in report.failed} == {StoreUnavailable}


async def test_what_nobody_foresaw_is_raised_and_not_lost(mesh: MeshData) -> None:
    async def breaks(*args: Any, **options: Any) -> Any:
        raise RuntimeError("a bug")

    mesh.store.change_many = breaks  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a bug"):
        await mesh.create_many(Item, [Item(id=f"i{n}") for n in range(500)])


async def test_one_record_that_redis_refuses_does_not_take_the_others_with_it(
    mesh: MeshData, redis_client: redis.Redis
) -> None:
    base = mesh.store.keys.record("item:bad")
    redis_client.set(base, "no hash", px=60_000)
    report = await mesh.create_many(Item, [Item(id="a"), Item(id="b")], ttl="1 minute")
    assert report.created == 2
    again = await mesh.update_many(Item, [("a", {"name": "x"}), ("bad", {"name": "x"}), ("b", {"name": "x"})])
    assert again.updated == 2
    assert [(one.id, type(one.error)) for one in again.failed] == [("bad", ScriptFailed)]


@pytest.mark.parametrize("partitions", [1])
async def test_unique_fields_are_held_within_a_batch(mesh: MeshData) -> None:
    report = await mesh.create_many(
        Coupon, [Coupon(id="a", code="x"), Coupon(id="b", code="x"), Coupon(id="c", code="y")], ttl="1 minute"
    )
    assert report.created == 2
    (refused,) = report.failed
    assert isinstance(refused.error, UniqueViolation)
    assert (refused.error.id, refused.error.holder) == ("b", "a")
