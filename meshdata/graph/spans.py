"""How graphs are seen by OpenTelemetry: names and attributes of spans, pure; and the spans themselves.

    job        JOB/<app>/<topic>/1
    activity   <TYPE>/<app>/<activity>/<leg>
    stream     EXECUTE/<app>/<activity>/<topic> by a worker; FANIN/… of replies, FANOUT/… of what is asked for; SYSTEM/…
               of what nobody took

Attributes are `app.job.*`, `app.activity.*`, `app.stream.*`. Without OpenTelemetry nothing happens.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Literal

from meshdata.graph.compiled import Activity
from meshdata.graph.pipes.values import UNDEFINED
from meshdata.telemetry import remote_span

Role = Literal["EXECUTE", "FANIN", "FANOUT", "SYSTEM"]
Attributes = dict[str, str | int | float | bool]

LEG_OF_JOB: Final = 1


def job_name(app: str, topic: str) -> str:
    """What a job's span is called."""
    return f"JOB/{app}/{topic}/{LEG_OF_JOB}"


def activity_name(app: str, activity: Activity, leg: int) -> str:
    """What the span of a leg of an activity is called."""
    return f"{activity.type.upper()}/{app}/{activity.id}/{leg}"


def stream_name(role: Role, app: str, activity: str, topic: str = "") -> str:
    """What the span of a message is called."""
    return f"{role}/{app}/{activity}/{topic}" if topic else f"{role}/{app}/{activity}"


def job_attributes(metadata: Mapping[str, Any]) -> Attributes:
    """`app.job.<key>` of all metadata but the trace."""
    return _attributes("app.job.", metadata, without=("trc",))


def activity_attributes(
    metadata: Mapping[str, Any],
    leg: int,
    *,
    status: int | None = None,
    messages: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Attributes:
    """Of a leg of an activity.

    Args:
        metadata: the activity's (aid, dad, atp …).
        status: the job's semaphore behind the step.
        messages: what was sent, by its kind (`mid`, `mids`).
        data: what the activity's `telemetry` came to; only texts, numbers and booleans are attributes.
    """
    found = _attributes("app.activity.", metadata)
    found["app.activity.leg"] = leg
    if status is not None:
        found["app.job.jss"] = status
    found |= _attributes("app.activity.", messages or {})
    found |= _attributes("app.activity.data.", data or {})
    return found


def stream_attributes(metadata: Mapping[str, Any]) -> Attributes:
    """`app.stream.<key>` of a message's metadata, but for the trace and its span."""
    return _attributes("app.stream.", metadata, without=("trc", "spn"))


def _attributes(prefix: str, values: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> Attributes:
    return {
        prefix + name: value
        for name, value in values.items()
        if name not in without and value is not UNDEFINED and isinstance(value, str | int | float | bool)
    }


def job_span(
    app: str, topic: str, metadata: Mapping[str, Any], *, parent: str | None = None
) -> AbstractContextManager[Any]:
    """Around the beginning of a job; `parent` is the caller's span (`spn`) in the job's trace."""
    return remote_span(job_name(app, topic), job_attributes(metadata), trace=metadata.get("trc"), parent=parent)


def activity_span(
    app: str, activity: Activity, leg: int, attributes: Attributes, *, trace: str | None, parent: str | None
) -> AbstractContextManager[Any]:
    """Around, or for, a leg of an activity."""
    return remote_span(activity_name(app, activity, leg), attributes, trace=trace, parent=parent)


def stream_span(role: Role, app: str, metadata: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Around what is done with a message."""
    name = stream_name(role, app, str(metadata.get("aid", "")), str(metadata.get("topic") or ""))
    return remote_span(name, stream_attributes(metadata), trace=metadata.get("trc"), parent=metadata.get("spn"))
