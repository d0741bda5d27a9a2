"""The document a job is exported as: what it keeps, how it stands, every call it made and when. Pure.

The sections `data`, `state`, `status`, `timeline` and `transitions` have the shape the reference family gives them;
their times are text, `YYYYMMDDHHMMSS.mmm` in UTC. `execution` is the same story for drawing: spans with a begin and an
end, as datetimes (ISO 8601 in JSON). `journal` is what was recorded, so that the run can be replayed from it.
"""

import base64
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from meshdata.errors import InvalidOptions

FORMAT: Final = 1
SECTIONS: Final = ("data", "state", "status", "timeline", "transitions", "execution", "journal")
_BASE64: Final = "base64:"
"""Begins a journal entry that is no UTF-8; every other one begins with a digit."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Failure(_Part):
    """What was raised: the name of its class, its text, its code."""

    type: str
    message: str
    code: int


class Attempt(_Part):
    """One run of an activity's function; `error` None if it returned."""

    number: int
    started: datetime
    ended: datetime
    duration_ms: int
    error: Failure | None = None


class Span(_Part):
    """One durable call, or (kind `workflow` and `hook`) one run of a function.

    Attributes:
        dimension: "0" for the main function, the hook's number in a hook; position: the call's place in it, see
            docs/keyspace.md; "" for a run.
        status: completed, failed, timeout; waiting (for what comes from outside), backoff (for its next attempt); for a
            run its status.
        ended, duration_ms: None while it goes on.
        attempts: of an activity, those that ended.
        job: the other job it is about: a child, or who was hooked or interrupted.
        worker: the process that has the run, None if none does or it is over.
    """

    dimension: str
    position: str
    kind: str
    name: str
    status: str
    started: datetime
    ended: datetime | None = None
    duration_ms: int | None = None
    attempts: list[Attempt] = []
    error: Failure | None = None
    job: str | None = None
    worker: str | None = None


class Place(_Part):
    """A call of another job: "<entity>:<id>", the dimension and position there."""

    job: str
    dimension: str
    position: str


class Child(_Part):
    """A job this one started, by which of its calls; living until it ended or was let go."""

    job: str
    dimension: str
    position: str
    living: bool


class Execution(_Part):
    """The job drawn: spans by their begin, enough for a Gantt chart.

    Attributes:
        origin: the job at the root of its tree; parent: the call that started it.
        attempts: runs of the main function so far.
    """

    job: str
    status: str
    created: datetime
    ended: datetime | None
    duration_ms: int | None
    attempts: int
    worker: str | None
    origin: str | None
    parent: Place | None
    children: list[Child]
    error: Failure | None
    spans: list[Span]


class Journal(_Part):
    """The recorded outcomes of one run, as stored; `attempt` counts the runs of its function that failed before.

    `waits` are the positions of the calls whose outcome was still to come.
    """

    dimension: str
    name: str
    attempt: int
    status: str
    entries: list[str]
    waits: list[str] = []


class Moment(_Part):
    """One outcome: the kind of call, its number in its task, the call's place, and `{data | $error, ac, au}`."""

    key: str
    index: int
    dimension: str | None = None
    position: str
    value: dict[str, Any]


class Transition(_Part):
    """One call's begin and end, as the reference family lists them."""

    activity: str
    dimensions: str
    created: str
    updated: str


class JobExport(_Part):
    """A job as a document; a section that was not asked for is None. `to_json` and `from_json` take it to a file
    and back.

    Attributes:
        data: the record's user fields; names with a slash as nested objects.
        state: `data` (response, done, id, jc, ju, and $error if it failed) and `metadata` (app, vrs, jid, gid, tpc, jc,
            ju, status, err).
        status: how many threads of it are open; 0 when it is over, below -100,000,000 when it was interrupted.
    """

    format: int = FORMAT
    namespace: str
    entity: str
    id: str
    data: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    status: int | None = None
    timeline: list[Moment] | None = None
    transitions: list[Transition] | None = None
    execution: Execution | None = None
    journal: list[Journal] | None = None

    def to_json(self, *, indent: int | None = None) -> str:
        """The document as JSON, without the sections that are not there."""
        absent = {name for name in SECTIONS if getattr(self, name) is None}
        return self.model_dump_json(indent=indent, exclude=absent)

    @classmethod
    def from_json(cls, text: str | bytes) -> "JobExport":
        """The document that `to_json` wrote.

        Raises:
            InvalidOptions: it is none, or one of a later version.
        """
        try:
            export = cls.model_validate_json(text)
        except ValueError as error:
            raise InvalidOptions(f"this is no exported job: {error}", argument="export") from error
        if export.format != FORMAT:
            raise InvalidOptions(
                f"it was exported in format {export.format}, this version reads {FORMAT}", argument="export"
            )
        return export


def sections(allow: Collection[str] | None, block: Collection[str] | None) -> set[str]:
    """Which sections are asked for.

    Raises:
        InvalidOptions: there is no such section.
    """
    for argument, names in (("allow", allow), ("block", block)):
        if isinstance(names, str):
            raise InvalidOptions(f"a list of sections; there are: {', '.join(SECTIONS)}", argument=argument)
        for name in names or ():
            if name not in SECTIONS:
                raise InvalidOptions(f"no section {name!r}; there are: {', '.join(SECTIONS)}", argument=argument)
    return set(SECTIONS if allow is None else allow) - set(block or ())


def entry_text(raw: bytes) -> str:
    """A journal entry as text that JSON can hold."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _BASE64 + base64.b64encode(raw).decode()


def entry_bytes(text: str) -> bytes:
    """The entry that `entry_text` wrote."""
    return base64.b64decode(text[len(_BASE64) :]) if text.startswith(_BASE64) else text.encode()
