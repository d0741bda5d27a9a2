"""What becomes of a group of records: the reducers, and how each is computed here where the module does not; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from meshdata.errors import QueryInvalid
from meshdata.search.query import Field, Order
from meshdata.search.reply import Argument

OF_NUMBERS = frozenset({"SUM", "MIN", "MAX", "AVG", "STDDEV", "QUANTILE"})
"""Reducers that read numbers."""

OF_NOTHING = frozenset({"COUNT", "SUM", "COUNT_DISTINCT", "COUNT_DISTINCTISH", "TOLIST", "RANDOM_SAMPLE"})
"""Reducers that have an answer for a group in which no record has the field."""


@dataclass(frozen=True, slots=True)
class Reducer:
    """What becomes of a group: a function of the module, the field it reads, its further arguments.

    Attributes:
        by: for `first`, the order in which a record is the first.
    """

    function: str
    field: str = ""
    arguments: tuple[Argument, ...] = ()
    by: Order | None = None


def count() -> Reducer:
    """How many records the group has."""
    return Reducer("COUNT")


def sum_(field: Field | str) -> Reducer:
    """The sum of a field; 0 where no record has it."""
    return Reducer("SUM", name_of(field))


def min_(field: Field | str) -> Reducer:
    """The smallest value."""
    return Reducer("MIN", name_of(field))


def max_(field: Field | str) -> Reducer:
    """The largest value."""
    return Reducer("MAX", name_of(field))


def avg(field: Field | str) -> Reducer:
    """The mean of the records that have the field."""
    return Reducer("AVG", name_of(field))


def stddev(field: Field | str) -> Reducer:
    """The standard deviation of a sample; 0 for a single value."""
    return Reducer("STDDEV", name_of(field))


def quantile(field: Field | str, q: float) -> Reducer:
    """The smallest value that a share `q` (0 to 1) of the values does not exceed; of many values, an estimate."""
    if isinstance(q, bool) or not isinstance(q, int | float) or not 0 <= q <= 1:
        raise QueryInvalid(f"a quantile is between 0 and 1, not {q!r}")
    return Reducer("QUANTILE", name_of(field), (q,))


def count_distinct(field: Field | str) -> Reducer:
    """How many different values there are."""
    return Reducer("COUNT_DISTINCT", name_of(field))


def count_distinctish(field: Field | str) -> Reducer:
    """About how many different values there are. As the module's estimate is far off, they are counted: it is exact."""
    return Reducer("COUNT_DISTINCTISH", name_of(field))


def tolist(field: Field | str) -> Reducer:
    """The different values, as a list in no order."""
    return Reducer("TOLIST", name_of(field))


def first(field: Field | str, *, by: Field | Order | str | None = None) -> Reducer:
    """The value of the group's first record, in the order of `by` (`-User.age` for descending).

    Records without the field of `by` come last. Without `by` it is the value of any record that has one.
    """
    if by is None:
        return Reducer("FIRST_VALUE", name_of(field))
    order = by if isinstance(by, Order) else Order(name_of(by).removeprefix("-"), str(name_of(by)).startswith("-"))
    return Reducer("FIRST_VALUE", name_of(field), by=order)


def random_sample(field: Field | str, size: int) -> Reducer:
    """The values of `size` records picked at random, of all where the group has no more; at most 1000."""
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 1000:
        raise QueryInvalid(f"a sample has 1 to 1000 values, not {size!r}")
    return Reducer("RANDOM_SAMPLE", name_of(field), (size,))


def name_of(field: Field | str) -> str:
    """The name of a field or column, given as either."""
    if not isinstance(field, Field | str):
        raise QueryInvalid(f"a field or its name, not {field!r}")
    return field.name if isinstance(field, Field) else field.removeprefix("@")


# --- computed here ----------------------------------------------------------------------------------------------------


def reduce_numbers(reducer: Reducer, numbers: Sequence[float]) -> float | None:
    """One of the reducers of numbers, over all the values of a group."""
    if reducer.function == "SUM":
        return math.fsum(numbers)
    if not numbers:
        return None
    match reducer.function:
        case "MIN":
            return min(numbers)
        case "MAX":
            return max(numbers)
        case "AVG":
            return math.fsum(numbers) / len(numbers)
        case "STDDEV":
            return merged_stddev([(1, number, 0.0) for number in numbers])
        case "QUANTILE":
            ordered = sorted(numbers)
            return ordered[max(0, math.ceil(float(reducer.arguments[0]) * len(ordered)) - 1)]
    raise AssertionError(reducer.function)


def merged_stddev(parts: Sequence[tuple[float, float, float]]) -> float:
    """The standard deviation of samples put together, each given as (count, mean, standard deviation)."""
    total = sum(count for count, _, _ in parts)
    if total < 2:
        return 0.0
    mean = math.fsum(count * part for count, part, _ in parts) / total
    # of each part's squares about its own mean, those about the common one
    squares = math.fsum(spread**2 * (count - 1) + count * (part - mean) ** 2 for count, part, spread in parts)
    return math.sqrt(squares / (total - 1))


def weighted_quantile(q: float, values: Sequence[tuple[float, int]]) -> float | None:
    """The quantile of values that are given with how often each one is there."""
    rank = max(1, math.ceil(q * sum(times for _, times in values)))
    seen = 0
    for value, times in sorted(values):
        seen += times
        if seen >= rank:
            return value
    return None
