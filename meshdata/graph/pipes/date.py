"""Dates: `{@date.*}`."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import (
    UNDEFINED,
    PipeError,
    integer,
    is_nothing,
    is_number,
    iso,
    member,
    milliseconds,
    number,
    text,
    whole,
)

date = Family(
    "date",
    "Dates: given as milliseconds since 1970, as dates, as `2024-01-02` or `2024-01-02T03:04:05.006Z`. Months and "
    "weekdays count from 0.",
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?")
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def of_milliseconds(ms: float) -> datetime:
    """The date of so many milliseconds since 1970.

    Raises:
        PipeError: there is no such date.
    """
    try:
        return EPOCH + timedelta(milliseconds=math.trunc(ms))
    except (OverflowError, ValueError) as problem:
        raise PipeError("Invalid date format", argument="date") from problem


def read(value: Any) -> datetime:
    """What a function of this family was given, as a date.

    Raises:
        PipeError: it is none.
    """
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if is_number(value):
        return of_milliseconds(value)
    if isinstance(value, str):
        if _ISO.fullmatch(value):
            try:
                found = datetime.fromisoformat(value)
            except ValueError as problem:
                raise PipeError("Invalid date format", argument="date") from problem
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        leading = re.match(r"\s*[+-]?\d+", value)
        if leading:
            return of_milliseconds(int(leading[0]))
    raise PipeError("Invalid date format", argument="date")


def _local(value: Any) -> datetime:
    return read(value).astimezone()


# --- making -----------------------------------------------------------------------------------------------------------


@date("now")
def now() -> int:
    """() Now, in milliseconds since 1970."""
    return milliseconds(datetime.now(UTC))


@date("parse")
def parse(value: Any = UNDEFINED) -> float:
    """(text) Milliseconds since 1970, or NaN."""
    try:
        return milliseconds(datetime.fromisoformat(text(value)) if not _ISO.fullmatch(text(value)) else read(value))
    except (ValueError, TypeError, PipeError):
        return math.nan


@date("fromISOString")
def from_iso_string(value: Any = UNDEFINED) -> datetime:
    """(text) The date."""
    return read(value)


@date("UTC")
def utc(
    year: Any = UNDEFINED, month: Any = UNDEFINED, day: Any = UNDEFINED, hours: Any = UNDEFINED,
    minutes: Any = UNDEFINED, seconds: Any = UNDEFINED, ms: Any = UNDEFINED,
) -> float:  # fmt: skip
    """(y, month, day=1, h=0, min=0, s=0, ms=0) Milliseconds since 1970 of that moment in UTC."""
    if year is UNDEFINED:
        return math.nan
    parts = [number(0 if one is UNDEFINED else one) for one in (month, hours, minutes, seconds, ms)]
    numbers = [number(year), parts[0], number(1 if day is UNDEFINED else day), *parts[1:]]
    if not all(map(math.isfinite, numbers)):
        return math.nan
    y, rest = math.trunc(numbers[0]), [math.trunc(one) for one in numbers[1:]]
    return _moment(1900 + y if 0 <= y <= 99 else y, *rest)


def _moment(
    year: int, month: int, day: int, hours: int, minutes: int, seconds: int, ms: int, *, in_utc: bool = True
) -> float:
    """Milliseconds since 1970 of a moment whose parts may be beyond their ends: the month 12 is the next January."""
    try:
        first = datetime(year + month // 12, month % 12 + 1, 1)
        wall = first + timedelta(days=day - 1, hours=hours, minutes=minutes, seconds=seconds, milliseconds=ms)
        return milliseconds(wall.replace(tzinfo=UTC) if in_utc else wall.astimezone())
    except (OverflowError, ValueError):
        return math.nan


# --- parts ------------------------------------------------------------------------------------------------------------

_PARTS: dict[str, tuple[Callable[[datetime], int], str]] = {
    "Date": (lambda at: at.day, "day of the month"),
    "Day": (lambda at: (at.weekday() + 1) % 7, "day of the week, Sunday 0"),
    "FullYear": (lambda at: at.year, "year"),
    "Hours": (lambda at: at.hour, "hour"),
    "Milliseconds": (lambda at: at.microsecond // 1000, "milliseconds"),
    "Minutes": (lambda at: at.minute, "minute"),
    "Month": (lambda at: at.month - 1, "month, January 0"),
    "Seconds": (lambda at: at.second, "second"),
}


def _part(of: Callable[[datetime], int], about: str, *, in_utc: bool) -> Callable[..., int]:
    def get(value: Any = UNDEFINED) -> int:
        return of(read(value) if in_utc else _local(value))

    get.__doc__ = f"(date) Its {about}, in {'UTC' if in_utc else 'the zone of the machine'}."
    return get


for _name, (_of, _about) in _PARTS.items():
    date(f"get{_name}")(_part(_of, _about, in_utc=False))
    date(f"getUTC{_name}")(_part(_of, _about, in_utc=True))


@date("getTime", "valueOf")
def get_time(value: Any = UNDEFINED) -> int:
    """(date) Milliseconds since 1970."""
    return milliseconds(read(value))


@date("getTimezoneOffset")
def get_timezone_offset(value: Any = UNDEFINED) -> float:
    """(date) Minutes from the machine's zone to UTC; positive in the west."""
    offset = _local(value).utcoffset() or timedelta()
    return whole(-offset.total_seconds() / 60)


# --- changing ---------------------------------------------------------------------------------------------------------

_ORDER = ("FullYear", "Month", "Date", "Hours", "Minutes", "Seconds", "Milliseconds")


def _setter(first: str, last: str, *, in_utc: bool) -> Callable[..., float]:
    """Sets the parts from `first` to `last`, as many as are given; the others stay."""
    names = _ORDER[_ORDER.index(first) : _ORDER.index(last) + 1]

    def change(value: Any = UNDEFINED, *parts: Any) -> float:
        at = read(value) if in_utc else _local(value)
        now = {"FullYear": at.year, "Month": at.month - 1, "Date": at.day, "Hours": at.hour, "Minutes": at.minute,
               "Seconds": at.second, "Milliseconds": at.microsecond // 1000}  # fmt: skip
        if not parts:
            return math.nan
        for name, part in zip(names, parts, strict=False):
            if part is UNDEFINED:
                continue
            found = number(part)
            if not math.isfinite(found):
                return math.nan
            now[name] = math.trunc(found)
        return _moment(*now.values(), in_utc=in_utc)

    zone = "UTC" if in_utc else "the zone of the machine"
    change.__doc__ = (
        f"(date, {', '.join(name.lower() for name in names)}) The moment with those parts, in {zone}, as ms."
    )
    return change


for _first, _last in (
    ("FullYear", "Date"),
    ("Month", "Date"),
    ("Date", "Date"),
    ("Hours", "Milliseconds"),
    ("Minutes", "Milliseconds"),
    ("Seconds", "Milliseconds"),
    ("Milliseconds", "Milliseconds"),
):
    date(f"set{_first}")(_setter(_first, _last, in_utc=False))
    date(f"setUTC{_first}")(_setter(_first, _last, in_utc=True))


@date("setTime")
def set_time(value: Any = UNDEFINED, ms: Any = UNDEFINED) -> float:
    """(date, ms) That moment, in milliseconds since 1970."""
    read(value)
    found = number(ms)
    return math.nan if math.isnan(found) else integer(found)


# --- texts ------------------------------------------------------------------------------------------------------------


@date("toISOString", "toJSON")
def to_iso_string(value: Any = UNDEFINED) -> str:
    """(date) `2024-01-02T03:04:05.006Z`."""
    return iso(read(value))


@date("toISOXString")
def to_isox_string(value: Any = UNDEFINED) -> str:
    """(date=now) Digits only: `20240102030405.006`."""
    at = datetime.now(UTC) if is_nothing(value) else read(value)
    return f"{at:%Y%m%d%H%M%S}.{at.microsecond // 1000:03d}"


@date("toDateString")
def to_date_string(value: Any = UNDEFINED) -> str:
    """(date) `Tue Jan 02 2024`, in the zone of the machine."""
    at = _local(value)
    return f"{_DAYS[(at.weekday() + 1) % 7]} {_MONTHS[at.month - 1]} {at.day:02d} {at.year:04d}"


@date("toString")
def to_string(value: Any = UNDEFINED) -> str:
    """(date) `Tue Jan 02 2024 03:04:05 GMT+0000 (UTC)`, in the zone of the machine."""
    at = _local(value)
    return f"{to_date_string(at)} {at:%H:%M:%S} GMT{at:%z} ({at.tzname()})"


def _localized(value: Any, locale: Any, options: Any) -> datetime:
    if not is_nothing(locale) and text(locale) != "en-US":
        raise PipeError(f"the locale en-US is known, {text(locale)!r} is not", argument="locale")
    zone = UNDEFINED if is_nothing(options) else member(options, "timeZone")
    if is_nothing(zone):
        return _local(value)
    try:
        return read(value).astimezone(ZoneInfo(text(zone)))
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise PipeError(f"there is no time zone {text(zone)!r}", argument="timeZone") from problem


@date("toLocaleDateString")
def to_locale_date_string(value: Any = UNDEFINED, locale: Any = UNDEFINED, options: Any = UNDEFINED) -> str:
    """(date, "en-US", {timeZone}?) `8/6/2023`."""
    at = _localized(value, locale, options)
    return f"{at.month}/{at.day}/{at.year}"


@date("toLocaleTimeString")
def to_locale_time_string(value: Any = UNDEFINED, locale: Any = UNDEFINED, options: Any = UNDEFINED) -> str:
    """(date, "en-US", {timeZone}?) `10:52:39 PM`."""
    at = _localized(value, locale, options)
    return f"{at.hour % 12 or 12}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}"


@date("toLocaleString")
def to_locale_string(value: Any = UNDEFINED, locale: Any = UNDEFINED, options: Any = UNDEFINED) -> str:
    """(date, "en-US", {timeZone}?) `8/6/2023, 10:52:39 PM`."""
    return f"{to_locale_date_string(value, locale, options)}, {to_locale_time_string(value, locale, options)}"
