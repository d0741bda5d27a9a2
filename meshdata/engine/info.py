"""A job as it stands, and a process as it does. Pure: made from a header."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from meshdata.values import from_json


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing a job waits for: the call's position, its kind (sleep, wait, child, activity, …), name, since when."""

    position: str
    kind: str
    name: str
    since: datetime | None = None


NOT_RUN: Final = ("pending", "delayed", "backoff")
"""Where the run that counts as the next has not begun."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """How a job stands.

    Attributes:
        status: pending (reserved), delayed (to start later), queued, running, waiting (suspended), backoff (before
            another attempt), parked (its code does not fit its journal), completed, failed or interrupted.
        created, ended: UTC; ended None while it lives.
        due: when a delayed job starts, or a reservation lapses.
        attempts: runs of the function so far.
        runs: runs of the job so far, of which all but this one ended by `workflow.continue_as_new`.
        waiting_for: what it waits for.
        holder: the process that holds its lease, None if none does.
        error: the error's message, if it failed, was interrupted or is parked.
        ttl_ms: its ttl; None for infinity, 0 if it had none.
        is_open: whether it takes hooks.
        hooks: hooks running; children: child jobs running.
        origin: the job at the root of its tree.
        entries: how many entries its journal has; is_long: whether they are more than this mesh calls a few
            (`MeshData(long_journal=...)`): `workflow.continue_as_new` begins a new one.
    """

    entity: str
    id: str
    status: str
    created: datetime
    ended: datetime | None
    attempts: int
    waiting_for: tuple[Wait, ...]
    holder: str | None
    error: str | None
    ttl_ms: int | None
    is_open: bool
    hooks: int
    children: int
    origin: str | None
    topic: str
    fence: int
    due: datetime | None = None
    runs: int = 1
    entries: int = 0
    is_long: bool = False

    @property
    def is_ended(self) -> bool:
        """Whether it is over."""
        return self.status in ("completed", "failed", "interrupted")


def job_info(entity: str, id: str, header: dict[str, bytes]) -> JobInfo:
    """What a header says."""
    text = {name: value.decode("utf-8", "replace") for name, value in header.items() if name != "result"}
    status = text["status"]
    ttl = text.get("ttl", "")
    ended = status in ("completed", "failed", "interrupted")
    living_open = (status == "completed" and ttl != "") or not (ended or status == "pending")
    return JobInfo(
        entity=entity,
        id=id,
        status=status,
        created=_time(text["created"]),
        ended=_time(text["ended"]) if "ended" in text else None,
        attempts=int(text.get("attempt", 0)) + (status not in NOT_RUN),
        waiting_for=tuple(_wait(name, value) for name, value in text.items() if name.startswith("w:")),
        holder=text.get("owner") or None,
        error=_error(header) if text.get("code") == "err" else text.get("parked"),
        ttl_ms=None if ttl == "inf" else int(ttl or 0),
        is_open=living_open and text.get("hookable") != "0",
        hooks=int(text.get("hooks", 0)),
        children=sum(name.startswith("c:") for name in text),
        origin=text.get("origin"),
        topic=text["topic"],
        fence=int(text["fence"]),
        due=_time(text["due"]) if "due" in text else None,
        runs=int(text.get("runs", 1)),
    )


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a process does its part.

    Attributes:
        reachable: Redis answers it.
        reading: its streams are read (true if it serves nothing).
        alive: its life sign is fresh (true if it serves nothing).
        resident: runs in memory; busy: slots taken.
        parked: runs put aside because no code that serves them fits their journals; of what this process serves.
    """

    reachable: bool
    serving: bool
    reading: bool
    alive: bool
    has_search: bool
    resident: int
    busy: int
    parked: int

    @property
    def ok(self) -> bool:
        """All of it."""
        return self.reachable and self.reading and self.alive


def _time(ms: str) -> datetime:
    return datetime.fromtimestamp(int(ms) / 1000, UTC)


def _wait(field: str, value: str) -> Wait:
    kind, _, timer, name = value.split(" ", 3)
    since = timer.partition("/")[2]
    return Wait(field[2:], kind, name.replace("\x1f", ", "), _time(since) if since else None)


def _error(header: dict[str, bytes]) -> str | None:
    return str(from_json(header["result"]).get("message", ""))
