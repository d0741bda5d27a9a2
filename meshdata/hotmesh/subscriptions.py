"""Who hears of what an app's jobs come to: results and interim states, by topic.

What jobs publish is kept in Redis while there are subscribers, so that one that was away for a moment reads on where it
stood. What was lost all the same (it was away for too long, or very slow) is said in the log.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Final

import orjson

from meshdata.errors import InvalidOptions, StoreError
from meshdata.graph.stream import JobOutput
from meshdata.store.changes import ChangesLost, Entry, Follower
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

Callback = Callable[[str, JobOutput], Awaitable[None] | None]
"""Called with the topic a job publishes to, and how it stands."""

KEPT_MS: Final = 60_000
LOOK_S: Final = 5.0
PAUSE_S: Final = 0.5


class Subscriptions:
    """The subscriptions of one instance to one app."""

    def __init__(self, store: Store, app: str) -> None:
        self._store = store
        self._entity = f"out/{app}"
        self._exact: dict[str, list[Callback]] = {}
        self._patterns: dict[str, list[Callback]] = {}
        self._task: asyncio.Task[None] | None = None
        self._follower: Follower | None = None
        self._opening = asyncio.Lock()

    async def add(self, topic: str, callback: Callback, *, is_pattern: bool) -> None:
        """Have a callback called from now on. When this returns, nothing that is published is missed."""
        if not isinstance(topic, str) or not topic:
            raise InvalidOptions("a topic is a text with at least one character", argument="topic")
        if not callable(callback):
            raise InvalidOptions(f"{type(callback).__name__} cannot be called", argument="callback")
        known = self._patterns if is_pattern else self._exact
        known.setdefault(topic, []).append(callback)
        async with self._opening:
            if self._task is None:
                self._follower = await self._store.changes.follow(self._entity, keep_ms=KEPT_MS)
                await self._follower.begin()
                self._task = asyncio.create_task(self._hear(self._follower), name=f"meshdata {self._entity}")

    def remove(self, topic: str, *, is_pattern: bool) -> None:
        """Call nobody any more for a topic or pattern."""
        (self._patterns if is_pattern else self._exact).pop(topic, None)

    async def close(self) -> None:
        """Hear no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    async def _hear(self, follower: Follower) -> None:
        while True:
            try:
                entries = await follower.read()
                for entry in entries:
                    await self._tell(entry)
                if not entries:
                    await follower.wait(LOOK_S)
            except ChangesLost as lost:
                logger.warning("results may have been missed: %s", lost, extra={"app": self._entity})
                await self._begin_again(follower)
            except StoreError:
                if follower.closed:
                    return
                await asyncio.sleep(PAUSE_S)

    async def _begin_again(self, follower: Follower) -> None:
        try:
            await follower.begin()
        except StoreError:
            await asyncio.sleep(PAUSE_S)

    async def _tell(self, entry: Entry) -> None:
        if "o" not in entry.after:
            return
        topic, output = entry.after["t"].decode(), entry.after["o"]
        channel = f"{topic}.{entry.id}"
        wanted = [*self._exact.get(channel, ()), *self._exact.get(topic, ())]
        for pattern, callbacks in self._patterns.items():
            if fnmatchcase(channel, pattern):
                wanted += callbacks
        for callback in wanted:
            try:
                found = callback(topic, output_of(output))
                if inspect.isawaitable(found):
                    await found
            except Exception:
                logger.exception("a subscriber raised", extra={"topic": channel})


def output_of(payload: bytes) -> JobOutput:
    """How a job stands, as it crosses Redis."""
    packed = orjson.loads(payload)
    return JobOutput(packed.get("metadata", {}), packed.get("data"))
