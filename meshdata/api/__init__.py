"""The mesh over HTTP: entities and their records as REST, methods of `MeshData` as RPC; an app to mount or serve.

    app = create_app(mesh, writes=True, token="...")      # uvicorn serves it, or: Mount("/mesh", app)

It is an extra of its own (`pip install "meshdata[api]"`): only this package imports starlette.
"""

try:
    from meshdata.api.app import create_app
except ModuleNotFoundError as missing:
    if str(missing.name).partition(".")[0] != "starlette":
        raise
    raise ModuleNotFoundError(
        'meshdata.api needs starlette; install the extra: pip install "meshdata[api]"', name="starlette"
    ) from missing

from meshdata.api.guard import check_binding

__all__ = ["check_binding", "create_app"]
