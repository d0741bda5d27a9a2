"""The mapping language: references, maps and pipes, compiled once per model to functions of a scope. Pure.

A scope is what a running activity sees: {"<activity id>": {"output": {"data": …}, "hook": …}, "$self": …, "$job": …,
"$app": {"settings": …}}.

    cell        a literal; "{a1.output.data.x}", a reference; "{@math.add}", a function; "{$item.x}", a loop variable
    maps        an object of maps and cells; {"@pipe": rows} stands for the value of the pipe
    pipe        rows: a list of cells, {"@pipe": rows}, {"@reduce": rows}

A pipe hands a row of values from row to row; the first may be empty. A list row calls the function in its first cell
with all of the prior row; its other cells are values of its own, which the next row's function gets too. `@pipe` rows
fan out: their values are the prior row of the list row that follows. `@reduce` goes through the collection in the prior
row's first value, from the accumulator in its second.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshdata.graph.pipes import find, most_arguments
from meshdata.graph.pipes.values import UNDEFINED, PipeError, entries, member

Scope = Mapping[str, Any]
Loop = Mapping[str, Any]
Cell = Callable[[Scope, Loop], Any]
Mapper = Callable[[Scope], Any]

NO_LOOP: Final[Loop] = {}
LOOP_VARIABLES: Final = ("$input", "$output", "$item", "$key", "$index")

NEVER_THERE: Final = ("$graph",)
"""Heads of references that are accepted and always undefined."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A path into the scope: `{a1.output.data.x}` is ("a1", "output", "data", "x")."""

    path: tuple[str, ...]

    @property
    def text(self) -> str:
        """As a model writes it."""
        return "{" + ".".join(self.path) + "}"


# --- cells ------------------------------------------------------------------------------------------------------------


def is_expression(cell: Any) -> bool:
    """Whether a cell is a reference, a function or a loop variable."""
    return isinstance(cell, str) and cell.startswith("{") and cell.endswith("}")


def is_function(cell: Any) -> bool:
    """Whether a cell names a function."""
    return is_expression(cell) and cell.startswith("{@")


def is_loop_variable(cell: Any) -> bool:
    """Whether a cell is a variable of a reduce."""
    return is_expression(cell) and cell[1:-1].split(".", 1)[0] in LOOP_VARIABLES


def reference_of(cell: Any) -> Reference | None:
    """The reference a cell is, if it is one."""
    if not is_expression(cell) or is_function(cell) or is_loop_variable(cell):
        return None
    return Reference(tuple(cell[1:-1].split(".")))


def walk(value: Any, path: Sequence[str]) -> Any:
    """What a path leads to; UNDEFINED where a step misses."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step, UNDEFINED)
        else:
            value = member(value, step)
        if value is UNDEFINED:
            break
    return value


def compile_cell(cell: Any, *, in_pipe: bool = False) -> Cell:
    """A cell as a function of scope and loop.

    Raises:
        PipeError: it names an unknown function.
    """
    if is_function(cell):
        function = find(cell[2:-1])
        return lambda scope, loop: function()
    if is_loop_variable(cell):
        head, *rest = cell[1:-1].split(".")
        return lambda scope, loop: walk(loop.get(head, UNDEFINED), rest)
    reference = reference_of(cell)
    if reference is not None:
        return _compile_reference(reference, in_pipe=in_pipe)
    if isinstance(cell, list | dict):  # functions may change what they are given; the model stays as it is
        return lambda scope, loop: copy.deepcopy(cell)
    return lambda scope, loop: cell


def _compile_reference(reference: Reference, *, in_pipe: bool) -> Cell:
    head, *rest = reference.path
    if head in NEVER_THERE:
        return lambda scope, loop: UNDEFINED

    def resolve(scope: Scope, loop: Loop) -> Any:
        found = walk(scope.get(head, UNDEFINED), rest)
        if in_pipe and isinstance(found, list | dict):  # what a function changes is its own
            return found.copy()
        return found

    return resolve


# --- maps -------------------------------------------------------------------------------------------------------------


def compile_maps(value: Any) -> Mapper:
    """Maps, a pipe or a cell as a function of the scope; what is undefined is left out of objects.

    A list becomes an object with its indexes as keys.

    Raises:
        PipeError: a pipe has not the form of one, or names an unknown function.
    """
    if isinstance(value, Mapping):
        if "@pipe" in value:
            pipe = compile_pipe(value["@pipe"])
            return lambda scope: pipe(scope, NO_LOOP)
        return _compile_object({str(key): one for key, one in value.items()})
    if isinstance(value, list):
        return _compile_object({str(at): one for at, one in enumerate(value)})
    cell = compile_cell(value)
    return lambda scope: cell(scope, NO_LOOP)


def _compile_object(members: Mapping[str, Any]) -> Mapper:
    compiled = [(key, compile_maps(one)) for key, one in members.items()]

    def build(scope: Scope) -> dict[str, Any]:
        found = {}
        for key, mapper in compiled:
            value = mapper(scope)
            if value is not UNDEFINED:
                found[key] = value
        return found

    return build


# --- pipes ------------------------------------------------------------------------------------------------------------

Row = tuple[str, Any, Any]
"""("cells", the first cell's function of the prior row, all cells) · ("pipe", the pipe, None) · ("reduce", it, None)"""


def compile_pipe(rows: Any) -> Cell:
    """A pipe as a function of scope and loop.

    Raises:
        PipeError: it has not the form of a pipe, or names an unknown function.
    """
    compiled = _compile_rows(rows, begun=False)
    return lambda scope, loop: _run(compiled, scope, loop, None)


def _compile_rows(rows: Any, *, begun: bool) -> list[Row]:
    """Rows compiled; `begun` says that the first of them has a prior row already, as in a reduce."""
    if not isinstance(rows, list) or not rows:
        raise PipeError(f"a pipe is a list of rows; this is {_shown(rows)}", argument="@pipe")
    compiled: list[Row] = []
    fanned = False
    for row in rows:
        if isinstance(row, Mapping) and len(row) == 1 and "@pipe" in row:
            compiled.append(("pipe", compile_pipe(row["@pipe"]), None))
            fanned = True
        elif isinstance(row, Mapping) and len(row) == 1 and "@reduce" in row:
            if not begun:
                raise PipeError("a reduce needs a row before it: collection and first result", argument="@reduce")
            compiled.append(("reduce", _compile_rows(row["@reduce"], begun=True), None))
        elif isinstance(row, list) and (row or not (begun or fanned)):
            has_prior = begun or fanned
            apply = _compile_head(row[0]) if has_prior else None
            compiled.append(("cells", apply, [compile_cell(one, in_pipe=True) for one in row]))
            begun, fanned = True, False
        else:
            raise PipeError(
                f"a row is a list of cells, or one @pipe or @reduce; this is {_shown(row)}", argument="@pipe"
            )
    if not begun:
        raise PipeError("a pipe of pipes ends with a row that takes their results", argument="@pipe")
    return compiled


def _compile_head(cell: Any) -> Callable[[Scope, Loop, list[Any]], Any]:
    """The first cell of a row that follows another: what it makes of the prior row."""
    if is_loop_variable(cell):
        variable = compile_cell(cell)
        return lambda scope, loop, prior: variable(scope, loop)
    if not is_function(cell):
        raise PipeError(f"a row begins with a function once there is a row before it; this one with {_shown(cell)}",
                        argument="@pipe")  # fmt: skip
    function = find(cell[2:-1])
    most = most_arguments(function)
    if most is None:
        return lambda scope, loop, prior: function(*prior)
    return lambda scope, loop, prior: function(*prior[:most])


def _run(rows: list[Row], scope: Scope, loop: Loop, prior: list[Any] | None) -> Any:
    queue: list[Any] = []
    for kind, first, cells in rows:
        if kind == "pipe":
            queue.append(first(scope, loop))
        elif kind == "reduce":
            assert prior is not None
            prior = [_reduce(first, scope, prior)]
        else:
            if queue:
                prior, queue = queue, []
            if prior is None or first is None:
                prior = [cell(scope, loop) for cell in cells]
            else:
                prior = [first(scope, loop, prior), *(cell(scope, loop) for cell in cells[1:])]
    assert prior is not None
    return prior[0] if prior else UNDEFINED


def _reduce(rows: list[Row], scope: Scope, prior: list[Any]) -> Any:
    collection = prior[0] if prior else UNDEFINED
    result = copy.deepcopy(prior[1]) if len(prior) > 1 else None
    for index, (key, item) in enumerate(entries(collection)):
        loop = {"$input": collection, "$output": result, "$item": item, "$key": key, "$index": index}
        result = _run(rows, scope, loop, [result])
    return result


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


# --- looking through --------------------------------------------------------------------------------------------------


def expressions(value: Any) -> Iterator[str]:
    """Every reference, function and loop variable anywhere in a part of a model."""
    if is_expression(value):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from expressions(one)
    elif isinstance(value, list):
        for one in value:
            yield from expressions(one)


def references(value: Any) -> Iterator[Reference]:
    """Every reference anywhere in a part of a model."""
    for cell in expressions(value):
        found = reference_of(cell)
        if found is not None:
            yield found
