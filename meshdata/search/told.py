"""The module's rows as rows of an answer: each column typed, None where a group has no value; pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from meshdata.search.bucket import Bucket
from meshdata.search.reducers import OF_NOTHING, Reducer
from meshdata.search.reply import Attributes
from meshdata.search.steps import Steps, number

Reader = Callable[[Any], Any]
_COUNTING = frozenset({"COUNT", "COUNT_DISTINCT", "COUNT_DISTINCTISH"})
_NUMBERS = frozenset({"SUM", "AVG", "STDDEV", "QUANTILE"})


def teller(steps: Steps) -> Callable[[Attributes], dict[str, Any]]:
    """What makes a row of the module's a row of the answer: worked out once, since it is called for each row.

    Half of what an aggregate of few records takes would go into looking up each cell's column again.
    """
    columns: list[tuple[str, bytes, Reader, bytes | None]] = []
    for name in steps.groups:
        columns.append((name, steps.at(name)[1:].encode(), _key_reader(steps, name), None))
    for name, one in steps.request.reducers:
        sees_nothing = one.field and one.function not in OF_NOTHING and not steps.is_there(one.field)
        counted = steps.counts[one.field].encode() if sees_nothing else None
        columns.append((name, name.encode(), _reader(steps, one), counted))
    for name, _ in steps.request.after:
        if name:
            columns.append((name, name.encode(), number, None))

    def tell(row: Attributes) -> dict[str, Any]:
        return {
            name: read(row.get(key) if counted is None or float(row.get(counted) or 0) else None)
            for name, key, read, counted in columns
        }

    return tell


def _key_reader(steps: Steps, name: str) -> Reader:
    column = steps.columns.get(name)
    if column is None or isinstance(steps.computed.get(name), Bucket):
        return partial(steps.key, name)
    decode = column.decode
    return lambda value: None if value is None else decode(value)


def _reader(steps: Steps, one: Reducer) -> Reader:
    """`Steps.reduced` of one reducer, less what is the same for all its values."""
    column = steps.columns.get(one.field)
    if one.function in _COUNTING:
        return _count
    if one.function == "SUM" and column is not None and column.codec.whole:
        return _whole
    return number if one.function in _NUMBERS else partial(steps.reduced, one)


def _count(value: Any) -> int | None:
    return None if value is None else int(float(value))


def _whole(value: Any) -> int | float | str | None:
    found = number(value)
    return int(found) if isinstance(found, float) else found
