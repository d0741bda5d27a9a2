"""Writes docs/guides/pipes.md: the functions of pipes by family, as their docstrings tell them. `make pages`."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from meshdata.graph.pipes import FAMILIES
from meshdata.graph.pipes.family import Family

PAGE = Path(__file__).parent / "guides" / "pipes.md"

HEAD = """\
# Functions of pipes

What the pipes of [graphs](graphs.md) call, as `{{@family.name}}`. A function takes the values of the row before it, in
their order; what it does not need is passed over. The rules are ECMAScript's: what is missing is *undefined* and not
null, an empty list is true, numbers are doubles. A function that cannot do what it is asked to fails its activity,
once.

{families}

This page is made from the functions themselves by `make pages`.
"""


def page() -> str:
    """The page."""
    links = " · ".join(f"[{name}](#{name})" for name in FAMILIES)
    return HEAD.format(families=links) + "".join(_section(family) for family in FAMILIES.values())


def _section(family: Family) -> str:
    rows = "\n".join(_rows(family))
    return f"\n## {family.name}\n\n{family.about}\n\n| function | gives |\n| --- | --- |\n{rows}\n"


def _rows(family: Family) -> Iterator[str]:
    named: dict[Callable[..., Any], list[str]] = {}
    for name, function in family.functions.items():
        named.setdefault(function, []).append(name)
    for function, names in named.items():
        arguments, about = _told(function)
        called = ", ".join(f"`{name}{arguments}`" for name in names)
        yield f"| {called} | {about} |".replace("\\", "\\\\")


def _told(function: Callable[..., Any]) -> tuple[str, str]:
    """A function's arguments and what it gives, of its docstring: "(a, b) Their sum."."""
    text = " ".join((inspect.getdoc(function) or "").split())
    found = re.match(r"(\(.*?\)) (.*)", text)
    arguments, about = (found[1], found[2]) if found else ("()", text)
    return arguments, about.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
