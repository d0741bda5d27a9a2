"""The same questions to one partition and to four: the answers are the same."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from meshdata.search import (
    Aggregate,
    Find,
    Index,
    Numeric,
    Record,
    Tag,
    Text,
    Vector,
    avg,
    count,
    field,
    match_all,
    max_,
    min_,
    schema_of,
    sum_,
)
from meshdata.store.store import Store
from tests.search_store import open_store, write_all


class User(Record, entity="user"):
    id: str
    plan: Annotated[str | None, Tag(sortable=True)] = None
    bio: Annotated[str, Text()] = ""
    age: Annotated[int | None, Numeric(sortable=True)] = None
    price: float | None = None
    vec: Annotated[list[float] | None, Vector(dim=2, metric="L2")] = None


SCHEMA = schema_of(User)


def records(size: int) -> list[dict[str, Any]]:
    chance = random.Random(1)
    return [
        {
            "id": f"u{n:04}",
            "plan": chance.choice(["free", "pro", "team", None]),
            "bio": " ".join(chance.choices(["red", "green", "blue"], k=3)),
            "age": chance.choice([None, *range(20)]),
            "price": round(chance.uniform(0, 100), 3),
            "vec": [chance.random(), chance.random()],
        }
        for n in range(size)
    ]


@pytest.fixture
async def both(redis_url: str, namespace: str) -> AsyncIterator[tuple[Store, Store]]:
    """The same records in a namespace of one partition and in one of four."""
    async with open_store(redis_url, f"{namespace}a") as one, open_store(redis_url, f"{namespace}b", 4) as four:
        for store in (one, four):
            await Index(store).create(SCHEMA)
            await write_all(store, SCHEMA, records(400))
        yield one, four


async def test_records_are_spread(both: tuple[Store, Store]) -> None:
    assert {both[1].keys.partition(f"user:{one['id']}") for one in records(400)} == {0, 1, 2, 3}


ORDERS: list[tuple[Any, ...]] = [
    (User.id,),
    (-User.id,),
    (User.age, User.id),
    (-User.age, User.id),
    (User.plan, -User.price, User.id),
    (-User.plan, User.age, -User.id),
    (User.meta.created,),
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
async def test_sort_and_limit_are_those_of_one_partition(both: tuple[Store, Store], order: tuple[Any, ...]) -> None:
    one, four = (Find(store, "user", SCHEMA).where((User.age > 3) | User.plan.is_none()).sort(*order) for store in both)
    assert await one.count() == await four.count()
    for offset in (0, 7, 120, 390):
        pages = [await find.limit(25, offset=offset) for find in (one, four)]
        assert pages[0].items == pages[1].items
        assert pages[0].total == pages[1].total
    assert [user async for user in one] == [user async for user in four]
    assert await one.limit(30).ids() == await four.limit(30).ids()


async def test_pages_neither_repeat_nor_skip_where_sort_keys_are_equal(both: tuple[Store, Store]) -> None:
    for store in both:
        page = await Find(store, "user", SCHEMA).where(match_all()).sort(-User.plan).limit(33)
        seen = [user.id for user in page]
        while page.next is not None:
            page = await page.next
            seen += [user.id for user in page]
        assert sorted(seen) == [one["id"] for one in records(400)]


async def test_nearest_neighbours_are_those_of_all_partitions(both: tuple[Store, Store]) -> None:
    answers = []
    for store in both:
        page = await Find(store, "user", SCHEMA).where(User.vec.knn([0.5, 0.5], 10) & (User.plan == "pro"))
        answers.append(([user.id for user in page], page.total))
    assert answers[0] == answers[1]
    assert len(answers[0][0]) == 10


async def test_select_and_relevance_over_partitions(both: tuple[Store, Store]) -> None:
    one, four = (Find(store, "user", SCHEMA) for store in both)
    picked = [await find.where(User.age == 3).sort(User.id).select(User.id, User.age) for find in (one, four)]
    assert [part.model_dump() for part in picked[0]] == [part.model_dump() for part in picked[1]]
    top = await four.where(User.bio.match("red")).limit(5)
    assert len(top) == 5 and all("red" in user.bio for user in top)


AGGREGATES: list[Any] = [
    lambda a: a.group_by(User.plan).reduce(n=count()).sort("-n"),
    lambda a: (
        a.where(User.age > 3)
        .group_by(User.plan)
        .reduce(n=count(), total=sum_(User.price), mean=avg(User.age), low=min_(User.age), high=max_(User.price))
        .sort("n", "plan")
    ),
    lambda a: a.reduce(n=count(), mean=avg(User.price)),
    lambda a: (
        a.group_by(User.plan, User.age)
        .reduce(n=count())
        .having(field("n") > 3)
        .apply(double="@n * 2")
        .sort("-double", "plan", "age")
        .limit(7, offset=1)
    ),
    lambda a: a.group_by(User.age).reduce(n=count()).having("@n > 15 && @n < 25").sort("age").limit(100),
    lambda a: a.group_by(User.plan).reduce(n=count()).having((field("plan") == "pro") | (field("n") < 0)),
]


@pytest.mark.parametrize("build", AGGREGATES)
async def test_aggregates_are_those_of_one_partition(both: tuple[Store, Store], build: Any) -> None:
    one, four = [await build(Aggregate(store, "user", SCHEMA)) for store in both]
    assert len(one) == len(four) > 0
    for left, right in zip(one, four, strict=True):
        assert left == pytest.approx(right)
