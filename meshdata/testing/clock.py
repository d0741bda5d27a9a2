"""A clock that stands still until a test moves it: for durable timers, and for all that a mesh and its functions do.

Two times go on in a test. The test's own code has the real one: its `asyncio.sleep`, its `asyncio.timeout`. What the
mesh does, and the functions it runs, has the clock's: sleeps, time limits, pauses between attempts, expiry of results
and records, `asyncio.sleep` in an activity. Whose a piece of code is tells a context variable, which tasks inherit;
while a mesh is open the running loop's `time`, `call_at` and `call_later` look at it. The clock counts whole
microseconds, so that a timer set for a moment is due in exactly that moment, and moves from one due timer to the next.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from meshdata.errors import InvalidOptions, MeshTimeout, UsageError
from meshdata.mesh import MeshData
from meshdata.testing.idle import Idleness
from meshdata.values import Duration, duration_ms

R = TypeVar("R")

_clock: ContextVar[Clock | None] = ContextVar("meshdata_clock", default=None)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PATCHED: Final = ("time", "call_at", "call_later", "run_in_executor")


class Clock:
    """Milliseconds since 1970 as a test sets them: `MeshData("fake://", clock=Clock())`.

    One clock serves any number of meshes in one event loop.

    Args:
        start: the time it begins with, with a time zone; by default the present.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._micros = _micros(datetime.now(UTC) if start is None else start, "start") // 1000 * 1000
        self._began = self._micros
        self._timers: list[tuple[int, int, asyncio.TimerHandle, Callable[[], object]]] = []
        self._number = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idleness: Idleness | None = None
        self._threads: set[asyncio.Future[Any]] = set()
        self._meshes: list[MeshData] = []

    def __call__(self) -> int:
        """Milliseconds since 1970."""
        return self._micros // 1000

    def micros(self) -> int:
        """Microseconds since 1970."""
        return self._micros

    @property
    def now(self) -> datetime:
        """The time it shows, in UTC."""
        return _EPOCH + timedelta(microseconds=self._micros)

    # --- moving -------------------------------------------------------------------------------------------------------

    async def advance(self, by: Duration) -> None:
        """Move on by a duration, from due timer to due timer: each fires at its time, and what follows is let happen.

        Args:
            by: months and years are counted on the calendar from the time it shows.

        Raises:
            InvalidOptions: no duration.
            MeshTimeout: a function goes on for ever without waiting for anything.
        """
        ms = duration_ms(by, argument="by", now=self.now) or 0
        await self._move(self._micros + ms * 1000)

    async def advance_to(self, when: datetime) -> None:
        """Move on to a moment, as `advance` does.

        Raises:
            InvalidOptions: it has no time zone, or has passed.
        """
        target = _micros(when, "when")
        if target < self._micros:
            raise InvalidOptions(f"{when} has passed; it is {self.now}", argument="when")
        await self._move(target)

    async def run(self, awaitable: Awaitable[R], *, within: Duration = "10 years") -> R:
        """Await something; whenever nothing can go on without time, move on to the next due timer.

        Args:
            within: how far the clock may be moved.

        Raises:
            MeshTimeout: it has not ended by then; most likely it waits for input.
        """
        last = self._micros + (duration_ms(within, argument="within", now=self.now) or 0) * 1000
        task = asyncio.ensure_future(awaitable)
        try:
            while True:
                await self.settle()
                if task.done():
                    return task.result()
                due = self._next_due()
                if due is None or due > last:
                    raise MeshTimeout(f"what is awaited did not end within {within} of the clock: it waits for input")
                await self._move(due)
        finally:
            task.cancel()

    async def settle(self) -> None:
        """Let everything that can go on without time be done."""
        if self._idleness is not None:
            await self._idleness.settle()

    async def _move(self, target: int) -> None:
        await self.settle()
        while (due := self._next_due()) is not None and due <= target:
            self._micros = max(self._micros, due)
            _, _, _, fire = heapq.heappop(self._timers)
            fire()
            await self.settle()
        self._micros = target

    def _next_due(self) -> int | None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    # --- what the mesh asks -------------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[None]:
        """Tasks that are begun inside, and theirs, go by this clock."""
        self._install(asyncio.get_running_loop())
        token = _clock.set(self)
        try:
            yield
        finally:
            _clock.reset(token)

    def attach(self, mesh: MeshData) -> None:
        """A mesh that goes by this clock has opened."""
        self._meshes.append(mesh)

    def detach(self, mesh: MeshData) -> None:
        """It has closed; with the last one the loop's time is its own again."""
        if mesh in self._meshes:
            self._meshes.remove(mesh)
        if not self._meshes:
            self._uninstall()

    def _install(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            return
        if self._meshes or any(name in vars(loop) for name in _PATCHED):
            raise UsageError("one event loop goes by one Clock, and a Clock serves the meshes of one event loop")
        self._uninstall()
        time, call_at, in_executor = loop.time, loop.call_at, loop.run_in_executor

        def told_time() -> float:
            return self._seconds if self._is_of(None) else time()

        def at(
            when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
        ) -> asyncio.TimerHandle:
            if self._is_of(context):
                return self._call_at(when, callback, args, context)
            return call_at(when, callback, *args, context=context)

        def later(
            delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
        ) -> asyncio.TimerHandle:
            if self._is_of(context):
                return self._call_at(self._seconds + delay, callback, args, context)
            return call_at(time() + delay, callback, *args, context=context)

        def followed(executor: Any, fn: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
            future = in_executor(executor, fn, *args)
            if self._is_of(None):
                self._threads.add(future)
                future.add_done_callback(self._threads.discard)
            return future

        try:
            for name, patch in zip(_PATCHED, (told_time, at, later, followed), strict=True):
                setattr(loop, name, patch)
        except AttributeError as error:
            raise UsageError("a Clock needs asyncio's own event loop; the time of others cannot be held") from error
        self._loop = loop
        self._idleness = Idleness(loop, self._is_of, self._threads, self._meshes)

    def _uninstall(self) -> None:
        loop, self._loop = self._loop, None
        self._idleness = None
        self._timers.clear()
        if loop is not None:
            for name in _PATCHED:
                vars(loop).pop(name, None)

    def _is_of(self, context: Context | None) -> bool:
        """Whether code goes by this clock: that of a context, or what runs just now."""
        return (_clock.get() if context is None else context.get(_clock)) is self

    @property
    def _seconds(self) -> float:
        """What the loop's `time` gives to those who go by this clock."""
        return (self._micros - self._began) / 1e6

    def _call_at(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.TimerHandle:
        loop = self._loop
        assert loop is not None
        within = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, loop, within)

        def call() -> None:
            if not handle.cancelled():
                callback(*args)

        def fire() -> None:
            loop.call_soon(call, context=within)

        heapq.heappush(self._timers, (self._began + round(when * 1e6), next(self._number), handle, fire))
        return handle


def _micros(when: datetime, argument: str) -> int:
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise InvalidOptions(f"a datetime with a time zone is needed; got {when!r}", argument=argument)
    return (when - _EPOCH) // _MICROSECOND
