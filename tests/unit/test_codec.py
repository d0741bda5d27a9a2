"""The codec table: what is written is read back, order is kept, and what the index would lose is refused."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from meshdata.errors import InvalidOptions
from meshdata.search import Geo, Numeric, Point, Record, Tag, Text, Vector, schema_of, untyped_to_hash
from meshdata.search.codec import codec_of
from meshdata.search.words import gather, spread, words


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(BaseModel):
    street: str
    number: int = 1


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXTS),
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (datetime, st.datetimes(timezones=st.just(UTC))),
    (date, st.dates()),
    (timedelta, st.timedeltas(timedelta(days=-1e6), timedelta(days=1e6))),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    (UUID, st.uuids()),
    (bytes, st.binary()),
    (list[str], st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1f")))),
    (set[int], st.sets(st.integers())),
    (tuple[Colour, ...], st.lists(st.sampled_from(Colour)).map(tuple)),
    (list[UUID], st.lists(st.uuids())),
    (dict[str, int], st.dictionaries(TEXTS, st.integers(-(2**60), 2**60))),
    (Address, st.builds(Address, street=TEXTS, number=st.integers(0, 2**31))),
    (list[Address], st.lists(st.builds(Address, street=TEXTS))),
    (int | str, st.one_of(st.integers(0, 9), TEXTS)),
    (int | None, st.integers()),
]


@pytest.mark.parametrize(("annotation", "values"), TYPES, ids=lambda one: str(one)[:40])
def test_what_is_written_is_read_back(annotation: Any, values: st.SearchStrategy[Any]) -> None:
    codec = codec_of(annotation)

    @given(values)
    def check(value: Any) -> None:
        text = codec.encode(value)
        assert isinstance(text, str)
        assert codec.decode(text) == value

    check()


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (int, st.integers(-(2**53), 2**53)),
        (float, st.floats(allow_nan=False, allow_infinity=False)),
        (Decimal, st.decimals(-(10**9), 10**9, places=4)),
        (datetime, st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))),
        (date, st.dates()),
        (timedelta, st.timedeltas(timedelta(days=-1e5), timedelta(days=1e5))),
    ],
    ids=str,
)
def test_the_index_orders_numbers_and_times_as_python_does(annotation: Any, values: st.SearchStrategy[Any]) -> None:
    encode = codec_of(annotation).encode

    @given(values, values)
    def check(left: Any, right: Any) -> None:
        indexed = float(encode(left)), float(encode(right))
        assert (left < right) == (indexed[0] < indexed[1])
        assert (left == right) == (indexed[0] == indexed[1])

    check()


@given(TEXTS)
def test_a_text_is_stored_so_that_control_characters_end_words_and_is_read_back_unchanged(text: str) -> None:
    assert gather(spread(text)) == text


def test_words_end_at_new_lines_and_punctuation() -> None:
    assert words("One\ntwo, three_3 e-mail\r\n@you") == ["one", "two", "three_3", "e", "mail", "you"]


@given(st.lists(TEXTS))
def test_an_empty_list_is_not_a_list_of_one_empty_text(values: list[str]) -> None:
    codec = codec_of(list[str])
    if any("\x1f" in value for value in values):
        with pytest.raises(ValueError, match="parts the values"):
            codec.encode(values)
    else:
        assert codec.decode(str(codec.encode(values))) == values


def test_a_datetime_is_stored_in_milliseconds_and_one_without_zone_is_utc() -> None:
    encode = codec_of(datetime).encode
    assert encode(datetime(1970, 1, 1, 0, 0, 1)) == "1000"
    assert encode(datetime(1970, 1, 1, 0, 0, 1, 500, tzinfo=UTC)) == "1000.500"
    assert encode(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == "-0.001"


def test_types_that_json_writes_as_text_are_tags() -> None:
    from ipaddress import IPv4Address

    codec = codec_of(IPv4Address)
    assert codec.kind is Tag
    assert codec.encode(IPv4Address("10.0.0.1")) == "10.0.0.1"
    assert codec.decode("10.0.0.1") == IPv4Address("10.0.0.1")


def test_without_a_model_text_stays_and_everything_else_is_written_plainly() -> None:
    assert untyped_to_hash({"a": "x y", "b": True, "c": 1, "d": 1.5, "e": None, "f": [1, "z"], "g": {"h": None}}) == {
        "a": "x y",
        "b": "true",
        "c": "1",
        "d": "1.5",
        "f": '[1,"z"]',
        "g": '{"h":null}',
    }
    with pytest.raises(InvalidOptions, match="lock"):
        untyped_to_hash({"lock": object()})


class Everything(Record, entity="everything"):
    tag: Annotated[str, Tag()] = ""
    tags: list[str] = []  # noqa: RUF012 - pydantic copies it
    text: Annotated[str, Text()] = ""
    number: Annotated[float, Numeric()] = 0
    whole: int = 0
    exact: Decimal = Decimal(0)
    place: Annotated[tuple[float, float] | None, Geo()] = None
    vector: Annotated[list[float] | None, Vector(dim=3)] = None
    free: Annotated[str, Tag(index=False)] = ""


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("tag", "a\0b", "NUL"),
        ("tag", "a\x1fb", "separator"),
        ("tag", "x" * 4097, "4096 bytes"),
        ("tag", "é" * 2049, "4096 bytes"),
        ("tag", "\ud800", "surrogates"),
        ("tags", ["a", "b\0"], "NUL"),
        ("text", "a\0b", "NUL"),
        ("number", float("nan"), "doubles"),
        ("number", float("inf"), "doubles"),
        ("whole", 2**53 + 1, "doubles"),
        ("exact", Decimal("0.12345678901234567890"), "doubles"),
        ("place", (200.0, 0.0), "longitude"),
        ("place", (0.0, 89.0), "latitude"),
        ("vector", [1.0, 2.0], "where the vector has 3"),
        ("vector", [1.0, 2.0, float("nan")], "no NaN"),
        ("vector", [1.0, 2.0, 1e300], "float"),
    ],
)
def test_what_the_index_would_lose_in_silence_is_refused(name: str, value: Any, why: str) -> None:
    with pytest.raises(InvalidOptions, match=why) as refused:
        schema_of(Everything).to_hash({name: value}, partial=True, id="e-1")
    assert refused.value.argument == name
    assert "Everything record 'e-1'" in str(refused.value)


def test_a_field_out_of_the_index_holds_anything() -> None:
    schema = schema_of(Everything)
    value = "x\0\x1f" * 3000
    setting, _ = schema.to_hash({"free": value}, partial=True)
    assert schema.from_hash(setting)["free"] == value


def test_places_and_vectors_are_read_back() -> None:
    schema = schema_of(Everything)
    setting, _ = schema.to_hash(Everything(place=Point(1.5, -2.25), vector=[1, 2, 0.5]))
    assert setting["place"] == "1.5,-2.25"
    assert isinstance(setting["vector"], bytes)
    made = schema.instance(setting)
    assert (made.place, made.vector) == ((1.5, -2.25), [1.0, 2.0, 0.5])


def test_any_uuid_is_one_tag() -> None:
    class Thing(Record, entity="thing"):
        key: UUID

    key = uuid4()
    setting, _ = schema_of(Thing).to_hash({"key": str(key)})
    assert setting == {"key": str(key)}
