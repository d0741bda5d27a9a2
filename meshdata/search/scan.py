"""Read an entity's records without the search module: all of them, up to a bound, said once in the log."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakSet

from meshdata.errors import SearchUnavailable
from meshdata.search.reply import Row, SearchStore

logger = logging.getLogger(__name__)

SCAN_LIMIT = 10_000
"""Records read at most. Past that a scan per query would stand in everybody's way."""

_BATCH = 500
_warned: WeakSet[Any] = WeakSet()


async def scan_records(store: SearchStore, entity: str) -> list[dict[str, Any]]:
    """Read every record of an entity.

    Returns:
        The hashes, field name → bytes, the oldest record first.

    Raises:
        SearchUnavailable: there are more than `SCAN_LIMIT`.
    """
    if store not in _warned:
        _warned.add(store)
        logger.warning("searching without the search module: records are read one by one", extra={"entity": entity})
    parts = await asyncio.gather(*(_scan(store, partition, entity) for partition in range(store.partitions)))
    found = [record for part in parts for record in part]
    _check(len(found), entity)
    return sorted(found, key=lambda record: (float(record.get("_created", 0)), record.get("_id", b"")))


async def walk_records(store: SearchStore, entity: str) -> AsyncIterator[Row]:
    """The same, one after the other."""
    for record in await scan_records(store, entity):
        yield Row("", record)


async def _scan(store: SearchStore, partition: int, entity: str) -> list[dict[str, Any]]:
    pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", store.keys.record_prefix(partition, entity)) + "*"
    keys: set[bytes] = set()
    cursor: Any = b"0"
    while True:
        cursor, found = await store.command(partition, "SCAN", cursor, "MATCH", pattern, "COUNT", 1_000, "TYPE", "hash")
        keys.update(found)
        _check(len(keys), entity)
        if int(cursor) == 0:
            break
    ordered = sorted(keys)
    records = []
    for at in range(0, len(ordered), _BATCH):
        replies = await asyncio.gather(*(store.command(partition, "HGETALL", key) for key in ordered[at : at + _BATCH]))
        records += [{name.decode(): value for name, value in reply.items()} for reply in replies if reply]
    return records


def _check(count: int, entity: str) -> None:
    if count > SCAN_LIMIT:
        raise SearchUnavailable(
            f"{entity!r} has more than {SCAN_LIMIT} records, too many to read one by one; "
            "use a Redis with the search module"
        )
