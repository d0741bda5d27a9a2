"""When is a run settled? When none of its tasks can go on by itself: each waits on a future that is not done.

Outcomes are delivered only to settled runs, one at a time. What a run does between two deliveries is then a function of
what it was given before, and replay takes the same way through every race.

Private parts of asyncio are used, here and nowhere else, with a test that fails when they change: `Task._fut_waiter`,
what a task waits on, and `Task._must_cancel`, whether it is to be cancelled at its next step; the loop's `_ready`
queue; a gather's `_children`, the arguments of `asyncio.wait`, what `asyncio.shield` keeps in a callback. The queue
matters because a future's callbacks run a tick after it is done: between the end of an activity and the wake-up of a
task that awaits a `gather` around it there is a tick in which every task still waits. Counting a fixed number of quiet
ticks would break on gathers nested deeper than that. Where a loop has no such queue (uvloop), that is what is done all
the same. With the queue in sight the tasks need not be looked at: one that can go on stands in it.
"""

import asyncio
import inspect
from asyncio import locks, queues, taskgroups, tasks
from collections.abc import Callable, Collection, Iterator
from contextvars import Context
from types import CodeType, FrameType
from typing import Any, Final, Protocol

from meshdata.workflow.context import run_of

QUIET_TICKS: Final = 16
"""Without a view of the ready queue: how many ticks a run must look settled to be believed."""


class Settling(Protocol):
    """What a run is to the settler."""

    @property
    def tasks(self) -> "Collection[asyncio.Task[Any]]": ...
    def settled(self) -> None: ...


def waits(task: "asyncio.Task[Any]") -> bool:
    """Whether a task waits on a future that is not done."""
    waiter = task._fut_waiter  # type: ignore[attr-defined]
    return waiter is not None and not waiter.done()


def waits_on(task: "asyncio.Task[Any]") -> Any:
    """The future a task waits on, or None."""
    return task._fut_waiter  # type: ignore[attr-defined]


def ended_untold(task: "asyncio.Task[Any]") -> bool:
    """Whether a task raised before a cancellation it was to get came to it."""
    return bool(task._must_cancel)  # type: ignore[attr-defined]  # private, see the head of this module


_PRIMITIVES: Final = frozenset({locks.__file__, queues.__file__, taskgroups.__file__})
_WAIT: Final = tasks._wait.__code__  # type: ignore[attr-defined]
_OUTER_DONE: Final = next(
    code
    for code in tasks.shield.__code__.co_consts
    if isinstance(code, CodeType) and code.co_name == "_outer_done_callback"
)


def is_woken_within(task: "asyncio.Task[Any]", ours: Callable[[Any], bool]) -> bool:
    """Whether only the run itself can wake a task: it waits on durable calls or tasks of the run (`ours`), directly, by
    `gather`, `wait` or `shield`, or in a lock, queue or task group. What it may wait on otherwise is input and output
    of its own, and time of the process: a `wait_for` with a time limit, whose clock would be lost.
    """
    waiter = waits_on(task)
    if waiter is None or waiter.done():
        return False
    if _comes_from(waiter, ours):
        return True
    frame = _innermost(task)
    if frame is None:
        return False
    if frame.f_code is _WAIT:
        awaited = frame.f_locals
        return awaited["timeout"] is None and all(one.done() or _comes_from(one, ours) for one in awaited["fs"])
    return frame.f_code.co_filename in _PRIMITIVES


def wake_with(task: "asyncio.Task[Any]", error: BaseException) -> bool:
    """Have a task that waits in a gather, `asyncio.wait`, lock or queue see an error there, as those it waits for do.

    Returns:
        False if it waits on something else, whose owner would stumble over a future that is done.
    """
    waiter = waits_on(task)
    if waiter is None or waiter.done():
        return False
    if isinstance(waiter, asyncio.Task) or _shielded_by(waiter) is not None:
        return True
    frame = _innermost(task)
    file = "" if frame is None else frame.f_code.co_filename
    if file == taskgroups.__file__:
        return True  # the group ends as its tasks do
    if file not in _PRIMITIVES and (frame is None or frame.f_code is not _WAIT) and not hasattr(waiter, "_children"):
        return False
    waiter.set_exception(error)
    return True


def _shielded_by(outer: Any) -> Any:
    """What `asyncio.shield` stands before, if the future is one it made."""
    for callback, _ in getattr(outer, "_callbacks", None) or ():
        if getattr(callback, "__code__", None) is _OUTER_DONE:
            return inspect.getclosurevars(callback).nonlocals["inner"]
    return None


def _comes_from(future: Any, ours: Callable[[Any], bool]) -> bool:
    if ours(future):
        return True
    inner = _shielded_by(future)
    if inner is not None:
        return bool(inner.done()) or _comes_from(inner, ours)
    children = getattr(future, "_children", None)
    return children is not None and all(child.done() or _comes_from(child, ours) for child in children)


def frames_of(task: "asyncio.Task[Any]") -> Iterator[FrameType]:
    """The frames a waiting task stands in, outermost first: the chain of its awaits."""
    at: Any = task.get_coro()
    while (frame := getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None)) is not None:
        yield frame
        at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None)


def _innermost(task: "asyncio.Task[Any]") -> FrameType | None:
    frame: FrameType | None = None
    for frame in frames_of(task):  # noqa: B007 - the last one is wanted
        pass
    return frame


def queued(loop: asyncio.AbstractEventLoop) -> list[Context]:
    """The contexts of the callbacks that are ready to run; none where a loop has no queue to look at."""
    while True:
        try:
            ready = list(getattr(loop, "_ready", ()))
        except RuntimeError:  # a thread has just added to it (call_soon_threadsafe): look again
            continue
        return [handle._context for handle in ready if not handle._cancelled]


class Settler:
    """Calls the runs that asked as soon as they are settled; one look at the ready queue a tick serves them all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asking: dict[Settling, int] = {}
        self._scheduled = False
        self._sees_queue = hasattr(loop, "_ready")

    def ask(self, run: Settling) -> None:
        """Call `run.settled()` once it is."""
        if run not in self._asking:
            self._asking[run] = 0
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._look)

    def forget(self, run: Settling) -> None:
        """The run is over."""
        self._asking.pop(run, None)

    def _look(self) -> None:
        self._scheduled = False
        stirring = self._stirring()
        for run, quiet in list(self._asking.items()):
            if run in stirring or not (self._sees_queue or all(map(waits, run.tasks))):
                self._asking[run] = 0
            elif self._sees_queue or quiet >= QUIET_TICKS:
                del self._asking[run]
                run.settled()
            else:
                self._asking[run] = quiet + 1
        if self._asking and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._look)

    def _stirring(self) -> set[Settling]:
        """Runs with callbacks in the ready queue."""
        return {run for context in queued(self._loop) if (run := run_of(context)) is not None}
