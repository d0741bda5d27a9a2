"""When schedules are due: the grammar, zones whose clocks are moved, calendar intervals, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshdata.call.timetable import NAMES, Timetable, timetable
from meshdata.errors import InvalidOptions

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def table_of(interval: Any, now: str, tz: str = "UTC", **options: Any) -> Timetable:
    return timetable(interval, tz=tz, now_ms=ms(datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(tz))), **options)


def slots(interval: Any, now: str, count: int, tz: str = "UTC", **options: Any) -> list[str]:
    """The first slots as the zone's clocks show them."""
    table = table_of(interval, now, tz, **options)
    found: list[str] = []
    slot = table.first()
    while slot is not None and len(found) < count:
        shown = (EPOCH + timedelta(milliseconds=slot)).astimezone(ZoneInfo(tz))
        found.append(shown.isoformat(timespec="seconds").removesuffix("+00:00").removesuffix(":00"))
        slot = table.after(slot)
    return found


def days(interval: Any, now: str, count: int, tz: str = "UTC") -> list[str]:
    return [slot[5:16].replace("T", " ") for slot in slots(interval, now, count, tz)]


# --- the grammar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 * * * *", ["01-01 00:20", "01-01 00:40", "01-01 01:00"]),
        ("5,35 8-9 * * *", ["01-01 08:05", "01-01 08:35", "01-01 09:05"]),
        ("0 12 * * MON-FRI", ["01-01 12:00", "01-02 12:00", "01-05 12:00"]),
        ("0 0 1 JAN,jul *", ["07-01 00:00", "01-01 00:00", "07-01 00:00"]),
        ("0 0 L * *", ["01-31 00:00", "02-28 00:00", "03-31 00:00"]),
        ("0 9 * * 1#1", ["01-05 09:00", "02-02 09:00", "03-02 09:00"]),
        ("  0   9 * * 7 ", ["01-04 09:00", "01-11 09:00", "01-18 09:00"]),
    ],
)
def test_a_cron_expression_says_when(expression: str, expected: list[str]) -> None:
    assert days(expression, "2026-01-01 00:00", 3) == expected


def test_six_fields_begin_with_seconds() -> None:
    assert slots("*/20 30 * * * *", "2026-01-01 00:00", 4) == [
        "2026-01-01T00:30", "2026-01-01T00:30:20", "2026-01-01T00:30:40", "2026-01-01T01:30",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_stand_for_expressions(name: str) -> None:
    assert slots(name, "2026-05-05 05:05", 3) == slots(NAMES[name], "2026-05-05 05:05", 3)
    assert table_of(name.upper(), "2026-05-05 05:05").text == name.upper()


@pytest.mark.parametrize("interval", ["15 minutes", timedelta(minutes=15), 900, 900.0, "PT15M"])
def test_an_interval_begins_now_and_does_not_drift(interval: Any) -> None:
    assert days(interval, "2026-01-01 00:03", 3) == ["01-01 00:03", "01-01 00:18", "01-01 00:33"]
    table = table_of(interval, "2026-01-01 00:03")
    a_year_on = table.start + 365 * 86_400_000 + 12_345
    later = table.after(a_year_on)
    assert later is not None and (later - table.start) % 900_000 == 0 and 0 < later - a_year_on <= 900_000


def test_an_expression_that_matches_just_now_is_due_the_next_time() -> None:
    assert days("0 12 * * *", "2026-01-01 12:00", 1) == ["01-02 12:00"]


def test_a_delay_puts_off_the_first_slot() -> None:
    assert slots("1 hour", "2026-01-01 00:00", 2, delay="10 minutes") == ["2026-01-01T00:10", "2026-01-01T01:10"]
    assert slots("0 12 * * *", "2026-01-01 10:00", 1, delay="2 hours") == ["2026-01-01T12:00"]
    assert slots("0 12 * * *", "2026-01-01 10:00", 1, delay="3 hours") == ["2026-01-02T12:00"]


@pytest.mark.parametrize(
    "until", [datetime(2026, 1, 1, 2), datetime(2026, 1, 1, 2, tzinfo=UTC), "2026-01-01 02:00", "2 h"]
)
def test_no_slot_is_later_than_the_end(until: Any) -> None:
    assert slots("1 hour", "2026-01-01 00:00", 9, until=until) == [
        "2026-01-01T00:00", "2026-01-01T01:00", "2026-01-01T02:00",
    ]  # fmt: skip


def test_an_end_without_a_zone_is_in_that_of_the_schedule() -> None:
    table = table_of("1 hour", "2026-01-01 00:00", "Asia/Tokyo", until=datetime(2026, 1, 1, 2))
    assert table.until == ms(datetime(2026, 1, 1, 2, tzinfo=ZoneInfo("Asia/Tokyo")))


@pytest.mark.parametrize(
    ("options", "argument", "words"),
    [
        ({"interval": "every now and then"}, "interval", "neither a cron expression, like"),
        ({"interval": "* * * *"}, "interval", "neither a cron expression, like"),
        ({"interval": "61 * * * *"}, "interval", "no cron expression (bad minute)"),
        ({"interval": "0 0 * * * * *"}, "interval", "neither a cron expression"),
        ({"interval": "0 0 31 2 *"}, "interval", "no cron expression (bad day-of-month)"),
        ({"interval": "* * */20 * 1L"}, "interval", "is not due within 50 years"),
        ({"interval": "@dayly"}, "interval", "did you mean '@daily'?"),
        ({"interval": "@reboot"}, "interval", "there are @yearly"),
        ({"interval": "5"}, "interval", "needs a unit"),
        ({"interval": "99 ms"}, "interval", "at least 100 ms"),
        ({"interval": 0}, "interval", "at least 100 ms"),
        ({"interval": True}, "interval", "is no duration"),
        ({"interval": None}, "interval", "is no duration"),
        ({"interval": "infinity"}, "interval", "nor a duration"),
        ({"interval": "1 h", "tz": "Europe/Pariss"}, "tz", "did you mean 'Europe/Paris'?"),
        ({"interval": "1 h", "tz": "../etc/passwd"}, "tz", "there is no zone"),
        ({"interval": "1 h", "tz": ""}, "tz", "there is no zone"),
        ({"interval": "1 h", "tz": 1}, "tz", "the name of a zone is needed"),
        ({"interval": "1 h", "delay": "soon"}, "delay", "is no duration"),
        ({"interval": "1 h", "until": "2025-12-31"}, "until", "is not due before then"),
        ({"interval": "1 h", "until": "some day"}, "until", "is no duration"),
    ],
)
def test_what_is_no_timetable_is_refused_with_its_argument(options: dict[str, Any], argument: str, words: str) -> None:
    with pytest.raises(InvalidOptions) as refused:
        timetable(**{"tz": "UTC", "now_ms": ms(datetime(2026, 1, 1, tzinfo=UTC)), **options})
    assert refused.value.argument == argument
    assert words in str(refused.value)


# --- clocks that are moved --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_of_day_that_is_skipped_is_due_when_the_clocks_have_been_moved(expression: str) -> None:
    assert slots(expression, "2026-03-28 12:00", 2, "Europe/Paris") == [
        "2026-03-29T03:00:00+02", "2026-03-30T02:30:00+02",
    ]  # fmt: skip


def test_two_times_of_day_that_are_skipped_together_are_due_once() -> None:
    assert slots("15,45 2 * * *", "2026-03-28 12:00", 2, "Europe/Paris") == [
        "2026-03-29T03:00:00+02", "2026-03-30T02:15:00+02",
    ]  # fmt: skip


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_of_day_that_comes_twice_is_due_the_first_time(expression: str) -> None:
    assert slots(expression, "2026-10-24 12:00", 2, "Europe/Paris") == [
        "2026-10-25T02:30:00+02", "2026-10-26T02:30:00+01",
    ]  # fmt: skip


def test_a_time_of_day_between_the_two_passes_of_an_hour_is_not_due_again() -> None:
    table = table_of("45 2 * * *", "2026-10-24 12:00", "Europe/Paris")
    second_pass = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris"))
    assert table.after(ms(second_pass)) == ms(datetime(2026, 10, 26, 2, 45, tzinfo=ZoneInfo("Europe/Paris")))


def test_with_a_star_every_match_that_the_clock_shows_is_due() -> None:
    assert slots("*/30 2 * * *", "2026-10-24 12:00", 4, "Europe/Paris") == [
        "2026-10-25T02:00:00+02", "2026-10-25T02:30:00+02", "2026-10-25T02:00:00+01", "2026-10-25T02:30:00+01",
    ]  # fmt: skip
    assert slots("*/30 2 * * *", "2026-03-28 12:00", 1, "Europe/Paris") == ["2026-03-30T02:00:00+02"]
    assert slots("0 * * * *", "2026-03-29 00:30", 3, "Europe/Paris") == [
        "2026-03-29T01:00:00+01", "2026-03-29T03:00:00+02", "2026-03-29T04:00:00+02",
    ]  # fmt: skip


def test_where_midnight_is_skipped_the_day_begins_at_one() -> None:
    assert slots("0 0 * * *", "2026-03-07 12:00", 2, "America/Havana") == [
        "2026-03-08T01:00:00-04", "2026-03-09T00:00:00-04",
    ]  # fmt: skip
    assert slots("*/30 0 * * *", "2026-03-07 12:00", 1, "America/Havana") == ["2026-03-09T00:00:00-04"]


def test_a_month_keeps_its_day_and_its_time_of_day() -> None:
    assert days("1 month", "2026-01-31 02:30", 4, "Europe/Paris") == [
        "01-31 02:30", "02-28 02:30", "03-31 02:30", "04-30 02:30",
    ]  # fmt: skip
    assert days("1 year", "2024-02-29 00:00", 5) == ["02-29 00:00"] + ["02-28 00:00"] * 3 + ["02-29 00:00"]


def test_a_month_that_ends_in_a_skipped_hour_is_due_when_the_clocks_have_been_moved() -> None:
    assert slots("1 month", "2026-01-29 02:30", 3, "Europe/Paris")[2] == "2026-03-29T03:00:00+02"


def test_a_day_is_a_length_and_the_daily_name_a_time_of_day() -> None:
    assert slots("1 day", "2026-03-28 12:00", 2, "Europe/Paris")[1] == "2026-03-29T13:00:00+02"
    assert days("@daily", "2026-03-28 12:00", 2, "Europe/Paris") == ["03-29 00:00", "03-30 00:00"]


def test_months_and_lengths_go_together() -> None:
    assert days("1 month 1 day", "2026-01-01 00:00", 3) == ["01-01 00:00", "02-02 00:00", "03-03 00:00"]


# --- any timetable ----------------------------------------------------------------------------------------------------

INTERVALS = st.one_of(
    st.sampled_from(
        [
            "*/7 * * * *", "0 * * * *", "30 2 * * *", "15,45 2 * * *", "0 3 * * 0", "*/30 2 * * *", "10 */20 2 * * *",
            "0 0 1 * *", "1 month", "1 month 2 days", "@weekly", "59 23 31 12 *",
        ]
    ),
    st.integers(1, 100_000).map(lambda seconds: f"{seconds} seconds"),
)  # fmt: skip
ZONES = st.sampled_from(
    ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Tokyo"]
)
TIMES = st.one_of(
    st.integers(ms(datetime(2026, 1, 1, tzinfo=UTC)), ms(datetime(2027, 6, 1, tzinfo=UTC))),
    # the nights in which clocks are moved
    st.integers(-7_200, 14_400).map(lambda s: ms(datetime(2026, 3, 29, tzinfo=UTC)) + s * 1000),
    st.integers(-7_200, 14_400).map(lambda s: ms(datetime(2026, 10, 25, tzinfo=UTC)) + s * 1000),
)


@settings(max_examples=200, deadline=None)
@given(interval=INTERVALS, tz=ZONES, now=TIMES, ahead=st.integers(0, 3 * 86_400_000))
def test_the_slots_are_one_row_wherever_it_is_entered(interval: str, tz: str, now: int, ahead: int) -> None:
    table = timetable(interval, tz=tz, now_ms=now)
    row, slot = [], table.first()
    for _ in range(30):
        assert slot is not None and slot >= now
        row.append(slot)
        slot = table.after(slot)
    assert row == sorted(set(row)), "each is later than the one before"
    moment = now + ahead
    if moment < row[-1]:
        assert table.after(moment) == next(one for one in row if one > moment)
    assert table.latest(4, since=row[0], until=row[-1]) == row[-4:]
    assert table.latest(100, since=row[3], until=row[20]) == row[3:21]
    assert Timetable(**table.as_json()) == table


@settings(max_examples=60, deadline=None)
@given(tz=ZONES, now=TIMES)
def test_a_star_is_due_whenever_the_clock_shows_a_match(tz: str, now: int) -> None:
    table = timetable("*/20 0-5 * * *", tz=tz, now_ms=now)
    minute = now // 60_000 * 60_000
    expected = []
    for at in range(minute + 60_000, minute + 86_400_000, 60_000):
        shown = (EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(tz))
        if shown.minute % 20 == 0 and shown.hour <= 5:
            expected.append(at)
    found, slot = [], table.first()
    while slot is not None and slot < minute + 86_400_000:
        found.append(slot)
        slot = table.after(slot)
    assert found == expected
