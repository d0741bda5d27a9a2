"""Fires due timers: one poller per partition, asleep until the next is due or a hint tells of an earlier one.

Any number of processes may poll; a timer leaves the set in the script that carries it out, so it fires once. Whoever
fires tells the others when the next is due, which keeps them from asking. Schedules that are due are handed on: when
they are due again is not a script's to say. If nothing comes of that here, another process is handed them.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from meshdata.errors import MeshError
from meshdata.store.schedules import DueSchedule
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

OTHERS_LATER_S: Final = (0.005, 0.02)
"""Whoever fired last goes on to fire; the others come this much later, and mostly find nothing left to do."""

NO_TIME_S: Final = 1e-6
"""A clock that a test holds counts whole microseconds: of a moment between two it shows the one before, for ever."""


class Scheduler:
    """The timer pollers of one process.

    Args:
        look_s: a poller looks at least this often: a hint may be lost.
        on_due: decides about a schedule that is due, and has that carried out.
    """

    def __init__(
        self, store: Store, *, look_s: float, on_due: Callable[[DueSchedule], Coroutine[Any, Any, None]]
    ) -> None:
        self._store = store
        self._on_due = on_due
        self._deciding: set[asyncio.Task[None]] = set()
        self._look_s = look_s
        self._tasks: list[asyncio.Task[None]] = []
        self._due: list[float] = [0.0] * store.partitions
        self._sooner = [asyncio.Event() for _ in range(store.partitions)]

    async def open(self) -> None:
        """Begin to poll."""
        for partition in range(self._store.partitions):
            lane = self._store.connections.lane(partition)
            channel = self._store.keys.timer_channel(partition)
            await lane.subscribe(channel, partial(self._hinted, partition))
            task = asyncio.create_task(self._poll(partition), name=f"meshdata timers {partition}")
            self._tasks.append(task)

    async def close(self) -> None:
        """Poll no more; others will."""
        tasks = [*self._tasks, *self._deciding]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _decide(self, due: DueSchedule) -> None:
        try:
            await self._on_due(due)
        except Exception:
            logger.warning(
                "a schedule could not be started; it is tried again", exc_info=True, extra={"schedule": due.name}
            )

    def _hinted(self, partition: int, message: bytes) -> None:
        """A timer is the first one now ("<ms left>"), or somebody fired, and that is left ("<ms left> <process>")."""
        left, _, firer = message.decode().partition(" ")
        if firer == self._store.process:
            return
        due = asyncio.get_running_loop().time()
        if int(float(left)) < 0:
            due += self._look_s
        else:
            due += float(left) / 1000 + (random.uniform(*OTHERS_LATER_S) if firer else 0.0)
        sooner = due < self._due[partition]
        self._due[partition] = due
        if sooner:
            self._sooner[partition].set()

    async def _poll(self, partition: int) -> None:
        loop = asyncio.get_running_loop()
        event = self._sooner[partition]
        while True:
            # A hint that comes with the answer is newer than it: it must not be lost behind what the answer says.
            self._due[partition] = math.inf
            try:
                fired, left, schedules = await self._store.fire(partition)
            except MeshError:
                logger.warning("timers could not be read", exc_info=True, extra={"partition": partition})
                await asyncio.sleep(0.5)
                continue
            for due in schedules:
                task = asyncio.create_task(self._decide(due), name=f"meshdata schedule {due.name}")
                self._deciding.add(task)
                task.add_done_callback(self._deciding.discard)
            if left == 0 and fired:
                continue
            wait = self._look_s if left is None else min(left / 1000, self._look_s)
            self._due[partition] = min(self._due[partition], loop.time() + wait)
            while (rest := self._due[partition] - loop.time()) > NO_TIME_S:
                event.clear()
                try:
                    # Not asyncio.wait_for: that of Python 3.11 forgets a cancellation that comes with the event.
                    async with asyncio.timeout(rest):
                        await event.wait()
                except TimeoutError:
                    continue
                if self._store.now_ms() is not None:
                    break
