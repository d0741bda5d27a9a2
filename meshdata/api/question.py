"""Queries as a URL or a JSON body asks them, made into `Find` and `Aggregate`; no I/O.

?plan=pro&age.ge=18&bio.match=redis&sort=-age,id&limit=20&cursor=…&select=id,plan
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from meshdata.api.parameters import parameters_of
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData
from meshdata.search import (
    Aggregate,
    Find,
    Reducer,
    Schema,
    avg,
    count,
    count_distinct,
    first,
    max_,
    min_,
    quantile,
    stddev,
    sum_,
    tolist,
)

DEFAULT_LIMIT: Final = 20
MOST_LIMIT: Final = 1_000

OPTIONS: Final = ("sort", "limit", "offset", "cursor", "select")
"""Words of the URL that are no fields. A field of such a name is asked for with an operator: `limit.eq=5`."""

OPERATORS: Final = {
    "eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "in": "in", "nin": "not in",
    "between": "between", "startswith": "startswith", "contains": "contains", "match": "match", "phrase": "phrase",
    "fuzzy": "fuzzy", "missing": "missing", "near": "near",
}  # fmt: skip
_MANY: Final = ("in", "not in", "between", "near")
_REDUCERS: Final[dict[str, Callable[[str], Reducer]]] = {
    "sum": sum_, "min": min_, "max": max_, "avg": avg, "stddev": stddev, "count_distinct": count_distinct,
    "tolist": tolist, "first": first,
}  # fmt: skip
_TIME: Final = TypeAdapter(datetime)


def find_of_url(mesh: MeshData, entity: str, pairs: Iterable[tuple[str, str]]) -> Find[Any]:
    """The query that the parameters of a URL ask; all conditions must hold.

    Raises:
        InvalidOptions: an option does not fit. QueryInvalid: a field or an operator does not.
    """
    schema = mesh.registry.schemas.get(entity)
    options: dict[str, Any] = {}
    where = []
    for name, value in pairs:
        if name not in OPTIONS:
            where.append(_condition(schema, name, value))
        elif name in options:
            raise InvalidOptions("given twice; separate several by commas", argument=name)
        else:
            options[name] = value.split(",") if name in ("sort", "select") else value
    for name in ("limit", "offset"):
        if name in options:
            options[name] = _whole(options[name], name)
    return find_of(mesh, entity, where=where, **options)


def find_of(
    mesh: MeshData,
    entity: str,
    *,
    where: list[dict[str, Any]] | None = None,
    sort: list[str] | None = None,
    limit: int = DEFAULT_LIMIT,
    offset: int = 0,
    cursor: str | None = None,
    select: list[str] | None = None,
) -> Find[Any]:
    """The query that a body asks.

    Args:
        where: [{"field", "is", "value"}], all of which must hold.
        sort: fields, "-age" for descending; select: the fields to give.
        cursor: `next` of the page before.
    """
    if not 0 <= limit <= MOST_LIMIT:
        raise InvalidOptions(f"a whole number from 0 to {MOST_LIMIT}; got {limit}", argument="limit")
    query = mesh.find(entity)
    if where:
        query = query.where(where)
    if sort:
        query = query.sort(*sort)
    if select:
        query = query.select(*select)
    query = query.limit(limit, offset)
    return query.after(cursor) if cursor else query


def aggregate_of(
    mesh: MeshData,
    entity: str,
    *,
    where: list[dict[str, Any]] | None = None,
    group_by: list[str] | None = None,
    reduce: Mapping[str, str] | None = None,
    having: list[dict[str, Any] | str] | None = None,
    apply: Mapping[str, str] | None = None,
    sort: list[str] | None = None,
    limit: int = DEFAULT_LIMIT,
    offset: int = 0,
) -> Aggregate:
    """The figures that a body asks for.

    Args:
        group_by: one row for each combination of these fields.
        reduce: column → "count", or a reducer and its field: "avg:age", "quantile:age:0.95". By default {"n": "count"}.
        apply: column → an expression over the columns, "@n * 2".
        having: conditions on the columns.
    """
    if not 0 <= limit <= MOST_LIMIT:
        raise InvalidOptions(f"a whole number from 0 to {MOST_LIMIT}; got {limit}", argument="limit")
    query = mesh.aggregate(entity)
    if where:
        query = query.where(where)
    query = query.group_by(*group_by or ())
    query = query.reduce(**{name: reducer_of(name, word) for name, word in (reduce or {"n": "count"}).items()})
    if apply:
        query = query.apply(**apply)
    if having:
        query = query.having(*having)
    return query.sort(*sort or ()).limit(limit, offset)


def reducer_of(name: str, word: str) -> Reducer:
    """`count`, `avg:age`, `quantile:age:0.95` as a reducer.

    Raises:
        InvalidOptions: it is none of these.
    """
    function, _, field = word.partition(":")
    if function == "count" and not field:
        return count()
    if function == "quantile":
        field, _, share = field.partition(":")
        q = _number(share)
        if field and q is not None:
            return quantile(field, q)
    elif function in _REDUCERS and field:
        return _REDUCERS[function](field)
    known = ", ".join(f"{one}:field" for one in _REDUCERS)
    raise InvalidOptions(
        f"{word!r} is no reducer; say count, {known} or quantile:field:0.95", argument=f"reduce.{name}"
    )


def _condition(schema: Schema[Any] | None, name: str, text: str) -> dict[str, Any]:
    field, dot, word = name.rpartition(".")
    if not dot or word not in OPERATORS or (schema is not None and name in schema.columns):
        field, word = name, "eq"
    operator = OPERATORS[word]
    if operator == "missing":
        return {"field": field, "is": operator, "value": text.lower() not in ("false", "0", "no")}
    is_number = operator in ("<", "<=", ">", ">=", "between", "near")
    if schema is not None and field in schema.columns:
        is_number = schema.columns[field].kind == "NUMERIC" or operator == "near"
    value: Any = [_value(one, is_number) for one in text.split(",")] if operator in _MANY else _value(text, is_number)
    return {"field": field, "is": operator, "value": value}


def _value(text: str, is_number: bool) -> Any:
    """A word of a URL as what a number, or a time, is compared with; else the text, which the field checks."""
    if not is_number:
        return text
    number = _number(text)
    if number is not None:
        return number
    try:
        return _TIME.validate_python(text)
    except ValidationError:
        return text


def _number(text: str) -> int | float | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _whole(text: str, argument: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidOptions(f"a whole number, not {text!r}", argument=argument)
    return int(text)


FIND: Final = parameters_of(find_of, skip=2)
"""What a body may ask of `find_of`."""

AGGREGATE: Final = parameters_of(aggregate_of, skip=2)
"""What a body may ask of `aggregate_of`."""
