"""Read and change one record from outside its functions."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from meshdata.call.options import job_of
from meshdata.entity.registry import Registry
from meshdata.errors import (
    InvalidOptions,
    MeshError,
    RecordExists,
    RecordNotFound,
    RevisionConflict,
    UniqueViolation,
    UsageError,
)
from meshdata.search.origin import Origin, origin_of, remember
from meshdata.search.schema import Schema
from meshdata.store.messages import Argument, Changed, texts
from meshdata.store.store import Store
from meshdata.values import Duration, duration_ms
from meshdata.workflow.state import checked_field, checked_number, number


class Records:
    """The records of a namespace."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    # --- reading ------------------------------------------------------------------------------------------------------

    async def get(self, entity: str, id: str, names: tuple[str, ...]) -> dict[str, Any]:
        """The named user fields, None where absent; all of them when none is named.

        Raises:
            RecordNotFound: there is no record.
        """
        job = job_of(entity, id)
        if not names:
            return await self.all(entity, id)
        stored = await self._store.read(job, (*self._registry.stored_names(entity, names), "_rev"))
        rev = stored.pop("_rev")
        if rev is None and all(value is None for value in stored.values()):
            raise RecordNotFound(entity, id)
        return self._registry.named(entity, names, stored)

    async def instance(self, schema: Schema[Any], id: str) -> BaseModel:
        """The whole record, as an instance of its model."""
        made: BaseModel = schema.instance(await self.raw(schema.entity, id))
        return made

    async def all(self, entity: str, id: str) -> dict[str, Any]:
        """Every user field."""
        stored = await self.raw(entity, id)
        return self._registry.from_hash(entity, {k: v for k, v in stored.items() if not k.startswith("_")})

    async def raw(self, entity: str, id: str) -> dict[str, bytes]:
        """The whole hash as stored, system fields too."""
        stored = await self._store.read(job_of(entity, id))
        if not stored:
            raise RecordNotFound(entity, id)
        return {name: value for name, value in stored.items() if value is not None}

    async def exists(self, entity: str, id: str) -> bool:
        """Whether there is a record."""
        return (await self._store.read(job_of(entity, id), ("_rev",)))["_rev"] is not None

    # --- fields -------------------------------------------------------------------------------------------------------

    async def set(
        self, entity: str, id: str, fields: Mapping[str, Any], *, create: bool, expected_rev: int | None
    ) -> int:
        """Write fields; None takes one away. Returns the number of new fields."""
        job = job_of(entity, id)
        if not fields:
            raise InvalidOptions("name at least one field", argument="fields")
        changes, gone = self._registry.to_hash(entity, fields, id)
        return int((await self._set(entity, id, job, changes, gone, create=create, expected_rev=expected_rev)).text)

    async def delete(self, entity: str, id: str, names: tuple[str, ...]) -> int:
        """Take fields away. Returns how many there were."""
        wanted = self._registry.stored_names(entity, tuple(map(checked_field, names)), strict=True)
        return int((await self._change(entity, id, job_of(entity, id), "delete", *wanted)).text)

    async def incr(self, entity: str, id: str, field: str, by: float) -> int | float:
        """Add to a number. Returns the new value."""
        amount = checked_number(by, "by")
        self._registry.check_count(entity, checked_field(field), by)
        changed = await self._change(entity, id, job_of(entity, id), "incr", field, amount)
        return number(changed.text.encode())

    async def mult(self, entity: str, id: str, field: str, by: float) -> int | float:
        """Multiply a number. Returns the new value."""
        factor = checked_number(by, "by")
        self._registry.check_count(entity, checked_field(field), by)
        changed = await self._change(entity, id, job_of(entity, id), "mult", field, factor)
        return number(changed.text.encode())

    async def elements(self, op: str, entity: str, id: str, field: str, values: Iterable[Any]) -> int:
        """Append values to a list or set, or remove them. Returns how many came or went."""
        job = job_of(entity, id)
        args = self._registry.elements(entity, checked_field(field), values, id)
        return int((await self._change(entity, id, job, op, *args)).text)

    # --- records ------------------------------------------------------------------------------------------------------

    async def create(self, entity: str, id: str, fields: Mapping[str, Any], ttl: Duration | None) -> int:
        """Make a record that must not be there. Returns the number of its fields."""
        job = job_of(entity, id)
        changes = self._registry.whole(entity, fields, id)
        changed = await self._set(entity, id, job, changes, (), new=True, ttl_ms=ttl_ms(ttl))
        return int(changed.text)

    async def create_instance(self, record: BaseModel, id: str | None, ttl: Duration | None) -> None:
        """Make a record of a model's instance."""
        schema, id = self.place(record, id)
        job = job_of(schema.entity, id)
        changes = self._registry.whole(schema.entity, record, id)
        changed = await self._set(schema.entity, id, job, changes, (), new=True, ttl_ms=ttl_ms(ttl))
        remember(record, Origin(schema.entity, {**changes, "_id": id, "_rev": changed.rev}))

    async def update(self, entity: str, id: str, fields: Mapping[str, Any], expected_rev: int | None) -> int:
        """Write fields of a record that must be there. Returns how many were written or taken away."""
        await self.set(entity, id, fields, create=False, expected_rev=expected_rev)
        return len(fields)

    async def update_instance(
        self, record: BaseModel, id: str | None, *, expected_rev: int | None, if_unchanged: bool
    ) -> int:
        """Write what differs between an instance and what it was read from. Returns how many fields that are."""
        schema, id = self.place(record, id)
        job = job_of(schema.entity, id)
        origin = origin_of(record)
        if if_unchanged:
            if origin is None or origin.rev is None:
                raise InvalidOptions(
                    "this instance was not read from its record; get() it, or give expected_rev",
                    argument="if_unchanged",
                )
            expected_rev = origin.rev
        changes, gone = self._registry.difference(schema, record, id)
        if not changes and not gone and expected_rev is None:
            return 0
        changed = await self._set(schema.entity, id, job, changes, gone, create=False, expected_rev=expected_rev)
        kept = {name: text for name, text in (origin.fields if origin else {}).items() if name not in gone}
        remember(record, Origin(schema.entity, {**kept, **changes, "_id": id, "_rev": changed.rev}))
        return sum(not name.startswith("_") for name in changes) + len(gone)

    async def drop(self, entity: str, id: str, expected_rev: int | None = None) -> int:
        """Remove a record that no job made. Returns 1, or 0 if there was none."""
        job = job_of(entity, id)
        return int((await self._change(entity, id, job, "drop", expected_rev=expected_rev)).text)

    def place(self, record: BaseModel, id: str | None) -> tuple[Schema[Any], str]:
        """Whose record an instance is, and its id.

        Raises:
            InvalidOptions: its class says no entity, or it has no id.
        """
        origin = origin_of(record)
        known = self._registry.schemas.get(origin.entity) if origin is not None else None
        if known is not None and known.model is type(record):
            schema: Schema[Any] = known
        else:
            schema = self._registry.learn(type(record))
        if id is None:
            found = getattr(record, schema.key, None) if schema.key else None
            if found is None and origin is not None and "_id" in origin.fields:
                found = origin.fields["_id"]
            if found is None:
                raise InvalidOptions(f"{type(record).__name__} has no field `id`; give id=...", argument="id")
            id = found.decode() if isinstance(found, bytes) else str(found)
        return schema, id

    # --- calling ------------------------------------------------------------------------------------------------------

    async def _set(
        self, entity: str, id: str, job: str, changes: Mapping[str, Argument], gone: Iterable[str], **how: Any
    ) -> Changed:
        return await self._change(entity, id, job, "set", *set_arguments(changes, gone), **how)

    async def _change(self, entity: str, id: str, job: str, op: str, *args: Argument, **how: Any) -> Changed:
        changed = await self._store.change(job, op, *args, **how)
        if changed.word != "OK":
            raise refusal(changed.word, changed.text, entity, id, how.get("expected_rev"))
        return changed


def set_arguments(changes: Mapping[str, Argument], gone: Iterable[str]) -> list[Argument]:
    """The arguments of `set`, in the words of lua/lib/record.lua."""
    return [len(changes), *(part for pair in changes.items() for part in pair), *gone]


def ttl_ms(ttl: Duration | None) -> int | None:
    """A record's time to live; None for one that stays.

    Raises:
        InvalidOptions: it is no duration, or none at all.
    """
    if ttl is None:
        return None
    ms = duration_ms(ttl, argument="ttl", infinity=True)
    if ms is not None and ms < 1:
        raise InvalidOptions(f"a record lives for at least a millisecond; got {ttl!r}", argument="ttl")
    return ms


def refusal(word: str, text: str, entity: str, id: str, expected_rev: int | None = None) -> MeshError:
    """What a script's refusal is raised as."""
    if word == "NOTFOUND":
        return RecordNotFound(entity, id)
    if word == "EXISTS":
        return RecordExists(entity, id)
    if word == "CONFLICT":
        return RevisionConflict(entity, id, expected_rev or 0, int(text))
    if word == "TAKEN":
        field, value, holder = texts(text.encode())
        return UniqueViolation(entity, id, field, value, holder)
    if word == "CLAIM":
        return InvalidOptions(f"{text!r} is unique: it is written by set(), where the model is known", argument=text)
    if word == "JOB":
        return UsageError(f"{entity}:{id} is a job's record; flush() removes the job with it")
    return InvalidOptions(f"{text!r} of {entity}:{id} holds no number that could be counted with", argument=text)
