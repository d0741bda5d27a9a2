"""Functions as a durable, cached, searchable data layer on Redis."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshdata import meshflow as MeshFlow
    from meshdata import workflow
    from meshdata.engine.limits import RateLimit
    from meshdata.engine.policy import RetryPolicy
    from meshdata.errors import RetryAfter
    from meshdata.hotmesh import HotMesh
    from meshdata.mesh import MeshData
    from meshdata.meshcall import MeshCall
    from meshdata.meshos import MeshOS
    from meshdata.workflow.activity import activity

__all__ = [
    "HotMesh",
    "MeshCall",
    "MeshData",
    "MeshFlow",
    "MeshOS",
    "RateLimit",
    "RetryAfter",
    "RetryPolicy",
    "activity",
    "workflow",
]

# Each name is imported when it is first asked for: a module with activities alone does not load the whole house.
_HOMES = {
    "HotMesh": "meshdata.hotmesh",
    "MeshCall": "meshdata.meshcall",
    "MeshData": "meshdata.mesh",
    "MeshOS": "meshdata.meshos",
    "RateLimit": "meshdata.engine.limits",
    "RetryAfter": "meshdata.errors",
    "RetryPolicy": "meshdata.engine.policy",
    "activity": "meshdata.workflow.activity",
}
_MODULES = {"MeshFlow": "meshdata.meshflow", "workflow": "meshdata.workflow"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found = import_module(_MODULES[name])
    elif name in _HOMES:
        found = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'meshdata' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
