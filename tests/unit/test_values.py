"""Durations, ids and JSON: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

import dataclasses
import enum
import math
import socket
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdata import values
from meshdata.errors import CorruptRecord, InvalidOptions
from meshdata.values import check_entity, check_id, check_key, duration_ms, from_json, mint_id, to_json

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


def ms(value: Any, **options: Any) -> int | None:
    return duration_ms(value, argument="ttl", **options)


# --- durations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("15 minutes", 15 * MINUTE),
        ("2 weeks", 14 * DAY),
        ("500 ms", 500),
        ("1h 30m", 90 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1 hour, 5 minutes and 3 s", HOUR + 5 * MINUTE + 3 * SECOND),
        ("1.5 hours", 90 * MINUTE),
        (".5s", 500),
        ("  3 Days  ", 3 * DAY),
        ("0 s", 0),
        ("PT1H", HOUR),
        ("P1W", 7 * DAY),
        ("P1DT2H3M4.5S", DAY + 2 * HOUR + 3 * MINUTE + 4_500),
        ("pt0,5s", 500),
        (timedelta(days=1, microseconds=1_500), DAY + 2),
        (3, 3 * SECOND),
        (0, 0),
        (0.3, 300),
        (0.1 + 0.2, 300),
    ],
)
def test_a_duration_is_whole_milliseconds(value: Any, expected: int) -> None:
    assert ms(value) == expected


@pytest.mark.parametrize("value", [0.0001, timedelta(microseconds=1), "0.1 ms"])
def test_more_than_nothing_is_at_least_one_millisecond(value: Any) -> None:
    assert ms(value) == 1


@pytest.mark.parametrize(
    ("value", "days"),
    [("1 month", {28, 29, 30, 31}), ("P1M", {28, 29, 30, 31}), ("1 year", {365, 366}), ("1 quarter", {90, 91, 92})],
)
def test_months_and_years_are_counted_on_the_calendar(value: str, days: set[int]) -> None:
    found = ms(value)
    assert found is not None and found % DAY == 0 and found // DAY in days


def test_a_month_from_the_end_of_january_ends_in_february(monkeypatch: pytest.MonkeyPatch) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2025, 1, 31, 12, tzinfo=UTC)

    monkeypatch.setattr(values, "datetime", Then)
    assert ms("1 month") == 28 * DAY
    assert ms("1 month 1 day") == 29 * DAY


@pytest.mark.parametrize("value", ["infinity", " Infinity ", math.inf])
def test_infinity_is_none_where_it_is_allowed_and_refused_elsewhere(value: Any) -> None:
    assert ms(value, infinity=True) is None
    with pytest.raises(InvalidOptions, match="give a duration that ends"):
        ms(value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("15", "needs a unit, such as '15 seconds'"),
        ("-3", "needs a unit"),
        ("-5 s", "is negative"),
        (-1, "is negative"),
        (-0.0001, "is negative"),
        (timedelta(microseconds=-1), "is negative"),
        (-math.inf, "is no duration"),
        (math.nan, "is no duration"),
        (True, "True is no duration"),
        (None, "NoneType is no duration"),
        ([1], "list is no duration"),
        ("", "write for example '15 minutes'"),
        ("soon", "write for example"),
        ("P", "write for example"),
        ("PT", "write for example"),
        ("P1DT", "write for example"),
        ("1 s x", "write for example"),
        ("1 s -", "write for example"),
        ("٣ s", "write for example"),
        ("5 parsecs", "'parsecs' in '5 parsecs' is no unit of time"),
        ("1.5 months", "no whole number of months"),
        ("9" * 90 + " weeks", "longer than 10,000 years"),
        (1e300, "longer than 10,000 years"),
        ("9999 years", "past the end of the calendar"),
        ("1" * 10_000, "a text of 10000 characters"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_argument_and_the_remedy(value: Any, says: str) -> None:
    with pytest.raises(InvalidOptions) as refusal:
        ms(value)
    assert refusal.value.argument == "ttl"
    assert says in str(refusal.value) and len(str(refusal.value)) < 400


@given(st.text() | st.from_regex(r"[-+. \dPTa-zA-Z]{0,20}"))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        found = ms(text, infinity=True)
    except InvalidOptions:
        return
    assert found is None or 0 <= found <= values.DURATION_LIMIT_MS


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=100_000)))
def test_every_spelling_of_a_duration_means_the_same(value: timedelta) -> None:
    whole = timedelta(milliseconds=value // timedelta(milliseconds=1))
    expected = whole // timedelta(milliseconds=1)
    seconds = whole // timedelta(seconds=1)
    assert ms(whole) == expected
    assert ms(f"{expected} ms") == expected
    assert ms(f"PT{seconds}.{expected % 1_000:03d}S") == expected
    assert ms(f"{seconds}s {expected % 1_000}ms") == expected


# --- names ------------------------------------------------------------------------------------------------------------


def test_minted_ids_are_22_letters_and_digits_and_differ() -> None:
    ids = {mint_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(len(one) == 22 and one.isascii() and one.isalnum() for one in ids)


@pytest.mark.parametrize("name", ["user", "user.bill", "Größe", "a" * 128, "a-b_c/d", "*"])
def test_an_entity_name_is_returned_as_it_is(name: str) -> None:
    assert check_entity(name) is name


@pytest.mark.parametrize(
    "name",
    ["", "a:b", "a b", "a\tb", "a\n", "a\x00", "a\x7f", "a\x85", "a\u2028", "$a", "a{b", "a}b", "a" * 129, "\ud800"],
)
def test_an_entity_name_that_could_not_be_part_of_a_key_is_refused(name: str) -> None:
    with pytest.raises(InvalidOptions) as refusal:
        check_entity(name, argument="hook_entity")
    assert refusal.value.argument == "hook_entity"


@pytest.mark.parametrize("id", ["jsmith", "a b", "user:1", "{x}", "$1", "ü" * 256, "😀", "a" * 512, " "])
def test_an_id_is_returned_as_it_is(id: str) -> None:
    assert check_id(id) is id
    assert check_key(id) is id


@pytest.mark.parametrize("id", ["", "a\n", "\x00", "\x7f", "\x85", "\u2028", "\ud800", "a" * 513, "ü" * 257])
def test_an_id_that_is_empty_too_long_or_unprintable_is_refused(id: str) -> None:
    with pytest.raises(InvalidOptions) as refusal:
        check_id(id)
    assert refusal.value.argument == "id"


@pytest.mark.parametrize("check", [check_entity, check_id, check_key])
@pytest.mark.parametrize("wrong", [None, 7, b"x", ["x"]])
def test_a_name_of_another_type_is_refused(check: Any, wrong: Any) -> None:
    with pytest.raises(InvalidOptions, match=type(wrong).__name__):
        check(wrong)


@given(st.text(min_size=1, max_size=600))
def test_an_accepted_id_can_be_a_key(id: str) -> None:
    try:
        check_id(id)
    except InvalidOptions:
        return
    assert 1 <= len(id.encode("utf-8")) <= 512


# --- JSON -------------------------------------------------------------------------------------------------------------


class Plan(enum.Enum):
    PRO = "pro"


class User(pydantic.BaseModel):
    name: str
    extra: Any = None

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        return self.name.upper()


@dataclasses.dataclass
class Box:
    content: Any


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"null"),
        (b"\xff\xfe", b'"__4="'),
        (Plan.PRO, b'"pro"'),
        (Decimal("1.10"), b'"1.10"'),
        (date(2025, 1, 31), b'"2025-01-31"'),
        (datetime(2025, 1, 31, tzinfo=UTC), b'"2025-01-31T00:00:00Z"'),
        (timedelta(minutes=5), b'"PT5M"'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        ((1, 2), b"[1,2]"),
        ({3}, b"[3]"),
        (Box([1]), b'{"content":[1]}'),
        ({1: "a"}, b'{"1":"a"}'),
    ],
)
def test_values_are_written_the_way_pydantic_reads_them(value: Any, expected: bytes) -> None:
    assert to_json(value, argument="args") == expected


def test_computed_fields_are_not_written_for_a_model_could_refuse_to_read_them() -> None:
    assert from_json(to_json(User(name="ann"), argument="args")) == {"name": "ann", "extra": None}


def test_nan_and_infinity_survive() -> None:
    found = from_json(to_json([math.nan, math.inf, -math.inf], argument="args"))
    assert math.isnan(found[0]) and found[1:] == [math.inf, -math.inf]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
def test_plain_values_survive_the_round_trip(value: Any) -> None:
    assert from_json(to_json(value, argument="args")) == value


def circle() -> list[Any]:
    ring: list[Any] = [1]
    ring.append(ring)
    return ring


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "args"),
        ([1, {"user": {"socket": socket.socket}}], "args[1].user.socket"),
        ([{"two words": object()}], "args[0]['two words']"),
        ([User(name="ann", extra=[object()])], "args[0].extra[0]"),
        ([Box(Box(object()))], "args[0].content.content"),
        ((1, {2: lambda: 3}), "args[1][2]"),
        (["ok", "\ud800"], "args[1]"),
        (circle(), "args[1]"),
    ],
)
def test_what_cannot_be_written_is_named_by_its_path(value: Any, path: str) -> None:
    with pytest.raises(InvalidOptions) as refusal:
        to_json(value, argument="args")
    assert refusal.value.argument == path
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_bottomless_value_is_refused_without_an_endless_path() -> None:
    with pytest.raises(InvalidOptions, match="nested too deeply"):
        to_json(nested(5_000), argument="args")


def test_whatever_depth_can_be_written_can_be_read() -> None:
    for depth in (150, 199, 200, 201, 240, 254):
        assert from_json(to_json(nested(depth), argument="args")) == nested(depth)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"nul", b"[" * 100_000])
def test_bytes_that_are_no_json_are_a_corrupt_record(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        from_json(data)
