"""This process's life sign, and what it learns by giving it: whose leases lapsed, which of its runs have news.

A process that serves topics gives a sign three times per period. A sign older than one period is a dead process:
whoever notices first puts back what it held. A process that finds its own sign gone was taken for dead; what it ran
belongs to others by now, and its fences no longer fit.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from meshdata.errors import MeshError, failure_payload
from meshdata.store.messages import Claim
from meshdata.store.store import Store
from meshdata.values import to_json

logger = logging.getLogger(__name__)

TAKE_OVER_BATCH: Final = 100
MAX_DEATHS: Final = 5
"""How many processes a run may take down with it before it goes to the dead letters."""

UNDELIVERABLE: Final = 999


class Undeliverable(MeshError):
    """Every process that ran it died."""

    code = UNDELIVERABLE


class Runs(Protocol):
    """What the life sign needs to know of the runs this process holds."""

    def late(self, partition: int) -> Sequence[Claim]: ...
    def leased(self, claims: Sequence[Claim]) -> None: ...
    def holds(self, run: str) -> bool: ...
    def drop(self, claim: Claim) -> None: ...
    def drop_all(self, partition: int) -> None: ...
    def look(self, run: str) -> None: ...
    async def verify(self, partition: int) -> None: ...


class Leases:
    """Gives the life sign of one process and looks after those of the others."""

    def __init__(self, store: Store, runs: Runs, *, period_s: float, topics: Callable[[], Sequence[str]]) -> None:
        self._store = store
        self._runs = runs
        self._period_s = period_s
        self._topics = topics
        self._task: asyncio.Task[None] | None = None
        self._in_doubt: set[int] = set()
        self.last_beat = 0.0
        error = Undeliverable(f"each of {MAX_DEATHS} processes that ran it died; it was moved to the dead letters")
        self._end = to_json(failure_payload(error, code=UNDELIVERABLE, attempts=MAX_DEATHS), argument="error")
        self._problem = str(error)

    @property
    def ttl_ms(self) -> int:
        """How long one sign holds."""
        return int(self._period_s * 1000)

    def open(self) -> None:
        """Begin to give signs. To join was the first."""
        self.last_beat = asyncio.get_running_loop().time()
        for partition in range(self._store.partitions):
            self._store.connections.lane(partition).on_connect.append(partial(self._reconnected, partition))
        self._task = asyncio.create_task(self._beat_on(), name="meshdata life sign")

    async def close(self) -> None:
        """Give no more signs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _reconnected(self, partition: int) -> None:
        self._in_doubt.add(partition)

    async def join(self, partition: int, topics: Sequence[str]) -> None:
        """Begin to serve topics in a partition."""
        await self._store.join(partition, topics, ttl_ms=self.ttl_ms)

    async def leave(self) -> None:
        """Stop serving: what this process still holds goes to others at once, its streams go if nobody serves them."""
        for partition in range(self._store.partitions):
            await self._put_back(partition, self._store.process, deaths=None)
            await self._store.leave(partition, self._topics())

    async def _beat_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._period_s / 3)
            for partition in range(self._store.partitions):
                try:
                    await self.beat(partition)
                    self.last_beat = loop.time()
                except MeshError:
                    logger.warning("life sign failed", exc_info=True, extra={"partition": partition})

    async def beat(self, partition: int) -> None:
        """One sign, and what follows from its answer."""
        if partition in self._in_doubt:
            await self._runs.verify(partition)
            self._in_doubt.discard(partition)
        late = self._runs.late(partition)
        beat = await self._store.beat(partition, ttl_ms=self.ttl_ms, late=late)
        if not beat.alive:
            logger.warning("this process was taken for dead; its runs went to others", extra={"partition": partition})
            self._runs.drop_all(partition)
            # A read that was under way may have been answered after the others had looked.
            await self._put_back(partition, self._store.process, deaths=None)
            await self.join(partition, self._topics())
        self._runs.leased([claim for claim in late if claim.run not in beat.lost])
        for claim in late:
            if claim.run in beat.lost:
                self._runs.drop(claim)
        unknown = [run for run in beat.news if not self._runs.holds(run)]
        for run in beat.news:
            if self._runs.holds(run):
                self._runs.look(run)
        if unknown:
            await self._store.forget_news(partition, unknown)
        for target in beat.relay:
            self._store.relay(partition, target)
        for dead in beat.dead:
            if dead != self._store.process:
                count = await self._put_back(partition, dead, deaths=MAX_DEATHS)
                if count:
                    logger.warning("runs of a dead process were put back", extra={"dead": dead, "count": count})

    async def _put_back(self, partition: int, process: str, *, deaths: int | None) -> int:
        word, total = "MORE", 0
        while word == "MORE":
            word, count = await self._store.take_over(
                partition, process, limit=TAKE_OVER_BATCH, deaths=deaths, payload=self._end, problem=self._problem
            )
            total += count
        return total
