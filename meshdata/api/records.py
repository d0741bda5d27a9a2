"""Entities and their records as resources: schema, list, get, create, patch, delete, find, aggregate."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from meshdata.api.body import read_object, respond_json
from meshdata.api.describe import entity_names, entity_of
from meshdata.api.pages import page_of
from meshdata.api.parameters import checked
from meshdata.api.problem import Refused
from meshdata.api.question import AGGREGATE, FIND, aggregate_of, find_of, find_of_url
from meshdata.errors import InvalidOptions, RecordNotFound
from meshdata.mesh import MeshData
from meshdata.values import mint_id


async def list_entities(request: Request) -> Response:
    """The entities of the namespace that this process knows, or that have an index."""
    mesh = mesh_of(request)
    return respond_json({"namespace": mesh.namespace, "entities": await entity_names(mesh)})


async def show_entity(request: Request) -> Response:
    """One entity: the schema of its records, its index fields, how its function and hooks are called."""
    return respond_json(await entity_of(mesh_of(request), request.path_params["entity"]))


async def list_records(request: Request) -> Response:
    """The records that meet the conditions in the URL, a page at a time."""
    mesh, entity = mesh_of(request), request.path_params["entity"]
    found = await page_of(find_of_url(mesh, entity, request.query_params.multi_items()))
    headers = {}
    if found["next"] is not None:
        headers["Link"] = f'<{request.url.include_query_params(cursor=found["next"])}>; rel="next"'
    return respond_json(found, headers=headers)


async def find_records(request: Request) -> Response:
    """The records that meet the conditions in the body."""
    asked = checked(FIND, await read_object(request))
    return respond_json(await page_of(find_of(mesh_of(request), request.path_params["entity"], **asked)))


async def aggregate_records(request: Request) -> Response:
    """Figures over the records."""
    asked = checked(AGGREGATE, await read_object(request))
    return respond_json({"rows": await aggregate_of(mesh_of(request), request.path_params["entity"], **asked)})


async def get_record(request: Request) -> Response:
    """One record; its revision is the ETag."""
    entity, id = request.path_params["entity"], request.path_params["id"]
    names = request.query_params.get("fields")
    if names:
        return respond_json(await mesh_of(request).get(entity, id, *names.split(",")))
    return await _record(mesh_of(request), entity, id)


async def create_record(request: Request) -> Response:
    """A new record, without a job. 201 and its place; 409 if there is one under its id."""
    mesh, entity = mesh_of(request), request.path_params["entity"]
    fields = await read_object(request)
    schema = mesh.registry.schemas.get(entity)
    id = request.query_params.get("id")
    if id is None and schema is not None and schema.key in fields:
        id = str(fields[schema.key])
    elif schema is None and "id" in fields:
        given = str(fields.pop("id"))
        id = given if id is None else id
    id = mint_id() if id is None else id
    ttl = request.query_params.get("ttl")
    await mesh.create(entity, id, fields, ttl=float(ttl) if ttl is not None and ttl.isdecimal() else ttl)
    return await _record(mesh, entity, id, status=201, Location=place_of(request, entity, id))


async def patch_record(request: Request) -> Response:
    """Change fields of a record; null takes one away. With If-Match only if it still has that revision."""
    mesh, entity, id = mesh_of(request), request.path_params["entity"], request.path_params["id"]
    fields = await read_object(request)
    if not fields:
        raise InvalidOptions("name at least one field", argument="fields")
    await mesh.update(entity, id, fields, expected_rev=_revision(request))
    return await _record(mesh, entity, id)


async def delete_record(request: Request) -> Response:
    """Remove a record, and its job if it has one. 404 if there is neither."""
    entity, id = request.path_params["entity"], request.path_params["id"]
    if not await mesh_of(request).flush(entity, id):
        raise RecordNotFound(entity, id)
    return Response(status_code=204)


def mesh_of(request: Request) -> MeshData:
    """The mesh that the app serves."""
    mesh: MeshData = request.app.state.mesh
    if not mesh.is_open:
        raise Refused(503, "the mesh is not open; what mounts this app opens it: async with mesh")
    return mesh


def place_of(request: Request, entity: str, id: str) -> str:
    """The path of a record."""
    root = request.scope.get("root_path", "")
    return f"{root}/entities/{quote(entity, safe='')}/records/{quote(id, safe='')}"


async def _record(mesh: MeshData, entity: str, id: str, status: int = 200, **headers: str) -> Response:
    stored = await mesh.raw(entity, id)
    fields = mesh.registry.from_hash(entity, {k: v for k, v in stored.items() if k == "_id" or k[:1] != "_"})
    fields.pop("_id", None)
    return respond_json({"id": id, **fields}, status, {"ETag": f'"{stored.get("_rev", b"0").decode()}"', **headers})


def _revision(request: Request) -> int | None:
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    text = given.strip().strip('"')
    if not text.isdecimal():
        raise InvalidOptions(f"the ETag of the record, not {given!r}", argument="If-Match")
    return int(text)
