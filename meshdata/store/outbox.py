"""Carries messages between partitions: from the outbox of one to the script of another that applies them.

Messages between two partitions are numbered and applied in that order, each once, so any process may carry them, any
number of processes at a time, and die in between.
"""

import asyncio
import logging
from contextvars import Context
from typing import Any, Final, Protocol

from meshdata.errors import StoreError

logger = logging.getLogger(__name__)

BATCH: Final = 100


class Carrying(Protocol):
    """What the outbox asks of the store."""

    async def outgoing(self, source: int, target: int, count: int) -> list[bytes]: ...
    async def carry(self, source: int, target: int, messages: list[bytes]) -> None: ...


class Outbox:
    """The relays of one process, at most one for each two partitions."""

    def __init__(self, store: Carrying) -> None:
        self._store = store
        self._relays: dict[tuple[int, int], asyncio.Task[Any]] = {}
        self._again: set[tuple[int, int]] = set()

    def relay(self, source: int, target: int) -> None:
        """Carry messages over in the background; calls while that is under way join it."""
        pair = (source, target)
        if pair in self._relays:
            self._again.add(pair)
            return
        # Not in the caller's context: a task that workflow code makes is the run's, and would end with it.
        task = asyncio.get_running_loop().create_task(
            self._relay(source, target), name=f"meshdata relay {source}>{target}", context=Context()
        )
        self._relays[pair] = task

    async def _relay(self, source: int, target: int) -> None:
        pair = (source, target)
        try:
            while True:
                self._again.discard(pair)
                messages = await self._store.outgoing(source, target, BATCH)
                if messages:
                    await self._store.carry(source, target, messages)
                elif pair not in self._again:
                    return
        except StoreError:
            # The messages stay where they are; every life sign looks for such and begins anew.
            logger.warning("relay interrupted", exc_info=True, extra={"source": source, "target": target})
        finally:
            self._relays.pop(pair, None)

    async def close(self) -> None:
        """Let relays under way end, and those that begin by what they carry."""
        while self._relays:
            await asyncio.gather(*self._relays.values(), return_exceptions=True)
