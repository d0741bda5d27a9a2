"""Methods of `MeshData` called by name: POST /rpc/<method> with {"data": [...] or {...}, "metadata": {...}}."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from meshdata.api.body import read_object, respond_json
from meshdata.api.describe import entity_names
from meshdata.api.methods import Method, Started, method_of, named
from meshdata.api.parameters import checked
from meshdata.api.problem import Refused
from meshdata.api.records import mesh_of, place_of
from meshdata.api.verbs import METHODS
from meshdata.errors import InvalidOptions

METADATA: Final = ("entity", "namespace", "database", "await")
"""What a call may say beside its arguments. `database` is taken and means nothing: an app serves one mesh."""


async def list_methods(request: Request) -> Response:
    """The methods there are, and whether they may be called here."""
    writes: bool = request.app.state.writes
    told = [
        {"method": one.name, "writes": one.writes, "allowed": writes or not one.writes, "says": one.says}
        for one in METHODS.values()
    ]
    return respond_json({"methods": told})


async def get_manifest(request: Request) -> Response:
    """What the app serves, in the words of the reference family: the namespace, its entities."""
    mesh = mesh_of(request)
    return respond_json({"data": {"namespace": mesh.namespace, "entities": await entity_names(mesh)}})


async def call_method(request: Request) -> Response:
    """Call a method. 200 and {"data": what it gave}; 202 and who was started, where it is not waited for."""
    name = request.path_params["method"]
    method = method_of(name)
    if method is None:
        raise Refused(404, f"there is no method {name!r}; GET /rpc lists them")
    if method.writes and not request.app.state.writes:
        raise Refused(403, f"{method.name} changes things, and writes are off here; serve with writes=True (--writes)")
    given = await read_object(request)
    unknown = set(given) - {"data", "metadata"}
    if unknown:
        raise InvalidOptions("a call has data and metadata", argument=min(unknown))
    mesh = mesh_of(request)
    arguments = _arguments(method, given.get("data", []), given.get("metadata", {}), mesh.namespace)
    value = await method.call(mesh, **checked(method.parameters, arguments))
    return respond_started(request, value) if isinstance(value, Started) else respond_json({"data": value})


def respond_started(request: Request, started: Started) -> Response:
    """202 and where to ask on."""
    told = {"entity": started.entity, "id": started.id}
    return respond_json({"data": told}, 202, {"Location": place_of(request, started.entity, started.id)})


def _arguments(method: Method, data: Any, metadata: Any, namespace: str) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise InvalidOptions("an object", argument="metadata")
    for name in metadata:
        if name not in METADATA:
            raise InvalidOptions(f"one of {', '.join(METADATA)}", argument=f"metadata.{name}")
    if metadata.get("namespace", namespace) != namespace:
        raise Refused(404, f"namespace {namespace!r} is served here, not {metadata['namespace']!r}")
    parameters = method.parameters.model_fields
    entity = metadata.get("entity")
    # A call on an entity's instance, as the reference family has it: the entity comes before the other arguments.
    if entity is not None and "entity" in parameters:
        data = [entity, *data] if isinstance(data, list) else {"entity": entity, **named(method, data)}
    arguments = named(method, data)
    if "await" in metadata:
        if not isinstance(metadata["await"], bool):
            raise InvalidOptions("true or false", argument="metadata.await")
        if "wait" in parameters:
            arguments.setdefault("wait", metadata["await"])
    return arguments
