"""Group records and reduce each group to numbers: in the module, and merged here over several partitions.

    rows = await mesh.aggregate(User).group_by(User.plan).reduce(n=count(), mean=avg(User.age)).sort("-n").limit(10)

Each row is a dict. The module answers with 12 significant digits where a number is not whole. It says 0 for the minimum
or mean of no values at all; so each reduction comes with a count of the values it saw, and of none it is None. Over
several partitions count, sum_, min_, max_ and avg can be merged; the others raise `QueryInvalid`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from meshdata.errors import InvalidOptions, QueryInvalid, SearchUnavailable
from meshdata.search.column import Column
from meshdata.search.expression import compile_expression
from meshdata.search.fulltext import compile_query
from meshdata.search.index import Index
from meshdata.search.query import Field, Order, bind, condition_of
from meshdata.search.reply import DEFAULT_TIMEOUT_MS, Argument, Row, SearchStore, ask
from meshdata.search.schema import Schema
from meshdata.search.table import Rows
from meshdata.search.tree import (
    And,
    Condition,
    Everything,
    Not,
    Op,
    Or,
    Unbound,
    all_of,
    has_knn,
)
from meshdata.values import Duration, duration_ms

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

GROUP_LIMIT = 100_000
"""Groups given at most where no limit was asked for; more are an error, not a cut."""

_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_MERGED = {"COUNT", "SUM", "MIN", "MAX", "AVG"}
_OF_NOTHING = {"COUNT", "SUM", "COUNT_DISTINCT", "TOLIST"}
"""Reducers that have an answer for a group in which no record has the field."""

_PLAIN_TEXT = re.compile(r"[^'\"\\\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class Reducer:
    """What becomes of a group: a function of the module, the field it reads, its further arguments."""

    function: str
    field: str = ""
    arguments: tuple[Argument, ...] = ()


def _name(field: Field | str) -> str:
    if not isinstance(field, Field | str):
        raise QueryInvalid(f"a field or its name, not {field!r}")
    return field.name if isinstance(field, Field) else field.removeprefix("@")


def count() -> Reducer:
    """How many records the group has."""
    return Reducer("COUNT")


def sum_(field: Field | str) -> Reducer:
    """The sum of a field; 0 where no record has it."""
    return Reducer("SUM", _name(field))


def min_(field: Field | str) -> Reducer:
    """The smallest value."""
    return Reducer("MIN", _name(field))


def max_(field: Field | str) -> Reducer:
    """The largest value."""
    return Reducer("MAX", _name(field))


def avg(field: Field | str) -> Reducer:
    """The mean of the records that have the field."""
    return Reducer("AVG", _name(field))


def stddev(field: Field | str) -> Reducer:
    """The standard deviation of a sample."""
    return Reducer("STDDEV", _name(field))


def quantile(field: Field | str, q: float) -> Reducer:
    """The value below which a share `q` (0 to 1) of the values lies, by estimate."""
    if not 0 <= q <= 1:
        raise QueryInvalid(f"a quantile is between 0 and 1, not {q!r}")
    return Reducer("QUANTILE", _name(field), (q,))


def count_distinct(field: Field | str) -> Reducer:
    """How many different values there are."""
    return Reducer("COUNT_DISTINCT", _name(field))


def tolist(field: Field | str) -> Reducer:
    """The different values, as a list."""
    return Reducer("TOLIST", _name(field))


def first(field: Field | str, *, by: Field | Order | str | None = None) -> Reducer:
    """The value of the group's first record, in the order of `by` (`-User.age` for descending)."""
    if by is None:
        return Reducer("FIRST_VALUE", _name(field))
    order = (
        by if isinstance(by, Order) else Order(_name(by).removeprefix("-"), isinstance(by, str) and by.startswith("-"))
    )
    return Reducer("FIRST_VALUE", _name(field), ("BY", f"@{order.name}", "DESC" if order.descending else "ASC"))


@dataclass(frozen=True, slots=True)
class _Request:
    conditions: tuple[Condition, ...] = ()
    before: tuple[tuple[str, str], ...] = ()  # (name, expression) computed for each record
    groups: tuple[str, ...] | None = None
    reducers: tuple[tuple[str, Reducer], ...] = ()
    after: tuple[tuple[str, Any], ...] = ()  # ("", condition) or (name, expression) on the groups
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    timeout_ms: int = DEFAULT_TIMEOUT_MS


class Aggregate:
    """An aggregate over the records of one entity. Awaited, it gives its rows; iterated, one after the other."""

    def __init__(self, store: SearchStore, entity: str, schema: Schema[Any] | None = None) -> None:
        self._store = store
        self._entity = entity
        self._schema = schema
        self._request = _Request()

    def _with(self, **changes: Any) -> Aggregate:
        made = Aggregate(self._store, self._entity, self._schema)
        made._request = replace(self._request, **changes)
        return made

    def where(self, *conditions: Any) -> Aggregate:
        """Only records that meet these conditions; as `Find.where`."""
        found = tuple(condition_of(one) for one in (conditions or ([],)))
        if self._schema is not None:
            found = tuple(bind(one, self._schema) for one in found)
        return self._with(conditions=(*self._request.conditions, *found))

    def group_by(self, *fields: Field | str) -> Aggregate:
        """One row for each combination of these fields; of none, one row for all records."""
        return self._with(groups=tuple(_name(one) for one in fields))

    def reduce(self, **reducers: Reducer) -> Aggregate:
        """What each row says of its group: `n=count(), mean=avg(User.age)`."""
        for name, one in reducers.items():
            if not isinstance(one, Reducer) or not _NAME.fullmatch(name):
                raise QueryInvalid(f"{name}: a reducer such as count() under a plain name, not {one!r}")
            if one.function not in _MERGED and self._store.partitions > 1:
                raise QueryInvalid(
                    f"{name}: {one.function.lower()} cannot be merged over {self._store.partitions} partitions; "
                    "count, sum_, min_, max_ and avg can"
                )
        return self._with(reducers=(*self._request.reducers, *reducers.items()))

    def apply(self, **expressions: str) -> Aggregate:
        """A column, computed: `double="@n * 2"`; before `group_by` for each record, after it for each group."""
        for name, text in expressions.items():
            if not _NAME.fullmatch(name) or not isinstance(text, str):
                raise QueryInvalid(f"{name}: an expression such as '@n * 2', not {text!r}")
        if self._request.groups is None and not self._request.reducers:
            return self._with(before=(*self._request.before, *expressions.items()))
        return self._with(after=(*self._request.after, *expressions.items()))

    def having(self, *conditions: Any) -> Aggregate:
        """Only groups of which this is true: `field("n") > 2`, the dict form of it, or the text "@n > 2"."""
        steps = [("", one if isinstance(one, str) else condition_of(one)) for one in conditions]
        return self._with(after=(*self._request.after, *steps))

    def sort(self, *keys: Order | Field | str) -> Aggregate:
        """Order the rows: "n", "-n" for descending."""
        order = [one if isinstance(one, Order) else Order(_name(one)) for one in keys]
        return self._with(
            order=tuple(Order(o.name.removeprefix("-"), o.descending or o.name.startswith("-")) for o in order)
        )

    def limit(self, limit: int, offset: int = 0) -> Aggregate:
        """At most this many rows, from that place on."""
        for name, value in (("limit", limit), ("offset", offset)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InvalidOptions(f"a whole number from 0 on, not {value!r}", argument=name)
        return self._with(limit=limit, offset=offset)

    def timeout(self, timeout: Duration) -> Aggregate:
        """Raise `MeshTimeout` when the module takes longer; 5 seconds where nothing is said."""
        ms = duration_ms(timeout, argument="timeout") or 0
        if ms < 1:
            raise InvalidOptions("more than nothing", argument="timeout")
        return self._with(timeout_ms=ms)

    # --- answers ------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Rows]:
        return self._told().__await__()

    async def _told(self) -> Rows:
        request = self._request
        columns = (*(request.groups or ()), *dict(request.reducers), *(name for name, _ in request.after if name))
        return Rows(await self._rows(), columns)

    async def to_arrow(self) -> pyarrow.Table:
        """The rows as a pyarrow.Table; see `Rows`."""
        return (await self).to_arrow()

    async def to_polars(self) -> polars.DataFrame:
        """The rows as a polars.DataFrame; see `Rows`."""
        return (await self).to_polars()

    async def to_pandas(self) -> pandas.DataFrame:
        """The rows as a pandas.DataFrame; see `Rows`."""
        return (await self).to_pandas()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        for row in await self._rows():
            yield row

    def explain(self) -> str:
        """The command as the module is asked."""
        alias = self._store.keys.alias(0, self._entity)
        words = _Steps(self._request, self._schema).command(alias, merged=self._store.partitions > 1)
        return " ".join(repr(one) if " " in str(one) else str(one) for one in words)

    async def _rows(self) -> list[dict[str, Any]]:
        if not self._store.has_search:
            raise SearchUnavailable()
        schema = self._schema or await Index(self._store).schema(self._entity)
        steps = _Steps(self._request, schema)
        merged = self._store.partitions > 1
        commands = [
            steps.command(self._store.keys.alias(p, self._entity), merged=merged) for p in range(self._store.partitions)
        ]
        replies = await asyncio.gather(*(ask(self._store, p, *command) for p, command in enumerate(commands)))
        if merged:
            return steps.finished(steps.merge([row for reply in replies for row in reply.rows]))
        rows = [steps.told(row) for row in replies[0].rows]
        if self._request.limit is None and len(rows) > GROUP_LIMIT:
            raise QueryInvalid(f"more than {GROUP_LIMIT} groups; give a limit")
        return rows


class _Steps:
    """One request in the words of FT.AGGREGATE, and its answers as rows."""

    def __init__(self, request: _Request, schema: Schema[Any] | None) -> None:
        if not request.reducers:
            raise QueryInvalid("say what each group is reduced to: .reduce(n=count())")
        self.request = request
        self.groups = request.groups or ()
        self.columns: dict[str, Column] = {}
        computed = {name for name, _ in request.before}
        wanted = [*self.groups, *(one.field for _, one in request.reducers if one.field)]
        for name in wanted:
            if name not in computed and schema is not None:
                column = self.columns[name] = schema.column(name)
                if not column.index_arguments():
                    raise QueryInvalid(f"{name!r} is not in the index")
        self.tree = bind(all_of(request.conditions), schema) if request.conditions else Everything()
        if has_knn(self.tree):
            raise QueryInvalid("knn() finds single records; aggregate over a near() or another condition")
        # each field that is reduced gets a column saying how many records of the group have it
        # and so does each that is grouped by, where rows are sorted or chosen by it
        told = wanted if request.order or request.after else wanted[len(self.groups) :]
        self.counts = {name: f"__n{at}" for at, name in enumerate(dict.fromkeys(told))}

    def _at(self, name: str) -> str:
        return f"@{self.columns[name].attribute if name in self.columns else name}"

    def command(self, alias: str, *, merged: bool) -> list[Argument]:
        """The whole command; `merged`: without what has to wait until the partitions' answers are merged."""
        query = compile_query(self.tree)
        words: list[Argument] = ["FT.AGGREGATE", alias, query.text]
        # what is sortable is at hand, the rest has to be read from the hashes
        loaded = [self._at(name) for name, one in self.columns.items() if not getattr(one.option, "sortable", False)]
        if self.request.before:
            loaded = ["*"]
        if loaded:
            words += ["LOAD", "*"] if loaded == ["*"] else ["LOAD", len(loaded), *loaded]
        for name, expression in self.request.before:
            words += ["APPLY", expression, "AS", name]
        for name, counted in self.counts.items():
            words += ["APPLY", f"exists({self._at(name)})", "AS", f"{counted}h"]
        words += ["GROUPBY", len(self.groups), *(self._at(name) for name in self.groups)]
        for name, one in self.request.reducers:
            # a mean is merged from sums
            function = "SUM" if merged and one.function == "AVG" else one.function
            field = [self._at(one.field)] if one.field else []
            words += ["REDUCE", function, len(field) + len(one.arguments), *field, *one.arguments, "AS", name]
        for counted in self.counts.values():
            words += ["REDUCE", "SUM", 1, f"@{counted}h", "AS", counted]
        if not merged:
            words += self._after()
        limit = GROUP_LIMIT + 1 if self.request.limit is None or merged else self.request.limit
        words += ["LIMIT", 0 if merged else self.request.offset, limit, "TIMEOUT", self.request.timeout_ms]
        return [*words, *query.arguments()]

    def _after(self) -> Iterator[Argument]:
        for name, step in self.request.after:
            if name:
                yield from ("APPLY", step, "AS", name)
            else:
                yield from ("FILTER", step if isinstance(step, str) else self._filter(step))
        # the module puts groups without the value first; here they come last, as records do in a search
        for at, key in enumerate(self.request.order):
            yield from ("APPLY", self._there(key.name), "AS", f"__s{at}")
        if self.request.order:
            yield from ("SORTBY", 4 * len(self.request.order))
            for at, key in enumerate(self.request.order):
                yield from (f"@__s{at}", "DESC", self._at(key.name), "DESC" if key.descending else "ASC")

    def _there(self, name: str) -> str:
        """Whether a group has a value of this name: the module says 0 for the mean of nothing."""
        reduced = dict(self.request.reducers).get(name)
        counted = name if reduced is None else reduced.field if reduced.function not in _OF_NOTHING else ""
        if counted in self.counts:
            return f"@{self.counts[counted]} > 0"
        return f"exists({self._at(name)})"

    def _filter(self, tree: Condition) -> str:
        """A condition on the groups as an expression of the module's. It binds nothing: only numbers and plain text."""
        match tree:
            case And(parts):
                return f"({' && '.join(self._filter(part) for part in parts)})"
            case Or(parts):
                return f"({' || '.join(self._filter(part) for part in parts)})"
            case Not(part):
                return f"!({self._filter(part)})"
            case Unbound(name, op, values) if op in _COMPARISONS:
                told = [f"{self._at(name)} {_COMPARISONS[op]} {_literal(name, value)}" for value in values]
                return f"({self._there(name)} && ({' || '.join(told)}))"
        raise QueryInvalid('having() takes conditions on the row: field("n") > 2')

    # --- rows ---------------------------------------------------------------------------------------------------------

    def told(self, row: Row) -> dict[str, Any]:
        """An answer of the module as a row."""
        reducers = dict(self.request.reducers)
        found: dict[str, Any] = {}
        applied = [name for name, _ in self.request.after if name]
        for name in (*self.groups, *reducers, *applied):
            value = row.fields.get(self._at(name)[1:])
            one = reducers.get(name)
            if one is not None and one.field and one.function not in _OF_NOTHING:
                value = value if float(row.fields.get(self.counts[one.field]) or 0) else None
            found[name] = self._read(value, one, self.columns.get(one.field if one else name))
        return found

    def _read(self, value: Any, reducer: Reducer | None, column: Column | None) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [self._read(part, Reducer("FIRST_VALUE"), column) for part in value]
        if reducer is not None and reducer.function in ("COUNT", "COUNT_DISTINCT"):
            return int(float(value))
        if column is not None and (reducer is None or reducer.function in ("MIN", "MAX", "FIRST_VALUE")):
            return column.decode(value)
        number = _number(value)
        whole = reducer is not None and reducer.function == "SUM" and column is not None and column.codec.whole
        return int(number) if whole and isinstance(number, float) else number

    def merge(self, rows: list[Row]) -> list[dict[str, Any]]:
        """The rows of all partitions, those of one group put together."""
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(row.fields.get(self._at(name)[1:]) for name in self.groups), []).append(row)
        merged = []
        for parts in groups.values():
            fields: dict[str, Any] = {
                self._at(name)[1:]: parts[0].fields.get(self._at(name)[1:]) for name in self.groups
            }
            for counted in self.counts.values():
                fields[counted] = sum(float(part.fields[counted]) for part in parts)
            for name, one in self.request.reducers:
                some = [part for part in parts if not one.field or float(part.fields[self.counts[one.field]])]
                fields[name] = self._merged_value(one, [part.fields[name] for part in some], fields)
            merged.append(self.told(Row("", fields)))
        return merged

    def _merged_value(self, reducer: Reducer, values: list[Any], fields: dict[str, Any]) -> Any:
        if reducer.function in ("MIN", "MAX"):
            pick = min if reducer.function == "MIN" else max
            return pick(values, key=float) if values else None
        total = sum(float(value) for value in values)
        if reducer.function != "AVG":
            return repr(total).encode()
        counted = fields[self.counts[reducer.field]]
        return repr(total / counted).encode() if counted else None

    def finished(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Merged rows after having, apply, sort and limit, which the module could not do on its part of them."""
        for name, step in self.request.after:
            if name:
                value = compile_expression(step)
                rows = [{**row, name: value(row)} for row in rows]
            else:
                holds = compile_expression(step) if isinstance(step, str) else _holds(step)
                rows = [row for row in rows if holds(row)]
        for key in reversed(self.request.order):
            if rows and key.name not in rows[0]:
                raise QueryInvalid(f"{key.name!r} is no column of this aggregate; there are {', '.join(rows[0])}")
            there = [row for row in rows if row[key.name] is not None]
            there.sort(key=lambda row: row[key.name], reverse=key.descending)
            rows = there + [row for row in rows if row[key.name] is None]
        end = None if self.request.limit is None else self.request.offset + self.request.limit
        return rows[self.request.offset : end]


_COMPARISONS = {Op.IS: "==", Op.EQ: "==", Op.IN: "==", Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}
_PYTHON: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


def _holds(tree: Condition) -> Callable[[dict[str, Any]], bool]:
    match tree:
        case And(parts):
            every = [_holds(part) for part in parts]
            return lambda row: all(one(row) for one in every)
        case Or(parts):
            some = [_holds(part) for part in parts]
            return lambda row: any(one(row) for one in some)
        case Not(part):
            inner = _holds(part)
            return lambda row: not inner(row)
        case Unbound(name, op, values) if op in _COMPARISONS:
            compare = _PYTHON[_COMPARISONS[op]]
            return lambda row: row.get(name) is not None and any(compare(row[name], value) for value in values)
    raise QueryInvalid('having() takes conditions on the row: field("n") > 2')


def _literal(name: str, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return repr(value)
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value):
        return f"'{value}'"
    raise QueryInvalid(
        f"{name}: having() compares with numbers and with text without quotes, not {value!r}; filter by where()"
    )


def _number(value: Any) -> float | str | None:
    try:
        number = float(value)
    except ValueError:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return None if number != number else number
