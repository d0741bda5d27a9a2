"""Walk over all hits of a query, from any place on; a place can be written down as a cursor.

Where the first sort key is a number, the walk goes by ranges of it and not by offsets, so that page a thousand costs
what page one does: each fetch asks for what lies at the last value or behind it, and skips the rows at that value which
were given already. Records without the key come last, by offset.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from meshdata.errors import InvalidOptions
from meshdata.search.column import Column
from meshdata.search.fetch import Found, id_of
from meshdata.search.fields import Numeric
from meshdata.search.plan import DISTANCE_COLUMN, Plan
from meshdata.search.predicate import number_of
from meshdata.search.reply import Row
from meshdata.search.schema import SYSTEM
from meshdata.search.tree import Missing, Range, both

BATCH = 500
Fetch = Callable[[Plan, int, int], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk stands.

    Attributes:
        last: the sort key of the last row given; None at the start, and where the walk goes by offset.
        skip: how many rows to leave out: those at `last` that were given, or those before an offset.
        rest: whether only records without the sort key are left.
        seen: the ids of the rows at `last`, for a walk in one go: a record that moves is not given twice.
    """

    last: float | None = None
    skip: int = 0
    rest: bool = False
    seen: frozenset[str] = frozenset()


def range_key(plan: Plan, *, has_search: bool) -> tuple[Column, bool] | None:
    """What the walk goes by ranges of, and whether downwards; None where it goes by offsets."""
    if not plan.order or plan.ranked or not has_search:
        return None
    by, descending = plan.order[0]
    return (by, descending) if isinstance(by.option, Numeric) and by.indexed and by is not DISTANCE_COLUMN else None


def in_birth_order(plan: Plan) -> Plan:
    """The same, where nothing is said of an order, by the time the records were made: it lets a walk go by ranges."""
    return plan if plan.order or plan.ranked else replace(plan, order=((SYSTEM["_created"], False),))


async def step(
    fetch: Fetch, plan: Plan, key: tuple[Column, bool] | None, place: Place, size: int
) -> tuple[list[Row], Place | None]:
    """At most `size` rows from a place on, and the place behind them; None where nothing is left."""
    if key is None:
        found = await fetch(plan, place.skip, size)
        return found.rows, replace(place, skip=place.skip + size) if found.length == size else None
    by, descending = key
    if place.rest:
        found = await fetch(plan.narrowed(both(plan.tree, Missing(by))), place.skip, size)
        return found.rows, replace(place, skip=place.skip + size) if found.length == size else None
    low, high = (None, place.last) if descending else (place.last, None)
    found = await fetch(plan.narrowed(both(plan.tree, Range(by, low, high))), place.skip, size)
    rows = [row for row in found.rows if id_of(row) not in place.seen]
    if found.length < size:
        more, after = await step(fetch, plan, key, Place(rest=True), size - found.length)
        return rows + more, after
    return rows, _behind(found, by, place)


def _behind(found: Found, by: Column, place: Place) -> Place:
    end = number_of(found.rows[-1].fields, by) if found.rows else place.last
    ties = frozenset(id_of(row) for row in found.rows if number_of(row.fields, by) == end)
    if end == place.last:
        return Place(end, place.skip + found.length, seen=place.seen | ties)
    return Place(end, len(ties), seen=ties)


async def walk(fetch: Fetch, plan: Plan, key: tuple[Column, bool] | None, start: Place) -> AsyncIterator[Row]:
    """Every row from a place on, in order."""
    place: Place | None = start
    while place is not None:
        rows, place = await step(fetch, plan, key, place, BATCH)
        for row in rows:
            yield row


def behind_page(key: tuple[Column, bool] | None, rows: list[Row], offset: int, limit: int) -> Place:
    """The place behind a page that was fetched by its offset."""
    if key is not None and rows:
        first, last = (number_of(row.fields, key[0]) for row in (rows[0], rows[-1]))
        # how many rows at the last value were given is known if they began on this page
        if last is not None and (offset == 0 or first != last):
            return Place(last, sum(number_of(row.fields, key[0]) == last for row in rows))
    return Place(skip=offset + limit)


# --- cursors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cursor:
    """What `page.cursor` tells.

    Attributes:
        place: where to go on.
        ranged: whether by ranges of the sort key.
        given: how many rows lie before it.
    """

    place: Place
    ranged: bool
    given: int = 0


def write_cursor(plan: Plan, cursor: Cursor) -> str:
    """A cursor as text, good for the same query only."""
    place = cursor.place
    told = [_digest(plan), cursor.ranged, cursor.given, place.last, place.skip, place.rest]
    return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(plan: Plan, text: str) -> Cursor:
    """A cursor's text read again.

    Raises:
        InvalidOptions: it is none, or was given for another query.
    """
    try:
        digest, ranged, given, last, skip, rest = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        place = Place(None if last is None else float(last), max(0, int(skip)), bool(rest))
        cursor = Cursor(place, bool(ranged), int(given))
    except (ValueError, TypeError) as problem:
        raise InvalidOptions("this is no cursor; give page.cursor as it came", argument="cursor") from problem
    if digest != _digest(plan):
        raise InvalidOptions("this cursor belongs to a query with other conditions or another order", argument="cursor")
    return cursor


def _digest(plan: Plan) -> str:
    order = [(column.name, descending) for column, descending in plan.order]
    told = repr((plan.query.text, sorted(plan.query.params.items()), order))
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:8]
