"""What a request may name, read off the signature of the function that takes it; pure."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from meshdata.errors import InvalidOptions


def parameters_of(fn: Callable[..., Any], *, skip: int) -> type[BaseModel]:
    """The parameters of a function behind the first few, as a model that takes no others."""
    fields: dict[str, Any] = {
        one.name: (one.annotation, ... if one.default is inspect.Parameter.empty else one.default)
        for one in list(inspect.signature(fn).parameters.values())[skip:]
    }
    title = "".join(part.capitalize() for part in fn.__name__.removesuffix("_of").split("_"))
    return create_model(f"{title}Parameters", __config__=ConfigDict(extra="forbid"), **fields)


def checked(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a request named, as the method takes it; what it did not name is left to the method.

    Raises:
        InvalidOptions: a name or a value does not fit; `.argument` is the path to it.
    """
    try:
        made = model.model_validate(given)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        raise InvalidOptions(first["msg"], argument=".".join(str(part) for part in first["loc"])) from problem
    return {name: getattr(made, name) for name in made.model_fields_set}
