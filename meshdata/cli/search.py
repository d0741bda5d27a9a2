"""Records from the command line: find them by what they hold."""

import re
from typing import Any

from rich.console import Console
from rich.table import Table

from meshdata.cli.output import Place, show, value_of, with_mesh
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
