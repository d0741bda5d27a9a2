"""Schedules from the command line: list them, hold them, let them go on, run one now, end one."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from rich.console import Console
from rich.table import Table

from meshdata.call.schedule import Schedule
from meshdata.cli.output import NOT_FOUND, OK, Place, plain, show, with_mesh
from meshdata.mesh import MeshData


def list_schedules(place: Place, entity: str | None) -> int:
    """Print how schedules stand."""

    async def body(mesh: MeshData) -> None:
        found = await mesh.schedules(entity)
        if place.as_json:
            show(place, [plain(one) for one in found])
            return
        if not found:
            Console(stderr=True).print("no schedules", style="dim")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("entity", "id", "interval", "next", "last", "runs", "stands"):
            table.add_column(heading, overflow="fold", header_style="dim")
        for one in found:
            zone = "" if one.tz == "UTC" else f" {one.tz}"
            row = (f"{one.interval}{zone}", _time(one.next), _time(one.last), str(one.cycles), _stands(one))
            table.add_row(one.entity, one.id, *row)
        Console(highlight=False, markup=False).print(table)

    return with_mesh(place, body)


def pause(place: Place, entity: str, id: str) -> int:
    """Hold one; 3 if there is none."""
    return _done(place, id, "paused", lambda mesh: mesh.pause_schedule(entity, id))


def resume(place: Place, entity: str, id: str) -> int:
    """Let one go on; 3 if there is none."""
    return _done(place, id, "resumed", lambda mesh: mesh.resume_schedule(entity, id))


def drop(place: Place, entity: str, id: str) -> int:
    """End one; 3 if there is none."""
    return _done(place, id, "dropped", lambda mesh: mesh.unschedule(entity, id))


def run(place: Place, entity: str, id: str, *, wait: bool, timeout: str) -> int:
    """Run one now; print the result, or the run's id."""

    async def body(mesh: MeshData) -> None:
        handle = await mesh.trigger(entity, id)
        if wait:
            show(place, await handle.result(timeout))
        else:
            show(place, {"entity": entity, "id": handle.id} if place.as_json else handle.id)

    return with_mesh(place, body)


def _done(place: Place, id: str, word: str, act: Callable[[MeshData], Awaitable[bool]]) -> int:
    async def body(mesh: MeshData) -> int:
        there = await act(mesh)
        show(place, {word: there} if place.as_json else f"{word} {id}" if there else f"there is no schedule {id}")
        return OK if there else NOT_FOUND

    return with_mesh(place, body)


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _stands(one: Schedule) -> str:
    facts = ["paused"] if one.paused else []
    facts += [f"{one.running} running"] if one.running else []
    facts += [f"{one.skipped} skipped"] if one.skipped else []
    facts += [f"{one.failures} failed"] if one.failures else []
    facts += [one.error] if one.error else []
    return ", ".join(facts) or "waits"
