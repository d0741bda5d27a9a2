"""Verbs of a class and of its objects alike: `Order.delete("o1")`, and `order.delete()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, overload

from meshdata.errors import InvalidOptions, RecordInvalid
from meshdata.meshos.place import place_of
from meshdata.meshos.records import ClassRecords
from meshdata.search.record import Record

M = TypeVar("M", bound=Record)
M_co = TypeVar("M_co", covariant=True)


class UpdatesById(Protocol[M_co]):
    """See `ClassRecords.update`."""

    async def __call__(
        self, id: str, fields: Mapping[str, Any] | None = None, /, *, expected_rev: int | None = None, **named: Any
    ) -> M_co: ...


class UpdatesItself(Protocol[M_co]):
    """Writes what differs from what was read, and the fields named here; see `MeshData.update`."""

    async def __call__(self, *, if_unchanged: bool = False, expected_rev: int | None = None, **named: Any) -> M_co: ...


class DeletesById(Protocol):
    """See `ClassRecords.delete`."""

    async def __call__(self, id: str) -> bool: ...


class DeletesItself(Protocol):
    """Removes its record, and its job if it has one. False if there was nothing."""

    async def __call__(self) -> bool: ...


class Update:
    """`update` of a class and of its objects."""

    @overload
    def __get__(self, instance: None, owner: type[M]) -> UpdatesById[M]: ...
    @overload
    def __get__(self, instance: M, owner: type[M]) -> UpdatesItself[M]: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return owner._records().update

        async def update(*, if_unchanged: bool = False, expected_rev: int | None = None, **named: Any) -> Any:
            for name, value in named.items():
                if name not in owner.model_fields:
                    raise RecordInvalid("no such field", model=owner.__name__, field=name, id=instance.id)
                setattr(instance, name, value)
            mesh = _on(instance, owner).mesh
            await mesh.update(instance, if_unchanged=if_unchanged, expected_rev=expected_rev)
            return instance

        return update


class Delete:
    """`delete` of a class and of its objects."""

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> DeletesById: ...
    @overload
    def __get__(self, instance: Record, owner: type[Any]) -> DeletesItself: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return owner._records().delete

        async def delete(*none: Any) -> bool:
            if none:
                raise InvalidOptions(
                    f"{owner.__name__}.delete(id) takes an id, an object's delete() none", argument="id"
                )
            return await _on(instance, owner).delete(instance.id)

        return delete


def _on(instance: Record, owner: Any) -> ClassRecords[Any]:
    mesh = place_of(instance).mesh
    records: ClassRecords[Any] = owner._records() if mesh is None else owner.on(mesh)
    return records
