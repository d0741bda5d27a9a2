"""What is known of the entities of a namespace: those connected here, those with a model, those with an index."""

import inspect
from typing import Any

from meshdata.errors import EntityNotFound
from meshdata.mesh import MeshData
from meshdata.values import check_entity


async def entity_names(mesh: MeshData) -> list[dict[str, Any]]:
    """The entities by name: [{entity, served, model, indexed, hooks}]."""
    indexed = {one.entity for one in await _indexes(mesh) if one.current}
    registry = mesh.registry
    methods = {one.name: one for one in registry.functions.values() if one.entity}
    served = {name for name, one in registry.functions.items() if not one.entity} | {
        one.entity for one in methods.values()
    }
    names = {*served, *registry.schemas, *indexed}
    hooks = {name for name in names if name.rpartition(".")[0] in names} | {
        name for name, one in methods.items() if one.is_hook
    }
    return [
        {
            "entity": name,
            "served": name in served,
            "model": name in registry.schemas,
            "indexed": name in indexed,
            "hooks": [hook for hook in sorted(hooks) if hook.rpartition(".")[0] == name],
        }
        for name in sorted(names - hooks)
    ]


async def entity_of(mesh: MeshData, entity: str) -> dict[str, Any]:
    """One entity: as in the list, and its record's JSON Schema, index fields by kind, function and hooks by signature.

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
        "signatures": {name: _signature(mesh, name) for name in (entity, *found["hooks"])},
    }


async def _indexes(mesh: MeshData) -> list[Any]:
    return list(await mesh.list_indexes()) if mesh.store.has_search else []


def _signature(mesh: MeshData, name: str) -> str | None:
    connected = next((one for one in mesh.registry.functions.values() if one.name == name), None)
    if connected is None:
        return None
    try:
        return str(inspect.signature(connected.function.fn))
    except (TypeError, ValueError):  # written in C, and does not tell
        return None
