"""The state of a graph job: what is kept of it between its steps, read as it is asked for, and what a step changed.

Pure: fields in, fields out. docs/keyspace.md lists them; `lua/lib/graph.lua` makes a job's output of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from meshdata.graph.pipes.json import plain
from meshdata.graph.pipes.values import UNDEFINED
from meshdata.store.messages import Argument

STATUS: Final = ":"
METADATA: Final = ("#", *(f"#{number}" for number in range(1, 8)))
"""A job's metadata in pieces: a hash whose values have up to 64 bytes each takes a third of the memory."""

PIECE: Final = 60
UPDATED: Final = "u"
DATA: Final = "$"
ERROR: Final = "e"
ACTIVITY: Final = "a:"
LEDGER: Final = "l:"
RETRY: Final = "r:"
QUEUE: Final = "q"


class NotLoaded(Exception):
    """A step needs fields that were not loaded with the job: load them, and make the step anew."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def to_text(value: Any) -> bytes:
    """A value of the mapping language as JSON: undefined members are left out, NaN is null, dates are texts."""
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        written = plain(value, None)
        return orjson.dumps(None if written is UNDEFINED else written)


def metadata_of(fields: Mapping[str, bytes | None]) -> dict[str, Any]:
    """A job's metadata, of the fields that hold it; empty if they are not there."""
    text = b"".join(fields.get(name) or b"" for name in METADATA)
    found: dict[str, Any] = orjson.loads(text + b"}") if text else {}
    return found


class State:
    """One job's state during one step.

    Args:
        fields: what was loaded; None for what was looked for and is not there.
        whole: whether that is all there is.
    """

    def __init__(self, fields: Mapping[str, bytes | None], *, whole: bool) -> None:
        self._fields = dict(fields)
        self._whole = whole
        self._changed: dict[str, bytes | None] = {}
        self._read: dict[str, Any] = {}
        self.status = int(self._fields.get(STATUS) or 0)
        self.metadata = metadata_of(self._fields)
        data = self._fields.get(DATA)
        self.data: dict[str, Any] | None = None if data is None else orjson.loads(data)
        error = self._fields.get(ERROR)
        self.error: dict[str, Any] | None = None if error is None else orjson.loads(error)
        self.updated = (self._fields.get(UPDATED) or b"").decode()
        self._known_status = self.status if STATUS in self._fields else None
        self._data_changed = False

    def raw(self, field: str) -> bytes | None:
        """A field as it stands now.

        Raises:
            NotLoaded: nobody asked the store for it.
        """
        if field in self._changed:
            return self._changed[field]
        found = self._fields.get(field)
        if found is None and not self._whole and field not in self._fields:
            raise NotLoaded(field)
        return found

    def read(self, field: str) -> Any:
        """A field that holds JSON; None if it is not there."""
        if field not in self._read:
            raw = self.raw(field)
            self._read[field] = None if raw is None else orjson.loads(raw)
        return self._read[field]

    def write(self, field: str, value: Any) -> None:
        """Set a field to a value, as JSON."""
        self._changed[field] = to_text(value)
        self._read[field] = value

    def write_text(self, field: str, text: bytes) -> None:
        """Set a field to a text as it is."""
        self._changed[field] = text
        self._read.pop(field, None)

    def remove(self, field: str) -> None:
        """Take a field away."""
        self._changed[field] = None
        self._read.pop(field, None)

    def begin(self, metadata: Mapping[str, Any], status: int) -> None:
        """The job begins with this."""
        self.metadata = dict(metadata)
        self.status = status
        text = to_text(metadata)[:-1]
        size = PIECE if len(text) <= PIECE * len(METADATA) else len(text)
        for name, at in zip(METADATA, range(0, len(text), size), strict=False):
            self._changed[name] = text[at : at + size]

    def merge(self, paths: Sequence[tuple[tuple[str, ...], Any]]) -> None:
        """Set parts of the job's data, each by its path."""
        for path, value in paths:
            if self.data is None:
                self.data = {}
            target = self.data
            for step in path[:-1]:
                inner = target.get(step)
                if not isinstance(inner, dict):
                    inner = target[step] = {}
                target = inner
            target[path[-1]] = value
            self._data_changed = True

    def fail(self, error: dict[str, Any]) -> None:
        """The job has an error from now on; it ends with it."""
        self.error = error
        self.write(ERROR, error)

    def changes(self, updated: str) -> tuple[list[Argument], list[Argument]]:
        """What to set, names and values in turn, and the names of what to take away."""
        self.write_text(UPDATED, updated.encode())
        if self.status != self._known_status:
            self._changed[STATUS] = b"%d" % self.status
        if self._data_changed:
            self._changed[DATA] = to_text(self.data)
        written: list[Argument] = []
        for name, value in self._changed.items():
            if value is not None:
                written += (name, value)
        gone: list[Argument] = [
            name for name, value in self._changed.items() if value is None and self._fields.get(name) is not None
        ]
        return written, gone

    def after(self) -> dict[str, bytes | None]:
        """The fields as they are once the changes are written."""
        return {**self._fields, **self._changed}
