"""Carries out the steps of graph jobs: loads what one needs, makes it, commits it, until the job waits or is over."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import orjson

from meshdata.engine.entry import parse
from meshdata.errors import CorruptRecord, JobExists, ScriptFailed, StoreError, failure_payload
from meshdata.graph.asking import Broadcast, start_of
from meshdata.graph.begin import Beginning, guid
from meshdata.graph.compiled import App
from meshdata.graph.errors import error_text
from meshdata.graph.figures import Listing
from meshdata.graph.spans import job_span, mark_legs
from meshdata.graph.state import NotLoaded, State
from meshdata.graph.transition import NotKnown, Transition
from meshdata.store.graphs import Committed, End, Fields, Taken
from meshdata.store.messages import Argument, Claim, Outcome
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.5
MOST_REFUSALS: Final = 3
"""How often a commit is tried that the store refuses; then the job is parked, where it can be seen."""


class Versions(Protocol):
    """The versions of one app."""

    async def active(self) -> App: ...
    async def version(self, version: str) -> App | None: ...
    async def refresh(self) -> None: ...


Listed = Callable[[Broadcast], Awaitable[Listing]]
"""Finds the jobs that a broadcast is for."""


class Steps:
    """The steps of one app's jobs in this process.

    Args:
        versions: of the app.
        listed: finds the jobs that a broadcast is for.
    """

    def __init__(self, store: Store, versions: Versions, *, listed: Listed) -> None:
        self._store = store
        self._versions = versions
        self._listed = listed

    def _now_ms(self) -> int:
        set_by_test = self._store.now_ms()
        return time.time_ns() // 1_000_000 if set_by_test is None else set_by_test

    # --- the first step, by whoever starts the job --------------------------------------------------------------------

    async def start(self, beginning: Beginning, *, waiter: str = "") -> Outcome:
        """Carry out a trigger, and create the job with what that came to.

        Raises:
            PipeError, InvalidOptions: the trigger cannot be carried out with these data; nothing was written.
        """
        app = await self._versions.active()
        with job_span(app.id, beginning) as begun:
            graph = app.graphs[begun.topic]
            transition = Transition(
                app, begun.id, State({}, whole=True), now_ms=self._now_ms(), partition=self._store.keys.partition
            )
            transition.begin(begun)
            transition.run()
            start = start_of(app, graph.publishes, begun, policy="fail", token=guid(), held=True)
            outcome = await self._store.graphs.start(
                start, _end_of(transition), await self._operations(transition), waiter=waiter
            )
            mark_legs(transition)
            return outcome

    # --- the others, by whoever has the lease -------------------------------------------------------------------------

    async def begin(self, claim: Claim, body: bytes) -> None:
        """The first step of a job that was only queued: a child, or one that was started with a delay."""
        await self._begin(claim, Taken("OK", claim.fence, 0, [b""], {}, whole=True), body)

    async def begin_from(self, claim: Claim, taken: Taken) -> None:
        """The same of a job whose lease this process has: its inbox begins with the start."""
        await self._begin(claim, taken, parse(0, taken.entries[0]).payload if taken.entries else b"")

    async def _begin(self, claim: Claim, taken: Taken, body: bytes) -> None:
        try:
            beginning = Beginning.from_dict(orjson.loads(body))
        except (ValueError, LookupError, TypeError) as error:
            problem = CorruptRecord(f"the start of {claim.run} cannot be read: {error}")
            await self._commit(claim, 1, len(taken.entries), _failed(problem), [])
            return
        with job_span(claim.run.partition(" ")[2].partition(":")[0], beginning) as begun:
            await self._advance(claim, taken, begun)

    async def go_on(self, claim: Claim, taken: Taken) -> None:
        """What has come for a job whose lease this process has."""
        await self._advance(Claim(claim.run, taken.fence), taken, None)

    async def _advance(self, claim: Claim, taken: Taken, beginning: Beginning | None) -> None:
        seq, entries, fields, whole = taken.seq, taken.entries, taken.fields, taken.whole
        while True:
            transition = None
            try:
                transition = await self._made(claim, entries, fields, whole, beginning)
                end, operations = _end_of(transition), await self._operations(transition)
                fields = transition.state.after()
            except ScriptFailed as error:
                logger.exception("a job of a graph cannot be read", extra={"run": claim.run})
                await self._store.suspend(claim, seen=0, how="parked", problem=str(error))
                return
            except StoreError:  # this process has the lease: nobody else makes the step
                logger.warning("a step of a graph cannot be made yet", exc_info=True, extra={"run": claim.run})
                await asyncio.sleep(PAUSE_S)
                continue
            except Exception as error:  # of a beginning: it cannot be mapped; else a mistake of ours
                logger.warning("a step of a graph failed", exc_info=True, extra={"run": claim.run})
                end, operations = _failed(error), []
            committed = await self._commit(claim, seq + 1, len(entries), end, operations)
            if transition is not None and committed.word in ("OK", "MORE"):
                mark_legs(transition)
            if committed.word != "MORE":
                return
            seq, entries, claim, beginning = seq + 1, committed.entries, Claim(claim.run, claim.fence), None

    async def _made(
        self, claim: Claim, entries: Sequence[bytes], fields: Fields, whole: bool, beginning: Beginning | None
    ) -> Transition:
        """One step, made; with the fields it turned out to need."""
        job = claim.run.partition(" ")[2]
        id = job.partition(":")[2]
        is_newest = False
        while True:
            state = State(fields, whole=whole)
            app = await self._versions.active()
            version = state.metadata.get("vrs", app.version)
            older = None if version == app.version else await self._versions.version(version)
            transition = Transition(
                app,
                id,
                state,
                now_ms=self._now_ms(),
                partition=self._store.keys.partition,
                older=older,
                is_newest=is_newest,
            )
            try:
                if beginning is not None:
                    transition.begin(beginning)
                for at, raw in enumerate(entries):
                    if raw and not (at == 0 and beginning is not None):  # which is the start
                        transition.receive(parse(at, raw))
                transition.run()
            except NotKnown:
                # Another engine has heard of a newer version sooner.
                await self._versions.refresh()
                is_newest = True
            except NotLoaded as missing:
                fields = {**fields, **await self._store.graphs.fields(job, [missing.field])}
            else:
                return transition

    async def _operations(self, transition: Transition) -> list[Argument]:
        for broadcast in transition.broadcasts:
            listing = await self._listed(broadcast)
            transition.broadcast(broadcast, listing.ids)
            if broadcast.scrub:
                for mark in listing.marks:
                    transition.effects.unindex(mark)
        written, gone = transition.state.changes(transition.updated)
        operations: list[Argument] = ["set", len(written), *written]
        if gone:
            operations += ["unset", len(gone), *gone]
        return operations + transition.effects.operations + transition.effects.last

    async def _commit(
        self, claim: Claim, seq: int, consumed: int, end: End, operations: Sequence[Argument]
    ) -> Committed:  # fmt: skip
        """Commit, whatever it takes: a step that is made is not lost because the connection is."""
        refusals = 0
        while True:
            try:
                return await self._store.graphs.commit(
                    claim, seq=seq, consumed=consumed, end=end, operations=operations
                )
            except ScriptFailed as error:
                refusals += 1
                logger.exception("a step of a graph was refused", extra={"run": claim.run})
                if refusals == MOST_REFUSALS:
                    await self._store.suspend(claim, seen=0, how="parked", problem=str(error))
                    return Committed("STALE", [])
            except StoreError:
                logger.warning("a step of a graph cannot be written yet", exc_info=True, extra={"run": claim.run})
            await asyncio.sleep(PAUSE_S)


def _end_of(transition: Transition) -> End:
    how = transition.how
    if how not in ("completed", "failed"):
        return End(how)
    error = transition.state.error
    if error is None:
        return End(how, "ok", b"", "", transition.ttl)
    return End(how, "err", error_text(error).encode(), str(error["message"]), transition.ttl)


def _failed(error: Exception) -> End:
    payload = orjson.dumps(failure_payload(error))
    return End("failed", "err", payload, str(error), "1000")


def existing(beginning: Beginning) -> JobExists:
    """What whoever starts a job under a taken id is told."""
    return JobExists(f"Duplicate job: {beginning.id}", job_id=beginning.id)
