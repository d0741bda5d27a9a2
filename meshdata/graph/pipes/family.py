"""A family of functions: what models call as `{@family.name}`."""

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Family:
    """Functions by the names models use; their docstrings are the reference."""

    def __init__(self, name: str, about: str) -> None:
        self.name = name
        self.about = about
        self.functions: dict[str, Callable[..., Any]] = {}

    def __call__(self, *names: str) -> Callable[[F], F]:
        """Decorator: the function is known by these names."""

        def take(fn: F) -> F:
            for name in names:
                self.functions[name] = fn
            return fn

        return take
