"""Ids, durations and JSON: the values that cross every floor, checked and converted; nothing here does I/O.

All of it is on the way of every call, so the common case of each function is one dictionary look-up or one C call; the
slow path is taken only to say what is wrong, and where.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import pydantic
import pydantic_core
from dateutil.relativedelta import relativedelta

from meshdata.errors import CorruptRecord, InvalidOptions

_FORMS: Final = "a duration is a timedelta, a number of seconds, or a text such as '15 minutes'"

Duration = timedelta | int | float | str
"""timedelta, seconds, or text: "15 minutes", "1h 30m", "500 ms", "1 month", "PT1H"; "infinity" where a ttl is meant."""

DURATION_LIMIT_MS: Final = 10_000 * 366 * 86_400_000
"""Ten thousand years. A due time (now + duration) stays far below 2**53, above which Lua's numbers lose digits."""

ENTITY_LIMIT: Final = 128  # characters
ID_LIMIT: Final = 512  # bytes of UTF-8

# --- durations --------------------------------------------------------------------------------------------------------

_UNIT_MS: Final = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 604_800_000),
}
_UNIT_MONTHS: Final = {
    **dict.fromkeys(("mo", "mos", "month", "months"), 1),
    **dict.fromkeys(("quarter", "quarters"), 3),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), 12),
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)(?:\s*,\s*|\s+and\s+|\s*)", re.ASCII)
_N: Final = r"(\d+(?:[.,]\d+)?)"
_ISO: Final = re.compile(
    rf"P(?:{_N}Y)?(?:{_N}M)?(?:{_N}W)?(?:{_N}D)?(?:T(?=\d)(?:{_N}H)?(?:{_N}M)?(?:{_N}S)?)?", re.ASCII | re.IGNORECASE
)
_ISO_UNITS: Final = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
_TEXT_LIMIT: Final = 100  # characters; nothing longer is a duration, and the cache below must not hold long texts
_INFINITE: Final = (-1, -1)


def duration_ms(
    value: Duration, *, argument: str, infinity: bool = False, now: datetime | int | None = None
) -> int | None:
    """Turn a duration into whole milliseconds.

    Numbers are seconds. Months and years are counted on the calendar (UTC), so that "1 month" asked on 31 January ends
    on the last day of February. What is more than nothing is at least 1 ms.

    Args:
        value: see `Duration`.
        argument: the caller's name for it, for the error.
        infinity: whether "infinity" and `math.inf` are allowed.
        now: what months and years are counted from, a time or milliseconds since 1970; by default the present.

    Returns:
        Milliseconds, 0 or more; None for infinity.

    Raises:
        InvalidOptions: negative, NaN, no duration, or past `DURATION_LIMIT_MS`.
    """
    if isinstance(value, str):
        try:
            months, ms = _parse(value) if len(value) <= _TEXT_LIMIT else _refuse(value)
        except ValueError as problem:
            raise InvalidOptions(str(problem), argument=argument) from None
        if months > 0:
            ms += _calendar_ms(months, argument, now)
        elif months < 0:
            _check_infinity(value, argument, allowed=infinity)
            return None
    elif isinstance(value, bool):
        raise InvalidOptions(f"{value} is no duration; {_FORMS}", argument=argument)
    elif isinstance(value, int):
        ms = value * 1_000
    elif isinstance(value, float):
        if value == math.inf:
            _check_infinity(value, argument, allowed=infinity)
            return None
        if not math.isfinite(value):
            raise InvalidOptions(f"{value} is no duration; {_FORMS}", argument=argument)
        ms = round(value * 1_000) or (value > 0) - (value < 0)
    elif isinstance(value, timedelta):
        microseconds = value // timedelta(microseconds=1)
        ms = round(microseconds / 1_000) or (microseconds > 0) - (microseconds < 0)
    else:
        raise InvalidOptions(f"{type(value).__name__} is no duration; {_FORMS}", argument=argument)
    if ms < 0:
        raise InvalidOptions(f"{value!r} is negative; a duration is 0 or more", argument=argument)
    if ms > DURATION_LIMIT_MS:
        for_ever = "; use 'infinity' for ever" if infinity else ""
        raise InvalidOptions(f"{value!r} is longer than 10,000 years{for_ever}", argument=argument)
    return ms


def duration_parts(value: Duration, *, argument: str) -> tuple[int, int]:
    """A duration as (calendar months, milliseconds besides): for what recurs, whose months differ in length.

    Raises:
        InvalidOptions: as `duration_ms`; infinity is none.
    """
    ms = duration_ms(value, argument=argument) or 0
    if not isinstance(value, str):
        return 0, ms
    return _parse(value)


@lru_cache(maxsize=1_024)
def _parse(text: str) -> tuple[int, int]:
    """Read a text as (calendar months, milliseconds), or `_INFINITE`. Only what the text says is cached, never a date.

    Raises:
        ValueError: with the sentence for the user.
    """
    bare = text.strip().lower()
    if bare == "infinity":
        return _INFINITE
    months = 0
    ms = Decimal(0)
    for number, unit in _parts(text, bare):
        if unit in _UNIT_MS:
            ms += Decimal(number) * _UNIT_MS[unit]
        elif unit in _UNIT_MONTHS:
            count = Decimal(number) * _UNIT_MONTHS[unit]
            if count != int(count):
                raise ValueError(f"{text!r} is no whole number of months; say it in days or weeks")
            months += int(count)
        else:
            raise ValueError(
                f"{unit!r} in {text!r} is no unit of time; use ms, s, min, h, days, weeks, months or years"
            )
    return months, round(ms) or int(ms > 0)


def _parts(text: str, bare: str) -> Iterator[tuple[str, str]]:
    """Yield (number, unit) for each part of a text in words or in ISO 8601."""
    if len(bare) > 2 and (iso := _ISO.fullmatch(bare)):
        for number, unit in zip(iso.groups(), _ISO_UNITS, strict=True):
            if number:
                yield number.replace(",", "."), unit
        return
    at = 0
    while at < len(bare) and (part := _PART.match(bare, at)):
        yield part[1], part[2]
        at = part.end()
    if at == 0 or at < len(bare):
        _refuse(text)


def _refuse(text: str) -> tuple[int, int]:
    """Say why a text is no duration, with the likeliest remedy."""
    if len(text) > _TEXT_LIMIT:
        raise ValueError(f"a text of {len(text)} characters is no duration; write for example '15 minutes'")
    bare = text.strip()
    if re.fullmatch(r"[+-]?\d*\.?\d+", bare, re.ASCII):
        seconds = bare.lstrip("+-")
        raise ValueError(f"{text!r} needs a unit, such as '{seconds} seconds'; a number of seconds is no text")
    if bare.startswith("-"):
        raise ValueError(f"{text!r} is negative; a duration is 0 or more")
    raise ValueError(
        f"{text!r} is no duration; write for example '15 minutes', '1h 30m', '500 ms', '1 month' or 'PT1H'"
    )


def _calendar_ms(months: int, argument: str, since: datetime | int | None) -> int:
    now = since if isinstance(since, datetime) else datetime.now(UTC)
    try:
        if isinstance(since, int):
            now = datetime.fromtimestamp(since / 1000, UTC)
        return (now + relativedelta(months=months) - now) // timedelta(milliseconds=1)
    except (OverflowError, ValueError):  # past the year 9999
        raise InvalidOptions(f"{months} months from now is past the end of the calendar", argument=argument) from None


def _check_infinity(value: object, argument: str, *, allowed: bool) -> None:
    if not allowed:
        raise InvalidOptions(f"{value!r} is not allowed here; give a duration that ends", argument=argument)


# --- names ------------------------------------------------------------------------------------------------------------

_ENTITY: Final = re.compile(rf"[^\s:${{}}\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{ENTITY_LIMIT}}}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def mint_id() -> str:
    """Make a new id: 22 letters and digits, about 127 random bits.

    Letters and digits only: an id that begins with "-" reads as an option on a command line, and "-" parts words in a
    search index.
    """
    return secrets.token_urlsafe(16).replace("-", "x").replace("_", "y")


def check_entity(name: str, *, argument: str = "entity") -> str:
    """Return the name if it can name an entity: 1 to 128 characters; no colon, space, control character, "$", brace.

    A colon parts entity and id in a job id, braces mark a partition's tag, "$" marks names of the mesh's own.

    Raises:
        InvalidOptions: what does not fit.
    """
    if isinstance(name, str) and _ENTITY.fullmatch(name):
        return name
    if not isinstance(name, str):
        raise InvalidOptions(f"a name is a str, not {type(name).__name__}", argument=argument)
    if not name:
        raise InvalidOptions("a name has at least one character", argument=argument)
    if len(name) > ENTITY_LIMIT:
        raise InvalidOptions(f"a name has at most {ENTITY_LIMIT} characters, this one {len(name)}", argument=argument)
    wrong = next(character for character in name if not _ENTITY.fullmatch(character))
    raise InvalidOptions(
        f"{name!r} holds {wrong!r}; no colon, space, control character, '$' or brace", argument=argument
    )


def check_id(id: str, *, argument: str = "id") -> str:
    """Return the id if it is one: 1 to 512 bytes in UTF-8, no control characters; spaces and colons are fine.

    Raises:
        InvalidOptions: what does not fit.
    """
    if isinstance(id, str):
        if 0 < len(id) <= ID_LIMIT and id.isascii() and id.isprintable():
            return id
    else:
        raise InvalidOptions(f"an id is a str, not {type(id).__name__}", argument=argument)
    if not id:
        raise InvalidOptions("an id has at least one character", argument=argument)
    if wrong := _UNPRINTABLE.search(id):
        raise InvalidOptions(f"an id has no control characters; {wrong[0]!r} is at {wrong.start()}", argument=argument)
    if (size := len(id.encode())) > ID_LIMIT:
        raise InvalidOptions(f"an id has at most {ID_LIMIT} bytes, this one {size}", argument=argument)
    return id


def check_key(key: str, *, argument: str = "key") -> str:
    """Return a signal's key if it is one; the rules of `check_id`."""
    return check_id(key, argument=argument)


# --- JSON -------------------------------------------------------------------------------------------------------------


def to_json(value: Any, *, argument: str) -> bytes:
    """Write a value as JSON: models, dataclasses, enums, dates, UUID, Decimal (text), bytes (base64), NaN, Infinity.

    Args:
        value: anything pydantic can turn into JSON.
        argument: the caller's name for it, where the path in the error begins.

    Raises:
        InvalidOptions: it cannot be written; `.argument` is the path to the part, e.g. "args[0].user.socket".
    """
    try:
        return _write(value)
    except (
        Exception
    ) as problem:  # a user's own serializer may raise anything; all of it means "this value cannot be sent"
        path, part, cause = _culprit(value, argument, problem)
        raise InvalidOptions(f"{type(part).__name__} cannot be written as JSON ({cause})", argument=path) from problem


def from_json(data: bytes | str) -> Any:
    """Read what `to_json` wrote, as dicts, lists, text, numbers, booleans and None.

    Raises:
        CorruptRecord: the bytes are no JSON.
    """
    try:
        return pydantic_core.from_json(data)
    except ValueError as problem:
        try:  # pydantic_core reads 200 levels but writes 255; the standard library reads them all
            return json.loads(data)
        except (ValueError, RecursionError):
            raise CorruptRecord(f"no JSON: {problem}") from problem


def _write(value: Any) -> bytes:
    # round_trip: what is written must be readable by the same model, so computed fields stay out.
    return pydantic_core.to_json(value, bytes_mode="base64", inf_nan_mode="constants", round_trip=True)


def _culprit(value: Any, path: str, problem: Exception) -> tuple[str, Any, str]:
    """Find the innermost part that cannot be written: (its path, the part, why)."""
    cause = str(problem)
    above = {id(value)}
    while "depth" not in cause:  # what is nested past the writer's limit has no innermost part worth showing
        for inner_path, inner in _inside(value, path):
            try:
                _write(inner)
            except Exception as inner_problem:  # as in to_json
                if id(inner) in above:
                    return inner_path, inner, "it contains itself"
                value, path, cause = inner, inner_path, str(inner_problem)
                above.add(id(inner))
                break
        else:
            return path, value, cause
    return path, value, "it is nested too deeply"


def _inside(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (path, part) for the direct parts of a value."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            plain = isinstance(key, str) and key.isidentifier()
            yield f"{path}.{key}" if plain else f"{path}[{key!r}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for index, part in enumerate(value):
            yield f"{path}[{index}]", part
    elif isinstance(value, pydantic.BaseModel):
        for name in type(value).model_fields:
            yield f"{path}.{name}", getattr(value, name, None)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield f"{path}.{field.name}", getattr(value, field.name, None)
