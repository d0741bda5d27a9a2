"""Activities: functions with side effects. They may run again after a crash; their outcome is recorded once.

Inside a workflow a call of one is durable: done here, in the worker's process, or by another worker when it names a
queue. Outside a workflow it is a plain call.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, Self, TypedDict, TypeVar, Unpack, overload

from meshdata.engine.policy import ONCE, RetryPolicy
from meshdata.errors import InvalidOptions, StoreError
from meshdata.store.store import Store
from meshdata.telemetry import get_logger
from meshdata.values import Duration, check_entity, check_key, duration_ms, from_json, to_json
from meshdata.workflow.attempt import ActivityInfo, Limits, Pulse, attempt_once, info
from meshdata.workflow.call import Call, durable, failure_as_value
from meshdata.workflow.context import outside, running
from meshdata.workflow.function import Function, InThread
from meshdata.workflow.interceptor import Execution, Interceptor, around
from meshdata.workflow.runner import Run

logger = get_logger(__name__)

LONG_QUEUED_MS: Final = 1_000
"""After so long in its queue an activity is begun only if somebody awaits it still."""

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class Activity(Generic[P, R]):
    """A function whose calls inside a workflow are recorded. Made by `@activity` and `proxy_activities`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        retry: RetryPolicy | None = None,
        queue: str | None = None,
        timeout: Duration | None = None,
        deadline: Duration | None = None,
        heartbeat: Duration | None = None,
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
        self.timeout_s = _seconds(timeout, "timeout")
        self.heartbeat_s = _seconds(heartbeat, "heartbeat")
        self.deadline_ms = None if deadline is None else duration_ms(deadline, argument="deadline") or 0
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

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self: "Activity[Concatenate[S, Q], R]", instance: S, owner: type | None = None
    ) -> Callable[Q, Coroutine[Any, Any, R]]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self.__call__, instance)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        if running() is None:
            plain: Any = self.function.fn(*args, **kwargs)  # of a plain function its value, not a coroutine
            return plain  # type: ignore[no-any-return]  # see above
        self.function.bind(args, kwargs)
        call = self._on_queue(args, kwargs) if self.queue is not None else self._here(args, kwargs)
        return call if self.retry.throw_on_error else failure_as_value(call)

    def _decode(self, payload: bytes) -> Any:
        return self.function.result(from_json(payload))

    # --- on another worker --------------------------------------------------------------------------------------------

    def _on_queue(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        said: dict[str, Any] = {"a": list(args), "k": kwargs, "t": self.timeout_s}
        if self.retry is not ONCE:
            said["r"] = self.retry.to_data()
        if self.heartbeat_s is not None:
            said["h"] = self.heartbeat_s
        if self.deadline_ms is not None:
            said["d"] = self.deadline_ms
        body = to_json(said, argument="args")

        def live(run: Run, call: Call) -> None:
            asked = body[:-1] + b',"n":%d}' % (call.attempts + 1)
            # The deadline is a timer of the store: it comes whether or not anybody serves the queue.
            left = self.deadline_ms
            if left is not None and call.first_ms is not None:
                left = max(0, left - (run.now_ms - call.first_ms))
            run.write("call", call.position, self.name, self.topic, asked, *([] if left is None else [left]))

        return durable(self.name, "activity", self.name, live, decode=self._decode)

    # --- here ---------------------------------------------------------------------------------------------------------

    def _here(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        live = functools.partial(self._begin, args, kwargs, outside())
        return durable(self.name, "activity", self.name, live, decode=self._decode, inline=True)

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any], context: Context, run: Run, call: Call) -> None:
        run.begin_inline()
        if self.deadline_ms is not None and call.first_ms is None:
            run.note_begin(call)  # whoever goes on with the run counts from here too
        call.task = run.host.spawn(self._attempt(args, kwargs, run, call), context)

    async def _attempt(self, args: tuple[Any, ...], kwargs: dict[str, Any], run: Run, call: Call) -> None:
        try:
            function, host = self.function, run.host
            limits = Limits(self.timeout_s, self.heartbeat_s, await self._left_s(run, call))
            pulse = Pulse(functools.partial(run.beat, call))
            told = run.beats.get(call.position)
            about = ActivityInfo(
                run.job, self.name, call.attempts + 1, _key(run.name, call.position),
                None if told is None else from_json(told), pulse.beat,
            )  # fmt: skip
            work = _execution(function, about, run.dimension, args, kwargs, host.in_thread, host.interceptors)
            code, payload, pause = await attempt_once(work, about, retry=self.retry, limits=limits, pulse=pulse)
            if code == "try":
                pulse.flush()
                run.try_again(call, payload, pause)
            else:
                run.record(call, code, payload)
        finally:
            run.end_inline()

    async def _left_s(self, run: Run, call: Call) -> float | None:
        """How long the call has until its deadline."""
        if self.deadline_ms is None:
            return None
        if call.first_ms is None:
            return self.deadline_ms / 1000
        passed = await run.host.store.time_ms(run.partition) - call.first_ms
        return (self.deadline_ms - passed) / 1000


def _seconds(value: Duration | None, argument: str) -> float | None:
    return None if value is None else (duration_ms(value, argument=argument) or 0) / 1000


def activity_topic(queue: str, name: str) -> str:
    """Where the workers of a queue find an activity's work."""
    return f"{queue}/{name}"


def _key(run: str, position: str) -> str:
    dimension, _, job = run.partition(" ")
    return f"{job}/{dimension}/{position}"


def _execution(
    function: Function,
    about: ActivityInfo,
    dimension: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    in_thread: InThread,
    interceptors: Sequence[Interceptor],
) -> Callable[[], Coroutine[Any, Any, Any]]:
    """What one attempt does."""
    if not interceptors:
        return functools.partial(function.run, in_thread, args, kwargs)
    call = Execution(function.name, about.job_id, dimension, about.attempt, args, kwargs)

    async def run() -> Any:
        return await around(
            interceptors, "activity", call, lambda call: function.run(in_thread, call.args, call.kwargs)
        )

    return run


async def attempt_for_another(
    store: Store,
    function: Function,
    run: str,
    position: str,
    body: bytes,
    in_thread: InThread,
    interceptors: Sequence[Interceptor] = (),
    *,
    queued_ms: float = 0,
) -> tuple[str, bytes, int]:
    """Run an activity that a workflow elsewhere asked for, as its message has it; see `attempt_once`.

    Args:
        queued_ms: how long the message lay in its queue. Whether the outcome is still awaited is asked of one that was
            there for a while: of each it would cost a command, and a fifth of the time an activity takes.
    """
    said = from_json(body)
    attempt, heartbeat_s = said["n"], said.get("h")
    beats = _BeatsForAnother(store, run, position)

    async def work() -> Any:
        args, kwargs = function.arguments(list(said["a"]), said["k"])
        return await _execution(function, about, run.partition(" ")[0], args, kwargs, in_thread, interceptors)()

    if ("d" in said or queued_ms >= LONG_QUEUED_MS) and not await store.is_awaited(run, position):
        return "err", b"null", 0  # it was asked for too long ago, or its job is over
    # One that has to tell how it gets on may have told it before, in a process that died.
    told = await store.last_heartbeat(run, position) if attempt > 1 or heartbeat_s is not None else None
    about = ActivityInfo(
        run.partition(" ")[2], function.name, attempt, _key(run, position),
        None if told is None else from_json(told), beats.pulse.beat,
    )  # fmt: skip
    try:
        outcome = await attempt_once(
            work, about, retry=RetryPolicy.from_data(said.get("r")), limits=Limits(said["t"], heartbeat_s),
            pulse=beats.pulse,
        )  # fmt: skip
        if outcome[0] == "try":
            beats.pulse.flush()
        return outcome
    except asyncio.CancelledError:
        if not beats.is_unwanted or beats.task.uncancel():
            raise
        return "err", b"null", 0
    finally:
        await asyncio.gather(*beats.writing)


class _BeatsForAnother:
    """Writes what an activity tells on behalf of a run elsewhere, and ends it when that has no use for it any more."""

    def __init__(self, store: Store, run: str, position: str) -> None:
        self.pulse = Pulse(self._begin)
        self.task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # there is one: it runs this
        self.writing: set[asyncio.Task[None]] = set()
        self.is_unwanted = False
        self._store, self._run, self._position = store, run, position

    def _begin(self, details: bytes) -> None:
        task = asyncio.create_task(self._write(details))
        self.writing.add(task)
        task.add_done_callback(self.writing.discard)

    async def _write(self, details: bytes) -> None:
        try:
            is_kept = await self._store.heartbeat(self._run, self._position, details)
        except StoreError:
            logger.warning("a heartbeat could not be written", exc_info=True, extra={"run": self._run})
            return
        if not is_kept and not self.pulse.is_over:
            self.is_unwanted = True
            self.pulse.end()
            self.task.cancel()


class Options(TypedDict, total=False):
    """What a call of an activity may be told.

    Attributes:
        retry: how often a failed run is repeated; by default it is not.
        queue: the queue whose workers run it; by default the worker of the workflow does.
        timeout: how long one attempt may take.
        deadline: how long all attempts may take together, with the pauses between them, counted from the first; it
            goes on counting when another process takes the job over.
        heartbeat: how long an attempt may be silent; see `activity.info().heartbeat`.
        name: what the journal calls it; by default the function's name.
    """

    retry: RetryPolicy | None
    queue: str | None
    timeout: Duration | None
    deadline: Duration | None
    heartbeat: Duration | None
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
        return info()


activity: Final = ActivityDecorator()


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
