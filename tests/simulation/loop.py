"""An event loop without sockets, threads or waiting: when nothing is ready, its time jumps to the next timer."""

from __future__ import annotations

import asyncio
from typing import Any


class Stuck(Exception):
    """Nothing is ready and no timer is set: nothing will ever happen again."""


class _Jumping:
    """Stands where the loop's selector would: to wait is to move the time."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck
        self.now += timeout
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """The same callbacks in the same order on every run; `time()` begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Jumping()

    def time(self) -> float:
        return self._selector.now

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
