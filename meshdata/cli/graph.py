"""Graphs from the command line: is a model right, and what does it look like. No server is asked, but for a job."""

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from meshdata.cli.output import FAILED, NOT_FOUND, OK, Place, run, show, with_mesh
from meshdata.errors import InvalidOptions, ModelError
from meshdata.graph.compiled import App
from meshdata.graph.compiler import compile_app
from meshdata.graph.picture import Picture, State, mermaid, picture_of, states_of
from meshdata.graph.svg import svg
from meshdata.mesh import MeshData


def check(place: Place, model: str) -> int:
    """Compile a model and tell what is wrong; 1 if anything is."""

    def body() -> int:
        try:
            app = compile_app(_path(model))
        except ModelError as error:
            _tell_problems(place, error)
            return FAILED
        if place.as_json:
            show(place, _facts(app))
            return OK
        for warning in app.warnings:
            Console(stderr=True, highlight=False, soft_wrap=True).print(f"warning: {warning}", markup=False)
        graphs, activities = _counted(len(app.graphs), "graph"), _counted(len(app.activities), "activity")
        print(f"{app.id} version {app.version} is right: {graphs}, {activities}")
        return OK

    return run(place, body)


def draw(place: Place, model: str, *, topic: str | None, job: str | None, to: str | None) -> int:
    """Print a model's graphs as Mermaid, or write them as SVG; with a job, its path is marked. 3 if there is none."""
    compiled: list[App] = []
    states: dict[str, State] = {}

    def drawn() -> int:
        picture = picture_of(compiled[0], topic=topic, states=states)
        if to is None:
            show(place, {"mermaid": mermaid(picture)} if place.as_json else mermaid(picture).rstrip("\n"))
            return OK
        return _write(picture, to)

    def compile_first() -> int:
        compiled.append(compile_app(_path(model)))
        picture_of(compiled[0], topic=topic)
        return OK

    async def look(mesh: MeshData) -> int:
        app = compiled[0]
        fields = await mesh.store.graphs.state(f"{app.id}:{job}")
        states.update(states_of(app, fields))
        if fields:
            return OK
        print(f"app {app.id} has no job {job}", file=sys.stderr)
        return NOT_FOUND

    code = run(place, compile_first)
    if code == OK and job is not None:
        code = with_mesh(place, look)
    return code or run(place, drawn)


def _path(model: str) -> Path | str:
    return sys.stdin.read() if model == "-" else Path(model)


def _write(picture: Picture, to: str) -> int:
    try:
        Path(to).write_text(svg(picture), "utf-8")
    except OSError as error:
        raise InvalidOptions(f"{to} cannot be written: {error.strerror}", argument="--svg") from error
    return OK


def _tell_problems(place: Place, error: ModelError) -> None:
    if place.as_json:
        show(place, {"problems": [problem._asdict() for problem in error.problems]})
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for problem in error.problems:
        console.print("[bold red]error[/] ", end="")
        console.print(str(problem), markup=False)


def _facts(app: App) -> Mapping[str, object]:
    return {
        "id": app.id,
        "version": app.version,
        "graphs": {topic: list(graph.activities) for topic, graph in app.graphs.items()},
        "workers": sorted(app.worker_topics),
        "warnings": list(app.warnings),
    }


def _counted(count: int, what: str) -> str:
    plural = "activities" if what == "activity" else f"{what}s"
    return f"1 {what}" if count == 1 else f"{count} {plural}"
