"""The errors of the mesh: what went wrong as fields, what to do next as a sentence; nothing here does I/O.

MeshError
├── UsageError            the caller's mistake, seen before any work was done
│   ├── EntityNotFound    nothing serves that name
│   ├── InvalidOptions    an argument does not fit; it is named in `.argument`
│   │   └── RecordInvalid a value does not fit its model; has `.model`, `.id` and `.field`
│   ├── ModelError        a model of graphs cannot be compiled; everything that is wrong is in `.problems`
│   └── NotInWorkflow     a workflow verb was called outside a workflow function
├── JobError              true of one job; has `.job_id` and `.code`
│   ├── JobNotFound       404
│   ├── JobExists         409
│   ├── JobInterrupted    410
│   │   └── JobCancelled  410  it ended because it was asked to
│   ├── JobExpired        410
│   └── JobFailed         500  its function raised
│       ├── ActivityFailed      an activity raised and is not tried again
│       ├── ChildFailed         a child workflow failed
│       ├── RetriesExhausted    597  it was run as often as its policy allows
│       ├── TimedOut            596  it did not end in the time for all its attempts; also a TimeoutError
│       └── FatalFailure        598  its function raised Fatal; also a Fatal
├── RecordNotFound        404  no record under that id
├── RecordExists          409  there is a record under that id already
├── RevisionConflict      409  the record changed since it was read
├── UniqueViolation       409  another record has that value of a unique field
├── VersionNotFound       404  an app of graphs has no such version, or none that is active
├── QuorumNotReached      503  living engines of an app have not made a version ready
├── ReplayError           the function took another path than its journal
├── StoreError
│   ├── StoreUnavailable  503  Redis did not answer; try again
│   ├── ScriptFailed      Redis answered with an error
│   └── CorruptRecord     stored bytes are not what their key promises
├── SearchError
│   ├── IndexNotFound     404
│   ├── IndexOutdated
│   ├── QueryInvalid      400
│   └── SearchUnavailable the server has no search module
└── MeshTimeout           504  also a TimeoutError
    └── NotConnected      504  nobody serves what was called; has `.topic`
Fatal(Exception)          raised by users: do not retry
RetryAfter(Exception)     raised by users: retry, but not before so long
Suspended(BaseException)  thrown into a run that is dropped from memory; never an error, not for users to catch
ContinueAsNew(BaseException)  raised by `workflow.continue_as_new`, which ends the run; not for users to catch
ModelProblem(tuple)       no error itself: one of a ModelError's problems

The last three below JobFailed are ActivityFailed as well where an activity failed so, ChildFailed where a child did.

An error crosses Redis as a dict of plain values (`failure_payload`), never pickled, so that no process runs what
another one stored.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

CODE_NOT_FOUND = 404
CODE_EXISTS = 409
CODE_INTERRUPTED = 410
CODE_FAILED = 500
CODE_TIMEOUT = 504
CODE_WORKFLOW_TIMEOUT = 596
CODE_EXHAUSTED = 597
CODE_FATAL = 598
FINAL_CODES = frozenset({CODE_WORKFLOW_TIMEOUT, CODE_EXHAUSTED, CODE_FATAL})
"""Codes that end a job at once: no retry policy applies."""

# What one failure may add to a journal or a job header. The end of a traceback is the part that names the cause.
MESSAGE_LIMIT = 4_000
TRACEBACK_LIMIT = 12_000


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    """Make the error again from its parts, without its constructor (whose keywords pickle and copy do not know)."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class MeshError(Exception):
    """Everything the mesh raises on its own account."""

    code: int = CODE_FAILED

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


# --- what users raise -------------------------------------------------------------------------------------------------


class Fatal(Exception):
    """Raised by users: what happened cannot be mended by trying again."""

    code: int = CODE_FATAL


class RetryAfter(Exception):
    """Raised by users: try again, but not before so long.

    The pause takes the place of the one the retry policy would make; its number of attempts still holds (where there is
    no policy, that of `RetryPolicy()`). Any exception with an attribute `retry_after` is taken alike.

    Args:
        delay: a duration: seconds, a timedelta, or a text such as "2 minutes".
    """

    def __init__(self, delay: timedelta | float | str, message: str = "") -> None:
        super().__init__(message)
        self.retry_after = delay
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.retry_after, self.message)


# --- the caller's mistakes --------------------------------------------------------------------------------------------


class UsageError(MeshError):
    """The call cannot be right; nothing was written."""

    code = 400


class EntityNotFound(UsageError):
    """Nothing is known under this name: no function was connected to it."""

    code = CODE_NOT_FOUND

    def __init__(self, entity: str, message: str = "") -> None:
        super().__init__(
            message or f"No function is connected to {entity!r}; connect one first, or check the spelling."
        )
        self.entity = entity


class InvalidOptions(UsageError):
    """An argument does not fit; `.argument` names it (with a path where it is inside a value: `args[0].user`)."""

    def __init__(self, message: str, *, argument: str = "") -> None:
        super().__init__(f"{argument}: {message}" if argument else message)
        self.argument = argument
        self.message = message


class RecordInvalid(InvalidOptions):
    """A record, or a change to one, does not fit its model; nothing was written.

    Attributes:
        model: the model's name; id: the record's, "" where it is not known.
        field: which field, with a path where the value is inside another ("address.city").
    """

    def __init__(self, message: str, *, model: str, field: str, id: str = "") -> None:
        record = f" record {id!r}" if id else ""
        super().__init__(f"{model}{record}: {message}", argument=field)
        self.model = model
        self.field = field
        self.id = id


class NotInWorkflow(UsageError):
    """A verb that needs a running workflow was called outside one."""

    def __init__(self, verb: str) -> None:
        if verb.startswith("activity."):
            super().__init__(f"{verb} works inside an activity only; call it from a function with @activity.")
        else:
            super().__init__(
                f"workflow.{verb} works inside a workflow function only; call it from a function the mesh runs."
            )
        self.verb = verb


class ModelProblem(NamedTuple):
    """One thing that is wrong with a model of graphs.

    Attributes:
        graph: the topic its graph subscribes to, None where it is of no graph; activity: the id of its activity.
        field: where, from the activity, the graph or the model down: `job.maps.total`.
        line: from 1; None for a model that was not read from a text. file: the file's path, None for a text.
    """

    message: str
    graph: str | None = None
    activity: str | None = None
    field: str | None = None
    line: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        at = f"{self.file}:{self.line}" if self.file and self.line else f"line {self.line}" if self.line else self.file
        named = (("graph", self.graph), ("activity", self.activity), ("field", self.field))
        where = ", ".join([*([at] if at else []), *(f"{word} {name}" for word, name in named if name)])
        return f"{where}: {self.message}" if where else self.message


class ModelError(UsageError):
    """A model of graphs cannot be compiled; nothing was written.

    Everything that is wrong is in `.problems`; the first of them is told by `.graph`, `.activity`, `.field`, `.line`.
    """

    def __init__(
        self,
        message: str = "",
        *,
        graph: str | None = None,
        activity: str | None = None,
        field: str | None = None,
        line: int | None = None,
        file: str | None = None,
        problems: Sequence[ModelProblem] = (),
    ) -> None:
        found = tuple(problems) or (ModelProblem(message, graph, activity, field, line, file),)
        listed = "".join(f"\n  {problem}" for problem in found)
        super().__init__(str(found[0]) if len(found) == 1 else f"The model has {len(found)} problems:{listed}")
        self.problems = found
        self.message, self.graph, self.activity, self.field, self.line, self.file = found[0]


# --- true of one job --------------------------------------------------------------------------------------------------


class JobError(MeshError):
    """True of one job; `.job_id` is "entity:id"."""

    phrase = "is in trouble"

    def __init__(self, message: str = "", *, job_id: str = "", code: int | None = None) -> None:
        super().__init__(message or f"Job {job_id!r} {self.phrase}.")
        self.message = message
        self.job_id = job_id
        if code is not None:
            self.code = code


class JobNotFound(JobError):
    """There is no such job: it never was, it expired, or it was flushed."""

    code = CODE_NOT_FOUND
    phrase = "does not exist: it was never started, has expired, or was flushed"


class JobExists(JobError):
    """The id is taken by a living job."""

    code = CODE_EXISTS
    phrase = "exists already; choose another id, or flush it first"


class JobInterrupted(JobError):
    """The job was interrupted, by a caller or with its parent; `.reason` is what the interrupter said."""

    code = CODE_INTERRUPTED

    def __init__(self, message: str = "", *, job_id: str = "", reason: str = "", code: int | None = None) -> None:
        because = f": {reason}" if reason else ""
        super().__init__(message or f"Job {job_id!r} was interrupted{because}.", job_id=job_id, code=code)
        self.reason = reason


class JobCancelled(JobInterrupted):
    """The job was asked to end itself, and did; `.reason` is what the one who asked said."""

    def __init__(self, message: str = "", *, job_id: str = "", reason: str = "", code: int | None = None) -> None:
        because = f": {reason}" if reason else ""
        text = message or f"Job {job_id!r} was cancelled{because}."
        super().__init__(text, job_id=job_id, reason=reason, code=code)


class JobExpired(JobError):
    """The job went past its lifetime before it had a result."""

    code = CODE_INTERRUPTED
    phrase = "has expired before its result was read"


class JobFailed(JobError):
    """The job's function raised.

    Attributes:
        type: the name of what was raised, e.g. "ValueError"; message: its text.
        code: 500, or 596 to 598 where no retry applies, or what the function chose.
        attempts: how often it was tried.
        remote_traceback: the traceback of the process where it happened; "" if none was kept.
    """

    code = CODE_FAILED
    subject = "Job"

    def __init__(
        self,
        message: str = "",
        *,
        job_id: str = "",
        type: str = "Exception",  # the fact is called so on the wire and in the documentation
        code: int | None = None,
        attempts: int = 1,
        remote_traceback: str = "",
    ) -> None:
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        cause = f"{type}: {message}" if message else type
        super().__init__(f"{self.subject} {job_id!r} failed{tries}: {cause}", job_id=job_id, code=code)
        self.message = message
        self.type = type
        self.attempts = attempts
        self.remote_traceback = remote_traceback


class ActivityFailed(JobFailed):
    """An activity raised and is not tried again; raised where the workflow awaited it."""

    subject = "An activity of job"


class ChildFailed(JobFailed):
    """A child workflow failed; `.job_id` is the child's."""

    subject = "Child job"


class RetriesExhausted(JobFailed):
    """It was run as often as its policy allows; `.__cause__` is what the last attempt failed with."""

    code = CODE_EXHAUSTED


class TimedOut(JobFailed, TimeoutError):
    """It did not end within the time it was given for all its attempts; no retry applies."""

    code = CODE_WORKFLOW_TIMEOUT


class FatalFailure(JobFailed, Fatal):
    """Its function raised `Fatal`, or an exception with that code; no retry applies."""

    code = CODE_FATAL


# Under their public names also what they are of: an activity's is an ActivityFailed too, a child's a ChildFailed.
# Nested, so that all three are called the same where they are shown.
_Exhausted = RetriesExhausted
_TimedOut = TimedOut
_Fatal = FatalFailure


class _OfActivity:
    class RetriesExhausted(ActivityFailed, _Exhausted):
        """An activity raised as often as its policy allows."""

    class TimedOut(ActivityFailed, _TimedOut):
        """An activity did not end by its deadline."""

    class FatalFailure(ActivityFailed, _Fatal):
        """An activity raised `Fatal`."""


class _OfChild:
    class RetriesExhausted(ChildFailed, _Exhausted):
        """A child failed as often as its policy allows."""

    class TimedOut(ChildFailed, _TimedOut):
        """A child ended by a deadline."""

    class FatalFailure(ChildFailed, _Fatal):
        """A child raised `Fatal`."""


_KINDS: dict[tuple[type[JobFailed], int], type[JobFailed]] = {
    (JobFailed, CODE_EXHAUSTED): RetriesExhausted,
    (JobFailed, CODE_WORKFLOW_TIMEOUT): TimedOut,
    (JobFailed, CODE_FATAL): FatalFailure,
    (ActivityFailed, CODE_EXHAUSTED): _OfActivity.RetriesExhausted,
    (ActivityFailed, CODE_WORKFLOW_TIMEOUT): _OfActivity.TimedOut,
    (ActivityFailed, CODE_FATAL): _OfActivity.FatalFailure,
    (ChildFailed, CODE_EXHAUSTED): _OfChild.RetriesExhausted,
    (ChildFailed, CODE_WORKFLOW_TIMEOUT): _OfChild.TimedOut,
    (ChildFailed, CODE_FATAL): _OfChild.FatalFailure,
}
"""What a failure with one of the final codes is raised as, by what failed."""


# --- records, replay --------------------------------------------------------------------------------------------------


class RecordNotFound(MeshError):
    """No record is stored under this id."""

    code = CODE_NOT_FOUND

    def __init__(self, entity: str, id: str) -> None:
        super().__init__(f"There is no {entity!r} record with id {id!r}.")
        self.entity = entity
        self.id = id


class RecordExists(MeshError):
    """A record was to be created, and there is one under its id."""

    code = CODE_EXISTS

    def __init__(self, entity: str, id: str) -> None:
        super().__init__(
            f"Record {entity}:{id} exists already; change it with update(), or set() it whatever is there."
        )
        self.entity = entity
        self.id = id


class UniqueViolation(MeshError):
    """Another record of the entity has this value of a unique field; nothing was written.

    Attributes:
        entity, id: the record that was to be written.
        field, value: the field, and its value as text.
        holder: the id of the record that has it.
    """

    code = CODE_EXISTS

    def __init__(self, entity: str, id: str, field: str, value: str, holder: str) -> None:
        super().__init__(
            f"{entity}:{id} cannot have {field} = {value!r}: it is unique, and {entity}:{holder} has it already."
        )
        self.entity = entity
        self.id = id
        self.field = field
        self.value = value
        self.holder = holder


class RevisionConflict(MeshError):
    """The record changed since it was read; read it again and repeat the change."""

    code = CODE_EXISTS

    def __init__(self, entity: str, id: str, expected: int, found: int) -> None:
        super().__init__(f"Record {entity}:{id} is at revision {found}, not {expected}; read it again and repeat.")
        self.entity = entity
        self.id = id
        self.expected = expected
        self.found = found


class ReplayError(MeshError):
    """The function asked for another call than its journal holds at this position.

    The job is parked, not failed: it goes on when code that fits its journal is deployed.

    Attributes:
        expected: the recorded call, kind and name; position: its place; recorded: its entry in the journal, and when.
        found: what the function has there; where: at which line, as "orders.py:41 in charge".
        others: the calls it made elsewhere and waits for, with their lines, where there is none at the position.
    """

    def __init__(
        self,
        expected: str,
        found: str,
        position: str,
        *,
        where: str = "",
        recorded: str = "",
        others: Sequence[str] = (),
    ) -> None:
        facts = f" ({recorded})" if recorded else ""
        place = f" at {where}" if where else ""
        beside = f"; it waits for {', '.join(others)}" if others else ""
        super().__init__(
            f"At position {position} the journal has {expected}{facts}, the function has {found}{place}{beside}; "
            "it must take the way it took before (see workflow.patched)."
        )
        self.expected = expected
        self.found = found
        self.position = position
        self.where = where
        self.recorded = recorded
        self.others = tuple(others)


# --- graphs -----------------------------------------------------------------------------------------------------------


class VersionNotFound(MeshError):
    """An app of graphs has no such version, or none that is active: deploy a model, and activate its version."""

    code = CODE_NOT_FOUND

    def __init__(self, message: str, *, app: str, version: str = "") -> None:
        super().__init__(message)
        self.app = app
        self.version = version


class QuorumNotReached(MeshError):
    """A version was not activated, since not every living engine of the app has made it ready; it may be tried again.

    Attributes:
        missing: engines (their processes) that did not answer.
        problems: why engines cannot carry the version out, by their processes.
    """

    code = 503

    def __init__(
        self, message: str, *, app: str, version: str, missing: Sequence[str] = (), problems: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.app = app
        self.version = version
        self.missing = tuple(missing)
        self.problems = dict(problems)


# --- the store and search ---------------------------------------------------------------------------------------------


class StoreError(MeshError):
    """Something is wrong with the store, not with the call."""


class StoreUnavailable(StoreError):
    """Redis could not be reached or did not answer; the call may be made again."""

    code = 503


class ScriptFailed(StoreError):
    """Redis answered a command or a script with an error; `.script` is the file, where there is one."""

    def __init__(self, message: str, *, script: str = "") -> None:
        super().__init__(f"{script}: {message}" if script else message)
        self.message = message
        self.script = script


class CorruptRecord(StoreError):
    """Stored bytes are not what their key promises; `.key` is where they are."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.message = message
        self.key = key


class SearchError(MeshError):
    """A query or an index cannot be used."""


class IndexNotFound(SearchError):
    """The entity has no index; create it with `mesh.create_index(Model)`."""

    code = CODE_NOT_FOUND


class IndexOutdated(SearchError):
    """The index was made by newer code than this process runs, and lacks fields of its model: `.missing` names them."""

    def __init__(self, message: str, *, missing: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.missing = list(missing)


class QueryInvalid(SearchError):
    """The server does not understand the query."""

    code = 400


class SearchUnavailable(SearchError):
    """The server has no search module; everything but search works."""

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "This Redis has no search module; use embedded://, redis-stack-server or Redis 8, or load the module."
        )


class MeshTimeout(MeshError, TimeoutError):
    """The wait ended before what it waited for; the job itself goes on. `.job_id` is "" where no job is meant."""

    code = CODE_TIMEOUT

    def __init__(self, message: str = "", *, job_id: str = "", timeout_s: float | None = None) -> None:
        waited = "" if timeout_s is None else f" in {timeout_s:g} s"
        super().__init__(message or (f"Job {job_id!r} gave no result{waited}." if job_id else f"No answer{waited}."))
        self.job_id = job_id
        self.timeout_s = timeout_s


class NotConnected(MeshTimeout):
    """Nobody answered a call in time because no living process serves its topic; `.topic` is that."""

    def __init__(self, topic: str, *, timeout_s: float | None = None, fate: str = "") -> None:
        within = "" if timeout_s is None else f" within {timeout_s:g} s"
        then = f"; {fate}" if fate else ""
        super().__init__(
            f"Nobody serves {topic!r}: no process was connected to it{within}{then}. Connect a function to it in a "
            "process of this namespace, or check the spelling.",
            timeout_s=timeout_s,
        )
        self.topic = topic


# --- control flow -----------------------------------------------------------------------------------------------------


class Suspended(BaseException):
    """Thrown into a run that is dropped from memory.

    On BaseException, so that a user's `except Exception` does not swallow it.
    """


class ContinueAsNew(BaseException):
    """Ends a run whose job goes on as a new one; see `workflow.continue_as_new`.

    On BaseException, so that a user's `except Exception` does not swallow it. `.body`: the start of the new run, as
    stored.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__("the job goes on as a new run")
        self.body = body


# --- across Redis -----------------------------------------------------------------------------------------------------

Failure = TypeVar("Failure", bound=JobFailed)


def failure_payload(exc: BaseException, *, code: int | None = None, attempts: int = 1) -> dict[str, Any]:
    """Tell an exception as plain values that JSON can hold.

    An escaped JobFailed (an activity's, a child's) keeps its root: the type and message of what was raised first, under
    a traceback that shows both places.

    Args:
        code: None takes the exception's own `.code` if it is a mesh error or `Fatal`, else 500.
        attempts: how often the work was tried.

    Returns:
        {type: str, message: str, code: int, attempts: int, traceback: str}, bounded in size.
    """
    if isinstance(exc, JobFailed):
        kind, message = exc.type, exc.message
    else:
        kind, message = type(exc).__name__, _text_of(exc)
    if code is None:
        own = getattr(exc, "code", CODE_FAILED) if isinstance(exc, MeshError | Fatal) else CODE_FAILED
        code = own if isinstance(own, int) else CODE_FAILED
    return {
        "type": kind,
        "message": _bounded(message, MESSAGE_LIMIT, keep_end=False),
        "code": code,
        "attempts": attempts,
        "traceback": _bounded(_traceback_of(exc), TRACEBACK_LIMIT, keep_end=True),
    }


def failure_from_payload(
    payload: Mapping[str, Any],
    cls: type[Failure] = JobFailed,  # type: ignore[assignment]  # a default for a type variable; mypy has no form for it
    job_id: str = "",
) -> Failure:
    """Make the error again that `failure_payload` told; absent fields take their defaults.

    A failure with one of the final codes is raised as the subclass that says so (`RetriesExhausted`, `TimedOut`,
    `FatalFailure`); what its last attempt failed with is its `__cause__`, as far as that is known.
    """
    code = int(payload.get("code", cls.code))
    made: Any = _KINDS.get((cls, code), cls)
    failure: Failure = made(
        str(payload.get("message", "")),
        job_id=job_id,
        type=str(payload.get("type", "Exception")),
        code=code,
        attempts=int(payload.get("attempts", 1)),
        remote_traceback=str(payload.get("traceback", "")),
    )
    cause = payload.get("cause")
    if cause is None and made is not cls and code == CODE_EXHAUSTED:
        cause = {**payload, "code": CODE_FAILED}
    if cause is not None:
        failure.__cause__ = failure_from_payload(cause, cls, job_id)
    return failure


def end_from_payload(payload: Mapping[str, Any], cls: type[JobFailed] = JobFailed, job_id: str = "") -> JobError:
    """How a job ended other than well: JobInterrupted or JobCancelled if that befell it itself, else the failure.

    A job that failed because another one, say its child, was interrupted, has failed: what tells the two apart is the
    `reason`, which only an interruption stores.
    """
    if "reason" in payload:
        code = int(payload.get("code", CODE_INTERRUPTED))
        kind = JobCancelled if payload.get("type") == JobCancelled.__name__ else JobInterrupted
        return kind(job_id=job_id, reason=str(payload["reason"]), code=code)
    return failure_from_payload(payload, cls, job_id)


def _text_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # a user's __str__ may raise; the failure must be recorded all the same
        return f"<its text cannot be read: {type(broken).__name__}>"


def _traceback_of(exc: BaseException) -> str:
    try:
        here = "".join(traceback.format_exception(exc))
    except Exception as broken:  # as above: formatting runs user code (__str__, __repr__, __notes__)
        here = f"<its traceback cannot be shown: {type(broken).__name__}>"
    if isinstance(exc, JobFailed) and exc.remote_traceback:
        return f"{exc.remote_traceback.rstrip()}\n\nand, where that was awaited:\n\n{here}"
    return here


def _bounded(text: str, limit: int, *, keep_end: bool) -> str:
    """At most `limit` characters that UTF-8 can hold (a message may carry lone surrogates from the file system)."""
    if len(text) > limit:
        text = f"… {text[2 - limit :]}" if keep_end else f"{text[: limit - 2]} …"
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
