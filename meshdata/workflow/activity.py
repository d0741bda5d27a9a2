"""Activities: functions with side effects. They may run again after a crash; their outcome is recorded once.

Inside a workflow a call of one is durable: done here, in the worker's process, or by another worker when it names a
queue. Outside a workflow it is a plain call.
"""

import asyncio
import functools
import random
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, overload

from meshdata.engine.policy import ONCE, RetryPolicy, is_final
from meshdata.errors import (
    CODE_EXHAUSTED,
    CODE_FATAL,
    Fatal,
    InvalidOptions,
    MeshTimeout,
    NotInWorkflow,
    failure_payload,
)
from meshdata.values import Duration, check_entity, check_key, duration_ms, from_json, to_json
from meshdata.workflow.call import Call, durable
from meshdata.workflow.context import running
from meshdata.workflow.function import Function, InThread
from meshdata.workflow.runner import Run

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ActivityInfo:
    """What an activity may know of the call it serves.

    Attributes:
        job_id: "<entity>:<id>" of the workflow that called it.
        attempt: 1 for the first run.
        idempotency_key: the same for every run of this call; give it to services that know duplicates by such a key.
    """

    job_id: str
    name: str
    attempt: int
    idempotency_key: str


_info: ContextVar[ActivityInfo | None] = ContextVar("meshdata_activity", default=None)


class Activity(Generic[P, R]):
    """A function whose calls inside a workflow are recorded. Made by `@activity` and `proxy_activities`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        retry: RetryPolicy | None = None,
        queue: str | None = None,
        timeout: Duration | None = None,
        name: str | None = None,
    ) -> None:
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise InvalidOptions(f"retry is a RetryPolicy; got {type(retry).__name__}", argument="retry")
        self.function = Function(fn, name)
        check_key(self.function.name, argument="name")
        if queue is not None:
            check_entity(queue, argument="queue")
        self.retry = retry or ONCE
        self.queue = queue
        self.timeout_s = None if timeout is None else (duration_ms(timeout, argument="timeout") or 0) / 1000
        functools.update_wrapper(self, fn)

    @property
    def name(self) -> str:
        """What the journal calls it."""
        return self.function.name

    @property
    def topic(self) -> str:
        """Where a worker serves it, if it names a queue."""
        return activity_topic(self.queue or "", self.name)

    def __repr__(self) -> str:
        return f"<activity {self.name}>"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self.__call__, instance)  # type: ignore[arg-type]  # P begins with self here

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        if running() is None:
            plain: Any = self.function.fn(*args, **kwargs)  # of a plain function its value, not a coroutine
            return plain  # type: ignore[no-any-return]
        self.function.bind(args, kwargs)
        if self.queue is not None:
            return self._on_queue(args, kwargs)
        live = functools.partial(self._begin, args, kwargs)
        return durable(self.name, "activity", self.name, live, decode=self._decode, inline=True)

    def _decode(self, payload: bytes) -> Any:
        return self.function.result(from_json(payload))

    # --- on another worker --------------------------------------------------------------------------------------------

    def _on_queue(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        said: dict[str, Any] = {"a": list(args), "k": kwargs, "t": self.timeout_s}
        if self.retry is not ONCE:
            said["r"] = self.retry.to_data()
        body = to_json(said, argument="args")

        def live(run: Run, call: Call) -> None:
            run.write("call", call.position, self.name, self.topic, body[:-1] + b',"n":%d}' % (call.attempts + 1))

        return durable(self.name, "activity", self.name, live, decode=self._decode)

    # --- here ---------------------------------------------------------------------------------------------------------

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], run: Run, call: Call) -> None:
        run.begin_inline()
        call.task = run.host.spawn(self._attempt(args, kwargs, run, call))

    async def _attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any], run: Run, call: Call) -> None:
        try:
            work = functools.partial(self.function.run, run.host.in_thread, args, kwargs)
            code, payload, delay = await attempt_once(
                work, ActivityInfo(run.job, self.name, call.attempts + 1, _key(run.name, call.position)),
                retry=self.retry, timeout_s=self.timeout_s,
            )  # fmt: skip
            if code == "try":
                run.try_again(call, payload, delay)
            else:
                run.record(call, code, payload)
        finally:
            run.end_inline()


def activity_topic(queue: str, name: str) -> str:
    """Where the workers of a queue find an activity's work."""
    return f"{queue}/{name}"


def _key(run: str, position: str) -> str:
    dimension, _, job = run.partition(" ")
    return f"{job}/{dimension}/{position}"


async def attempt_once(
    work: Callable[[], Coroutine[Any, Any, Any]], about: ActivityInfo, *, retry: RetryPolicy, timeout_s: float | None
) -> tuple[str, bytes, int]:
    """Run an activity's function once.

    Returns:
        What the journal gets: the code (ok, err, or try if it failed and is to be tried again), the result or the error
        as JSON, and for try the pause in ms.
    """
    token = _info.set(about)
    try:
        return "ok", to_json(await _within(work, about, timeout_s), argument="result"), 0
    except Exception as error:
        attempt, code = about.attempt, None
        if retry.grants(attempt, error):
            payload = to_json(failure_payload(error, attempts=attempt), argument="error")
            return "try", payload, retry.delay_ms(attempt, dice=random.random)
        if isinstance(error, Fatal):
            code = CODE_FATAL
        elif retry is not ONCE and not is_final(error) and attempt == retry.max_attempts:
            code = CODE_EXHAUSTED
        return "err", to_json(failure_payload(error, code=code, attempts=attempt), argument="error"), 0
    finally:
        _info.reset(token)


async def _within(work: Callable[[], Coroutine[Any, Any, Any]], about: ActivityInfo, timeout_s: float | None) -> Any:
    if timeout_s is None:
        return await work()
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return await work()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise MeshTimeout(f"activity {about.name} took longer than {timeout_s:g} s", job_id=about.job_id) from error


async def attempt_for_another(
    function: Function, run: str, position: str, body: bytes, in_thread: InThread
) -> tuple[str, bytes, int]:
    """Run an activity that a workflow elsewhere asked for, as its message has it; see `attempt_once`."""
    said = from_json(body)

    async def work() -> Any:
        args, kwargs = function.arguments(list(said["a"]), said["k"])
        return await function.run(in_thread, args, kwargs)

    about = ActivityInfo(run.partition(" ")[2], function.name, said["n"], _key(run, position))
    return await attempt_once(work, about, retry=RetryPolicy.from_data(said.get("r")), timeout_s=said["t"])


class Options(TypedDict, total=False):
    """What a call of an activity may be told.

    Attributes:
        retry: how often a failed run is repeated; by default it is not.
        queue: the queue whose workers run it; by default the worker of the workflow does.
        timeout: how long one attempt may take.
        name: what the journal calls it; by default the function's name.
    """

    retry: RetryPolicy | None
    queue: str | None
    timeout: Duration | None
    name: str | None


class Decorates(Protocol):
    """A decorator that keeps the types of a function."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Activity[P, R]: ...


class ActivityDecorator:
    """Makes functions activities: `@activity`, or `@activity(retry=...)` with what `Options` lists."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Activity[P, R]: ...
    @overload
    def __call__(self, /, **options: Unpack[Options]) -> Decorates: ...
    def __call__(self, fn: Callable[..., Any] | None = None, /, **options: Unpack[Options]) -> Any:
        if fn is not None:
            return Activity[..., Any](fn, **options)
        return lambda function: Activity(function, **options)

    @staticmethod
    def info() -> ActivityInfo:
        """About the running activity.

        Raises:
            NotInWorkflow: no activity is running.
        """
        found = _info.get()
        if found is None:
            raise NotInWorkflow("activity.info()")
        return found


activity: Final = ActivityDecorator()
info = activity.info


@overload
def proxy(fn: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[Options]) -> Activity[P, R]: ...
@overload
def proxy(fn: Callable[P, R], /, **options: Unpack[Options]) -> Activity[P, R]: ...
def proxy(fn: Callable[..., Any], /, **options: Unpack[Options]) -> Any:
    """One function as an activity, with its types: `charge = proxy(billing.charge, queue="billing")`.

    A function decorated by `@activity` is wrapped anew with these options.
    """
    return Activity[..., Any](fn.function.fn if isinstance(fn, Activity) else fn, **options)


class Proxies:
    """A namespace of activities, by the names of their functions."""

    def __init__(self, activities: dict[str, Activity[..., Any]]) -> None:
        self.__dict__.update(activities)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        raise AttributeError(f"no activity {name!r} here; there are: {', '.join(self.__dict__) or 'none'}")


def proxy_activities(*functions: Callable[..., Any], **options: Unpack[Options]) -> Any:
    """Plain functions as activities: `acts = proxy_activities(greet, retry=...)`, then `await acts.greet("you")`.

    Several functions share the options; a function decorated by `@activity` is wrapped anew with them.
    """
    if not functions:
        raise InvalidOptions("name at least one function", argument="functions")
    made: dict[str, Activity[..., Any]] = {}
    for fn in functions:
        one: Activity[..., Any] = proxy(fn, **options)
        made[one.name] = one
    return Proxies(made)
