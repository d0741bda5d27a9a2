"""What time it is for a mesh: the server's, a number a test gives, or a clock that stands still until a test moves it.

`MeshData(clock=...)` takes any callable that gives milliseconds since 1970; scripts and durable timers go by that. A
held clock (`meshdata.testing.Clock`) is more: what the mesh's own tasks and the functions they run ask of the event
loop's time goes by it as well, and so does the fake server, whose keys expire by it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

Clock = Callable[[], int]
"""Milliseconds since 1970."""


@runtime_checkable
class HeldClock(Protocol):
    """A clock that stands still until it is moved."""

    def __call__(self) -> int: ...

    def micros(self) -> int:
        """Microseconds since 1970."""

    def held(self) -> AbstractContextManager[None]:
        """Tasks that are begun inside, and theirs, go by this clock."""

    def attach(self, mesh: Any) -> None:
        """A mesh that goes by this clock opens, in the running loop."""

    def detach(self, mesh: Any) -> None:
        """It has closed."""


def held(clock: Clock | None) -> AbstractContextManager[None]:
    """`clock.held()` of a held clock; of others, nothing."""
    return clock.held() if isinstance(clock, HeldClock) else nullcontext()
