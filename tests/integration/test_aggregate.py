"""Aggregates on a real server, held against plain Python."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest

from meshdata.errors import QueryInvalid
from meshdata.search import (
    Aggregate,
    Index,
    Numeric,
    Record,
    Tag,
    avg,
    count,
    count_distinct,
    field,
    first,
    max_,
    min_,
    quantile,
    schema_of,
    stddev,
    sum_,
    tolist,
)
from meshdata.store.store import Store
from tests.search_store import open_store, write, write_all


class Sale(Record, entity="sale"):
    id: str
    shop: Annotated[str, Tag(sortable=True)]
    amount: Annotated[float | None, Numeric(sortable=True)] = None
    pieces: int | None = None
    paid: bool = False
    at: datetime | None = None


SALES: list[dict[str, Any]] = [
    {"id": f"s{n}", "shop": shop, "amount": amount, "pieces": n, "paid": n % 2 == 0, "at": datetime(2024, 1, n + 1)}
    for n, (shop, amount) in enumerate([("a", 1.5), ("a", 2.5), ("b", 10.0), ("b", 30.0), ("a", 5.0), ("c", None)])
]


@pytest.fixture
async def aggregate(redis_url: str, namespace: str) -> AsyncIterator[Aggregate]:
    async with open_store(redis_url, namespace) as opened:
        await Index(opened).create(schema_of(Sale))
        await write_all(opened, schema_of(Sale), SALES)
        yield Aggregate(opened, "sale", schema_of(Sale))


async def test_all_reducers(aggregate: Aggregate) -> None:
    rows = await (
        aggregate.group_by(Sale.shop)
        .reduce(
            n=count(),
            total=sum_(Sale.amount),
            low=min_(Sale.amount),
            high=max_(Sale.amount),
            mean=avg(Sale.amount),
            spread=stddev(Sale.amount),
            middle=quantile(Sale.amount, 0.5),
            kinds=count_distinct(Sale.paid),
            all=tolist(Sale.pieces),
            latest=first(Sale.pieces, by="-at"),
            pieces=sum_(Sale.pieces),
            until=max_(Sale.at),
        )
        .sort("shop")
    )
    a, b, c = rows
    amounts = [1.5, 2.5, 5.0]
    assert (a["shop"], a["n"], a["total"], a["low"], a["high"]) == ("a", 3, 9.0, 1.5, 5.0)
    assert a["mean"] == pytest.approx(3.0)
    assert a["spread"] == pytest.approx(statistics.stdev(amounts))
    assert (a["middle"], a["kinds"], sorted(a["all"]), a["latest"], a["pieces"]) == (2.5, 2, [0, 1, 4], 4, 5)
    assert a["until"] == datetime(2024, 1, 5, tzinfo=UTC)
    assert (b["total"], b["n"]) == (40.0, 2)
    assert {name: c[name] for name in ("n", "total", "low", "high", "mean", "spread", "middle")} == {
        "n": 1, "total": 0.0, "low": None, "high": None, "mean": None, "spread": None, "middle": None,
    }  # fmt: skip


async def test_where_having_apply_sort_and_limit(aggregate: Aggregate) -> None:
    q = aggregate.where(Sale.amount > 1).group_by(Sale.shop).reduce(n=count(), total=sum_(Sale.amount))
    assert await q.having(field("n") >= 3) == [{"shop": "a", "n": 3, "total": 9.0}]
    assert await q.having({"field": "shop", "is": "=", "value": "b"}) == [{"shop": "b", "n": 2, "total": 40.0}]
    applied = await q.apply(each="@total / @n").sort("-each").limit(1)
    assert applied == [{"shop": "b", "n": 2, "total": 40.0, "each": 20.0}]
    assert [row["shop"] async for row in q.sort("total")] == ["a", "b"]
    assert await aggregate.group_by("shop").reduce(low=min_("amount")).having(field("low") < 1) == []


async def test_a_column_computed_for_each_record_can_be_grouped_by(aggregate: Aggregate) -> None:
    rows = await aggregate.apply(even="@pieces % 2").group_by("even").reduce(n=count()).sort("even")
    assert rows == [{"even": 0.0, "n": 3}, {"even": 1.0, "n": 3}]


async def test_one_row_for_all(aggregate: Aggregate) -> None:
    assert await aggregate.reduce(n=count(), mean=avg(Sale.pieces)) == [{"n": 6, "mean": 2.5}]
    assert await aggregate.where(Sale.shop == "nowhere").group_by(Sale.shop).reduce(n=count()) == []


async def test_groups_of_bool_and_time_are_typed(aggregate: Aggregate) -> None:
    assert await aggregate.group_by(Sale.paid).reduce(n=count()).sort("paid") == [
        {"paid": False, "n": 3},
        {"paid": True, "n": 3},
    ]
    rows = await aggregate.where(Sale.shop == "c").group_by(Sale.at).reduce(n=count())
    assert rows == [{"at": datetime(2024, 1, 6, tzinfo=UTC), "n": 1}]


async def test_mistakes_are_typed_errors(aggregate: Aggregate) -> None:
    with pytest.raises(QueryInvalid, match="no field 'nope'"):
        await aggregate.group_by("nope").reduce(n=count())
    with pytest.raises(QueryInvalid, match="reduce"):
        await aggregate.group_by("shop")
    with pytest.raises(QueryInvalid, match="plain name"):
        aggregate.reduce(**{"a b": count()})
    with pytest.raises(QueryInvalid, match="quantile"):
        quantile("amount", 2)
    with pytest.raises(QueryInvalid, match="without quotes"):
        await aggregate.group_by("shop").reduce(n=count()).having(field("shop") == "it's")
    with pytest.raises(QueryInvalid):
        await aggregate.group_by("shop").reduce(n=count()).having("@n >")


class Visit(Record, entity="visit"):
    id: str
    page: Annotated[str, Tag(sortable=True)]
    took: Annotated[int, Numeric(sortable=True)]


VISITS: list[dict[str, Any]] = [{"id": f"v{n}", "page": "ab"[n % 2], "took": n} for n in range(6)]


@pytest.fixture
async def visits(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    async with open_store(redis_url, namespace) as opened:
        await Index(opened).create(schema_of(Visit))
        await write_all(opened, schema_of(Visit), VISITS)
        yield opened


def watched(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that are sent from now on, each as one text."""
    sent: list[str] = []
    send = store.command

    async def command(partition: int, *args: Any) -> Any:
        sent.append(" ".join(map(str, args)))
        return await send(partition, *args)

    monkeypatch.setattr(store, "command", command)
    return sent


async def test_a_field_that_all_records_have_is_not_counted_record_by_record(
    visits: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = watched(visits, monkeypatch)
    find = Aggregate(visits, "visit", schema_of(Visit)).group_by(Visit.page)
    rows = await find.reduce(n=count(), mean=avg(Visit.took), least=min_(Visit.took)).sort("-mean")
    assert rows == [
        {"page": "b", "n": 3, "mean": 3.0, "least": 1},
        {"page": "a", "n": 3, "mean": 2.0, "least": 0},
    ]
    assert sorted(one.split()[0] for one in sent) == ["FT.AGGREGATE", "FT.SEARCH", "FT.SEARCH"]  # took, page
    assert not any("exists" in one for one in sent)


async def test_a_sum_is_asked_for_and_nothing_else(visits: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = watched(visits, monkeypatch)
    rows = await Aggregate(visits, "visit", schema_of(Visit)).group_by(Visit.page).reduce(total=sum_(Visit.took))
    assert sorted(rows, key=lambda row: row["page"]) == [{"page": "a", "total": 6}, {"page": "b", "total": 9}]
    assert len(sent) == 1
    assert "exists" not in sent[0]


async def test_a_record_that_lacks_what_its_model_requires_is_left_out_of_means_and_extremes(visits: Store) -> None:
    for id, page in [("v6", "a"), ("v7", "c")]:
        await visits.command(0, "HDEL", await written(visits, id, page), "took")
    find = Aggregate(visits, "visit", schema_of(Visit)).group_by(Visit.page)
    rows = await find.reduce(n=count(), mean=avg(Visit.took), least=min_(Visit.took)).sort("mean")
    assert rows == [
        {"page": "a", "n": 4, "mean": 2.0, "least": 0},
        {"page": "b", "n": 3, "mean": 3.0, "least": 1},
        {"page": "c", "n": 1, "mean": None, "least": None},
    ]
    assert [row["page"] for row in await find.reduce(mean=avg(Visit.took)).having(field("mean") < 9).sort("-page")] == [
        "b",
        "a",
    ]


async def written(store: Store, id: str, page: str) -> str:
    """The key of a record, written as its model wants it."""
    await write(store, schema_of(Visit), id, {"id": id, "page": page, "took": 1000})
    return store.keys.record(f"visit:{id}")
