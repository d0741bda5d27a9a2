"""How a command ends: its value on standard output, its error as a sentence on standard error and as an exit code."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from meshdata.errors import (
    EntityNotFound,
    IndexNotFound,
    JobFailed,
    JobNotFound,
    MeshError,
    QueryInvalid,
    RecordNotFound,
    StoreUnavailable,
    UsageError,
)
from meshdata.mesh import MeshData
from meshdata.values import to_json

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
UNAVAILABLE = 4
STOPPED = 130
"""What a shell calls a program that Ctrl-C ended."""

# The first that fits, so the narrower kinds come first.
_CODES: tuple[tuple[tuple[type[BaseException], ...], int], ...] = (
    ((EntityNotFound, JobNotFound, RecordNotFound, IndexNotFound), NOT_FOUND),
    ((UsageError, QueryInvalid), USAGE),
    ((StoreUnavailable,), UNAVAILABLE),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works and how it talks: the options that every command has.

    Attributes:
        url: None takes MESHDATA_URL, else a Redis on this machine; namespace: None takes MESHDATA_NAMESPACE.
        as_json: print values and errors as one line of JSON each.
    """

    url: str | None = None
    namespace: str | None = None
    as_json: bool = False

    def mesh(self) -> MeshData:
        """A mesh there, not yet open."""
        return MeshData(self.url, namespace=self.namespace)


def exit_code(error: BaseException) -> int:
    """The exit code that stands for an error."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), FAILED)


def run(place: Place, body: Callable[[], int | None]) -> int:
    """Run a command's body to its end; None counts as 0. An error of ours is told, never shown as a traceback."""
    _set_up_streams()
    try:
        return body() or OK
    except KeyboardInterrupt:
        return STOPPED
    except MeshError as error:
        tell_error(place, error)
        return exit_code(error)


def run_async(place: Place, body: Callable[[], Coroutine[Any, Any, int | None]]) -> int:
    """`run` for a coroutine."""
    return run(place, lambda: asyncio.run(body()))


def with_mesh(place: Place, body: Callable[[MeshData], Awaitable[int | None]]) -> int:
    """`run` for a body that needs an open mesh."""

    async def opened() -> int | None:
        async with place.mesh() as mesh:
            return await body(mesh)

    return run_async(place, opened)


def _set_up_streams() -> None:
    # A terminal that cannot show a character gets a "?" for it rather than a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    level = os.environ.get("MESHDATA_LOG_LEVEL", "WARNING").upper()
    known = logging.getLevelNamesMapping()
    logging.basicConfig(
        level=known.get(level, logging.WARNING), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )


def tell_error(place: Place, error: BaseException) -> None:
    """An error as a sentence, or as {"error": {type, message, code, …}}, on standard error."""
    if place.as_json:
        facts = {"type": type(error).__name__, "message": str(error), "code": getattr(error, "code", None)}
        if isinstance(error, JobFailed):
            facts |= {"raised": error.type, "attempts": error.attempts, "remote_traceback": error.remote_traceback}
        print(json.dumps({"error": facts}, ensure_ascii=False), file=sys.stderr)
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[bold red]error[/] ", end="")
    console.print(str(error), markup=False)
    # An argument that does not fit says all there is to say; its traceback is of our code.
    if isinstance(error, JobFailed) and error.remote_traceback and error.type != "InvalidOptions":
        console.print(error.remote_traceback.rstrip(), style="dim", markup=False)
    if isinstance(error, StoreUnavailable):
        console.print("No Redis at hand? `meshdata redis` runs one and says how to use it.", style="dim")


def show(place: Place, value: Any) -> None:
    """A value on standard output: plain text as it is, anything else as JSON; with --json always as one line of it."""
    if place.as_json:
        print(_json(value))
    elif isinstance(value, str):
        print(value)
    else:
        Console(soft_wrap=True).print_json(_json(value))


def _json(value: Any) -> str:
    return to_json(value, argument="value").decode()


def plain(value: Any) -> Any:
    """A dataclass of facts as a dict, its times as ISO 8601 text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(one) for name, one in asdict(value).items()}
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def value_of(word: str) -> Any:
    """A word of the command line as a value: JSON where it is JSON (3, true, '{"a": 1}', '"3"'), else the text."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def duration_text(ms: float) -> str:
    """A duration as people say it."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
