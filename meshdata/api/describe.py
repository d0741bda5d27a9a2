"""What is known of the entities of a namespace: those connected here, those with a model, those with an index."""

import inspect
from typing import Any

from meshdata.errors import EntityNotFound
from meshdata.mesh import MeshData
from meshdata.values import check_entity


async def entity_names(mesh: MeshData) -> list[dict[str, Any]]:
    """The entities by name: [{entity, functions, model, indexed}].

    `functions` are what of it is served here: its own function, its hooks, the methods of its class ("user.bill").
    """
    indexed = {one.entity for one in await _indexes(mesh) if one.current}
    registry = mesh.registry
    own = {one.name for one in registry.functions.values() if not one.entity}
    names = {*own, *registry.schemas, *indexed}
    owners = {one.name: one.entity or _owner(one.name, names) for one in registry.functions.values()}
    return [
        {
            "entity": name,
            "functions": sorted(one for one, owner in owners.items() if owner == name),
            "model": name in registry.schemas,
            "indexed": name in indexed,
        }
        for name in sorted({*owners.values(), *(_owner(one, names) for one in names)})
    ]


def _owner(name: str, names: set[str]) -> str:
    """Whose function a name is: "user.bill" is of "user", if there is one."""
    above = name.rpartition(".")[0]
    return above if above in names else name


async def entity_of(mesh: MeshData, entity: str) -> dict[str, Any]:
    """One entity: as in the list, and its record's JSON Schema, index fields by kind, functions by signature.

    Raises:
        EntityNotFound: this process knows nothing of it.
    """
    found = next((one for one in await entity_names(mesh) if one["entity"] == check_entity(entity)), None)
    if found is None:
        raise EntityNotFound(entity)
    schema = mesh.registry.schemas.get(entity)
    fields: dict[str, str] = {}
    for one in await _indexes(mesh):
        if one.entity == entity and one.current:
            fields = one.fields
    model = None if schema is None else schema.model
    return found | {
        "key": schema.key if schema is not None else "",
        "schema": None if model is None else model.model_json_schema(),
        "index": fields,
        "signatures": {name: _signature(mesh, name) for name in found["functions"]},
    }


async def _indexes(mesh: MeshData) -> list[Any]:
    return list(await mesh.list_indexes()) if mesh.store.has_search else []


def _signature(mesh: MeshData, name: str) -> str | None:
    connected = next(one for one in mesh.registry.functions.values() if one.name == name)
    try:
        return str(inspect.signature(connected.function.fn))
    except (TypeError, ValueError):  # written in C, and does not tell
        return None
