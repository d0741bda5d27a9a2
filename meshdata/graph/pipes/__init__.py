"""What pipes call: `{@family.name}`, one module per family.

All but `date.now`, `symbol.date`, `math.random` and `cron.nextDelay` depend on nothing but their arguments.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from meshdata.graph.pipes.array import array
from meshdata.graph.pipes.bitwise import bitwise
from meshdata.graph.pipes.conditional import conditional
from meshdata.graph.pipes.cron import cron
from meshdata.graph.pipes.date import date
from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.json import json
from meshdata.graph.pipes.logical import logical
from meshdata.graph.pipes.math import math
from meshdata.graph.pipes.number import number
from meshdata.graph.pipes.object import object_
from meshdata.graph.pipes.string import string
from meshdata.graph.pipes.symbol import symbol
from meshdata.graph.pipes.unary import unary
from meshdata.graph.pipes.values import PipeError

FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        array, bitwise, conditional, cron, date, json, logical, math, number, object_, string, symbol, unary,
    )
}  # fmt: skip


def find(name: str) -> Callable[..., Any]:
    """A function by its full name, `math.add`.

    Raises:
        PipeError: there is no such family, or no such function in it.
    """
    family, _, function = name.partition(".")
    if family not in FAMILIES:
        raise PipeError(f"Unknown domain name [{{@{name}}}]: {family}", argument=name)
    found = FAMILIES[family].functions.get(function)
    if found is None:
        raise PipeError(f"Unknown domain function [{{@{name}}}]: {name}", argument=name)
    return found


def most_arguments(fn: Callable[..., Any]) -> int | None:
    """How many arguments a function takes by position; None for any number. More than that are passed over."""
    parameters = inspect.signature(fn).parameters.values()
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return None
    return len(parameters)
