"""The same aggregates of one partition, of four, and without the module, held against each other; time in zones."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search import (
    Aggregate,
    Index,
    Numeric,
    Record,
    Tag,
    avg,
    by_day,
    by_hour,
    by_minute,
    by_month,
    by_week,
    count,
    count_distinct,
    count_distinctish,
    field,
    first,
    match_all,
    max_,
    meta,
    min_,
    quantile,
    random_sample,
    schema_of,
    stddev,
    sum_,
    tolist,
)
from meshdata.store.store import Store
from tests.search_store import open_store, write

BERLIN = ZoneInfo("Europe/Berlin")


class Job(Record, entity="job"):
    id: str
    kind: Annotated[str | None, Tag(sortable=True)] = None
    cost: Annotated[float | None, Numeric(sortable=True)] = None
    size: int | None = None
    at: datetime | None = None


SCHEMA = schema_of(Job)
SIZE = 400


def jobs() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Records, each with its system fields: born around the night in which clocks go back, some of them ended."""
    chance = random.Random(8)
    found = []
    for n in range(SIZE):
        born = datetime(2024, 10, 26, 20, tzinfo=UTC) + timedelta(minutes=chance.randrange(600), milliseconds=n)
        born_ms = round(born.timestamp() * 1000)
        system: dict[str, Any] = {"created": born_ms, "status": chance.choice(["done", "failed", "running"])}
        if system["status"] != "running":
            system["ended"] = born_ms + chance.randrange(10, 5_000)
        values = {
            "kind": chance.choice(["a", "b", "c", None]),
            "cost": chance.choice([None, 0.0, 0.5, 1.25, 8.0]),
            "size": chance.choice([None, *range(30)]),
            "at": chance.choice([None, born]),
        }
        found.append(({"id": f"j{n:03}", **{k: v for k, v in values.items() if v is not None}}, system))
    return found


JOBS = jobs()


class Plain:
    """The same store, on a server without the module."""

    has_search = False

    def __init__(self, store: Store) -> None:
        self.keys, self.partitions, self.command = store.keys, store.partitions, store.command
        self.changes = store.changes


@pytest.fixture
async def stores(redis_url: str, namespace: str) -> AsyncIterator[list[Any]]:
    """One partition, four, and four without the module: the same records in each."""
    async with open_store(redis_url, f"{namespace}a") as one, open_store(redis_url, f"{namespace}b", 4) as four:
        for store in (one, four):
            await Index(store).create(SCHEMA)
            for values, system in JOBS:
                await write(store, SCHEMA, values["id"], values, **system)
        yield [one, four, Plain(four)]


def tidy(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(value, key=repr)
    return pytest.approx(value) if isinstance(value, float) else value


AGGREGATES: dict[str, Any] = {
    "all reducers": lambda a: (
        a.group_by(Job.kind)
        .reduce(
            n=count(),
            total=sum_(Job.cost),
            low=min_(Job.cost),
            high=max_(Job.size),
            mean=avg(Job.size),
            spread=stddev(Job.size),
            median=quantile(Job.size, 0.5),
            p95=quantile(Job.cost, 0.95),
            kinds=count_distinct(Job.size),
            sizes=tolist(Job.size),
            last=first(Job.id, by=-meta.created),
            eldest=first(Job.id, by=meta.created),
            sample=random_sample(Job.size, 1000),
            until=max_(Job.at),
        )
        .sort("kind")
    ),
    "all in one row": lambda a: a.reduce(n=count(), mean=avg(Job.cost), p=quantile(Job.size, 0.9), s=stddev(Job.cost)),
    "of none": lambda a: a.where(Job.kind == "none").group_by(Job.kind).reduce(n=count()),
    "first by a field that some lack": lambda a: (
        a.where(Job.cost == 0.5)
        .group_by(Job.kind)
        .reduce(cheapest=first(Job.size, by="size"), dearest=first(Job.size, by="-size"))
        .sort("kind")
    ),
    "duration by hour and status": lambda a: (
        a.apply(took="@_ended - @_created")
        .group_by(by_hour(meta.created), meta.status)
        .reduce(n=count(), p95=quantile("took", 0.95), mean=avg("took"), worst=max_("took"))
        .sort("hour", "_status")
    ),
    "hours of a zone": lambda a: a.group_by(by_hour(meta.created, "Europe/Berlin")).reduce(n=count()).sort("hour"),
    "days of a zone": lambda a: a.group_by(by_day(meta.created, "Europe/Berlin")).reduce(n=count()).sort("day"),
    "weeks of a zone": lambda a: (
        a.group_by(by_week(Job.at, "Australia/Lord_Howe")).reduce(n=count(), m=avg(Job.cost)).sort("week")
    ),
    "months and minutes": lambda a: (
        a.group_by(by_month(meta.created, "Asia/Kolkata"), by_minute(meta.ended))
        .reduce(n=count())
        .having(field("n") > 1)
        .sort("-n", "minute")
    ),
    "computed and grouped by": lambda a: (
        a.apply(big="@size > 15").group_by("big").reduce(n=count(), q=quantile(Job.cost, 0.5)).sort("big")
    ),
    "two expressions": lambda a: (
        a.apply(x="floor(@cost * 2) + 1", y="abs(@size - 10) % 4")
        .group_by("y")
        .reduce(n=count(), x=sum_("x"), d=tolist("x"), q=quantile("x", 0.3))
        .sort("y")
    ),
    "having, apply, sort, limit": lambda a: (
        a.where((Job.size > 3) | Job.kind.is_none())
        .group_by(Job.kind, meta.status)
        .reduce(n=count(), total=sum_(Job.size))
        .having((field("n") > 5) & ~(field("kind") == "a"))
        .apply(each="@total / @n", odd="@n % 2 == 1")
        .sort("-each", "kind", "_status")
        .limit(4, offset=1)
    ),
}


@pytest.mark.parametrize("name", AGGREGATES)
async def test_rows_are_the_same_everywhere(stores: list[Any], name: str) -> None:
    one, four, plain = [await AGGREGATES[name](Aggregate(store, "job", SCHEMA)) for store in stores]
    assert len(one) > 0 or name == "of none"
    for other in (four, plain):
        assert len(other) == len(one)
        for left, right in zip(one, other, strict=True):
            assert list(left) == list(right)
            for column in left:
                assert tidy(left[column]) == tidy(right[column]), column
    for store, rows in zip(stores, (one, four, plain), strict=True):
        iterated = [row async for row in AGGREGATES[name](Aggregate(store, "job", SCHEMA))]
        assert len(iterated) == len(rows)


async def test_jobs_per_hour_by_status_with_p95_duration_is_what_plain_python_says(stores: list[Any]) -> None:
    expected: dict[tuple[datetime, str], list[float | None]] = {}
    for _, system in JOBS:
        hour = datetime.fromtimestamp(system["created"] / 1000, UTC).replace(minute=0, second=0, microsecond=0)
        took = system["ended"] - system["created"] if "ended" in system else None
        expected.setdefault((hour, system["status"]), []).append(took)
    for store in stores:
        rows = await (
            Aggregate(store, "job", SCHEMA)
            .apply(took="@_ended - @_created")
            .group_by(by_hour(meta.created, "Europe/Berlin"), meta.status)
            .reduce(n=count(), p95=quantile("took", 0.95), spread=stddev("took"))
        )
        assert len(rows) == len(expected)
        for row in rows:
            assert row["hour"].tzinfo == BERLIN
            values = expected[row["hour"].astimezone(UTC), row["_status"]]
            there = sorted(value for value in values if value is not None)
            assert row["n"] == len(values)
            assert row["p95"] == (there[-(-len(there) * 95 // 100) - 1] if there else None)
            deviation = statistics.stdev(there) if len(there) > 1 else 0.0
            assert row["spread"] == (pytest.approx(deviation) if there else None)


async def test_an_hour_that_comes_twice_is_two_and_a_day_of_25_hours_is_one(stores: list[Any]) -> None:
    moments = [datetime.fromtimestamp(system["created"] / 1000, BERLIN) for _, system in JOBS]
    for store in stores:
        find = Aggregate(store, "job", SCHEMA)
        hours = await find.group_by(by_hour(meta.created, BERLIN)).reduce(n=count()).sort("hour")
        twos = [row for row in hours if row["hour"].hour == 2]
        assert [row["hour"].utcoffset() for row in twos] == [timedelta(hours=2), timedelta(hours=1)]
        days = await find.group_by(by_day(meta.created, BERLIN)).reduce(n=count()).sort("day")
        counted = Counter(moment.date() for moment in moments)
        assert {row["day"].date(): row["n"] for row in days} == counted
        assert all((row["day"].hour, row["day"].tzinfo) == (0, BERLIN) for row in days)


async def test_large_results_come_by_cursor(stores: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshdata.search.reply._ROWS_AT_ONCE", 37)
    monkeypatch.setattr("meshdata.search.aggregate.GROUP_LIMIT", 100)
    monkeypatch.setattr("meshdata.search.steps.GROUP_LIMIT", 100)
    one = Aggregate(stores[0], "job", SCHEMA).group_by(Job.id).reduce(n=count()).sort("id")
    assert [row["id"] async for row in one] == [values["id"] for values, _ in JOBS]
    async for row in one:  # a reader that stops early leaves no cursor behind
        assert row["n"] == 1
        break
    for store in stores[:2]:
        with pytest.raises(QueryInvalid, match="more than 100 groups"):
            await Aggregate(store, "job", SCHEMA).group_by(Job.id).reduce(n=count())


async def test_a_sample_is_of_the_size_asked_for_and_of_the_group(stores: list[Any]) -> None:
    for store in stores:
        rows = await Aggregate(store, "job", SCHEMA).group_by(Job.kind).reduce(s=random_sample(Job.id, 5))
        for row in rows:
            assert len(set(row["s"])) == 5
            assert {values.get("kind") for values, _ in JOBS if values["id"] in row["s"]} == {row["kind"]}


async def test_an_estimate_of_different_values_is_near_their_number(stores: list[Any]) -> None:
    for store in stores:
        (row,) = await Aggregate(store, "job", SCHEMA).reduce(ids=count_distinctish(Job.id), n=count_distinct(Job.id))
        assert row["n"] == SIZE
        assert row["ids"] == pytest.approx(SIZE, rel=0.1)


async def test_mistakes_are_typed_errors(stores: list[Any]) -> None:
    for store in stores:
        find = Aggregate(store, "job", SCHEMA).where(match_all())
        for wrong, said in [
            (lambda find: find.group_by(by_hour(Job.kind)).reduce(n=count()), "no moments"),
            (lambda find: find.group_by(by_hour(meta.created, name="kind")).reduce(n=count()), "a field already"),
            (lambda find: find.group_by(Job.kind).reduce(n=avg(Job.kind)), "reads numbers"),
            (lambda find: find.group_by(by_hour("nope")).reduce(n=count()), "no field"),
            (lambda find: find.group_by(by_hour("at"), by_hour("_created")), "twice"),
        ]:
            with pytest.raises(QueryInvalid, match=said):
                await wrong(find)
    with pytest.raises(InvalidOptions, match="no time zone"):
        by_day("at", "Europe/Atlantis")
    with pytest.raises(QueryInvalid, match="1 to 1000"):
        random_sample("at", 0)
