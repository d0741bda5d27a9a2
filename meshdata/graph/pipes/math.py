"""Arithmetic: `{@math.*}`."""

import math as _math
import secrets
import struct
from collections.abc import Callable
from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, PipeError, int32, number, text, uint32, whole

math = Family("math", "Arithmetic on doubles. What is out of a function's domain gives NaN, not an error.")


def _flat(values: tuple[Any, ...]) -> list[Any]:
    """The operands; a list among them stands for its elements."""
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _add(one: Any, other: Any) -> Any:
    if isinstance(one, str | dict) or isinstance(other, str | dict):
        return text(one) + text(other)
    return whole(number(one) + number(other))


@math("add")
def add(*values: Any) -> Any:
    """(...n) Their sum, 0 of none; with a text among them they are joined as texts. Lists count as their elements."""
    total: Any = 0
    for one in _flat(values):
        total = _add(total, one)
    return total


@math("subtract")
def subtract(*values: Any) -> Any:
    """(...n) The first less all others. Lists count as their elements."""
    operands = _flat(values)
    if not operands:
        raise PipeError("At least one operand is required.", argument="math.subtract")
    total = operands[0]
    for one in operands[1:]:
        total = whole(number(total) - number(one))
    return total


@math("multiply")
def multiply(*values: Any) -> float:
    """(...n) Their product, 1 of none. Lists count as their elements."""
    product: float = 1
    for one in _flat(values):
        product = _times(product, number(one))
    return product


def _times(one: float, other: float) -> float:
    if 0 in (one, other) and (_math.isinf(one) or _math.isinf(other)):
        return _math.nan
    return whole(float(one) * float(other) if isinstance(one, float) or isinstance(other, float) else one * other)


@math("divide")
def divide(*values: Any) -> Any:
    """(...n) The first divided by all others; NaN where one of these is 0. Lists count as their elements."""
    operands = _flat(values)
    if not operands:
        raise PipeError("At least one operand is required.", argument="math.divide")
    found = operands[0]
    for one in operands[1:]:
        divisor = number(one)
        if divisor == 0:
            return _math.nan
        found = _quotient(number(found), divisor)
    return found


def _quotient(one: float, other: float) -> float:
    if _math.isinf(one) and _math.isinf(other):
        return _math.nan
    return whole(one / other)


@math("max")
def max_(*values: Any) -> float:
    """(...n) The largest; -Infinity of none, NaN if one is no number."""
    found = [number(one) for one in values]
    return _math.nan if any(map(_math.isnan, found)) else max(found, default=-_math.inf)


@math("min")
def min_(*values: Any) -> float:
    """(...n) The smallest; Infinity of none, NaN if one is no number."""
    found = [number(one) for one in values]
    return _math.nan if any(map(_math.isnan, found)) else min(found, default=_math.inf)


@math("round")
def round_(value: Any = UNDEFINED) -> float:
    """(x) To the nearest whole number; halves upwards: 2.5 is 3, -2.5 is -2."""
    found = number(value)
    if not _math.isfinite(found) or isinstance(found, int):
        return found
    below = _math.floor(found)
    return below + 1 if found - below >= 0.5 else below


@math("pow")
def pow_(base: Any = UNDEFINED, exponent: Any = UNDEFINED) -> float:
    """(x, y) x to the power of y."""
    one, other = float(number(base)), float(number(exponent))
    if abs(one) == 1 and (_math.isinf(other) or _math.isnan(other)):
        return _math.nan
    try:
        return whole(_math.pow(one, other))
    except OverflowError:
        return -_math.inf if one < 0 and other % 2 == 1 else _math.inf
    except ValueError:
        if one != 0:
            return _math.nan
        return -_math.inf if _math.copysign(1, one) < 0 and other % 2 == 1 else _math.inf  # 0 to a negative power


@math("abs")
def abs_(value: Any = UNDEFINED) -> float:
    """(x) Without its sign."""
    return whole(abs(number(value)))


@math("sign")
def sign(value: Any = UNDEFINED) -> float:
    """(x) 1, 0 or -1."""
    found = number(value)
    return found if _math.isnan(found) else (found > 0) - (found < 0)


def _rounded(fn: Callable[[float], int]) -> Callable[[Any], float]:
    def rounding(value: Any = UNDEFINED) -> float:
        found = number(value)
        return whole(fn(found)) if _math.isfinite(found) else found

    return rounding


for _name, _fn, _about in (
    ("ceil", _math.ceil, "(x) The next whole number above."),
    ("floor", _math.floor, "(x) The next whole number below."),
    ("trunc", _math.trunc, "(x) Without its decimals."),
):
    _rounding = _rounded(_fn)
    _rounding.__doc__ = _about
    math(_name)(_rounding)


@math("clz32")
def clz32(value: Any = UNDEFINED) -> int:
    """(x) How many of its 32 bits are 0 before the first 1."""
    return 32 - uint32(value).bit_length()


@math("imul")
def imul(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    """(a, b) Their product as a signed number of 32 bits."""
    return int32(int32(a) * int32(b) % 2**32)


@math("fround")
def fround(value: Any = UNDEFINED) -> float:
    """(x) The nearest number of single precision."""
    found = float(number(value))
    try:
        return whole(float(struct.unpack("f", struct.pack("f", found))[0]))
    except OverflowError:
        return _math.copysign(_math.inf, found)


@math("atan2")
def atan2(y: Any = UNDEFINED, x: Any = UNDEFINED) -> float:
    """(y, x) The angle of the point, in radians."""
    return whole(_math.atan2(number(y), number(x)))


@math("hypot")
def hypot(*values: Any) -> float:
    """(...n) The square root of the sum of their squares."""
    return whole(_math.hypot(*map(number, values)))


@math("random")
def random() -> float:
    """() A random number from 0 to below 1."""
    return secrets.randbits(53) / 2**53


def _of_one(fn: Callable[[float], float]) -> Callable[[Any], float]:
    """A function of `math` with infinities and NaN where Python raises."""

    def apply(value: Any = UNDEFINED) -> float:
        found = float(number(value))
        try:
            return whole(fn(found))
        except OverflowError:
            return _math.copysign(_math.inf, found) if fn in _ODD else _math.inf
        except ValueError:
            return _at_the_edge(fn, found)

    return apply


_ODD = (_math.sinh,)


def _at_the_edge(fn: Callable[[float], float], value: float) -> float:
    if value == 0 and fn in (_math.log, _math.log2, _math.log10):
        return -_math.inf
    if value == -1 and fn is _math.log1p:
        return -_math.inf
    if abs(value) == 1 and fn is _math.atanh:
        return _math.copysign(_math.inf, value)
    return _math.nan


for _name, _one, _about in (
    ("acos", _math.acos, "(x) The angle with that cosine."),
    ("acosh", _math.acosh, "(x) The inverse of cosh."),
    ("asin", _math.asin, "(x) The angle with that sine."),
    ("asinh", _math.asinh, "(x) The inverse of sinh."),
    ("atan", _math.atan, "(x) The angle with that tangent."),
    ("atanh", _math.atanh, "(x) The inverse of tanh."),
    ("cbrt", _math.cbrt, "(x) Its cube root."),
    ("cos", _math.cos, "(x) The cosine of an angle in radians."),
    ("cosh", _math.cosh, "(x) The hyperbolic cosine."),
    ("exp", _math.exp, "(x) e to its power."),
    ("expm1", _math.expm1, "(x) e to its power, less 1."),
    ("log", _math.log, "(x) Its natural logarithm."),
    ("log10", _math.log10, "(x) Its logarithm to 10."),
    ("log1p", _math.log1p, "(x) The natural logarithm of 1 + x."),
    ("log2", _math.log2, "(x) Its logarithm to 2."),
    ("sin", _math.sin, "(x) The sine of an angle in radians."),
    ("sinh", _math.sinh, "(x) The hyperbolic sine."),
    ("sqrt", _math.sqrt, "(x) Its square root."),
    ("tan", _math.tan, "(x) The tangent of an angle in radians."),
    ("tanh", _math.tanh, "(x) The hyperbolic tangent."),
):
    _applied = _of_one(_one)
    _applied.__doc__ = _about
    math(_name)(_applied)
