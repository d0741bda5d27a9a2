"""The door to calls: serve a function under a topic, call it from any process, keep and flush its answers."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from meshdata.meshcall.cron import CronVerbs
from meshdata.opening import Address, Opening
from meshdata.values import Duration

P = ParamSpec("P")
R = TypeVar("R")


class MeshCall(CronVerbs):
    """Calls functions in other processes, and serves them.

    It connects at its first use; close it, or use it as `async with MeshCall(url) as call:`.

    Args:
        url: as for `MeshData`; or a MeshData to share its connection.
        namespace: that of the processes that serve; by default "meshdata".
        name: what this process is called in lists and logs.
        partitions, concurrency, life_sign: see `MeshData`.
    """

    def __init__(
        self,
        url: Address = None,
        *,
        namespace: str | None = None,
        name: str | None = None,
        partitions: int | None = None,
        concurrency: int | None = None,
        life_sign: Duration | None = None,
    ) -> None:
        self._opening = Opening(
            url, namespace=namespace, name=name, partitions=partitions, concurrency=concurrency, life_sign=life_sign
        )
        self.mesh = self._opening.mesh

    async def __aenter__(self) -> "MeshCall":
        await self._opening.opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, drain: Duration = 10) -> None:
        """Stop serving, let what is under way end for at most `drain`, disconnect."""
        await self._opening.close(drain)

    async def connect(self, topic: str, fn: Callable[..., Any], *, concurrency: int | None = None) -> None:
        """Serve a function under a topic; when this returns, it is served.

        Args:
            fn: sync or async; arguments and result are converted by its annotations.
            concurrency: how many calls of it this process works on at once; by default as many as of all.
        """
        mesh = await self._opening.opened()
        await mesh.connect(topic, fn, concurrency=concurrency)

    def function(self, topic: str, *, concurrency: int | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """The decorator form of `connect`: `@call.function("math.add")`; served once it is open."""

        def connect(fn: Callable[P, R]) -> Callable[P, R]:
            self.mesh.connect(topic, fn, concurrency=concurrency)
            return fn

        return connect

    async def exec(
        self,
        topic: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        ttl: Duration | None = None,
        flush: bool = False,
        timeout: Duration | None = 30,
    ) -> Any:
        """Call the function served under a topic, in whatever process serves it.

        Args:
            id: what the answer is known by; callers of one id share one run.
            ttl: how long the answer of an id is kept.
            flush: forget the answer of the id first.
            timeout: how long to wait.
        """
        mesh = await self._opening.opened()
        return await mesh.exec(topic, args, kwargs, id=id, ttl=ttl, flush=flush, timeout=timeout)

    async def flush(self, topic: str, *, id: str) -> bool:
        """Forget the answer of an id. True if there was one."""
        return await (await self._opening.opened()).flush(topic, id)

    async def interrupt(self, topic: str, *, id: str, reason: str | None = None) -> bool:
        """End the schedule of an id, or the call that runs under it. True if there was one."""
        mesh = await self._opening.opened()
        if await mesh.unschedule(topic, id):
            return True
        return await mesh.interrupt(topic, id, reason=reason, suppress=True)
