"""Calls without a job, from the caller's side: queue one, or ask for an answer that is kept, and await what comes.

First listen, then ask: who awaits a call is noted before it is queued, or in the very moment in which the store says
that it is under way, so that no hint can fall between. Who gives up takes the call back, so that nobody begins it
later.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from meshdata.engine.near import Near
from meshdata.engine.waiters import Waiters
from meshdata.errors import MeshTimeout, NotConnected, StoreError
from meshdata.store.calls import Ask, Kept, run_of
from meshdata.store.messages import Outcome
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

LIMITED: Final = Outcome("LIMITED", "", b"")
"""What is said to a call of a topic that has limits: these are of jobs, and it has to be one."""

SECONDS_TO_TAKE_BACK: Final = 5.0
"""How long a caller who gave up waits to learn what became of the call."""


class Calls:
    """The calls of one process."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Calls under way are awaited no longer."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _mint(self) -> str:
        self._count += 1
        return f"{self._store.process}.{self._count}"

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- calls whose answer is not kept -------------------------------------------------------------------------------

    async def once(self, topic: str, body: bytes, *, timeout_s: float | None, stay: bool) -> Outcome:
        """Have a function called, and await its answer.

        Args:
            stay: a call nobody has begun in time is begun later all the same.

        Returns:
            Its end; LIMITED, and it was not called, if the topic has limits.

        Raises:
            NotConnected, MeshTimeout: no answer in time.
        """
        store = self._store
        call = self._mint()
        partition = store.keys.partition(call)
        run = run_of(partition, call)
        wait_ms = "" if timeout_s is None or stay else int(timeout_s * 1000)
        sent = _Sent()
        future = self._waiters.note(run)

        def then(reply: Any) -> None:
            if isinstance(reply, Exception):
                self._spawn(self._call_again(topic, call, body, wait_ms, sent, future))
            else:
                sent.known(reply[3])
                if reply[0] == b"LIMITED" and not future.done():
                    future.set_result(LIMITED)

        store.calls.call_soon(then, topic, call, body, wait_ms)
        store.lane(partition).write_now()
        return await self._await(run, topic, future, sent, timeout_s, timeout_s, stay)

    async def _call_again(
        self, topic: str, call: str, body: bytes, wait_ms: str | int, sent: "_Sent",
        future: "asyncio.Future[Outcome]",
    ) -> None:  # fmt: skip
        """The server forgot the script, or the connection broke: go the slow road, and queue the call once."""
        try:
            outcome, message = await self._store.calls.call_again(topic, call, body, wait_ms)
            sent.known(message)
        except StoreError as error:
            sent.known(b"")
            if not future.done():
                future.set_exception(error)
            return
        if outcome.word in ("DONE", "LIMITED") and not future.done():
            future.set_result(outcome)

    # --- calls whose answer is kept -----------------------------------------------------------------------------------

    async def ask(self, ask: Ask, *, timeout_s: float | None, stay: bool, near: Near | None = None) -> Kept:
        """The answer an entry keeps; else that of the one call under way for it, which is begun if there is none.

        Args:
            near: keeps an answer that is fresh in this process too.

        Raises:
            NotConnected, MeshTimeout: no answer in time.
        """
        store = self._store
        loop = asyncio.get_running_loop()
        began = loop.time()
        ask.call = self._mint()
        ask.wait_ms = "" if timeout_s is None or stay else int(timeout_s * 1000)
        partition = store.keys.partition(ask.entry)
        said: asyncio.Future[tuple[Kept, asyncio.Future[Outcome] | None] | None] = loop.create_future()

        def then(reply: Any) -> None:
            if said.done():  # the caller was cancelled
                return
            if isinstance(reply, Exception):
                said.set_result(None)
                if fill is not None:
                    fill.end(None)
                return
            kept = store.calls.asked(reply)
            if fill is not None:
                fill.end(kept)
            run = run_of(partition, kept.call, ask.entry)
            said.set_result((kept, self._waiters.note(run) if kept.word == "PENDING" else None))

        fill = None if near is None else near.fill(ask.entry, store.keys.entry(ask.entry), partition)
        store.calls.ask_soon(then, ask)
        store.lane(partition).write_now()
        kept, future = await said or await self._ask_again(ask, partition)
        if future is None:
            return kept
        left = None if timeout_s is None else max(0.0, timeout_s - (loop.time() - began))
        run = run_of(partition, kept.call, ask.entry)
        outcome = await self._await(run, ask.topic, future, None, left, timeout_s, stay)
        return Kept("DONE", outcome.code, outcome.payload, 0, kept.call)

    async def _ask_again(self, ask: Ask, partition: int) -> "tuple[Kept, asyncio.Future[Outcome] | None]":
        """The slow road: the answer is read by a task, so that a hint may have come before it."""
        kept = await self._store.calls.ask(ask)
        if kept.word != "PENDING":
            return kept, None
        run = run_of(partition, kept.call, ask.entry)
        future = self._waiters.note(run)
        try:
            outcome = await self._store.calls.awaited(run)
        except BaseException:
            self._waiters.forget(run, future)
            raise
        if outcome.word == "DONE" and not future.done():
            future.set_result(outcome)
        return kept, future

    # --- the end of a wait --------------------------------------------------------------------------------------------

    async def _await(
        self, run: str, topic: str, future: "asyncio.Future[Outcome]", sent: "_Sent | None", left_s: float | None,
        timeout_s: float | None, stay: bool,
    ) -> Outcome:  # fmt: skip
        try:
            if left_s is None:
                return await future
            try:
                async with asyncio.timeout(left_s):
                    return await future
            except TimeoutError:
                pass
        except asyncio.CancelledError:
            self._waiters.forget(run, future)
            if not stay and not self._waiters.has(run):
                self._spawn(self._take_back_quietly(run, topic, sent))
            raise
        finally:
            self._waiters.forget(run, future)
        others = self._waiters.has(run)
        word = await self._take_back(run, topic, sent, stay=stay or others)
        raise _too_late(topic, word, timeout_s or 0.0, stay=stay, others=others)

    async def _take_back(self, run: str, topic: str, sent: "_Sent | None", *, stay: bool) -> str:
        try:
            async with asyncio.timeout(SECONDS_TO_TAKE_BACK):
                message = b"" if sent is None else await sent.message()
                return await self._store.calls.withdraw(run, topic, message, stay=stay)
        except (StoreError, TimeoutError):
            logger.warning("a call could not be taken back; it lapses by itself", exc_info=True, extra={"call": run})
            return "UNKNOWN"

    async def _take_back_quietly(self, run: str, topic: str, sent: "_Sent | None") -> None:
        await self._take_back(run, topic, sent, stay=False)


class _Sent:
    """The id of a call's message, once it is known; b"" if none was written."""

    __slots__ = ("_id", "_waiting")

    def __init__(self) -> None:
        self._id: bytes | None = None
        self._waiting: asyncio.Future[None] | None = None

    def known(self, id: bytes) -> None:
        self._id = id
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def message(self) -> bytes:
        if self._id is None:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._id or b""


def _too_late(topic: str, word: str, timeout_s: float, *, stay: bool, others: bool) -> MeshTimeout:
    fate = "it is done when one can" if stay else "others still await it" if others else "the call was taken back"
    if word == "NOBODY":
        return NotConnected(topic, timeout_s=timeout_s, fate=fate)
    waited = f"{topic!r} gave no answer within {timeout_s:g} s"
    if word == "WAITING":
        return MeshTimeout(
            f"{waited}: the processes that serve it were busy with other calls; {fate}", timeout_s=timeout_s
        )
    if word == "RUNNING":
        return MeshTimeout(
            f"{waited}; its function is still at work, and what it returns is not awaited", timeout_s=timeout_s
        )
    return MeshTimeout(waited, timeout_s=timeout_s)
