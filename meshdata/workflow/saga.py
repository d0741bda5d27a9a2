"""Sagas: a stack of compensations that undoes, in reverse order, what was done before something failed."""

import asyncio
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec

from meshdata.engine.policy import ONCE
from meshdata.errors import InvalidOptions
from meshdata.workflow.activity import Activity
from meshdata.workflow.cancel import shield
from meshdata.workflow.context import current_run
from meshdata.workflow.runner import Run

P = ParamSpec("P")


class saga:
    """`async with workflow.saga() as saga:` runs the compensations named so far, last one first, if its body raises.

    Name a compensation before the step that it undoes: a step that fails may have had its effect all the same. They are
    run one after another, each tried as often as its own policy grants, and whatever comes of the others; nothing stops
    them half way, neither a request to cancel the job nor a time limit around the saga. The error of the body is raised
    on. Where compensations failed, an ExceptionGroup of their errors is raised, from the error of the body.

    A run that has compensated is not tried again by its own policy: what was undone is recorded as done.
    """

    def __init__(self) -> None:
        self._run: Run = current_run("saga")
        self._stack: list[Callable[[], Any]] = []

    def compensate(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have `fn(*args, **kwargs)` called if what follows fails.

        Args:
            fn: an activity, or any function that awaits durable calls (`workflow.exec_child`, `workflow.signal`, your
                own). What it does besides runs again on replay.

        Raises:
            InvalidOptions: it cannot be called so.
        """
        if not callable(fn):
            raise InvalidOptions(f"a function is needed; got {type(fn).__name__}", argument="fn")
        if isinstance(fn, Activity):
            fn.function.bind(args, kwargs)
        self._stack.append(lambda: fn(*args, **kwargs))

    async def undo(self) -> None:
        """Run the compensations now, the last one first; the stack is empty then. For use without `async with`.

        Raises:
            ExceptionGroup: some failed; the others were run.
        """
        async with shield():
            was_stopped = await self._undo()
        if was_stopped:
            raise asyncio.CancelledError

    async def _undo(self) -> bool:
        """Whether somebody wanted to stop it, a time limit for example."""
        stack, self._stack = self._stack, []
        if not stack:
            return False
        self._run.policy = ONCE  # from its journal the function would go on with what is undone
        # In a task of its own: who cancels this one meanwhile cannot leave the rest undone.
        work, was_stopped = asyncio.create_task(_all_of(stack)), False
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                if self._run.dropped or self._run.over:
                    raise
                was_stopped = True
        failures = work.result()
        if failures:
            raise ExceptionGroup(f"{len(failures)} of {len(stack)} compensations failed", failures)
        return was_stopped

    async def __aenter__(self) -> "saga":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What else may pass here (a suspension, a renewal) is no failure.
        if self._run.dropped or self._run.over or not isinstance(error, Exception | asyncio.CancelledError):
            return
        block = shield()
        await block.__aenter__()
        try:
            await self._undo()
        except ExceptionGroup as failures:
            raise failures from error
        finally:
            await block.__aexit__(kind, error, trace)  # a request that came meanwhile does not hide the error


async def _all_of(stack: list[Callable[[], Any]]) -> list[Exception]:
    failures = []
    for compensation in reversed(stack):
        try:
            value = compensation()
            if inspect.isawaitable(value):
                await value
        except Exception as failure:
            failures.append(failure)
    return failures
