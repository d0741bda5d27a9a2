"""Durable time: sleeping, and time limits. `asyncio.sleep` and `asyncio.timeout` are the process's own, not durable."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from meshdata.values import Duration
from meshdata.workflow.call import Call, durable
from meshdata.workflow.context import current_path, current_run, durable_ms
from meshdata.workflow.runner import Run


def sleep_for(duration: Duration) -> Coroutine[Any, Any, float]:
    """Sleep, for as long as it takes, through restarts and crashes; never shorter than asked.

    Returns:
        The seconds asked for.

    Raises:
        InvalidOptions: no duration.
    """
    ms = durable_ms(duration, "duration")

    def live(run: Run, call: Call) -> None:
        run.write("timer", call.position, "sleep", ms)

    return durable("sleep_for", "sleep", "", live, decode=lambda _: ms / 1000)


class timeout:
    """`async with timeout("5 minutes"):` raises TimeoutError in its body when the time is up, durably."""

    def __init__(self, duration: Duration) -> None:
        self._ms = durable_ms(duration, "duration")
        self._call: Call | None = None
        self._run: Run | None = None
        self._task: asyncio.Task[Any] | None = None
        self._expired = False
        self._cancelling = 0

    @property
    def expired(self) -> bool:
        """Whether the time was up before the body was done."""
        return self._expired

    async def __aenter__(self) -> "timeout":
        run = self._run = current_run("timeout")

        def live(run: Run, call: Call) -> None:
            run.write("timer", call.position, "timeout", self._ms)

        self._call = Call(current_path().next_call(), "timeout", "", live, lambda _: None, inline=False)
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        run.issue(self._call).add_done_callback(self._up)
        return self

    def _up(self, future: "asyncio.Future[Any]") -> None:
        if future.cancelled() or future.exception() is not None:
            return
        run = self._run
        if self._task is not None and not self._task.done() and run is not None and not run.dropped:
            self._expired = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, call, run = self._task, self._call, self._run
        assert task is not None and call is not None and call.future is not None and run is not None
        self._task = None
        if not call.future.done():
            call.future.remove_done_callback(self._up)
            call.future.cancel()
            run.abandon(call)
        if self._expired and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
