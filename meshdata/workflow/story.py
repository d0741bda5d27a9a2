"""A job's story, made from what is stored of it: headers, journals, record. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from meshdata.engine.entry import Entry, parse
from meshdata.engine.info import NOT_RUN
from meshdata.errors import JobFailed
from meshdata.values import from_json
from meshdata.workflow.call import SEPARATOR, failure_of
from meshdata.workflow.export import (
    FORMAT,
    SECTIONS,
    Attempt,
    Child,
    Execution,
    Failure,
    JobExport,
    Journal,
    Moment,
    Place,
    Span,
    Transition,
    entry_text,
)
from meshdata.workflow.journal import BACK
from meshdata.workflow.state import number, unpack

INTERRUPTED: Final = -1_000_000_000
"""The status of an interrupted job."""

CALLS_OF_JOBS: Final = ("child", "start", "hook", "interrupt", "cancel")
"""Kinds of calls whose name is another job's."""

_ENDS: Final = ("completed", "failed", "interrupted")


@dataclass(frozen=True, slots=True)
class Thread:
    """One run as stored: header and journal."""

    dimension: str
    header: Mapping[str, bytes]
    journal: Sequence[bytes]

    def text(self, name: str, default: str = "") -> str:
        """A header field."""
        return self.header.get(name, default.encode()).decode("utf-8", "replace")


def tell(
    namespace: str,
    job: str,
    threads: Sequence[Thread],
    record: Mapping[str, Any],
    *,
    wanted: Collection[str] = SECTIONS,
    values: bool = True,
) -> JobExport:
    """Tell a job's story.

    Args:
        threads: the main run first.
        record: its user fields, as JSON has them.
        values: False leaves out results, errors' data and the journal, which is made of them.
    """
    main = threads[0]
    entity, _, id = job.partition(":")
    read = [_Calls(thread, job) for thread in threads]
    spans = sorted((span for calls in read for span in calls.spans()), key=lambda span: span.started)
    updated = max([span.ended or span.started for span in spans])
    export = JobExport(namespace=namespace, entity=entity, id=id)
    if "data" in wanted:
        export.data = _nested(record)
    if "state" in wanted:
        export.state = _state(namespace, job, main, updated, values=values)
    if "status" in wanted:
        export.status = _semaphore(main)
    if "timeline" in wanted:
        export.timeline = [moment for calls in read for moment in calls.moments(values=values)]
    if "transitions" in wanted:
        export.transitions = [_transition(span) for span in spans if span.position]
    if "execution" in wanted:
        children = [child for calls in read for child in calls.children()]
        export.execution = _execution(job, main, spans, children)
    if "journal" in wanted and values:
        export.journal = [
            Journal(
                dimension=thread.dimension,
                name=calls.function,
                attempt=int(thread.text("attempt", "0")),
                status=thread.text("status"),
                entries=[entry_text(raw) for raw in thread.journal],
                waits=sorted(calls.waits),
            )
            for thread, calls in zip(threads, read, strict=True)
        ]
    return export


# --- one run's calls --------------------------------------------------------------------------------------------------


class _Calls:
    """The calls of one run: those in its journal, and those it waits for."""

    def __init__(self, thread: Thread, job: str) -> None:
        self.thread = thread
        self.job = job
        entries = [parse(at, raw) for at, raw in enumerate(thread.journal)]
        self.function = entries[0].name if entries else thread.text("name")
        self.calls: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.is_of_call and entry.code != BACK:
                self.calls.setdefault(entry.position, []).append(entry)
        self.waits = {
            name[2:]: value.decode("utf-8", "replace").split(" ", 3)
            for name, value in thread.header.items()
            if name.startswith("w:")
        }
        for position in self.waits:
            self.calls.setdefault(position, [])
        self.order = sorted(self.calls, key=_place)

    def spans(self) -> list[Span]:
        return [self._run(), *(self._span(position, self.calls[position]) for position in self.order)]

    def _run(self) -> Span:
        thread, created = self.thread, _time(self.thread.text("created"))
        ended = _time(thread.text("ended")) if "ended" in thread.header else None
        return Span(
            dimension=thread.dimension,
            position="",
            kind="workflow" if thread.dimension == "0" else "hook",
            name=self.function,
            status=thread.text("status"),
            started=created,
            ended=ended,
            duration_ms=_between(created, ended),
            error=_failure_at_end(thread),
            worker=thread.text("owner") or None,
        )

    def _span(self, position: str, entries: list[Entry]) -> Span:
        attempts = [] if not entries or entries[0].kind not in ("activity", "once") else list(self._attempts(entries))
        last = entries[-1] if entries and entries[-1].is_final else None
        wait = None if last is not None else self.waits.get(position)
        kind, name = (entries[0].kind, entries[0].name) if entries else (wait[0], wait[3]) if wait else ("", "")
        if attempts:
            started = attempts[0].started
        elif last is not None:
            started = _time(last.ms - last.took)
        else:
            since = wait[2].partition("/")[2] if wait else ""
            started = _time(since or self.thread.text("created"))
        status = "waiting" if wait is None or not attempts else "backoff"
        if last is not None:
            status = {"ok": "completed", "timeout": "timeout"}.get(last.code, "failed")
        ended = _time(last.ms) if last is not None else None
        return Span(
            dimension=self.thread.dimension,
            position=position,
            kind=kind,
            name=name.replace(SEPARATOR, ", "),
            status=status,
            started=started,
            ended=ended,
            duration_ms=_between(started, ended),
            attempts=attempts,
            error=_failure(last, self.job) if last is not None and last.code != "ok" else None,
            job=name if kind in CALLS_OF_JOBS else None,
        )

    def _attempts(self, entries: list[Entry]) -> Iterable[Attempt]:
        for at, entry in enumerate(entry for entry in entries if entry.code not in ("begin", "due")):
            yield Attempt(
                number=at + 1,
                started=_time(entry.ms - entry.took),
                ended=_time(entry.ms),
                duration_ms=entry.took,
                error=None if entry.code == "ok" else _failure(entry, self.job),
            )

    def moments(self, *, values: bool) -> Iterable[Moment]:
        """The timeline's items, those of calls that are over, by task and number."""
        for position in self.order:
            entries = self.calls[position]
            if not entries or not entries[-1].is_final:
                continue
            last = entries[-1]
            value: dict[str, Any] = {"ac": stamp(_time(entries[0].ms - entries[0].took)), "au": stamp(_time(last.ms))}
            if last.code == "ok":
                value["data"] = _value(last) if values else {}
            else:
                value["$error"] = _failure(last, self.job).model_dump() if values else {}
            if last.kind in CALLS_OF_JOBS:
                value["job_id"] = last.name
            yield Moment(
                key=last.kind,
                index=_place(position)[1],
                dimension=None if self.thread.dimension == "0" else self.thread.dimension,
                position=position,
                value=value,
            )

    def children(self) -> Iterable[Child]:
        """The jobs it started: as its header and its journal know them."""
        living = {name[2:] for name in self.thread.header if name.startswith("c:")}
        for position in self.order:
            span = self._span(position, self.calls[position])
            if span.kind in ("child", "start") and (
                span.status != "failed" or span.error is None or span.error.code != 409
            ):
                yield Child(job=span.name, dimension=span.dimension, position=position, living=span.name in living)


def _place(position: str) -> tuple[tuple[int, ...], int]:
    """A position as its task's path and its number there: what it is ordered by."""
    path, _, ordinal = position.partition(":")
    try:
        return tuple(int(part) for part in path.split(".")), int(ordinal)
    except ValueError:  # no call's: what is told the run as a whole
        return (), 0


def _value(entry: Entry) -> Any:
    """What a call gave, as JSON has it."""
    if entry.kind == "state" and entry.name == "mget":
        return [_text(value) for value in unpack(entry.payload)]
    if entry.kind == "state" and entry.name == "all":
        flat = [_text(value) for value in unpack(entry.payload)]
        return dict(zip(flat[::2], flat[1::2], strict=True))
    if entry.kind == "state":
        return number(entry.payload)
    if entry.kind == "hook":
        return _text(entry.payload)
    if entry.kind == "any":
        number_of_key, payload = from_json(entry.payload)
        return [entry.name.split(SEPARATOR)[number_of_key], payload]
    return from_json(entry.payload) if entry.payload else None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _failure(entry: Entry, job: str) -> Failure:
    code = "err" if entry.code == "try" else entry.code
    raised = failure_of(entry._replace(code=code), job)
    if isinstance(raised, JobFailed):
        return Failure(type=raised.type, message=raised.message, code=raised.code)
    return Failure(type=type(raised).__name__, message=str(raised), code=getattr(raised, "code", 500))


def _failure_at_end(thread: Thread) -> Failure | None:
    if thread.text("code") != "err":
        return None
    data = from_json(thread.header["result"])
    return Failure(type=data.get("type", "Exception"), message=data.get("message", ""), code=data.get("code", 500))


# --- the sections -----------------------------------------------------------------------------------------------------


def stamp(at: datetime) -> str:
    """A time as the reference family writes it: YYYYMMDDHHMMSS.mmm in UTC."""
    return f"{at:%Y%m%d%H%M%S}.{at.microsecond // 1000:03d}"


def _nested(record: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in record.items():
        *folders, leaf = name.split("/")
        inner: Any = data
        for folder in folders:
            inner = inner.setdefault(folder, {}) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and leaf:
            inner[leaf] = value
        else:  # "a" and "a/b": the second cannot be inside the first
            data[name] = value
    return data


def _state(namespace: str, job: str, main: Thread, updated: datetime, *, values: bool) -> dict[str, Any]:
    created, error = stamp(_time(main.text("created"))), _failure_at_end(main)
    times = {"jc": created, "ju": stamp(_time(main.text("ended")) if "ended" in main.header else updated)}
    over = main.text("status") in _ENDS
    data: dict[str, Any] = {"id": job.partition(":")[2], "done": over, "response": None, **times}
    if main.text("code") == "ok" and values:
        data["response"] = from_json(main.header["result"])
    metadata: dict[str, Any] = {
        "app": namespace, "vrs": str(FORMAT), "jid": job, "gid": main.text("fence"), "tpc": main.text("topic"),
        "status": main.text("status"), **times,
    }  # fmt: skip
    if error is not None:
        data["$error"] = error.model_dump() if values else {}
        metadata["err"] = error.message if values else ""
    return {"data": data, "metadata": metadata}


def _semaphore(main: Thread) -> int:
    status, hooks = main.text("status"), int(main.text("hooks", "0"))
    if status == "interrupted":
        return INTERRUPTED
    if status == "pending":
        return -1
    return hooks + (status not in _ENDS)


def _transition(span: Span) -> Transition:
    return Transition(
        activity=f"{span.kind} {span.name}".rstrip(),
        dimensions=f"{span.dimension},{span.position}",
        created=stamp(span.started),
        updated=stamp(span.ended or span.started),
    )


def _execution(job: str, main: Thread, spans: list[Span], children: list[Child]) -> Execution:
    created = _time(main.text("created"))
    ended = _time(main.text("ended")) if "ended" in main.header else None
    parent = None
    if main.text("parent"):
        _, position, dimension, its_job = main.text("parent").split(" ", 3)
        parent = Place(job=its_job, dimension=dimension, position=position)
    return Execution(
        job=job,
        status=main.text("status"),
        created=created,
        ended=ended,
        duration_ms=_between(created, ended),
        attempts=int(main.text("attempt", "0")) + (main.text("status") not in NOT_RUN),
        worker=main.text("owner") or None,
        origin=main.text("origin") or None,
        parent=parent,
        children=children,
        error=_failure_at_end(main),
        spans=spans,
    )


def _time(ms: str | int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(ms))


def _between(started: datetime, ended: datetime | None) -> int | None:
    return None if ended is None else max(0, round((ended - started) / timedelta(milliseconds=1)))
