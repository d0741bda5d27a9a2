"""`meshdata api`: serve REST and RPC over a mesh, and the functions it has connected, until told to stop."""

import os

from rich.console import Console

from meshdata.cli.output import Place, run_async, show
from meshdata.cli.serve import mesh_at
from meshdata.errors import InvalidOptions

TOKEN = "MESHDATA_API_TOKEN"
"""The environment's, which no list of processes shows."""


def serve_api(place: Place, target: str | None, *, host: str, port: int, token: str | None, writes: bool) -> int:
    """Serve over HTTP what a mesh holds; returns after SIGTERM or Ctrl-C.

    Args:
        target: module:object of a MeshData whose functions are served too; None: only records and jobs.
        port: 0 takes a free one.
    """

    async def body() -> None:
        _need_extra()
        from meshdata.api import check_binding, create_app
        from meshdata.api.serving import address_of, listening, serve

        secret = token or os.environ.get(TOKEN) or None
        check_binding(host, secret)
        mesh = place.mesh() if target is None else mesh_at(place, target)
        app = create_app(mesh, writes=writes, token=secret)
        # Opened here and not by the app, so that a Redis that is away is told like any other command's.
        with listening(host, port) as listener:
            async with mesh:
                await serve(app, listener, ready=lambda: _say_ready(place, address_of(listener), writes=writes))

    return run_async(place, body)


def _need_extra() -> None:
    try:
        import starlette  # noqa: F401 - only whether it is there
        import uvicorn  # noqa: F401 - the same
    except ModuleNotFoundError as missing:
        raise InvalidOptions(
            f'it needs {missing.name}; install the extra: pip install "meshdata[api]"', argument="api"
        ) from missing


def _say_ready(place: Place, address: str, *, writes: bool) -> None:
    if place.as_json:
        show(place, {"serving": address, "writes": writes})
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    what = "records and methods" if writes else "records and methods, to be read only (--writes allows more)"
    console.print(f"serving {what}, at [cyan]{address}[/]; {address}/openapi.json describes them; Ctrl-C stops")
