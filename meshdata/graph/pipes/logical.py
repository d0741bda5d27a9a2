"""And, or: `{@logical.*}`."""

from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, truthy

logical = Family("logical", "And, or. They give one of their operands, not true or false.")


@logical("and")
def and_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> Any:
    """(a, b) b if a is true, else a."""
    return b if truthy(a) else a


@logical("or")
def or_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> Any:
    """(a, b) a if it is true, else b."""
    return a if truthy(a) else b
