"""Make, swap, drop and list indexes: one per partition, behind an alias that queries use.

An index is named by its schema's version and never changed. A changed model builds a new one beside the old; when it is
full in every partition, the alias is moved over in one command and the old one dropped, so that no reader ever sees a
half-filled index.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meshdata.errors import IndexNotFound, InvalidOptions, QueryInvalid, SearchError, SearchUnavailable, StoreError
from meshdata.search.reply import SearchStore, as_text
from meshdata.search.schema import Schema, schema_of_index

logger = logging.getLogger(__name__)

_POLL_FIRST_S = 0.002
_POLL_LAST_S = 0.25


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """One index, told over all partitions.

    Attributes:
        entity, version: which one; version is the digest of its schema.
        current: whether queries use it.
        fields: name in the index → kind ("TAG", ...).
        documents: records it holds; failures: records it could not take.
        progress: how much of the records there were at its start it has read, 0 to 1.
    """

    entity: str
    version: str
    current: bool
    fields: dict[str, str]
    documents: int
    failures: int
    progress: float


class Index:
    """The indexes of one namespace."""

    def __init__(self, store: SearchStore) -> None:
        self._store = store

    async def create(self, schema: Schema[Any]) -> bool:
        """Build the schema's index in every partition and make queries use it; does nothing where it is in use already.

        Returns:
            Whether anything was changed. When it returns, every record there was at the call is in the index.

        Raises:
            SearchUnavailable: the server has no search module.
            SearchError: the module refuses the schema.
        """
        self._check_module()
        partitions = range(self._store.partitions)
        before = [await self._current(partition, schema.entity) for partition in partitions]
        wanted = [self._store.keys.index(partition, schema.entity, schema.version) for partition in partitions]
        await asyncio.gather(*(self._build(p, schema, wanted[p], there=before[p] == wanted[p]) for p in partitions))
        changed = [partition for partition in partitions if before[partition] != wanted[partition]]
        # all are full before the first is swapped, so that the time in which partitions differ is one round trip
        await asyncio.gather(*(self._swap(p, schema.entity, wanted[p], before[p]) for p in changed))
        if changed:
            logger.info("index in use", extra={"entity": schema.entity, "version": schema.version})
        return bool(changed)

    async def drop(self, entity: str) -> bool:
        """Drop every index of an entity; the records stay. Returns whether there was one."""
        self._check_module()
        dropped = False
        for partition in range(self._store.partitions):
            for name in await self._names(partition):
                if _parsed(self._store, partition, name)[0] == entity:
                    dropped = await self._drop(partition, name) or dropped
        return dropped

    async def list(self) -> Sequence[IndexInfo]:
        """Every index of the namespace, those being built too, by entity and version."""
        self._check_module()
        told: dict[tuple[str, str], list[tuple[dict[str, Any], bool]]] = {}
        for partition in range(self._store.partitions):
            for name in await self._names(partition):
                entity, version = _parsed(self._store, partition, name)
                try:
                    info = await self._info(partition, name)
                except IndexNotFound:
                    continue  # dropped since it was listed
                current = await self._current(partition, entity) == name
                told.setdefault((entity, version), []).append((info, current))
        return [_summed(entity, version, parts) for (entity, version), parts in sorted(told.items())]

    async def schema(self, entity: str) -> Schema[Any]:
        """What the entity's index says of its fields, for a caller without the model.

        Raises:
            IndexNotFound: the entity has none.
        """
        self._check_module()
        try:
            info = await self._info(0, self._store.keys.alias(0, entity))
        except IndexNotFound as problem:
            raise IndexNotFound(f"{entity!r} has no index; make it with mesh.create_index(Model)") from problem
        return schema_of_index(entity, [_attribute(one) for one in info["attributes"]])

    # --- one partition ------------------------------------------------------------------------------------------------

    def _check_module(self) -> None:
        if not self._store.has_search:
            raise SearchUnavailable()

    async def _build(self, partition: int, schema: Schema[Any], name: str, *, there: bool) -> None:
        if not there:
            prefix = self._store.keys.record_prefix(partition, schema.entity)
            head = ("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, "STOPWORDS", 0, "SCHEMA")
            try:
                await self._store.command(partition, *head, *schema.index_arguments())
            except (StoreError, QueryInvalid) as problem:
                # another process with the same model makes the same index under the same name
                if "already exists" not in str(problem):
                    raise SearchError(f"the index of {schema.entity!r} cannot be made: {problem}") from problem
        await self._until_full(partition, name)

    async def _until_full(self, partition: int, name: str) -> None:
        """Wait for the module's own background scan: until it ends, queries get part of the answer without a word."""
        pause = _POLL_FIRST_S
        while (await self._info(partition, name))["indexing"]:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _POLL_LAST_S)

    async def _swap(self, partition: int, entity: str, name: str, before: str | None) -> None:
        await self._store.command(partition, "FT.ALIASUPDATE", self._store.keys.alias(partition, entity), name)
        if before is not None:
            await self._drop(partition, before)

    async def _drop(self, partition: int, name: str) -> bool:
        try:
            await self._store.command(partition, "FT.DROPINDEX", name)
        except IndexNotFound:
            return False
        return True

    async def _current(self, partition: int, entity: str) -> str | None:
        try:
            info = await self._info(partition, self._store.keys.alias(partition, entity))
        except IndexNotFound:
            return None
        return str(info["index_name"])

    async def _info(self, partition: int, name: str) -> dict[str, Any]:
        return dict(as_text(await self._store.command(partition, "FT.INFO", name)))

    async def _names(self, partition: int) -> Sequence[str]:
        """The partition's indexes; a node lists those of all namespaces."""
        listed = as_text(list(await self._store.command(partition, "FT._LIST")))
        prefix = self._store.keys.alias(partition, "")
        return sorted(name for name in listed if name.startswith(prefix) and ":v" in name[len(prefix) :])


def _parsed(store: SearchStore, partition: int, name: str) -> tuple[str, str]:
    entity, _, version = name.removeprefix(store.keys.alias(partition, "")).rpartition(":v")
    return entity, version


def _attribute(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidOptions("this server's FT.INFO is not understood; give the model", argument="model")
    return given


def _summed(entity: str, version: str, parts: list[tuple[dict[str, Any], bool]]) -> IndexInfo:
    infos = [info for info, _ in parts]
    return IndexInfo(
        entity=entity,
        version=version,
        current=all(current for _, current in parts),
        fields={str(one["attribute"]): str(one["type"]) for one in infos[0]["attributes"]},
        documents=sum(int(info["num_docs"]) for info in infos),
        failures=sum(int(info["hash_indexing_failures"]) for info in infos),
        progress=min(float(info["percent_indexed"]) for info in infos),
    )
