"""Moments put together by the hour, the day, the month of a time zone: a column to group by; pure.

The module knows no time zones. So the zone's offset is written into the expression: the offset at the first moment, and
a step for each change of it up to the last. An hour is known by the instant at which it begins, so that the hour that
comes twice when clocks go back is two; a day and what is longer by its date, whatever its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search.query import Field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
_MONDAY = 4 * 86_400_000
"""1970-01-05: weeks begin on Mondays."""

_STEP = timedelta(days=7)
_MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class Bucket:
    """Moments of a field, by a unit of a time zone.

    Attributes:
        name: the column it makes.
    """

    field: str
    unit: str
    zone: tzinfo
    name: str

    def is_plain(self) -> bool:
        """Whether the zone's offset is nought for ever, so that the data's range does not matter."""
        return self.zone is UTC

    def expression(self, at: str, low_ms: float, high_ms: float) -> str:
        """The start of the unit, for the module; `at` is the column, with all its values within the range."""
        if self.is_plain():
            local, offset = at, ""
        else:
            first, *changes = _offsets(self.zone, low_ms, high_ms)
            offset = f"{first[1]}" if first[1] >= 0 else f"(0-{-first[1]})"
            before = first[1]
            for moment, now in changes:
                delta, sign = abs(now - before), "+" if now > before else "-"
                offset += f" {sign} {delta} * ({at} >= {moment})"
                before = now
            offset = f"({offset})"
            local = f"({at} + {offset})"
        if self.unit == "month":
            return f"month(floor({local} / 1000)) * 1000"
        size, shift = _UNITS[self.unit], _MONDAY if self.unit == "week" else 0
        start = (
            f"floor(({local} - {shift}) / {size}) * {size} + {shift}" if shift else f"floor({local} / {size}) * {size}"
        )
        return f"{start} - {offset}" if offset and self._is_instant() else start

    def start(self, ms: float) -> float:
        """The same for one moment, here."""
        moment = _EPOCH + timedelta(milliseconds=ms)
        offset = _offset_ms(self.zone, moment)
        local = ms + offset
        if self.unit == "month":
            date = _EPOCH + timedelta(milliseconds=local)
            return (date.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - _EPOCH) / timedelta(milliseconds=1)
        size, shift = _UNITS[self.unit], _MONDAY if self.unit == "week" else 0
        begin = math.floor((local - shift) / size) * size + shift
        return begin - offset if self._is_instant() else begin

    def read(self, start: float) -> datetime:
        """The start of a unit as a moment of the zone."""
        moment = _EPOCH + timedelta(milliseconds=start)
        return moment.astimezone(self.zone) if self._is_instant() else moment.replace(tzinfo=self.zone)

    def _is_instant(self) -> bool:
        return self.unit in ("minute", "hour")


def by_minute(field: Field | str, tz: str | tzinfo = "UTC", *, name: str = "minute") -> Bucket:
    """Group by the minute in which a moment lies."""
    return _bucket("minute", field, tz, name)


def by_hour(field: Field | str, tz: str | tzinfo = "UTC", *, name: str = "hour") -> Bucket:
    """Group by the hour of a time zone: `group_by(by_hour(meta.created, "Europe/Berlin"), meta.status)`.

    Each row has the moment at which its hour begins, as a datetime of the zone, under `name`.
    """
    return _bucket("hour", field, tz, name)


def by_day(field: Field | str, tz: str | tzinfo = "UTC", *, name: str = "day") -> Bucket:
    """Group by the day of a time zone, from midnight to midnight: 23 hours or 25 when clocks are changed."""
    return _bucket("day", field, tz, name)


def by_week(field: Field | str, tz: str | tzinfo = "UTC", *, name: str = "week") -> Bucket:
    """Group by the week, from Monday on."""
    return _bucket("week", field, tz, name)


def by_month(field: Field | str, tz: str | tzinfo = "UTC", *, name: str = "month") -> Bucket:
    """Group by the month."""
    return _bucket("month", field, tz, name)


def _bucket(unit: str, field: Field | str, tz: str | tzinfo, name: str) -> Bucket:
    if not isinstance(field, Field | str):
        raise QueryInvalid(f"by_{unit}() takes a field or its name, not {field!r}")
    if isinstance(tz, str):
        from zoneinfo import ZoneInfo  # here, since few need it and it takes a while to import

        try:
            tz = UTC if tz.upper() == "UTC" else ZoneInfo(tz)
        except (LookupError, ValueError, OSError) as problem:
            raise InvalidOptions(
                f"{tz!r} is no time zone known here; write for example 'Europe/Berlin'", argument="tz"
            ) from problem
    elif not isinstance(tz, tzinfo):
        raise InvalidOptions(f"a zone's name or a tzinfo, not {tz!r}", argument="tz")
    return Bucket(field.name if isinstance(field, Field) else field.removeprefix("@"), unit, tz, name)


def _offset_ms(zone: tzinfo, moment: datetime) -> int:
    offset = moment.astimezone(zone).utcoffset() or timedelta()
    return offset // timedelta(milliseconds=1)


def _offsets(zone: tzinfo, low_ms: float, high_ms: float) -> list[tuple[int, int]]:
    """(moment, the zone's offset from then on), both in ms: one at the range's start, then one for each change."""
    at: Callable[[datetime], int] = lambda moment: _offset_ms(zone, moment)  # noqa: E731 - a name for what is asked
    low, high = (_EPOCH + timedelta(milliseconds=ms) for ms in (low_ms, high_ms))
    found = [(math.floor(low_ms), at(low))]
    while low < high:
        after = min(low + _STEP, high)
        if at(after) != found[-1][1]:
            before, later = low, after
            while later - before > timedelta(milliseconds=1):
                middle = before + (later - before) / 2
                before, later = (middle, later) if at(middle) == found[-1][1] else (before, middle)
            # clocks are changed at whole seconds
            moment = round((later - _EPOCH) / timedelta(seconds=1)) * 1_000
            found.append((moment, at(after)))
            if len(found) > _MOST_STEPS:
                raise QueryInvalid(
                    f"the records span too many changes of clocks in {zone}; choose a shorter time by where()"
                )
        low = after
    return found


def as_column(value: Any, bucket: Bucket) -> datetime | None:
    """A group's value as its row has it."""
    return None if value is None else bucket.read(float(value))
