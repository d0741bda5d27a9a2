"""How graphs are seen by OpenTelemetry: names and attributes of spans, pure; and the spans themselves.

    job        JOB/<app>/<topic>/1
    activity   <TYPE>/<app>/<activity>/<leg>
    stream     EXECUTE/<app>/<activity>/<topic> by a worker; FANIN/… of replies, FANOUT/… of what is asked for; SYSTEM/…
               of what nobody took

Attributes are `app.job.*`, `app.activity.*`, `app.stream.*`. Without OpenTelemetry nothing happens.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Final, Literal

from meshdata.graph.begin import TRACE, Beginning
from meshdata.graph.compiled import Activity
from meshdata.graph.pipes.values import UNDEFINED
from meshdata.graph.place import Place, address_of, instance_of
from meshdata.graph.scope import document_of, scope_of
from meshdata.graph.state import ACTIVITY
from meshdata.graph.transition import Transition
from meshdata.telemetry import is_tracing, remote_span, span_ids

logger = logging.getLogger(__name__)

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
    return _attributes("app.job.", metadata, without=TRACE)


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
    return _attributes("app.stream.", metadata, without=TRACE)


def _attributes(prefix: str, values: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> Attributes:
    return {
        prefix + name: value
        for name, value in values.items()
        if name not in without and value is not UNDEFINED and isinstance(value, str | int | float | bool)
    }


@contextmanager
def job_span(app: str, beginning: Beginning) -> Iterator[Beginning]:
    """Around the beginning of a job, below the span of whoever begins it. Gives the beginning with this span in its
    trace, so that what the job does stands below it; as it was without OpenTelemetry."""
    trace = beginning.trace
    facts = job_attributes({"jid": beginning.id, "app": app, "tpc": beginning.topic, "key": beginning.key})
    name = job_name(app, beginning.topic)
    with remote_span(name, facts, trace=trace.get("trc"), parent=trace.get("spn")) as span:
        ids = span_ids(span)
        yield beginning if ids is None else replace(beginning, trace=dict(zip(TRACE, ids, strict=True)))


def activity_span(
    app: str, activity: Activity, leg: int, attributes: Attributes, *, trace: str | None, parent: str | None
) -> AbstractContextManager[Any]:
    """Around, or for, a leg of an activity."""
    return remote_span(activity_name(app, activity, leg), attributes, trace=trace, parent=parent)


def stream_span(role: Role, app: str, metadata: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Around what is done with a message."""
    name = stream_name(role, app, str(metadata.get("aid", "")), str(metadata.get("topic") or ""))
    return remote_span(name, stream_attributes(metadata), trace=metadata.get("trc"), parent=metadata.get("spn"))


def mark_legs(transition: Transition) -> None:
    """Write a span for each leg that a step came to, below that of the job."""
    if not is_tracing():
        return
    metadata, app = transition.state.metadata, transition.app
    for activity, place, leg in transition.steps:
        dad = address_of((*activity.ancestors, activity.id), place)
        told = {"aid": activity.id, "atp": activity.type, "dad": dad}
        data = _told(transition, activity, place)
        attributes = activity_attributes(told, leg, status=transition.state.status, data=data)
        trace, parent = (metadata.get(name) for name in TRACE)
        with activity_span(app.id, activity, leg, attributes, trace=trace, parent=parent):
            pass


def _told(transition: Transition, activity: Activity, place: Place) -> Mapping[str, Any] | None:
    """What the activity's `telemetry` comes to behind the step."""
    if activity.telemetry is None:
        return None
    try:
        state = transition.state
        kept = state.read(ACTIVITY + instance_of(activity.id, place))
        own = {"output": {"metadata": {}}} if kept is None else document_of(activity, place, kept)
        found = activity.telemetry(scope_of(transition.app, activity, place, state, own))
    except Exception:  # what is only told must not end a job
        logger.warning("telemetry of an activity cannot be mapped", exc_info=True, extra={"activity": activity.id})
        return None
    return found if isinstance(found, Mapping) else None
