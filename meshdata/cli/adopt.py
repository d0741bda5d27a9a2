"""`meshdata adopt module:function`: the lines that make a function of yours an entity; it reads and prints."""

import inspect
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter
from rich.console import Console
from rich.syntax import Syntax

from meshdata.cli.infer import Shape, Source, model_source, shape_of
from meshdata.cli.output import Place, run, show
from meshdata.cli.serve import load
from meshdata.errors import InvalidOptions
from meshdata.values import check_entity
from meshdata.workflow.activity import Activity
from meshdata.workflow.function import Function

VERBS: Final = (
    "get", "fetch", "load", "find", "read", "lookup", "look_up", "query", "compute", "calculate", "create", "make",
    "build", "process", "handle", "run", "do",
)  # fmt: skip
"""First words of a function's name that say what it does, not what it is about."""

_UNTYPED: Final = (inspect.Parameter.empty, Any, object)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to write.

    Attributes:
        entity, function: the names. model: the name of the class of its records, "" for none.
        connect: the one line that makes it an entity.
        program: the imports, the model, the mesh, that line and how to call it: Python that runs.
        notes: what the signature does not tell, a sentence each.
    """

    entity: str
    function: str
    model: str
    connect: str
    program: str
    notes: list[str]


def adopt(place: Place, target: str, *, entity: str | None) -> int:
    """Print what to write so that a function is served as an entity.

    Args:
        target: module:function; the module is imported, the function is not called.
        entity: the entity's name; None takes it from the function's.
    """

    def body() -> None:
        made = propose(load(target), target, entity)
        if place.as_json:
            show(place, {name: getattr(made, name) for name in made.__slots__})
            return
        text = "\n".join([*(f"# {note}" for note in made.notes), *([""] if made.notes else []), made.program])
        console = Console(highlight=False, soft_wrap=True)
        if console.is_terminal:
            console.print(Syntax(text, "python", theme="ansi_dark", background_color="default"))
        else:
            print(text)

    return run(place, body)


def propose(fn: Any, target: str, entity: str | None = None) -> Proposal:
    """The proposal for a function that `target` names.

    Raises:
        InvalidOptions: it is no function, or none that the mesh can serve.
    """
    if isinstance(fn, Activity):
        raise InvalidOptions(f"{target} is an activity already; a workflow calls it", argument="TARGET")
    if isinstance(fn, type) or not callable(fn):
        raise InvalidOptions(
            f"{target} is {'a class' if isinstance(fn, type) else type(fn).__name__}, no function", argument="TARGET"
        )
    known = Function(fn, argument="TARGET")
    parameters = _parameters(fn, target)
    name = check_entity(entity) if entity is not None else entity_name(known.name)
    source = Source()
    module, _, path = target.partition(":")
    source.imports.setdefault(module, set()).add(path.partition(".")[0])
    source.imports["meshdata"] = {"MeshData"}
    shape = shape_of(fn)
    written, model = _model(shape, name, source)
    _note(source, shape, known, parameters)
    variable = _variable(name, {path.partition(".")[0], "mesh"})
    connect = f'{variable} = mesh.connect("{name}", {path}{f", model={model}" if model else ""})'
    parts = [
        _imports(source),
        *([written] if written else []),
        f"mesh = MeshData()\n{connect}",
        _usage(variable, parameters),
    ]
    return Proposal(name, path, model, connect, "\n\n".join(parts), source.notes)


def entity_name(function: str) -> str:
    """What a function is about: get_user → user; its own name where no verb comes first."""
    bare = function.strip("_") or function
    for verb in sorted(VERBS, key=len, reverse=True):
        if bare.startswith(f"{verb}_") and len(bare) > len(verb) + 1:
            return bare[len(verb) + 1 :]
    return bare


def _parameters(fn: Callable[..., Any], target: str) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # written in C, and does not tell
        return []
    if found and found[0].name in ("self", "cls") and inspect.isfunction(fn):
        raise InvalidOptions(
            f"{target} needs an instance; name the method of an object: module:object.method", argument="TARGET"
        )
    return found


def _model(shape: Shape, entity: str, source: Source) -> tuple[str, str]:
    """The source of a class for the records, if one is to be written, and its name."""
    if shape.kind == "model":
        return "", source.use(shape.type)
    if shape.kind == "fields":
        written = model_source(shape.type, entity, source)
        return f"\n{written}\n", written[len("class ") : written.index("(")]
    return "", ""


def _note(source: Source, shape: Shape, known: Function, parameters: list[inspect.Parameter]) -> None:
    say = source.notes.append
    if shape.kind == "unknown":
        say(f"{known.name} does not say what it returns; with an annotation a model can be made for its records")
    elif shape.kind == "many":
        say(f"{known.name} returns several; a model describes one record, so each would be an entity of its own")
    elif shape.kind in ("model", "fields"):
        say("a model types and indexes the record; the function writes it: workflow.state.set(...)")
    if not known.is_async:
        say(f"{known.name} is a plain function: it runs in a thread of the worker, as it is")
    for one in parameters:
        if one.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if not _is_json(one.annotation):
            bound = f"functools.partial(..., {one.name}=...)"
            say(f"{one.name!r} cannot be sent to another process; bind it before: {bound}")


def _is_json(annotation: Any) -> bool:
    if any(annotation is one for one in _UNTYPED) or isinstance(annotation, str):
        return True
    try:
        TypeAdapter(annotation)
    except Exception:  # whatever pydantic says of it: nothing makes one of JSON
        return False
    return True


def _usage(variable: str, parameters: list[inspect.Parameter]) -> str:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [one for one in parameters if one.default is inspect.Parameter.empty and one.kind not in variadic]
    given = ", ".join(f"{one.name}={one.name}" if one.kind is one.KEYWORD_ONLY else one.name for one in needed)
    id = '"all"'
    if needed:
        id = needed[0].name if needed[0].annotation in (str, "str") else f'f"{{{needed[0].name}}}"'
    return "\n".join(
        (
            "# async with mesh:",
            f'#     await {variable}.options(id={id}, ttl="15 minutes")({given})',
            "# or, as a worker: meshdata serve module:mesh",
        )
    )


def _imports(source: Source) -> str:
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(source.imports.items())]
    return "\n".join(lines)


def _variable(entity: str, taken: set[str]) -> str:
    name = re.sub(r"\W", "_", entity)
    return f"{name}_" if name in taken or keyword.iskeyword(name) or name[:1].isdigit() else name
