"""Answers as tables: exact types, batches, and HTML that nothing in a record can break out of."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel
from pydantic import Field as Info

from meshdata import MeshData
from meshdata.errors import InvalidOptions, UsageError
from meshdata.search import Geo, Numeric, Page, Record, Rows, Tag, Vector, avg, count, match_all, max_, tolist

pa = pytest.importorskip("pyarrow")


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Address(BaseModel):
    street: str
    number: int | None = None


@dataclass
class Part:
    name: str
    weight: float


class Order(Record, entity="order"):
    id: str
    status: Annotated[str, Tag(sortable=True)] = "open"
    total: Annotated[Decimal | None, Tag()] = None
    price: Annotated[Decimal | None, Info(max_digits=8, decimal_places=2)] = None
    count: Annotated[int | None, Numeric(sortable=True)] = None
    share: float | None = None
    paid: bool | None = None
    at: datetime | None = None
    day: date | None = None
    took: timedelta | None = None
    size: Size | None = None
    kind: Literal["a", "b"] | None = None
    level: Literal[1, 2] | None = None
    ref: UUID | None = None
    tags: list[str] = []  # noqa: RUF012 - pydantic copies it
    numbers: set[int] | None = None
    spot: Annotated[tuple[float, float] | None, Geo()] = None
    vec: Annotated[list[float] | None, Vector(dim=2)] = None
    address: Address | None = None
    parts: list[Part] | None = None
    notes: dict[str, Any] | None = None


FULL: dict[str, Any] = {
    "id": "o1",
    "status": "paid",
    "total": Decimal("12345678901234567890.123456789012345678"),
    "price": Decimal("19.99"),
    "count": 2**53 - 1,
    "share": 0.25,
    "paid": True,
    "at": datetime(2024, 5, 6, 7, 8, 9, 123_456, tzinfo=timezone(timedelta(hours=2))),
    "day": date(2024, 5, 6),
    "took": timedelta(seconds=1.5),
    "size": Size.LARGE,
    "kind": "a",
    "level": 2,
    "ref": UUID(int=7),
    "tags": ["x", "y"],
    "numbers": {1, 2},
    "spot": (1.5, 2.5),
    "vec": [1.0, 2.0],
    "address": Address(street="Elm", number=5),
    "parts": [Part("wheel", 2.5)],
    "notes": {"a": [1, None]},
}
TABLED = FULL | {
    "at": datetime(2024, 5, 6, 5, 8, 9, 123_456, tzinfo=UTC),
    "size": "l",
    "ref": str(UUID(int=7)),
    "numbers": [1, 2],
    "spot": {"lon": 1.5, "lat": 2.5},
    "address": {"street": "Elm", "number": 5},
    "parts": [{"name": "wheel", "weight": 2.5}],
    "notes": '{"a":[1,null]}',
}
TYPES = {
    "id": "string", "status": "string", "total": "decimal128(38, 18)", "price": "decimal128(8, 2)", "count": "int64",
    "share": "double", "paid": "bool", "at": "timestamp[us, tz=UTC]", "day": "date32[day]", "took": "duration[us]",
    "size": "string", "kind": "string", "level": "int64", "ref": "string", "tags": "list<item: string>",
    "numbers": "list<item: int64>", "spot": "struct<lon: double, lat: double>", "vec": "list<item: double>",
    "address": "struct<street: string, number: int64>", "parts": "list<item: struct<name: string, weight: double>>",
    "notes": "string",
}  # fmt: skip


@pytest.fixture
async def orders(mesh: MeshData) -> AsyncIterator[MeshData]:
    """One order with every field, one with none."""
    await mesh.create_index(Order)
    await mesh.set("order", "o1", FULL)
    await mesh.set("order", "o2", {"id": "o2", "status": "open"})
    yield mesh
    await mesh.find(Order).where(match_all()).flush()


async def test_a_table_has_the_types_of_the_model_and_the_values_of_the_records(orders: MeshData) -> None:
    table = await orders.find(Order).to_arrow()
    assert {field.name: str(field.type).replace("element", "item") for field in table.schema} == TYPES
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["o1"] == TABLED
    assert {name: value for name, value in rows["o2"].items() if value is not None} == {
        "id": "o2", "status": "open", "tags": [],
    }  # fmt: skip


async def test_an_empty_answer_has_the_columns_all_the_same(orders: MeshData) -> None:
    table = await orders.find(Order).where(Order.status == "nothing").to_arrow()
    assert (table.num_rows, set(table.column_names)) == (0, set(TYPES))
    table = await orders.find(Order).where(Order.status == "nothing").select(Order.count, "at").to_arrow()
    assert [str(field.type) for field in table.schema] == ["int64", "timestamp[us, tz=UTC]"]


async def test_polars_and_pandas_keep_types_and_missing_values(orders: MeshData) -> None:
    pytest.importorskip("polars")
    pytest.importorskip("pandas")
    frame = await orders.find(Order).select("id", "count", "price", "at").to_polars()
    assert set(frame.rows()) == {
        ("o1", 2**53 - 1, Decimal("19.99"), TABLED["at"]), ("o2", None, None, None),
    }  # fmt: skip
    assert [str(one) for one in frame.dtypes] == [
        "String", "Int64", "Decimal(precision=8, scale=2)", "Datetime(time_unit='us', time_zone='UTC')",
    ]  # fmt: skip
    panda = await orders.find(Order).where(Order.id == "o1").to_pandas()
    assert panda["count"].tolist() == [2**53 - 1] and str(panda["count"].dtype) == "int64[pyarrow]"
    assert panda["total"].tolist() == [FULL["total"]]


async def test_a_nested_field_is_a_column_of_its_own(orders: MeshData) -> None:
    table = await orders.find(Order).select("address.number", "address.street").to_arrow()
    assert {field.name: str(field.type) for field in table.schema} == {
        "address.number": "int64", "address.street": "string",
    }  # fmt: skip
    assert sorted(table.to_pylist(), key=repr) == [
        {"address.number": 5, "address.street": "Elm"}, {"address.number": None, "address.street": None},
    ]  # fmt: skip


async def test_system_fields_can_be_selected(orders: MeshData) -> None:
    table = await orders.find(Order).select("_id", "_created", "_status").to_arrow()
    assert [str(field.type) for field in table.schema] == ["string", "timestamp[us, tz=UTC]", "string"]
    assert set(table["id"].to_pylist()) == {"o1", "o2"} and None not in table["created"].to_pylist()


async def test_batches_are_as_long_as_asked_for(orders: MeshData) -> None:
    for n in range(25):
        await orders.set("order", f"n{n:02}", {"id": f"n{n:02}", "status": "many", "count": n})
    query = orders.find(Order).where(Order.status == "many").sort(Order.count)
    assert [[one.count for one in some] async for some in query.batches(10)] == [
        list(range(10)), list(range(10, 20)), list(range(20, 25)),
    ]  # fmt: skip
    batches = [batch async for batch in query.limit(12).to_arrow_batches(5)]
    assert [batch.num_rows for batch in batches] == [5, 5, 2]
    assert len({batch.schema for batch in batches}) == 1
    for size in (0, True, 2.5):
        with pytest.raises(InvalidOptions, match="size"):
            await anext(query.batches(size))  # type: ignore[arg-type]


async def test_what_does_not_fit_a_column_is_an_error_and_not_another_value(orders: MeshData) -> None:
    await orders.set("order", "o2", {"total": Decimal("0.1234567890123456789")})
    with pytest.raises(InvalidOptions, match="total"):
        await orders.find(Order).to_arrow()


async def test_records_without_a_model_are_text(mesh: MeshData) -> None:
    mesh._store.has_search = False
    await mesh.set("thing", "a", {"x": 1})
    await mesh.set("thing", "b", {"y": [1, 2]})
    table = await mesh.find("thing").to_arrow()
    assert sorted(table.to_pylist(), key=lambda row: str(row["id"])) == [
        {"id": "a", "x": "1", "y": None}, {"id": "b", "x": None, "y": "[1,2]"},
    ]  # fmt: skip
    with pytest.raises(UsageError, match="select"):
        await anext(mesh.find("thing").to_arrow_batches())
    [batch] = [batch async for batch in mesh.find("thing").select("x").to_arrow_batches()]
    assert sorted(batch.to_pylist(), key=repr) == [{"x": "1"}, {"x": None}]
    for id in ("a", "b"):
        await mesh.flush("thing", id)


async def test_figures_are_tables_too(orders: MeshData) -> None:
    query = orders.aggregate(Order).group_by(Order.status).reduce(n=count(), most=max_("count"), mean=avg("share"))
    query = query.sort("status")
    rows = await query
    assert isinstance(rows, Rows) and rows == [
        {"status": "open", "n": 1, "most": None, "mean": None},
        {"status": "paid", "n": 1, "most": 2**53 - 1, "mean": 0.25},
    ]
    table = await query.to_arrow()
    assert table.to_pylist() == rows
    assert [str(field.type) for field in table.schema] == ["string", "int64", "int64", "double"]
    assert (await query.to_polars()).rows() == [("open", 1, None, None), ("paid", 1, 2**53 - 1, 0.25)]
    assert (await query.to_pandas())["n"].tolist() == [1, 1]
    nothing = await query.where(Order.status == "nothing")
    assert (nothing, nothing.to_arrow().column_names) == ([], ["status", "n", "most", "mean"])
    if orders._store.partitions == 1:
        [row] = await orders.aggregate(Order).group_by().reduce(all=tolist(Order.status))
        assert Rows([row], ["all"]).to_arrow().to_pylist()[0]["all"] == row["all"]


def test_a_notebook_shows_a_table_with_every_text_escaped() -> None:
    nasty = "<script>alert('x')</script> & \"q\""
    page = Page([Order(id=nasty, tags=["<b>"])], total=7)
    html = page._repr_html_()
    assert "<caption>1 of 7</caption>" in html and "<th>status</th>" in html
    assert "<script" not in html and "<b>" not in html and "&lt;script&gt;" in html and "&amp; &quot;q&quot;" in html
    rows = Rows([{nasty: nasty, "n": "x" * 1_000}] * 60, [nasty, "n"])
    html = rows._repr_html_()
    assert "<script" not in html and "… 10 more" in html and len(html) < 40_000
    assert Page([{"id": 1}] * 60, total=60)._repr_html_().count("<tr>") == 1 + 50 + 1
    assert "<caption>0 of 0</caption>" in Page([], total=0)._repr_html_()


@pytest.mark.parametrize(
    ("library", "verb", "extra"), [("pyarrow", "to_arrow", "arrow"), ("polars", "to_polars", "polars")]
)
async def test_a_missing_library_is_named_with_its_extra(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch, library: str, verb: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=rf"meshdata\[{extra}\]"):
        await getattr(mesh.find(Order), verb)()
