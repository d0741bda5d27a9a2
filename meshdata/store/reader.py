"""Reads work streams of one partition, on a connection of its own that may block."""

from collections.abc import Sequence
from typing import Any, Final

from meshdata.errors import ScriptFailed, StoreError, StoreUnavailable
from meshdata.store.keys import GROUP
from meshdata.store.lane import Lane, ReplyError
from meshdata.store.store import Store

GRACE_S: Final = 5.0
"""How much longer than its BLOCK a read may take before the connection is given up."""

PENDING_BATCH: Final = 100


class GroupsGone(StoreError):
    """A stream or its group is not there: Redis lost them. Join again."""


Read = tuple[str, str, bytes, dict[bytes, bytes]]
"""One message: its topic, its stream, its id, its fields."""


class Reader:
    """One blocking connection. Open it with `Reader.open`, close it with `close`."""

    def __init__(self, store: Store, partition: int, lane: Lane, client: int) -> None:
        self.partition = partition
        self._store = store
        self._lane = lane
        self._client = client

    @classmethod
    async def open(cls, store: Store, partition: int) -> "Reader":
        """Connect.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        lane = await store.connections.dedicated()
        try:
            return cls(store, partition, lane, await lane.call("CLIENT", "ID"))
        except ReplyError as error:
            await lane.close()
            raise StoreUnavailable(str(error)) from error

    async def read(self, topics: Sequence[str], *, count: int, block_ms: int | None = None) -> list[Read]:
        """New messages of these topics, at most `count` of each stream; continuations come first. Empty when none came.

        Args:
            block_ms: how long to wait for the first; None asks only for what is there.

        Raises:
            GroupsGone, StoreUnavailable, ScriptFailed.
        """
        keys = self._store.keys
        streams = [keys.continuations(self.partition, topic) for topic in topics]
        streams += [keys.work(self.partition, topic) for topic in topics]
        try:
            reply = await self._lane.call_within(
                (block_ms or 0) / 1000 + GRACE_S,
                "XREADGROUP", "GROUP", GROUP, self._store.process, "COUNT", count,
                *(() if block_ms is None else ("BLOCK", block_ms)), "STREAMS", *streams, *([">"] * len(streams)),
            )  # fmt: skip
        except ReplyError as error:
            if str(error).startswith("UNBLOCKED"):
                return []
            raise _translated(error) from error
        except TimeoutError as error:
            raise StoreUnavailable("a read of the work streams did not come back") from error
        return [
            (topics[streams.index(stream) % len(topics)], stream, number, _pairs(fields))
            for stream, messages in _by_stream(reply)
            for number, fields in messages
        ]

    async def pending(self, topics: list[str]) -> list[Read]:
        """Messages of these topics this process was given and has not consumed, oldest first, continuations first.

        Raises:
            GroupsGone, StoreUnavailable, ScriptFailed.
        """
        keys = self._store.keys
        found: list[Read] = []
        for spell in (keys.continuations, keys.work):
            for topic in topics:
                stream, after = spell(self.partition, topic), b"0"
                while messages := await self._pending_after(stream, after):
                    after = messages[-1][0]
                    found += [(topic, stream, number, _pairs(fields)) for number, fields in messages if fields]
        return found

    async def _pending_after(self, stream: str, after: bytes) -> list[Any]:
        try:
            reply = await self._lane.call(
                "XREADGROUP", "GROUP", GROUP, self._store.process, "COUNT", PENDING_BATCH, "STREAMS", stream, after
            )
        except ReplyError as error:
            raise _translated(error) from error
        return [message for _, messages in _by_stream(reply) for message in messages]

    async def unblock(self) -> bool:
        """Let a read under way come back now. False if none was: it may be on its way to the server."""
        return bool(await self._store.command(self.partition, "CLIENT", "UNBLOCK", self._client))

    async def close(self) -> None:
        """Disconnect."""
        await self._lane.close()


def _translated(error: ReplyError) -> StoreError:
    if str(error).startswith("NOGROUP"):
        return GroupsGone(str(error))
    return ScriptFailed(str(error), script="XREADGROUP")


def _pairs(fields: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


def _by_stream(reply: Any) -> list[tuple[str, list[Any]]]:
    """The reply of XREADGROUP, a map in RESP3 and a list of pairs in RESP2, in the order the streams were named."""
    if not reply:
        return []
    pairs = reply.items() if isinstance(reply, dict) else reply
    return [(stream.decode(), messages) for stream, messages in pairs]
