"""Values that cannot be written in a model: `{@symbol.*}`."""

import math
from datetime import UTC, datetime
from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED

symbol = Family("symbol", "Values that cannot be written as text. They take nothing.")


@symbol("null")
def null() -> None:
    """Null."""


@symbol("undefined")
def undefined() -> Any:
    """Nothing at all: what maps to it is not stored."""
    return UNDEFINED


@symbol("whitespace")
def whitespace() -> str:
    """One space."""
    return " "


@symbol("object")
def object_() -> dict[str, Any]:
    """An empty object, a new one each time."""
    return {}


@symbol("array")
def array() -> list[Any]:
    """An empty list, a new one each time."""
    return []


@symbol("posInfinity")
def positive_infinity() -> float:
    """Above every number."""
    return math.inf


@symbol("negInfinity")
def negative_infinity() -> float:
    """Below every number."""
    return -math.inf


@symbol("NaN")
def not_a_number() -> float:
    """What is no number."""
    return math.nan


@symbol("date")
def date() -> datetime:
    """Now, as a date."""
    return datetime.now(UTC)
