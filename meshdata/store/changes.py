"""The change streams of entities: registers who watches, hears of changes, reads them without missing one unnoticed.

The scripts that write records write changes too, but only while a key says that somebody watches the entity. Each
process that does renews that key; hints on a channel say when to read. A follower reads on from the places it has come
to, one per partition, at its own speed: the stream is its buffer. Entries are numbered without a gap, and another epoch
begins whenever nobody watched for a time, so that whatever was missed is noticed.

Source: docs/keyspace.md; lua/lib/watch.lua writes the entries, lua/watch.lua registers.
"""

import asyncio
import logging
import weakref
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, Final, NamedTuple, Protocol

from meshdata.errors import ScriptFailed, StoreError, StoreUnavailable
from meshdata.store.keys import Keys
from meshdata.store.lane import Lane

logger = logging.getLogger(__name__)

RENEW_S: Final = 5.0
"""At the latest after so long a process says again that it watches."""

BATCH: Final = 200
"""Changes read at once from each partition."""


class Place(NamedTuple):
    """How far a follower has come in one partition: `n` changes of an epoch."""

    epoch: int
    n: int


class Entry(NamedTuple):
    """One change: where it stands, the record before it and after it (name → bytes; empty for no record).

    `wide` says that the record is too wide to be copied: both are empty, and it has to be read.
    """

    partition: int
    place: Place
    id: str
    before: dict[str, bytes]
    after: dict[str, bytes]
    wide: bool


class ChangesLost(StoreError):
    """Changes went by that can not be read any more: the stream is shorter than the follower was behind, nobody watched
    for a time, or Redis was restarted. Read the records anew."""


class Watching(Protocol):
    """What the follower of changes asks of the store."""

    @property
    def keys(self) -> Keys: ...
    @property
    def partitions(self) -> int: ...
    def lane(self, partition: int) -> Lane: ...
    async def command(self, partition: int, *args: Any) -> Any: ...
    async def watch(self, partition: int, entity: str, ttl_ms: int) -> Place: ...


class Follower:
    """One reader of an entity's changes. Made by `Changes.follow`; given back by `close`, or when it is collected."""

    def __init__(self, changes: "Changes", entity: str, keep_ms: int) -> None:
        self.entity = entity
        self.keep_ms = keep_ms
        self.places: list[Place] = []
        self._changes = changes
        self._news = asyncio.Event()
        self._lost = ""
        self.closed = False

    async def begin(self) -> list[Place]:
        """Go to where the changes stand now. What was lost before does not count any more."""
        self._lost = ""
        self.places = await self.stand()
        return list(self.places)

    async def stand(self) -> list[Place]:
        """Register now; the places behind the last change there is."""
        changes = self._changes
        partitions = range(changes.store.partitions)
        return list(await asyncio.gather(*(changes.store.watch(p, self.entity, self.keep_ms) for p in partitions)))

    def wake(self) -> None:
        """There may be news."""
        self._news.set()

    def renewed(self, partition: int, sent_at: Place, found: Place) -> None:
        """The process registered again when this follower was at `sent_at`."""
        same = self.places[partition].epoch == sent_at.epoch  # it may have begun anew since
        if same and (found.epoch != sent_at.epoch or found.n < sent_at.n):
            self.lost("nobody watched for a time")

    def lost(self, why: str) -> None:
        """Changes may have been lost, whatever the streams say."""
        self._lost = self._lost or why
        self._news.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait for news, at most so long. News since the last read count."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            pass

    async def read(self) -> list[Entry]:
        """The next changes of every partition, in the order of each; empty if there are none yet.

        Raises:
            ChangesLost: some were missed; `begin` anew and read the records.
            StoreUnavailable: Redis is away, or the mesh was closed.
        """
        if self.closed:
            raise StoreUnavailable("the mesh was closed while records were watched")
        if self._lost:
            raise ChangesLost(self._lost)
        self._news.clear()
        partitions = range(self._changes.store.partitions)
        replies = await asyncio.gather(*(self._read_one(p) for p in partitions))
        found = [entry for entries in replies for entry in entries]
        for entry in found:
            self.places[entry.partition] = entry.place
        return found

    async def _read_one(self, partition: int) -> list[Entry]:
        store, place = self._changes.store, self.places[partition]
        stream = store.keys.changes(partition, self.entity)
        after = f"({place.epoch}-{place.n}"
        reply = await store.command(partition, "XRANGE", stream, after, "+", "COUNT", BATCH)
        found: list[Entry] = []
        for number, flat in reply:
            entry = _entry(partition, number, dict(zip(flat[::2], flat[1::2], strict=True)))
            if entry.place != (place.epoch, place.n + 1):
                raise ChangesLost("the stream of changes was trimmed before they were read")
            place = entry.place
            found.append(entry)
        return found

    def close(self) -> None:
        """Watch no longer. May be called twice."""
        self._changes.left(self)

    def end(self) -> None:
        """The mesh closes."""
        self.closed = True
        self._news.set()

    def __del__(self) -> None:
        self._changes.collected(self.entity)


class Changes:
    """The followers of one process, and the task that renews their registration; there is none while nobody follows."""

    def __init__(self, store: Watching) -> None:
        self.store = store
        self._followers: dict[str, weakref.WeakSet[Follower]] = {}
        self._heard: set[str] = set()  # entities whose channels are subscribed to
        self._channels = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look = asyncio.Event()
        self._reconnected = False
        self._run_id = b""

    async def follow(self, entity: str, *, keep_ms: int) -> Follower:
        """Begin to watch an entity. The follower's places are still to be set: by `begin`, or from a cursor.

        Args:
            keep_ms: how long changes are kept after the process stops renewing.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            for lane in {self.store.lane(p) for p in range(self.store.partitions)}:
                lane.on_connect.append(self._connected)
        if not self._run_id:
            self._run_id = await self._server()
        follower = Follower(self, entity, keep_ms)
        self._followers.setdefault(entity, weakref.WeakSet()).add(follower)
        if self._task is None or self._task.done():
            # Not in the caller's context: a task that workflow code makes is the run's, and would end with it.
            self._task = self._loop.create_task(self._renew(), name="meshdata watch", context=Context())
        await self._hear(entity)
        return follower

    async def _hear(self, entity: str) -> None:
        async with self._channels:
            if entity in self._heard:
                return
            for partition in range(self.store.partitions):
                channel = self.store.keys.changes_channel(partition, entity)
                await self.store.lane(partition).subscribe(channel, self._hint(entity))
            self._heard.add(entity)

    def _hint(self, entity: str) -> Callable[[bytes], None]:
        def heard(_: bytes) -> None:
            for follower in self._followers.get(entity, ()):
                follower.wake()

        return heard

    def left(self, follower: Follower) -> None:
        """One watches no longer."""
        self._followers.get(follower.entity, weakref.WeakSet()).discard(follower)
        self._look.set()

    def collected(self, entity: str) -> None:
        """One was collected by Python, in whatever thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._look.set)

    async def _connected(self) -> None:
        self._reconnected = True
        self._look.set()

    async def _server(self) -> bytes:
        """What tells one life of the server from the next."""
        try:
            said: bytes = await self.store.command(0, "INFO", "server")
        except ScriptFailed:  # a user who may not ask
            return b"unknown"
        lines = [line for line in said.splitlines() if line.startswith(b"run_id:")]
        return lines[0] if lines else b"unknown"

    # --- the task -----------------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        while True:
            try:
                await self._forget_what_nobody_follows()
                if not self._followers:
                    return
                if self._reconnected:
                    self._reconnected = False
                    await self._after_reconnect()
                await self._register()
            except StoreError:
                logger.warning("who watches could not be renewed", exc_info=True)
            kept_ms = [one.keep_ms for followers in self._followers.values() for one in followers]
            try:
                async with asyncio.timeout(min([RENEW_S, *(ms / 3000 for ms in kept_ms)])):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()

    async def _forget_what_nobody_follows(self) -> None:
        async with self._channels:
            for entity in [entity for entity, followers in self._followers.items() if not followers]:
                del self._followers[entity]
                self._heard.discard(entity)
                for partition in range(self.store.partitions):
                    channel = self.store.keys.changes_channel(partition, entity)
                    await self.store.lane(partition).unsubscribe(channel)

    async def _after_reconnect(self) -> None:
        """Hints were lost meanwhile; and a server that was restarted may have lost its last moments."""
        run_id = await self._server()
        restarted, self._run_id = run_id != self._run_id, run_id
        for followers in self._followers.values():
            for follower in list(followers):
                if restarted:
                    follower.lost("Redis was restarted")
                follower.wake()

    async def _register(self) -> None:
        for entity, followers in list(self._followers.items()):
            keep_ms = max((one.keep_ms for one in followers), default=0)
            if keep_ms:
                partitions = range(self.store.partitions)
                await asyncio.gather(*(self._register_one(p, entity, keep_ms) for p in partitions))

    async def _register_one(self, partition: int, entity: str, keep_ms: int) -> None:
        followers: Sequence[Follower] = [one for one in self._followers[entity] if one.places]
        at = [one.places[partition] for one in followers]
        found = await self.store.watch(partition, entity, keep_ms)
        for follower, place in zip(followers, at, strict=True):
            follower.renewed(partition, place, found)

    async def close(self) -> None:
        """End the task; followers are told."""
        for followers in self._followers.values():
            for follower in list(followers):
                follower.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _entry(partition: int, number: bytes, fields: dict[bytes, bytes]) -> Entry:
    epoch, _, n = number.partition(b"-")
    place, id = Place(int(epoch), int(n)), fields[b"_id"].decode()
    wide, gone = fields.pop(b"_read", None) is not None, fields.pop(b"_gone", None) is not None
    was = fields.pop(b"_was", b"-")
    if wide:
        return Entry(partition, place, id, {}, {}, True)
    after = {} if gone else {name.decode(): value for name, value in fields.items()}
    before = {} if was == b"-" else {**after, **_values(was)}
    return Entry(partition, place, id, {k: v for k, v in before.items() if v is not None}, after, False)


def _values(packed: bytes) -> dict[str, Any]:
    """Names and values as lua/lib/pack.lua packs them; None for "-", else what follows the "+"."""
    parts: list[bytes] = []
    at = 0
    while at < len(packed):
        colon = packed.index(b":", at)
        end = colon + 1 + int(packed[at:colon])
        parts.append(packed[colon + 1 : end])
        at = end
    return {
        name.decode(): value[1:] if value[:1] == b"+" else None
        for name, value in zip(parts[::2], parts[1::2], strict=True)
    }
