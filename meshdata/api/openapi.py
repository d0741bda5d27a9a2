"""The OpenAPI 3.1 document of an app: made from its methods, its queries and the models its mesh knows; no I/O."""

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from pydantic import BaseModel

from meshdata.api.methods import Method
from meshdata.api.question import AGGREGATE, DEFAULT_LIMIT, FIND, MOST_LIMIT, OPERATORS
from meshdata.api.verbs import METHODS
from meshdata.mesh import MeshData

Json = dict[str, Any]

_REF: Final = "#/components/schemas/"
_REFUSALS: Final = {
    "400": "the request, or its query, cannot be read",
    "401": "the token is missing",
    "403": "not from here, or writes are off",
    "404": "there is none",
    "409": "it is taken, or was changed meanwhile",
    "410": "the job was interrupted",
    "422": "a value does not fit",
    "500": "the job failed",
    "503": "Redis cannot be reached",
    "504": "no result in time; the job goes on",
}
_PROBLEM: Final[Json] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what helps."},
        "code": {"type": "integer", "description": "The error's own: 596 to 598 where no retry helps."},
        "error": {"type": "string", "description": "The class in meshdata.errors."},
        "argument": {"type": "string", "description": "What does not fit."},
        "job_id": {"type": "string"},
        "raised": {"type": "string", "description": "What the job's function raised."},
    },
}
_CALL: Final[Json] = {
    "type": "object",
    "properties": {
        "entity": {"type": "string", "description": "Comes before the arguments."},
        "namespace": {"type": "string"},
        "database": {"type": "string"},
        "await": {"type": "boolean", "default": True},
    },
    "additionalProperties": False,
}


def document(mesh: MeshData, *, root: str, writes: bool, secured: bool) -> Json:
    """The document for what an app serves now.

    Args:
        root: where it is mounted, "" at the top. writes: whether they are on. secured: whether it asks for a token.
    """
    schemas: Json = {"Problem": _PROBLEM, "Record": {"type": "object", "additionalProperties": True}}
    paths: Json = {
        "/health": {"get": _operation("Whether the process does its part", {}, open=True)},
        "/entities": {"get": _operation("The entities", _object())},
        "/entities/{entity}": {"get": _operation("One entity: schema, index, signatures", _object(), _path("entity"))},
        **_record_paths("{entity}", _ref("Record"), _path("entity"), writes, schemas),
        "/rpc": {"get": _operation("The methods", _object())},
    }
    for entity, schema in sorted(mesh.registry.schemas.items()):
        if schema.model is not None:
            ref = _learn(schemas, schema.model)
            paths |= _record_paths(entity, ref, [], writes, schemas)
    for method in METHODS.values():
        if writes or not method.writes:
            paths[f"/rpc/{method.name}"] = {"post": _call_of(method, schemas)}
    secure: Json = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if secured else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"meshdata: {mesh.namespace}", "version": _version()},
        "servers": [{"url": root or "/"}],
        "paths": paths,
        "components": {"schemas": schemas, **secure},
        **({"security": [{"token": []}]} if secured else {}),
    }


def _record_paths(entity: str, record: Json, prefix: list[Json], writes: bool, schemas: Json) -> Json:
    page = _object(
        items={"type": "array", "items": record}, total={"type": "integer"}, next={"type": ["string", "null"]}
    )
    one_of = [*prefix, *_path("id")]
    fields = {"name": "fields", "in": "query", "schema": {"type": "string"}, "description": "Only these, by commas."}
    many: Json = {"get": _operation(f"Records of {entity}", page, [*prefix, *_query_parameters()])}
    one: Json = {"get": _operation(f"A record of {entity}", record, [*one_of, fields])}
    if writes:
        new = [
            {"name": "id", "in": "query", "schema": {"type": "string"}},
            {"name": "ttl", "in": "query", "schema": {"type": "string"}, "description": "How long it is kept."},
        ]
        match = {"name": "If-Match", "in": "header", "schema": {"type": "string"}}
        many["post"] = _operation(f"Create a record of {entity}", record, [*prefix, *new], record, status="201")
        one["patch"] = _operation(f"Change a record of {entity}", record, [*one_of, match], _ref("Record"))
        one["delete"] = _operation(f"Remove a record of {entity}, and its job", None, one_of, status="204")
    rows = _object(rows={"type": "array", "items": _object()})
    root = f"/entities/{entity}"
    return {
        f"{root}/records": many,
        f"{root}/records/{{id}}": one,
        f"{root}/find": {"post": _operation(f"Find records of {entity}", page, prefix, _learn(schemas, FIND))},
        f"{root}/aggregate": {"post": _operation(f"Figures on {entity}", rows, prefix, _learn(schemas, AGGREGATE))},
    }


def _call_of(method: Method, schemas: Json) -> Json:
    by_name = _learn(schemas, method.parameters)
    body: Json = {
        "type": "object",
        "properties": {"data": {"anyOf": [by_name, {"type": "array"}]}, "metadata": _CALL},
        "additionalProperties": False,
    }
    told = _operation(method.says.partition("\n")[0].rstrip("."), _object(data={}), [], body)
    if "wait" in method.parameters.model_fields:
        told["responses"]["202"] = _response("Begun; Location is its record", _object(data=_object()))
    return told


def _operation(
    summary: str, answer: Json | None, parameters: list[Json] | None = None, body: Json | None = None, *,
    status: str = "200", open: bool = False,
) -> Json:  # fmt: skip
    told: Json = {"summary": summary, "responses": {status: _response("Done", answer)}}
    if open:
        told["security"] = []
    else:
        problem = {"application/problem+json": {"schema": _ref("Problem")}}
        told["responses"] |= {code: {"description": said, "content": problem} for code, said in _REFUSALS.items()}
    if parameters:
        told["parameters"] = parameters
    if body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return told


def _response(description: str, schema: Json | None) -> Json:
    told: Json = {"description": description}
    return told if schema is None else told | {"content": {"application/json": {"schema": schema}}}


def _query_parameters() -> list[Json]:
    words = ", ".join(OPERATORS)
    whole: Json = {"type": "integer", "minimum": 0}
    return [
        {
            "name": "where", "in": "query", "style": "form", "explode": True,
            "description": f"Conditions, one a field: plan=pro, or with an operator: age.ge=18. Operators: {words}.",
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        {"name": "sort", "in": "query", "schema": {"type": "string"}, "description": "age, -age; several by commas."},
        {"name": "limit", "in": "query", "schema": whole | {"maximum": MOST_LIMIT, "default": DEFAULT_LIMIT}},
        {"name": "offset", "in": "query", "schema": whole},
        {"name": "cursor", "in": "query", "schema": {"type": "string"}, "description": "`next` of the page before."},
        {"name": "select", "in": "query", "schema": {"type": "string"}, "description": "Only these, by commas."},
    ]  # fmt: skip


def _path(name: str) -> list[Json]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties} if properties else {"type": "object"}


def _ref(name: str) -> Json:
    return {"$ref": f"{_REF}{name}"}


def _learn(schemas: Json, model: type[BaseModel]) -> Json:
    """Take a model's JSON Schema, and those it uses, into the components; the reference to it."""
    made = model.model_json_schema(ref_template=f"{_REF}{{model}}")
    schemas |= made.pop("$defs", {})
    name = re.sub(r"[^\w.-]", "_", model.__name__, flags=re.ASCII)  # Page[User] is no key of a component
    while schemas.get(name, made) != made:  # another class of the same name
        name += "_"
    schemas[name] = made
    return _ref(name)


def _version() -> str:
    try:
        return version("meshdata")
    except PackageNotFoundError:  # run from its source
        return "0"
