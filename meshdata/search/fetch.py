"""Ask every partition for its part of a query's answer, and put the parts together.

Each partition is asked for its first offset + limit rows, which are merged by the sort keys; within a partition the
module's order stands, so that a page never repeats or skips what another one shows on a still index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from meshdata.errors import SearchUnavailable
from meshdata.search.column import Column
from meshdata.search.fields import Numeric
from meshdata.search.plan import Plan
from meshdata.search.predicate import number_of, predicate, text_of
from meshdata.search.reply import Row, SearchStore, ask
from meshdata.search.scan import scan_records


@dataclass(frozen=True, slots=True)
class Found:
    """Some rows of an answer.

    Attributes:
        total: how many records meet the conditions in all.
        rows: the rows asked for, without those of records that have expired.
        length: how many rows came before expired ones were dropped; less than asked for at the end only.
    """

    total: int
    rows: list[Row]
    length: int


async def fetch(
    store: SearchStore, entity: str, plan: Plan, offset: int, limit: int, names: Sequence[str] = ()
) -> Found:
    """The rows from offset on; `names` are the fields wanted, none for whole records."""
    if not store.has_search:
        return await _fetch_by_scan(store, entity, plan, offset, limit)
    keys, count = store.keys, store.partitions
    if count == 1 and len(plan.order) < 2:  # the usual case: one command, nothing to merge
        wanted = plan.wanted(names, merged=False)
        reply = await ask(store, 0, *plan.command(keys.alias(0, entity), offset, limit, wanted))
        total, rows, length = reply.total, reply.rows, reply.length
        if plan.nearest is not None:
            total = min(total, plan.nearest)
        return Found(total, rows if limit else [], length)
    spread = count > 1 and limit > 0
    wanted = plan.wanted(names, merged=count > 1)
    at, most = (0, offset + limit) if spread else (offset, limit)
    asked = [ask(store, p, *plan.command(keys.alias(p, entity), at, most, wanted)) for p in range(count)]
    if len(plan.order) > 1:
        counting = plan.counting()
        asked += [ask(store, p, *counting.command(keys.alias(p, entity), 0, 0)) for p in range(count)]
    replies = await asyncio.gather(*asked)
    parts, counted = replies[:count], replies[count:] or replies
    total = sum(reply.total for reply in counted)
    if plan.nearest is not None:  # each partition answers with its own k nearest
        total = min(total, plan.nearest)
        limit = max(0, min(limit, plan.nearest - offset))
    if not spread:
        return Found(total, parts[0].rows if limit else [], parts[0].length)
    merged = _merged(plan, [row for part in parts for row in part.rows])[offset : offset + limit]
    return Found(total, merged, min(limit, max(0, sum(part.length for part in parts) - offset)))


async def _fetch_by_scan(store: SearchStore, entity: str, plan: Plan, offset: int, limit: int) -> Found:
    if plan.request.highlight or plan.request.summary:
        raise SearchUnavailable("highlight() and summarize() need a Redis with the search module")
    holds = predicate(plan.tree)
    found = [Row("", record) for record in await scan_records(store, entity) if holds(record)]
    rows = sorted_rows(found, plan.order)[offset : offset + limit]
    return Found(len(found), rows, len(rows))


def _merged(plan: Plan, rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row.score) if plan.ranked else sorted_rows(rows, plan.order)


def sorted_rows(rows: list[Row], order: Sequence[tuple[Column, bool]]) -> list[Row]:
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


def id_of(row: Row) -> str:
    """The id of the row's record."""
    stored = row.fields.get("_id", b"")
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)
