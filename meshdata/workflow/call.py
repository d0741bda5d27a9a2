"""One durable call: what it is, how it begins, and what its recorded outcome is raised as."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from meshdata.engine.entry import Entry
from meshdata.errors import (
    ActivityFailed,
    ChildFailed,
    InvalidOptions,
    JobError,
    JobExists,
    JobFailed,
    JobNotFound,
    MeshTimeout,
    UniqueViolation,
    UsageError,
    end_from_payload,
    failure_from_payload,
)
from meshdata.store.messages import texts
from meshdata.values import from_json
from meshdata.workflow.context import current_path, current_run, durable_codes
from meshdata.workflow.interceptor import Outbound, around

Live = Callable[[Any, "Call"], None]
"""Begins a call's work; it is given the run and the call."""


class Call:
    """One durable call of a run."""

    __slots__ = (
        "attempts",
        "began",
        "decode",
        "first_ms",
        "future",
        "has_begun",
        "inline",
        "kind",
        "live",
        "name",
        "position",
        "state",
        "task",
    )

    def __init__(
        self,
        position: str,
        kind: str,
        name: str,
        live: Live,
        decode: Callable[[bytes], Any],
        *,
        inline: bool,
    ) -> None:
        self.position = position
        self.kind = kind
        self.name = name
        self.live = live
        self.decode = decode
        self.inline = inline
        self.attempts = 0
        self.began = 0.0
        self.first_ms: int | None = None  # when its first attempt began, once the journal says so
        self.has_begun = False
        self.state = "new"
        self.future: asyncio.Future[Any] | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def is_unwritten(self) -> bool:
        """Whether the store cannot know of it."""
        return self.inline and self.attempts == 0 and self.state != "waiting" and not self.has_begun

    def __str__(self) -> str:
        return label(self.kind, self.name)


def durable(
    verb: str,
    kind: str,
    name: str,
    live: Live,
    *,
    decode: Callable[[bytes], Any] = from_json,
    inline: bool = False,
) -> Coroutine[Any, Any, Any]:
    """A durable call of the current run. Its identity is taken now, not when it is awaited.

    Args:
        verb: what the user called, for errors.
        kind, name: what the journal entry will say; replay that meets another pair here is an error.
        live: begins the work; called at most once per attempt, never for a call whose outcome is recorded.
        decode: turns the recorded payload into the value.
        inline: the work is done in this process.
    """
    run = current_run(verb)
    call = Call(current_path().next_call(), kind, name, live, decode, inline=inline)
    if run.host.interceptors:
        return _intercepted(run, call, verb)
    outcome: Coroutine[Any, Any, Any] = run.outcome(call)
    return outcome


async def _intercepted(run: Any, call: Call, verb: str) -> Any:
    async def make(_: Outbound) -> Any:
        if call.future is not None:
            raise UsageError(f"{verb} was made already; an interceptor proceeds once")
        return await run.outcome(call)

    about = Outbound(verb, call.kind, call.name, run.job, call.position)
    return await around(run.host.interceptors, "outbound", about, make)


durable_codes.add(_intercepted.__code__)


def label(kind: str, name: str) -> str:
    """A call as people are told of it."""
    return f"{kind} {name.replace(SEPARATOR, ', ')}".rstrip()


SEPARATOR: Final = "\x1f"
"""Stands between the keys of a wait on several; no key holds it."""


SIGNALS: Final = ("wait", "any")
"""Kinds of calls that wait for a signal; their name is the key or keys."""


def partitions_of(call: Call, partition: Callable[[str], int]) -> str:
    """Where the keys of a wait live, parted by commas."""
    return ",".join(str(partition(key)) for key in call.name.split(SEPARATOR))


async def failure_as_value(call: Coroutine[Any, Any, Any]) -> Any:
    """What a call gives whose policy says `throw_on_error=False`: its failure is a value too."""
    try:
        return await call
    except JobFailed as error:
        return {
            "type": error.type,
            "message": error.message,
            "code": error.code,
            "attempts": error.attempts,
            "stack": error.remote_traceback,
        }


durable_codes.add(failure_as_value.__code__)


def failure_of(entry: Entry, job: str) -> Exception:
    """The exception a recorded failure is raised as, the same on the first run and on every replay."""
    if entry.code == "err":
        data = from_json(entry.payload)
        if entry.kind in ("child", "start", "hook"):
            return end_from_payload(data, ChildFailed, entry.name)
        return failure_from_payload(data, ActivityFailed, job)
    if entry.code == "timeout" and entry.kind == "activity":
        late = {"type": "TimedOut", "message": f"activity {entry.name} did not end by its deadline", "code": 596}
        return failure_from_payload(late, ActivityFailed, job)
    if entry.code == "timeout":
        return MeshTimeout(f"no signal {entry.name.replace(SEPARATOR, ' or ')!r} came in time", job_id=job)
    if entry.code == "exists":
        return JobExists(job_id=entry.name)
    if entry.code == "notfound":
        return JobNotFound(job_id=entry.name)
    if entry.code == "closed":
        return JobError(f"{entry.name} takes no hooks any more", job_id=entry.name)
    if entry.code == "ended":
        return JobError(f"{entry.name} is over already", job_id=entry.name)
    if entry.code == "notnumber":
        field = entry.payload.decode()
        return InvalidOptions(f"{field!r} holds no number that could be counted with", argument=field)
    if entry.code == "taken":
        return UniqueViolation(*job.split(":", 1), *texts(entry.payload))
    if entry.code == "claim":
        field = entry.payload.decode()
        return InvalidOptions("it is unique: only set() changes it, where the model is known", argument=field)
    if entry.code == "full":
        return JobError(f"too many signals wait on {entry.name!r}; nobody takes them", job_id=job)
    return JobFailed(f"unknown outcome {entry.code}", job_id=job, type="CorruptRecord")
