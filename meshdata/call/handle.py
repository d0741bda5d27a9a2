"""Handles: a job, or one hook of a job, to await, ask and act upon later, from any process."""

import asyncio
import weakref
from collections.abc import Callable, Collection, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from meshdata.call.cancel import cancel_run
from meshdata.call.options import seconds
from meshdata.call.outcome import value_of
from meshdata.engine.engine import Engine
from meshdata.engine.info import JobInfo
from meshdata.store.messages import Outcome
from meshdata.values import Duration, from_json

if TYPE_CHECKING:
    from meshdata.workflow.export import JobExport

T = TypeVar("T")


class Acts(Protocol):
    """What the mesh does for a handle."""

    @property
    def hook(self) -> Callable[..., Coroutine[Any, Any, "HookHandle"]]: ...
    @property
    def interrupt(self) -> Callable[..., Coroutine[Any, Any, bool]]: ...
    async def get(self, entity: str, id: str, /, *names: str) -> dict[str, Any]: ...
    async def signal(self, key: str, payload: Any = None, /, *, id: str | None = None) -> bool: ...
    @property
    def export(self) -> Callable[..., Coroutine[Any, Any, "JobExport"]]: ...
    async def flush(self, entity: str, id: str, /) -> bool: ...
    async def resume(self, entity: str, id: str, /) -> bool: ...
    async def info(self, entity: str, id: str, /) -> JobInfo: ...


class Awaited(Generic[T]):
    """The end of one run, to await as often as you like."""

    _begun: "asyncio.Future[Outcome] | None" = None

    def __init__(self, engine: Engine, run: str, decode: Callable[[bytes], Any] = from_json) -> None:
        self._engine = engine
        self._run = run
        self._decode = decode

    async def result(self, timeout: Duration | None = None) -> T:
        """What the function returned.

        Raises:
            JobFailed, JobInterrupted, JobCancelled: how else it ended.
            JobNotFound: at once, if it is unknown or its ttl is over.
            MeshTimeout: `timeout` passed first; it goes on.
        """
        limit = seconds(timeout, argument="timeout")
        if self._begun is None:
            outcome = await self._engine.outcome(self._run, timeout_s=limit)
        else:
            outcome = await self._engine.heard(self._run, self._begun, timeout_s=limit)
        value: T = value_of(outcome, self._run.partition(" ")[2], self._decode)
        return value

    def __await__(self) -> Generator[Any, None, T]:
        return self.result().__await__()

    async def cancel(self, reason: str | None = None) -> bool:
        """Ask it to end itself; see `MeshData.cancel`."""
        return await cancel_run(self._engine, self._run, reason)


class Handle(Awaited[T]):
    """A job by its entity and id."""

    def __init__(
        self,
        mesh: Acts,
        engine: Engine,
        entity: str,
        id: str,
        decode: Callable[[bytes], Any] = from_json,
        *,
        begun: "asyncio.Future[Outcome] | None" = None,
    ) -> None:
        super().__init__(engine, f"0 {entity}:{id}", decode)
        self._begun = begun
        if begun is not None:  # nobody listens for a handle that is gone
            weakref.finalize(self, engine.waiters.forget, self._run, begun).atexit = False
        self._mesh = mesh
        self.entity = entity
        self.id = id

    def __repr__(self) -> str:
        return f"Handle({self.entity!r}, {self.id!r})"

    @property
    def job_id(self) -> str:
        """ "<entity>:<id>"."""
        return f"{self.entity}:{self.id}"

    async def status(self) -> str:
        """pending, delayed, queued, running, waiting, backoff, parked, completed, failed or interrupted."""
        return (await self._mesh.info(self.entity, self.id)).status

    async def info(self) -> JobInfo:
        """See `MeshData.info`."""
        return await self._mesh.info(self.entity, self.id)

    async def state(self, *names: str) -> dict[str, Any]:
        """Fields of its record."""
        return await self._mesh.get(self.entity, self.id, *names)

    async def signal(self, key: str, payload: Any = None, *, id: str | None = None) -> bool:
        """See `MeshData.signal`; keys are the namespace's, not the job's."""
        return await self._mesh.signal(key, payload, id=id)

    async def hook(self, hook_entity: str, args: Any = (), **options: Any) -> "HookHandle":
        """See `MeshData.hook`."""
        return await self._mesh.hook(entity=self.entity, id=self.id, hook_entity=hook_entity, args=args, **options)

    async def interrupt(self, **options: Any) -> bool:
        """See `MeshData.interrupt`."""
        return await self._mesh.interrupt(self.entity, self.id, **options)

    async def export(
        self, *, allow: Collection[str] | None = None, block: Collection[str] | None = None, values: bool = True
    ) -> "JobExport":
        """See `MeshData.export`."""
        return await self._mesh.export(self.entity, self.id, allow=allow, block=block, values=values)

    async def resume(self) -> bool:
        """See `MeshData.resume`."""
        return await self._mesh.resume(self.entity, self.id)

    async def flush(self) -> bool:
        """See `MeshData.flush`."""
        return await self._mesh.flush(self.entity, self.id)


class HookHandle(Awaited[Any]):
    """One run of a hook on a job; await it for what the hook returned (kept for an hour)."""

    def __init__(self, engine: Engine, job: str, dimension: str, decode: Callable[[bytes], Any] = from_json) -> None:
        super().__init__(engine, f"{dimension} {job}", decode)
        self.job_id = job
        self.dimension = dimension

    def __repr__(self) -> str:
        return f"HookHandle({self.job_id!r}, {self.dimension!r})"
