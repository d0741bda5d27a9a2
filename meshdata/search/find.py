"""A query over the records of one entity, and the pages it answers with, as instances of the model.

`plan.py` says how it is asked, `fetch.py` puts the partitions' answers together, `walk.py` goes through all hits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search.fetch import Found, fetch, id_of
from meshdata.search.fields import Text
from meshdata.search.index import Index
from meshdata.search.plan import (
    Highlight,
    Plan,
    Request,
    Summary,
    checked_count,
    checked_timeout,
    order_of,
    plan_of,
    sort_column,
)
from meshdata.search.predicate import Predicate, predicate
from meshdata.search.query import Field, Order, bind, condition_of
from meshdata.search.reply import Row, SearchStore
from meshdata.search.scan import walk_records
from meshdata.search.schema import Schema
from meshdata.search.table import Tables, html_of_items
from meshdata.search.tree import Condition
from meshdata.search.verbs import Actions, Verbs
from meshdata.search.walk import (
    BATCH,
    Cursor,
    Place,
    behind_page,
    in_birth_order,
    range_key,
    read_cursor,
    step,
    walk,
    write_cursor,
)
from meshdata.search.watch import Watch, Watched
from meshdata.values import Duration

T = TypeVar("T")
DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the hits.

    Attributes:
        items: instances of the model, or dicts where there is none.
        total: how many records meet the conditions in all.
        next: the query for the page behind this one, to be awaited; None after the last.
        cursor: the place behind this page as text, for `after(cursor)` on the same query, in any process; None after
            the last.
    """

    items: list[T]
    total: int
    next: Find[T] | None = None
    cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def _repr_html_(self) -> str:
        return html_of_items(self.items, f"{len(self.items)} of {self.total}")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, at: int) -> T:
        return self.items[at]


class Find(Verbs, Tables[T], Generic[T]):
    """A query over the records of one entity. Awaited, it gives a `Page`; iterated, all its hits."""

    def __init__(
        self, store: SearchStore, entity: str, schema: Schema[Any] | None = None, actions: Actions | None = None
    ) -> None:
        self._store = store
        self._entity = entity
        self._schema = schema
        self._actions = actions
        self._request = Request()

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
        order = tuple(order_of(key) for key in keys)
        if self._schema is not None:
            for key in order:
                sort_column(self._schema, key.name)
        return self._with(order=order)

    def limit(self, limit: int, offset: int = 0) -> Find[T]:
        """At most this many, from that place on."""
        return self._with(limit=checked_count(limit, "limit"), offset=checked_count(offset, "offset"))

    def after(self, cursor: str | None) -> Find[T]:
        """Only what lies behind `page.cursor` of the same query; None begins at the start.

        With a number as the first sort key it costs the same however far one is; otherwise it is an offset.
        """
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidOptions("give page.cursor as it came", argument="cursor")
        return self._with(after=cursor)

    def select(self, *fields: Field | str) -> Find[Any]:
        """Only these fields: items are instances of a model that has just them."""
        return self._with(names=self._names(fields))

    def highlight(self, *fields: Field | str, opening: str = "<b>", closing: str = "</b>") -> Find[T]:
        """Marks around the words that were found, in the text of these fields as items have it.

        The text is not made safe for HTML: escape it before, or choose marks of your own and replace them after.
        """
        self._check_texts(names := self._names(fields))
        for name, mark in (("opening", opening), ("closing", closing)):
            if not isinstance(mark, str) or not mark or "\0" in mark:
                raise InvalidOptions("a mark is text", argument=name)
        return self._with(highlight=Highlight(names, opening, closing))

    def summarize(self, *fields: Field | str, fragments: int = 3, words: int = 20, separator: str = "... ") -> Find[T]:
        """Of these fields only the fragments around what was found, `words` long, each with `separator` behind it."""
        self._check_texts(names := self._names(fields))
        checked_count(fragments, "fragments", 1)
        checked_count(words, "words", 1)
        if not isinstance(separator, str) or not separator or "\0" in separator:
            raise InvalidOptions("a separator is text", argument="separator")
        return self._with(summary=Summary(names, fragments, words, separator))

    def timeout(self, timeout: Duration) -> Find[T]:
        """Raise `MeshTimeout` when the module takes longer; 5 seconds where nothing is said."""
        return self._with(timeout_ms=checked_timeout(timeout))

    def _names(self, fields: tuple[Field | str, ...]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(one.name if isinstance(one, Field) else one for one in fields))
        if not names:
            raise InvalidOptions("name the fields to give", argument="fields")
        if self._schema is not None:
            for name in names:
                self._schema.column(name)
        return names

    def _check_texts(self, names: tuple[str, ...]) -> None:
        for name in names:
            if self._schema is not None and not isinstance(self._schema.column(name).option, Text):
                raise QueryInvalid(f"{name!r} is no Text(): only words that were searched can be marked")

    # --- answers ------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Page[T]]:
        return self._page().__await__()

    async def first(self) -> T | None:
        """The first hit, or None."""
        found = await self._with(limit=1)._page()
        return found.items[0] if found.items else None

    async def count(self) -> int:
        """How many records meet the conditions, whatever the limit."""
        return (await self._fetch((await self._plan()).counting(), 0, 0)).total

    async def ids(self) -> list[str]:
        """The ids of the hits, in order, up to the limit."""
        plan = await self._plan()
        if self._request.after is not None:
            rows, _ = await self._behind(plan, read_cursor(plan, self._request.after), self._limit())
        else:
            rows = (await self._fetch(plan, self._request.offset, self._limit(), ("_id",))).rows
        return [id_of(row) for row in rows]

    def explain(self) -> str:
        """The command as the module is asked, with what it binds."""
        plan = plan_of(self._request, self._schema)
        wanted = plan.wanted(self._request.names, merged=self._store.partitions > 1)
        alias = self._store.keys.alias(0, self._entity)
        arguments = plan.command(alias, self._request.offset, self._limit(), wanted)
        return " ".join(
            repr(one) if isinstance(one, bytes) or " " in str(one) or not str(one) else str(one) for one in arguments
        )

    async def _page(self) -> Page[T]:
        plan = await self._plan()
        offset, limit = self._request.offset, self._limit()
        if self._request.after is not None:
            return await self._page_behind(plan, read_cursor(plan, self._request.after), limit)
        found = await self._fetch(plan, offset, limit, self._request.names)
        items = [self._item(plan, row) for row in found.rows]
        if not limit or offset + limit >= found.total:
            return Page(items, found.total)
        key = range_key(plan, has_search=self._store.has_search)
        place = behind_page(key, found.rows, offset, limit)
        cursor = write_cursor(plan, Cursor(place, place.last is not None, offset + limit))
        return Page(items, found.total, self._with(limit=limit, offset=offset + limit), cursor)

    async def _page_behind(self, plan: Plan, cursor: Cursor, limit: int) -> Page[T]:
        (rows, behind), counted = await asyncio.gather(
            self._behind(plan, cursor, limit), self._fetch(plan.counting(), 0, 0)
        )
        items = [self._item(plan, row) for row in rows]
        if behind is None or not rows or behind.given >= counted.total:
            return Page(items, counted.total)
        text = write_cursor(plan, behind)
        return Page(items, counted.total, self._with(limit=limit, after=text), text)

    async def _behind(self, plan: Plan, cursor: Cursor, limit: int) -> tuple[list[Row], Cursor | None]:
        """The rows behind a cursor, and the cursor behind those."""
        if self._request.offset:
            raise InvalidOptions("a cursor and an offset do not go together", argument="offset")
        if not limit:
            return [], None
        key = range_key(plan, has_search=self._store.has_search) if cursor.ranged else None
        rows, behind = await step(self._fetch, plan, key, cursor.place, limit)
        return rows, None if behind is None else Cursor(behind, cursor.ranged, cursor.given + len(rows))

    async def __aiter__(self) -> AsyncIterator[T]:
        left, after = self._request.limit, self._request.after
        if left is not None and left <= BATCH:
            for item in (await self._page()).items:
                yield item
            return
        plan = await self._plan()
        cursor = None if after is None else read_cursor(plan, after)
        async for row in self._walk(plan, cursor):
            if left == 0:
                return
            left = None if left is None else left - 1
            yield self._item(plan, row)

    def _limit(self) -> int:
        return DEFAULT_LIMIT if self._request.limit is None else self._request.limit

    # --- live ---------------------------------------------------------------------------------------------------------

    def watch(self, *, after: str | None = None, known: Iterable[str] = (), keep: Duration = 60) -> Watch[T]:
        """What meets the query now, then each record that begins to, changes, or ceases to: `async for change in ...`.

        Conditions are judged in this process, on whole words: no stemming, no sounds. Records that expire are noticed
        within some seconds.

        Args:
            after: the cursor of a change: go on behind it, instead of beginning with all that meets the query.
            known: beside `after`: the ids told of that have not left, so that those that expired since are noticed.
            keep: how long changes are kept for it once it is gone or stands still, a second to a day.

        Raises:
            InvalidOptions: it has a limit, an offset or a page's cursor. QueryInvalid: it asks for what only the module
                can judge.
        """
        if self._request.limit is not None or self._request.offset or self._request.after is not None:
            raise InvalidOptions("what is watched has no limit and no offset", argument="limit")
        if self._schema is not None:
            self._judged(bind(self._request.tree(), self._schema))
        return Watch(self._store, self._entity, self._watched, after=after, known=known, keep=keep)

    def _judged(self, tree: Condition) -> Predicate:
        try:
            return predicate(tree)
        except QueryInvalid as problem:
            raise QueryInvalid("knn() and unsafe_raw() cannot be watched: only the module can judge them") from problem

    async def _watched(self) -> Watched:
        plan = await self._with(highlight=None, summary=None)._plan()
        if self._store.has_search:
            rows = partial(self._walk, replace(plan, ranked=False))
        else:
            rows = partial(walk_records, self._store, self._entity)
        return Watched(rows, self._judged(plan.tree), partial(self._item, plan))

    def _selected(self) -> tuple[str, ...]:
        return self._request.names

    async def _all_ids(self, most: int) -> list[str]:
        if not self._request.conditions:
            raise QueryInvalid("an empty filter; say where(match_all()) where every record is meant")
        if self._request.limit is None:
            query = self._with(limit=most + 1)
        else:
            query = self
        found = [one["_id"] if isinstance(one, dict) else one.id async for one in query.select("_id")]
        return list(dict.fromkeys(found))

    # --- parts --------------------------------------------------------------------------------------------------------

    async def _plan(self) -> Plan:
        schema = self._schema
        if schema is None and self._store.has_search:
            schema = await Index(self._store).schema(self._entity)
        return plan_of(self._request, schema)

    async def _fetch(self, plan: Plan, offset: int, limit: int, names: tuple[str, ...] = ()) -> Found:
        return await fetch(self._store, self._entity, plan, offset, limit, names)

    def _walk(self, plan: Plan, cursor: Cursor | None = None) -> AsyncIterator[Row]:
        """Every row, from the request's offset or a cursor on."""
        if cursor is None and self._request.offset:
            cursor = Cursor(Place(skip=self._request.offset), ranged=False)
        if cursor is None:
            plan = in_birth_order(plan)
        key = None if cursor and not cursor.ranged else range_key(plan, has_search=self._store.has_search)
        return walk(self._fetch, plan, key, cursor.place if cursor else Place())

    # --- items --------------------------------------------------------------------------------------------------------

    def _item(self, plan: Plan, row: Row) -> Any:
        names = self._request.names
        if plan.schema is not None and plan.schema.model is not None:
            return plan.schema.partial(row.fields, names) if names else plan.schema.instance(row.fields)
        texts = {name: value.decode("utf-8", "replace") for name, value in row.fields.items()}
        if names:
            return {name: texts.get(plan.column(name).source) for name in names}
        return {"id": id_of(row), **{name: text for name, text in texts.items() if name[:1] != "_"}}
