"""Who is running: the run a piece of code belongs to, and the task path that gives its durable calls their identity.

A task that workflow code creates belongs to the same run; its path is its creator's path and the next child number, so
that identities do not depend on how tasks interleave. The loop's task factory sees to that (`follow_tasks`).
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

from meshdata.errors import NotInWorkflow


class Followed(Protocol):
    """What a run is to the tasks it creates."""

    def follow(self, task: "asyncio.Task[Any]", /) -> None: ...


_run: ContextVar[Any] = ContextVar("meshdata_run", default=None)


class TaskPath:
    """The address of one task of a run, and the counters it hands out."""

    __slots__ = ("calls", "children", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0
        self.children = 0

    def next_call(self) -> str:
        """The position of the next durable call this task makes."""
        self.calls += 1
        return f"{self.text}:{self.calls}"

    def next_child(self) -> "TaskPath":
        """The path of the next task this task creates."""
        self.children += 1
        return TaskPath(f"{self.text}.{self.children}")


_path: ContextVar[TaskPath] = ContextVar("meshdata_path")


def current_run(verb: str) -> Any:
    """The run this code belongs to.

    Raises:
        NotInWorkflow: it belongs to none; `verb` is what was called.
    """
    run = _run.get()
    if run is None:
        raise NotInWorkflow(verb)
    return run


def running() -> Any:
    """The run this code belongs to, if any."""
    return _run.get()


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
    context.run(_path.set, TaskPath("0"))
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
        path = (_path.get() if context is None else context[_path]).next_child()
        context = copy_context() if context is None else context.copy()
        context.run(_path.set, path)
        options["context"] = context
        task = asyncio.Task(coro, loop=loop, **options)
        run.follow(task)
        return task
