"""Numbers: `{@number.*}`."""

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from meshdata.graph.pipes.conditional import conditional
from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.math import math as arithmetic
from meshdata.graph.pipes.values import (
    UNDEFINED,
    PipeError,
    integer,
    is_number,
    number_text,
    text,
    whole,
)
from meshdata.graph.pipes.values import number as to_number

number = Family("number", "Numbers: what they are, and how they are read and written.")

MOST_DIGITS = 100
_LEADING = re.compile(r"[+-]?(?:Infinity|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)")


@number("isFinite")
def is_finite(value: Any = UNDEFINED) -> bool:
    """(x) Whether it is a number, and no infinity."""
    return is_number(value) and math.isfinite(value)


@number("isInteger")
def is_integer(value: Any = UNDEFINED) -> bool:
    """(x) Whether it is a whole number."""
    return is_finite(value) and float(value).is_integer()


@number("isNaN")
def is_nan(value: Any = UNDEFINED) -> bool:
    """(x) Whether it is NaN itself; a text is not."""
    return isinstance(value, float) and math.isnan(value)


@number("isEven")
def is_even(value: Any = UNDEFINED) -> bool:
    """(x) Whether it is an even number, after conversion; null and '' are 0."""
    found = to_number(value)
    return math.isfinite(found) and found % 2 == 0


@number("isOdd")
def is_odd(value: Any = UNDEFINED) -> bool:
    """(x) Whether it is an odd number, after conversion."""
    found = to_number(value)
    return math.isfinite(found) and abs(found) % 2 == 1


@number("parseFloat")
def parse_float(value: Any = UNDEFINED) -> float:
    """(text) The number it begins with; NaN if there is none."""
    match = _LEADING.match(text(value).lstrip())
    return to_number(match[0]) if match else math.nan


@number("parseInt")
def parse_int(value: Any = UNDEFINED, radix: Any = UNDEFINED) -> float:
    """(text, radix?) The whole number it begins with, `0x…` too; NaN if there is none."""
    found = text(value).strip().lower()
    sign = -1 if found.startswith("-") else 1
    digits = found.lstrip("+-") if found[:1] in ("+", "-") else found
    base = int(integer(radix)) if radix is not UNDEFINED else 0
    if base in (0, 16) and digits.startswith("0x"):
        digits, base = digits[2:], 16
    base = base or 10
    if not 2 <= base <= 36:
        return math.nan
    value_of = "0123456789abcdefghijklmnopqrstuvwxyz"[:base]
    length = next((at for at, one in enumerate(digits) if one not in value_of), len(digits))
    return whole(sign * int(digits[:length], base)) if length else math.nan


def _digits(value: Any, otherwise: int, least: int, name: str) -> int:
    found = integer(value, otherwise)
    if not least <= found <= MOST_DIGITS:
        raise PipeError(f"{name} takes {least} to {MOST_DIGITS} digits, not {number_text(found)}", argument=name)
    return int(found)


def _special(value: float) -> bool:
    return not math.isfinite(value)


@number("toFixed")
def to_fixed(value: Any = UNDEFINED, digits: Any = UNDEFINED) -> str:
    """(x, digits=0) As a text with so many decimals."""
    found, places = to_number(value), _digits(digits, 0, 0, "number.toFixed")
    if _special(found) or abs(found) >= 1e21:
        return number_text(found)
    rounded = Decimal(found).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, Context(prec=200))
    return f"{rounded:f}"


@number("toExponential")
def to_exponential(value: Any = UNDEFINED, digits: Any = UNDEFINED) -> str:
    """(x, digits?) As a text with an exponent; without digits, as many as it takes."""
    found = to_number(value)
    if _special(found):
        return number_text(found)
    if digits is UNDEFINED:
        mantissa = Decimal(repr(float(found))).normalize()
        places = len(mantissa.as_tuple().digits) - 1
    else:
        places = _digits(digits, 0, 0, "number.toExponential")
    return _exponential(Decimal(found), places)


def _exponential(value: Decimal, places: int) -> str:
    if value == 0:
        return f"{0:.{places}f}e+0"
    rounded = Context(prec=places + 1, rounding=ROUND_HALF_UP).plus(value)
    mantissa, _, power = f"{rounded:.{places}e}".partition("e")
    return f"{mantissa}e{int(power):+d}"


@number("toPrecision")
def to_precision(value: Any = UNDEFINED, digits: Any = UNDEFINED) -> str:
    """(x, digits?) As a text with so many digits that count."""
    found = to_number(value)
    if digits is UNDEFINED or _special(found):
        return number_text(found)
    places = _digits(digits, 1, 1, "number.toPrecision")
    exact = Decimal(found)
    if exact == 0:
        return f"{0:.{places - 1}f}"
    rounded = Context(prec=places, rounding=ROUND_HALF_UP).plus(exact)
    power = rounded.adjusted()
    if power < -6 or power >= places:
        return _exponential(exact, places - 1)
    return f"{rounded:.{places - 1 - power}f}"


for _name, _of in (
    ("gte", "greater_than_or_equal"),
    ("lte", "less_than_or_equal"),
    ("gt", "greater_than"),
    ("lt", "less_than"),
):
    number(_name)(conditional.functions[_of])

for _name in ("max", "min", "pow", "round"):
    number(_name)(arithmetic.functions[_name])
