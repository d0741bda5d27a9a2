"""Reads the work streams of this process's topics and hands each message to whoever serves the topic.

One reader per partition, on a connection of its own that may block. It never takes more than the free slots; a message
it has taken stays with this process in the stream's pending list until a script consumes it, or until another process
puts it back because this one died.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from meshdata.engine.pace import PAUSED, Pace
from meshdata.errors import StoreError
from meshdata.store.messages import Asked, Claim
from meshdata.store.reader import GRACE_S, GroupsGone, Read, Reader
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 64

UNBLOCK_TRIES: Final = 100
"""How often a read that is on its way to the server is called back."""

UNBLOCK_AT_ONCE: Final = 5
"""How many of these calls come one upon the other."""

UNBLOCK_PAUSES_S: Final = (0.002, 0.05)
"""The first pause between two such calls; each is longer by half, up to the second."""


@dataclass(slots=True)
class Message:
    """One message: a run to begin (has a body) or go on with (has none), another's activity (has a position), a call
    without a job (has what is asked), or one that gives whoever is the first in line."""

    topic: str
    partition: int
    claim: Claim
    body: bytes | None
    position: str = ""
    ms: int = 0
    again: bool = False
    """It may have been handed over before: it was read before the connection broke, and is not consumed."""
    asked: Asked | None = None
    picks: bool = False
    """It names no run: it is for the first in line."""


Handler = Callable[[Message], None]
HasRoom = Callable[[str], bool]


class Router:
    """The readers of one process.

    Args:
        concurrency: how many messages it works on at once.
        rejoin: makes the streams' groups of a partition again.
        block_ms: how long one blocking read waits.
    """

    def __init__(
        self, store: Store, *, concurrency: int, rejoin: Callable[[int], Awaitable[None]], block_ms: int
    ) -> None:
        self._store = store
        self._concurrency = concurrency
        self._rejoin = rejoin
        self._block_ms = block_ms
        self._handlers: dict[str, Handler] = {}
        self._has_room: dict[str, HasRoom] = {}
        self._busy = 0
        self._free = asyncio.Event()
        self._free.set()
        self._served = asyncio.Event()
        self._readers: list[asyncio.Task[None]] = []
        self._open_readers: dict[int, Reader] = {}
        self._reading: dict[int, Sequence[str]] = {}  # partition -> the topics of the blocking read under way
        self._calling_back: set[asyncio.Task[None]] = set()
        self.pace: Pace[Message] = Pace(self._deliver, self._send_back, self._rates_changed)
        self._closing = False
        self._opened_at = 0.0
        self._last_read: dict[int, float] = {}

    @property
    def topics(self) -> list[str]:
        """What this process serves."""
        return list(self._handlers)

    @property
    def busy(self) -> int:
        """Slots taken."""
        return self._busy

    @property
    def concurrency(self) -> int:
        """Slots there are."""
        return self._concurrency

    @property
    def is_full(self) -> bool:
        """Whether no slot is free."""
        return self._busy >= self._concurrency

    @property
    def reads(self) -> bool:
        """Whether every reader came round lately, or has no slot to read for."""
        if self.is_full or not any(map(self._takes, self._handlers)):
            return True
        now = asyncio.get_running_loop().time()
        ages = [now - self._last_read.get(p, self._opened_at) for p in range(self._store.partitions)]
        return max(ages) < self._block_ms / 1000 + GRACE_S

    def open(self) -> None:
        """Begin to read."""
        self._opened_at = asyncio.get_running_loop().time()
        for partition in range(self._store.partitions):
            task = asyncio.create_task(self._read(partition), name=f"meshdata reader {partition}")
            self._readers.append(task)

    async def close(self) -> None:
        """Read no more. What was read and not consumed stays pending."""
        self._closing = True
        self.pace.close()
        self._served.set()
        self._free.set()
        tasks = [*self._readers, *self._calling_back]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, topic: str, handler: Handler, has_room: HasRoom) -> None:
        """Hand messages of a topic to `handler` from now on, while it has room for them.

        The topic's groups exist already (`Store.join`).
        """
        self._has_room[topic] = has_room
        self._free.set()
        new = topic not in self._handlers
        self._handlers[topic] = handler
        self._served.set()
        if new:
            for partition in list(self._reading):
                self._call_back(partition)  # a read under way does not know the new stream

    def take(self) -> None:
        """A slot is in use."""
        self._busy += 1
        if self._busy >= self._concurrency:
            self._free.clear()

    def release(self) -> None:
        """A slot is free again."""
        self._busy -= 1
        if self._busy < self._concurrency:
            self._free.set()

    def has_room_again(self) -> None:
        """A topic that was full is not any more: reads under way may have left it out."""
        if not self.is_full:
            self._free.set()
        for partition, topics in list(self._reading.items()):
            if self._leaves_out(topics):
                self._call_back(partition)

    def _takes(self, topic: str) -> bool:
        """Whether a topic should be read just now."""
        return self._has_room[topic](topic) and self.pace.takes(topic)

    def _leaves_out(self, topics: Sequence[str]) -> bool:
        known = set(topics)
        return any(topic not in known and self._takes(topic) for topic in self._handlers)

    def _rates_changed(self) -> None:
        """Some topics may be read again, or must not be any more."""
        self.has_room_again()
        for partition, topics in list(self._reading.items()):
            if any(self.pace.rate(topic) == PAUSED for topic in topics):
                self._call_back(partition)

    def _call_back(self, partition: int) -> None:
        task = asyncio.create_task(self._until_back(partition, self._reading[partition]))
        self._calling_back.add(task)
        task.add_done_callback(self._calling_back.discard)

    async def _until_back(self, partition: int, topics: Sequence[str]) -> None:
        """End one blocking read, once it has begun: the two commands go by different connections."""
        pause, longest = UNBLOCK_PAUSES_S
        for attempt in range(UNBLOCK_TRIES):
            try:
                if self._reading.get(partition) is not topics or await self._open_readers[partition].unblock():
                    return
            except (KeyError, StoreError):
                return  # the reader is gone, and the next one begins with all topics
            if attempt < UNBLOCK_AT_ONCE:
                await asyncio.sleep(0)  # as far as a clock that stands still lets it come
                continue
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self, partition: int) -> None:
        pause = 0.02
        cut = False
        while not self._closing:
            reader: Reader | None = None
            try:
                await self._served.wait()
                reader = self._open_readers[partition] = await Reader.open(self._store, partition)
                if cut:
                    await self._read_unanswered(reader)
                    cut = False
                while not self._closing:
                    await self._free.wait()
                    await self._read_once(reader)
                    pause = 0.02
            except GroupsGone:
                await self._join_again(partition)
            except StoreError as error:
                cut = True
                logger.warning("reading interrupted: %s", error, extra={"partition": partition})
            except Exception:
                logger.exception("reading failed", extra={"partition": partition})
            finally:
                self._open_readers.pop(partition, None)
                if reader is not None:
                    await reader.close()
            if not self._closing:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    async def _join_again(self, partition: int) -> None:
        """The groups are gone (a restart that kept nothing): make them again."""
        try:
            await self._rejoin(partition)
        except StoreError:
            logger.warning("joining again failed", exc_info=True, extra={"partition": partition})

    async def _read_unanswered(self, reader: Reader) -> None:
        """Hand over what the last connection may have gone away with.

        Such messages are this process's, and nobody else comes for them as long as it lives. Those that did arrive are
        handed over again; the handler knows them.
        """
        for topic, stream, number, fields in await reader.pending(self.topics):
            self._hand_over(topic, reader.partition, stream, number, fields, again=True)

    async def _read_once(self, reader: Reader) -> None:
        topics = [topic for topic in self._handlers if self._takes(topic)]
        free = self._concurrency - self._busy
        if not topics or free <= 0:
            self._free.clear()  # until a slot is released
            return
        free = max(1, free // self._store.partitions)  # the readers of all partitions share the slots
        # COUNT is per stream, and a topic has two.
        if len(topics) * 2 > free:
            found = await self._read_in_turn(reader, topics, max(1, free // 2))
        else:
            count = min(MOST_AT_ONCE, free // (2 * len(topics)))
            if not self.pace.is_free and any(map(self.pace.rate, topics)):
                count = 1  # what comes too early would only be held back
            found = await self._wait_for_work(reader, topics, count)
        for topic, stream, number, fields in found:
            self._hand_over(topic, reader.partition, stream, number, fields)
        self._last_read[reader.partition] = asyncio.get_running_loop().time()

    async def _read_in_turn(self, reader: Reader, topics: Sequence[str], some: int) -> list[Read]:
        """There are more streams than free slots: ask some topics at a time, and wait for all of them if none has work.

        A blocking read comes back with the first message, so that it takes more than one only if several come at once.
        """
        for at in range(0, len(topics), some):
            turn = topics[at : at + some]
            self._rotate(turn)
            found = await reader.read(turn, count=1)
            if found:
                return found
        return await self._wait_for_work(reader, topics, 1)

    async def _wait_for_work(self, reader: Reader, topics: Sequence[str], count: int) -> list[Read]:
        if self._leaves_out(topics):
            return []  # one more is served, or has room, since these were chosen
        self._reading[reader.partition] = topics
        try:
            return await reader.read(topics, count=count, block_ms=self._block_ms)
        finally:
            del self._reading[reader.partition]

    def _rotate(self, topics: Sequence[str]) -> None:
        for topic in topics:
            self._handlers[topic] = self._handlers.pop(topic)

    def _hand_over(
        self,
        topic: str,
        partition: int,
        stream: str,
        number: bytes,
        data: dict[bytes, bytes],
        *,
        again: bool = False,
    ) -> None:
        run = data.get(b"r") or data.get(b"a") or data.get(b"x") or data.get(b"k")
        if run is None or topic not in self._handlers:
            logger.error("a message that cannot be read was left pending", extra={"stream": stream})
            return
        claim = Claim(run.decode(), data.get(b"f", b"").decode(), stream, number)
        position, ms = data.get(b"p", b"").decode(), int(data.get(b"t", 0))
        message = Message(topic, partition, claim, data.get(b"b"), position, ms, again, _asked(data), b"k" in data)
        if again and self.pace.holds(topic, lambda held: held.claim == claim):
            return
        self.pace.pass_on(topic, message)

    def _deliver(self, message: Message) -> None:
        try:
            self._handlers[message.topic](message)
        except Exception:
            # One message must not cost the others of its batch; it stays pending, and goes to whoever takes over.
            logger.exception("a message could not be handed over", extra={"run": message.claim.run})

    def _send_back(self, message: Message) -> bool:
        """Queue a run anew that was read of a paused topic. An activity for another's run, or a call, stays in hand."""
        if message.position or message.asked is not None or message.picks:
            return False
        task = asyncio.create_task(self._queue_anew(message.claim), name="meshdata send back")
        self._calling_back.add(task)
        task.add_done_callback(self._calling_back.discard)
        return True

    async def _queue_anew(self, claim: Claim) -> None:
        try:
            await self._store.suspend(claim, seen=0, how="queued")
        except StoreError:  # it stays pending, and goes to whoever takes over
            logger.warning("a message of a paused topic could not be sent back", extra={"run": claim.run})


def _asked(data: dict[bytes, bytes]) -> Asked | None:
    call = data.get(b"x")
    if call is None:
        return None
    entry, waiter = data.get(b"e", b"").decode(), data.get(b"w", b"").decode()
    return Asked(call.decode(), waiter, entry, data.get(b"o", b""), int(data.get(b"d") or 0))
