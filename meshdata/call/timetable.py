"""When a schedule is due: cron expressions, lengths and calendar intervals as an endless row of slots. Pure.

A slot is a moment, ms since 1970. The row is the same whoever computes it and from where: nothing drifts, and a process
that takes over finds the slots another would have found. How clocks that are moved forward and back are met:

    A cron expression that names its hour and minute is due once a day. If its time of day is skipped, it is due when
    the clocks have been moved; if it comes twice, the first time.
    One with a star in hour or minute goes by what the clock shows: every quarter of an hour that there is, none that is
    skipped, and those that come twice twice.
    Months and years are counted on the zone's calendar from the first slot, whose time of day they keep as above; a day
    the month lacks is its last (31 January, 28 February, 31 March). Weeks and what is shorter are lengths.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from dateutil.relativedelta import relativedelta

from meshdata.errors import InvalidOptions
from meshdata.values import Duration, duration_ms, duration_parts

NAMES: Final = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
"""Cron expressions that have a name."""

LEAST_MS: Final = 100
"""The shortest interval: each slot is a job of its own."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_MINUTE: Final = timedelta(minutes=1)
_LONGEST_MONTH_MS: Final = 31 * 86_400_000 + 7_200_000  # its clocks may be moved
_CRON: Final = re.compile(r"(\S+\s+){4,5}\S+")


@dataclass(frozen=True, slots=True)
class Timetable:
    """The slots of one schedule.

    Attributes:
        text: the interval as it was given, for people.
        cron: the expression, of five fields or of six with seconds; '' for an interval.
        months, ms: the interval: calendar months, and a length besides.
        tz: the zone's name.
        start: ms; the first slot of an interval, and what those of an expression come at or after.
        until: ms; no slot is later; None for no end.
    """

    text: str
    cron: str
    months: int
    ms: int
    tz: str
    start: int
    until: int | None = None

    def first(self) -> int | None:
        """The first slot; None if there is none before its end, or within 50 years."""
        return self._ends(self._after(self.start - 1) if self.cron else self.start)

    def after(self, moment: int) -> int | None:
        """The first slot later than a moment; None if there is none."""
        return self._ends(self._after(moment))

    def latest(self, count: int, *, since: int, until: int) -> list[int]:
        """The last `count` slots from one that is a slot, `since`, to `until`; in order, and both ends included."""
        last = until if self.until is None else min(until, self.until)
        # Only forward is there a way from slot to slot, so it is begun further back until enough are found.
        back = 60_000 if self.cron else self.ms + self.months * _LONGEST_MONTH_MS
        while True:
            begin = max(since - 1, last - back)
            found: deque[int] = deque(maxlen=count)
            slot = self._after(begin)
            while slot is not None and slot <= last:
                found.append(slot)
                slot = self._after(slot)
            if len(found) == count or begin == since - 1:
                return list(found)
            back *= 8

    def _ends(self, slot: int | None) -> int | None:
        return slot if slot is None or self.until is None or slot <= self.until else None

    def _after(self, moment: int) -> int | None:
        moment = max(moment, self.start - 1)
        if self.cron:
            return next(_cron_slots(self.cron, zone(self.tz), moment), None)
        if not self.months:
            return self.start + (moment - self.start) // self.ms * self.ms + self.ms
        number = max(0, (moment - self.start) // (self.months * _LONGEST_MONTH_MS + self.ms))
        try:
            while (slot := self._number(number)) <= moment:
                number += 1
        except (OverflowError, ValueError):  # past the year 9999
            return None
        return slot

    def _number(self, number: int) -> int:
        """The slot of a number, from 0, of an interval with months in it."""
        where = zone(self.tz)
        local = _moment(self.start).astimezone(where).replace(tzinfo=None)
        return _ms(_instant(local + relativedelta(months=number * self.months), where)) + number * self.ms

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {name: getattr(self, name) for name in ("text", "cron", "months", "ms", "tz", "start", "until")}


def timetable(
    interval: Duration,
    *,
    tz: str,
    now_ms: int,
    delay: Duration | None = None,
    until: "datetime | Duration | None" = None,
) -> Timetable:
    """The slots an interval means, counted from now.

    Args:
        interval: a cron expression, a name such as "@daily", or a duration.
        tz: whose clock and calendar it goes by.
        delay: the first slot is so much later, or the first one after it.
        until: no slot is later than this moment (without a zone: in `tz`), or than so long from now.

    Raises:
        InvalidOptions: one of them is wrong, or there is no slot at all.
    """
    zone(tz)
    cron, months, ms = _read(interval)
    wait = 0 if delay is None else duration_ms(delay, argument="delay", now=now_ms) or 0
    # An expression is due at the next time that matches; one that matches just now has begun.
    start = now_ms + wait + (1 if cron and not wait else 0)
    last = _last(until, tz, now_ms)
    text = interval.strip() if isinstance(interval, str) else f"{ms} ms" if ms % 1000 else f"{ms // 1000} s"
    made = Timetable(text, cron, months, ms, tz, start, last)
    if made.first() is None:
        if last is not None:
            raise InvalidOptions(
                f"{text!r} is not due before then; a later moment, or none, is needed", argument="until"
            )
        raise InvalidOptions(f"{text!r} is not due within 50 years", argument="interval")
    return made


def _read(interval: Any) -> tuple[str, int, int]:
    """An interval as (cron expression, months, ms)."""
    if isinstance(interval, str) and (word := interval.strip().lower()).startswith("@"):
        if word in NAMES:
            return NAMES[word], 0, 0
        near = get_close_matches(word, NAMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(NAMES)}"
        raise InvalidOptions(f"{interval!r} is no name of an expression; {hint}", argument="interval")
    try:
        months, ms = duration_parts(interval, argument="interval")
    except InvalidOptions:
        if not isinstance(interval, str):
            raise
        text = " ".join(interval.split())
        if _CRON.fullmatch(text):
            return _checked(text), 0, 0
        if re.search(r"\d", text) and "*" not in text:
            raise
        raise InvalidOptions(
            f"{interval!r} is neither a cron expression, like '*/5 * * * *', nor a duration, like '15 minutes'",
            argument="interval",
        ) from None
    if months == 0 and ms < LEAST_MS:
        raise InvalidOptions(f"at least {LEAST_MS} ms, not {interval!r}", argument="interval")
    return "", months, ms


def _checked(text: str) -> str:
    try:
        CronSim(text, datetime(2000, 1, 1))
    except CronSimError as problem:
        fields = "minute hour day month weekday" if len(text.split()) == 5 else "second minute hour day month weekday"
        raise InvalidOptions(
            f"{text!r} is no cron expression ({str(problem).lower()}); its fields are {fields}", argument="interval"
        ) from None
    return text


def _last(until: Any, tz: str, now_ms: int) -> int | None:
    if isinstance(until, str):
        try:
            until = datetime.fromisoformat(until.strip())
        except ValueError:
            pass
    if isinstance(until, datetime):
        return _ms(until if until.tzinfo is not None else _instant(until, zone(tz)))
    return None if until is None else now_ms + (duration_ms(until, argument="until", now=now_ms) or 0)


@lru_cache(maxsize=256)
def zone(tz: str) -> tzinfo:
    """A zone by its name, such as "Europe/Paris".

    Raises:
        InvalidOptions: there is none of that name here.
    """
    if not isinstance(tz, str):
        raise InvalidOptions(f"the name of a zone is needed, like 'Europe/Paris'; got {tz!r}", argument="tz")
    if tz == "UTC":
        return UTC
    try:
        return ZoneInfo(tz)
    except (OSError, ValueError, KeyError):  # a folder, a path that leads out of the database, not there
        near = get_close_matches(tz, available_timezones(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "names are like 'Europe/Paris'"
        raise InvalidOptions(f"there is no zone {tz!r} on this machine; {hint}", argument="tz") from None


def _cron_slots(cron: str, where: tzinfo, moment: int) -> Iterator[int]:
    """The slots of an expression later than a moment, until there is none for 50 years."""
    fields = cron.split()
    minute, hour = fields[-5], fields[-4]
    local = _moment(moment).astimezone(where)
    try:
        if minute.startswith("*") or hour.startswith("*") or where is UTC:
            for found in CronSim(cron, local):
                # Where midnight is skipped, a day is begun at a time that never was.
                if found == _moment(_ms(found)).astimezone(where) and _ms(found) > moment:
                    yield _ms(found)
            return
        for naive in CronSim(cron, local.replace(tzinfo=None)):
            slot = _ms(_instant(naive, where))
            if slot > moment:
                moment = slot
                yield slot
    except OverflowError:  # past the year 9999
        return


def _instant(local: datetime, where: tzinfo) -> datetime:
    """The moment of a time of day: when it is skipped, that at which the clocks have been moved; the first of two."""
    found = local.replace(tzinfo=where, fold=0)
    while not _is_real(found):
        found = (found.replace(second=0, microsecond=0) + _MINUTE).replace(fold=0)
    return found


def _is_real(local: datetime) -> bool:
    # Wall clocks compared: two datetimes of one zone are.
    return local.replace(fold=0) == local.astimezone(UTC).astimezone(local.tzinfo).replace(fold=0)


def _moment(ms: int) -> datetime:
    return _EPOCH + ms * _MS


def _ms(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // _MS
