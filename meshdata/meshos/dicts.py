"""An aggregate said in dicts, as it comes over a wire, made one of methods.

filter   conditions: [{"field": "status", "is": "=", "value": "open"}]
apply    columns: [{"expression": "@quantity * 2", "as": "double"}]
rows, columns   the fields to group by, names
reduce   [{"operation": "SUM", "property": "quantity", "as": "sum"}]; by default called "count", or "sum_quantity"
sort     [{"field": "sum", "order": "DESC"}]
start, size   which rows: from which place on, and how many
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from meshdata.call.options import refuse_unknown
from meshdata.errors import InvalidOptions
from meshdata.search import aggregate, reducers
from meshdata.search.query import Order
from meshdata.search.reducers import Reducer

REDUCERS: Final[Mapping[str, Callable[[str], Reducer]]] = {
    "SUM": reducers.sum_,
    "AVG": reducers.avg,
    "MIN": reducers.min_,
    "MAX": reducers.max_,
    "STDDEV": reducers.stddev,
    "TOLIST": reducers.tolist,
    "COUNT_DISTINCT": reducers.count_distinct,
    "COUNT_DISTINCTISH": reducers.count_distinctish,
}

DEFAULT_SIZE: Final = 100
KNOWN: Final = ("filter", "apply", "rows", "columns", "reduce", "sort", "start", "size")


def aggregate_of(query: aggregate.Aggregate, request: Mapping[str, Any]) -> aggregate.Aggregate:
    """The query with what a request in dicts says.

    Raises:
        InvalidOptions, QueryInvalid: something in it does not fit; nothing is left out silently.
    """
    refuse_unknown("aggregate", {name: value for name, value in request.items() if name not in KNOWN}, KNOWN)
    if filter := request.get("filter"):
        query = query.where(filter)
    for one in _dicts(request, "apply"):
        query = query.apply(**{_word(one, "as", "apply"): _word(one, "expression", "apply")})
    groups = [*(request.get("rows") or ()), *(request.get("columns") or ())]
    reduces = dict(_reducer(one) for one in _dicts(request, "reduce"))
    if groups or reduces:
        query = query.group_by(*groups).reduce(**reduces or {"count": reducers.count()})
    if sort := _dicts(request, "sort"):
        query = query.sort(*(_order(one) for one in sort))
    return query.limit(request.get("size") or DEFAULT_SIZE, request.get("start") or 0)


def _reducer(one: Mapping[str, Any]) -> tuple[str, Reducer]:
    operation = _word(one, "operation", "reduce").upper()
    if operation == "COUNT":
        return one.get("as") or "count", reducers.count()
    if operation not in REDUCERS:
        raise InvalidOptions(
            f"there is no reducer {operation!r}; there are COUNT, {', '.join(REDUCERS)}", argument="reduce"
        )
    field = _word(one, "property", "reduce").removeprefix("@")
    return one.get("as") or f"{operation.lower()}_{field}", REDUCERS[operation](field)


def _order(one: Mapping[str, Any]) -> Order:
    way = str(one.get("order") or "ASC").upper()
    if way not in ("ASC", "DESC"):
        raise InvalidOptions(f"ASC or DESC is needed; got {one['order']!r}", argument="sort")
    return Order(_word(one, "field", "sort").removeprefix("@"), way == "DESC")


def _dicts(request: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    given = request.get(name) or []
    if not isinstance(given, Sequence) or not all(isinstance(one, Mapping) for one in given):
        raise InvalidOptions(f"a list of dicts is needed; got {given!r}", argument=name)
    return list(given)


def _word(one: Mapping[str, Any], key: str, argument: str) -> str:
    word = one.get(key)
    if not isinstance(word, str) or not word:
        raise InvalidOptions(f"{key!r} is a text in each of its dicts; got {dict(one)!r}", argument=argument)
    return word
