"""The way between a process and the fake server: it takes its time, loses hints, and breaks.

Commands of one connection arrive in order, and so do its replies; between connections there is no order. Each command
arrives by itself, so a connection may break between any two, or between a command and its reply.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from meshdata.errors import StoreUnavailable
from meshdata.store.fake import FakeTransport

NEXT_S = 1e-6
"""Two things that come by one connection are at least so far apart: the loop's timers have no order within a moment."""


def commands(data: bytes) -> list[bytes]:
    """What was written, command by command."""
    found, at = [], 0
    while at < len(data):
        begin = at
        end = data.index(b"\r\n", at)
        count = int(data[at + 1 : end])
        at = end + 2
        for _ in range(count):
            end = data.index(b"\r\n", at)
            at = end + 2 + int(data[at + 1 : end]) + 2
        found.append(data[begin:at])
    return found


def words(command: bytes) -> list[bytes]:
    """The parts of one command."""
    found: list[bytes] = []
    at = command.index(b"\r\n") + 2
    while at < len(command):
        end = command.index(b"\r\n", at)
        size = int(command[at + 1 : end])
        found.append(command[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return found


class Link(FakeTransport):
    """One connection of a process. `process` says how slow it is, and is asked before and after each command."""

    def __init__(self, server: Any, process: Any, number: int) -> None:
        if not process.alive:
            raise StoreUnavailable("this process is dead")
        super().__init__(server)
        self.process = process
        # Of its own: what one connection draws does not depend on what the others did.
        self._dice = random.Random(f"{process.world.seed} {process.name} {number}")
        self._arrives = self._answers = 0.0
        process.links.append(self)

    def _delay(self) -> float:
        pace = self.process.world.pace
        slow = self._dice.random() < pace.slow_share
        return self._dice.expovariate(1 / (pace.slow_s if slow else pace.usual_s))

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        loop, now = self._loop, self._loop.time()
        for command in commands(bytes(data)):
            self._arrives = max(now + self._delay(), self._arrives + NEXT_S, self.process.stalled_until)
            loop.call_at(self._arrives, self._arrive, command, context=self._context)

    def _arrive(self, command: bytes) -> None:
        if self._connection is None:
            return
        if not self.process.goes_in(self, command):
            return
        super().write(command)
        self.process.went_in(self, command)

    def _queue(self, reply: bytes) -> None:
        if reply.startswith(b">3\r\n$7\r\nmessage") and self._dice.random() < self.process.world.pace.lost_hints:
            return
        now = self._loop.time()
        self._answers = max(now + self._delay(), self._answers + NEXT_S, self.process.stalled_until)
        self._loop.call_at(self._answers, self._answer, reply, context=self._context)

    def _answer(self, reply: bytes) -> None:
        if self._connection is not None and isinstance(self._protocol, asyncio.Protocol):
            self._protocol.data_received(reply)

    def abort(self) -> None:
        if self in self.process.links:
            self.process.links.remove(self)
        super().abort()

    close = abort
