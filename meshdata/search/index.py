"""Make, swap, drop and list indexes: one per partition, behind an alias that queries use.

Where a changed model only has more fields, they are added to the index there is. Otherwise a new one is built beside
the old; when it is full in every partition, the alias is moved over in one command and the old one dropped, so that no
reader ever sees a half-filled index. Which code may change the index is told by its generations: `generations.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from meshdata.errors import (
    IndexNotFound,
    IndexOutdated,
    InvalidOptions,
    SearchError,
    SearchUnavailable,
    StoreError,
)
from meshdata.search.generations import Columns, Generation, Generations, columns_of
from meshdata.search.reply import SearchStore, as_text
from meshdata.search.schema import Schema, schema_of_index

logger = logging.getLogger(__name__)

_POLL_FIRST_S = 0.002
_POLL_LAST_S = 0.25
_TOLD_EVERY_S = 5.0

Progress = Callable[[float], None]
"""Is told how much of the records a build has read, 0 to 1, now and then."""


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """One index, told over all partitions.

    Attributes:
        entity, version: which one; version is the digest of its schema.
        current: whether queries use it.
        fields: name in the index → kind ("TAG", ...).
        documents: records it holds; failures: records it could not take.
        progress: how much of the records there were at its start it has read, 0 to 1.
        generation: how many versions of the entity's index there have been with this one; 0 for one that is not in use.
    """

    entity: str
    version: str
    current: bool
    fields: dict[str, str]
    documents: int
    failures: int
    progress: float
    generation: int = 0


_TEXT_OPTIONS = ("WEIGHT", "NOSTEM", "PHONETIC", "WITHSUFFIXTRIE", "INDEXEMPTY")
_OPTIONS = frozenset([*_TEXT_OPTIONS, "SEPARATOR", "CASESENSITIVE", "INDEXMISSING", "SORTABLE", "UNF", "NOINDEX"])
"""Words that the module takes, in any case, for options of the field before, even where the next field is called so."""


def _parted(columns: Columns) -> tuple[list[str], list[list[str]]]:
    """The words of columns that can stand together, and of each of those that must be the first of their command."""
    misread = [list(words) for words in columns.values() if words[0].upper() in _OPTIONS]
    return [word for words in columns.values() if words[0].upper() not in _OPTIONS for word in words], misread


class Index:
    """The indexes of one namespace."""

    def __init__(self, store: SearchStore) -> None:
        self._store = store

    async def create(
        self, schema: Schema[Any], *, force: bool = False, hold: bool = False, progress: Progress | None = None
    ) -> bool:
        """Make the entity's index fit the schema in every partition, and queries use it.

        Nothing is done where it fits already, nor where the schema is that of older code than the index was made for.

        Args:
            force: build it anew and use it, even if it is older.
            hold: only build it; `swap` then makes queries use it.
            progress: is told how far a build is.

        Returns:
            Whether anything was changed. When it returns, every record there was at the call is in the index.

        Raises:
            IndexOutdated: the index was made by newer code, and lacks fields of this schema.
            SearchUnavailable: the server has no search module.
            SearchError: the module refuses the schema.
        """
        self._check_module()
        if hold:
            return await self._build_all(schema, schema.version, _Told(schema.entity, progress))
        generations = Generations(self._store, schema.entity)
        history = await generations.read()
        wanted = _decided(schema, history, force=force)
        if wanted is None:
            logger.info("index made by newer code is used as it is", extra={"entity": schema.entity})
            return False
        if wanted.number > len(history):
            like = wanted if wanted.index != schema.version else None
            claimed = await generations.claim(wanted.number, schema, like=like)
            if claimed is None:  # another process was first; what it brought decides
                return await self.create(schema, force=force, progress=progress)
            wanted = claimed
        built = await self._build_all(schema, wanted.index, _Told(schema.entity, progress))
        latest = (await generations.read())[-1:]
        if latest and latest[0].number != wanted.number:  # newer code came while it was built, and has the say
            return await self.create(schema, progress=progress)
        swapped = await self._use(schema.entity, wanted.index)
        if swapped:
            logger.info("index in use", extra={"entity": schema.entity, "version": schema.version})
        return built or swapped

    async def exists(self, entity: str) -> bool:
        """Whether queries of an entity have an index, in every partition."""
        names = await asyncio.gather(*(self._current(p, entity) for p in range(self._store.partitions)))
        return all(name is not None for name in names)

    async def follow(self, schema: Schema[Any]) -> None:
        """`create` for a process that serves: one whose code is older than the index serves on, with a warning."""
        try:
            await self.create(schema)
        except IndexOutdated as problem:
            logger.warning(
                "the index was made by newer code, and lacks fields that this code asks for",
                extra={"entity": schema.entity, "missing": problem.missing},
            )

    async def swap(self, schema: Schema[Any]) -> bool:
        """Make queries use the index that `create(hold=True)` built. Returns whether they did not already.

        Raises:
            IndexNotFound: it was not built, or not in every partition.
        """
        self._check_module()
        for partition in range(self._store.partitions):
            info = await self._info(partition, self._name(partition, schema.entity, schema.version))
            if info["indexing"]:
                raise SearchError(f"the index of {schema.entity!r} is not full yet; build it, then swap")
        generations = Generations(self._store, schema.entity)
        history = await generations.read()
        is_last = history and (history[-1].version, history[-1].index) == (schema.version, schema.version)
        if not is_last and await generations.claim(len(history) + 1, schema) is None:
            return await self.swap(schema)  # another process was first
        return await self._use(schema.entity, schema.version)

    async def drop(self, entity: str) -> bool:
        """Drop every index of an entity; the records stay. Returns whether there was one."""
        self._check_module()
        dropped = False
        for partition in range(self._store.partitions):
            for name in await self._names(partition):
                if _parsed(self._store, partition, name)[0] == entity:
                    dropped = await self._drop(partition, name) or dropped
        await Generations(self._store, entity).forget()
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
        last = {entity: (await Generations(self._store, entity).read())[-1:] for entity, _ in told}
        return [_summed(entity, version, parts, last[entity]) for (entity, version), parts in sorted(told.items())]

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

    async def _build_all(self, schema: Schema[Any], version: str, told: _Told) -> bool:
        """Make the index of this name fit the schema in every partition, and wait until it is full."""
        partitions = range(self._store.partitions)
        changed = await asyncio.gather(*(self._build(p, schema, version) for p in partitions))
        await asyncio.gather(*(self._until_full(p, self._name(p, schema.entity, version), told) for p in partitions))
        return any(changed)

    async def _build(self, partition: int, schema: Schema[Any], version: str) -> bool:
        name = self._name(partition, schema.entity, version)
        try:
            there = {str(one["attribute"]) for one in (await self._info(partition, name))["attributes"]}
        except IndexNotFound:
            prefix = self._store.keys.record_prefix(partition, schema.entity)
            head = ("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, "STOPWORDS", 0, "SCHEMA")
            plain, misread = _parted(columns_of(schema))
            # another process with the same model makes the same index under the same name
            await self._change(schema, partition, *head, *plain, unless="already exists")
            if misread:
                await self._build(partition, schema, version)
            return True
        # a Text(exact=True) is two attributes, both in the words of the first
        plain, misread = _parted({name: words for name, words in columns_of(schema).items() if name not in there})
        for added in ([plain] if plain else []) + misread:
            if not await self._change(schema, partition, "FT.ALTER", name, "SCHEMA", "ADD", *added, unless="duplicate"):
                await self._build(partition, schema, version)  # another process adds too: what it has not added is left
                break
        return bool(plain or misread)

    async def _change(self, schema: Schema[Any], partition: int, *words: Any, unless: str) -> bool:
        """Run a command; False where the module says no because of what is there already."""
        try:
            await self._store.command(partition, *words)
        except (StoreError, SearchError) as problem:
            if unless in str(problem).lower():
                return False
            raise SearchError(f"the index of {schema.entity!r} cannot be made: {problem}") from problem
        return True

    async def _until_full(self, partition: int, name: str, told: _Told) -> None:
        """Wait for the module's own background scan: until it ends, queries get part of the answer without a word."""
        pause = _POLL_FIRST_S
        while (info := await self._info(partition, name))["indexing"]:
            told.say(partition, float(info["percent_indexed"]))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _POLL_LAST_S)
        told.say(partition, 1.0)

    async def _use(self, entity: str, version: str) -> bool:
        """Let queries use the index of this name, and drop the one they used."""
        partitions = range(self._store.partitions)
        before = [await self._current(partition, entity) for partition in partitions]
        wanted = [self._name(partition, entity, version) for partition in partitions]
        changed = [partition for partition in partitions if before[partition] != wanted[partition]]
        # all are full before the first is swapped, so that the time in which partitions differ is one round trip
        await asyncio.gather(*(self._swap(p, entity, wanted[p], before[p]) for p in changed))
        return bool(changed)

    async def _swap(self, partition: int, entity: str, name: str, before: str | None) -> None:
        await self._store.command(partition, "FT.ALIASUPDATE", self._store.keys.alias(partition, entity), name)
        if before is not None:
            await self._drop(partition, before)

    def _name(self, partition: int, entity: str, version: str) -> str:
        return self._store.keys.index(partition, entity, version)

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


class _Told:
    """How far a build is, over all partitions: to who asked for it, and to the log where it takes long."""

    def __init__(self, entity: str, progress: Progress | None) -> None:
        self._entity, self._progress = entity, progress
        self._parts: dict[int, float] = {}
        self._next = asyncio.get_running_loop().time() + _TOLD_EVERY_S

    def say(self, partition: int, share: float) -> None:
        self._parts[partition] = share
        least = min(self._parts.values())
        if self._progress is not None:
            self._progress(least)
        now = asyncio.get_running_loop().time()
        if now >= self._next and least < 1:
            self._next = now + _TOLD_EVERY_S
            logger.info("index being built", extra={"entity": self._entity, "progress": round(least, 3)})


def _decided(schema: Schema[Any], history: Sequence[Generation], *, force: bool) -> Generation | None:
    """The generation that the index should be of: the last, or one more; None where older code leaves it as it is."""
    own = Generation(len(history) + 1, schema.version, schema.version, columns_of(schema))
    if not history:
        return own
    last = history[-1]
    if last.version == schema.version:
        return last
    missing = last.lacks(schema)
    if force:
        return own
    if any(one.version == schema.version for one in history):
        if missing:
            raise IndexOutdated(
                f"the index of {schema.entity!r} was made by newer code and has no such {', '.join(missing)} as this "
                "code's model; bring this process up to date, or call create_index(Model, force=True) to go back",
                missing=missing,
            )
        return None
    # what this code's model has no more stays: other processes may still ask for it
    return Generation(own.number, own.version, last.index, last.columns) if last.can_take(schema) else own


def _parsed(store: SearchStore, partition: int, name: str) -> tuple[str, str]:
    entity, _, version = name.removeprefix(store.keys.alias(partition, "")).rpartition(":v")
    return entity, version


def _attribute(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidOptions("this server's FT.INFO is not understood; give the model", argument="model")
    return given


def _summed(
    entity: str, version: str, parts: list[tuple[dict[str, Any], bool]], last: Sequence[Generation]
) -> IndexInfo:
    infos = [info for info, _ in parts]
    current = all(current for _, current in parts)
    known = [one for one in last if current and one.index == version]
    return IndexInfo(
        entity=entity,
        version=known[0].version if known else version,
        current=current,
        fields={str(one["attribute"]): str(one["type"]) for one in infos[0]["attributes"]},
        documents=sum(int(info["num_docs"]) for info in infos),
        failures=sum(int(info["hash_indexing_failures"]) for info in infos),
        progress=min(float(info["percent_indexed"]) for info in infos),
        generation=known[0].number if known else 0,
    )
