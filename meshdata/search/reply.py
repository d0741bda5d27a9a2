"""Ask the search module, and take its answer apart: rows, totals, and the warnings that it is not whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from meshdata.errors import IndexNotFound, MeshTimeout, ScriptFailed, SearchError
from meshdata.store.changes import Changes
from meshdata.store.keys import Keys

Argument = str | bytes | int | float
Attributes = Mapping[bytes, Any]
"""The fields of a row as they came."""

DEFAULT_TIMEOUT_MS = 5_000
_ROWS_AT_ONCE = 1_000


class SearchStore(Protocol):
    """What search asks of the store."""

    @property
    def keys(self) -> Keys: ...
    @property
    def partitions(self) -> int: ...
    @property
    def has_search(self) -> bool: ...
    @property
    def changes(self) -> Changes: ...

    async def command(self, partition: int, *args: Argument) -> Any:
        """One command to the node of a partition; a raw RESP3 reply."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One hit: its key ("" in an aggregate), its fields, its rank by relevance where that was asked for."""

    key: str
    fields: dict[str, Any]
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of one partition.

    Attributes:
        total: how many records there are in all (FT.SEARCH only), without those this answer showed to have expired.
        rows: the hits.
        length: how many rows came, before those of expired records were dropped.
    """

    total: int
    rows: list[Row]
    length: int


async def ask(store: SearchStore, partition: int, *args: Argument) -> Reply:
    """Run FT.SEARCH or FT.AGGREGATE.

    Raises:
        MeshTimeout: it took longer than its TIMEOUT; what came is not shown.
        SearchError: the module says that the answer is not whole.
        IndexNotFound, QueryInvalid, StoreUnavailable: as the store has it.
    """
    return _taken_apart(await _reply(store, partition, *args))


async def _reply(store: SearchStore, partition: int, *args: Argument) -> Any:
    try:
        return await store.command(partition, *args)
    except IndexNotFound as problem:
        raise IndexNotFound(f"{problem}; make it with mesh.create_index(Model)") from problem
    except ScriptFailed as problem:
        if "imeout" in str(problem):
            raise MeshTimeout(f"the query took longer than its limit ({problem})") from problem
        raise SearchError(str(problem)) from problem


async def ask_rows(store: SearchStore, partition: int, *args: Argument) -> list[Attributes]:
    """Run FT.AGGREGATE, and leave its rows as they came; raises as `ask`."""
    return _attributes(await _reply(store, partition, *args))


def _attributes(reply: Any) -> list[Attributes]:
    _check_whole(reply)
    return [hit[b"extra_attributes"] for hit in reply[b"results"] if hit.get(b"extra_attributes")]


def _taken_apart(reply: Any) -> Reply:
    _check_whole(reply)
    found = reply[b"results"]
    rows = [_row(one) for one in found if one.get(b"extra_attributes")]
    return Reply(reply[b"total_results"] - (len(found) - len(rows)), rows, len(found))


def _check_whole(reply: Any) -> None:
    if warnings := reply[b"warning"]:
        said = "; ".join(_text(one) for one in warnings)
        if "imeout" in said:
            raise MeshTimeout(f"the query took longer than its limit ({said})")
        raise SearchError(f"the answer is not whole: {said}")


async def ask_by_cursor(store: SearchStore, partition: int, index: str, *args: Argument) -> AsyncIterator[Attributes]:
    """Run FT.AGGREGATE, and read its rows some at a time, as they came.

    Raises:
        MeshTimeout, SearchError, QueryInvalid, StoreUnavailable: as `ask`.
    """
    args = (*args[:3], "WITHCURSOR", "COUNT", _ROWS_AT_ONCE, *args[3:])
    reply, cursor = await _reply(store, partition, *args)
    try:
        while True:
            for row in _attributes(reply):
                yield row
            if not cursor:
                return
            reading, cursor = cursor, 0
            reply, cursor = await _reply(store, partition, "FT.CURSOR", "READ", index, reading)
    finally:
        if cursor:
            await store.command(partition, "FT.CURSOR", "DEL", index, cursor)


def _row(hit: Mapping[bytes, Any]) -> Row:
    fields = {name.decode(): value for name, value in hit[b"extra_attributes"].items()}
    return Row(_text(hit.get(b"id", b"")), fields, float(hit.get(b"score") or 0.0))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def as_text(value: Any) -> Any:
    """A reply with every byte string in it as text; pairs given as a flat list stay a list."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {as_text(name): as_text(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_text(part) for part in value]
    return value
