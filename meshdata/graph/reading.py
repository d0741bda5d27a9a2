"""One activity while it is compiled: its maps become functions, and what they read of others is written down. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshdata.graph.mapping import LOOP_VARIABLES, Mapper, Reference, compile_maps, is_expression, reference_of
from meshdata.graph.pipes.values import PipeError
from meshdata.graph.problems import Path, Problems

HEADS: Final = frozenset({"$self", "$job", "$app", "$graph", "$hook", *LOOP_VARIABLES})
"""What a reference may begin with besides the id of an activity."""


class Reader:
    """Compiles the maps of one activity.

    Args:
        known: the ids of all activities of the app.

    Attributes:
        references: what is read, each with where it is written.
    """

    def __init__(self, problems: Problems, known: Mapping[str, Any]) -> None:
        self._problems = problems
        self._known = known
        self.references: list[tuple[Reference, Path]] = []

    def mapper(self, value: Any, path: Path) -> Mapper | None:
        """A map, a pipe or a cell as a function; None where there is none, or where it is wrong."""
        if value is None:
            return None
        for cell, at in cells(value, path):
            reference = reference_of(cell)
            if reference is None:
                continue
            if reference.path[0] not in self._known and reference.path[0] not in HEADS:
                self._problems.add(f"Mapping statement references non-existent activity: {cell}", at)
            self.references.append((reference, at))
        try:
            return compile_maps(value)
        except PipeError as error:
            for at, message in _failures(value, path) or [(path, error.message)]:
                self._problems.add(message, at)
            return None


def cells(value: Any, path: Path) -> Iterator[tuple[str, Path]]:
    """Every reference, function and loop variable in a part of a model, with where it is."""
    if is_expression(value):
        yield value, path
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from cells(one, (*path, str(key)))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from cells(one, (*path, str(index)))


def _failures(value: Any, path: Path) -> list[tuple[Path, str]]:
    """The innermost parts of maps that cannot be compiled, and why."""
    if isinstance(value, Mapping) and "@pipe" not in value:
        inner = [found for key, one in value.items() for found in _failures(one, (*path, str(key)))]
    elif isinstance(value, list):
        inner = [found for index, one in enumerate(value) for found in _failures(one, (*path, str(index)))]
    else:
        inner = []
    if inner:
        return inner
    try:
        compile_maps(value)
    except PipeError as error:
        return [(path, error.message)]
    return []
