"""Bodies of requests and responses: JSON in, checked and bounded; JSON out."""

from collections.abc import Mapping
from typing import Any, Final

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response

from meshdata.api.problem import Refused

MOST_BODY: Final = 16_000_000
"""Bytes of a request; more is refused before it is read."""


def json_bytes(value: Any) -> bytes:
    """A value as JSON that every reader takes: NaN and the infinities are text, bytes base64."""
    return pydantic_core.to_json(value, inf_nan_mode="strings", bytes_mode="base64", fallback=str)


def respond_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with a value as its body."""
    return Response(json_bytes(value), status, headers, "application/json")


async def read_json(request: Request) -> Any:
    """The body of a request.

    Raises:
        Refused: 415, it does not say that it is JSON (which also keeps the forms of other sites' pages out, whose
            requests no browser asks about first); 413, it is too long; 400, it is no JSON.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Refused(415, "send the body as application/json")
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > MOST_BODY:
            raise Refused(413, f"at most {MOST_BODY} bytes")
    try:
        # Stricter than the standard library's: no NaN, no half of a surrogate pair, no depth that ends in an overflow.
        return pydantic_core.from_json(bytes(read), allow_inf_nan=False)
    except ValueError as problem:
        raise Refused(400, f"the body is no JSON: {problem}") from problem


async def read_object(request: Request) -> dict[str, Any]:
    """The body of a request, which is an object; see `read_json`."""
    found = await read_json(request)
    if not isinstance(found, dict):
        raise Refused(400, f"the body is an object, not {type(found).__name__}")
    return found
