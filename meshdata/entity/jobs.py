"""The verbs on jobs that a mesh has: execute, hook, signal, interrupt, look at them."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never, cast

from meshdata.call.caller import NOTHING_KNOWN, Caller, served_of
from meshdata.call.cancel import cancel_run
from meshdata.call.handle import Handle, HookHandle
from meshdata.call.options import check_flags, job_of, refuse_unknown, seconds
from meshdata.call.outcome import value_of
from meshdata.engine.engine import Engine
from meshdata.engine.info import JobInfo, job_info
from meshdata.engine.limits import Priority
from meshdata.engine.near import Near
from meshdata.engine.policy import RetryPolicy
from meshdata.entity.classes import Classes
from meshdata.entity.registry import Registry
from meshdata.entity.verbs import RecordVerbs
from meshdata.errors import InvalidOptions, JobError, JobNotFound, UsageError
from meshdata.store.store import Store
from meshdata.values import Duration, check_entity, check_id, check_key, to_json
from meshdata.workflow.child import interruption, ttl_text
from meshdata.workflow.home import topic_of
from meshdata.workflow.method import Method
from meshdata.workflow.starting import Conflict

if TYPE_CHECKING:
    from meshdata.workflow.export import JobExport


class JobVerbs(RecordVerbs):
    """Execute functions as jobs, and reach the jobs there are."""

    _caller: Caller
    _classes: Classes
    _engine: Engine
    _long_journal: int
    _near: Near
    _registry: Registry
    _store: Store

    def _need_open(self) -> None:
        raise NotImplementedError  # the mesh says whether it is open

    async def exec(
        self,
        entity: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        ttl: Duration | None = None,
        wait: bool = True,
        timeout: Duration | None = None,
        flush: bool = False,
        retry_failed: bool = False,
        state: Mapping[str, Any] | None = None,
        hookable: bool | None = None,
        queue: str | None = None,
        retry: RetryPolicy | None = None,
        conflict: Conflict | None = None,
        pending: Duration | None = None,
        delay: Duration | None = None,
        near_cache: bool = False,
        priority: Priority | None = None,
        limit_key: str | None = None,
        **unknown: Never,
    ) -> Any:
        """Execute an entity's function in whatever process serves it.

        Args:
            id: what the result, and the record, is known by. Callers of one id share one run.
            ttl: how long the answer is kept and the job stays open for hooks; "infinity" until flushed. None: the job
                is forgotten a second after its end.
            wait: False gives a Handle at once instead of the result.
            timeout: how long to wait; the job goes on after it.
            flush: run it anew whatever is there; retry_failed: only if it failed.
            state: fields the record begins with.
            hookable: False refuses hooks.
            queue: where it is served, if not under its own name.
            retry: how often a failed run is repeated.
            conflict: when the id is taken: "attach", the default, joins the job there; "fail" raises JobExists;
                "restart" runs it anew if it is over, and raises JobExists while it lives.
            pending: only reserve the id, for so long, the record begun; `resume` starts it. Gives a Handle.
            delay: start it so much later.
            near_cache: keep the answer of an id in this process too; the server tells of its changes.
            priority: "high", "normal" or "low": who goes first where runs wait for a limit.
            limit_key: what its limits are kept apart by; by default what the entity's `key` makes of the arguments.

        Returns:
            What the function returned, or the Handle.

        Raises:
            InvalidOptions: an argument is wrong; nothing was written. JobExists: see `conflict`.
            JobFailed: the function raised, now or when the stored answer was made. JobInterrupted: it was interrupted.
            MeshTimeout: `timeout` passed first.
        """
        self._need_open()
        if unknown:
            refuse_unknown("exec", unknown, self.exec)
        check_flags(wait=wait, flush=flush, retry_failed=retry_failed, hookable=hookable, near_cache=near_cache)
        if timeout is not None:
            seconds(timeout, argument="timeout")
        if near_cache and id is None:
            raise InvalidOptions("the answer of an id is kept, and none was given; add id=...", argument="near_cache")
        served = self._registry.served(entity)
        if served is NOTHING_KNOWN:
            self._classes.refuse(entity)
        # What is only reserved has no end to wait for.
        wait = wait and pending is None
        if id is not None and wait and not (flush or retry_failed or state or queue or retry or conflict or delay):
            outcome = await self._caller.look(entity, id, args, kwargs, ttl, served, near=near_cache)
            if outcome is not None:
                return value_of(outcome, f"{entity}:{id}", served.decode)
        start = self._caller.start_of(
            entity, args, kwargs, served, id=id, ttl=ttl, flush=flush, retry_failed=retry_failed, state=state,
            hookable=hookable, queue=queue, retry=retry, conflict=conflict, pending=pending, delay=delay,
            priority=priority, limit_key=limit_key,
        )  # fmt: skip
        if wait:
            return await self._caller.exec(start, served, timeout)
        begun = await self._caller.begin(start)
        return Handle(self, self._engine, entity, start.job.partition(":")[2], served.decode, begun=begun)

    def handle(self, entity: str, id: str) -> Handle[Any]:
        """A handle on a job, which may or may not exist."""
        self._need_open()
        job_of(entity, id)
        return Handle(self, self._engine, entity, id, self._registry.served(entity).decode)

    async def hook(
        self,
        entity: str,
        id: str,
        hook_entity: str | Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        retry: RetryPolicy | None = None,
        **unknown: Never,
    ) -> HookHandle:
        """Run a further function on a living job, sharing its record.

        Args:
            hook_entity: its name, `user.bill`, or a hook method, `Order.incr_quantity`.

        Returns:
            A handle; await it for what the hook returned.

        Raises:
            JobNotFound: there is no such job. JobError: it takes no hooks, or no more.
        """
        self._need_open()
        if unknown:
            refuse_unknown("hook", unknown, self.hook)
        job = job_of(entity, id)
        if isinstance(hook_entity, Method):
            served = served_of(hook_entity)
            return await self._caller.hook(job, hook_entity.home.name, args, kwargs, served, retry=retry)
        name = check_entity(cast(str, hook_entity), argument="hook_entity")
        functions = self._registry.functions
        if name not in functions and f"{entity}.{name}" in functions:
            raise InvalidOptions(
                f"nothing is connected as {name!r}; did you mean '{entity}.{name}'?", argument="hook_entity"
            )
        served = self._registry.served(name)
        if queue is not None or not served.topic:
            served = replace(served, topic=topic_of(name, queue))
        return await self._caller.hook(job, name, args, kwargs, served, retry=retry)

    async def signal(self, key: str, payload: Any = None, *, id: str | None = None) -> bool:
        """Send a payload to the first who waits on a key; it is kept (a week) if nobody does.

        Args:
            id: of signals of one key and one id only the first counts (for a week); the others are answered as it was.

        Returns:
            True if a waiter took it, False if it was kept for one.
        """
        self._need_open()
        known_by = "" if id is None else check_id(id)
        word = await self._store.signal(check_key(key), to_json(payload, argument="payload"), id=known_by)
        if word == "FULL":
            raise UsageError(f"too many signals wait on {key!r}; nobody takes them")
        return word == "TAKEN"

    async def interrupt(
        self,
        entity: str,
        id: str,
        *,
        reason: str | None = None,
        code: int = 410,
        descend: bool = True,
        throw: bool = True,
        suppress: bool = False,
        ttl: Duration | None = None,
    ) -> bool:
        """End a job now, wherever it runs.

        Args:
            reason, code: what those who await it get, in a JobInterrupted.
            descend: end its living children too, and theirs.
            throw: False gives those who await it None instead of the error.
            suppress: give False instead of an error when it is over or unknown.
            ttl: how long its remains stay; by default the job's own ttl.

        Raises:
            JobNotFound: there is no such job. JobError: it is over.
        """
        self._need_open()
        job = job_of(entity, id)
        payload, message = interruption(reason, code, job)
        word = await self._store.interrupt(
            job, payload=payload, problem=message, descend=descend, throw=throw, ttl=ttl_text(ttl)
        )
        if word == "OK":
            return True
        if suppress:
            return False
        if word == "NOTFOUND":
            raise JobNotFound(job_id=job)
        raise JobError(f"{job} is over already", job_id=job)

    async def resume(self, entity: str, id: str) -> bool:
        """Start now what is reserved (`pending`), or was to start later (`delay`). False if it has begun before.

        Raises:
            JobNotFound: there is no such job, or its reservation has lapsed.
        """
        self._need_open()
        job = job_of(entity, id)
        word = await self._store.resume(job)
        if word == "NOTFOUND":
            raise JobNotFound(job_id=job)
        return word == "OK"

    async def cancel(self, entity: str, id: str, reason: str | None = None) -> bool:
        """Ask a job to end itself: its function gets a CancelledError where it awaits, and may clean up.

        It is told once, in its turn among all that happens to the job; so are its running hooks. One that lets the
        error out ends with JobCancelled, one that catches it as it likes. A job nobody has begun is over at once.

        Args:
            reason: what those who await it are told.

        Returns:
            True if it was asked, now or before; False if it was over.

        Raises:
            JobNotFound: there is no such job.
        """
        self._need_open()
        return await cancel_run(self._engine, f"0 {job_of(entity, id)}", reason)

    async def flush(self, entity: str, id: str) -> bool:
        """Remove a job, its record and all it left, at once. True if there was anything."""
        self._need_open()
        job = job_of(entity, id)
        try:
            return await self._store.flush(job) > 0
        finally:
            self._near.drop(f"0 {job}")

    async def info(self, entity: str, id: str) -> JobInfo:
        """How a job stands.

        Raises:
            JobNotFound: there is none.
        """
        self._need_open()
        job = job_of(entity, id)
        header, entries = await asyncio.gather(self._store.header(f"0 {job}"), self._store.length(f"0 {job}"))
        if not header:
            raise JobNotFound(job_id=job)
        return replace(job_info(entity, id, header), entries=entries, is_long=entries > self._long_journal)

    async def export(
        self,
        entity: str,
        id: str,
        *,
        allow: Collection[str] | None = None,
        block: Collection[str] | None = None,
        values: bool = True,
    ) -> "JobExport":
        """All there is to tell of a job, as one document: what it keeps, every call it made and when, its journal.

        Args:
            allow, block: sections to have, or to leave out: data, state, status, timeline, transitions, execution (to
                draw it), journal (to replay it: `meshdata.testing.replay`).
            values: False leaves out what calls returned, and the journal.

        Raises:
            JobNotFound: there is none.
        """
        from meshdata.call.export import export as export_job  # here: few processes tell stories

        self._need_open()
        from_hash = self._registry.from_hash
        return await export_job(self._store, from_hash, entity, id, allow=allow, block=block, values=values)
