"""Jobs from the command line: execute, show, list, signal, hook, interrupt, cancel, flush. Options: see `__init__`."""

from typing import Any

from rich.console import Console
from rich.table import Table

from meshdata.cli.output import FAILED, NOT_FOUND, OK, Place, duration_text, plain, show, value_of, with_mesh
from meshdata.engine.info import JobInfo
from meshdata.errors import InvalidOptions, RecordNotFound
from meshdata.mesh import MeshData

COUNT_PER_SCAN = 1_000
"""Keys one SCAN looks at: a small step, so that nobody else waits for it."""


def fields_of(pairs: list[str], *, option: str) -> dict[str, Any]:
    """["plan=pro", "age=3"] as a dict.

    Raises:
        InvalidOptions: a pair without "=".
    """
    fields = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InvalidOptions(f"{pair!r} is not of the form name=value", argument=option)
        fields[name] = value_of(value)
    return fields


def time_of(text: str) -> float | str:
    """A duration as a command line gives it: a bare number is seconds there, because everything is text."""
    try:
        return float(text)
    except ValueError:
        return text


def execute(
    place: Place,
    entity: str,
    words: list[str],
    *,
    kwargs: list[str],
    id: str | None,
    ttl: str | None,
    timeout: str,
    wait: bool,
    flush: bool,
    retry_failed: bool,
    state: list[str],
    queue: str | None,
) -> int:
    """Execute an entity's function and print what it returned; with wait=False the job's id."""

    async def body(mesh: MeshData) -> None:
        options: dict[str, Any] = {"id": id, "ttl": ttl, "flush": flush, "retry_failed": retry_failed, "queue": queue}
        args = [value_of(word) for word in words]
        seeds = fields_of(state, option="--state") or None
        named = fields_of(kwargs, option="--kwarg") or None
        if not wait:
            handle = await mesh.exec(entity=entity, args=args, kwargs=named, state=seeds, wait=False, **options)
            show(place, {"entity": handle.entity, "id": handle.id} if place.as_json else handle.id)
            return
        show(
            place,
            await mesh.exec(entity=entity, args=args, kwargs=named, state=seeds, timeout=time_of(timeout), **options),
        )

    return with_mesh(place, body)


def show_job(place: Place, entity: str, id: str) -> int:
    """Print how a job stands, and its record."""

    async def body(mesh: MeshData) -> None:
        info = await mesh.info(entity, id)
        try:
            record = await mesh.all(entity, id)
        except RecordNotFound:
            record = {}
        if place.as_json:
            show(place, {**plain(info), "record": record})
        else:
            _print_job(info, record)

    return with_mesh(place, body)


_COLOURS = {"completed": "green", "failed": "red", "interrupted": "yellow", "parked": "red"}


def _print_job(info: JobInfo, record: dict[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")

    def row(name: str, value: object, style: str = "") -> None:
        if value not in (None, "", ()):
            table.add_row(name, f"[{style}]{value}[/]" if style else _escaped(value))

    row("job", f"{info.entity}:{info.id}")
    row("status", info.status, _COLOURS.get(info.status, "cyan"))
    row("created", f"{info.created:%Y-%m-%d %H:%M:%S} UTC")
    if info.due is not None:
        row("due", f"{info.due:%Y-%m-%d %H:%M:%S} UTC")
    if info.ended is not None:
        took = duration_text((info.ended - info.created).total_seconds() * 1000)
        row("ended", f"{info.ended:%Y-%m-%d %H:%M:%S} UTC, after {took}")
    row("attempts", info.attempts)
    row("waiting for", ", ".join(f"{wait.kind} {wait.name}".strip() for wait in info.waiting_for))
    row("held by", info.holder)
    row("error", info.error)
    row("kept", "until flushed" if info.ttl_ms is None else duration_text(info.ttl_ms) if info.ttl_ms else None)
    row("hooks", "takes hooks" + (f", {info.hooks} running" if info.hooks else "") if info.is_open else "closed")
    row("children", info.children or None)
    for name, value in record.items():
        table.add_row(f"[cyan]{_escaped(name)}[/]", _escaped(value))
    console.print(table)


def _escaped(value: object) -> str:
    return str(value).replace("[", r"\[")


def list_records(place: Place, entity: str | None, *, limit: int) -> int:
    """Print the ids of records, at most `limit`, found by SCAN: in no order, and without holding anybody up."""

    async def body(mesh: MeshData) -> None:
        found = await _scan(mesh, entity, limit + 1)
        rows = [{"entity": kind, "id": id} for kind, id in found[:limit]]
        if place.as_json:
            show(place, {"records": rows, "more": len(found) > limit})
            return
        for one in rows:
            print(f"{one['entity']}\t{one['id']}")
        if len(found) > limit:
            Console(stderr=True).print(f"… and more; --limit shows more than {limit}", style="dim")
        elif not rows:
            Console(stderr=True).print("no records", style="dim")

    return with_mesh(place, body)


async def _scan(mesh: MeshData, entity: str | None, limit: int) -> list[tuple[str, str]]:
    store, found = mesh.store, dict[tuple[str, str], None]()
    for partition in range(store.partitions):
        # An entity that cannot be one matches nothing, and no entity holds what SCAN's patterns are made of but [ ? *.
        base = store.keys.record_prefix(partition, entity or "")[: None if entity else -1]
        pattern = "".join(rf"\{sign}" if sign in r"[]?*\^-" else sign for sign in base) + "*"
        cursor: Any = b"0"
        while len(found) < limit:
            cursor, keys = await store.command(partition, "SCAN", cursor, "MATCH", pattern, "COUNT", COUNT_PER_SCAN)
            start = store.keys.base(partition) + "r:"
            found.update(((one[0], one[2]), None) for key in keys if (one := key.decode()[len(start) :].partition(":")))
            if int(cursor) == 0:
                break
    return list(found)[:limit]


def signal(place: Place, key: str, payload: str | None, *, id: str | None) -> int:
    """Send a signal; say whether somebody took it."""

    async def body(mesh: MeshData) -> None:
        taken = await mesh.signal(key, None if payload is None else value_of(payload), id=id)
        show(place, {"taken": taken} if place.as_json else "taken" if taken else "kept: nobody waits for it yet")

    return with_mesh(place, body)


def hook(place: Place, entity: str, id: str, hook_entity: str, words: list[str], *, timeout: str, wait: bool) -> int:
    """Run a hook on a living job and print what it returned; with wait=False its dimension."""

    async def body(mesh: MeshData) -> None:
        name = hook_entity if "." in hook_entity else f"{entity}.{hook_entity}"
        args = [value_of(word) for word in words]
        handle = await mesh.hook(entity=entity, id=id, hook_entity=name, args=args)
        show(place, await handle.result(timeout=time_of(timeout)) if wait else handle.dimension)

    return with_mesh(place, body)


def interrupt(place: Place, entity: str, id: str, *, reason: str | None, descend: bool) -> int:
    """End a job now."""

    async def body(mesh: MeshData) -> None:
        await mesh.interrupt(entity, id, reason=reason, descend=descend)
        show(place, {"interrupted": True} if place.as_json else f"interrupted {entity}:{id}")

    return with_mesh(place, body)


def cancel(place: Place, entity: str, id: str, *, reason: str | None) -> int:
    """Ask a job to end itself; 1 if it was over."""

    async def body(mesh: MeshData) -> int:
        asked = await mesh.cancel(entity, id, reason)
        words = f"asked {entity}:{id} to end" if asked else f"{entity}:{id} is over already"
        show(place, {"cancelled": asked} if place.as_json else words)
        return OK if asked else FAILED

    return with_mesh(place, body)


def flush(place: Place, entity: str, id: str) -> int:
    """Remove a job and its record; 3 if there was neither."""

    async def body(mesh: MeshData) -> int:
        there = await mesh.flush(entity, id)
        words = f"flushed {entity}:{id}" if there else f"nothing to flush at {entity}:{id}"
        show(place, {"flushed": there} if place.as_json else words)
        return OK if there else NOT_FOUND

    return with_mesh(place, body)
