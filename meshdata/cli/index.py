"""Indexes from the command line: list, show, build, swap, verify and drop them."""

from typing import Any

from rich.console import Console
from rich.progress import Progress as RichProgress

from meshdata.cli.output import FAILED, NOT_FOUND, OK, Place, plain, show, with_mesh
from meshdata.cli.serve import load
from meshdata.errors import IndexNotFound, InvalidOptions
from meshdata.mesh import MeshData


def list_indexes(place: Place) -> int:
    """Print the indexes of the namespace."""

    async def body(mesh: MeshData) -> None:
        found = await mesh.list_indexes()
        if place.as_json:
            show(place, [plain(one) for one in found])
            return
        for one in found:
            fields = ", ".join(f"{name} {kind}" for name, kind in one.fields.items() if not name.startswith("_"))
            state = "" if one.current else " (not in use)" if one.progress == 1 else f" (built to {one.progress:.0%})"
            print(f"{one.entity}{state}\t{one.documents} records\t{fields}")
        if not found:
            Console(stderr=True).print("no indexes", style="dim")

    return with_mesh(place, body)


def show_index(place: Place, entity: str) -> int:
    """Print all there is to know of an entity's indexes."""

    async def body(mesh: MeshData) -> None:
        found = [one for one in await mesh.list_indexes() if one.entity == entity]
        if not found:
            raise IndexNotFound(f"{entity!r} has no index; make it with: meshdata index build MODULE:CLASS")
        for one in found:
            if place.as_json:
                show(place, plain(one))
                continue
            use = f"in use, generation {one.generation}" if one.current else "not in use"
            print(f"{one.entity} v{one.version}\t{use}\tbuilt to {one.progress:.0%}")
            print(f"  {one.documents} records, {one.failures} failed to be indexed")
            for name, kind in one.fields.items():
                print(f"  {name}\t{kind}")

    return with_mesh(place, body)


def build_index(place: Place, target: str, *, force: bool, hold: bool) -> int:
    """Build the index of a model given as module:Class, or change it to fit, with a line that tells how far it is."""

    async def body(mesh: MeshData) -> None:
        model = _model(target)
        with RichProgress(console=Console(stderr=True), transient=True, disable=place.as_json) as bar:
            task = bar.add_task(f"indexing {model.__name__}", total=1.0)
            changed = await mesh.create_index(
                model, force=force, hold=hold, progress=lambda share: bar.update(task, completed=share)
            )
        words = f"{target} is built, not in use yet" if hold else f"{target} is indexed"
        show(place, {"created": target, "changed": changed} if place.as_json else words)

    return with_mesh(place, body)


def swap_index(place: Place, target: str) -> int:
    """Make queries use the index that was built and held back."""

    async def body(mesh: MeshData) -> None:
        changed = await mesh.swap_index(_model(target))
        words = f"queries use the index of {target}" + ("" if changed else ", as they did")
        show(place, {"swapped": changed} if place.as_json else words)

    return with_mesh(place, body)


def verify_index(place: Place, entity: str, *, limit: int) -> int:
    """Hold an index against the records; exit code 1 where some are not in it."""

    async def body(mesh: MeshData) -> int:
        found = await mesh.verify_index(entity, limit=limit)
        if place.as_json:
            show(place, {**plain(found), "whole": found.is_whole})
        else:
            print(f"{found.documents} of {found.records} records of {entity} are in the index")
            for one in found.unindexed:
                print(f"  {one.id}\t{one.reason}")
        return OK if found.is_whole else FAILED

    return with_mesh(place, body)


def drop_index(place: Place, entity: str) -> int:
    """Remove an entity's index; its records stay."""

    async def body(mesh: MeshData) -> int:
        there = await mesh.drop_index(entity)
        words = f"dropped the index of {entity}" if there else f"{entity} has no index"
        show(place, {"dropped": there} if place.as_json else words)
        return OK if there else NOT_FOUND

    return with_mesh(place, body)


def _model(target: str) -> type[Any]:
    model = load(target)
    if not isinstance(model, type):
        raise InvalidOptions(f"{target} is no class; name a model, like shop.models:User", argument="MODEL")
    return model
