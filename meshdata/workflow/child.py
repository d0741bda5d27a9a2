"""Other jobs from inside a workflow: children, hooks, interrupts. Each has its effect once, together with its entry."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, Unpack, overload

from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions, JobError, JobInterrupted
from meshdata.store.messages import StartJob
from meshdata.values import Duration, check_entity, check_id, duration_ms, from_json, to_json
from meshdata.workflow.call import Call, durable, failure_as_value
from meshdata.workflow.context import current_path, current_run
from meshdata.workflow.function import Function
from meshdata.workflow.home import Home, topic_of
from meshdata.workflow.request import check_reason, end_from_outside
from meshdata.workflow.runner import Run
from meshdata.workflow.starting import (
    CHILD_CONFLICTS,
    ChildOptions,
    ParentClose,
    check_child_options,
    check_conflict,
    check_parent_close,
    delay_of,
)

R = TypeVar("R")
Target = str | Callable[..., Any] | Home


def start_body(
    args: Sequence[Any], kwargs: Mapping[str, Any] | None, retry: RetryPolicy | None, origin: str = ""
) -> bytes:
    """A run's journal entry 0: arguments, retry policy, and the job at the root of its tree.

    Raises:
        InvalidOptions: one of them is not of its kind, or cannot be sent.
    """
    body: dict[str, Any] = {"a": check_args(args)}
    if kwargs is not None and check_kwargs(kwargs):
        body["k"] = dict(kwargs)
    if retry is not None:
        body["r"] = check_retry(retry).to_data()
    if origin:
        body["o"] = origin
    try:
        return to_json(body, argument="args")
    except InvalidOptions:
        # Say which argument it was, by the name the caller knows.
        to_json(list(args), argument="args")
        to_json(dict(kwargs or {}), argument="kwargs")
        raise


def check_args(args: Any) -> list[Any] | tuple[Any, ...]:
    """Positional arguments come as a list or tuple; a bare text would be taken apart into letters."""
    if isinstance(args, list | tuple):
        return args
    raise InvalidOptions(f"args is a list of positional arguments; got {type(args).__name__}", argument="args")


def check_kwargs(kwargs: Any) -> Mapping[str, Any]:
    """Named arguments come as a mapping from their names."""
    if not isinstance(kwargs, Mapping):
        raise InvalidOptions(f"kwargs is a mapping; got {type(kwargs).__name__}", argument="kwargs")
    for name in kwargs:
        if not isinstance(name, str):
            raise InvalidOptions(f"the name of an argument is a text; got {name!r}", argument="kwargs")
    return kwargs


def check_retry(retry: Any) -> RetryPolicy:
    """Only a policy is one."""
    if isinstance(retry, RetryPolicy):
        return retry
    raise InvalidOptions(f"a RetryPolicy is needed; got {type(retry).__name__}", argument="retry")


def ttl_text(ttl: Duration | None) -> str:
    """A ttl as the scripts take it: ms, 'inf', or '' for none.

    Raises:
        InvalidOptions: no duration, or one of nothing.
    """
    if ttl is None:
        return ""
    ms = duration_ms(ttl, argument="ttl", infinity=True)
    if ms == 0:
        raise InvalidOptions("a ttl of 0 keeps nothing; leave ttl out", argument="ttl")
    return "inf" if ms is None else str(ms)


def home_of(target: Target, run: Run, queue: str | None = None, *, argument: str = "target") -> Home:
    """Where calls of a target go: a name, something that has one, a function, or a method that knows its home."""
    placed = target if isinstance(target, Home) else getattr(target, "home", None)
    if isinstance(placed, Home):
        return placed if queue is None else replace(placed, topic=topic_of(placed.name, queue))
    service = run.service
    return run.host.homes.find(target, caller=service.home, caller_queue=service.queue, queue=queue, argument=argument)


def _fitting(function: Function | None, args: Sequence[Any], kwargs: Mapping[str, Any] | None, body: bytes) -> bytes:
    """The body of a call whose arguments fit the function, where that is known."""
    if function is not None:
        function.bind(args, kwargs or {})
        function.check_arguments(body)
    return body


def _child(
    verb: str,
    kind: str,
    target: Target,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    options: ChildOptions,
    parent_close: ParentClose,
) -> Coroutine[Any, Any, Any]:
    check_child_options(verb, options)
    id, queue, ttl = options.get("id"), options.get("queue"), options.get("ttl")
    retry, state = options.get("retry"), options.get("state")
    conflict, delay = options.get("conflict"), options.get("delay")
    parent_close = options.get("parent_close", parent_close)
    run = current_run(verb)
    check_parent_close(parent_close)
    home = home_of(target, run, queue)
    entity = home.entity
    position = f"{current_path().text}:{current_path().calls + 1}"
    policy = "own" if conflict is None and id is None else check_conflict(conflict or "fail", CHILD_CONFLICTS)
    if id is None:
        # The parent and the place in it: the same on every replay, and nobody else's.
        suffix = position if run.dimension == "0" else f"{run.dimension}.{position}"
        id = f"{run.job.replace(':', '.', 1)}/{suffix}"
    job = f"{entity}:{check_id(id)}"
    start = StartJob(
        job=job,
        topic=home.topic,
        body=_fitting(home.function, args, kwargs, start_body(args, kwargs, retry, run.origin)),
        name=home.name,
        ttl=ttl_text(ttl),
        record=True,
        policy=policy,
        parent="@",
        awaited=kind == "child",
        answer=to_json(id, argument="id"),
        origin=run.origin,
        queue=queue or "",
        delay_ms=delay_of(delay),
        seeds=() if state is None else run.host.seeds(entity, state),
    )

    def live(run: Run, call: Call) -> None:
        partition = run.host.store.keys.partition(job)
        run.write("child", parent_close, call.position, kind, partition, job, "start", *start.spec(""))

    call = durable(verb, kind, job, live, decode=home.decode if kind == "child" else from_json)
    return call if retry is None or retry.throw_on_error or kind != "child" else failure_as_value(call)


@overload
def exec_child(
    target: Callable[..., Coroutine[Any, Any, R]], args: Sequence[Any] = (), *,
    kwargs: Mapping[str, Any] | None = None, **options: Unpack[ChildOptions],
) -> Coroutine[Any, Any, R]: ...  # fmt: skip
@overload
def exec_child(
    target: str | Home, args: Sequence[Any] = (), *, kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[ChildOptions],
) -> Coroutine[Any, Any, Any]: ...  # fmt: skip
@overload
def exec_child(
    target: Callable[..., R], args: Sequence[Any] = (), *, kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[ChildOptions],
) -> Coroutine[Any, Any, R]: ...  # fmt: skip
def exec_child(
    target: Target,
    args: Sequence[Any] = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[ChildOptions],
) -> Coroutine[Any, Any, Any]:
    """Run a further job and await its result.

    Args:
        target: an entity by name, an Entity, or a function; `workflow.child` is the form that checks argument types.
        options: see `ChildOptions`.

    Raises:
        ChildFailed: it failed, `.code` says how. JobInterrupted, JobCancelled: it was interrupted, or ended when asked.
        JobExists: the id is taken. InvalidOptions: the arguments do not fit its function, where that is known.
    """
    return _child("exec_child", "child", target, args, kwargs, options, "terminate")


def start_child(
    target: Target,
    args: Sequence[Any] = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[ChildOptions],
) -> Coroutine[Any, Any, str]:
    """Start a further job and go on as soon as its id is reserved; see `exec_child`.

    Returns:
        The child's id.

    Raises:
        JobExists: the id is taken.
    """
    return _child("start_child", "start", target, args, kwargs, options, "abandon")


def hook(
    target: Target,
    args: Sequence[Any] = (),
    *,
    kwargs: dict[str, Any] | None = None,
    id: str | None = None,
    entity: str | None = None,
    queue: str | None = None,
    retry: RetryPolicy | None = None,
) -> Coroutine[Any, Any, str]:
    """Run a hook function on a living job, by default this one; go on as soon as it is accepted.

    Args:
        target: the hook's name (`user.bill`), or its function.
        id, entity: the job; by default this one's, or another of this entity.

    Returns:
        The hook's dimension.

    Raises:
        JobNotFound: there is no such job; JobError: it takes no hooks, or no more.
    """
    run = current_run("hook")
    home = home_of(target, run, queue)
    own_entity, _, own_id = run.job.partition(":")
    job = f"{check_entity(entity or own_entity)}:{check_id(id if id is not None else own_id)}"
    body = _fitting(home.function, args, kwargs, start_body(args, kwargs, retry, run.origin))

    def live(run: Run, call: Call) -> None:
        partition = run.host.store.keys.partition(job)
        run.write("ask", call.position, "hook", partition, job, "hook", job, home.topic, body, home.name, "", "@")

    return durable("hook", "hook", job, live, decode=lambda payload: payload.decode())


def interruption(reason: str | None, code: int, job: str) -> tuple[bytes, str]:
    """What the waiters of an interrupted job get, as stored, and its message."""
    if not isinstance(code, int) or isinstance(code, bool):
        raise InvalidOptions(f"a code is a whole number; got {code!r}", argument="code")
    check_reason(reason)
    return end_from_outside(JobInterrupted(job_id=job, reason=reason or "", code=code))


def interrupt(
    entity: Target,
    id: str,
    *,
    reason: str | None = None,
    code: int = 410,
    descend: bool = True,
    throw: bool = True,
    suppress: bool = False,
    ttl: Duration | None = None,
) -> Coroutine[Any, Any, bool]:
    """End another job now; see `MeshData.interrupt`.

    Returns:
        True; with `suppress`, False if it was over or unknown.
    """
    run = current_run("interrupt")
    job = f"{home_of(entity, run, argument='entity').entity}:{check_id(id)}"
    payload, message = interruption(reason, code, job)
    flags = ("1" if descend else "0", "1" if throw else "0")

    def live(run: Run, call: Call) -> None:
        partition = run.host.store.keys.partition(job)
        run.write(
            "ask", call.position, "interrupt", partition, job, "interrupt", job, payload, message, *flags,
            ttl_text(ttl), "@",
        )  # fmt: skip

    return _suppressed(durable("interrupt", "interrupt", job, live, decode=lambda _: True), suppress)


async def _suppressed(call: Coroutine[Any, Any, bool], suppress: bool) -> bool:
    try:
        return await call
    except JobError:
        if not suppress:
            raise
        return False
