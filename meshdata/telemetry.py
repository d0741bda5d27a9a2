"""Loggers and spans: how the mesh tells what it does; where that goes is the application's to say.

Importing adds no handler, sets no level and starts no exporter. A log message is a constant phrase; its facts ride in
`extra` (`job_id`, `entity`, `activity`, `dimension`, `leg`, `attempt`), so that they can be searched without parsing
prose.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

Facts = Mapping[str, str | int | float | bool]

# Names that logging keeps for itself: a fact called so would make the log call raise.
_TAKEN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module (pass `__name__`)."""
    return logging.getLogger(name)


def facts(**values: Any) -> dict[str, Any]:
    """Make the `extra` of a log call, without None; names logging keeps for itself (`name`, `args`) get `mesh_`."""
    return {f"mesh_{name}" if name in _TAKEN else name: value for name, value in values.items() if value is not None}


def _span_starter() -> Callable[[str, Facts], AbstractContextManager[Any]] | None:
    """The way to start a span, if OpenTelemetry's API is installed."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    tracer = trace.get_tracer("meshdata")  # a proxy: it follows the provider that the application sets later

    def start(name: str, attributes: Facts) -> AbstractContextManager[Any]:
        block: AbstractContextManager[Any] = tracer.start_as_current_span(name, attributes=dict(attributes))
        return block

    return start


def mark(name: str, attributes: Facts) -> None:
    """Write a span of no length; nothing at all without OpenTelemetry."""
    if _start_span is not None:
        with _start_span(name, attributes):
            pass


_start_span = _span_starter()
_NO_SPAN: AbstractContextManager[None] = nullcontext()  # holds no state, so one serves all


def span(name: str, **attributes: str | int | float | bool) -> AbstractContextManager[Any]:
    """Open a span around a block (`with span("mesh.exec", entity="user"):`); nothing at all without OpenTelemetry."""
    if _start_span is None:
        return _NO_SPAN
    return _start_span(name, {f"meshdata.{key}": value for key, value in attributes.items()})


def _remote_span_starter() -> Callable[[str, Facts, str | None, str | None], AbstractContextManager[Any]] | None:
    """The way to start a span that goes on with a trace of elsewhere, if OpenTelemetry's API is installed."""
    try:
        from opentelemetry import trace
        from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
    except ImportError:
        return None
    tracer = trace.get_tracer("meshdata")
    sampled = TraceFlags(TraceFlags.SAMPLED)

    def start(
        name: str, attributes: Facts, trace_id: str | None, parent: str | None
    ) -> AbstractContextManager[Any]:  # fmt: skip
        context = None
        if trace_id and parent:
            try:
                there = SpanContext(int(trace_id, 16), int(parent, 16), is_remote=True, trace_flags=sampled)
            except ValueError:  # not written as OpenTelemetry writes them: the span begins a trace of its own
                pass
            else:
                context = trace.set_span_in_context(NonRecordingSpan(there))
        block: AbstractContextManager[Any] = tracer.start_as_current_span(
            name, context=context, kind=SpanKind.CLIENT, attributes=dict(attributes)
        )
        return block

    return start


_start_remote_span = _remote_span_starter()


def remote_span(
    name: str, attributes: Facts, *, trace: str | None = None, parent: str | None = None
) -> AbstractContextManager[Any]:
    """Open a span of kind CLIENT below one of another process; without its trace and id, below the current one. Nothing
    at all without OpenTelemetry.

    Args:
        trace, parent: ids in hexadecimal, as `span_ids` gives them.
    """
    if _start_remote_span is None:
        return _NO_SPAN
    return _start_remote_span(name, attributes, trace, parent)


def is_tracing() -> bool:
    """Whether spans are more than empty blocks."""
    return _start_remote_span is not None


def span_ids(span: Any) -> tuple[str, str] | None:
    """A span's trace and its own id in hexadecimal, to go on with elsewhere; None for no span, or one of no trace."""
    if span is None:
        return None
    context = span.get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def mark_failed(span: Any, message: str) -> None:
    """Say that what a span stands for failed; nothing for no span."""
    if span is not None:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, message))
