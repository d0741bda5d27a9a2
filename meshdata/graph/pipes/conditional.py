"""Choices and comparisons: `{@conditional.*}`."""

from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, is_nothing, less, loosely_equal, strictly_equal, truthy

conditional = Family("conditional", "Choices and comparisons. `0`, `''`, null, undefined, NaN and false are false.")


@conditional("ternary")
def ternary(condition: Any = UNDEFINED, then: Any = UNDEFINED, otherwise: Any = UNDEFINED) -> Any:
    """(c, a, b) a if c is true, else b."""
    return then if truthy(condition) else otherwise


@conditional("equality")
def equality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether they are equal after conversion: `'1'` is 1."""
    return loosely_equal(a, b)


@conditional("inequality")
def inequality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether they differ even after conversion."""
    return not loosely_equal(a, b)


@conditional("strict_equality")
def strict_equality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether type and value are the same."""
    return strictly_equal(a, b)


@conditional("strict_inequality")
def strict_inequality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether type or value differ."""
    return not strictly_equal(a, b)


@conditional("greater_than")
def greater_than(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether a is above b: two texts as texts, all else as numbers."""
    return less(b, a) is True


@conditional("less_than")
def less_than(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether a is below b."""
    return less(a, b) is True


@conditional("greater_than_or_equal")
def greater_than_or_equal(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether a is not below b."""
    return less(a, b) is False


@conditional("less_than_or_equal")
def less_than_or_equal(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    """(a, b) Whether a is not above b."""
    return less(b, a) is False


@conditional("nullish")
def nullish(a: Any = UNDEFINED, b: Any = UNDEFINED) -> Any:
    """(a, b) a, unless it is null or undefined; then b."""
    return b if is_nothing(a) else a
