"""The verbs on records that a mesh has: what is asked of `Records` and `Bulk`, in the words of users."""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast, overload

from pydantic import BaseModel

from meshdata.entity.bulk import Bulk, Written
from meshdata.entity.record import Records, ttl_ms
from meshdata.entity.registry import Registry
from meshdata.errors import InvalidOptions
from meshdata.store.store import Store
from meshdata.values import Duration

M = TypeVar("M", bound=BaseModel)
Kind = str | type[BaseModel]
"""An entity by its name, or by the model of its records."""


class _Door(Protocol):
    _records: Records
    _registry: Registry

    @property
    def store(self) -> Store: ...


class RecordVerbs:
    """Create, read, change and remove records.

    Where an entity is asked for, its name serves as well as the class of its records; with the class (or with a model
    given to `connect`) values are checked and typed.
    """

    # --- reading ------------------------------------------------------------------------------------------------------

    @overload
    async def get(self: _Door, entity: type[M], id: str) -> M: ...
    @overload
    async def get(self: _Door, entity: type[BaseModel], id: str, name: str, /, *names: str) -> dict[str, Any]: ...
    @overload
    async def get(self: _Door, entity: str, id: str, *names: str) -> dict[str, Any]: ...
    async def get(self: _Door, entity: Kind, id: str, *names: str) -> Any:
        """A record: an instance of the model for a class, else a dict of its fields, typed by the model.

        Args:
            names: only these fields, as a dict; None for those the record lacks.

        Raises:
            RecordNotFound: there is no record.
        """
        records = _records(self)
        if isinstance(entity, type) and not names:
            return await records.instance(self._registry.learn(entity), id)
        return await records.get(_name(self, entity), id, names)

    async def all(self: _Door, entity: Kind, id: str) -> dict[str, Any]:
        """Every user field of a record."""
        return await _records(self).all(_name(self, entity), id)

    async def raw(self: _Door, entity: Kind, id: str) -> dict[str, bytes]:
        """The whole record as stored, system fields too."""
        return await _records(self).raw(_name(self, entity), id)

    async def exists(self: _Door, entity: Kind, id: str) -> bool:
        """Whether there is a record."""
        return await _records(self).exists(_name(self, entity), id)

    # --- whole records ------------------------------------------------------------------------------------------------

    @overload
    async def create(self: _Door, record: M, /, *, id: str | None = None, ttl: Duration | None = None) -> M: ...
    @overload
    async def create(
        self: _Door, entity: Kind, id: str, fields: Mapping[str, Any], *, ttl: Duration | None = None
    ) -> int: ...
    async def create(
        self: _Door,
        entity: Any,
        id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        *,
        ttl: Duration | None = None,
    ) -> Any:
        """Make a record without a job: `await mesh.create(User(id="jo", plan="pro"))`.

        Args:
            id: the record's id, where the instance has no field for it.
            ttl: how long it is kept; by default until it is deleted.

        Returns:
            The instance; the number of fields, where it was given as entity, id and fields.

        Raises:
            RecordExists: there is one. UniqueViolation: another one has a value of a unique field.
            RecordInvalid: it does not fit its model.
        """
        records = _records(self)
        if isinstance(entity, BaseModel):
            await records.create_instance(entity, id, ttl)
            return entity
        if id is None or fields is None:
            raise InvalidOptions("give an instance, or an entity, an id and fields", argument="fields")
        return await records.create(_name(self, entity), id, fields, ttl)

    @overload
    async def update(
        self: _Door, record: BaseModel, /, *, id: str | None = None, expected_rev: int | None = None,
        if_unchanged: bool = False,
    ) -> int: ...  # fmt: skip
    @overload
    async def update(
        self: _Door, entity: Kind, id: str, fields: Mapping[str, Any], *, expected_rev: int | None = None
    ) -> int: ...
    async def update(
        self: _Door,
        entity: Any,
        id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        *,
        expected_rev: int | None = None,
        if_unchanged: bool = False,
    ) -> int:
        """Change a record that is there. Of an instance only the fields that differ from what was read are sent.

        Args:
            expected_rev: the revision (`_rev`) it must have.
            if_unchanged: it must have the revision that the instance was read at.

        Returns:
            How many fields were written or taken away; nothing is sent where that is none.

        Raises:
            RecordNotFound, RevisionConflict, UniqueViolation, RecordInvalid.
        """
        records = _records(self)
        if isinstance(entity, BaseModel):
            return await records.update_instance(entity, id, expected_rev=expected_rev, if_unchanged=if_unchanged)
        if id is None or fields is None:
            raise InvalidOptions("give an instance, or an entity, an id and fields", argument="fields")
        if if_unchanged:
            raise InvalidOptions("this is for instances; give expected_rev", argument="if_unchanged")
        return await records.update(_name(self, entity), id, fields, expected_rev)

    @overload
    async def delete(self: _Door, record: BaseModel, /) -> int: ...
    @overload
    async def delete(self: _Door, entity: Kind, id: str, *names: str) -> int: ...
    async def delete(self: _Door, entity: Any, id: str | None = None, *names: str) -> int:
        """Take fields away; without names, remove a record that no job made.

        Returns:
            How many fields there were; 1 or 0 for a record.

        Raises:
            UsageError: the record is a job's: `flush` removes both.
        """
        records = _records(self)
        if isinstance(entity, BaseModel):
            schema, id = records.place(entity, id)
            return await records.drop(schema.entity, id)
        if id is None:
            raise InvalidOptions("give an instance, or an entity and an id", argument="id")
        if not names:
            return await records.drop(_name(self, entity), id)
        return await records.delete(_name(self, entity), id, names)

    # --- fields -------------------------------------------------------------------------------------------------------

    async def set(
        self: _Door,
        entity: Kind,
        id: str,
        fields: Mapping[str, Any],
        *,
        create: bool = True,
        expected_rev: int | None = None,
    ) -> int:
        """Write fields of a record, whether it is there or not; None takes one away.

        Args:
            fields: a nested model's field is named "address.city".
            create: False refuses to make a new record.
            expected_rev: the revision (`_rev`) it must have; 0 for none.

        Returns:
            The number of new fields.

        Raises:
            RecordNotFound, RevisionConflict, UniqueViolation, RecordInvalid.
        """
        return await _records(self).set(_name(self, entity), id, fields, create=create, expected_rev=expected_rev)

    async def incr(self: _Door, entity: Kind, id: str, field: str, by: float = 1) -> int | float:
        """Add to a number; an absent field counts as 0. Returns the new value."""
        return await _records(self).incr(_name(self, entity), id, field, by)

    async def mult(self: _Door, entity: Kind, id: str, field: str, by: float) -> int | float:
        """Multiply a number; an absent field counts as 1. Returns the new value."""
        return await _records(self).mult(_name(self, entity), id, field, by)

    async def append(self: _Door, entity: Kind, id: str, field: str, *values: Any) -> int:
        """Add values to a list or set, at once with whoever else does. Returns how many are new (of a list: all)."""
        return await _records(self).elements("append", _name(self, entity), id, field, values)

    async def remove(self: _Door, entity: Kind, id: str, field: str, *values: Any) -> int:
        """Take values out of a list (wherever they are in it) or set. Returns how many went."""
        return await _records(self).elements("remove", _name(self, entity), id, field, values)

    # --- many records -------------------------------------------------------------------------------------------------

    async def create_many(
        self: _Door,
        entity: Kind,
        records: Iterable[Any] | AsyncIterable[Any],
        *,
        ttl: Duration | None = None,
    ) -> Written:
        """Make many records, each as `create` would, in batches.

        Args:
            records: instances, mappings with the id among the fields, or pairs (id, mapping); a generator is read on as
                they are written.

        Returns:
            How many were created, and which were refused and why; no refusal is raised.
        """
        return await _bulk(self, entity, new=True, ttl=ttl).write(records)

    async def update_many(self: _Door, entity: Kind, records: Iterable[Any] | AsyncIterable[Any]) -> Written:
        """Change many records that are there, each as `update` would, in batches. See `create_many`."""
        return await _bulk(self, entity, new=False, ttl=None).write(records)


def _records(door: _Door) -> Records:
    _ = door.store  # refuses a mesh that is not open
    return door._records


def _name(door: _Door, entity: Kind) -> str:
    return entity if isinstance(entity, str) else door._registry.learn(cast("type[Any]", entity)).entity


def _bulk(door: _Door, entity: Kind, *, new: bool, ttl: Duration | None) -> Bulk:
    records = _records(door)
    return Bulk(door.store, door._registry, records, _name(door, entity), new=new, ttl_ms=ttl_ms(ttl))
