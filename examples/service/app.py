"""The samples as a web service: GET /apis/v1/test/howdy, loopy, family, sleepy, signal, retry, inventory.

    python examples/service/app.py                  # http://127.0.0.1:3002, on a Redis of its own
    MESHDATA_URL=redis://… PORT=3003 python examples/service/app.py     # any number of them on one Redis share the work

Workers start with the server and end with it. What one instance leaves unfinished when it dies, the others carry on.
Needs the extras `api` and, for the Redis of its own, `embedded`.
"""

import importlib
import os
import pkgutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import samples
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from meshdata import MeshData, MeshOS, workflow
from meshdata.api import create_app
from meshdata.errors import MeshError

Sample = Callable[[MeshData], Awaitable[Any]]


class Ran(workflow.Interceptor):
    """Counts the activities that this process ran, to see how instances share the work."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def activity(self, call: workflow.Execution, proceed: Any) -> Any:
        self.counts[call.name] += 1
        return await proceed(call)


ran = Ran()
mesh = MeshData(
    os.environ.get("MESHDATA_URL", "embedded://"),
    namespace=os.environ.get("MESHDATA_NAMESPACE", "samples"),
    life_sign=os.environ.get("LIFE_SIGN", "5 seconds"),  # others take over at most two of these after a death
    interceptors=[ran],
)


def find_samples() -> dict[str, Sample]:
    """The modules of the package by name. Their classes are registered: they are served from the server's start."""
    found: dict[str, Sample] = {}
    for info in pkgutil.iter_modules(samples.__path__):
        module = importlib.import_module(f"samples.{info.name}")
        own = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, MeshOS)]
        mesh.register(*(one for one in own if one.__module__ == module.__name__))
        found[info.name] = module.run
    return found


SAMPLES = find_samples()


async def run_sample(request: Request) -> Response:
    """Run a sample on the mesh, whichever instance does the work, and give its answer."""
    name = request.path_params["name"]
    if name not in SAMPLES:
        return JSONResponse(f"{name} is unsupported", 404)
    try:
        return JSONResponse(await SAMPLES[name](mesh))
    except MeshError as error:
        return JSONResponse({"error": str(error), "code": error.code}, 500)


async def health(request: Request) -> Response:
    """Whether this instance does its part, and how much of it there was."""
    well = (await mesh.health()).ok
    return JSONResponse({"ok": well, "process": mesh.process, "activities": dict(ran.counts)}, 200 if well else 503)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The workers live as long as the server."""
    async with mesh:
        yield


app = Starlette(
    routes=[
        Route("/apis/v1/test/{name}", run_sample),
        Route("/health", health),
        Mount("/mesh", create_app(mesh, token=os.environ.get("MESHDATA_API_TOKEN") or None)),  # records, to be read
    ],
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "3002")))
