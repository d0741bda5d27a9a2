"""What a query was told (`Request`) and how it is asked (`Plan`), in the words of FT.SEARCH and FT.AGGREGATE; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search.codec import Codec
from meshdata.search.column import Column
from meshdata.search.fields import Numeric, Tag, Text
from meshdata.search.fulltext import DISTANCE, Query, compile_query
from meshdata.search.query import Field, Order, bind
from meshdata.search.reply import DEFAULT_TIMEOUT_MS, Argument
from meshdata.search.schema import SYSTEM, Schema
from meshdata.search.tree import Condition, Everything, Fuzzy, Phrase, Words, all_of, leaves
from meshdata.values import Duration, duration_ms

DISTANCE_COLUMN = Column(DISTANCE, DISTANCE, DISTANCE, Codec(None, str, float, str), Numeric(sortable=True))


@dataclass(frozen=True, slots=True)
class Highlight:
    """Marks around what was found, in the text of these fields."""

    names: tuple[str, ...]
    opening: str
    closing: str


@dataclass(frozen=True, slots=True)
class Summary:
    """These fields cut down to the fragments around what was found."""

    names: tuple[str, ...]
    fragments: int
    words: int
    separator: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a `Find` was told; each of its methods makes a changed copy."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    names: tuple[str, ...] = ()
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    highlight: Highlight | None = None
    summary: Summary | None = None
    after: str | None = None

    def tree(self) -> Condition:
        """All conditions as one."""
        return all_of(self.conditions) if self.conditions else Everything()


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with everything looked up: ready to be asked.

    Attributes:
        tree: the bound conditions; query: the same as the module's text.
        order: (column, whether descending), the first one decides.
        ranked: whether rows come by relevance.
        nearest: how many neighbours are looked for; None where none are.
    """

    request: Request
    schema: Schema[Any] | None
    tree: Condition
    query: Query
    order: tuple[tuple[Column, bool], ...]
    ranked: bool
    nearest: int | None

    def column(self, name: str) -> Column:
        """The column of a field that is asked for by name."""
        return self.schema.column(name) if self.schema is not None else sort_column(None, name)

    def narrowed(self, tree: Condition) -> Plan:
        """The same with other conditions, bound already."""
        return replace(self, tree=tree, query=compile_query(tree))

    def wanted(self, names: Sequence[str], *, merged: bool) -> tuple[str, ...]:
        """The hash fields to ask for by name; none where whole records are wanted.

        Asked for by name, the module gives a number as its index has it, in 12 digits. So where such a field is wanted,
        or sorted by while answers are merged, the whole hash is read, which it gives as it is.
        """
        if not names:
            return ()
        columns = [self.column(name) for name in names]
        columns += [column for column, _ in self.order] if merged else []
        if not all(column.exact_in_reply for column in columns):
            return ()
        return tuple(dict.fromkeys(["_id", *(column.source for column in columns)]))

    def command(self, alias: str, offset: int, limit: int, wanted: Sequence[str] = ()) -> list[Argument]:
        """The whole command for one partition."""
        query = self.query
        tail: list[Argument] = ["LIMIT", offset, limit, "TIMEOUT", self.request.timeout_ms]
        if len(self.order) > 1:
            load: list[Argument] = ["LOAD", len(wanted), *(f"@{name}" for name in wanted)] if wanted else ["LOAD", "*"]
            return ["FT.AGGREGATE", alias, query.text, *self._sort_steps(), *tail, *load, *query.arguments()]
        words: list[Argument] = ["FT.SEARCH", alias, query.text]
        if wanted:
            words += ["RETURN", len(wanted), *wanted]
        if self.ranked:
            words.append("WITHSCORES")
        words += self._marks()
        for column, descending in self.order:
            words += ["SORTBY", column.attribute, "DESC" if descending else "ASC"]
        return [*words, *tail, *query.arguments()]

    def counting(self) -> Plan:
        """The same without an order: FT.AGGREGATE, which sorts by several fields, does not say how many there are."""
        return replace(self, order=(), ranked=False)

    def _sort_steps(self) -> list[Argument]:
        """Load what is not at hand for sorting, then sort; the rest of each record is read after the limit."""
        sources = [f"@{column.attribute}" for column, _ in self.order if column is not DISTANCE_COLUMN]
        keys = [part for column, down in self.order for part in (f"@{column.attribute}", "DESC" if down else "ASC")]
        load: list[Argument] = ["LOAD", len(sources), *sources] if sources else []
        return [*load, "SORTBY", len(keys), *keys]

    def _marks(self) -> list[Argument]:
        summary, highlight = self.request.summary, self.request.highlight
        words: list[Argument] = []
        if summary is not None:
            words += ["SUMMARIZE", *self._fields(summary.names), "FRAGS", summary.fragments, "LEN", summary.words]
            words += ["SEPARATOR", summary.separator]
        if highlight is not None:
            words += ["HIGHLIGHT", *self._fields(highlight.names), "TAGS", highlight.opening, highlight.closing]
        return words

    def _fields(self, names: tuple[str, ...]) -> list[Argument]:
        return ["FIELDS", len(names), *(self.column(name).source for name in names)]


def plan_of(request: Request, schema: Schema[Any] | None) -> Plan:
    """Look up everything a request names.

    Raises:
        QueryInvalid: a field the schema does not have, or something that cannot be asked together.
    """
    tree = bind(request.tree(), schema)
    order = tuple((sort_column(schema, key.name), key.descending) for key in request.order)
    query = compile_query(tree)
    if query.knn is not None:
        return Plan(request, schema, tree, query, order or ((DISTANCE_COLUMN, False),), False, query.knn.k)
    if (request.highlight or request.summary) and len(order) > 1:
        raise QueryInvalid("highlight() and summarize() go with one sort field at most")
    ranked = not order and any(isinstance(leaf, Words | Phrase | Fuzzy) for leaf in leaves(tree))
    return Plan(request, schema, tree, query, order, ranked, None)


def order_of(key: Field | Order | str) -> Order:
    """One sort key as a caller writes it: `User.age`, `-User.age`, "age", "-age"."""
    if isinstance(key, Order):
        return key
    if isinstance(key, Field):
        return Order(key.name)
    if isinstance(key, str) and key.lstrip("-"):
        return Order(key.removeprefix("-"), key.startswith("-"))
    raise QueryInvalid(f"sort takes fields, -fields or names, not {key!r}")


def sort_column(schema: Schema[Any] | None, name: str) -> Column:
    """The column to sort by; without a schema, whatever has this name.

    Raises:
        QueryInvalid: it has no order, or is not in the index.
    """
    if schema is not None:
        column = schema.column(name)
        if not column.index_arguments() or not isinstance(column.option, Tag | Text | Numeric):
            raise QueryInvalid(
                f"{name!r} cannot be sorted by; annotate it with Tag(), Text() or Numeric(sortable=True)"
            )
        return column
    source = "_id" if name == "id" else name
    return SYSTEM.get(source) or Column(name, source, source, Codec(None, str, str, str))


def checked_count(value: Any, argument: str, least: int = 0) -> int:
    """A whole number that a caller gave.

    Raises:
        InvalidOptions: it is none, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOptions(f"a whole number from {least} on, not {value!r}", argument=argument)
    return value


def checked_timeout(timeout: Duration) -> int:
    """A query's time limit in milliseconds."""
    ms = duration_ms(timeout, argument="timeout") or 0
    if ms < 1:
        raise InvalidOptions("more than nothing", argument="timeout")
    return ms
