"""What workers are given and what they answer, and what a job comes to: the values of the `HotMesh` surface. Pure."""

import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshdata.errors import CODE_FAILED, TRACEBACK_LIMIT
from meshdata.graph.effects import reply

FORM: Final = frozenset({"metadata", "data", "status", "code", "stack"})


@dataclass(frozen=True, slots=True)
class StreamData:
    """What a worker is asked.

    Attributes:
        metadata: guid (of this message), jid (job id), gid (the job's generation), dad (address of the activity), aid
            (activity id), topic, trc (trace id), try (how often it was tried before); a later reply carries them.
        data: the activity's mapped input.
    """

    metadata: dict[str, Any]
    data: Any


@dataclass(frozen=True, slots=True)
class StreamReply:
    """What a worker answers, where that is more than data.

    Attributes:
        status: success; pending: there will be more replies (`HotMesh.add`); error: data is {"message", "code", …}.
        code: what the conditions of the activity's transitions compare; None is 200, of an error 500.
    """

    data: Any = None
    status: str = "success"
    code: int | None = None


@dataclass(frozen=True, slots=True)
class JobOutput:
    """How a job stands: its metadata (jid, gid, app, vrs, tpc, jc, ju, js, err …) and its data, None if it has none."""

    metadata: dict[str, Any]
    data: dict[str, Any] | None = field(default=None)


WorkerCallback = Callable[[StreamData], Awaitable[Any] | Any]


def packed_reply(found: Any) -> bytes | None:
    """What a worker returned, as it crosses Redis; None for nothing: the activity stays open."""
    if found is None:
        return None
    if isinstance(found, StreamReply):
        return reply(found.data, status=found.status, code=found.code)
    if isinstance(found, Mapping) and FORM.issuperset(found) and "guid" in (found.get("metadata") or ()):
        # As the reference family writes it: the message's metadata, and a reply beside it.
        return reply(found.get("data"), status=found.get("status") or "success", code=found.get("code"))
    return reply(found)


def packed_failure(error: BaseException) -> bytes:
    """The error reply of a worker that raised."""
    stack = "".join(traceback.format_exception(error))[-TRACEBACK_LIMIT:]
    data = {"message": str(error) or type(error).__name__, "code": CODE_FAILED, "stack": stack}
    return reply(data, status="error", code=CODE_FAILED)
