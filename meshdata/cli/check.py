"""`meshdata check module[:object] --against recorded/`: do recorded runs still fit the code? No server is needed."""

import importlib
import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meshdata.cli.output import FAILED, OK, Place, run, show
from meshdata.cli.serve import load
from meshdata.entity.entity import Entity
from meshdata.entity.registry import Registry
from meshdata.errors import InvalidOptions, MeshError, ReplayError
from meshdata.mesh import MeshData
from meshdata.meshflow import Worker
from meshdata.meshos import MeshOS
from meshdata.search import Record
from meshdata.testing.replay import Replayed, replay_journal
from meshdata.testing.replay import load as load_export
from meshdata.workflow.export import JobExport, Journal
from meshdata.workflow.function import Function
from meshdata.workflow.method import Method

Known = dict[str, tuple[Function, Registry]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one recorded run: verdict fits, differs (it takes another way) or unknown (there is no function)."""

    file: str
    job: str
    run: str
    verdict: str
    told: str


def check(place: Place, target: str, against: list[str]) -> int:
    """Replay every recorded run; 1 if one does not fit, 2 if there is nothing to check."""

    def body() -> int:
        exports = {file: _export(file) for file in recorded_files(against)}
        names = {run.name for one in exports.values() if isinstance(one, JobExport) for run in one.journal or ()}
        known = functions_of(target, names)
        verdicts = [verdict for file, export in exports.items() for verdict in _verdicts(file, export, known)]
        if place.as_json:
            show(place, [_plain(verdict) for verdict in verdicts])
        else:
            _print(verdicts)
        return OK if all(one.verdict == "fits" for one in verdicts) else FAILED

    return run(place, body)


def recorded_files(paths: list[str]) -> list[Path]:
    """The files named, and those in the folders named.

    Raises:
        InvalidOptions: there are none.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        files += sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        told = f"no exported job is in {', '.join(paths)}; `meshdata export` writes them"
        raise InvalidOptions(told, argument="--against")
    return files


def functions_of(target: str, names: set[str]) -> Known:
    """The workflow and hook functions of a module, or of a MeshData, a worker or a function in it, by their names.

    Args:
        names: what is recorded; a function of another name is one that makes a mesh or a worker, as for `serve`.

    Raises:
        InvalidOptions: the name leads nowhere, or there are none.
    """
    found = load(target) if ":" in target else _module(target)
    known: Known = {}
    if inspect.isfunction(found) and found.__name__ not in names and not inspect.iscoroutinefunction(found):
        found = found()
    bare = Registry()
    for value in vars(found).values() if isinstance(found, ModuleType) else [found]:
        _learn(known, value, bare)
    if not known:
        raise InvalidOptions(f"{target} has no functions to check", argument="TARGET")
    return known


def _module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidOptions(f"there is no module {error.name!r}, seen from {here}", argument="TARGET") from error
        raise


def _learn(known: Known, value: Any, bare: Registry) -> None:
    """Take in what a value holds. What a mesh serves goes before a bare function of the same name."""
    if isinstance(value, type) and issubclass(value, Record) and value.__entity__:
        bare.learn(value)
    if isinstance(value, type) and issubclass(value, MeshOS):
        for method in value.__durable__.values():
            if isinstance(method, Method):
                known[method.home.name] = method.function, bare
    if isinstance(value, MeshData):
        for connected in value.registry.functions.values():
            known[connected.name] = connected.function, value.registry
    elif isinstance(value, Worker):
        for name, fn in value.workflows.items():
            known[name] = Function(fn), value.mesh.registry
    elif isinstance(value, Entity):
        known[value.entity_name] = value.connected.function, value.registry
    elif inspect.isfunction(value) and not inspect.isgeneratorfunction(value) and not inspect.isasyncgenfunction(value):
        known.setdefault(value.__name__, (Function(value), bare))


def _export(file: Path) -> JobExport | MeshError:
    try:
        return load_export(file)
    except MeshError as error:
        return error


def _verdicts(file: Path, export: JobExport | MeshError, known: Known) -> list[Verdict]:
    if isinstance(export, MeshError):
        return [Verdict(str(file), "", "", "unknown", str(export))]
    if not export.journal:
        job = f"{export.entity}:{export.id}"
        return [Verdict(str(file), job, "", "unknown", "it was exported without its journal")]
    return [_verdict(file, export, journal, known) for journal in export.journal]


def _verdict(file: Path, export: JobExport, journal: Journal, known: Known) -> Verdict:
    job = f"{export.entity}:{export.id}"
    run_name = journal.name if journal.dimension == "0" else f"{journal.name} (hook {journal.dimension})"

    def told(verdict: str, words: str) -> Verdict:
        return Verdict(str(file), job, run_name, verdict, words)

    found = known.get(journal.name) or known.get(journal.name.rpartition(".")[2])  # a hook by its function's own name
    if found is None:
        return told("unknown", f"no function is known as {journal.name!r}; there are: {', '.join(sorted(known))}")
    function, registry = found
    try:
        replayed = replay_journal(export, journal, function, registry)
    except ReplayError as error:
        return told("differs", str(error))
    except MeshError as error:
        return told("unknown", str(error))
    return told("fits", _reached(replayed))


def _reached(replayed: Replayed) -> str:
    calls = f"{replayed.outcomes} outcome{'' if replayed.outcomes == 1 else 's'}"
    if replayed.status == "waiting":
        return f"{calls}, then {', '.join(replayed.waiting_for) or 'it waits'}"
    if replayed.error is not None:
        return f"{calls}, then it fails: {type(replayed.error).__name__}: {replayed.error}"
    return f"{calls}, then it {'begins anew' if replayed.status == 'renewed' else 'completes'}"


_COLOURS = {"fits": "green", "differs": "red", "unknown": "yellow"}


def _print(verdicts: list[Verdict]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("file", "job", "function", "verdict", "what"):
        table.add_column(heading, overflow="fold", header_style="dim")
    for one in verdicts:
        cells = [escape(cell) for cell in (one.file, one.job, one.run)]
        table.add_row(*cells, f"[{_COLOURS[one.verdict]}]{one.verdict}[/]", escape(one.told))
    console = Console(highlight=False)
    console.print(table)
    misfits = sum(one.verdict != "fits" for one in verdicts)
    fitting = len(verdicts) - misfits
    console.print(f"{fitting} of {len(verdicts)} recorded runs fit", style="green" if not misfits else "red")


def _plain(verdict: Verdict) -> dict[str, str]:
    return {
        "file": verdict.file, "job": verdict.job, "function": verdict.run, "verdict": verdict.verdict,
        "what": verdict.told,
    }  # fmt: skip
