"""What is wrong with a model, gathered while it is compiled, each with its graph, its activity and its line. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from meshdata.errors import ModelError, ModelProblem
from meshdata.graph.loading import LoadedModel
from meshdata.graph.model import Part

Path = tuple[str, ...]
P = TypeVar("P", bound=Part)

GRAPHS: Final[Path] = ("app", "graphs")
_CODE: Final = re.compile(r"\d{3}")

_MESSAGES: Final = {
    "missing": "is needed",
    "string_type": "has to be a text",
    "bool_type": "has to be true or false",
    "bool_parsing": "has to be true or false",
    "dict_type": "has to be an object",
    "model_type": "has to be an object",
    "list_type": "has to be a list",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
"""Pydantic's words for what is wrong, in ours; others are kept."""


class Problems:
    """Problems and warnings of one model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._found: list[ModelProblem] = []
        self._warned: list[ModelProblem] = []

    def add(self, message: str, path: Sequence[str]) -> None:
        """Something is wrong; `path` leads to it from the model's root."""
        self._found.append(self._at(message, path))

    def warn(self, message: str, path: Sequence[str]) -> None:
        """Something may not be meant so."""
        self._warned.append(self._at(message, path))

    def check(self) -> None:
        """Go on only if nothing is wrong.

        Raises:
            ModelError: something is.
        """
        if self._found:
            in_order = sorted(self._found, key=lambda one: (one.file or "", one.line or 0))
            raise ModelError(problems=list(dict.fromkeys(in_order)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was warned of, in the order of the model."""
        in_order = sorted(self._warned, key=lambda one: (one.file or "", one.line or 0))
        return tuple(dict.fromkeys(str(one) for one in in_order))

    def read(self, kind: type[P], value: Any, path: Path) -> P | None:
        """A part of the model by its type; None if it does not have that form, which is a problem then."""
        try:
            part = kind.model_validate(value)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                at = (*path, *(str(step) for step in one["loc"]))
                name, told = at[-1] if at else "the model", _MESSAGES.get(one["type"])
                self.add(
                    f"{name} {told}" if told else f"{name}: {_lower(one['msg'])}; it is {_shown(one['input'])}", at
                )
            return None
        for at, has_effect in _unknown(part, path):
            self.warn(f"the key {at[-1]!r} " + ("is not known" if has_effect else "has no effect"), at)
        return part

    def _at(self, message: str, path: Sequence[str]) -> ModelProblem:
        place = self._loaded.place(path)
        graph, activity, field = self._names(tuple(path))
        return ModelProblem(message, graph, activity, field, place.line, place.file)

    def _names(self, path: Path) -> tuple[str | None, str | None, str | None]:
        """The graph, the activity, and what is left of the path."""
        if path[:2] != GRAPHS or len(path) < 3:
            return None, None, ".".join(path) or None
        graph = self._topic(path[2])
        if len(path) > 4 and path[3] == "activities":
            return graph, path[4], ".".join(path[5:]) or None
        if len(path) > 4 and path[3] == "transitions":
            return graph, path[4], ".".join(("transitions", *path[5:]))
        return graph, None, ".".join(path[3:]) or None

    def _topic(self, index: str) -> str:
        graph = self._loaded.document["app"]["graphs"][int(index)]
        topic = graph.get("subscribes") if isinstance(graph, Mapping) else None
        return topic if isinstance(topic, str) else f"#{int(index) + 1}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _unknown(part: BaseModel, path: Path) -> Iterator[tuple[Path, bool]]:
    """Keys that no part knows, and whether anybody would think they had an effect."""
    assert isinstance(part, Part)
    for name in part.model_extra or ():
        # What holds for one status code only; what a model keeps for itself, to refer to.
        if not _CODE.fullmatch(name) and not name.startswith("x-"):
            yield (*path, name), name not in part.WITHOUT_EFFECT
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        at = (*path, field.alias or name)
        if isinstance(value, Part):
            yield from _unknown(value, at)
        elif isinstance(value, list):
            for index, one in enumerate(value):
                if isinstance(one, Part):
                    yield from _unknown(one, (*at, str(index)))
