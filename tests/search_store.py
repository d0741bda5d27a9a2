"""What the search tests stand on: a store on the real server, and records written as the store's scripts write them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from meshdata.search import Schema
from meshdata.store.redis import Connections
from meshdata.store.store import Store

BORN_MS = 1_700_000_000_000


@asynccontextmanager
async def open_store(url: str, namespace: str, partitions: int = 1) -> AsyncIterator[Store]:
    """A store of one namespace, closed at the end."""
    connections = await Connections.open(url, name="search-test")
    store = await Store.open(connections, namespace, process="search-test", partitions=partitions)
    try:
        yield store
    finally:
        await store.close()


async def write(store: Store, schema: Schema[Any], id: str, values: Mapping[str, Any], **system: Any) -> None:
    """Write one record. System fields are given without their underscore."""
    setting, _ = schema.to_hash(values, partial=True)
    await write_raw(store, schema.entity, id, setting, **system)


async def write_raw(store: Store, entity: str, id: str, fields: Mapping[str, Any], **system: Any) -> None:
    """Write one record's hash."""
    job = f"{entity}:{id}"
    stamped = {
        "_entity": entity,
        "_id": id,
        "_rev": 1,
        "_created": BORN_MS,
        "_updated": BORN_MS,
        **{f"_{name}": value for name, value in system.items()},
        **fields,
    }
    flat = [part for pair in stamped.items() for part in pair]
    await store.command(store.keys.partition(job), "HSET", store.keys.record(job), *flat)


async def write_all(store: Store, schema: Schema[Any], records: Iterable[Mapping[str, Any]]) -> None:
    """Write many records at once; each has an "id", and was created a millisecond after the one before."""
    await asyncio.gather(
        *(write(store, schema, one["id"], one, created=BORN_MS + at) for at, one in enumerate(records))
    )
