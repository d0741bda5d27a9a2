"""The ASGI app: routes, who may ask, what errors look like. What the routes do is in the modules beside."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshdata.api import records, rpc
from meshdata.api.body import respond_json
from meshdata.api.guard import Guard, check_token
from meshdata.api.openapi import document
from meshdata.api.problem import Refused, on_bug, on_http_error, on_mesh_error
from meshdata.errors import InvalidOptions, MeshError
from meshdata.mesh import MeshData

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def create_app(mesh: MeshData, *, writes: bool = False, token: str | None = None, trusted: bool = False) -> Starlette:
    """An ASGI app over a mesh: REST on its entities, RPC to its methods, the OpenAPI document.

    Served by itself it opens the mesh and closes it; mounted in another app, whose lifespan it does not see, it finds
    it open. A mesh that is open already stays so.

    Args:
        writes: whether records may be changed and jobs started, signalled, ended; by default only read.
        token: what a request must bear (`Authorization: Bearer`); without one only requests from this machine to its
            own name are served.
        trusted: the app it is mounted in has seen to who asks: without a token every request is served.

    Raises:
        InvalidOptions: the token protects nothing.
    """
    if not isinstance(mesh, MeshData):
        raise InvalidOptions(f"a MeshData, not {type(mesh).__name__}", argument="mesh")
    check_token(token)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ours = not mesh.is_open
        if ours:
            await mesh.start()
        try:
            yield
        finally:
            if ours:
                await mesh.close()

    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Guard, token=token, trusted=trusted)],
        exception_handlers={MeshError: on_mesh_error, HTTPException: on_http_error, Exception: on_bug},
        lifespan=lifespan,
    )
    app.state.mesh, app.state.writes, app.state.token = mesh, writes, token
    return app


def _routes() -> list[Route]:
    one, many = "/entities/{entity}/records/{id:path}", "/entities/{entity}/records"
    return [
        Route("/health", _health),
        Route("/openapi.json", _document),
        Route("/entities", records.list_entities),
        Route("/entities/{entity}", records.show_entity),
        Route("/entities/{entity}/find", records.find_records, methods=["POST"]),
        Route("/entities/{entity}/aggregate", records.aggregate_records, methods=["POST"]),
        Route(many, records.list_records),
        Route(many, _writing(records.create_record), methods=["POST"]),
        Route(one, records.get_record),
        Route(one, _writing(records.patch_record), methods=["PATCH"]),
        Route(one, _writing(records.delete_record), methods=["DELETE"]),
        Route("/rpc", rpc.list_methods),
        Route("/rpc/getManifest", rpc.get_manifest, methods=["GET", "POST"]),
        Route("/rpc/{method}", rpc.call_method, methods=["POST"]),
        # As the reference family has it, where this is mounted at /api/v1.
        Route("/meshdata/getManifest", rpc.get_manifest, methods=["GET", "POST"]),
        Route("/meshdata/{method}", rpc.call_method, methods=["POST"]),
    ]


def _writing(endpoint: Endpoint) -> Endpoint:
    async def checked(request: Request) -> Response:
        if not request.app.state.writes:
            raise Refused(403, "this changes things, and writes are off here; serve with writes=True (--writes)")
        return await endpoint(request)

    return checked


async def _health(request: Request) -> Response:
    """Whether the process does its part: 200, or 503. No more is told: everybody may ask."""
    mesh: MeshData = request.app.state.mesh
    is_well = mesh.is_open and (await mesh.health()).ok
    return respond_json({"ok": is_well}, 200 if is_well else 503)


async def _document(request: Request) -> Response:
    state = request.app.state
    root = request.scope.get("root_path", "")
    return respond_json(document(state.mesh, root=root, writes=state.writes, secured=state.token is not None))
