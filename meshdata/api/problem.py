"""What went wrong as problem JSON (RFC 9457), with the code of the error tree and an HTTP status that fits it.

A traceback never leaves the process: it may hold what the caller must not see.
"""

from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from meshdata.errors import InvalidOptions, JobFailed, MeshError, SearchUnavailable
from meshdata.values import to_json

MEDIA_TYPE: Final = "application/problem+json"
_KNOWN: Final = {status.value for status in HTTPStatus}
_FACTS: Final = ("argument", "field", "job_id", "reason", "entity", "id", "expected", "found", "holder")
"""Attributes of errors that a caller can act upon."""


class Refused(MeshError):
    """The request is not served as it is; `.code` is its HTTP status."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def status_of(error: MeshError) -> int:
    """The HTTP status for an error: its own code where HTTP knows it, else 500.

    What does not fit a model or a signature is 422: the request was understood, its values cannot be taken. 596 to 598,
    the codes of jobs that no retry helps, are 500.
    """
    if isinstance(error, InvalidOptions):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, SearchUnavailable):
        return HTTPStatus.NOT_IMPLEMENTED
    return error.code if error.code in _KNOWN and error.code >= HTTPStatus.BAD_REQUEST else 500


def problem_of(error: MeshError) -> dict[str, Any]:
    """An error as {type, title, status, detail, code, error} and the facts it has as attributes."""
    status = status_of(error)
    name = type(error).__name__
    told: dict[str, Any] = {
        "type": "about:blank" if isinstance(error, Refused) else f"urn:meshdata:error:{name}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "code": status if isinstance(error, InvalidOptions) else error.code,
        "error": name,
    }
    if isinstance(error, JobFailed):
        told |= {"raised": error.type, "attempts": error.attempts}
    facts = {name: getattr(error, name, None) for name in _FACTS}
    return told | {name: value for name, value in facts.items() if value not in (None, "")}


def respond(error: MeshError) -> Response:
    """The error as a response."""
    told = problem_of(error)
    headers = error.headers if isinstance(error, Refused) else None
    return Response(to_json(told, argument="problem"), told["status"], headers, MEDIA_TYPE)


async def on_mesh_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for errors of the mesh."""
    assert isinstance(error, MeshError)
    return respond(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    return respond(Refused(error.status_code, error.detail, **dict(error.headers or {})))


async def on_bug(request: Request, error: Exception) -> Response:
    """Starlette's handler for all else. The server logs it; the caller is told no more than that."""
    return respond(Refused(500, "something went wrong here; the log of the server says what"))
