"""Queries on a real server: items, order, pages, projections, and what goes wrong."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import pytest
import redis
from pydantic import BaseModel

from meshdata.errors import CorruptRecord, InvalidOptions, MeshTimeout, QueryInvalid, ScriptFailed, SearchError
from meshdata.search import Find, Geo, Index, Numeric, Record, Tag, Text, Vector, match_all, meta, schema_of, unsafe_raw
from meshdata.store.store import Store
from tests.search_store import BORN_MS, open_store, write, write_all, write_raw


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    bio: Annotated[str, Text(sortable=True)] = ""
    age: Annotated[int | None, Numeric(sortable=True)] = None
    price: Decimal | None = None
    joined: datetime | None = None
    tags: list[str] = []  # noqa: RUF012 - pydantic copies it
    spot: Annotated[tuple[float, float] | None, Geo()] = None
    vec: Annotated[list[float] | None, Vector(dim=2, metric="L2")] = None
    notes: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it


SCHEMA = schema_of(User)


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    async with open_store(redis_url, namespace) as opened:
        await Index(opened).create(SCHEMA)
        yield opened


@pytest.fixture
def find(store: Store) -> Find[User]:
    return Find(store, "user", SCHEMA)


async def test_items_are_instances_of_the_model_exactly_as_written(store: Store, find: Find[User]) -> None:
    user = User(
        id="u",
        plan="a,b \\ c",
        bio="one\ntwo",
        age=3,
        price=Decimal("1.10"),
        joined=datetime(2024, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC),
        tags=["x", "", "y"],
        spot=(1.5, 2.5),
        vec=[1.0, 2.0],
        notes={"a": [1, None]},
    )
    await write(store, SCHEMA, "u", user.model_dump())
    for order in ((), (User.age,), (User.age, User.id), (User.price,), (User.joined, User.price)):
        page = await find.where(User.plan == "a,b \\ c").sort(*order)
        assert page.items == [user]
        assert str(page[0].price) == "1.10"


async def test_a_page_knows_the_total_and_the_next_one(store: Store, find: Find[User]) -> None:
    await write_all(store, SCHEMA, [{"id": f"u{n}", "age": n} for n in range(7)])
    page = await find.where(User.age >= 0).sort(User.age).limit(3)
    seen = [[user.age for user in page]]
    while page.next is not None:
        assert page.total == 7
        page = await page.next
        seen.append([user.age for user in page])
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(page) == 1


async def test_first_count_and_ids(store: Store, find: Find[User]) -> None:
    await write_all(store, SCHEMA, [{"id": f"u{n}", "age": n} for n in range(5)])
    q = find.where(User.age > 1).sort(-User.age)
    assert await q.count() == 3
    assert await q.ids() == ["u4", "u3", "u2"]
    assert (await q.first()) == User(id="u4", age=4)
    assert await find.where(User.age > 9).first() is None
    assert (await q.limit(0)).items == []


async def test_several_sort_fields_and_missing_ones_last(store: Store, find: Find[User]) -> None:
    rows = [("b", 1), ("a", 2), ("b", 3), ("a", None), ("c", 2)]
    await write_all(store, SCHEMA, [{"id": f"u{n}", "plan": p, "age": a} for n, (p, a) in enumerate(rows)])
    assert await find.where(match_all()).sort(User.plan, -User.age).ids() == ["u1", "u3", "u2", "u0", "u4"]
    assert await find.sort(-User.age, "-plan").ids() == ["u2", "u4", "u1", "u0", "u3"]
    assert await find.sort("age", User.id).ids() == ["u0", "u1", "u4", "u2", "u3"]
    assert (await find.sort(User.age, User.id).limit(2, offset=1)).total == 5


async def test_select_gives_typed_parts(store: Store, find: Find[User]) -> None:
    joined = datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    await write(store, SCHEMA, "u", {"plan": "pro", "age": 3, "joined": joined, "price": "0.10"}, status="done")
    part: Any = await find.where(User.plan == "pro").select(User.id, User.age, "bio", meta.status).first()
    assert part.model_dump() == {"id": "u", "age": 3, "bio": None, "status": "done"}
    exact: Any = await find.where(User.plan == "pro").select(User.joined, User.price).first()
    assert (exact.joined, str(exact.price)) == (joined, "0.10")


async def test_system_fields_are_searched_and_sorted(store: Store, find: Find[User]) -> None:
    await write(store, SCHEMA, "a", {}, status="done", created=BORN_MS, ended=BORN_MS + 5)
    await write(store, SCHEMA, "b", {}, status="failed", created=BORN_MS + 1_000, error="boom: disk\nfull")
    born = datetime.fromtimestamp(BORN_MS / 1_000, UTC)
    assert await find.where(User.meta.status == "done").ids() == ["a"]
    assert await find.where(User.meta.created > born).ids() == ["b"]
    assert await find.where(User.meta.created.between(born, born + timedelta(seconds=1))).count() == 2
    assert await find.where(User.meta.ended.is_none()).ids() == ["b"]
    assert await find.where(User.meta.error.match("disk")).count() == 0  # written without a model, so the newline glues
    assert await find.where(User.meta.error.match("boom")).ids() == ["b"]
    assert await find.sort(-meta.created).ids() == ["b", "a"]
    assert await find.where(User.id == "a").ids() == ["a"]


async def test_iteration_gives_every_hit_once_in_order(store: Store, find: Find[User]) -> None:
    chance = random.Random(7)
    ages = [chance.choice([None, 1, 1, 2, 3, 500]) for _ in range(1_700)]
    await write_all(store, SCHEMA, [{"id": f"u{n}", "age": age, "plan": "p"} for n, age in enumerate(ages)])
    for order, reverse in ((User.age, False), (-User.age, True)):
        got = [user async for user in find.where(User.plan == "p").sort(order)]
        assert sorted(user.id for user in got) == sorted(f"u{n}" for n in range(1_700))
        there = [user.age for user in got if user.age is not None]
        assert there == sorted(there, reverse=reverse)
        assert [user.age for user in got[len(there) :]] == [None] * (1_700 - len(there))
    unsorted = [user.id async for user in find.where(User.plan == "p")]
    assert unsorted == [f"u{n}" for n in range(1_700)], "without a sort, records come as they were created"
    by_tag = [user.id async for user in find.sort(User.id)]
    assert by_tag == sorted(by_tag) and len(by_tag) == 1_700
    both = [(user.plan, user.age or math.inf) async for user in find.sort(User.age, User.id).limit(900)]
    assert len(both) == 900 and both == sorted(both)
    assert len([user async for user in find.limit(3)]) == 3


async def test_places_and_vectors(store: Store, find: Find[User]) -> None:
    spots = {"berlin": (13.4, 52.52), "potsdam": (13.06, 52.4), "paris": (2.35, 48.86)}
    await write_all(store, SCHEMA, [{"id": name, "spot": spot} for name, spot in spots.items()])
    assert sorted(await find.where(User.spot.near(13.4, 52.5, 50)).ids()) == ["berlin", "potsdam"]
    vectors = [("a", [0.0, 0.0], "x"), ("b", [1.0, 0.0], "x"), ("c", [2.0, 0.0], "y"), ("d", [3.0, 0.0], "x")]
    await write_all(store, SCHEMA, [{"id": id, "vec": vec, "plan": plan} for id, vec, plan in vectors])
    nearest = find.where(User.vec.knn([1.9, 0.0], 2))
    assert await nearest.ids() == ["c", "b"]
    assert await nearest.count() == 2
    assert await find.where(User.vec.knn([1.9, 0.0], 2), User.plan == "x").ids() == ["b", "d"]


async def test_without_a_model_items_are_dicts_of_text(store: Store) -> None:
    await write(store, SCHEMA, "u", {"plan": "pro", "age": 3, "tags": ["a"]}, status="done")
    find: Find[dict[str, str]] = Find(store, "user")
    page = await find.where([{"field": "plan", "is": "=", "value": "pro"}, {"field": "age", "is": ">", "value": "2"}])
    assert page.items == [{"id": "u", "plan": "pro", "age": "3", "tags": "a"}]
    assert (await find.select("age", "_status").first()) == {"age": "3", "_status": "done"}
    assert (await find.sort("-age")).total == 1
    with pytest.raises(QueryInvalid, match="no field 'plam'"):
        await find.where({"field": "plam", "value": "x"})


async def test_a_plain_model_is_searched_as_well(store: Store) -> None:
    class Car(BaseModel):
        wheels: int = 4

    schema = schema_of(Car, "car")
    await Index(store).create(schema)
    await write(store, schema, "c", {"wheels": 3})
    assert (await Find(store, "car", schema).where({"field": "wheels", "is": "<", "value": 4})).items == [Car(wheels=3)]


async def test_an_empty_filter_is_an_error_and_match_all_is_how_to_say_it(store: Store, find: Find[User]) -> None:
    for empty in ((), ([],)):
        with pytest.raises(QueryInvalid, match="match_all"):
            find.where(*empty)
    await write(store, SCHEMA, "u", {})
    assert await find.where(match_all()).count() == 1


async def test_mistakes_are_typed_errors_where_they_are_written(find: Find[User]) -> None:
    with pytest.raises(QueryInvalid, match="User has no field 'plam'"):
        find.where({"field": "plam", "value": 1})
    with pytest.raises(QueryInvalid, match="cannot be sorted by"):
        find.sort(User.notes)
    with pytest.raises(QueryInvalid, match="no field"):
        find.select("plam")
    with pytest.raises(InvalidOptions, match="limit"):
        find.limit(-1)
    with pytest.raises(InvalidOptions, match="timeout"):
        find.timeout(0)


async def test_a_record_that_expired_under_the_query_is_left_out(
    store: Store, find: Find[User], redis_client: redis.Redis
) -> None:
    for n in range(3):
        await write(store, SCHEMA, f"u{n}", {"plan": "pro"})
    key = store.keys.record("user:u1")
    # as the query sees it between the key's end and the server's own sweep: counted, without fields
    seen = False
    for _ in range(200):
        await write(store, SCHEMA, "u1", {"plan": "pro"})
        redis_client.pexpire(key, 1)
        while redis_client.exists(key):
            pass
        page = await find.where(User.plan == "pro")
        assert sorted(user.id for user in page) == ["u0", "u2"]
        assert page.total == 2
        seen = True
    assert seen


async def test_a_record_whose_workflow_has_not_written_all_yet_is_found(store: Store) -> None:
    class Order(Record, entity="order"):
        id: str
        total: float
        state: str

    schema = schema_of(Order)
    await Index(store).create(schema)
    await write(store, schema, "o", {"state": "new"})
    (order,) = (await Find(store, "order", schema).where(Order.state == "new")).items
    assert isinstance(order, Order)
    assert (order.id, order.state, hasattr(order, "total")) == ("o", "new", False)


async def test_a_stored_value_that_does_not_fit_is_told(store: Store, find: Find[User]) -> None:
    await write_raw(store, "user", "u", {"plan": "pro", "notes": "{"})
    with pytest.raises(CorruptRecord, match="notes"):
        await find.where(User.plan == "pro")
    assert await find.where(User.plan == "pro").ids() == ["u"]


async def test_raw_text_binds_its_values(store: Store, find: Find[User]) -> None:
    await write_all(store, SCHEMA, [{"id": f"u{n}", "age": n, "plan": "pro"} for n in range(5)])
    q = find.where(unsafe_raw("@age:[$low $high]", low=1, high=3) & (User.plan == "pro")).sort(User.age)
    assert await q.ids() == ["u1", "u2", "u3"]
    with pytest.raises(QueryInvalid):
        await find.where(unsafe_raw("@age:[1"))


async def test_explain_shows_the_command(find: Find[User], store: Store) -> None:
    told = find.where(User.plan == "pro").sort(-User.age).limit(5).explain()
    alias = store.keys.alias(0, "user")
    assert told == (f"FT.SEARCH {alias} @plan:{{$p1}} SORTBY age DESC LIMIT 0 5 TIMEOUT 5000 PARAMS 2 p1 pro DIALECT 2")


class Answering:
    """A store that answers every search with what it was given."""

    def __init__(self, inner: Store, answer: Any) -> None:
        self.inner, self.answer = inner, answer
        self.keys, self.partitions, self.has_search = inner.keys, inner.partitions, True

    async def command(self, partition: int, *args: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_an_answer_that_is_not_whole_is_an_error(store: Store) -> None:
    partial = {b"results": [], b"total_results": 3, b"warning": [b"Timeout limit was reached"]}
    with pytest.raises(MeshTimeout):
        await Find(Answering(store, partial), "user", SCHEMA)
    other = {b"results": [], b"total_results": 3, b"warning": [b"Max prefix expansions limit was reached"]}
    with pytest.raises(SearchError, match="not whole"):
        await Find(Answering(store, other), "user", SCHEMA)
    with pytest.raises(MeshTimeout):
        await Find(Answering(store, ScriptFailed("Timeout limit was reached")), "user", SCHEMA)
