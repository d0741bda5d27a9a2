"""One operand: `{@unary.*}`."""

import math
from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, int32, number, truthy, whole

unary = Family("unary", "Operations on one value.")


@unary("not")
def not_(value: Any = UNDEFINED) -> bool:
    """(x) Whether it counts as false."""
    return not truthy(value)


@unary("positive")
def positive(value: Any = UNDEFINED) -> float:
    """(x) It as a number; NaN where it is none."""
    return number(value)


@unary("negative")
def negative(value: Any = UNDEFINED) -> float:
    """(x) It as a number with the other sign."""
    found = number(value)
    return found if math.isnan(found) else whole(-found)


@unary("bitwise_not")
def bitwise_not(value: Any = UNDEFINED) -> int:
    """(x) Its 32 bits turned over."""
    return ~int32(value)
