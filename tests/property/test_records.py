"""Records of random values: read as they were written, changed by what differs and no more, found by what they are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from meshdata import MeshData
from meshdata.entity.difference import changed_fields
from meshdata.search import Point, Record, Tag, Text, schema_of
from meshdata.search.fields import Geo, Vector
from meshdata.search.predicate import predicate
from meshdata.search.query import bind
from meshdata.search.record import field

Plan = Enum("Plan", {"FREE": "free", "PRO": "pro"})

TAGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1f\0"), max_size=20)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
WHOLE = st.integers(-(2**53), 2**53)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
DECIMALS = st.decimals(-(10**9), 10**9, places=4)


class Inner(BaseModel):
    city: str
    number: int | None = None


class Everything(Record, entity="everything"):
    id: str = "r"
    a: bool | None = None
    b: int | None = None
    c: float | None = None
    d: Decimal | None = None
    e: str | None = None
    f: Plan | None = None
    g: Literal["x", "y", 3] | None = None
    h: UUID | None = None
    i: date | None = None
    j: datetime | None = None
    k: timedelta | None = None
    l: list[str] | None = None  # noqa: E741 - the next letter
    m: set[int] | None = None
    n: tuple[Plan, ...] | None = None
    o: dict[str, int] | None = None
    p: bytes | None = None
    q: Annotated[str | None, Text(exact=True)] = None
    r: Annotated[str | None, Tag(index=False)] = None
    s: Annotated[Point | None, Geo()] = None
    t: Annotated[list[float] | None, Vector(dim=2, type="FLOAT64")] = None
    u: Inner | None = None
    v: list[Inner] = Field(default=[])


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "a": st.booleans(), "b": WHOLE, "c": FLOATS, "d": DECIMALS, "e": TAGS, "f": st.sampled_from(list(Plan)),
    "g": st.sampled_from(["x", "y", 3]), "h": st.uuids(), "i": st.dates(), "j": MOMENTS,
    "k": st.timedeltas(timedelta(days=-1e5), timedelta(days=1e5)), "l": st.lists(TAGS, max_size=4),
    "m": st.sets(WHOLE, max_size=4), "n": st.lists(st.sampled_from(list(Plan)), max_size=3).map(tuple),
    "o": st.dictionaries(WORDS, st.integers(-9, 9), max_size=3), "p": st.binary(max_size=20), "q": TAGS, "r": TAGS,
    "s": st.builds(Point, st.floats(-180, 180), st.floats(-85, 85)), "t": st.lists(FLOATS, min_size=2, max_size=2),
    "u": st.builds(Inner, city=TAGS, number=st.none() | WHOLE),
    "v": st.lists(st.builds(Inner, city=WORDS), max_size=2),
}  # fmt: skip
RECORDS = st.fixed_dictionaries({}, optional=VALUES)
SCHEMA = schema_of(Everything)


def test_every_field_of_the_model_has_values() -> None:
    assert set(VALUES) == set(Everything.model_fields) - {"id"}


def stored(record: Everything) -> dict[str, bytes]:
    setting, _ = SCHEMA.to_hash(record)
    return {name: text if isinstance(text, bytes) else str(text).encode() for name, text in setting.items()}


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(values: dict[str, Any]) -> None:
    record = Everything(**values)
    assert SCHEMA.instance(stored(record)) == record
    # a field that is None is not there, and one that is empty is
    names = {name.partition(".")[0] for name in stored(record)}
    assert names == {name for name, value in record.__dict__.items() if value is not None}


@given(RECORDS, RECORDS)
def test_what_is_sent_is_what_differs(before: dict[str, Any], after: dict[str, Any]) -> None:
    hash = stored(Everything(**before))
    record = SCHEMA.instance(hash)
    for name in VALUES:
        if name in after:
            setattr(record, name, after[name])
    setting, gone = changed_fields(SCHEMA, record, "r")
    tops = {name.partition(".")[0] for name in [*setting, *gone]}
    assert tops == {name for name in after if after[name] != before.get(name, [] if name == "v" else None)}
    hash.update({name: text if isinstance(text, bytes) else str(text).encode() for name, text in setting.items()})
    for name in gone:
        del hash[name]
    assert SCHEMA.instance(hash) == record


SEARCHED = [name for name, one in SCHEMA.fields.items() if one.kind in ("TAG", "NUMERIC") and one.codec.element is None]


@pytest.mark.parametrize("name", [name for name in SEARCHED if name in VALUES])
def test_what_is_stored_is_found_by_its_value_and_by_no_other(name: str) -> None:
    @given(VALUES[name], VALUES[name])
    def check(one: Any, other: Any) -> None:
        hash = stored(Everything(**{name: one}))
        assert predicate(bind(field(Everything, name) == one, SCHEMA))(hash)
        found = predicate(bind(field(Everything, name) == other, SCHEMA))(hash)
        same = one == other
        if name == "e":  # blanks around a tag do not count, as the module has it
            same = one.strip(" \t\n\v\f\r") == other.strip(" \t\n\v\f\r")
        assert found == same

    check()


@pytest.mark.parametrize("name", ["b", "c", "d", "i", "j", "k"])
def test_records_are_ordered_as_their_values_are(name: str) -> None:
    @given(VALUES[name], VALUES[name])
    def check(one: Any, other: Any) -> None:
        hash = stored(Everything(**{name: one}))
        at = field(Everything, name)
        for condition, holds in (
            (at < other, one < other), (at <= other, one <= other),
            (at > other, one > other), (at >= other, one >= other),
        ):  # fmt: skip
            assert predicate(bind(condition, SCHEMA))(hash) == holds

    check()


# --- lists and sets, in the store -------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "remove"]), st.lists(TAGS | st.sampled_from("ab"), min_size=1, max_size=4)),
    max_size=6,
)


class Lists(Record, entity="lists"):
    id: str
    many: list[str] = Field(default=[])
    once: set[str] = Field(default=set())


async def test_lists_and_sets_change_in_the_store_as_they_do_in_python(redis_url: str, namespace: str) -> None:
    async with MeshData(redis_url, namespace=namespace) as mesh:

        async def run(start: list[str], steps: list[tuple[str, list[str]]]) -> None:
            await mesh.delete(Lists, "x")
            await mesh.create(Lists(id="x", many=start, once=set(start)))
            many, once = list(start), set(start)
            for op, values in steps:
                verb = mesh.append if op == "append" else mesh.remove
                before = len(many), len(once)
                many = [*many, *values] if op == "append" else [one for one in many if one not in values]
                once = once | set(values) if op == "append" else once - set(values)
                assert await verb(Lists, "x", "many", *values) == abs(len(many) - before[0])
                assert await verb(Lists, "x", "once", *values) == abs(len(once) - before[1])
            read = await mesh.get(Lists, "x")
            assert (read.many, read.once) == (many, once)
            raw = await mesh.raw("lists", "x")
            expected, _ = schema_of(Lists).to_hash(read)
            assert {name: text.encode() for name, text in expected.items() if name != "id"} == {  # type: ignore[union-attr]
                "many": raw["many"], "once": raw["once"],
            }  # fmt: skip

        examples: list[tuple[Any, Any]] = []

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(st.lists(TAGS, max_size=3), STEPS)
        def collect(start: Any, steps: Any) -> None:
            examples.append((start, steps))

        collect()
        for start, steps in examples:
            await run(start, steps)
        await mesh.delete(Lists, "x")
