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
