"""Plain workflow functions: each runs in a thread, and the run's main task does for it what it asks for.

The thread is no second task of the run: of the two, one waits for the other at any time. The thread hands a coroutine
to the main task and waits for what comes of it; the main task awaits it as an async function would, so that places of
calls, the order of outcomes, cancelling and time limits are what they are there. While the thread computes, no outcome
is delivered.

A thread that waits cannot be dropped like a coroutine. When its run is suspended its verb raises `Suspended`, the
function unwinds, and the run is replayed in another thread when it goes on. That is also how a bounded number of
threads serves any number of waiting runs: a run that finds no thread has another one, that only waits, suspended.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future as Answer
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, Final, TypeVar

from meshdata.errors import NotInWorkflow, Suspended, UsageError
from meshdata.workflow.context import running
from meshdata.workflow.function import Function, contained
from meshdata.workflow.runner import Run

R = TypeVar("R")

THREADS: Final = 32
"""How many plain workflow functions of a process are in a thread at once, those included that wait in one."""

LOOK_AGAIN_S: Final = 0.05
"""How often a run that waits for a thread looks for another one that could give up its own."""

IS_OPEN_S: Final = 5.0
"""How often a waiting thread looks whether its event loop is still there."""

_bridge: ContextVar["Bridge | None"] = ContextVar("meshdata_bridge", default=None)


def ask(verb: str, coroutine: Coroutine[Any, Any, R]) -> R:
    """Have the main task await something, and wait for what comes of it; from the thread of a workflow function.

    Raises:
        UsageError: the function is a coroutine function, which awaits; NotInWorkflow: it is none of a workflow.
    """
    bridge = _bridge.get()
    if bridge is None:
        coroutine.close()
        if running() is None:
            raise NotInWorkflow(verb)
        raise UsageError(f"workflow.sync.{verb} would block the event loop; an async function awaits workflow.{verb}")
    return bridge.ask(coroutine)


class Threads:
    """The threads of a process's plain workflow functions.

    Args:
        suspend: begins to suspend a run that only waits.
    """

    def __init__(self, suspend: Callable[[Run], object], *, limit: int = THREADS) -> None:
        self._loop = asyncio.get_running_loop()
        self._suspend = suspend
        self._limit = limit
        self._pool: ThreadPoolExecutor | None = None
        self._taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._waiting: dict[Run, None] = {}  # runs whose thread waits, the first to wait in front
        self._look: asyncio.TimerHandle | None = None

    async def call(self, run: Run, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run a plain function as the main function of a run; what the run's main task does from then on."""
        run.begin_computing()
        try:
            await self._enter()
        finally:
            run.end_computing()
        bridge = Bridge(run, self)
        result = await bridge.serve(partial(contained, function.fn, *args, **kwargs))
        return await result if inspect.iscoroutine(result) else result

    async def _enter(self) -> None:
        """Take a thread, when there is one."""
        if self._taken < self._limit:
            self._taken += 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(turn)
        self._make_room()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """A thread has come to its end."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1

    def submit(self, context: Context, fn: Callable[[], Any]) -> "Answer[Any]":
        """Begin in a thread; the place for it is taken."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._limit, thread_name_prefix="meshdata-workflow")
        return self._pool.submit(context.run, fn)

    def waits(self, run: Run) -> None:
        """A run's thread waits in a verb."""
        self._waiting[run] = None
        if self._queue:
            self._make_room()

    def works(self, run: Run) -> None:
        """It goes on."""
        self._waiting.pop(run, None)

    def _make_room(self) -> None:
        """Have as many runs suspended as others wait for their threads, as soon as there are any that only wait."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        wanted = sum(not turn.done() for turn in self._queue)
        for run in list(self._waiting):
            if wanted and run.can_suspend:
                wanted -= 1
                self._suspend(run)
        if wanted:
            self._look = self._loop.call_later(LOOK_AGAIN_S, self._make_room)

    def close(self) -> None:
        """Nothing begins any more; threads that are out end by themselves."""
        if self._look is not None:
            self._look.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


class Bridge:
    """What the thread of one run and its main task say to each other."""

    def __init__(self, run: Run, threads: Threads) -> None:
        self._run = run
        self._threads = threads
        self._loop = run.host.loop
        self._asked: asyncio.Future[tuple[Coroutine[Any, Any, Any], Answer[Any]] | None] = self._loop.create_future()
        self._is_closed = False
        self._is_cancelled = False  # and the thread has not heard of it yet

    # --- in the thread ------------------------------------------------------------------------------------------------

    def ask(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Have the main task await something, and wait for what comes of it."""
        answer: Answer[R] = Answer()
        try:
            if self._is_closed:
                raise Suspended
            self._loop.call_soon_threadsafe(self._put, coroutine, answer, context=self._run.host.context)
        except (RuntimeError, Suspended):  # the loop is closed
            coroutine.close()
            raise Suspended from None
        while True:
            try:
                return answer.result(IS_OPEN_S)
            except TimeoutError:
                if answer.done():
                    return answer.result()  # a TimeoutError is what came of it
                if self._loop.is_closed():
                    raise Suspended from None

    # --- on the loop --------------------------------------------------------------------------------------------------

    async def serve(self, fn: Callable[[], Any]) -> Any:
        """Run the function in its thread, and do what it asks for until it ends."""
        context = copy_context()
        context.run(_bridge.set, self)
        self._run.begin_computing()
        thread = self._threads.submit(context, fn)
        thread.add_done_callback(self._thread_done)
        try:
            while (asked := await self._next()) is not None:
                await self._answer(*asked)
        finally:
            self._close()
        return thread.result()

    async def _next(self) -> tuple[Coroutine[Any, Any, Any], "Answer[Any]"] | None:
        """What the thread asks for next; None when it has ended."""
        try:
            while True:
                try:
                    asked = await asyncio.shield(self._asked)
                    self._asked = self._loop.create_future()
                    return asked
                except asyncio.CancelledError:
                    if self._run.dropped or self._run.over:
                        raise
                    self._is_cancelled = True  # told where it awaits next, as asyncio does
        finally:
            self._run.end_computing()

    async def _answer(self, coroutine: Coroutine[Any, Any, Any], answer: "Answer[Any]") -> None:
        self._threads.waits(self._run)
        try:
            if self._is_cancelled:
                self._is_cancelled = False
                coroutine.close()
                raise asyncio.CancelledError
            value = await coroutine
        except BaseException as error:
            self._threads.works(self._run)
            if self._run.dropped or isinstance(error, Suspended):
                answer.set_exception(Suspended())
                raise
            self._run.begin_computing()
            answer.set_exception(error)
        else:
            self._threads.works(self._run)
            self._run.begin_computing()
            answer.set_result(value)

    def _put(self, coroutine: Coroutine[Any, Any, Any], answer: "Answer[Any]") -> None:
        if self._is_closed or self._asked.done():
            coroutine.close()
            answer.set_exception(Suspended() if self._is_closed else UsageError(ONE_THREAD))
        else:
            self._asked.set_result((coroutine, answer))

    def _thread_done(self, _: "Answer[Any]") -> None:
        try:
            self._loop.call_soon_threadsafe(self._ended, context=self._run.host.context)
        except RuntimeError:
            return  # the loop is closed: nobody waits for a thread any more

    def _ended(self) -> None:
        self._threads.leave()
        if not self._asked.done():
            self._asked.set_result(None)

    def _close(self) -> None:
        self._is_closed = True
        if self._asked.done() and (asked := self._asked.result()) is not None:
            asked[0].close()
            asked[1].set_exception(Suspended())


ONE_THREAD: Final = "a workflow function calls the verbs of workflow.sync from its own thread only"
