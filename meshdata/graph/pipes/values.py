"""The values of the mapping language, and how they convert and compare: ECMAScript's rules, on Python's types.

Models of the reference family were written for ECMAScript, and rely on its rules in small ways: an empty list is true,
`1` is not `true`, what is missing is not null. A value is None, bool, int, float, str, list, dict, an aware datetime,
or UNDEFINED, which stands for what is not there.

Numbers are doubles there. Here a result that is whole is an int, so that it is stored and shown as one.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from meshdata.errors import InvalidOptions

LARGEST_WHOLE: Final = 2**53
"""From here on a double does not hold every whole number."""

LARGEST_INDEX: Final = 2**32 - 2


class Undefined:
    """The type of UNDEFINED."""

    _one: "Undefined | None" = None

    def __new__(cls) -> "Undefined":
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        return False

    def __copy__(self) -> "Undefined":
        return self

    def __deepcopy__(self, memo: object) -> "Undefined":
        return self


UNDEFINED: Final = Undefined()
"""What is not there: a path that leads nowhere, an argument that was not given."""


class PipeError(InvalidOptions):
    """A function of a pipe cannot do what it was asked to; the activity that maps with it fails."""


# --- kinds ------------------------------------------------------------------------------------------------------------


def is_nothing(value: Any) -> bool:
    """Whether it is null or undefined."""
    return value is None or value is UNDEFINED


def is_number(value: Any) -> bool:
    """Whether it is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_object(value: Any) -> bool:
    """Whether it is compared by identity: a list, an object, a date."""
    return isinstance(value, list | dict | datetime)


def needed(value: Any, name: str) -> Any:
    """The value, unless it is null or undefined.

    Raises:
        PipeError: it is.
    """
    if is_nothing(value):
        raise PipeError(f"{name} needs a value; it was given {'null' if value is None else 'undefined'}", argument=name)
    return value


# --- conversion -------------------------------------------------------------------------------------------------------


def truthy(value: Any) -> bool:
    """Whether it counts as true: all but false, 0, NaN, the empty text, null and undefined."""
    if isinstance(value, float) and math.isnan(value):
        return False
    if isinstance(value, list | dict):
        return True
    return bool(value)


def whole(value: float) -> int | float:
    """A number as it is stored: an int where it is whole."""
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_WHOLE:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST_WHOLE:
        return float(value)
    return value


def number(value: Any) -> int | float:
    """A value as a number; NaN where it is none."""
    if is_number(value):
        return whole(value)
    if value is None or value is False:
        return 0
    if value is True:
        return 1
    if isinstance(value, str):
        return _number_of_text(value)
    if isinstance(value, datetime):
        return milliseconds(value)
    if isinstance(value, list):
        return _number_of_text(text(value))
    return math.nan


def _number_of_text(value: str) -> int | float:
    stripped = value.strip()
    if not stripped:
        return 0
    lower = stripped.lower()
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if lower.startswith(prefix):
            try:
                return whole(int(lower[2:], base)) if "_" not in lower else math.nan
            except ValueError:
                return math.nan
    if lower.lstrip("+-") in ("infinity", "inf", "nan") or "_" in lower:
        sign = -1 if stripped[0] == "-" else 1
        return sign * math.inf if stripped.lstrip("+-") == "Infinity" else math.nan
    try:
        return whole(float(stripped))
    except ValueError:
        return math.nan


def integer(value: Any, otherwise: int = 0) -> int | float:
    """A value as a whole number, cut towards 0; `otherwise` for undefined; infinities stay."""
    if value is UNDEFINED:
        return otherwise
    found = number(value)
    if isinstance(found, float):
        if math.isnan(found):
            return 0
        return found if math.isinf(found) else math.trunc(found)
    return found


def int32(value: Any) -> int:
    """A value as a signed number of 32 bits."""
    found = uint32(value)
    return found - 2**32 if found >= 2**31 else found


def uint32(value: Any) -> int:
    """A value as an unsigned number of 32 bits."""
    found = number(value)
    if isinstance(found, float) and not math.isfinite(found):
        return 0
    return math.trunc(found) % 2**32


def text(value: Any) -> str:
    """A value as a text."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is UNDEFINED:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, list):
        return ",".join("" if is_nothing(one) else text(one) for one in value)
    if isinstance(value, datetime):
        return iso(value)
    return "[object Object]"


def number_text(value: float) -> str:
    """A number as ECMAScript writes it: `1`, `0.5`, `1e+21`, `NaN`."""
    value = whole(value)
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    shortest = Decimal(repr(value))
    power = shortest.adjusted()
    if -7 < power < 21:
        return f"{shortest:f}"
    digits = "".join(map(str, shortest.normalize().as_tuple().digits))
    point = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{point}e{power:+d}"


# --- comparison -------------------------------------------------------------------------------------------------------


def strictly_equal(one: Any, other: Any) -> bool:
    """Of the same type and value; lists, objects and dates are equal only to themselves."""
    if is_number(one) and is_number(other):
        return bool(one == other)
    if is_object(one) or is_object(other):
        return one is other
    return type(one) is type(other) and bool(one == other)


def loosely_equal(one: Any, other: Any) -> bool:
    """Equal after conversion: `"1" == 1`, `null == undefined`, `0 == ""`."""
    if is_nothing(one) or is_nothing(other):
        return is_nothing(one) and is_nothing(other)
    if is_object(one) and is_object(other):
        return one is other
    if is_object(one):
        return loosely_equal(text(one), other)
    if is_object(other):
        return loosely_equal(one, text(other))
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return number(one) == number(other)


def less(one: Any, other: Any) -> bool | None:
    """Whether one comes before the other: two texts as texts, all else as numbers; None where one is no number."""
    one, other = _primitive(one), _primitive(other)
    if isinstance(one, str) and isinstance(other, str):
        return one < other
    left, right = number(one), number(other)
    if math.isnan(left) or math.isnan(right):
        return None
    return left < right


def _primitive(value: Any) -> Any:
    if isinstance(value, datetime):
        return milliseconds(value)
    return text(value) if isinstance(value, list | dict) else value


# --- objects ----------------------------------------------------------------------------------------------------------


def own_keys(value: Any) -> list[str]:
    """The keys of a value, in ECMAScript's order: whole numbers first, ascending, then as they came."""
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        indexes = sorted((key for key in keys if _is_index(key)), key=int)
        return [*indexes, *(key for key in keys if not _is_index(key))]
    if isinstance(value, list | str):
        return [str(at) for at in range(len(value))]
    return []


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and int(key) <= LARGEST_INDEX


def entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Key and value of each member."""
    for key in own_keys(value):
        yield key, member(value, key)


def member(value: Any, key: Any) -> Any:
    """An own member of an object, a list or a text by its key; UNDEFINED where there is none."""
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        return value.get(text(key), UNDEFINED)
    if isinstance(value, list | str):
        name = text(key)
        if name == "length":
            return len(value)
        if _is_index(name) and int(name) < len(value):
            return value[int(name)]
    return UNDEFINED


# --- dates ------------------------------------------------------------------------------------------------------------


def milliseconds(value: datetime) -> int:
    """A date as milliseconds since 1970."""
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def iso(value: datetime) -> str:
    """A date as `2024-01-02T03:04:05.006Z`."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
