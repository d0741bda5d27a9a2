"""Calls of methods from outside every workflow: a start of the object's job, or a hook on it."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from meshdata.call.caller import Served, served_of
from meshdata.call.handle import Handle, HookHandle
from meshdata.call.options import check_flags, job_of, refuse_unknown, seconds
from meshdata.errors import InvalidOptions, JobExists
from meshdata.mesh import MeshData
from meshdata.store.messages import StartJob
from meshdata.values import Duration, mint_id
from meshdata.workflow.method import CallOptions, Method

T = TypeVar("T")

FLAGS: Final = ("flush", "retry_failed", "hookable")


class Calls:
    """The methods of one object on a mesh.

    Args:
        version: of its class.
        ttl: of its class.
        is_alone: whether its class has one workflow method: the job there is, if any, can only be of that one.
    """

    def __init__(
        self, mesh: MeshData, entity: str, id: str, *, version: str, ttl: Duration | None, is_alone: bool
    ) -> None:
        self._mesh = mesh
        self._entity = entity
        self._id = id
        self._version = version
        self._ttl = ttl
        self._is_alone = is_alone

    async def run(
        self, method: Method[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Run a workflow method, or join the run there is, and give what it returns.

        Raises:
            JobExists: the object's job is a run of another method.
        """
        if options.get("pending") is not None:
            raise InvalidOptions("what is only reserved has no result yet; call .start(...)", argument="pending")
        timeout = options.get("timeout")
        seconds(timeout, argument="timeout")
        start, served = self._start(method, args, kwargs, options)
        return await self._started(start, lambda: self._mesh.caller.exec(start, served, timeout))

    async def begin(
        self, method: Method[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Handle[Any]:
        """Start a workflow method, or join the run there is: a handle; see `run`."""
        start, served = self._start(method, args, kwargs, options)
        begun = await self._started(start, lambda: self._mesh.caller.begin(start))
        return Handle(self._mesh, self._mesh.engine, self._entity, self._id, served.decode, begun=begun)

    async def hook(
        self, method: Method[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> HookHandle:
        """Run a hook method on the object's job.

        Raises:
            JobNotFound: it has none. JobError: it takes no hooks, or no more.
        """
        served = served_of(method, None)
        job = job_of(self._entity, self._id)
        return await self._mesh.caller.hook(job, method.home.name, args, kwargs, served, retry=options.get("retry"))

    def _start(
        self, method: Method[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[StartJob, Served]:
        known = [name for name in CallOptions.__annotations__ if name != "parent_close"]
        refuse_unknown(repr(method), {name: value for name, value in options.items() if name not in known}, known)
        check_flags(**{name: options.get(name) for name in FLAGS})
        served = served_of(method, self._ttl)
        given = {name: value for name, value in options.items() if name != "timeout"}
        start = self._mesh.caller.start_of(
            self._entity, args, kwargs, served, **{"id": self._id, "ttl": None, "name": method.home.name, **given}
        )
        start.queue = self._version
        return start, served

    async def _started(self, start: StartJob, go: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Start a job, or join one of the same method: what another method returns is no answer of this one."""
        if self._is_alone or start.policy != "attach":
            return await go()
        if not await self._is_begun(start):
            start.policy, start.token = "fail", mint_id()
            try:
                return await go()
            except JobExists:  # somebody began it meanwhile
                await self._is_begun(start)
                start.policy, start.token = "attach", ""
        return await go()

    async def _is_begun(self, start: StartJob) -> bool:
        header = await self._mesh.store.header(f"0 {start.job}")
        name = header.get("topic", b"").decode().rpartition("/")[2]
        if name and name != start.name:
            raise JobExists(
                f"{start.job} is a run of {name}, and an id stands for one job; call {start.name} with another id, "
                "or flush this one",
                job_id=start.job,
            )
        return bool(name)
