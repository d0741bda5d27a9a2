"""A request to cancel a run, once the journal has come to it: told to the function, or held while a shield lasts.

The request is delivered like an outcome, in its turn and to a settled run, so every replay is cancelled at the same
place. To tell the function is what asyncio calls to cancel a task: its main task gets a CancelledError where it awaits,
once; what it awaited is given up, and what it does afterwards is done as ever.
"""

import asyncio
from typing import Any, Final

from meshdata.errors import InvalidOptions, JobCancelled, JobInterrupted, failure_payload
from meshdata.values import to_json
from meshdata.workflow.journal import Journal

POSITION: Final = "0"
"""Where the journal has it: no call of a function stands there."""


class Cancellation:
    """What a run knows of a request to cancel it.

    Attributes:
        payload: the error the run ends with if it ends by this, as stored; None until the request came up.
        is_told: the function has been told.
    """

    __slots__ = ("_held", "_shields", "is_told", "payload")

    def __init__(self) -> None:
        self.payload: bytes | None = None
        self.is_told = False
        self._shields = 0
        self._held = False

    def came_up(self, payload: bytes, main: "asyncio.Task[Any]") -> bool:
        """The journal has come to the request; True if the function is told of it now."""
        self.payload = payload
        if self._shields:
            self._held = True
            return False
        self._tell_it(main)
        return True

    def enter_shield(self) -> None:
        """A block begins that a request waits for."""
        self._shields += 1

    def leave_shield(self, main: "asyncio.Task[Any]") -> bool:
        """It is over; True if the function is told now of a request that waited."""
        self._shields -= 1
        if self._shields or not self._held:
            return False
        self._held = False
        self._tell_it(main)
        return True

    def end_by(self, error: BaseException, journal: Journal, *, again: bool) -> bytes | None:
        """The end of a run by the request, as stored: the function let go, or failed before it was told.

        Args:
            error: what it ended with.
            again: whether its policy grants another attempt, which a request makes needless.
        """
        if self.is_told:
            return self.payload if isinstance(error, asyncio.CancelledError) else None
        return self.payload or journal.payload_of(POSITION) if again else None

    def _tell_it(self, main: "asyncio.Task[Any]") -> None:
        self.is_told = main.cancel()  # not if the function has just come to its end by itself


def cancellation(reason: str | None, job: str) -> tuple[bytes, str]:
    """What the waiters of a job get that ends by a request, as stored, and its message.

    Raises:
        InvalidOptions: the reason is no text.
    """
    check_reason(reason)
    return end_from_outside(JobCancelled(job_id=job, reason=reason or ""))


def check_reason(reason: Any) -> None:
    """A reason is a text, or there is none."""
    if reason is not None and not isinstance(reason, str):
        raise InvalidOptions(f"a reason is a text; got {type(reason).__name__}", argument="reason")


def end_from_outside(error: JobInterrupted) -> tuple[bytes, str]:
    """An end that did not come from the function, as stored (a `reason` tells it from a failure), and its message."""
    message = error.reason or str(error)
    data = failure_payload(error) | {"message": message, "reason": error.reason, "traceback": ""}
    return to_json(data, argument="reason"), message
