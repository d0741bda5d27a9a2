"""What `MeshCall.connect` gives back: a topic to call like the function it stands for."""

from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from meshdata.call.kept import CallOptions

P = ParamSpec("P")
R = TypeVar("R")


class Topic(Generic[P, R]):
    """A topic that is served here: `await add(1, 2)` calls it, in whatever process serves it.

    Attributes:
        name: the topic.
    """

    def __init__(self, name: str, exec: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.name = name
        self._exec = exec

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return self._exec(self.name, args, kwargs)

    def options(self, **options: Unpack[CallOptions]) -> Callable[P, Coroutine[Any, Any, R]]:
        """The same call with options: `await add.options(id="auto", ttl="15 minutes")(1, 2)`."""

        def call(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            return self._exec(self.name, args, kwargs, **options)

        return call
