"""Who in this process awaits the end of which run, and how they hear of it.

First listen, then ask: a waiter is noted here before the store is asked, so no announcement can fall between. Hints may
be lost; whoever waits asks the store again after a reconnect and at a slow interval.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from meshdata.engine.hints import Hint
from meshdata.errors import MeshError, StoreUnavailable
from meshdata.store.messages import Outcome

logger = logging.getLogger(__name__)


AT_ONCE: Final = 100
"""How many runs are asked about together."""


class Waiters:
    """The futures of this process's callers, by run."""

    def __init__(self, ask: Callable[[str], Awaitable[Outcome]]) -> None:
        self._ask = ask
        self._futures: dict[str, set[asyncio.Future[Outcome]]] = {}
        self._looking: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._futures)

    def note(self, run: str) -> asyncio.Future[Outcome]:
        """A future of the run's end. Give it back by `forget`."""
        future = asyncio.get_running_loop().create_future()
        self._futures.setdefault(run, set()).add(future)
        return future

    def keep(self, run: str) -> asyncio.Future[Outcome]:
        """A future of the run's end that lives until then, whether somebody awaits it yet or not."""
        future = self.note(run)
        future.add_done_callback(lambda _: self.forget(run, future))
        return future

    def has(self, run: str) -> bool:
        """Whether somebody here awaits the run."""
        return run in self._futures

    def forget(self, run: str, future: asyncio.Future[Outcome]) -> None:
        """The caller is gone, with its answer or without."""
        futures = self._futures.get(run)
        if futures is not None:
            futures.discard(future)
            if not futures:
                del self._futures[run]

    def heard(self, hint: Hint) -> None:
        """A run is over. A result too large for a hint is fetched."""
        if hint.run not in self._futures:
            return
        if hint.payload is None or hint.word == "gone":
            # What is gone may have been begun anew by then, by one of those who wait.
            task = asyncio.create_task(self._look_once(hint.run))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        else:
            self._settle(hint.run, Outcome("DONE", hint.word, hint.payload))

    async def reconcile(self) -> None:
        """Ask the store about every run somebody awaits: hints may have been lost."""
        runs = list(self._futures)
        for at in range(0, len(runs), AT_ONCE):
            await asyncio.gather(*map(self._look_once, runs[at : at + AT_ONCE]))

    async def _look_once(self, run: str) -> None:
        with suppress(MeshError):  # the next reconciliation asks again
            await self._look(run)

    async def _look(self, run: str) -> None:
        outcome = await self._ask(run)
        if outcome.word != "PENDING":
            self._settle(run, outcome)

    def close(self) -> None:
        """The mesh closes: whoever still waits is told."""
        for futures in list(self._futures.values()):
            for future in list(futures):
                if not future.done():
                    future.set_exception(StoreUnavailable("the mesh was closed while the result was awaited"))
                    future.exception()  # seen: a handle nobody awaits is no news
        self._futures.clear()

    def _settle(self, run: str, outcome: Outcome) -> None:
        for future in list(self._futures.get(run, ())):
            if not future.done():
                future.set_result(outcome)
