"""What a method is that may be called from outside; the methods themselves are in `verbs`.

A method is a coroutine function here: first the mesh, then what a request names. Its signature is the contract: it
checks requests, and the OpenAPI document is made from it.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Final

from pydantic import BaseModel

from meshdata.api.parameters import parameters_of
from meshdata.errors import InvalidOptions

Verb = Callable[..., Awaitable[Any]]

JsonDuration = str | int | float
"""Seconds, or a text such as "15 minutes"."""

WAIT: Final = 30
"""Seconds a call waits for a result, where it does not say. The job goes on after them."""


@dataclass(frozen=True, slots=True)
class Started:
    """What was begun and not waited for."""

    entity: str
    id: str


@dataclass(frozen=True, slots=True)
class Method:
    """One method: what it is called, what it takes, whether it changes anything."""

    name: str
    call: Callable[..., Awaitable[Any]]
    writes: bool
    parameters: type[BaseModel]

    @property
    def says(self) -> str:
        """What it does, for the document."""
        return inspect.getdoc(self.call) or ""


METHODS: Final[dict[str, Method]] = {}


def named(method: Method, data: Any) -> dict[str, Any]:
    """The arguments of a call, which come as an object, or as a list in the order of the method's parameters."""
    if isinstance(data, Mapping):
        return dict(data)
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise InvalidOptions("a list of arguments, or an object of named ones", argument="data")
    names = list(method.parameters.model_fields)
    if len(data) > len(names):
        raise InvalidOptions(f"{method.name} takes {len(names)} arguments, not {len(data)}", argument="data")
    return dict(zip(names, data, strict=False))


def method_of(name: str) -> Method | None:
    """A method by its name, in our spelling or the reference family's (rollCall for roll_call)."""
    return METHODS.get(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def reads(fn: Verb) -> Verb:
    """A method that changes nothing."""
    return _add(fn, writes=False)


def writes(fn: Verb) -> Verb:
    """A method that is called only where writes are on."""
    return _add(fn, writes=True)


def _add(fn: Verb, *, writes: bool) -> Verb:
    name = fn.__name__.rstrip("_")
    METHODS[name] = Method(name, fn, writes, parameters_of(fn, skip=1))
    return fn


def plain(value: Any) -> Any:
    """A dataclass of facts as a dict."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
