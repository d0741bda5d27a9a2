"""Cancelling: asking another job to end itself, and blocks in which a request to this one waits."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from meshdata.values import check_id
from meshdata.workflow.call import Call, durable
from meshdata.workflow.child import Target, home_of
from meshdata.workflow.context import current_run
from meshdata.workflow.request import cancellation
from meshdata.workflow.runner import Run


def cancel(entity: Target, id: str, *, reason: str | None = None) -> Coroutine[Any, Any, bool]:
    """Ask another job to end itself; see `MeshData.cancel`.

    Returns:
        True; False if it was over.

    Raises:
        JobNotFound: there is no such job.
    """
    run = current_run("cancel")
    job = f"{home_of(entity, run).entity}:{check_id(id)}"
    payload, problem = cancellation(reason, job)

    def live(run: Run, call: Call) -> None:
        partition = run.host.store.keys.partition(job)
        run.write(
            "ask", call.position, "cancel", partition, job, "cancel", f"0 {job}", payload, problem, "@"
        )  # fmt: skip

    return durable("cancel", "cancel", job, live)


class shield:
    """`async with workflow.shield():` a block that a request to cancel the job waits for.

    The request is told at its end, by a CancelledError from the block itself. Whatever task of the job the block is in,
    the request waits; of several blocks at once, for all. What the function cancels itself (a time limit, a failed
    TaskGroup) is not held.
    """

    def __init__(self) -> None:
        self._run: Run | None = None

    async def __aenter__(self) -> "shield":
        self._run = current_run("shield")
        self._run.cancellation.enter_shield()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run, self._run = self._run, None
        assert run is not None and run.main is not None
        # A failure of the block goes on; the request is then told where the function awaits next.
        if run.cancellation.leave_shield(run.main) and kind is None:
            await asyncio.sleep(0)
