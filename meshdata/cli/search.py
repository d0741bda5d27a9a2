"""Records and indexes from the command line: find, and make, list or drop an index."""

import re
from typing import Any

from rich.console import Console
from rich.table import Table

from meshdata.cli.output import NOT_FOUND, OK, Place, plain, show, value_of, with_mesh
from meshdata.cli.serve import load
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData

_CONDITION = re.compile(r"(?P<field>[^=!<>~]+)(?P<word>!=|>=|<=|=|>|<|~)(?P<value>.*)", re.DOTALL)


def condition_of(word: str) -> dict[str, Any]:
    """`plan=pro`, `age>=18`, `plan!=free`, `bio~redis` (full text) in the dict form that `find` takes.

    Raises:
        InvalidOptions: it is none of these.
    """
    match = _CONDITION.fullmatch(word)
    if match is None:
        raise InvalidOptions(
            f"{word!r} is no condition; write field=value, field!=value, field>=value or field~words", argument="WHERE"
        )
    number = match["word"] in ("<", "<=", ">", ">=")
    return {
        "field": match["field"].strip(),
        "is": "match" if match["word"] == "~" else match["word"],
        "value": value_of(match["value"]) if number else match["value"],
    }


def search(
    place: Place, entity: str, words: list[str], *, sort: list[str], limit: int, offset: int, count: bool
) -> int:
    """Find records of an entity that has an index; all conditions must hold."""

    async def body(mesh: MeshData) -> None:
        query = mesh.find(entity)
        conditions = [condition_of(word) for word in words]
        if conditions:
            query = query.where(conditions)
        if count:
            show(place, await query.count())
            return
        if sort:
            query = query.sort(*sort)
        page = await query.limit(limit, offset)
        if place.as_json:
            show(place, {"total": page.total, "items": page.items})
        else:
            print_rows(page.items, page.total)

    return with_mesh(place, body)


def print_rows(items: list[dict[str, Any]], total: int) -> None:
    """Rows as a table, and below how many there are of how many."""
    names = list(dict.fromkeys(name for item in items for name in item))
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    for item in items:
        table.add_row(*(str(item.get(name, "")).replace("[", r"\[") for name in names))
    console = Console(highlight=False)
    if items:
        console.print(table)
    Console(stderr=True, highlight=False).print(f"{len(items)} of {total}", style="dim")


def list_indexes(place: Place) -> int:
    """Print the indexes of the namespace."""

    async def body(mesh: MeshData) -> None:
        found = await mesh.list_indexes()
        if place.as_json:
            show(place, [plain(one) for one in found])
            return
        for one in found:
            fields = ", ".join(f"{name} {kind}" for name, kind in one.fields.items() if not name.startswith("_"))
            state = "" if one.current else " (being built)"
            print(f"{one.entity}{state}\t{one.documents} records\t{fields}")
        if not found:
            Console(stderr=True).print("no indexes", style="dim")

    return with_mesh(place, body)


def create_index(place: Place, target: str) -> int:
    """Build the index of a model given as module:Class, or change it to fit."""

    async def body(mesh: MeshData) -> None:
        model = load(target)
        if not isinstance(model, type):
            raise InvalidOptions(f"{target} is no class; name a model, like shop.models:User", argument="MODEL")
        await mesh.create_index(model)
        show(place, {"created": target} if place.as_json else f"{target} is indexed")

    return with_mesh(place, body)


def drop_index(place: Place, entity: str) -> int:
    """Remove an entity's index; its records stay."""

    async def body(mesh: MeshData) -> int:
        there = await mesh.drop_index(entity)
        words = f"dropped the index of {entity}" if there else f"{entity} has no index"
        show(place, {"dropped": there} if place.as_json else words)
        return OK if there else NOT_FOUND

    return with_mesh(place, body)
