"""Queries from the command line that do more than find: figures, changes as they happen, a verb for each record."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from meshdata.cli.jobs import fields_of
from meshdata.cli.output import FAILED, OK, Place, show, value_of, with_mesh
from meshdata.cli.search import condition_of, print_rows
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData
from meshdata.search import (
    Find,
    Reducer,
    Report,
    avg,
    count,
    count_distinct,
    first,
    match_all,
    max_,
    min_,
    quantile,
    stddev,
    sum_,
    tolist,
)

_REDUCERS: dict[str, Callable[[str], Reducer]] = {
    "sum": sum_,
    "min": min_,
    "max": max_,
    "avg": avg,
    "stddev": stddev,
    "count_distinct": count_distinct,
    "tolist": tolist,
    "first": first,
}
VERBS = ("signal", "hook", "cancel", "interrupt", "flush", "set")


def reducer_of(word: str) -> tuple[str, Reducer]:
    """`n=count`, `mean=avg:age`, `p95=quantile:age:0.95` as a name and a reducer.

    Raises:
        InvalidOptions: it is none of these.
    """
    name, _, rest = word.partition("=")
    function, _, field = rest.partition(":")
    if name and function == "count" and not field:
        return name, count()
    if name and function == "quantile":
        field, _, q = field.partition(":")
        if field and isinstance(value_of(q), int | float):
            return name, quantile(field, value_of(q))
    elif name and function in _REDUCERS and field:
        return name, _REDUCERS[function](field)
    known = ", ".join(f"{one}:field" for one in _REDUCERS)
    raise InvalidOptions(
        f"{word!r} is no figure; write name=count, or name= and one of {known}, quantile:field:0.95",
        argument="--reduce",
    )


def aggregate(
    place: Place, entity: str, words: list[str], *, by: list[str], reduce: list[str], sort: list[str], limit: int
) -> int:
    """Print figures over the records of an entity that has an index, grouped."""

    async def body(mesh: MeshData) -> None:
        query = mesh.aggregate(entity)
        if words:
            query = query.where([condition_of(word) for word in words])
        query = query.group_by(*by).reduce(**dict(map(reducer_of, reduce or ["n=count"])))
        rows = await query.sort(*sort).limit(limit)
        if place.as_json:
            show(place, rows)
        else:
            print_rows(rows, len(rows))

    return with_mesh(place, body)


def _chosen(mesh: MeshData, entity: str, words: list[str], everything: bool) -> Find[Any]:
    if bool(words) == everything:
        raise InvalidOptions("name the conditions, or --all where every record is meant", argument="WHERE")
    return mesh.find(entity).where([condition_of(word) for word in words] if words else match_all())


def watch(place: Place, entity: str, words: list[str], *, after: str | None, most: int | None) -> int:
    """Print what meets the conditions, then how that changes, a line each, until stopped or `most` lines."""

    async def body(mesh: MeshData) -> None:
        query = mesh.find(entity)
        if words:
            query = query.where([condition_of(word) for word in words])
        console = Console(highlight=False, soft_wrap=True)
        left = most
        async with query.watch(after=after) as changes:
            async for change in changes:
                if place.as_json:
                    show(place, {"kind": change.kind, "id": change.id, "item": change.item, "cursor": change.cursor})
                else:
                    console.print(f"[{_COLOURS[change.kind]}]{change.kind:<6}[/] ", end="")
                    facts = " ".join(f"{k}={v}" for k, v in (change.item or {}).items() if k != "id")
                    console.print(f"{change.id} {facts}".strip(), markup=False)
                if left is not None and (left := left - 1) <= 0:
                    return

    return with_mesh(place, body)


_COLOURS = {"match": "dim", "enter": "green", "update": "cyan", "leave": "red", "gap": "bold yellow"}


def each(
    place: Place,
    verb: str,
    entity: str,
    words: list[str],
    *,
    everything: bool,
    options: dict[str, Any],
    dry_run: bool,
    rate: float | None,
) -> int:
    """Do something to every record found. Fails if it failed for one."""

    async def body(mesh: MeshData) -> int:
        act = _verb(_chosen(mesh, entity, words, everything), verb, options)
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=place.as_json or dry_run) as bar:
            task = bar.add_task(verb, total=None)
            report = await act(
                dry_run=dry_run, rate=rate, progress=lambda done, total: bar.update(task, completed=done, total=total)
            )
        _tell(place, report)
        return OK if report else FAILED

    return with_mesh(place, body)


def _verb(query: Find[Any], verb: str, options: dict[str, Any]) -> Callable[..., Any]:
    """The verb with what it needs of the options; an option it has no use for is an error."""
    needed = {"signal": ["key"], "hook": ["hook"], "set": ["field"]}.get(verb, [])
    allowed = {"signal": ["payload"], "hook": ["arg"], "cancel": ["reason"], "interrupt": ["reason"]}.get(verb, [])
    if verb not in VERBS:
        raise InvalidOptions(f"one of {', '.join(VERBS)}", argument="VERB")
    for name, value in options.items():
        if value and name not in (*needed, *allowed):
            raise InvalidOptions(f"{verb} takes no --{name}", argument=f"--{name}")
        if not value and name in needed:
            raise InvalidOptions(f"{verb} needs it", argument=f"--{name}")
    match verb:
        case "signal":
            payload = None if options["payload"] is None else value_of(options["payload"])
            return lambda **how: query.signal(options["key"], payload, **how)
        case "hook":
            return lambda **how: query.hook(options["hook"], [value_of(one) for one in options["arg"]], **how)
        case "cancel":
            return lambda **how: query.cancel(options["reason"], **how)
        case "interrupt":
            return lambda **how: query.interrupt(reason=options["reason"], **how)
        case "set":
            return lambda **how: query.set(fields_of(options["field"], option="--field"), **how)
    return query.flush


def _tell(place: Place, report: Report) -> None:
    failed = {id: str(problem) for id, problem in report.failed.items()}
    if place.as_json:
        facts = {"verb": report.verb, "dry_run": report.dry_run, "done": report.done}
        show(place, {**facts, "skipped": report.skipped, "failed": failed})
        return
    print(report)
    for id, why in (*report.skipped.items(), *failed.items()):
        print(f"  {id}: {why}")
