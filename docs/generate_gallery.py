"""Writes docs/guides/graph-gallery.md and the drawings beside it, of the models in examples/graphs. `make pages`."""

import ast
from pathlib import Path

from meshdata.graph.compiled import App
from meshdata.graph.compiler import compile_app
from meshdata.graph.picture import mermaid, picture_of
from meshdata.graph.svg import svg

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "examples" / "graphs"
PAGE = ROOT / "docs" / "guides" / "graph-gallery.md"
DRAWINGS = ROOT / "docs" / "guides" / "graphs"

TITLES = {
    "order_approval": "Order approval",
    "fan_out": "Fan-out",
    "human_task": "A human task with a time limit",
    "polling": "A polling cycle",
    "trip": "Sub-workflows with compensation",
    "statistics_of_orders": "Statistics",
}

HEAD = """\
# Graphs to start from

Six models, each with a program that runs it: `python examples/graphs/order_approval.py` needs nothing beside it. What
the YAML means is in [graphs.md](graphs.md), how a program runs it in [hotmesh.md](hotmesh.md). The drawings are those
of `meshdata graph show`; this page is made from the models by `make pages`.
"""


def app_of(name: str) -> App:
    """A model of the gallery."""
    return compile_app(MODELS / f"{name}.yaml")


def page() -> str:
    """The page."""
    return HEAD + "".join(_section(name, title) for name, title in TITLES.items())


def drawing(name: str) -> str:
    """A model's drawing, as SVG."""
    return svg(picture_of(app_of(name)))


def _section(name: str, title: str) -> str:
    model = (MODELS / f"{name}.yaml").read_text("utf-8")
    about = " ".join(line.removeprefix("#").strip() for line in model.splitlines() if line.startswith("#"))
    shows = ast.get_docstring(ast.parse((MODELS / f"{name}.py").read_text("utf-8"))) or ""
    links = f"[the model](../../examples/graphs/{name}.yaml) · [the program](../../examples/graphs/{name}.py)"
    drawn = mermaid(picture_of(app_of(name))).rstrip()
    return (
        f"\n## {title}\n\n{about}\n\n{shows}\n\n{links} · [the drawing](graphs/{name}.svg)\n\n"
        f"```mermaid\n{drawn}\n```\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    DRAWINGS.mkdir(exist_ok=True)
    for name in TITLES:
        (DRAWINGS / f"{name}.svg").write_text(drawing(name), "utf-8")
