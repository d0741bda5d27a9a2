"""From the return annotation of a function to the source of a model for its records. Pure."""

import dataclasses
import enum
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NotRequired, Required

from pydantic import BaseModel
from typing_extensions import ReadOnly, is_typeddict

_PLAIN: Final = (str, int, float, bool, bytes)
_REQUIRED: Final = object()
_UNKNOWN: Final = object()
"""A default that is made at run time, and cannot be told in a line."""


@dataclass(slots=True)
class Source:
    """Python text and what it imports.

    Attributes:
        imports: module → names. notes: what a reader must know, a sentence each.
    """

    imports: dict[str, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def use(self, kind: Any) -> str:
        """The name of something, imported from where it is defined."""
        module, name = kind.__module__, kind.__qualname__
        if module != "builtins":
            self.imports.setdefault(module, set()).add(name.partition(".")[0])
        return str(name)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a function answers with.

    Attributes:
        kind: what it is: "model" (a pydantic class, taken as it is), "fields" (one is to be written), "plain", "many",
            "unknown".
        type: the class; None where there is none. optional: whether None is an answer too.
    """

    kind: Literal["model", "fields", "plain", "many", "unknown"]
    type: Any = None
    optional: bool = False


def shape_of(fn: Callable[..., Any]) -> Shape:
    """The shape of a function's answers, by its return annotation."""
    try:
        hint = typing.get_type_hints(fn, include_extras=True).get("return", Any)
    except Exception:  # annotations may be anything, and evaluating them runs user code
        return Shape("unknown")
    hint = _bare(hint)
    if typing.get_origin(hint) in (Coroutine, Awaitable):
        hint = _bare(typing.get_args(hint)[-1])
    hint, optional = _without_none(hint)
    origin = typing.get_origin(hint) or hint
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return Shape("model", origin, optional)
    if dataclasses.is_dataclass(origin) or is_typeddict(origin) or _is_named_tuple(origin):
        return Shape("fields", origin, optional)
    if isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset):
        return Shape("many", hint, optional)
    if origin in (Any, object, types.NoneType) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return Shape("unknown", None, optional)
    return Shape("plain", hint, optional)


def model_source(kind: Any, entity: str, source: Source) -> str:
    """The source of a `Record` with the fields of a dataclass, a TypedDict or a NamedTuple."""
    source.imports.setdefault("meshdata.search", set()).add("Record")
    name = kind.__name__ if not kind.__name__.endswith("Dict") else kind.__name__.removesuffix("Dict")
    lines = [f'class {name}Record(Record, entity="{entity}"):']
    for one, hint, default in _fields(kind):
        lines.append(f"    {_field_text(one, hint, default, source)}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "    pass"])


def type_text(hint: Any, source: Source) -> str:
    """A type as source, what it names imported."""
    hint = _bare(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is types.NoneType or hint is None:
        return "None"
    if hint is Any:
        return source.use(Any) if hasattr(Any, "__qualname__") else _any(source)
    if hint is Ellipsis:
        return "..."
    if origin is Literal:
        source.imports.setdefault("typing", set()).add("Literal")
        return f"Literal[{', '.join(_literal(one, source) for one in args)}]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_text(one, source) for one in args)
    if origin is not None:
        return f"{source.use(origin)}[{', '.join(type_text(one, source) for one in args)}]"
    if isinstance(hint, type):
        return source.use(hint)
    return _any(source)


def _any(source: Source) -> str:
    source.imports.setdefault("typing", set()).add("Any")
    return "Any"


def _literal(value: Any, source: Source) -> str:
    return f"{source.use(type(value))}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


def _field_text(name: str, hint: Any, default: Any, source: Source) -> str:
    text = type_text(hint, source)
    if default is _UNKNOWN:
        source.notes.append(f"the default of {name!r} is made at run time; write it yourself, or leave it required")
        return f"{name}: {text}"
    if default is _REQUIRED:
        return f"{name}: {text}"
    return f"{name}: {text} = {_literal(default, source)}"


def _fields(kind: Any) -> list[tuple[str, Any, Any]]:
    """(name, type, default) of each field."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return [(one.name, hints[one.name], _dataclass_default(one)) for one in dataclasses.fields(kind)]
    if _is_named_tuple(kind):
        defaults = kind._field_defaults
        return [(name, hints[name], _told(defaults[name]) if name in defaults else _REQUIRED) for name in kind._fields]
    optional = kind.__optional_keys__
    return [
        (name, _or_none(hint) if name in optional else hint, None if name in optional else _REQUIRED)
        for name, hint in hints.items()
    ]


def _dataclass_default(one: "dataclasses.Field[Any]") -> Any:
    if one.default is not dataclasses.MISSING:
        return _told(one.default)
    if one.default_factory is dataclasses.MISSING:
        return _REQUIRED
    return one.default_factory() if one.default_factory in (list, dict) else _UNKNOWN


def _told(default: Any) -> Any:
    is_told = default is None or isinstance(default, enum.Enum) or type(default) in _PLAIN
    return default if is_told else _UNKNOWN


def _or_none(hint: Any) -> Any:
    return _bare(hint) | None


def _bare(hint: Any) -> Any:
    """Without Annotated, Required, NotRequired, ReadOnly and Final."""
    while typing.get_origin(hint) in (typing.Annotated, Required, NotRequired, ReadOnly, typing.Final):
        hint = typing.get_args(hint)[0]
    return getattr(hint, "__value__", hint)  # what `type X = ...` stands for


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    left = [one for one in typing.get_args(hint) if one is not types.NoneType]
    if len(left) != 1:
        return hint, len(left) < len(typing.get_args(hint))
    return _bare(left[0]), True


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
