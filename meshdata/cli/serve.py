"""`meshdata serve module:object`: import a mesh and serve its entities until told to stop."""

import importlib
import os
import sys
from typing import Any

from rich.console import Console

from meshdata.cli.output import OK, Place, run, show
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData


def load(target: str) -> Any:
    """The object that `package.module:name` names, looked for in the current folder too.

    Raises:
        InvalidOptions: the name leads nowhere. What the module itself raises comes through.
    """
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise InvalidOptions(f"{target!r} is not of the form module:object, like shop.worker:mesh", argument="TARGET")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A missing module that was not named is missing inside the named one: not ours to hide.
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise InvalidOptions(f"there is no module {error.name!r}, seen from {here}", argument="TARGET") from error
        raise
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise InvalidOptions(f"{module_name} has no {path!r}", argument="TARGET") from error
    return found


def mesh_at(place: Place, target: str) -> MeshData:
    """The MeshData that `module:object` names, or that the function there makes; not yet open.

    Raises:
        InvalidOptions: it is something else.
    """
    # Before the import: a module that says MeshData() without a URL takes these.
    if place.url is not None:
        os.environ["MESHDATA_URL"] = place.url
    if place.namespace is not None:
        os.environ["MESHDATA_NAMESPACE"] = place.namespace
    mesh = load(target)
    if callable(mesh) and not isinstance(mesh, MeshData):
        mesh = mesh()
    if not isinstance(mesh, MeshData):
        raise InvalidOptions(
            f"{target} is {type(mesh).__name__}; name a MeshData, or a function that returns one", argument="TARGET"
        )
    return mesh


def serve(place: Place, target: str) -> int:
    """Serve what a MeshData, or a function that makes one, has connected; returns after SIGTERM or Ctrl-C."""

    def body() -> int:
        mesh = mesh_at(place, target)
        mesh.serve(ready=lambda: _say_ready(place, mesh))
        if not place.as_json:
            Console(stderr=True).print("stopped", style="dim")
        return OK

    return run(place, body)


def _say_ready(place: Place, mesh: MeshData) -> None:
    names = mesh.entities
    if place.as_json:
        show(place, {"serving": names, "namespace": mesh.namespace, "process": mesh.process})
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    what = ", ".join(f"[bold cyan]{name}[/]" for name in names) or "[yellow]nothing: no function is connected[/]"
    console.print(f"serving {what} in namespace [cyan]{mesh.namespace}[/] as {mesh.process}; Ctrl-C stops")
