"""The engine's front: start, await, signal, hook, interrupt and flush jobs; hear hints and hand them on.

It speaks in jobs, runs and bytes; entities, functions and their types live above.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from meshdata.engine.calls import Calls
from meshdata.engine.hints import Hint, parse
from meshdata.engine.waiters import Waiters
from meshdata.errors import MeshTimeout
from meshdata.store.messages import Outcome, StartJob
from meshdata.store.store import Store

logger = logging.getLogger(__name__)


class Engine:
    """One process's part in a namespace, as a caller.

    Args:
        reconcile_s: how often it asks about the jobs it awaits, in case a hint was lost.
    """

    def __init__(self, store: Store, *, reconcile_s: float) -> None:
        self.store = store
        self.waiters = Waiters(self._ask)
        self.calls = Calls(store, self.waiters)
        self.on_run_hint: Callable[[Hint], None] | None = None
        self._reconcile_s = reconcile_s
        self._reconciler: asyncio.Task[None] | None = None
        self._look_soon = asyncio.Event()

    async def open(self) -> None:
        """Listen for hints; look again after every reconnect."""
        store = self.store
        for partition in range(store.partitions):
            lane = store.connections.lane(partition)
            await lane.subscribe(store.keys.hint_channel(partition, store.process), self.hear)
            lane.on_connect.append(self._reconnected)
        self._reconciler = asyncio.create_task(self._reconcile(), name="meshdata reconcile")

    async def close(self) -> None:
        """Stop listening."""
        self.waiters.close()
        await self.calls.close()
        if self._reconciler is not None:
            self._reconciler.cancel()
            await asyncio.gather(self._reconciler, return_exceptions=True)

    def hear(self, message: bytes) -> None:
        """A hint arrived."""
        hint = parse(message)
        if hint.kind == "d":
            self.waiters.heard(hint)
        elif self.on_run_hint is not None:
            self.on_run_hint(hint)

    async def _reconnected(self) -> None:
        self._look_soon.set()

    async def _reconcile(self) -> None:
        while True:
            try:
                # Not asyncio.wait_for: that of Python 3.11 forgets a cancellation that comes with the event.
                async with asyncio.timeout(self._reconcile_s):
                    await self._look_soon.wait()
            except TimeoutError:
                pass
            self._look_soon.clear()
            if len(self.waiters):
                await self.waiters.reconcile()

    async def _ask(self, run: str) -> Outcome:
        if run.startswith("x "):
            return await self.store.calls.awaited(run)
        return await self.store.result(run, waiter=self.store.process)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def run(
        self, start: StartJob, *, timeout_s: float | None, send: Callable[[str], Awaitable[Outcome]] | None = None
    ) -> Outcome:
        """Start a job, or join the one there, and await its end.

        Args:
            send: starts it in another way, given the process that is to be told of its end.

        Raises:
            MeshTimeout: it did not end in time; it goes on all the same.
        """
        run = f"0 {start.job}"
        future = self.waiters.note(run)
        try:
            if send is None:
                outcome = await self.store.start_job(start, waiter=self.store.process)
            else:
                outcome = await send(self.store.process)
            if outcome.word in ("DONE", "EXISTS"):
                return outcome
            if not _heard_of_another(start, future):
                return await self._await(run, future, timeout_s)
        finally:
            self.waiters.forget(run, future)
        return await self.outcome(run, timeout_s=timeout_s)

    async def begin(self, start: StartJob) -> "asyncio.Future[Outcome]":
        """Start a job, or join the one there, and hear of its end whenever that is: it may be kept no longer."""
        run = f"0 {start.job}"
        future = self.waiters.keep(run)
        try:
            outcome = await self.store.start_job(start, waiter=self.store.process)
            if _heard_of_another(start, future):
                future = self.waiters.keep(run)
                outcome = await self._ask(run)
        except BaseException:
            future.cancel()
            raise
        if outcome.word not in ("CREATED", "PENDING") and not future.done():
            future.set_result(outcome)
        return future

    async def heard(self, run: str, future: "asyncio.Future[Outcome]", *, timeout_s: float | None) -> Outcome:
        """Await the end of a run that `begin` began.

        Raises:
            MeshTimeout: it did not end in time.
        """
        return await self._await(run, asyncio.shield(future), timeout_s)

    async def outcome(self, run: str, *, timeout_s: float | None) -> Outcome:
        """Await the end of a run; NOTFOUND at once if there is none.

        Raises:
            MeshTimeout: it did not end in time.
        """
        future = self.waiters.note(run)
        try:
            outcome = await self._ask(run)
            if outcome.word != "PENDING":
                return outcome
            return await self._await(run, future, timeout_s)
        finally:
            self.waiters.forget(run, future)

    async def _await(self, run: str, future: asyncio.Future[Outcome], timeout_s: float | None) -> Outcome:
        if timeout_s is None:
            return await future
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            job = run.partition(" ")[2]
            raise MeshTimeout(
                f"{job} did not end within {timeout_s:g} s; it goes on, and its result can be awaited by its id. "
                "If it never starts, no process serves it",
                job_id=job,
                timeout_s=timeout_s,
            ) from None


def _heard_of_another(start: StartJob, future: "asyncio.Future[Outcome]") -> bool:
    """Whether an end was heard of that may be the one of the job which this start has taken away and begun anew."""
    return start.policy != "attach" and future.done()
