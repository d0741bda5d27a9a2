"""Who may ask: a bearer token, or none at all where only this machine can reach it. Pure ASGI, no I/O.

Without a token two things must hold of each request: it came in on a loopback address (or a Unix socket), and the name
it was sent to is this machine's. The second keeps out pages of other sites that a browser on this machine has open:
their name may be made to lead here, but the browser still says it.
"""

import hmac
import ipaddress
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from meshdata.api.problem import Refused, respond
from meshdata.errors import InvalidOptions

LEAST_TOKEN: Final = 16
"""Characters: what is shorter can be guessed."""

OPEN_PATHS: Final = ("/health",)
"""Answered to everybody; they tell nothing."""


def check_binding(host: str, token: str | None) -> None:
    """Refuse to be reachable from other machines without a token.

    Args:
        host: the address or name to listen on.

    Raises:
        InvalidOptions: it is not a loopback one, and there is no token.
    """
    check_token(token)
    if token is None and not is_loopback(host):
        raise InvalidOptions(
            f"{host} can be reached from other machines; give a token, or listen on 127.0.0.1",
            argument="token",
        )


def check_token(token: str | None) -> None:
    """Refuse a token that protects nothing.

    Raises:
        InvalidOptions: it is too short, or no text that a header can hold.
    """
    if token is None:
        return
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidOptions("a token is printable ASCII without blanks", argument="token")
    if len(token) < LEAST_TOKEN:
        raise InvalidOptions(f"a token has at least {LEAST_TOKEN} characters; got {len(token)}", argument="token")


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, is this machine's alone."""
    bare = host.strip("[]").partition("%")[0]
    if bare.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


class Guard:
    """Passes on the requests that may be served.

    Args:
        token: what a request must bear; None: see the module.
        trusted: what it is mounted in has seen to who asks; only a token, if there is one, is asked for.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, trusted: bool) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI app."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await respond(refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refused | None:
        if scope["path"].removeprefix(scope.get("root_path", "")) in OPEN_PATHS:
            return None
        request = Request(scope)
        if self._token is not None:
            kind, _, given = request.headers.get("authorization", "").partition(" ")
            if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
                return None
            return Refused(401, "give the token: Authorization: Bearer …", WWW_Authenticate="Bearer")
        if self._trusted or (_came_by_loopback(scope) and is_loopback(_name_of(request))):
            return None
        return Refused(403, "no token was set, so only requests from this machine to its own name are served")


def _came_by_loopback(scope: Scope) -> bool:
    server: Any = scope.get("server")
    if server is None or server[1] is None:  # a Unix socket, which the file system guards
        return True
    return is_loopback(server[0])


def _name_of(request: Request) -> str:
    host = request.headers.get("host", "")
    return host[: host.rindex("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
