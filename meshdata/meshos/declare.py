"""Reads the body of a class: which of its methods are workflows, hooks and activities; what it may not be called."""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from meshdata.call.options import refuse_unknown
from meshdata.errors import InvalidOptions
from meshdata.workflow.activity import Activity, Options
from meshdata.workflow.function import Function
from meshdata.workflow.method import HookMethod, Method, RunMethod

LISTS: Final[Mapping[str, type[Any]]] = {
    "workflow_functions": RunMethod,
    "hook_functions": HookMethod,
    "proxy_functions": Activity,
}
"""The older style: names of methods in lists, in place of decorators."""

ROLES: Final[Mapping[type[Any], str]] = {RunMethod: "a workflow", HookMethod: "a hook", Activity: "an activity"}
OVERRIDABLE: Final = ("create", "update", "delete")
"""Verbs whose names a class may give to methods of its own; it does without the verb then."""

KNOWN: Final = tuple(Options.__annotations__)
"""What an activity may be told."""

Durable = Method[Any, Any] | Activity[..., Any]


def declare(name: str, bases: Sequence[type], body: dict[str, Any], root: type) -> None:
    """Make the body of a class one that says which methods are durable, and how.

    The lists of the older style are taken out of it, and what they name is decorated. A plain method that overrides a
    durable one is what that is.

    Args:
        root: what every class is below; its verbs are names that fields and durable methods may not have.

    Raises:
        InvalidOptions: `.argument` names the list, method or field that does not fit.
    """
    verbs = [one for one in vars(root) if not one.startswith(("_", "model_")) and one != "id"]
    for one in verbs:
        if one in body.get("__annotations__", {}):
            raise InvalidOptions(
                f"{name}: a field cannot be called so, it is a verb of every class; choose another name, and "
                "Field(alias=...) where it comes from outside",
                argument=one,
            )
    listed = _listed(name, bases, body, root)
    for method, value in list(body.items()):
        above = _above(bases, method, root)
        if method not in listed and inspect.isfunction(value) and isinstance(above, Method | Activity):
            body[method] = _like(above, value)
        if isinstance(body[method], Method | Activity) and method in verbs and method not in OVERRIDABLE:
            raise InvalidOptions(
                f"{name}: a method cannot be called so, it is a verb of every class; choose another name",
                argument=method,
            )


def _listed(name: str, bases: Sequence[type], body: dict[str, Any], root: type) -> set[str]:
    """Decorate what the lists name, and take them away."""
    roles: dict[str, type[Any]] = {}
    for one, role in LISTS.items():
        body.get("__annotations__", {}).pop(one, None)
        items = body.pop(one, ())
        if isinstance(items, str) or not isinstance(items, Sequence):
            raise InvalidOptions(f"{name}: a list of names is needed; got {items!r}", argument=one)
        for item in items:
            method, options = _item(name, one, item)
            if method in roles:
                raise InvalidOptions(f"{name}: {method!r} is in {one} and was listed before", argument=one)
            roles[method] = role
            found = body[method] if method in body else _above(bases, method, root)
            if found is None:
                raise _no_method(name, one, method, body)
            body[method] = _decorated(name, one, role, method, options, found)
    return set(roles)


def _item(name: str, list_: str, item: Any) -> tuple[str, Mapping[str, Any]]:
    """A name, or {"name": ..., "options": {...}}."""
    if isinstance(item, str):
        return item, {}
    if isinstance(item, Mapping) and isinstance(item.get("name"), str) and item.keys() <= {"name", "options"}:
        options = item.get("options") or {}
        if isinstance(options, Mapping):
            return item["name"], options
    raise InvalidOptions(
        f"{name}: a name, or {{'name': ..., 'options': {{...}}}}, is needed; got {item!r}", argument=list_
    )


def _no_method(name: str, list_: str, method: str, body: Mapping[str, Any]) -> InvalidOptions:
    methods = [one for one, value in body.items() if inspect.isfunction(value) and not one.startswith("_")]
    near = get_close_matches(method, methods, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"its methods are {', '.join(methods) or 'none'}"
    return InvalidOptions(f"{name} has no method {method!r}; {hint}", argument=list_)


def _decorated(name: str, list_: str, role: type[Any], method: str, options: Mapping[str, Any], found: Any) -> Durable:
    if isinstance(found, role) and not options:
        return found  # type: ignore[no-any-return]  # a role is one of the durable kinds
    if isinstance(found, Method | Activity):
        raise InvalidOptions(
            f"{name}.{method} is {ROLES[type(found)]} by its decorator; leave it out of the list", argument=list_
        )
    if not inspect.isfunction(found):
        raise InvalidOptions(f"{name}.{method} is no method: {found!r}", argument=list_)
    if role is Activity:
        refuse_unknown("activity", {one: value for one, value in options.items() if one not in KNOWN}, KNOWN)
        return Activity[..., Any](found, **options)
    made: Durable = role(found, options)
    return made


def _above(bases: Sequence[type], name: str, root: type) -> Any:
    """What the classes above have under a name, as it stands in them; None for what every class has."""
    every = root.__mro__
    found = (one.__dict__[name] for base in bases for one in base.__mro__ if one not in every and name in one.__dict__)
    return next(found, None)


def _like(above: Durable, fn: Callable[..., Any]) -> Durable:
    if isinstance(above, Method):
        return above.like(fn)
    made = copy.copy(above)
    made.function = Function(fn)
    functools.update_wrapper(made, fn)
    return made


def durable_members(cls: type) -> dict[str, Durable]:
    """Every durable method of a class by its name, those of the classes above too."""
    found: dict[str, Durable] = {}
    for one in reversed(cls.__mro__):
        for name, value in one.__dict__.items():
            if isinstance(value, Method | Activity):
                found[name] = value
            else:
                found.pop(name, None)
    return found
