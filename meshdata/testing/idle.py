"""Is anything left that can go on by itself? Looks at the event loop's ready queue, threads, and sockets.

What a mesh does in one process, on a fake server, is idle when no callback of it is ready, none of its threads works,
and no function it runs waits for a socket. It can then go on only by time or by what a test does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from meshdata.errors import MeshTimeout, UsageError
from meshdata.mesh import MeshData
from meshdata.workflow.settle import queued

STRANGE_TICKS: Final = 1_000
"""A test's own tasks may stir all the time: after so many ticks with nothing but them, the mesh is idle."""

PATIENCE_S: Final = 5.0
"""Real seconds that threads and sockets are given to get on before they are taken to wait for the test."""

RESTLESS_S: Final = 30.0
"""Real seconds after which something that always goes on is an error."""

POLL_S: Final = 0.001


class Idleness:
    """When is what goes by one clock idle?

    Args:
        is_ours: whether a callback that is ready is of the mesh, told by its context.
        threads: what works in threads.
        meshes: the meshes that go by the clock.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        is_ours: Callable[[Any], bool],
        threads: Collection[asyncio.Future[Any]],
        meshes: Collection[MeshData],
    ) -> None:
        self._loop = loop
        self._is_ours = is_ours
        self._threads = threads
        self._meshes = meshes
        self._sockets = len(self._registered())

    async def settle(self) -> None:
        """Return when nothing can go on by itself.

        Raises:
            MeshTimeout: something always went on.
        """
        deadline = time.monotonic() + RESTLESS_S
        strange = 0
        patience = time.monotonic() + PATIENCE_S
        while True:
            await asyncio.sleep(0)
            ready = queued(self._loop)
            if ready:
                strange = 0 if any(map(self._is_ours, ready)) else strange + 1
                if time.monotonic() > deadline:
                    raise MeshTimeout(
                        f"the mesh did not come to rest within {RESTLESS_S:g} s: a function goes on without time or "
                        "input, or two wait for each other to be idle",
                        timeout_s=RESTLESS_S,
                    )
                if strange < STRANGE_TICKS:
                    continue
            if self._threads:
                done, _ = await asyncio.wait(
                    list(self._threads), timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    patience = time.monotonic() + PATIENCE_S
                    continue
            elif self._waits_for_sockets() and time.monotonic() < patience:
                await asyncio.sleep(POLL_S)
                continue
            return

    def _waits_for_sockets(self) -> bool:
        """A function is at work, and somebody opened sockets since the mesh did."""
        return len(self._registered()) > self._sockets and any(mesh.is_busy for mesh in self._meshes)

    def _registered(self) -> Collection[Any]:
        selector = getattr(self._loop, "_selector", None)
        return () if selector is None else (selector.get_map() or ())


async def run_until_idle(mesh: MeshData) -> None:
    """Let everything a mesh can do without time or input be done; returns when there is nothing left of that.

    Args:
        mesh: one that was opened with `clock=Clock()`.

    Raises:
        UsageError: it has no such clock, so time goes on by itself and it is never idle.
        MeshTimeout: a function goes on for ever without waiting for anything.
    """
    settle = getattr(mesh.clock, "settle", None)
    if settle is None:
        raise UsageError('run_until_idle needs a mesh whose clock stands still: MeshData("fake://", clock=Clock())')
    await settle()
