"""Interceptors: code around every workflow, hook, activity and durable call of a process.

What runs in the workflow (`workflow`, `hook`, `outbound`) is part of its function: it runs again on replay and must
take the same way then. It may use the verbs of the workflow, each of which is a call of the run, so that adding one to
running workflows changes their code (`workflow.patched`). What runs around an activity is free, like the activity.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from meshdata.errors import InvalidOptions


@dataclass(frozen=True, slots=True)
class Execution:
    """A function that is about to run; `dataclasses.replace` makes one with other arguments.

    Attributes:
        name: of the workflow, the hook or the activity.
        job_id: "<entity>:<id>" of the job it runs for.
        dimension: "0" for a main function, the hook's number in a hook and in its activities.
        attempt: 1 for the first run.
        args, kwargs: as the function gets them, converted by its annotations.
    """

    name: str
    job_id: str
    dimension: str
    attempt: int
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outbound:
    """A durable call a workflow makes: an activity, a child, a signal, a sleep, a change of its state …

    Attributes:
        verb: what the function called: "sleep_for", "exec_child", the name of an activity.
        kind, name: what the journal calls it: "sleep", "child", "activity" …; the activity, the job, the key.
        position: its place in the run.
    """

    verb: str
    kind: str
    name: str
    job_id: str
    position: str


Proceed = Callable[[Execution], Awaitable[Any]]
ProceedOutbound = Callable[[Outbound], Awaitable[Any]]


class Interceptor:
    """Override what you want to be around: `MeshData(..., interceptors=[Timing()])`. The first is outermost.

    Each method is given the call and `proceed`, which goes on to the next interceptor and in the end to the call
    itself; what it returns, or raises, is the outcome.
    """

    async def workflow(self, call: Execution, proceed: Proceed) -> Any:
        """Around the main function of a job."""
        return await proceed(call)

    async def hook(self, call: Execution, proceed: Proceed) -> Any:
        """Around a hook function."""
        return await proceed(call)

    async def activity(self, call: Execution, proceed: Proceed) -> Any:
        """Around one attempt of an activity, in the process that runs it."""
        return await proceed(call)

    async def outbound(self, call: Outbound, proceed: ProceedOutbound) -> Any:
        """Around a durable call; its place in the run is taken already. `proceed` may be awaited once."""
        return await proceed(call)


Call = TypeVar("Call", Execution, Outbound)


def around(
    interceptors: Sequence[Interceptor], method: str, call: Call, last: Callable[[Call], Awaitable[Any]]
) -> Awaitable[Any]:
    """Make a call through one method of each interceptor."""
    proceed = last
    for one in reversed(interceptors):
        proceed = _link(getattr(one, method), proceed)
    return proceed(call)


def _link(
    method: Callable[[Call, Callable[[Call], Awaitable[Any]]], Awaitable[Any]],
    proceed: Callable[[Call], Awaitable[Any]],
) -> Callable[[Call], Awaitable[Any]]:
    return lambda call: method(call, proceed)


def check_interceptors(interceptors: Any) -> tuple[Interceptor, ...]:
    """Interceptors as a host takes them.

    Raises:
        InvalidOptions: one of them is none; a class stands where an object is needed.
    """
    if not isinstance(interceptors, list | tuple):
        raise InvalidOptions(f"a list of interceptors; got {type(interceptors).__name__}", argument="interceptors")
    for one in interceptors:
        if not isinstance(one, Interceptor):
            raise InvalidOptions(f"an object of a subclass of Interceptor; got {one!r}", argument="interceptors")
    return tuple(interceptors)
