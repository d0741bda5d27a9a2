"""Group records and reduce each group to a row: in the module, merged here over partitions, or wholly here without it.

    rows = await mesh.aggregate(User).group_by(User.plan).reduce(n=count(), mean=avg(User.age)).sort("-n").limit(10)

`steps.py` says how it is asked, `merge.py` puts answers together.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Generator, Mapping, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshdata.errors import QueryInvalid
from meshdata.search.bucket import Bucket
from meshdata.search.fulltext import compile_query
from meshdata.search.index import Index
from meshdata.search.merge import Histogram, by_group, finished, key_of, merged, reduced_here, split_quantiles
from meshdata.search.plan import checked_count, checked_timeout, order_of
from meshdata.search.predicate import predicate
from meshdata.search.query import Field, Order, bind, condition_of
from meshdata.search.reducers import Reducer, name_of
from meshdata.search.reply import Attributes, SearchStore, ask, ask_by_cursor, ask_rows
from meshdata.search.scan import scan_records
from meshdata.search.schema import Schema
from meshdata.search.steps import GROUP_LIMIT, Pass, Ranges, Request, Steps
from meshdata.search.table import Rows
from meshdata.search.told import teller
from meshdata.search.tree import Condition
from meshdata.values import Duration

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_NO_VALUE = "has no value"
"""What the module says of an expression over a field that a record lacks."""


class Aggregate:
    """An aggregate over the records of one entity. Awaited, it gives its rows; iterated, one after the other."""

    def __init__(self, store: SearchStore, entity: str, schema: Schema[Any] | None = None) -> None:
        self._store = store
        self._entity = entity
        self._schema = schema
        self._request = Request()

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

    def group_by(self, *fields: Field | str | Bucket) -> Aggregate:
        """One row for each combination of these fields and buckets (`by_hour(...)`); of none, one row for all."""
        buckets = [(one.name, one) for one in fields if isinstance(one, Bucket)]
        for name, _ in buckets:
            _check_name(name, "bucket")
        groups = tuple(one.name if isinstance(one, Bucket) else name_of(one) for one in fields)
        if len(set(groups)) < len(groups):
            raise QueryInvalid(f"grouped twice by the same name: {', '.join(groups)}; give a bucket name='...'")
        return self._with(groups=groups, before=(*self._request.before, *buckets))

    def reduce(self, **reducers: Reducer) -> Aggregate:
        """What each row says of its group: `n=count(), mean=avg(User.age)`."""
        for name, one in reducers.items():
            if not isinstance(one, Reducer) or not _NAME.fullmatch(name):
                raise QueryInvalid(f"{name}: a reducer such as count() under a plain name, not {one!r}")
        return self._with(reducers=(*self._request.reducers, *reducers.items()))

    def apply(self, **expressions: str) -> Aggregate:
        """A column, computed: `double="@n * 2"`; before `group_by` for each record, after it for each group.

        A record that lacks a field of the expression has no value of it: reducers leave it out.
        """
        for name, text in expressions.items():
            _check_name(name, "column")
            if not isinstance(text, str) or not text.strip():
                raise QueryInvalid(f"{name}: an expression such as '@n * 2', not {text!r}")
        if self._request.groups is None and not self._request.reducers:
            return self._with(before=(*self._request.before, *expressions.items()))
        return self._with(after=(*self._request.after, *expressions.items()))

    def having(self, *conditions: Any) -> Aggregate:
        """Only groups of which this is true: `field("n") > 2`, the dict form of it, or the text "@n > 2"."""
        steps = [("", one if isinstance(one, str) else condition_of(one)) for one in conditions]
        return self._with(after=(*self._request.after, *steps))

    def sort(self, *keys: Order | Field | str) -> Aggregate:
        """Order the rows: "n", "-n" for descending. Rows without the value come last."""
        return self._with(order=tuple(order_of(key) for key in keys))

    def limit(self, limit: int, offset: int = 0) -> Aggregate:
        """At most this many rows, from that place on."""
        return self._with(limit=checked_count(limit, "limit"), offset=checked_count(offset, "offset"))

    def timeout(self, timeout: Duration) -> Aggregate:
        """Raise `MeshTimeout` when the module takes longer; 5 seconds where nothing is said."""
        return self._with(timeout_ms=checked_timeout(timeout))

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
        """Row after row, however many there are: from one partition they come by a cursor of the module's."""
        steps = await self._steps()
        if not self._store.has_search or self._store.partitions > 1 or steps.needs_passes():
            for row in await self._rows():
                yield row
            return
        command = steps.command(self._alias(0), merged=False, ranges=await self._ranges(steps), whole=True)
        begun = False
        try:
            tell = teller(steps)
            async for found in ask_by_cursor(self._store, 0, self._alias(0), *command):
                begun = True
                yield tell(found)
        except QueryInvalid as problem:
            if begun or _NO_VALUE not in str(problem):
                raise
            for row in await self._rows():
                yield row

    def explain(self) -> str:
        """The command as the module is asked."""
        steps = Steps(self._request, self._schema)
        words = steps.command(self._alias(0), merged=self._store.partitions > 1 or steps.needs_passes())
        return " ".join(repr(one) if " " in str(one) else str(one) for one in words)

    async def _rows(self) -> list[dict[str, Any]]:
        steps = await self._steps()
        if not self._store.has_search:
            holds = predicate(steps.tree)
            records = [record for record in await scan_records(self._store, self._entity) if holds(record)]
            return finished(steps, reduced_here(steps, records))
        ranges = await self._ranges(steps)
        if self._store.partitions == 1 and not steps.needs_passes():
            try:
                rows = await self._asked_at_once(steps, ranges)
            except QueryInvalid as problem:
                if _NO_VALUE not in str(problem):
                    raise
            else:
                if self._request.limit is None:
                    _check_size(rows)
                tell = teller(steps)
                return [tell(row) for row in rows]
            steps = await self._steps()
        return finished(steps, await self._merged(steps, ranges))

    async def _asked_at_once(self, steps: Steps, ranges: Ranges) -> list[Attributes]:
        """The whole answer by one command.

        To count record by record who has a field costs a third of it, and the index knows in no time that nobody lacks
        it. What the model requires is taken to be there, and asked for in the same write; so it costs a second command
        only where records were written without it.
        """
        lacking = steps.lacking()
        lack: set[str] = set()
        if lacking and all(map(steps.is_required, lacking)):
            steps.never_missing(lacking)
            command = steps.command(self._alias(0), merged=False, ranges=ranges)
            lack, rows = await asyncio.gather(self._lacked(lacking), ask_rows(self._store, 0, *command))
            if not lack:
                return rows
        elif lacking:
            lack = await self._lacked(lacking)
        steps.never_missing(lacking.keys() - lack)
        return await ask_rows(self._store, 0, *steps.command(self._alias(0), merged=False, ranges=ranges))

    async def _lacked(self, lacking: Mapping[str, Condition]) -> set[str]:
        """Those of the fields that some record lacks."""
        asked = []
        for tree in lacking.values():
            query = compile_query(tree)
            limits = ("LIMIT", 0, 0, "TIMEOUT", self._request.timeout_ms, *query.arguments())
            asked.append(ask(self._store, 0, "FT.SEARCH", self._alias(0), query.text, *limits))
        replies = await asyncio.gather(*asked) if len(asked) > 1 else [await asked[0]]
        return {name for name, reply in zip(lacking, replies, strict=True) if reply.total}

    # --- several commands ---------------------------------------------------------------------------------------------

    async def _merged(self, steps: Steps, ranges: Ranges) -> list[dict[str, Any]]:
        passes = [Pass()] if not steps.computed and not steps.needs_passes() else None
        if passes is None and not steps.needs_passes() and self._store.partitions > 1:
            try:
                return await self._merged_passes(steps, ranges, [Pass()])
            except QueryInvalid as problem:
                if _NO_VALUE not in str(problem):
                    raise
        return await self._merged_passes(steps, ranges, passes or steps.passes())

    async def _merged_passes(self, steps: Steps, ranges: Ranges, passes: list[Pass]) -> list[dict[str, Any]]:
        asked = [(p, which) for which in passes for p in range(self._store.partitions)]
        replies = await asyncio.gather(
            *(
                ask(self._store, p, *steps.command(self._alias(p), merged=True, which=which, ranges=ranges))
                for p, which in asked
            )
        )
        for reply in replies:
            _check_size(reply.rows)
        answers = [(which, reply.rows) for (_, which), reply in zip(asked, replies, strict=True)]
        groups = by_group(steps, answers)
        if self._request.limit is None:
            _check_size(groups)
        fields = split_quantiles(steps, groups)
        told = await asyncio.gather(*(self._histogram(steps, field, ranges, asked) for field in fields))
        return merged(steps, groups, dict(zip(fields, told, strict=True)))

    async def _histogram(self, steps: Steps, field: str, ranges: Ranges, asked: list[tuple[int, Pass]]) -> Histogram:
        asked = [(p, which) for p, which in asked if field not in which.absent]
        replies = await asyncio.gather(
            *(ask(self._store, p, *steps.histogram(self._alias(p), field, which, ranges)) for p, which in asked)
        )
        found: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
        for (_, which), reply in zip(asked, replies, strict=True):
            _check_size(reply.rows, f"values of {field!r}")
            for row in reply.rows:
                value, times = row.fields[steps.at(field)[1:]], int(float(row.fields["__times"]))
                found.setdefault(key_of(steps, which, row.fields), []).append((float(value), times))
        return found

    async def _ranges(self, steps: Steps) -> Ranges:
        """The first and the last moment of each field that is put into buckets of a time zone."""
        found: dict[str, tuple[float, float]] = {}
        for field in dict.fromkeys(bucket.field for bucket in steps.zoned()):
            replies = await asyncio.gather(
                *(ask(self._store, p, *steps.range_of(self._alias(p), field)) for p in range(self._store.partitions))
            )
            rows = [row.fields for reply in replies for row in reply.rows]
            if rows:
                found[field] = (min(float(r["low"]) for r in rows), max(float(r["high"]) for r in rows))
        return found

    async def _steps(self) -> Steps:
        schema = self._schema
        if schema is None and self._store.has_search:
            schema = await Index(self._store).schema(self._entity)
        return Steps(self._request, schema)

    def _alias(self, partition: int) -> str:
        return self._store.keys.alias(partition, self._entity)


def _check_name(name: str, what: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise QueryInvalid(f"{name!r} cannot name a {what}: letters and digits")


def _check_size(rows: Sized, what: str = "groups") -> None:
    if len(rows) > GROUP_LIMIT:
        raise QueryInvalid(f"more than {GROUP_LIMIT} {what}; give a limit, or choose fewer records by where()")
