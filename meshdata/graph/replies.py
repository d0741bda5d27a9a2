"""What an activity is told by an entry of its job's inbox. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from meshdata.engine.entry import Entry
from meshdata.errors import CODE_FAILED, CODE_NOT_FOUND
from meshdata.graph.compiled import Activity, Await
from meshdata.graph.pipes.values import UNDEFINED, is_nothing

CODE_SUCCESS: Final = 200
CODE_PENDING: Final = 202

STATUSES: Final = ("success", "pending", "error")


@dataclass(slots=True)
class Reply:
    """A reply to an activity.

    Attributes:
        status: success, pending (there will be more) or error; it says what is done with the reply.
        code: what conditions compare; independent of the status.
        source: who replied: a worker, another graph's job, a signal, the clock, a cycle; '' for the activity itself.
        key: of a signal.
    """

    status: str
    code: int
    data: Any
    source: Literal["work", "await", "hook", "time", "cycle", ""] = ""
    key: str = ""


def whole_number(value: Any, otherwise: int) -> int:
    """A code, where that is a number."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def told(data: Any, code: Any = None) -> dict[str, Any]:
    """What an error reply tells, in the form that every error has: message, code, and stack and error if there are."""
    given: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    message = data if isinstance(data, str) and data else given.get("message")
    found: dict[str, Any] = {
        "message": "unknown" if is_nothing(message) or message == "" else str(message),
        "code": whole_number(code, whole_number(given.get("code"), CODE_FAILED)),
    }
    if given.get("stack"):
        found["stack"] = given["stack"]
    if isinstance(given.get("error"), Mapping):
        found["error"] = given["error"]
    return found


def reply_of(activity: Activity, entry: Entry) -> Reply:
    """The reply that an entry brings."""
    if entry.kind == "sleep":
        return Reply("success", CODE_SUCCESS, {"timestamp": entry.ms}, "time")
    if entry.kind == "wait":
        return _packed(entry, "hook")
    if isinstance(activity.own, Await):
        return _of_child(entry)
    if entry.code != "ok":
        return Reply("error", CODE_FAILED, _failure(entry.payload), "work")
    return _packed(entry, "work")


def _packed(entry: Entry, source: Literal["hook", "work"]) -> Reply:
    packed = orjson.loads(entry.payload or b"null")
    if not isinstance(packed, dict) or "s" not in packed:  # a signal that was not sent through the app
        return Reply("success", CODE_SUCCESS, packed, source, entry.name)
    status = packed["s"] if packed["s"] in STATUSES else "success"
    data = packed.get("d", UNDEFINED)
    code = packed.get("c")
    if status == "error":
        data = told(data, code)
        code = data["code"]
    return Reply(status, whole_number(code, CODE_SUCCESS), data, source, entry.name)


def _of_child(entry: Entry) -> Reply:
    if entry.code in ("ok", "pending"):
        data = orjson.loads(entry.payload).get("data", UNDEFINED) if entry.payload else UNDEFINED
        if entry.code == "pending":
            return Reply("pending", CODE_PENDING, data, "await")
        return Reply("success", CODE_SUCCESS, data, "await")
    if entry.code == "exists":
        id = entry.name.partition(":")[2]
        return Reply("error", CODE_FAILED, {"message": f"Duplicate job: {id}", "code": CODE_FAILED}, "await")
    if entry.code == "notfound":
        return Reply("error", CODE_NOT_FOUND, {"message": "the job was taken away", "code": CODE_NOT_FOUND}, "await")
    error = _failure(entry.payload)
    return Reply("error", error["code"], error, "await")


def _failure(payload: bytes) -> dict[str, Any]:
    return told(orjson.loads(payload) if payload else None)
