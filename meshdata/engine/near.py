"""Answers kept in this process, right as long as the server says nothing else: it tells of every change to them.

The server notes which keys were read with `CLIENT CACHING YES` and sends an invalidation, on the same connection, when
one of them changes or goes. An answer is taken in at the moment its reply is read, so that an invalidation always comes
after what it is about. With the connection everything is forgotten; and because one that is dead may look alive, an
answer counts only for a few seconds after the server was heard last, for which a PING goes out once a second while
anything is kept.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from meshdata.errors import StoreError
from meshdata.store.calls import Kept
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

MOST: Final = 10_000
MOST_BYTES: Final = 64 * 1024 * 1024
LARGEST: Final = 65_536
"""How many answers are kept, of how many bytes in all, and how large one may be; those used longest ago go first."""

PULSE_S: Final = 1.0
SURE_S: Final = 3.0
"""So long after the server was heard what is kept counts as right."""


class Near:
    """The answers kept in one process.

    Args:
        most, most_bytes: its bounds.
    """

    def __init__(self, store: Store, *, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._store = store
        self._most, self._most_bytes = most, most_bytes
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._kept: OrderedDict[str, _Held] = OrderedDict()
        self._bytes = 0
        self._fills: dict[str, Fill] = {}
        self._names: dict[bytes, str] = {}
        self._sure_until = 0.0
        self._tracks = False
        self._is_opened = False
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._opening = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    async def open(self) -> None:
        """Ask the server to tell of changes; at the first use of it. Where it cannot, nothing is kept."""
        async with self._opening:
            if self._is_opened:
                return
            self._is_opened = True
            lane = self._store.lane(0)
            lane.on_push = self._pushed
            lane.on_lost.append(self.clear)
            lane.on_connect.append(self._track)
            self._task = asyncio.create_task(self._pulse(), name="meshdata near cache")
            try:
                await self._track()
            except StoreError:
                return  # the connection is away: it is asked when that is back
            if not self._tracks:
                logger.warning("this Redis does not tell of changed keys; near_cache asks it each time")

    async def close(self) -> None:
        """Keep nothing more."""
        self.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _track(self) -> None:
        self.clear()
        try:
            await self._store.lane(0).call("CLIENT", "TRACKING", "ON", "OPTIN")
        except StoreError:
            raise
        except Exception as refusal:
            self._tracks = False
            logger.debug("tracking was refused", extra={"reason": str(refusal)})
        else:
            self._tracks = True
            self._sure_until = self._time() + SURE_S

    async def _pulse(self) -> None:
        lane = self._store.lane(0)
        while True:
            await self._wanted.wait()
            sent = self._time()
            try:
                await lane.call("PING")
            except Exception:  # the connection is lost, which is told otherwise
                pass
            else:
                self._sure_until = sent + SURE_S
            if not self._kept and not self._fills:
                self._wanted.clear()
            await asyncio.sleep(PULSE_S)

    # --- what is kept -------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Kept | None:
        """An answer that is fresh, or None."""
        held = self._kept.get(name)
        if held is None:
            return None
        now = self._time()
        if now >= held.until:
            self.drop(name)
            return None
        if now >= self._sure_until:
            return None
        self._kept.move_to_end(name)
        return held.answer

    def fill(self, name: str, key: str, partition: int) -> "Fill | None":
        """The very next command on the partition's lane reads `key`: what it finds may be kept. None if it may not."""
        if not self._tracks:
            return None
        fill = Fill(self, name, key.encode(), self._time())
        self._fills[name] = fill
        self._names[fill.key] = name
        self._wanted.set()
        self._store.lane(partition).call_then(_ignore, "CLIENT", "CACHING", "YES")
        return fill

    async def read(self, run: str, job: str) -> Kept | None:
        """A job's stored end from the server, kept from now on; None if there is none, or nothing can be kept."""
        await self.open()
        store = self._store
        partition = store.keys.partition(job)
        fill = self.fill(run, store.keys.header(job), partition)
        if fill is None:
            return None
        found: asyncio.Future[Kept | None] = self._loop.create_future()

        def then(reply: Any) -> None:
            kept = None if isinstance(reply, Exception) else store.calls.kept(reply)
            fill.end(kept)
            if not found.done():
                found.set_result(kept)

        store.calls.kept_soon(then, run)
        store.lane(partition).write_now()
        kept = await found or await store.calls.kept_surely(run)  # the slow road, and nothing is kept of it
        return kept if kept.word == "DONE" else None

    def end(self, fill: "Fill", kept: Kept | None) -> None:
        """What a read has found; nothing is kept of it if the key has changed since, or is about to."""
        if self._fills.get(fill.name) is not fill:
            return
        del self._fills[fill.name]
        if kept is None or kept.word != "DONE" or kept.left_ms == 0 or len(kept.payload) > LARGEST:
            if fill.name not in self._kept:
                self._names.pop(fill.key, None)
            return
        until = math.inf if kept.left_ms < 0 else fill.began + kept.left_ms / 1000
        self._remove(fill.name)
        self._kept[fill.name] = _Held(kept, until, fill.key)
        self._names[fill.key] = fill.name
        self._bytes += len(kept.payload)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._remove(next(iter(self._kept)))

    def drop(self, name: str) -> None:
        """Forget one, and keep nothing of what is being read of it."""
        self._fills.pop(name, None)
        self._remove(name)

    def clear(self) -> None:
        """Forget all: what has changed is not known any more."""
        self._kept.clear()
        self._fills.clear()
        self._names.clear()
        self._bytes = 0
        self._sure_until = 0.0

    def _remove(self, name: str) -> None:
        held = self._kept.pop(name, None)
        if held is not None:
            self._bytes -= len(held.answer.payload)
            self._names.pop(held.key, None)

    def _pushed(self, push: list[Any]) -> None:
        if push[0] != b"invalidate":
            return
        if push[1] is None:  # the whole database was flushed
            self.clear()
            self._sure_until = self._time()
            return
        for key in push[1]:
            name = self._names.pop(key, None)
            if name is not None:
                self.drop(name)


class Fill:
    """One read that may bring an answer to keep."""

    __slots__ = ("_near", "began", "key", "name")

    def __init__(self, near: Near, name: str, key: bytes, began: float) -> None:
        self._near = near
        self.name, self.key, self.began = name, key, began

    def end(self, kept: Kept | None) -> None:
        """The reply: what it says, or None if it was an error."""
        self._near.end(self, kept)


class _Held(NamedTuple):
    answer: Kept
    until: float
    key: bytes


def _ignore(reply: Any) -> None:
    """Of a command whose reply says nothing."""
