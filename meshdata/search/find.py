"""Run a query and page its hits: over every partition, as instances of the model.

Each partition is asked for its first offset + limit rows, which are merged by the sort keys; within a partition the
module's order stands, so that a page never repeats or skips what another one shows on a still index. Long walks (`async
for`) go by ranges of the sort key and not by offset, so that page a thousand costs what page one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search.codec import Codec
from meshdata.search.column import Column
from meshdata.search.fields import Numeric, Tag, Text
from meshdata.search.fulltext import DISTANCE, Query, compile_query
from meshdata.search.index import Index
from meshdata.search.predicate import Predicate, number_of, predicate, text_of
from meshdata.search.query import Field, Order, bind, condition_of
from meshdata.search.reply import DEFAULT_TIMEOUT_MS, Argument, Reply, Row, SearchStore, ask
from meshdata.search.scan import scan_records, walk_records
from meshdata.search.schema import SYSTEM, Schema
from meshdata.search.tree import (
    Condition,
    Everything,
    Fuzzy,
    Missing,
    Phrase,
    Range,
    Words,
    all_of,
    both,
    leaves,
)
from meshdata.search.verbs import Actions, Verbs
from meshdata.search.watch import Watch, Watched
from meshdata.values import Duration, duration_ms

T = TypeVar("T")
DEFAULT_LIMIT = 100
_BATCH = 500
_DISTANCE = Column(DISTANCE, DISTANCE, DISTANCE, Codec(None, str, float, str), Numeric(sortable=True))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the hits.

    Attributes:
        items: instances of the model, or dicts where there is none.
        total: how many records meet the conditions in all.
        next: the query for the page behind this one, to be awaited; None after the last.
    """

    items: list[T]
    total: int
    next: Find[T] | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, at: int) -> T:
        return self.items[at]


@dataclass(frozen=True, slots=True)
class _Request:
    """What a `Find` was told; each of its methods makes a changed copy."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    names: tuple[str, ...] = ()
    timeout_ms: int = DEFAULT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request with everything looked up: ready to be asked."""

    schema: Schema[Any] | None
    tree: Condition
    order: tuple[tuple[Column, bool], ...]
    ranked: bool
    nearest: int | None


class Find(Verbs, Generic[T]):
    """A query over the records of one entity. Awaited, it gives a `Page`; iterated, all its hits."""

    def __init__(
        self, store: SearchStore, entity: str, schema: Schema[Any] | None = None, actions: Actions | None = None
    ) -> None:
        self._store = store
        self._entity = entity
        self._schema = schema
        self._actions = actions
        self._request = _Request()

    def _with(self, **changes: Any) -> Find[T]:
        made: Find[T] = type(self)(self._store, self._entity, self._schema, self._actions)
        made._request = replace(self._request, **changes)
        return made

    def where(self, *conditions: Any) -> Find[T]:
        """Only records that meet these conditions and those given before: expressions or dicts.

        Raises:
            QueryInvalid: no condition (say `match_all()`), an unknown field, or a value that does not fit.
        """
        found = tuple(condition_of(one) for one in (conditions or ([],)))
        if self._schema is not None:
            found = tuple(bind(one, self._schema) for one in found)
        return self._with(conditions=(*self._request.conditions, *found))

    def sort(self, *keys: Field | Order | str) -> Find[T]:
        """Order by these fields; `-User.age` or "-age" for descending. Records without the field come last."""
        order = tuple(_order(key) for key in keys)
        if self._schema is not None:
            for key in order:
                _sort_column(self._schema, key.name)
        return self._with(order=order)

    def limit(self, limit: int, offset: int = 0) -> Find[T]:
        """At most this many, from that place on."""
        for name, value in (("limit", limit), ("offset", offset)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InvalidOptions(f"a whole number from 0 on, not {value!r}", argument=name)
        return self._with(limit=limit, offset=offset)

    def select(self, *fields: Field | str) -> Find[Any]:
        """Only these fields: items are instances of a model that has just them."""
        names = tuple(dict.fromkeys(one.name if isinstance(one, Field) else one for one in fields))
        if not names:
            raise InvalidOptions("name the fields to give", argument="fields")
        if self._schema is not None:
            for name in names:
                self._schema.column(name)
        return self._with(names=names)

    def timeout(self, timeout: Duration) -> Find[T]:
        """Raise `MeshTimeout` when the module takes longer; 5 seconds where nothing is said."""
        ms = duration_ms(timeout, argument="timeout") or 0
        if ms < 1:
            raise InvalidOptions("more than nothing", argument="timeout")
        return self._with(timeout_ms=ms)

    # --- answers ------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Page[T]]:
        return self._page().__await__()

    async def first(self) -> T | None:
        """The first hit, or None."""
        found = await self._with(limit=1)._page()
        return found.items[0] if found.items else None

    async def count(self) -> int:
        """How many records meet the conditions, whatever the limit."""
        total, _, _ = await self._fetch(await self._plan(), 0, 0)
        return total

    async def ids(self) -> list[str]:
        """The ids of the hits, in order, up to the limit."""
        plan = await self._plan()
        _, rows, _ = await self._fetch(plan, self._request.offset, self._limit(), names=("_id",))
        return [_id(row) for row in rows]

    def explain(self) -> str:
        """The command as the module is asked, with what it binds."""
        schema = self._schema
        tree = bind(self._tree(), schema)
        plan = self._planned(schema, tree)
        arguments = self._command(0, plan, self._request.offset, self._limit(), self._wanted(plan, self._request.names))
        return " ".join(
            repr(one) if isinstance(one, bytes) or " " in str(one) or not str(one) else str(one) for one in arguments
        )

    async def _page(self) -> Page[T]:
        plan = await self._plan()
        offset, limit = self._request.offset, self._limit()
        total, rows, _ = await self._fetch(plan, offset, limit, names=self._request.names)
        more = offset + limit < total and limit > 0
        return Page(
            [self._item(plan, row) for row in rows],
            total,
            self._with(limit=limit, offset=offset + limit) if more else None,
        )

    async def __aiter__(self) -> AsyncIterator[T]:
        left = self._request.limit
        if left is not None and left <= _BATCH:
            for item in (await self._page()).items:
                yield item
            return
        plan = await self._plan()
        async for row in self._walk(plan):
            if left == 0:
                return
            left = None if left is None else left - 1
            yield self._item(plan, row)

    def _limit(self) -> int:
        return DEFAULT_LIMIT if self._request.limit is None else self._request.limit

    # --- live ---------------------------------------------------------------------------------------------------------

    def watch(self, *, after: str | None = None, keep: Duration = 60) -> Watch[T]:
        """What meets the query now, then each record that begins to, changes, or ceases to: `async for change in ...`.

        Conditions are judged in this process, on whole words: no stemming, no sounds. Records that expire are noticed
        within some seconds.

        Args:
            after: the cursor of a change: go on behind it, instead of beginning with all that meets the query.
            keep: how long changes are kept for it once it is gone or stands still, a second to a day.

        Raises:
            InvalidOptions: it has a limit or an offset. QueryInvalid: it asks for what only the module can judge.
        """
        if self._request.limit is not None or self._request.offset:
            raise InvalidOptions("what is watched has no limit and no offset", argument="limit")
        if self._schema is not None:
            self._judged(bind(self._tree(), self._schema))
        return Watch(self._store, self._entity, self._watched, after=after, keep=keep)

    def _judged(self, tree: Condition) -> Predicate:
        try:
            return predicate(tree)
        except QueryInvalid as problem:
            raise QueryInvalid("knn() and unsafe_raw() cannot be watched: only the module can judge them") from problem

    async def _watched(self) -> Watched:
        plan = await self._plan()
        if self._store.has_search:
            whole = self._with(names=())
            rows = partial(whole._walk, replace(plan, ranked=False))
        else:
            rows = partial(walk_records, self._store, self._entity)
        return Watched(rows, self._judged(plan.tree), partial(self._item, plan))

    async def _all_ids(self, most: int) -> list[str]:
        if not self._request.conditions:
            raise QueryInvalid("an empty filter; say where(match_all()) where every record is meant")
        if self._request.limit is None:
            query = self._with(limit=most + 1)
        else:
            query = self
        found = [one["_id"] if isinstance(one, dict) else one.id async for one in query.select("_id")]
        return list(dict.fromkeys(found))

    # --- plan ---------------------------------------------------------------------------------------------------------

    def _tree(self) -> Condition:
        return all_of(self._request.conditions) if self._request.conditions else Everything()

    async def _plan(self) -> _Plan:
        schema = self._schema
        if schema is None and self._store.has_search:
            schema = await Index(self._store).schema(self._entity)
        return self._planned(schema, bind(self._tree(), schema))

    def _planned(self, schema: Schema[Any] | None, tree: Condition) -> _Plan:
        query = compile_query(tree)
        order = tuple((_sort_column(schema, key.name), key.descending) for key in self._request.order)
        if not order and query.knn is not None:
            order = ((_DISTANCE, False),)
        ranked = not order and any(isinstance(leaf, Words | Phrase | Fuzzy) for leaf in leaves(tree))
        return _Plan(schema, tree, order, ranked, None if query.knn is None else query.knn.k)

    def _wanted(self, plan: _Plan, names: tuple[str, ...]) -> tuple[str, ...]:
        """The hash fields to ask for by name; none where whole records are wanted.

        Asked for by name, the module gives a number as its index has it, in 12 digits. So where such a field is wanted,
        or sorted by while answers are merged, the whole hash is read, which it gives as it is.
        """
        if not names:
            return ()
        columns = [self._column(plan, name) for name in names]
        columns += [column for column, _ in plan.order] if self._store.partitions > 1 else []
        if not all(column.exact_in_reply for column in columns):
            return ()
        return tuple(dict.fromkeys(["_id", *(column.source for column in columns)]))

    def _column(self, plan: _Plan, name: str) -> Column:
        return plan.schema.column(name) if plan.schema is not None else _sort_column(None, name)

    def _command(self, partition: int, plan: _Plan, offset: int, limit: int, wanted: Sequence[str]) -> list[Argument]:
        query = compile_query(plan.tree)
        alias = self._store.keys.alias(partition, self._entity)
        tail: list[Argument] = ["LIMIT", offset, limit, "TIMEOUT", self._request.timeout_ms]
        if len(plan.order) > 1:
            return [
                "FT.AGGREGATE",
                alias,
                query.text,
                *_sort_steps(plan, query),
                *tail,
                *_load(wanted),
                *query.arguments(),
            ]
        words: list[Argument] = ["FT.SEARCH", alias, query.text]
        if wanted:
            words += ["RETURN", len(wanted), *wanted]
        if plan.ranked:
            words.append("WITHSCORES")
        for column, descending in plan.order:
            words += ["SORTBY", column.attribute, "DESC" if descending else "ASC"]
        return [*words, *tail, *query.arguments()]

    # --- fetch --------------------------------------------------------------------------------------------------------

    async def _fetch(
        self, plan: _Plan, offset: int, limit: int, *, names: tuple[str, ...] = ()
    ) -> tuple[int, list[Row], int]:
        """The total, the rows from offset on, and how many rows came before expired ones were dropped."""
        if not self._store.has_search:
            return await self._fetch_by_scan(plan, offset, limit)
        partitions = range(self._store.partitions)
        wanted = self._wanted(plan, names)
        spread = len(partitions) > 1 and limit > 0
        at, most = (0, offset + limit) if spread else (offset, limit)
        commands = [self._command(p, plan, at, most, wanted) for p in partitions]
        asked = [ask(self._store, p, *command) for p, command in zip(partitions, commands, strict=True)]
        totals = self._totals(plan) if len(plan.order) > 1 else []
        replies = await asyncio.gather(*asked, *totals)
        rows, counted = replies[: len(asked)], replies[len(asked) :] or replies
        total = sum(reply.total for reply in counted)
        if plan.nearest is not None:  # each partition answers with its own k nearest
            total = min(total, plan.nearest)
            limit = max(0, min(limit, plan.nearest - offset))
        if not spread:
            return total, rows[0].rows if limit else [], rows[0].length
        merged = _merged(plan, rows)[offset : offset + limit]
        return total, merged, min(limit, max(0, sum(reply.length for reply in rows) - offset))

    def _totals(self, plan: _Plan) -> list[Any]:
        """FT.AGGREGATE does not say how many there are; a count beside it does."""
        counting = replace(plan, order=(), ranked=False)
        return [ask(self._store, p, *self._command(p, counting, 0, 0, ())) for p in range(self._store.partitions)]

    async def _fetch_by_scan(self, plan: _Plan, offset: int, limit: int) -> tuple[int, list[Row], int]:
        holds = predicate(plan.tree)
        found = [Row("", record) for record in await scan_records(self._store, self._entity) if holds(record)]
        rows = _sorted(found, plan.order)[offset : offset + limit]
        return len(found), rows, len(rows)

    # --- walk ---------------------------------------------------------------------------------------------------------

    async def _walk(self, plan: _Plan) -> AsyncIterator[Row]:
        """Every hit in order: by ranges of a number that is sorted by, by offsets otherwise."""
        by, descending = plan.order[0] if plan.order else (SYSTEM["_created"], False)
        by_range = (
            isinstance(by.option, Numeric) and by is not _DISTANCE and not plan.ranked and not self._request.offset
        )
        if not by_range or not by.indexed or not self._store.has_search:
            async for row in self._walk_by_offset(plan, self._request.offset):
                yield row
            return
        plan = replace(plan, order=plan.order or ((by, descending),))
        async for row in self._walk_by_range(plan, by, descending):
            yield row
        without = replace(plan, tree=both(plan.tree, Missing(by)))
        async for row in self._walk_by_offset(without, 0):
            yield row

    async def _walk_by_offset(self, plan: _Plan, offset: int) -> AsyncIterator[Row]:
        while True:
            _, rows, length = await self._fetch(plan, offset, _BATCH, names=self._request.names)
            for row in rows:
                yield row
            offset += _BATCH
            if length < _BATCH:
                return

    async def _walk_by_range(self, plan: _Plan, by: Column, descending: bool) -> AsyncIterator[Row]:
        last: float | None = None
        skip, seen = 0, set[str]()  # how many rows at `last` were given already, and which
        while True:
            low, high = (None, last) if descending else (last, None)
            ranged = replace(plan, tree=both(plan.tree, Range(by, low, high)))
            _, rows, length = await self._fetch(ranged, skip, _BATCH)
            for row in rows:
                if _id(row) not in seen:
                    yield row
            if length < _BATCH:
                return
            end = number_of(rows[-1].fields, by) if rows else last
            ties = [_id(row) for row in rows if number_of(row.fields, by) == end]
            if end == last:
                skip += length
                seen.update(ties)
            else:
                last, skip, seen = end, len(ties), set(ties)

    # --- items --------------------------------------------------------------------------------------------------------

    def _item(self, plan: _Plan, row: Row) -> Any:
        names = self._request.names
        if plan.schema is not None and plan.schema.model is not None:
            return plan.schema.partial(row.fields, names) if names else plan.schema.instance(row.fields)
        texts = {name: value.decode("utf-8", "replace") for name, value in row.fields.items()}
        if names:
            return {name: texts.get(self._column(plan, name).source) for name in names}
        return {"id": _id(row), **{name: text for name, text in texts.items() if name[:1] != "_"}}


# --- order ------------------------------------------------------------------------------------------------------------


def _order(key: Field | Order | str) -> Order:
    if isinstance(key, Order):
        return key
    if isinstance(key, Field):
        return Order(key.name)
    if isinstance(key, str) and key.lstrip("-"):
        return Order(key.removeprefix("-"), key.startswith("-"))
    raise QueryInvalid(f"sort takes fields, -fields or names, not {key!r}")


def _sort_column(schema: Schema[Any] | None, name: str) -> Column:
    if schema is not None:
        column = schema.column(name)
        if not column.index_arguments() or not isinstance(column.option, Tag | Text | Numeric):
            raise QueryInvalid(
                f"{name!r} cannot be sorted by; annotate it with Tag(), Text() or Numeric(sortable=True)"
            )
        return column
    source = "_id" if name == "id" else name
    return SYSTEM.get(source) or Column(name, source, source, Codec(None, str, str, str))


def _sort_steps(plan: _Plan, query: Query) -> list[Argument]:
    """Load what is not at hand for sorting, then sort; the rest of each record is read after the limit."""
    sources = [f"@{column.attribute}" for column, _ in plan.order if column is not _DISTANCE]
    keys = [
        word for column, descending in plan.order for word in (f"@{column.attribute}", "DESC" if descending else "ASC")
    ]
    return ["LOAD", len(sources), *sources, "SORTBY", len(keys), *keys] if sources else ["SORTBY", len(keys), *keys]


def _load(wanted: Sequence[str]) -> list[Argument]:
    return ["LOAD", len(wanted), *(f"@{name}" for name in wanted)] if wanted else ["LOAD", "*"]


def _merged(plan: _Plan, replies: Sequence[Reply]) -> list[Row]:
    rows = [row for reply in replies for row in reply.rows]
    if plan.ranked:
        return sorted(rows, key=lambda row: -row.score)
    return _sorted(rows, plan.order)


def _sorted(rows: list[Row], order: Sequence[tuple[Column, bool]]) -> list[Row]:
    """Sort by the last key first: each pass is stable, so the first key decides and equal rows keep their order."""
    for column, descending in reversed(order):
        value = _sort_value(column, rows)
        there = [row for row in rows if value(row) is not None]
        rows = sorted(there, key=value, reverse=descending) + [row for row in rows if value(row) is None]
    return rows


def _sort_value(column: Column, rows: list[Row]) -> Callable[[Row], Any]:
    # where nothing says what a field is, it is a number if each of its values is one
    untold = column.option is None and all(
        number_of(r.fields, column) is not None for r in rows if column.source in r.fields
    )
    if isinstance(column.option, Numeric) or untold:
        return lambda row: number_of(row.fields, column)

    def value(row: Row) -> bytes | None:
        text = text_of(row.fields, column)
        return None if text is None else text.encode("utf-8", "surrogateescape")

    return value


def _id(row: Row) -> str:
    stored = row.fields.get("_id", b"")
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)
