"""Dead letters from the command line: list them, look at one, put it back, throw it away."""

from typing import Any

from rich.console import Console
from rich.table import Table

from meshdata.cli.output import NOT_FOUND, OK, Place, plain, show, with_mesh
from meshdata.engine import dead
from meshdata.mesh import MeshData


def list_letters(place: Place, *, limit: int) -> int:
    """Print the oldest dead letters."""

    async def body(mesh: MeshData) -> None:
        letters = await dead.letters(mesh.store, limit=limit)
        if place.as_json:
            show(place, [_facts(letter) for letter in letters])
            return
        if not letters:
            Console(stderr=True).print("no dead letters", style="dim")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("number", "at", "job", "what", "error"):
            table.add_column(heading, overflow="fold", header_style="dim")
        for letter in letters:
            table.add_row(letter.number, f"{letter.at:%Y-%m-%d %H:%M:%S}", letter.job, _what(letter), letter.error)
        Console(highlight=False, markup=False).print(table)

    return with_mesh(place, body)


def show_letter(place: Place, number: str) -> int:
    """Print one dead letter whole."""

    async def body(mesh: MeshData) -> None:
        show(place, _facts(await dead.letter(mesh.store, number)))

    return with_mesh(place, body)


def requeue(place: Place, number: str) -> int:
    """Run what a letter holds once more."""

    async def body(mesh: MeshData) -> None:
        run = await dead.requeue(mesh.store, number)
        show(place, {"requeued": run.partition(" ")[2]} if place.as_json else f"queued {run.partition(' ')[2]} again")

    return with_mesh(place, body)


def drop(place: Place, number: str) -> int:
    """Throw one away; 3 if there is none."""

    async def body(mesh: MeshData) -> int:
        there = await dead.drop(mesh.store, number)
        words = f"dropped {number}" if there else f"there is no dead letter {number}"
        show(place, {"dropped": there} if place.as_json else words)
        return OK if there else NOT_FOUND

    return with_mesh(place, body)


def _what(letter: dead.DeadLetter) -> str:
    if letter.dimension == "x":
        return f"call of {letter.topic}"
    if letter.position:
        return f"activity at {letter.position}"
    return "workflow" if letter.dimension == "0" else f"hook {letter.name}"


def _facts(letter: dead.DeadLetter) -> dict[str, Any]:
    facts: dict[str, Any] = plain(letter)
    return {**facts, "what": _what(letter), "body": letter.body.decode("utf-8", "replace")}
