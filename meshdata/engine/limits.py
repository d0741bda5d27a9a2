"""Limits of a topic over all processes, and priorities: what they may be. Pure; `lua/lib/gate.lua` goes by them."""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from meshdata.errors import InvalidOptions
from meshdata.values import Duration, duration_ms

Priority = Literal["high", "normal", "low"]
"""Who goes first where runs wait: of 13 that may begin, while there are enough of each, 9 are high, 3 normal, 1 low."""

CLASSES: Final = {"high": "u", "normal": "", "low": "b"}
MOST: Final = 1_000_000
_RATE: Final = re.compile(r"\s*(\d+)\s*(?:/|per\s|an?\s|every\s)\s*(.+?)\s*")
_UNITS: Final = {"s": "1 second", "sec": "1 second", "m": "1 minute", "min": "1 minute", "h": "1 hour", "d": "1 day"}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many runs begun within any time of that length.

    Attributes:
        count: 1 to a million; per: a duration, "1 minute".
    """

    count: int
    per: Duration

    @property
    def per_ms(self) -> int:
        """The length in ms.

        Raises:
            InvalidOptions: it is no duration of a fixed length, or none at all.
        """
        ms = duration_ms(self.per, argument="rate")
        if not ms:
            raise InvalidOptions(f"a rate is so many within a time, as '100/minute'; got {self}", argument="rate")
        return ms


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a topic: so many begun within a time, so many at once; None for no limit."""

    rate: RateLimit | None = None
    at_once: int | None = None

    def text(self, partitions: int) -> str:
        """As the scripts read it."""
        count, per = (0, 0) if self.rate is None else (self.rate.count, self.rate.per_ms)
        return f"{partitions} {count} {per} {self.at_once or 0}"


def check_limits(rate: Any, limit: Any, key: Any) -> Limits | None:
    """The limits an entity is connected with; None if there are none.

    Raises:
        InvalidOptions: one of them cannot be read.
    """
    if key is not None and not callable(key):
        raise InvalidOptions(f"a function of the call's arguments; got {type(key).__name__}", argument="key")
    if rate is None and limit is None:
        if key is not None:
            raise InvalidOptions("it keeps limits apart, and there is none; add rate= or limit=", argument="key")
        return None
    if limit is not None and not _is_count(limit):
        raise InvalidOptions(f"a whole number from 1 to {MOST} is needed; got {limit!r}", argument="limit")
    return Limits(None if rate is None else _rate(rate), limit)


def _rate(rate: Any) -> RateLimit:
    if isinstance(rate, str):
        read = _RATE.fullmatch(rate)
        if read is None:
            raise InvalidOptions(
                f"a rate is so many within a time: '100/minute', '5/10 seconds', RateLimit(5, per=10); got {rate!r}",
                argument="rate",
            )
        per = read[2]
        rate = RateLimit(int(read[1]), _UNITS.get(per, per if per[0].isdigit() else f"1 {per}"))
    if not isinstance(rate, RateLimit):
        raise InvalidOptions(f"a text as '100/minute', or a RateLimit; got {type(rate).__name__}", argument="rate")
    if not _is_count(rate.count):
        raise InvalidOptions(f"from 1 to {MOST} within a time; got {rate.count!r}", argument="rate")
    _ = rate.per_ms
    return rate


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST


def check_priority(priority: Any) -> str:
    """A priority as the scripts take it.

    Raises:
        InvalidOptions: it is none.
    """
    if not isinstance(priority, str) or priority not in CLASSES:
        raise InvalidOptions(f"one of {', '.join(CLASSES)}; got {priority!r}", argument="priority")
    return CLASSES[priority]
