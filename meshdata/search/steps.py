"""An aggregate in the words of FT.AGGREGATE, and the module's rows as rows of an answer; pure.

The module answers with 12 significant digits where a number is not whole. It says 0 for the minimum or mean of no
values at all; so each reduction comes with a count of the values it saw, and of none it is None.

It refuses an expression over a field that some record lacks. Such an aggregate is asked in passes: one for the records
that have what the expression reads, one for the others, where the expression is None; `merge.py` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from meshdata.errors import QueryInvalid
from meshdata.search.bucket import Bucket, as_column
from meshdata.search.column import Column
from meshdata.search.expression import columns_of, renamed
from meshdata.search.fulltext import compile_query
from meshdata.search.query import Order, bind
from meshdata.search.reducers import OF_NOTHING, OF_NUMBERS, Reducer
from meshdata.search.reply import DEFAULT_TIMEOUT_MS, Argument
from meshdata.search.schema import Schema
from meshdata.search.tree import And, Condition, Everything, Missing, Not, Op, Or, Unbound, all_of, both, has_knn

GROUP_LIMIT = 100_000
"""Groups given at most where no limit was asked for; more are an error, not a cut. Iteration has no such limit."""

_NO_BOUND = 2**31 - 1
_ALWAYS_WRITTEN = frozenset({"_id", "_created", "_updated", "_rev"})
_MOST_OPTIONAL = 4
_PLAIN_TEXT = re.compile(r"[^'\"\\\x00-\x1f\x7f]*")
COMPARISONS = {Op.IS: "==", Op.EQ: "==", Op.IN: "==", Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}
Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Request:
    """What an `Aggregate` was told.

    Attributes:
        before: (name, expression or bucket), computed for each record.
        after: ("", condition) or (name, expression), on the groups.
    """

    conditions: tuple[Condition, ...] = ()
    before: tuple[tuple[str, str | Bucket], ...] = ()
    groups: tuple[str, ...] | None = None
    reducers: tuple[tuple[str, Reducer], ...] = ()
    after: tuple[tuple[str, Any], ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    timeout_ms: int = DEFAULT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Pass:
    """Which records one command is about: those that have all of `present` and none of `absent`."""

    present: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


class Steps:
    """One request with everything looked up.

    Attributes:
        columns: the schema's columns among what is grouped by and reduced.
        computed: what is computed for each record.
        counts: field → the column that says how many records of a group have it.
        tree: the bound conditions.
    """

    def __init__(self, request: Request, schema: Schema[Any] | None) -> None:
        if not request.reducers:
            raise QueryInvalid("say what each group is reduced to: .reduce(n=count())")
        self.request, self.schema = request, schema
        self.groups = request.groups or ()
        self.computed = dict(request.before)
        self.columns: dict[str, Column] = {}
        reduced = list(dict.fromkeys(one.field for _, one in request.reducers if one.field))
        for name in (*self.groups, *reduced, *(one.by.name for _, one in request.reducers if one.by)):
            if name not in self.computed and schema is not None:
                column = self.columns[name] = schema.column(name)
                if not column.index_arguments():
                    raise QueryInvalid(f"{name!r} is not in the index")
        for name, one in request.reducers:
            self._check_reducer(name, one)
        for name, step in request.before:
            if isinstance(step, Bucket):
                self._check_bucket(name, step)
        self.tree = bind(all_of(request.conditions), schema) if request.conditions else Everything()
        if has_knn(self.tree):
            raise QueryInvalid("knn() finds single records; aggregate over a near() or another condition")
        # a group that is sorted or chosen by is counted too: to have none comes last, and is not less than a number
        counted = [*self.groups, *reduced] if request.order or request.after else reduced
        self.counts = {name: f"__n{at}" for at, name in enumerate(dict.fromkeys(counted))}
        self._always: set[str] = set()
        # a sum or a list of nothing says so by itself, unless it is to be sorted by or merged
        self._told_apart = {one.field for _, one in request.reducers if one.function not in OF_NOTHING}
        if request.order or request.after:
            self._told_apart |= {*self.counts}

    def _check_reducer(self, name: str, one: Reducer) -> None:
        column = self.columns.get(one.field)
        if one.function in OF_NUMBERS and column is not None and column.kind not in ("NUMERIC", ""):
            raise QueryInvalid(f"{name}: {one.function.lower()} reads numbers, and {one.field!r} is a {column.kind}")

    def _check_bucket(self, name: str, bucket: Bucket) -> None:
        if self.schema is not None:
            column = self.schema.column(bucket.field)
            if column.kind != "NUMERIC":
                raise QueryInvalid(f"{name}: {bucket.field!r} holds no moments; it is {column.kind or 'not indexed'}")
            if name in self.schema.columns:
                raise QueryInvalid(f"{name!r} is a field already; write by_{bucket.unit}(..., name='...')")

    def at(self, name: str) -> str:
        """How an expression refers to a field or column."""
        if name in self.computed or self.schema is None or name not in self.schema.columns:
            return f"@{name}"
        return f"@{self.schema.columns[name].attribute}"

    def lacking(self) -> dict[str, Condition]:
        """For each field to be counted, what finds the records that lack it; of some fields nothing can tell."""
        return {
            name: both(self.tree, Missing(column))
            for name in self.counts
            if name in self._told_apart and (column := self.columns.get(name)) is not None and column.indexed
        }

    def is_required(self, name: str) -> bool:
        """Whether the model knows no records without the field; others may have written some all the same."""
        model = self.schema.model if self.schema is not None else None
        info = model.model_fields.get(name) if model is not None else None
        return name in _ALWAYS_WRITTEN if info is None else type(None) not in get_args(info.annotation)

    def never_missing(self, names: Iterable[str]) -> None:
        """No record that is asked for lacks these fields: they need no counting record by record."""
        self._always = set(names)

    def is_there(self, name: str) -> bool:
        """Whether all records have a field, as `never_missing` was told."""
        return name in self._always

    def _counted(self, which: Pass, *, merged: bool) -> list[tuple[str, str]]:
        """The fields to count record by record, and the columns for it."""
        return [
            (name, column)
            for name, column in self.counts.items()
            if name not in which.absent and name not in self._always and (merged or name in self._told_apart)
        ]

    # --- passes -------------------------------------------------------------------------------------------------------

    def zoned(self) -> list[Bucket]:
        """The buckets whose expression depends on the range of the data."""
        return [step for step in self.computed.values() if isinstance(step, Bucket) and not step.is_plain()]

    def passes(self) -> list[Pass]:
        """The passes in which each expression is defined for all records."""
        optional = [name for name in self.computed if self._inputs(name)]
        optional += self._firsts()
        if len(optional) > _MOST_OPTIONAL:
            raise QueryInvalid(
                f"{len(optional)} expressions over fields that some records lack; the most is {_MOST_OPTIONAL}"
            )
        found = []
        for there in product((True, False), repeat=len(optional)):
            told = dict(zip(optional, there, strict=True))
            if all(not there or self._needs(name) <= {n for n in told if told[n]} for name, there in told.items()):
                present = frozenset(name for name in told if told[name])
                found.append(Pass(present, frozenset(told) - present))
        return found

    def needs_passes(self) -> bool:
        """Whether the module would take records without the field for the first ones."""
        return bool(self._firsts())

    def _firsts(self) -> list[str]:
        bys = [one.by for _, one in self.request.reducers if one.by is not None and not one.by.descending]
        return list(dict.fromkeys(by.name for by in bys if by.name not in ("_created", "_updated", "_id", "id")))

    def _inputs(self, name: str) -> list[str]:
        """The fields without which a computed column has no value."""
        step = self.computed.get(name)
        if step is None:
            return [name]
        named = [step.field] if isinstance(step, Bucket) else columns_of(step, required=True)
        return [field for one in named if one != name for field in self._inputs(one)]

    def _needs(self, name: str) -> set[str]:
        step = self.computed.get(name)
        if step is None or isinstance(step, Bucket):
            return set()
        return {one for one in columns_of(step) if one in self.computed and one != name}

    # --- the command --------------------------------------------------------------------------------------------------

    def command(
        self,
        alias: str,
        *,
        merged: bool,
        which: Pass | None = None,
        ranges: Ranges | None = None,
        whole: bool = False,
    ) -> list[Argument]:
        """The whole command.

        Args:
            merged: without what has to wait until several answers are merged.
            which: the records it is about; ranges: of the fields that are put into buckets.
            whole: without a bound on the groups where no limit was asked for.
        """
        which = which or Pass()
        words = self.head(alias, which, ranges or {})
        counted = self._counted(which, merged=merged)
        for name, column in counted:
            words += ["APPLY", f"exists({self.at(name)})", "AS", f"{column}h"]
        words += self._grouping(which)
        for at, (name, one) in enumerate(self.request.reducers):
            if one.field not in which.absent:
                words += self._reduction(at, name, one, which, merged=merged)
        for _, column in counted:
            words += ["REDUCE", "SUM", 1, f"@{column}h", "AS", column]
        if not merged:
            words += [*self._means(), *self._after()]
        most = _NO_BOUND if whole else GROUP_LIMIT + 1
        limit = most if self.request.limit is None or merged else self.request.limit
        return [*words, "LIMIT", 0 if merged else self.request.offset, limit, *self.tail()]

    def histogram(self, alias: str, field: str, which: Pass, ranges: Ranges) -> list[Argument]:
        """How often each value of a field is there in each group: what a quantile over several answers is made of."""
        words = [*self.head(alias, which, ranges), "FILTER", f"exists({self.at(field)})"]
        groups = [self.at(name) for name in self.groups if name not in which.absent]
        keys = list(dict.fromkeys([*groups, self.at(field)]))
        words += ["GROUPBY", len(keys), *keys, "REDUCE", "COUNT", 0, "AS", "__times"]
        return [*words, "LIMIT", 0, GROUP_LIMIT + 1, *self.tail()]

    def range_of(self, alias: str, field: str) -> list[Argument]:
        """The smallest and the largest value of a field among the records that are asked for."""
        query = compile_query(self.tree)
        at = self.at(field)
        load: list[Argument] = [] if self._is_sortable(field) else ["LOAD", 1, at]
        return [
            "FT.AGGREGATE", alias, query.text, *load, "FILTER", f"exists({at})",
            "GROUPBY", 0, "REDUCE", "MIN", 1, at, "AS", "low", "REDUCE", "MAX", 1, at, "AS", "high",
            "TIMEOUT", self.request.timeout_ms, *query.arguments(),
        ]  # fmt: skip

    def head(self, alias: str, which: Pass, ranges: Ranges) -> list[Argument]:
        """Up to the grouping: the query, what it loads, what it computes for each record."""
        words: list[Argument] = ["FT.AGGREGATE", alias, compile_query(self.tree).text]
        if loaded := self._loaded():
            words += ["LOAD", len(loaded), *loaded]
        for name in sorted(which.present):
            words += ["FILTER", self._exist(name)]
        for name in sorted(which.absent):
            words += ["FILTER", f"!({self._exist(name)})"]
        for name, step in self.computed.items():
            if name in which.absent:
                continue
            if isinstance(step, Bucket):
                text = step.expression(self.at(step.field), *ranges.get(step.field, (0.0, 0.0)))
            else:
                text = renamed(step, {one: self.at(one)[1:] for one in columns_of(step)})
            words += ["APPLY", text, "AS", name]
        return words

    def tail(self) -> list[Argument]:
        """TIMEOUT, PARAMS and DIALECT."""
        return ["TIMEOUT", self.request.timeout_ms, *compile_query(self.tree).arguments()]

    def _exist(self, name: str) -> str:
        return " && ".join(f"exists({self.at(one)})" for one in dict.fromkeys(self._inputs(name)))

    def _loaded(self) -> list[str]:
        """What is sortable is at hand, the rest has to be read from the hashes."""
        names = list(self.columns)
        for step in self.computed.values():
            names += [step.field] if isinstance(step, Bucket) else columns_of(step)
        return list(
            dict.fromkeys(self.at(name) for name in names if name not in self.computed and not self._is_sortable(name))
        )

    def _is_sortable(self, name: str) -> bool:
        column = self.schema.columns.get(name) if self.schema is not None else None
        return column is not None and bool(getattr(column.option, "sortable", False))

    def _grouping(self, which: Pass) -> list[Argument]:
        keys = [self.at(name) for name in self.groups if name not in which.absent]
        return ["GROUPBY", len(keys), *keys]

    def _reduction(self, at: int, name: str, one: Reducer, which: Pass, *, merged: bool) -> list[Argument]:
        field = [self.at(one.field)] if one.field else []
        if one.function == "AVG" and (merged or one.field not in self._always):
            # The module's own counts the records that lack the field. So a mean is made of a sum and a count.
            return ["REDUCE", "SUM", 1, *field, "AS", name if merged else f"__a{at}"]
        if merged and one.function in ("COUNT_DISTINCT", "COUNT_DISTINCTISH"):
            return ["REDUCE", "TOLIST", 1, *field, "AS", name]
        words: list[Argument] = [*field, *one.arguments]
        more: list[Argument] = []
        if one.by is not None and one.by.name not in which.absent:
            by: list[Argument] = ["BY", self.at(one.by.name), "DESC" if one.by.descending else "ASC"]
            words += by
            more = ["REDUCE", "FIRST_VALUE", 4, by[1], *by, "AS", f"__b{at}"]
        if one.function == "STDDEV":
            more = ["REDUCE", "SUM", 1, *field, "AS", f"__m{at}"]
        # the estimate of module 2.10 says 5 for 400 different texts: it is counted instead
        function = "COUNT_DISTINCT" if one.function == "COUNT_DISTINCTISH" else one.function
        return ["REDUCE", function, len(words), *words, "AS", name, *(more if merged else [])]

    def _means(self) -> Iterator[Argument]:
        for at, (name, one) in enumerate(self.request.reducers):
            if one.function == "AVG" and one.field not in self._always:
                counted = f"@{self.counts[one.field]}"
                yield from ("APPLY", f"@__a{at} / ({counted} + ({counted} == 0))", "AS", name)

    def _after(self) -> Iterator[Argument]:
        for name, step in self.request.after:
            if name:
                yield from ("APPLY", step, "AS", name)
            else:
                yield from ("FILTER", step if isinstance(step, str) else self._filter(step))
        # the module puts groups without the value first; here they come last, as records do in a search
        keys: list[Argument] = []
        for at, key in enumerate(self.request.order):
            if there := self._there(key.name):
                yield from ("APPLY", there, "AS", f"__s{at}")
                keys += [f"@__s{at}", "DESC"]
            keys += [self.at(key.name), "DESC" if key.descending else "ASC"]
        if keys:
            yield from ("SORTBY", len(keys), *keys)

    def _there(self, name: str) -> str:
        """Whether a group has a value of this name ("" for always): the module says 0 for the mean of nothing."""
        reduced = dict(self.request.reducers).get(name)
        counted = name if reduced is None else reduced.field if reduced.function not in OF_NOTHING else ""
        if counted in self._always:
            return ""
        if counted in self.counts:
            return f"@{self.counts[counted]} > 0"
        return f"exists({self.at(name)})"

    def _filter(self, tree: Condition) -> str:
        """A condition on the groups as an expression of the module's. It binds nothing: only numbers and plain text."""
        match tree:
            case And(parts):
                return f"({' && '.join(self._filter(part) for part in parts)})"
            case Or(parts):
                return f"({' || '.join(self._filter(part) for part in parts)})"
            case Not(part):
                return f"!({self._filter(part)})"
            case Unbound(name, op, values) if op in COMPARISONS:
                told = [f"{self.at(name)} {COMPARISONS[op]} {_literal(name, value)}" for value in values]
                there = self._there(name)
                return f"({there} && ({' || '.join(told)}))" if there else f"({' || '.join(told)})"
        raise QueryInvalid('having() takes conditions on the row: field("n") > 2')

    # --- rows ---------------------------------------------------------------------------------------------------------

    def key(self, name: str, value: Any) -> Any:
        """A group's value as its row has it."""
        step = self.computed.get(name)
        if isinstance(step, Bucket):
            return as_column(value, step)
        column = self.columns.get(name)
        return None if value is None else column.decode(value) if column is not None else number(value)

    def reduced(self, reducer: Reducer, value: Any) -> Any:
        """What a reducer answered as a row has it: typed where it is a value of the field."""
        if isinstance(value, list):
            return [self._typed(reducer.field, part) for part in value if part is not None]
        if value is None:
            return [] if reducer.function in ("TOLIST", "RANDOM_SAMPLE") else None
        if reducer.function in ("COUNT", "COUNT_DISTINCT", "COUNT_DISTINCTISH"):
            return int(float(value))
        if reducer.function in ("MIN", "MAX", "FIRST_VALUE"):
            return self._typed(reducer.field, value)
        found = number(value)
        column = self.columns.get(reducer.field)
        whole = reducer.function == "SUM" and column is not None and column.codec.whole
        return int(found) if whole and isinstance(found, float) else found

    def _typed(self, field: str, value: Any) -> Any:
        column = self.columns.get(field)
        return column.decode(value) if column is not None else number(value)


def _literal(name: str, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return repr(value)
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value):
        return f"'{value}'"
    raise QueryInvalid(
        f"{name}: having() compares with numbers and with text without quotes, not {value!r}; filter by where()"
    )


def number(value: Any) -> float | str | None:
    """What the module printed as a number; None for none, the text where it is another."""
    if value is None:
        return None
    try:
        found = float(value)
    except ValueError:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return None if found != found else found
