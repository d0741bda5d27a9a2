"""Who is running: the run a piece of code belongs to, and the task path that gives its durable calls their identity.

A task that workflow code creates belongs to the same run; its path is its creator's path and the next child number, so
that identities do not depend on how tasks interleave. The loop's task factory sees to that (`follow_tasks`).

asyncio keeps tasks in sets, and a set's order is that of its members' addresses: the order in which a failed TaskGroup
cancels its tasks, in which `asyncio.wait` hands out what is done, in which `asyncio.as_completed` makes tasks of
coroutines. None of it may differ on replay. The tasks of a run are therefore hashed by their paths, which makes the
order of a set of them the same wherever the run goes on. `as_completed`, with its set of coroutines, is recognised; its
tasks are made in the order of the list it was given.
"""

import asyncio
import sys
from asyncio import tasks as asyncio_tasks
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from types import CodeType, FrameType
from typing import Any, Final, Protocol
from zlib import crc32

from meshdata.errors import InvalidOptions, NotInWorkflow
from meshdata.values import Duration, duration_ms


class Followed(Protocol):
    """What a run is to the tasks it creates."""

    @property
    def name(self) -> str: ...
    @property
    def root(self) -> str: ...
    def follow(self, task: "asyncio.Task[Any]", /) -> None: ...


_run: ContextVar[Any] = ContextVar("meshdata_run", default=None)


MAIN: Final = "0"
"""The path of a run's main task. (In runs that follow by `continue_as_new`: their number, so that no call of one has
the position of a call of another.)"""


class TaskPath:
    """The address of one task of a run, and the counters it hands out."""

    __slots__ = ("calls", "children", "made", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0
        self.children = 0
        self.made: dict[Any, RunTask] = {}

    def next_call(self) -> str:
        """The position of the next durable call this task makes."""
        self.calls += 1
        return f"{self.text}:{self.calls}"

    def next_child(self) -> "TaskPath":
        """The path of the next task this task creates."""
        self.children += 1
        return TaskPath(f"{self.text}.{self.children}")


# The function that makes tasks of a set of coroutines, and what it calls the argument the set is of.
if sys.version_info >= (3, 13):
    _AS_COMPLETED = asyncio_tasks._AsCompletedIterator.__init__.__code__
    _AS_COMPLETED_ARGUMENT = "aws"
else:
    _AS_COMPLETED = asyncio_tasks.as_completed.__code__
    _AS_COMPLETED_ARGUMENT = "fs"

durable_codes: Final[set[CodeType]] = set()
"""The code of the coroutines that durable calls are."""

FRAMES_BETWEEN: Final = 6
"""How many frames may stand between `as_completed` and the task factory."""


def _as_completed_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(FRAMES_BETWEEN):
        if frame is None or frame.f_code is _AS_COMPLETED:
            return frame
        frame = frame.f_back
    return None


class RunTask(asyncio.Task[Any]):
    """A task of a run, at the same place of a set of such tasks on every replay."""

    __slots__ = ("_hash", "path")

    def __init__(self, coro: Any, *, hash: int, path: str, **options: Any) -> None:
        self._hash = hash
        self.path = path
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._hash


_path: ContextVar[TaskPath] = ContextVar("meshdata_path")


def path_of(task: "asyncio.Task[Any]") -> str:
    """The path of a task of a run."""
    return task.path if isinstance(task, RunTask) else MAIN


def current_run(verb: str) -> Any:
    """The run this code belongs to.

    Raises:
        NotInWorkflow: it belongs to none; `verb` is what was called.
    """
    run = _run.get()
    if run is None:
        raise NotInWorkflow(verb)
    return run


def outside() -> Context:
    """A copy of the current context that belongs to no run: for what a run has done for it."""
    context = copy_context()
    context.run(_run.set, None)
    return context


def running() -> Any:
    """The run this code belongs to, if any."""
    return _run.get()


def durable_ms(duration: Duration, argument: str) -> int:
    """A duration in ms, months and years counted from the run's own time: the same on every replay.

    Raises:
        InvalidOptions: no duration.
    """
    run = _run.get()
    return duration_ms(duration, argument=argument, now=None if run is None else run.now_ms) or 0


def run_of(context: Context) -> Any:
    """The run a context belongs to, if any."""
    return context.get(_run)


def current_path() -> TaskPath:
    """The path of the current task."""
    return _path.get()


def entered(run: Followed) -> Context:
    """A context for a run's main function."""
    context = copy_context()
    context.run(_run.set, run)
    context.run(_path.set, TaskPath(run.root))
    return context


def follow_tasks(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Let tasks created by workflow code know their run and path; call the result to stop.

    Several meshes on one loop share one factory; one that was set before is called for everything else.
    """
    installed = loop.get_task_factory()
    if isinstance(installed, _FollowingFactory):
        installed.users += 1
        factory = installed
    else:
        factory = _FollowingFactory(installed)
        loop.set_task_factory(factory)

    def stop() -> None:
        factory.users -= 1
        if factory.users == 0 and loop.get_task_factory() is factory:
            loop.set_task_factory(factory.before)

    return stop


class _FollowingFactory:
    """The loop's task factory while a mesh is open on it."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.users = 1

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        context: Context | None = options.get("context")
        run = _run.get() if context is None else context.get(_run)
        if run is None:
            if self.before is not None:
                return self.before(loop, coro, **options)
            return asyncio.Task(coro, loop=loop, **options)
        parent = _path.get() if context is None else context[_path]
        if coro in parent.made:
            return parent.made.pop(coro)
        frame = _as_completed_frame()
        if frame is not None:
            for one in _in_order(frame, coro):
                parent.made[one] = _task(loop, one, run, parent, copy_context(), options)
            return parent.made.pop(coro)
        return _task(loop, coro, run, parent, copy_context() if context is None else context.copy(), options)


def _task(
    loop: asyncio.AbstractEventLoop,
    coro: Any,
    run: Followed,
    parent: TaskPath,
    context: Context,
    options: dict[str, Any],
) -> RunTask:
    path = parent.next_child()
    context.run(_path.set, path)
    hash = crc32(f"{run.name} {path.text}".encode())
    task = RunTask(coro, loop=loop, hash=hash, path=path.text, **{**options, "context": context})
    run.follow(task)
    return task


def _in_order(frame: FrameType, coro: Any) -> list[Any]:
    """The coroutines `as_completed` makes tasks of, in the order they were given to it."""
    given = frame.f_locals[_AS_COMPLETED_ARGUMENT]
    if isinstance(given, list | tuple) and coro in given:
        return list(dict.fromkeys(one for one in given if asyncio.iscoroutine(one)))
    if getattr(coro, "cr_code", None) in durable_codes:
        return [coro]  # the place of a durable call was taken when it was called
    raise InvalidOptions(
        f"give asyncio.as_completed a list in a workflow; the order of a {type(given).__name__} is lost in it",
        argument="fs",
    )
