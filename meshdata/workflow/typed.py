"""Children whose arguments and result keep the types of their function."""

from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from meshdata.workflow.child import exec_child, start_child
from meshdata.workflow.starting import ChildOptions

P = ParamSpec("P")
R = TypeVar("R")


class Child(Generic[P, R]):
    """A child to be: its function and the options of its start."""

    def __init__(self, fn: Callable[..., Any], options: ChildOptions) -> None:
        self._fn = fn
        self._options = options

    def exec(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run it and await its result; see `exec_child`."""
        return exec_child(self._fn, args, kwargs=dict(kwargs), **self._options)

    def start(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, str]:
        """Start it and go on; gives its id; see `start_child`."""
        return start_child(self._fn, args, kwargs=dict(kwargs), **self._options)


@overload
def child(fn: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[ChildOptions]) -> Child[P, R]: ...
@overload
def child(fn: Callable[P, R], /, **options: Unpack[ChildOptions]) -> Child[P, R]: ...
def child(fn: Callable[..., Any], /, **options: Unpack[ChildOptions]) -> Child[..., Any]:
    """A child whose call is checked like that of its function: `await workflow.child(ship, id="s-1").exec(items)`."""
    return Child(fn, options)
