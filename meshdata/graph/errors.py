"""Errors inside a graph: what an error reply tells, and what a job ends with. Pure."""

from collections.abc import Mapping
from typing import Any

from meshdata.errors import CODE_FAILED, CODE_INTERRUPTED
from meshdata.graph.replies import Reply, told
from meshdata.graph.state import to_text


def of_failure(error: BaseException) -> Reply:
    """The reply of an activity whose maps or conditions failed."""
    message = str(error) or type(error).__name__
    code = getattr(error, "code", CODE_FAILED)
    return Reply("error", CODE_FAILED, told({"message": message}, code if code != 400 else CODE_FAILED))


def unhandled(error: Mapping[str, Any]) -> dict[str, Any]:
    """What a job ends with when an error took none of the edges."""
    return {**error, "is_stream_error": True}


def error_text(error: Mapping[str, Any]) -> str:
    """An error as metadata shows it: JSON."""
    return to_text(error).decode()


def interrupted(id: str, *, reason: str | None, code: int | None, stack: str | None) -> tuple[bytes, str]:
    """What a job ends with that is interrupted, as stored, and its message."""
    message = reason or f"job [{id}] interrupted"
    error = {"code": CODE_INTERRUPTED if code is None else code, "message": message, "stack": stack or "", "job_id": id}
    return to_text(error), message
