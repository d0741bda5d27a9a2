"""The door to calls: serve a function under a topic, call it from any process, keep and flush its answers."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from meshdata.call.kept import AUTO, CallOptions, auto_id
from meshdata.engine.limits import RateLimit
from meshdata.errors import InvalidOptions
from meshdata.meshcall.cron import CronVerbs
from meshdata.meshcall.topic import Topic
from meshdata.opening import Address, Opening
from meshdata.values import Duration

P = ParamSpec("P")
R = TypeVar("R")


class MeshCall(CronVerbs):
    """Calls functions in other processes, and serves them.

    It connects at its first use; close it, or use it as `async with MeshCall(url) as call:`. A topic is a name like an
    entity's: what `MeshData` has connected can be called as well.

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

    # --- serving ------------------------------------------------------------------------------------------------------

    @overload
    async def connect(
        self, topic: str, fn: Callable[P, Coroutine[Any, Any, R]], *, concurrency: int | None = None,
        rate: str | RateLimit | None = None, limit: int | None = None, key: Callable[P, Any] | None = None,
    ) -> Topic[P, R]: ...  # fmt: skip
    @overload
    async def connect(
        self, topic: str, fn: Callable[P, R], *, concurrency: int | None = None,
        rate: str | RateLimit | None = None, limit: int | None = None, key: Callable[P, Any] | None = None,
    ) -> Topic[P, R]: ...  # fmt: skip
    async def connect(
        self, topic: str, fn: Callable[..., Any], *, concurrency: int | None = None,
        rate: str | RateLimit | None = None, limit: int | None = None, key: Callable[..., Any] | None = None,
    ) -> Topic[..., Any]:  # fmt: skip
        """Serve a function under a topic; when this returns, it is served.

        Args:
            fn: sync or async; arguments and result are converted by its annotations. It may run again after a crash.
            concurrency: how many calls of it this process works on at once; by default as many as of all.
            rate, limit, key: see `MeshData.connect`. Calls of a topic with limits are jobs: they wait for their turn in
                the store.

        Returns:
            The topic, to call like the function: `await add(1, 2)`.
        """
        mesh = await self._opening.opened()
        await mesh.connect(topic, fn, concurrency=concurrency, rate=rate, limit=limit, key=key)
        return Topic(topic, self.exec)

    def function(
        self, topic: str, *, concurrency: int | None = None, rate: str | RateLimit | None = None,
        limit: int | None = None, key: Callable[..., Any] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:  # fmt: skip
        """The decorator form of `connect`: `@call.function("math.add")`; served once it is open."""

        def connect(fn: Callable[P, R]) -> Callable[P, R]:
            self.mesh.connect(topic, fn, concurrency=concurrency, rate=rate, limit=limit, key=key)
            return fn

        return connect

    # --- calling ------------------------------------------------------------------------------------------------------

    async def exec(
        self,
        topic: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Call the function served under a topic, in whatever process serves it.

        Without an id it is run, answered and forgotten. With one, callers share one run, and its answer is kept for
        the ttl.

        Args:
            args, kwargs: its arguments; values pydantic can turn into JSON.
            options: see `CallOptions`: id, ttl, stale, failure_ttl, tags, flush, retry_failed, timeout, stay,
                near_cache, priority, limit_key.

        Raises:
            InvalidOptions: an argument is wrong; nothing was written.
            NotConnected: nobody serves the topic; the call was taken back. MeshTimeout: no answer in time.
            JobFailed: the function raised; type, message, code and remote traceback are on it.
        """
        mesh = await self._opening.opened()
        served = mesh.registry.served(topic)
        id = options.get("id")
        if id is not None and options.get("near_cache") and not (options.get("flush") or options.get("retry_failed")):
            near = mesh.calls.near_answer(topic, auto_id(topic, args, kwargs) if id == AUTO else id, served)
            if near is not None:
                return near[0]
        return await mesh.calls.exec(topic, args, kwargs, served, **options)

    async def flush(self, topic: str | None = None, *, id: str | None = None, tag: str | None = None) -> bool:
        """Forget the answer of an id, or those of a group; True if there was any.

        Whoever awaits a run that has begun before gets its answer, which is not kept.

        Args:
            topic, id: of one answer; see `id_of` for the id of certain arguments.
            tag: of a group, whatever the topics; no answer of it is given after this.
        """
        mesh = await self._opening.opened()
        if tag is not None:
            if topic is not None or id is not None:
                raise InvalidOptions("it names the answers itself; leave topic and id out", argument="tag")
            return await mesh.calls.forget_tag(tag)
        if topic is None or id is None:
            raise InvalidOptions("say which answer: a topic and an id, or a tag", argument="topic" if id else "id")
        return await mesh.calls.forget(topic, id)

    @staticmethod
    def id_of(topic: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> str:
        """The id that `id="auto"` gives a call with these arguments."""
        return auto_id(topic, args, kwargs)

    async def interrupt(self, topic: str, *, id: str, reason: str | None = None) -> bool:
        """End the schedule of an id, or the call that is under way for it. True if there was one.

        Those who await the call get JobInterrupted. One nobody has begun is not begun; a coroutine function that runs
        is cancelled, one in a thread runs on, and what either returns is dropped.
        """
        mesh = await self._opening.opened()
        return await mesh.unschedule(topic, id) or await mesh.calls.interrupt(topic, id, reason)
