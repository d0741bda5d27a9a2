"""Turns a checked call into a start, and its end into a value."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshdata.call.handle import HookHandle
from meshdata.call.options import job_and_ttl, job_of, policy_name, seconds
from meshdata.call.outcome import value_of
from meshdata.engine.engine import Engine
from meshdata.engine.limits import Priority, check_priority
from meshdata.engine.near import Near
from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions, JobError, JobExists, JobNotFound
from meshdata.store.messages import Argument, Outcome, StartJob
from meshdata.values import Duration, check_id, from_json, mint_id
from meshdata.workflow.child import check_args, check_kwargs, start_body, ttl_text
from meshdata.workflow.home import topic_of
from meshdata.workflow.method import Method
from meshdata.workflow.starting import Conflict, check_conflict, delay_of, limit_of, pending_of


@dataclass(slots=True)
class Served:
    """What this process knows of an entity it calls; all of it may be unknown, the call works all the same."""

    bind: Callable[[Sequence[Any], Mapping[str, Any]], None] | None = None
    check: Callable[[bytes], None] | None = None
    decode: Callable[[bytes], Any] = from_json
    ttl: Duration | None = None
    topic: str = ""
    retry: RetryPolicy | None = None
    limit_key: Callable[..., Any] | None = None


NOTHING_KNOWN = Served()


def served_of(method: Method[Any, Any], ttl: Duration | None = None) -> Served:
    """What is known of a method of a class.

    Args:
        ttl: of its class, where the method names none.
    """
    function, home = method.function, method.home
    kept = ttl if method.ttl is None else method.ttl
    return Served(function.bind, function.check_arguments, home.decode, kept, home.topic, method.retry)


MOST_KEPT: Final = 10_000
"""Of how many ids a process remembers that their answer is kept."""


class Caller:
    """Starts jobs for callers and awaits their ends."""

    def __init__(
        self, engine: Engine, seeds: Callable[[str, Mapping[str, Any]], Sequence[Argument]], near: Near
    ) -> None:
        self._engine = engine
        self._seeds = seeds
        self._near = near
        self._kept: dict[tuple[str, str], str] = {}

    def start_of(
        self,
        entity: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        served: Served,
        *,
        id: str | None,
        ttl: Duration | None,
        name: str | None = None,
        flush: bool = False,
        retry_failed: bool = False,
        state: Mapping[str, Any] | None = None,
        hookable: bool | None = None,
        queue: str | None = None,
        retry: RetryPolicy | None = None,
        conflict: Conflict | None = None,
        pending: Duration | None = None,
        delay: Duration | None = None,
        limit: Duration | None = None,
        priority: Priority | None = None,
        limit_key: str | None = None,
    ) -> StartJob:
        """The start a call asks for.

        Args:
            name: the function's, where it is not the entity's.
            conflict, pending, delay: see `MeshData.exec`.
            limit: after so long it fails, if it has not ended.
            priority, limit_key: see `MeshData.exec`.

        Raises:
            InvalidOptions: an argument is wrong; nothing was written.
        """
        # Every call comes this way, and most find their answer kept: what is not asked for is not looked at.
        if id is not None and ttl is None:
            ttl = served.ttl
        job, text = job_and_ttl(entity, id, ttl)
        if served.bind is not None:
            served.bind(check_args(args), {} if kwargs is None else check_kwargs(kwargs))
        body = start_body(args, kwargs, served.retry if retry is None else retry)
        if served.check is not None:
            served.check(body)
        start = StartJob(job, served.topic or topic_of(entity, queue), body, name or entity, text)
        if id is not None:
            start.record = True
        if hookable is False:
            start.hookable = False
        if queue is not None:
            start.topic, start.queue = topic_of(name or entity, queue), queue
        if state is not None:
            start.seeds = self._seeds(entity, state)
        if flush or retry_failed:
            if id is None:
                argument = "flush" if flush else "retry_failed"
                raise InvalidOptions("an id is run anew, and none was given; add id=...", argument=argument)
            start.policy, start.token = policy_name(flush=flush), mint_id()
        if conflict is not None:
            start.policy = check_conflict(conflict)
            if id is None or flush or retry_failed:
                raise InvalidOptions(
                    "it says what to do when an id is taken, and none was given; add id=..." if id is None
                    else "flush and retry_failed say already what to do when the id is taken; leave them out",
                    argument="conflict",
                )  # fmt: skip
            if start.policy != "attach":
                start.token = mint_id()
        if delay is not None:
            start.delay_ms = delay_of(delay)
        if limit is not None:
            start.limit = limit_of(limit)
        if pending is not None:
            start.pending = pending_of(pending, delay)
        if priority is not None:
            start.priority = check_priority(priority)
        if limit_key is not None or served.limit_key is not None:
            start.limit_key = _limit_key(limit_key, served, args, kwargs)
        return start

    async def exec(self, start: StartJob, served: Served, timeout: Duration | None) -> Any:
        """Run a job, or join the one there, and give what it returned."""
        limit = seconds(timeout, argument="timeout")
        if start.policy != "attach":
            self._near.drop(f"0 {start.job}")
        outcome = await self._engine.run(start, timeout_s=limit)
        if start.ttl:
            self._remember(start)
        return value_of(outcome, start.job, served.decode)

    async def hook(
        self,
        job: str,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        served: Served,
        *,
        retry: RetryPolicy | None = None,
    ) -> HookHandle:
        """Run a further function on a living job.

        Args:
            name: the function's; `served.topic` is where it is served.

        Raises:
            InvalidOptions: an argument is wrong; nothing was written.
            JobNotFound: there is no such job. JobError: it takes no hooks, or no more.
        """
        if served.bind is not None:
            served.bind(check_args(args), {} if kwargs is None else check_kwargs(kwargs))
        body = start_body(args, kwargs, served.retry if retry is None else retry)
        if served.check is not None:
            served.check(body)
        word, dimension = await self._engine.store.hook(job, topic=served.topic, body=body, name=name)
        if word == "NOTFOUND":
            raise JobNotFound(job_id=job)
        if word == "CLOSED":
            raise JobError(f"{job} takes no hooks: it is over, or was started with hookable=False", job_id=job)
        return HookHandle(self._engine, job, dimension, served.decode)

    async def begin(self, start: StartJob) -> "asyncio.Future[Outcome] | None":
        """Start a job without awaiting it; a future of its end where that is kept no longer than a moment.

        What a ttl keeps is asked for when somebody wants it: a job may live for years, and nobody need listen so long.

        Raises:
            JobExists: the id is taken, and the start is to fail then.
        """
        begun: asyncio.Future[Outcome] | None = None
        if start.ttl:
            outcome: Outcome | None = await self._engine.store.start_job(start)
        else:
            begun = await self._engine.begin(start)
            outcome = begun.result() if begun.done() else None
        if outcome is not None and outcome.word == "EXISTS":
            raise JobExists(job_id=start.job)
        return begun

    def _remember(self, start: StartJob) -> None:
        entity, _, id = start.job.partition(":")
        self._kept[entity, id] = f"0 {start.job}"
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    async def look(
        self,
        entity: str,
        id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        ttl: Duration | None,
        served: Served,
        *,
        near: bool,
    ) -> Outcome | None:
        """A kept answer: of this process (`near`), or asked for where one was when this process last saw it: that is
        less to send than a start. None: it takes a start."""
        run = self._kept.get((entity, id))
        if near:
            run = f"0 {job_of(entity, id)}"
            held = self._near.get(run)
            if held is not None:
                return Outcome("DONE", held.code, held.payload)
        elif run is None:
            return None
        if ttl is not None:
            ttl_text(ttl)
        if served.bind is not None:
            served.bind(check_args(args), {} if kwargs is None else check_kwargs(kwargs))
        if near:
            kept = await self._near.read(run, run[2:])
            return None if kept is None else Outcome("DONE", kept.code, kept.payload)
        outcome = await self._engine.store.result(run)
        return outcome if outcome.word == "DONE" else None


def _limit_key(given: str | None, served: Served, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> str:
    """What a call's limits are kept apart by: what it says, or what the entity's `key` makes of its arguments."""
    if given is not None or served.limit_key is None:
        return check_id(given or "", argument="limit_key")
    try:
        key = str(served.limit_key(*args, **(kwargs or {})))
    except Exception as error:
        raise InvalidOptions(f"it failed for these arguments: {error}", argument="key") from error
    return check_id(key, argument="key") if key else ""
