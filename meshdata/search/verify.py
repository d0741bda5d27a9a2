"""Hold an index against the records: count both, name the records that are not in it, and say why."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshdata.search.codec import point
from meshdata.search.column import TAG_LIMIT, Column
from meshdata.search.fields import Geo, Numeric, Vector
from meshdata.search.fulltext import compile_query
from meshdata.search.index import Index
from meshdata.search.reply import DEFAULT_TIMEOUT_MS, Argument, SearchStore, ask
from meshdata.search.schema import Schema
from meshdata.search.tree import Everything

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Unindexed:
    """A record that queries do not find: its id, and what is wrong with it as far as can be told."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """An index held against the records.

    Attributes:
        records: how many there are; documents: how many of them the index has.
        unindexed: the others, up to the limit that was asked for.
    """

    entity: str
    records: int
    documents: int
    unindexed: tuple[Unindexed, ...]

    @property
    def is_whole(self) -> bool:
        """Whether each record is in the index."""
        return self.documents == self.records


async def verify(
    store: SearchStore, entity: str, schema: Schema[Any] | None = None, *, limit: int = 1_000
) -> Verification:
    """Look for each record in the entity's index; records are read by name only, the odd ones wholly.

    Args:
        limit: how many records that are not in it are named at most.

    Raises:
        IndexNotFound: the entity has none.
    """
    told = await Index(store).schema(entity)
    schema = schema or told
    records = documents = 0
    unindexed: list[Unindexed] = []
    for partition in range(store.partitions):
        async for keys in _keys(store, partition, entity):
            found = await _indexed(store, partition, entity, keys)
            missing = sorted(keys - found)
            reasons = await asyncio.gather(*(_reason(store, partition, schema, key) for key in missing))
            # what has no reason has expired, or was written, since it was looked for
            odd = [(key, reason) for key, reason in zip(missing, reasons, strict=True) if reason is not None]
            records += len(found) + len(odd)
            documents += len(found)
            prefix = len(store.keys.record_prefix(partition, entity))
            unindexed += [Unindexed(key.decode()[prefix:], reason) for key, reason in odd]
    return Verification(entity, records, documents, tuple(unindexed[:limit]))


async def _keys(store: SearchStore, partition: int, entity: str) -> AsyncIterator[set[bytes]]:
    pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", store.keys.record_prefix(partition, entity)) + "*"
    cursor: Any = b"0"
    seen: set[bytes] = set()
    while True:
        scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", _BATCH, "TYPE", "hash")
        cursor, found = await store.command(partition, *scan)
        fresh = set(found) - seen  # SCAN may give a key twice
        seen |= fresh
        if fresh:
            yield fresh
        if int(cursor) == 0:
            return


async def _indexed(store: SearchStore, partition: int, entity: str, keys: set[bytes]) -> set[bytes]:
    """Which of these keys the index has."""
    query = compile_query(Everything())
    alias = store.keys.alias(partition, entity)
    words: list[Argument] = ["FT.SEARCH", alias, query.text, "INKEYS", len(keys), *sorted(keys), "RETURN", 1, "_id"]
    limits: list[Argument] = ["LIMIT", 0, len(keys), "TIMEOUT", DEFAULT_TIMEOUT_MS]
    reply = await ask(store, partition, *words, *limits, *query.arguments())
    return {row.key.encode() for row in reply.rows} & keys


async def _reason(store: SearchStore, partition: int, schema: Schema[Any], key: bytes) -> str | None:
    """Why a record is not in the index; None where it is gone by now."""
    stored = await store.command(partition, "HGETALL", key)
    if not stored:
        return None
    record = {name.decode(): value for name, value in stored.items()}
    for column in schema.columns.values():
        if column.indexed and column.source in record and (problem := _problem(column, record)):
            return problem
    return "the module does not say"


def _problem(column: Column, record: Mapping[str, bytes]) -> str | None:
    value = record[column.source]
    try:
        if isinstance(column.option, Numeric):
            number = float(value)
            if number - number != 0 or value != value.strip():
                return f"{column.name}: {value!r} is no number to the index"
        elif isinstance(column.option, Geo):
            point(value.decode())
        elif isinstance(column.option, Vector):
            column.codec.decode(value)  # type: ignore[arg-type]  # the one codec that reads bytes
        elif len(value) > TAG_LIMIT and column.kind == "TAG":
            return f"{column.name}: longer than {TAG_LIMIT} bytes"
    except ValueError as problem:
        return f"{column.name}: {problem}"
    return None
