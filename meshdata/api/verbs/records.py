"""Methods on records: one, and those that a query finds."""

from typing import Any

from meshdata.api.methods import JsonDuration, plain, reads, writes
from meshdata.api.pages import page_of
from meshdata.api.question import aggregate_of, find_of
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData


@reads
async def get(mesh: MeshData, entity: str, id: str, names: list[str] | None = None) -> dict[str, Any]:
    """A record's fields, or some of them."""
    return await mesh.get(entity, id, *names or ())


@reads
async def exists(mesh: MeshData, entity: str, id: str) -> bool:
    """Whether there is a record."""
    return await mesh.exists(entity, id)


@writes
async def create(mesh: MeshData, entity: str, id: str, fields: dict[str, Any], ttl: JsonDuration | None = None) -> int:
    """Make a record without a job. The number of fields."""
    return await mesh.create(entity, id, fields, ttl=ttl)


@writes
async def set_(
    mesh: MeshData, entity: str, id: str, fields: dict[str, Any], create: bool = True, expected_rev: int | None = None
) -> int:
    """Write fields of a record, whether it is there or not. The number of new fields."""
    return await mesh.set(entity, id, fields, create=create, expected_rev=expected_rev)


@writes
async def update(mesh: MeshData, entity: str, id: str, fields: dict[str, Any], expected_rev: int | None = None) -> int:
    """Change fields of a record that is there. How many were written or taken away."""
    return await mesh.update(entity, id, fields, expected_rev=expected_rev)


@writes
async def incr(mesh: MeshData, entity: str, id: str, field: str, by: int | float = 1) -> int | float:
    """Add to a number. The new value."""
    return await mesh.incr(entity, id, field, by)


@writes
async def mult(mesh: MeshData, entity: str, id: str, field: str, by: int | float) -> int | float:
    """Multiply a number. The new value."""
    return await mesh.mult(entity, id, field, by)


@writes
async def append(mesh: MeshData, entity: str, id: str, field: str, values: list[Any]) -> int:
    """Add values to a list or set. How many are new."""
    return await mesh.append(entity, id, field, *values)


@writes
async def remove(mesh: MeshData, entity: str, id: str, field: str, values: list[Any]) -> int:
    """Take values out of a list or set. How many went."""
    return await mesh.remove(entity, id, field, *values)


@writes
async def delete(mesh: MeshData, entity: str, id: str, names: list[str] | None = None) -> int:
    """Take fields away; without names, remove a record that no job made."""
    return await mesh.delete(entity, id, *names or ())


@reads
async def find(
    mesh: MeshData, entity: str, where: list[dict[str, Any]] | None = None, sort: list[str] | None = None,
    limit: int = 20, offset: int = 0, cursor: str | None = None, select: list[str] | None = None,
) -> Any:  # fmt: skip
    """The records that meet the conditions, a page of them: items, total, next."""
    return await page_of(
        find_of(mesh, entity, where=where, sort=sort, limit=limit, offset=offset, cursor=cursor, select=select)
    )


@reads
async def count(mesh: MeshData, entity: str, where: list[dict[str, Any]] | None = None) -> int:
    """How many records meet the conditions."""
    return await find_of(mesh, entity, where=where).count()


@reads
async def ids(
    mesh: MeshData, entity: str, where: list[dict[str, Any]] | None = None, sort: list[str] | None = None,
    limit: int = 20, offset: int = 0,
) -> list[str]:  # fmt: skip
    """The ids of the records that meet the conditions."""
    return await find_of(mesh, entity, where=where, sort=sort, limit=limit, offset=offset).ids()


@reads
async def aggregate(
    mesh: MeshData, entity: str, where: list[dict[str, Any]] | None = None, group_by: list[str] | None = None,
    reduce: dict[str, str] | None = None, sort: list[str] | None = None, limit: int = 20,
) -> Any:  # fmt: skip
    """Figures over records, grouped."""
    return await aggregate_of(mesh, entity, where=where, group_by=group_by, reduce=reduce, sort=sort, limit=limit)


@reads
async def list_indexes(mesh: MeshData) -> Any:
    """The indexes of the namespace."""
    return [plain(one) for one in await mesh.list_indexes()]


@writes
async def create_index(mesh: MeshData, entity: str) -> bool:
    """Build the index of an entity that has a model here, or change it to fit. Whether there was anything to do."""
    schema = mesh.registry.schemas.get(entity)
    if schema is None or schema.model is None:
        raise InvalidOptions(f"no model of {entity!r} is known to this process", argument="entity")
    return await mesh.create_index(schema.model, entity=entity)


@writes
async def drop_index(mesh: MeshData, entity: str) -> bool:
    """Remove an index; the records stay."""
    return await mesh.drop_index(entity)
