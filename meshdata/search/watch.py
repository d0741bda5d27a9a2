"""Watch a query: what meets it now, then each record that comes to meet it, changes under it, or meets it no longer.

A `Watch` reads the entity's change stream from the place it has come to, at its own speed, and judges each change by
the in-memory predicate, so it needs no index for that and works without the module. It is an iterator without a task of
its own: nothing runs ahead of who reads it, and nothing is left when it is dropped.

What holds:
(1) Registration comes before the first read of the records, so no change falls between them; one that both show is told
    once, by the record's version (when it was made, and its revision).
(2) `_told` has every record the reader knows as meeting the query, in the version it was told in.
(3) A record that expires changes by no script. Every few seconds those in `_told` are asked for by name.
(4) Who comes back by a cursor is judged by what each change says of the record before it, until the records themselves
    have been read (in silence): then (2) holds again. Those told of before that have expired since are in no change and
    no reading; only who says by name what it knows hears of them.
(5) A cursor stands for a whole picture: there is none before what changed while the records were read has been told.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from meshdata.errors import InvalidOptions, StoreUnavailable
from meshdata.search.predicate import Predicate
from meshdata.search.reply import Row, SearchStore
from meshdata.store.changes import ChangesLost, Entry, Follower, Place
from meshdata.values import Duration, duration_ms

logger = logging.getLogger(__name__)

T = TypeVar("T")
Kind = Literal["match", "enter", "update", "leave", "gap"]

LOOK_S: Final = 5.0
"""How often records that were told of are asked for, because they may have expired."""

_BATCH = 200
_ASKED_AT_ONCE = 500
_RETRY_S = 0.5
_LEAST_KEEP_MS, _MOST_KEEP_MS = 1_000, 24 * 3_600_000
_CURSOR = re.compile(r"\d+-\d+(\.\d+-\d+)*", re.ASCII)

Version = tuple[float, int]
_Places = tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One thing that is to be known about a watched query.

    Attributes:
        kind: "match", a record that meets it already; "enter", one that meets it from now on; "update", one that
            changed and meets it still; "leave", one that meets it no longer, or is gone; "gap", some changes were lost:
            what follows comes from reading the records anew, as enter, update and leave, or where nothing was known of
            them, as match.
        id: the record's; "" for a gap.
        item: the record as the change left it; None where it is gone, and for a gap.
        cursor: `watch(after=cursor)` goes on behind this change. None before all is told that was found when the watch
            began, or after a gap.
    """

    kind: Kind
    id: str
    item: T | None
    cursor: str | None


class Watched(NamedTuple):
    """What a watch asks of the query it watches."""

    rows: Callable[[], AsyncIterator[Row]]
    holds: Predicate
    item: Callable[[Row], Any]


class _Found(NamedTuple):
    kind: Kind
    id: str
    fields: dict[str, bytes] | None
    places: _Places | None


class Watch(Generic[T]):
    """The changes of a query's answer, one after the other, without an end. Made by `Find.watch`.

    One reader at a time. Leaving the loop is enough to end it; `aclose()` and `async with` end it by name.
    """

    def __init__(
        self,
        store: SearchStore,
        entity: str,
        prepare: Callable[[], Awaitable[Watched]],
        *,
        after: str | None = None,
        known: Iterable[str] = (),
        keep: Duration = 60,
    ) -> None:
        self._store = store
        self._entity = entity
        self._prepare = prepare
        self._after = None if after is None else _parsed(after, store.partitions)
        self._keep_ms = duration_ms(keep, argument="keep") or 0
        if not _LEAST_KEEP_MS <= self._keep_ms <= _MOST_KEEP_MS:
            raise InvalidOptions("from a second to a day", argument="keep")
        self._watched: Watched | None = None
        self._follower: Follower | None = None
        self._ready: deque[_Found] = deque()
        self._told: dict[str, Version] = {}
        if isinstance(known, str | bytes) or (known and after is None):
            raise InvalidOptions("the ids of records that were told of, beside `after`", argument="known")
        self._silent: set[str] = set(known)  # records that meet the query as a resumed watch was told, or has read
        self._knows = bool(self._silent)
        self._at: list[Place] = []  # behind the last change that was judged
        self._unjudged: deque[Entry] = deque()
        self._reading: Kind | None = None  # what a record that is not told yet counts as while the records are read
        self._rows: AsyncIterator[Row] | None = None
        self._seen: set[str] = set()
        self._pending: list[_Found] = []
        self._quietly = False  # a resumed watch still has to read the records in silence
        self._silently = False  # and is doing so
        self._until: _Places | None = None  # of a resumed watch: from here on `_told` and `_silent` say how it stood
        self._whole: _Places | None = None  # where the changes stood when the records had been read
        self._look_at = 0.0
        self._cursor: str | None = None
        self._ended = False

    def __aiter__(self) -> Watch[T]:
        return self

    async def __aenter__(self) -> Watch[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it; who waits for the next change gets none."""
        self._ended = True
        if self._follower is not None:
            self._follower.close()
            self._follower.wake()

    @property
    def cursor(self) -> str | None:
        """Where `watch(after=...)` would go on behind what was read so far; None while records are still being read."""
        reading = self._reading is not None or self._whole is not None
        if self._at and not (self._ready or self._unjudged or reading):
            return _text(self._at)
        return self._cursor

    async def __anext__(self) -> Change[T]:
        """The next change.

        Raises:
            StoreUnavailable: Redis was away when it began, or the mesh was closed. Later it waits for Redis.
            IndexNotFound: the entity has no index.
            CorruptRecord: the record does not fit its model; the watch goes on behind it.
        """
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            await self._more()
        found = self._ready.popleft()
        self._cursor = None if found.places is None else _text(found.places)
        assert self._watched is not None
        item = None if found.fields is None else self._watched.item(Row("", found.fields))
        return Change(found.kind, found.id, item, self._cursor)

    async def _more(self) -> None:
        if self._follower is None:
            await self._open()
            return
        try:
            await self._advance(self._follower)
        except StoreUnavailable:
            if self._follower.closed:
                raise
            logger.warning("a watch waits for Redis", exc_info=True, extra={"entity": self._entity})
            await asyncio.sleep(_RETRY_S)

    async def _advance(self, follower: Follower) -> None:
        if self._reading is not None:
            await self._read_on()
            return
        if self._unjudged:
            await self._judge(self._unjudged[0])
            self._unjudged.popleft()
            return
        if self._whole is not None and self._reached(self._whole):
            self._finish_reading()
            return
        try:
            entries = await follower.read()
        except ChangesLost as lost:
            await self._begin_anew(follower, str(lost))
            return
        self._unjudged.extend(entries)
        if entries:
            return
        if self._until is not None and self._resumed():
            return
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            await self._look_for_expired()
            self._look_at = now + LOOK_S
        elif not self._ready:
            await follower.wait(self._look_at - now)

    # --- beginnings ---------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._watched = await self._prepare()
        follower = await self._store.changes.follow(self._entity, keep_ms=self._keep_ms)
        standing = self._at = await follower.begin()
        self._look_at = asyncio.get_running_loop().time() + LOOK_S
        if self._after is None:
            self._read("match")
        elif any(old.epoch != new.epoch or old.n > new.n for old, new in zip(self._after, standing, strict=True)):
            self._tell_gap("the cursor is too old: nobody watched for a time")
            self._read("enter" if self._knows else "match")
        else:
            follower.places, self._at = list(self._after), list(self._after)
            self._until, self._quietly = tuple(standing), True
        self._follower = follower

    def _resumed(self) -> bool:
        """A watch that goes on from a cursor has caught up: read the records in silence, to know how they stand."""
        assert self._until is not None
        if self._quietly:
            self._quietly = False
            self._read("match", quietly=True)
            return True
        if self._reached(self._until):
            self._until = None
        return False

    def _reached(self, places: _Places) -> bool:
        return all(at.epoch != place.epoch or at.n >= place.n for at, place in zip(self._at, places, strict=True))

    async def _begin_anew(self, follower: Follower, why: str) -> None:
        self._at = await follower.begin()
        self._release(0)
        self._tell_gap(why)
        unknown = self._until is not None and not self._knows
        if unknown:  # it had not come so far as to know what meets the query
            self._told.clear()
            self._silent.clear()
        self._until, self._quietly, self._whole = None, False, None
        self._read("match" if unknown else "enter")

    def _tell_gap(self, why: str) -> None:
        logger.warning("changes of watched records were lost", extra={"entity": self._entity, "why": why})
        self._ready.append(_Found("gap", "", None, None))

    # --- reading the records ------------------------------------------------------------------------------------------

    def _read(self, kind: Kind, *, quietly: bool = False) -> None:
        self._reading, self._rows, self._silently = kind, None, quietly
        self._seen.clear()

    async def _read_on(self) -> None:
        """Meet some more of the records there are; after the last, those told of that are not among them have left."""
        assert self._watched is not None and self._reading is not None
        if self._rows is None:
            self._rows = self._watched.rows()
        try:
            async for row in self._rows:
                self._meet(_id(row.fields), row.fields, self._reading)
                if len(self._pending) > _BATCH:
                    self._release(1)  # the last is held back: it may be the one that carries the cursor
                    return
        except BaseException:
            self._rows = None  # a walk that was broken off begins again; what was told is not told twice
            raise
        missing = [] if self._silently else [id for id in {*self._told, *self._silent} if id not in self._seen]
        records = await self._records(missing)
        assert self._follower is not None
        standing = tuple(await self._follower.stand())
        for id, fields in zip(missing, records, strict=True):
            if fields and self._watched.holds(fields):
                self._meet(id, fields, self._reading)
            else:
                self._leave(id, fields)
        self._reading, self._rows = None, None
        self._seen.clear()
        if self._silently:
            self._until = standing
        else:
            self._whole = standing

    def _finish_reading(self) -> None:
        """Told is now what the records were, and what became of them while they were read: from here on there are
        cursors, the last of these changes has the first."""
        self._whole = None
        if self._pending:
            self._pending[-1] = self._pending[-1]._replace(places=tuple(self._at))
        self._release(0)

    def _meet(self, id: str, fields: dict[str, Any], kind: Kind) -> None:
        assert self._watched is not None
        if not self._watched.holds(fields):
            return
        self._seen.add(id)
        if self._silently:
            if id not in self._told:
                self._silent.add(id)
            return
        version, told = _version(fields), self._told.get(id)
        if told is None:
            self._pending.append(_Found("update" if id in self._silent else kind, id, fields, None))
        elif told < version:
            self._pending.append(_Found("update", id, fields, None))
        self._silent.discard(id)
        self._told[id] = version

    def _leave(self, id: str, fields: dict[str, Any]) -> None:
        self._told.pop(id, None)
        self._silent.discard(id)
        self._pending.append(_Found("leave", id, fields or None, None))

    def _release(self, held: int) -> None:
        count = len(self._pending) - held
        self._ready.extend(self._pending[:count])
        del self._pending[:count]

    async def _records(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Records as they are now, empty for those that are not."""
        keys = self._store.keys
        jobs = [f"{self._entity}:{id}" for id in ids]
        found: list[dict[str, Any]] = []
        for at in range(0, len(jobs), _ASKED_AT_ONCE):
            some = jobs[at : at + _ASKED_AT_ONCE]
            read = (self._store.command(keys.partition(job), "HGETALL", keys.record(job)) for job in some)
            replies = await asyncio.gather(*read)
            found += [{name.decode(): value for name, value in reply.items()} for reply in replies]
        return found

    # --- judging changes ----------------------------------------------------------------------------------------------

    async def _judge(self, entry: Entry) -> None:
        assert self._watched is not None
        before, after = entry.before, entry.after
        if entry.wide:
            [after] = await self._records([entry.id])
        holds, id = self._watched.holds, entry.id
        is_so = bool(after) and holds(after)
        told = self._told.get(id)
        if told is not None:
            known = after or before
            if known and (_version(known) < told or (_version(known) == told and after)):
                self._pass(entry)  # the records were read behind this change
                return
            was_so = True
        elif self._until is None:
            was_so = id in self._silent
        else:
            was_so = bool(before) and holds(before)
        self._silent.discard(id)
        if is_so:
            self._told[id] = _version(after)
        else:
            self._told.pop(id, None)
        self._pass(entry)
        if was_so or is_so:
            kind: Kind = ("update" if was_so else "enter") if is_so else "leave"
            if self._whole is None:
                self._ready.append(_Found(kind, id, after or None, tuple(self._at)))
            else:
                self._pending.append(_Found(kind, id, after or None, None))

    def _pass(self, entry: Entry) -> None:
        self._at[entry.partition] = entry.place

    async def _look_for_expired(self) -> None:
        """Find those told of that are gone without a change: by count first, for most of the time all are there."""
        if self._until is not None:
            return
        keys = self._store.keys
        parts: dict[int, list[str]] = {}
        for id in (*self._told, *self._silent):
            parts.setdefault(keys.partition(f"{self._entity}:{id}"), []).append(id)
        for partition, ids in parts.items():
            for at in range(0, len(ids), _ASKED_AT_ONCE):
                some = ids[at : at + _ASKED_AT_ONCE]
                names = [keys.record(f"{self._entity}:{id}") for id in some]
                if await self._store.command(partition, "EXISTS", *names) == len(some):
                    continue
                there = await asyncio.gather(*(self._store.command(partition, "EXISTS", name) for name in names))
                for id, exists in zip(some, there, strict=True):
                    if not exists:
                        self._leave(id, {})
                        self._pending[-1] = self._pending[-1]._replace(places=tuple(self._at))
        self._release(0)


def _id(fields: dict[str, Any]) -> str:
    stored = fields.get("_id", b"")
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)


def _version(fields: dict[str, Any]) -> Version:
    return float(fields.get("_created") or 0), int(fields.get("_rev") or 0)


def _text(places: Sequence[Place]) -> str:
    return ".".join(f"{place.epoch}-{place.n}" for place in places)


def _parsed(cursor: str, partitions: int) -> _Places:
    if not isinstance(cursor, str) or not _CURSOR.fullmatch(cursor) or cursor.count(".") != partitions - 1:
        raise InvalidOptions("the cursor of a change of this namespace is needed", argument="after")
    return tuple(Place(*map(int, one.split("-"))) for one in cursor.split("."))
