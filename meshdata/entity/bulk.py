"""Write many records: checked and encoded one by one, sent in batches, so many at once and no more; one report for all.

A batch is one script per partition, in which each record is created or refused by itself. Reading on from the caller's
records waits while enough is under way, so a generator of millions takes no more memory than a list of hundreds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from meshdata.entity.record import Records, refusal, set_arguments
from meshdata.entity.registry import Registry
from meshdata.errors import InvalidOptions, MeshError, ScriptFailed
from meshdata.search.origin import Origin, origin_of, remember
from meshdata.store.messages import Argument
from meshdata.store.store import Store
from meshdata.values import check_entity, check_id

BATCH_RECORDS = 100
"""Records per script: at 30 us each, others wait 3 ms at most."""

BATCH_BYTES = 1_000_000
"""About how large a batch grows before it is sent, however few records it is."""

IN_FLIGHT = 4
"""Batches under way at once: enough that server and client both always have work."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that was not written.

    Attributes:
        position: its place among those given, from 0.
        id: its id, "" where it could not be told.
        error: why; what `create` or `update` of it alone would have raised.
    """

    position: int
    id: str
    error: MeshError


@dataclass(slots=True)
class Written:
    """What came of many records; each of them is counted once. `unchanged`: instances that are as they were read."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: list[Refused] = field(default_factory=list)

    def raise_for_failures(self) -> None:
        """Raise an ExceptionGroup of what the records that were not written would have raised, if there are any."""
        if self.failed:
            raise ExceptionGroup(f"{len(self.failed)} records were not written", [one.error for one in self.failed])


@dataclass(slots=True)
class _One:
    """A record on its way."""

    position: int
    id: str
    job: str
    arguments: list[Argument]
    record: BaseModel | None
    stored: dict[str, Any]


class Bulk:
    """One call of `create_many` or `update_many`."""

    def __init__(
        self, store: Store, registry: Registry, records: Records, entity: str, *, new: bool, ttl_ms: int | None
    ) -> None:
        self._store = store
        self._registry = registry
        self._records = records
        self._entity = check_entity(entity)
        self._new = new
        self._ttl_ms = ttl_ms
        self._gathered: list[list[_One]] = [[] for _ in range(store.partitions)]
        self._sizes = [0] * store.partitions
        self._under_way: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None
        self._report = Written()

    async def write(self, records: Iterable[Any] | AsyncIterable[Any]) -> Written:
        """Write them all.

        Raises:
            Whatever reading on in `records` raises; what was sent by then is waited for, and was written.
        """
        try:
            position = 0
            async for given in _each(records):
                self._take(position, given)
                position += 1
                for partition, gathered in enumerate(self._gathered):
                    if len(gathered) >= BATCH_RECORDS or self._sizes[partition] >= BATCH_BYTES:
                        await self._send(partition)
            for partition, gathered in enumerate(self._gathered):
                if gathered:
                    await self._send(partition)
        finally:
            while self._under_way:
                await asyncio.wait(self._under_way)
        if self._broken is not None:
            raise self._broken
        self._report.failed.sort(key=lambda one: one.position)
        return self._report

    def _take(self, position: int, given: Any) -> None:
        id = ""
        try:
            record, id, content = self._told(given)
            job = f"{self._entity}:{check_id(id)}"
            gone: list[str] = []
            if self._new:
                changes = self._registry.whole(self._entity, content, id)
            elif isinstance(content, BaseModel):
                schema = self._registry.schemas[self._entity]
                changes, gone = self._registry.difference(schema, content, id)
            else:
                changes, gone = self._registry.to_hash(self._entity, content, id)
        except MeshError as error:
            self._report.failed.append(Refused(position, id, error))
            return
        if not self._new and not changes and not gone:
            self._report.unchanged += 1
            return
        stored: dict[str, Any] = {}
        if record is not None:
            origin = None if self._new else origin_of(record)
            kept = {} if origin is None else {k: v for k, v in origin.fields.items() if k not in gone and k != "_rev"}
            stored = {**kept, **changes, "_id": id} | ({"_rev": 1} if self._new else {})
        partition = self._store.keys.partition(job)
        one = _One(position, id, job, set_arguments(changes, gone), record, stored)
        self._gathered[partition].append(one)
        self._sizes[partition] += sum(map(len, changes.values()))  # type: ignore[arg-type]  # codecs make text of all

    def _told(self, given: Any) -> tuple[BaseModel | None, str, Any]:
        """An instance if it is one, the id, and what is to be written."""
        if isinstance(given, BaseModel):
            _, id = self._records.place(given, None)
            return given, id, given
        if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping):
            return None, given[0], given[1]
        if isinstance(given, Mapping):
            schema = self._registry.schemas.get(self._entity)
            key = (schema.key if schema is not None else "") or "id"
            if given.get(key) is None:
                raise InvalidOptions(f"a mapping needs its record's id under {key!r}", argument=key)
            return None, str(given[key]), {name: value for name, value in given.items() if name != key}
        raise InvalidOptions(
            f"an instance of the model, a mapping with the id or (id, mapping) is needed; got {type(given).__name__}",
            argument="records",
        )

    async def _send(self, partition: int) -> None:
        while len(self._under_way) >= IN_FLIGHT:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        batch, self._gathered[partition] = self._gathered[partition], []
        self._sizes[partition] = 0
        task = asyncio.get_running_loop().create_task(self._write(partition, batch))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.sleep(0)  # it is sent while the next batch is made

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()

    async def _write(self, partition: int, batch: list[_One]) -> None:
        try:
            answers = await self._store.change_many(
                partition, self._entity, [(one.job, one.arguments) for one in batch], create=self._new,
                new=self._new, ttl_ms=self._ttl_ms,
            )  # fmt: skip
        except MeshError as error:
            self._report.failed += [Refused(one.position, one.id, error) for one in batch]
            return
        for one, (word, text) in zip(batch, answers, strict=True):
            if word == "CREATED":
                self._report.created += 1
            elif word == "UPDATED":
                self._report.updated += 1
            else:
                self._report.failed.append(Refused(one.position, one.id, self._why(one, word, text)))
                continue
            if one.record is not None:
                remember(one.record, Origin(self._entity, one.stored))

    def _why(self, one: _One, word: str, text: str) -> MeshError:
        if word == "ERROR":
            return ScriptFailed(text, script="change_many")
        return refusal(word, text, self._entity, one.id)


async def _each(records: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(records, AsyncIterable):
        async for one in records:
            yield one
    elif isinstance(records, Iterable) and not isinstance(records, str | bytes | Mapping | BaseModel):
        for one in records:
            yield one
    else:
        raise InvalidOptions(f"records are a list or a generator; got {type(records).__name__}", argument="records")
