"""Starts workflows and acts on them, from any process; no worker need be there yet."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from meshdata.call.handle import Handle, HookHandle
from meshdata.call.options import job_of, refuse_unknown
from meshdata.engine.limits import Priority
from meshdata.engine.policy import RetryPolicy
from meshdata.meshflow.handle import DEFAULT_QUEUE, Workflow, WorkflowHandle, called
from meshdata.opening import Address, Opening
from meshdata.values import Duration, mint_id
from meshdata.workflow.home import FLOW
from meshdata.workflow.starting import Conflict

P = ParamSpec("P")
R = TypeVar("R")


class StartOptions(TypedDict, total=False):
    """What a start may say.

    Attributes:
        id: the workflow's; unique in the namespace. By default a new one.
        queue: the workers' queue, by default "default".
        ttl: how long result and record are kept after the end, and hooks accepted; by default about a second.
        retry: how often a failed run of the function is repeated; by default as its worker says, else not.
        state: fields its record begins with.
        hookable: False refuses hooks.
        conflict: when the id is taken: "fail", the default, raises JobExists; "attach" gives a handle on the one there;
            "restart" runs it anew if it is over, and raises JobExists while it lives.
        pending: only reserve the id, for so long; `handle.resume()` starts it.
        delay: start it so much later.
        timeout: it fails, with code 596, if it has not ended so long after its begin; its children end with it.
        priority: "high", "normal" or "low": who goes first where starts of this workflow wait for a worker.
    """

    id: str | None
    queue: str
    ttl: Duration | None
    retry: RetryPolicy | None
    state: Mapping[str, Any] | None
    hookable: bool | None
    conflict: Conflict
    pending: Duration | None
    delay: Duration | None
    timeout: Duration | None
    priority: Priority | None


class Client:
    """Starts workflows, awaits them, signals and hooks them.

    It connects at its first use; close it, or use it as `async with MeshFlow.Client(url) as client:`.

    Args:
        url: as for `MeshData`; or a MeshData to share its connection.
        namespace: that of the workers; by default "meshdata".
        name: what this process is called in lists and logs.
        partitions: see `MeshData`.
    """

    def __init__(
        self,
        url: Address = None,
        *,
        namespace: str | None = None,
        name: str | None = None,
        partitions: int | None = None,
    ) -> None:
        self._opening = Opening(url, namespace=namespace, name=name, partitions=partitions)
        self.mesh = self._opening.mesh

    async def __aenter__(self) -> "Client":
        await self._opening.opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect. Workflows go on."""
        await self._opening.close()

    # --- starting -----------------------------------------------------------------------------------------------------

    @overload
    async def start(
        self,
        workflow: Callable[..., Coroutine[Any, Any, R]],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(
        self,
        workflow: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[Any]: ...
    @overload
    async def start(
        self,
        workflow: Callable[..., R],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[R]: ...
    async def start(
        self,
        workflow: Workflow,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[Any]:
        """Start a workflow; a worker of the queue runs it, now or when there is one.

        Args:
            workflow: the function, or its name where it is not at hand. `options` is the form that also checks the
                types of the arguments.
            args, kwargs: its arguments; values pydantic can turn into JSON.
            options: see `StartOptions`.

        Raises:
            JobExists: the id is taken. InvalidOptions: an argument is wrong; nothing was written.
        """
        unknown = options.keys() - StartOptions.__annotations__.keys()
        if unknown:
            refuse_unknown("start", dict.fromkeys(sorted(unknown)), StartOptions.__annotations__)
        queue = options.get("queue", DEFAULT_QUEUE)
        name, served = called(workflow, queue)
        id = options.get("id")
        mesh = await self._opening.opened()
        start = mesh.caller.start_of(
            FLOW, args, kwargs, served, name=name, id=mint_id() if id is None else id, ttl=options.get("ttl"),
            state=options.get("state"), hookable=options.get("hookable"), retry=options.get("retry"),
            conflict=options.get("conflict", "fail"), pending=options.get("pending"), delay=options.get("delay"),
            limit=options.get("timeout"), priority=options.get("priority"),
        )  # fmt: skip
        start.queue = queue
        begun = await mesh.caller.begin(start)
        id = start.job.partition(":")[2]
        handle = Handle[Any](mesh, mesh.engine, FLOW, id, served.decode, begun=begun)
        return WorkflowHandle(self._opening, id, served.decode, handle)

    @overload
    async def execute(
        self,
        workflow: Callable[..., Coroutine[Any, Any, R]],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> R: ...
    @overload
    async def execute(
        self,
        workflow: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> Any: ...
    @overload
    async def execute(
        self,
        workflow: Callable[..., R],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> R: ...
    async def execute(
        self,
        workflow: Workflow,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[StartOptions],
    ) -> Any:
        """Start a workflow and await its result; see `start`."""
        return await (await self.start(workflow, args, kwargs, **options))

    @overload
    def options(
        self, workflow: Callable[P, Coroutine[Any, Any, R]], **options: Unpack[StartOptions]
    ) -> "Starter[P, R]": ...
    @overload
    def options(self, workflow: Callable[P, R], **options: Unpack[StartOptions]) -> "Starter[P, R]": ...
    def options(self, workflow: Callable[..., Any], **options: Unpack[StartOptions]) -> "Starter[..., Any]":
        """A start whose arguments are typed: `await client.options(order, id="o-1").start("tea", 2)`."""
        return Starter(self, workflow, options)

    # --- acting -------------------------------------------------------------------------------------------------------

    @overload
    def handle(
        self, id: str, *, workflow: Callable[..., Coroutine[Any, Any, R]], queue: str = DEFAULT_QUEUE
    ) -> WorkflowHandle[R]: ...
    @overload
    def handle(
        self, id: str, *, workflow: Callable[..., R], queue: str = DEFAULT_QUEUE
    ) -> WorkflowHandle[R]: ...  # fmt: skip
    @overload
    def handle(
        self, id: str, *, workflow: str | None = None, queue: str = DEFAULT_QUEUE
    ) -> WorkflowHandle[Any]: ...  # fmt: skip
    def handle(
        self, id: str, *, workflow: Callable[..., Any] | str | None = None, queue: str = DEFAULT_QUEUE
    ) -> WorkflowHandle[Any]:
        """A handle on a workflow, which may or may not exist; its id is enough.

        Args:
            workflow: its function gives the result its type.
            queue: not needed to find it; checked all the same.
        """
        job_of(FLOW, id)
        _, served = called(FLOW if workflow is None else workflow, queue)
        return WorkflowHandle(self._opening, id, served.decode)

    async def signal(self, key: str, payload: Any = None, *, id: str | None = None) -> bool:
        """See `MeshData.signal`."""
        return await (await self._opening.opened()).signal(key, payload, id=id)

    async def hook(
        self,
        id: str,
        *,
        workflow: Callable[..., Any] | str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        queue: str = DEFAULT_QUEUE,
        retry: RetryPolicy | None = None,
    ) -> HookHandle:
        """Run a further function on a living workflow, sharing its record; a worker of the queue serves it.

        Args:
            id: the workflow's.
            workflow: the hook's function, or its name.

        Returns:
            A handle; await it for what the hook returned.

        Raises:
            JobNotFound: there is no such workflow. JobError: it takes no hooks, or no more.
        """
        return await self.handle(id).hook(workflow, args, kwargs, queue=queue, retry=retry)


class Starter(Generic[P, R]):
    """A workflow with the options of its start; its arguments are those of the function."""

    def __init__(self, client: Client, workflow: Callable[..., Any], options: StartOptions) -> None:
        self._client = client
        self._workflow = workflow
        self._options = options

    async def start(self, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]:
        """See `Client.start`."""
        return await self._client.start(self._workflow, args, kwargs, **self._options)

    async def execute(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Start it and await its result."""
        result: R = await (await self.start(*args, **kwargs))
        return result
