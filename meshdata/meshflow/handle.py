"""A handle on a workflow: await it, ask it, act on it."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from meshdata.call.caller import Served
from meshdata.call.handle import Handle, HookHandle
from meshdata.call.options import job_of
from meshdata.engine.info import JobInfo
from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions
from meshdata.opening import Opening
from meshdata.values import Duration, check_entity, from_json
from meshdata.workflow.export import JobExport
from meshdata.workflow.function import Function
from meshdata.workflow.home import FLOW, decoder_of, topic_of

R = TypeVar("R")

DEFAULT_QUEUE: Final = "default"

Workflow = Callable[..., Any] | str
"""A workflow function, or its name where it is not at hand."""


class WorkflowHandle(Generic[R]):
    """A workflow by its id: `await handle`, or `await handle.result(timeout=10)`, for what it returned."""

    def __init__(
        self, opening: Opening, id: str, decode: Callable[[bytes], Any] = from_json, begun: Handle[Any] | None = None
    ) -> None:
        self._opening = opening
        self._decode = decode
        self._handle = begun
        self.id = id

    def __repr__(self) -> str:
        return f"WorkflowHandle({self.id!r})"

    def __await__(self) -> Generator[Any, None, R]:
        return self.result().__await__()

    @property
    def job_id(self) -> str:
        """ "workflow:<id>", as lists and errors name it."""
        return f"{FLOW}:{self.id}"

    async def _opened(self) -> Handle[Any]:
        if self._handle is None:
            mesh = await self._opening.opened()
            self._handle = Handle(mesh, mesh.engine, FLOW, self.id, self._decode)
        return self._handle

    async def result(self, timeout: Duration | None = None) -> R:
        """What the function returned.

        Raises:
            JobFailed, JobInterrupted: how else it ended. JobNotFound: at once, if it is unknown or its ttl is over.
            MeshTimeout: `timeout` passed first; it goes on.
        """
        value: R = await (await self._opened()).result(timeout)
        return value

    async def status(self) -> str:
        """pending, delayed, queued, running, waiting, backoff, parked, completed, failed or interrupted."""
        return await (await self._opened()).status()

    async def info(self) -> JobInfo:
        """See `MeshData.info`."""
        return await (await self._opened()).info()

    async def state(self, *names: str) -> dict[str, Any]:
        """Fields of its record; all of them when none is named."""
        return await (await self._opened()).state(*names)

    async def signal(self, key: str, payload: Any = None, *, id: str | None = None) -> bool:
        """See `MeshData.signal`; keys are the namespace's, not the workflow's."""
        return await (await self._opened()).signal(key, payload, id=id)

    async def hook(
        self,
        workflow: Workflow,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: str = DEFAULT_QUEUE,
        retry: RetryPolicy | None = None,
    ) -> HookHandle:
        """Run a further function on it, sharing its record; a worker of the queue serves it.

        Returns:
            A handle; await it for what the hook returned.

        Raises:
            JobNotFound: there is no such workflow. JobError: it takes no hooks, or no more.
        """
        name, served = called(workflow, queue)
        mesh = await self._opening.opened()
        return await mesh.caller.hook(job_of(FLOW, self.id), name, args, kwargs, served, retry=retry)

    async def interrupt(self, **options: Any) -> bool:
        """End it now, wherever it runs; see `MeshData.interrupt`."""
        return await (await self._opened()).interrupt(**options)

    async def export(
        self, *, allow: Collection[str] | None = None, block: Collection[str] | None = None, values: bool = True
    ) -> JobExport:
        """What it did, told as a story; see `MeshData.export`."""
        return await (await self._opened()).export(allow=allow, block=block, values=values)

    async def resume(self) -> bool:
        """Start it now if it is reserved or was to start later; see `MeshData.resume`."""
        return await (await self._opened()).resume()

    async def cancel(self, reason: str | None = None) -> bool:
        """Ask it to end itself; see `MeshData.cancel`."""
        return await (await self._opened()).cancel(reason)

    async def flush(self) -> bool:
        """Remove it and all it left, at once."""
        return await (await self._opened()).flush()


def called(workflow: Workflow, queue: str) -> tuple[str, Served]:
    """The name of a workflow, and what is known of it for calling it.

    Raises:
        InvalidOptions: the queue or the name is none.
    """
    if not isinstance(queue, str):
        raise InvalidOptions(f"a queue is a name; got {queue!r}", argument="queue")
    if isinstance(workflow, str):
        name = check_entity(workflow, argument="workflow")
        return name, Served(topic=topic_of(name, queue))
    function = Function(workflow, argument="workflow")
    topic = topic_of(check_entity(function.name, argument="workflow"), queue)
    return function.name, Served(function.bind, function.check_arguments, decoder_of(function), topic=topic)
