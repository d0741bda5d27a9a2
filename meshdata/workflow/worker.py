"""Hosts the runs of this process: takes messages in, gives functions their runs, suspends, drops and ends them."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from meshdata.engine.hints import Hint
from meshdata.engine.policy import RetryPolicy
from meshdata.engine.router import Message, Router
from meshdata.errors import (
    CODE_FAILED,
    CorruptRecord,
    ReplayError,
    StoreError,
)
from meshdata.store.messages import Argument, Claim, Leased
from meshdata.store.store import Store
from meshdata.values import from_json
from meshdata.workflow.activity import attempt_for_another
from meshdata.workflow.answers import Answers
from meshdata.workflow.ending import COUNTED_AS_AGAIN, COUNTED_AS_DONE, Endings
from meshdata.workflow.function import Function, contained
from meshdata.workflow.home import Home, Homes
from meshdata.workflow.interceptor import Execution, Interceptor, around
from meshdata.workflow.long import LONG_JOURNAL, LongJournals
from meshdata.workflow.runner import Run
from meshdata.workflow.settle import Settler
from meshdata.workflow.thread import Threads

logger = logging.getLogger(__name__)

SWEEP_S: Final = 1.0
"""How often waiting runs are looked through; less often where they may wait for more than a minute."""

THREADS: Final = 32
SUSPEND_BATCH: Final = 500
ACTIVITY_CODES: Final = {"ok": COUNTED_AS_DONE, "err": CODE_FAILED, "try": COUNTED_AS_AGAIN}
LATE_S: Final = 0.5
"""A run without a lease for so long has it taken by the next life sign."""


@dataclass(slots=True)
class Service:
    """What is served under a topic: a workflow or hook function, or an activity for other workers' workflows.

    Attributes:
        home: of a workflow or hook function, where its calls go; queue: the one it is served under, if any.
        retry: how often a failed run is repeated where its start does not say.
        concurrency: how many runs are worked on at once, None for as many as of all; those that only wait do not count.
        busy: how many are; backlog: messages that were read while there was no room.
    """

    function: Function
    concurrency: int | None = None
    home: Home | None = None
    queue: str | None = None
    retry: RetryPolicy | None = None
    busy: int = 0
    backlog: deque[Message] = field(default_factory=deque)

    @property
    def has_room(self) -> bool:
        """Whether another run may begin."""
        return self.concurrency is None or self.busy < self.concurrency


class Host:
    """The runs of one process.

    Args:
        linger_s: how long a run may wait before it is suspended.
        resident_limit: how many runs stay in memory; beyond it those idle longest are suspended at once.
        interceptors: code around what is run and called; the first is outermost.
        long_journal: see `LongJournals`.
    """

    def __init__(
        self,
        store: Store,
        *,
        linger_s: float,
        resident_limit: int,
        interceptors: Sequence[Interceptor] = (),
        long_journal: int = LONG_JOURNAL,
    ) -> None:
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.context: Context = copy_context()
        self.settler = Settler(self.loop)
        self.runs: dict[str, Run] = {}
        self.services: dict[str, Service] = {}
        self.homes = Homes()
        self.interceptors = interceptors
        self.to_hash: Callable[[str, Mapping[str, Any]], tuple[Mapping[str, Argument], Sequence[str]]]
        self.from_hash: Callable[[str, Mapping[str, bytes]], dict[str, Any]]
        self.seeds: Callable[[str, Mapping[str, Any]], Sequence[Argument]]
        self.stored_names: Callable[[str, Sequence[str]], Sequence[str]]
        self.named: Callable[[str, Sequence[str], Mapping[str, bytes | None]], dict[str, Any]]
        self.elements: Callable[[str, str, Sequence[Any]], Sequence[Argument]]
        self.elsewhere: Callable[[str], bool] = lambda run: False
        self._linger_s = linger_s
        self._resident_limit = resident_limit
        self._long = LongJournals(long_journal)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._router: Router | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._pulling: set[Run] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._workflow_threads = Threads(lambda run: self.spawn(self.suspend(run)))
        self._closing = False
        self._endings = Endings(store, self.spawn, self._let_go)
        self._answers = Answers(
            store, spawn=self.spawn, surely=self._endings.surely, in_thread=self.in_thread, interceptors=interceptors
        )
        self._working = 0
        self._at_work: set[Claim] = set()  # messages that are worked on, and are no resident run's
        self._backlog: deque[Message] = deque()  # read by several partitions' readers for the same free slot
        self._at_rest = asyncio.Event()

    @property
    def counts(self) -> Counter[int]:
        """Ends of what ran here, by code."""
        return self._endings.counts + self._answers.counts

    def open(self, router: Router) -> None:
        """Begin to look after resident runs."""
        self._router = router
        self._sweeper = self.spawn(self._sweep_on())

    def spawn(self, coroutine: Coroutine[Any, Any, Any], context: Context | None = None) -> "asyncio.Task[Any]":
        """A task of the host, outside every run."""
        task = self.loop.create_task(coroutine, context=context or self.context)
        self._tasks.add(task)
        task.add_done_callback(self._task_done, context=self.context)
        return task

    def _task_done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the host failed", exc_info=error)

    async def in_thread(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a plain function in the bounded thread pool, in the caller's context."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="meshdata")
        call = partial(copy_context().run, contained, fn, *args, **kwargs)
        return await self.loop.run_in_executor(self._threads, call)

    async def _call(self, run: Run, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call a run's function with arguments as JSON decoded them, converted by its annotations."""
        function: Function = run.service.function
        converted, named = function.arguments(list(args), kwargs)
        if not self.interceptors:
            return await self._execute(run, converted, named)
        method = "workflow" if run.dimension == "0" else "hook"
        about = Execution(function.name, run.job, run.dimension, run.attempt + 1, converted, named)
        return await around(
            self.interceptors, method, about, lambda call: self._execute(run, call.args, dict(call.kwargs))
        )

    async def _execute(self, run: Run, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        function: Function = run.service.function
        if function.is_async:
            return await function.run(self.in_thread, args, kwargs)
        return await self._workflow_threads.call(run, function, args, kwargs)

    # --- messages -----------------------------------------------------------------------------------------------------

    def handle(self, message: Message) -> None:
        """A message arrived: begin, or go on with, what it names."""
        service = self.services[message.topic]
        if message.again and self._has_in_hand(message):
            return
        if not service.has_room:
            service.backlog.append(message)
            return
        if self._router is not None and self._router.is_full:
            self._backlog.append(message)
            return
        if message.position:
            self._take_slot(service)
            self.spawn(self._run_for_another(message))
            return
        if message.asked is not None:
            self._take_slot(service)
            self._at_work.add(message.claim)
            self._answers.begin(message, message.asked, service.function, partial(self._answered, message))
            return
        if message.picks:
            self._take_slot(service)
            self.spawn(self._pick(message))
            return
        resident = self.runs.get(message.claim.run)
        if resident is not None:
            if int(resident.claim.fence) >= int(message.claim.fence):
                if resident.claim.message != message.claim.message:  # a copy of the one this run was begun with
                    self.spawn(self._consume(message.partition, message.claim))
                return
            self._superseded(resident)
        if message.body is None:
            self._take_slot(service)
            self.spawn(self._go_on(message))
        else:
            self._begin(message, message.body)

    def _has_in_hand(self, message: Message) -> bool:
        """Whether this very message waits for room, or is being worked on. (One of a resident run: see `handle`.)"""
        waiting = (*self._backlog, *self.services[message.topic].backlog)
        return message.claim in self._at_work or any(message.claim == other.claim for other in waiting)

    async def _consume(self, partition: int, claim: Claim) -> None:
        await self.store.command(partition, "XACK", claim.stream, "g", claim.message)
        await self.store.command(partition, "XDEL", claim.stream, claim.message)

    def _begin(self, message: Message, body: bytes) -> None:
        """The first message of a run: its journal holds the start and nothing else."""
        service = self.services[message.topic]
        run = Run(self, service, message.claim, message.partition, seq=0, attempt=0, ms=message.ms)
        run.journal.length = 1
        self._admit(run, body)

    async def _go_on(self, message: Message) -> None:
        """A run somebody else has begun: take its lease, read its journal, run the function up to where it stood."""
        self._at_work.add(message.claim)
        try:
            leased = await self._endings.surely(
                partial(self.store.lease, message.claim), message.partition, message.claim
            )
            if leased:
                self._go_on_leased(message, leased)
        finally:
            self._at_work.discard(message.claim)
            self._release_slot(self.services[message.topic])

    async def _pick(self, message: Message) -> None:
        """Take the lease of the first in line, and run it."""
        self._at_work.add(message.claim)
        try:
            pick = partial(self.store.pick, message.partition, message.topic, message.claim)
            picked = await self._endings.surely(pick, message.partition, message.claim)
            if picked:
                claim, leased = picked
                self._go_on_leased(replace(message, claim=claim), leased)
        finally:
            self._at_work.discard(message.claim)
            self._release_slot(self.services[message.topic])

    def _go_on_leased(self, message: Message, leased: Leased) -> None:
        service = self.services[message.topic]
        if leased.word != "OK" or not leased.entries:
            return
        resident = self.runs.get(message.claim.run)
        if resident is not None and int(resident.claim.fence) >= int(message.claim.fence):
            return  # a copy of the message came by the side of it
        claim = Claim(message.claim.run, message.claim.fence)
        run = Run(self, service, claim, message.partition, seq=leased.seq, attempt=leased.attempt, ms=0)
        try:
            run.journal.extend(0, leased.entries)
            start = run.journal.next()
            run.ahead.update(leased.waits)
            run.beats.update(leased.beats)
            run.replayed = run.journal.length
        except CorruptRecord as error:
            self.fail(run, error)
            return
        assert start is not None
        run.now_ms = run.started_ms = start.ms
        self._admit(run, start.payload)

    def _admit(self, run: Run, body: bytes) -> None:
        self.runs[run.name] = run
        self._take(run)
        try:
            start = from_json(body)
            run.begin_by(start)
            args, kwargs = start["a"], start.get("k") or {}
        except Exception as error:  # what another version wrote, or nobody: it must not stop the reader
            self.fail(run, CorruptRecord(f"the start of {run.job} cannot be read: {error}"))
            return
        run.begin(self._call(run, args, kwargs), run.context())

    # --- slots --------------------------------------------------------------------------------------------------------

    def has_room(self, topic: str) -> bool:
        """Whether the router should read a topic at all."""
        service = self.services[topic]
        return service.has_room and not service.backlog and not self._backlog

    def _take_slot(self, service: Service) -> None:
        service.busy += 1
        self._working += 1
        if self._router is not None:
            self._router.take()

    def _release_slot(self, service: Service) -> None:
        service.busy -= 1
        self._working -= 1
        if self._working == 0 and self._closing:
            self._at_rest.set()
        if self._router is not None:
            self._router.release()
            if not self._closing and (self._backlog or service.concurrency is not None):
                self.loop.call_soon(self._next_after, service, context=self.context)

    def _next_after(self, service: Service) -> None:
        router = self._router
        if router is None or self._closing:
            return
        while self._backlog and not router.is_full:
            self.handle(self._backlog.popleft())
        while service.backlog and service.has_room and not router.is_full:
            self.handle(service.backlog.popleft())
        if service.has_room and not service.backlog and not self._backlog:
            router.has_room_again()

    def _take(self, run: Run) -> None:
        if not run.has_slot:
            run.has_slot = True
            self._take_slot(run.service)

    def _release(self, run: Run) -> None:
        if run.has_slot:
            run.has_slot = False
            self._release_slot(run.service)

    def update(self, run: Run) -> None:
        """A run may have begun or ceased to only wait."""
        if run.dropped or run.over:
            return
        self._long.look(run)
        if run.is_waiting:
            self._release(run)
        else:
            self._take(run)

    # --- news ---------------------------------------------------------------------------------------------------------

    def hint(self, hint: Hint) -> None:
        """A hint about one of this process's runs, or about one that was here under the same name before."""
        if hint.kind == "k":
            self._answers.stop(hint.run)
            return
        run = self.runs.get(hint.run)
        if run is None:
            return
        if hint.kind == "x":
            if int(run.claim.fence) < int(hint.word):
                self._superseded(run)
            return
        index, _, fence = hint.word.partition("/")
        if fence == run.claim.fence:
            run.came(int(index), hint.payload)

    def pull(self, run: Run) -> None:
        """Read what a run's journal has beyond what is known."""
        if run not in self._pulling:
            self._pulling.add(run)
            self.spawn(self._pull(run))

    async def _pull(self, run: Run) -> None:
        try:
            first = run.journal.length
            raws = await self.store.entries(run.name, first)
        except StoreError:
            return  # the next life sign looks again
        finally:
            self._pulling.discard(run)
        run.read_on(first, raws)
        if self.runs.get(run.name) is run:
            await self.store.forget_news(run.partition, [run.name])

    # --- what the life sign asks --------------------------------------------------------------------------------------

    def late(self, partition: int) -> list[Claim]:
        """Runs of a partition that work without a lease for longer than a step should take."""
        claims = []
        for run in self.runs.values():
            works = run.partition == partition and not run.leased and not run.over
            if works and self.loop.time() - run.began_at > LATE_S:
                claims.append(run.claim)
        return claims

    def leased(self, claims: Sequence[Claim]) -> None:
        """The life sign took these leases."""
        for claim in claims:
            run = self.runs.get(claim.run)
            if run is not None and not run.leased and run.claim.fence == claim.fence:
                run.leased = True
                run.claim = Claim(claim.run, claim.fence)

    def holds(self, run: str) -> bool:
        """Whether a run is resident here."""
        return run in self.runs

    def look(self, run: str) -> None:
        """There is news of a run in the store."""
        self.pull(self.runs[run])

    def drop(self, claim: Claim) -> None:
        """A run is another's now. (One begun anew under its name, meanwhile, is not.)"""
        resident = self.runs.get(claim.run)
        if resident is not None and resident.claim.fence == claim.fence:
            self.forget(resident)

    def drop_all(self, partition: int) -> None:
        """Every run of a partition is another's now, and what is held back of it."""
        if self._router is not None:
            self._router.pace.drop(lambda message: message.partition == partition)
        for run in [run for run in self.runs.values() if run.partition == partition]:
            self.forget(run)

    async def verify(self, partition: int) -> None:
        """Let runs go on from what Redis kept: while the connection was lost it may have been restarted, or replaced by
        a replica, and have lost its last moments."""
        resident = [run for run in self.runs.values() if run.partition == partition and not run.over]
        known = [(run.seq, run.journal.length) for run in resident]
        found = await asyncio.gather(*(self.store.standing(run.name) for run in resident))
        for run, (seq, length), (fence, kept_seq, kept_length) in zip(resident, known, found, strict=True):
            if run.over or self.runs.get(run.name) is not run:
                continue
            if fence != run.claim.fence:
                self._superseded(run)
            elif kept_seq < seq or kept_length < length:
                self.lost(run, rewind=True)
            elif kept_length > length:  # the hint went with the connection
                self.pull(run)
        at_work = {claim.run for claim in self._at_work}
        for name in await self.store.owned(partition):
            held = name in self.runs or name in at_work or self.elsewhere(name)
            if not held:  # its end, or its rest, is what was lost
                fence, _, _ = await self.store.standing(name)
                if name not in self.runs:
                    await self.store.suspend(Claim(name, fence), seen=0, how="queued")

    # --- ends ---------------------------------------------------------------------------------------------------------

    def forget(self, run: Run) -> None:
        """Take a run out of memory; the store knows of it, or does not care."""
        run.drop()
        self._let_go(run)

    def _superseded(self, run: Run) -> None:
        """A run goes on elsewhere, or nowhere: forget it, and the message it was begun with unless a step did that."""
        self.forget(run)
        if run.claim.stream:
            self.spawn(self._consume(run.partition, run.claim))

    def lost(self, run: Run, *, rewind: bool) -> None:
        """A step was refused: another has the run, or the store lost its last moments and the journal is read anew."""
        claim = run.claim
        self.forget(run)
        if rewind:
            logger.warning("the store lost steps of a run; it is replayed", extra={"job_id": run.job})
            again = partial(self.store.suspend, claim, seen=0, how="queued")
            self.spawn(self._endings.surely(again, run.partition, claim))

    def park(self, run: Run, error: ReplayError) -> None:
        """The function does not fit its journal: put the run aside until code that fits is served."""
        logger.error("a run was parked: %s", error, extra={"job_id": run.job})
        self.forget(run)
        park = partial(self.store.suspend, run.claim, seen=run.journal.length, how="parked", problem=str(error))
        self.spawn(self._endings.surely(park, run.partition, run.claim))

    async def _give_back(self, run: Run, how: str) -> str:
        """OK, MORE, STALE, or '' if the store could not be reached."""
        try:
            return await self.store.suspend(run.claim, seq=run.steps, seen=run.journal.length, how=how)
        except StoreError:
            logger.warning("a run could not be given back", exc_info=True, extra={"job_id": run.job})
            return ""

    def fail(self, run: Run, error: Exception) -> None:
        """End a run that cannot go on."""
        self.forget(run)
        self.spawn(self._endings.fail(run, error))

    def end(self, run: Run, task: "asyncio.Task[Any]") -> None:
        """The function returned or raised: store that, or have it run again."""
        self._endings.end(run, task)

    def _let_go(self, run: Run) -> None:
        self._release(run)
        if self.runs.get(run.name) is run:
            del self.runs[run.name]

    async def _run_for_another(self, message: Message) -> None:
        """An activity another worker's workflow asked for. Its slot is taken."""
        service = self.services[message.topic]
        claim = message.claim
        self._at_work.add(claim)
        try:
            code, payload, delay = await attempt_for_another(
                self.store,
                service.function,
                claim.run,
                message.position,
                message.body or b"",
                self.in_thread,
                self.interceptors,
                # by this machine's clock: one that goes wrong asks too often, or lets a worker do needless work
                queued_ms=time.time() * 1000 - int(claim.message.partition(b"-")[0]),
            )
            reply = partial(
                self.store.reply, claim.run, message.position, code=code, payload=payload, delay_ms=delay,
                stream=claim.stream, message=claim.message,
            )  # fmt: skip
            self._endings.counts[ACTIVITY_CODES[code]] += 1
            await self._endings.surely(reply, message.partition, claim, message.position)
        finally:
            self._at_work.discard(claim)
            self._release_slot(service)

    def _answered(self, message: Message) -> None:
        self._at_work.discard(message.claim)
        self._release_slot(self.services[message.topic])

    # --- residence ----------------------------------------------------------------------------------------------------

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(max(min(SWEEP_S, self._linger_s / 4), self._linger_s / 60, 0.05))
            await self.sweep()

    async def sweep(self) -> None:
        """Suspend runs that have waited longer than they may linger, and those idle longest beyond the limit."""
        now = self.loop.time()
        idle = [run for run in self.runs.values() if run.can_suspend]
        idle.sort(key=lambda run: run.active_at)
        excess = len(self.runs) - self._resident_limit
        chosen = [run for at, run in enumerate(idle) if at < excess or now - run.active_at > self._linger_s]
        for at in range(0, len(chosen), SUSPEND_BATCH):
            await asyncio.gather(*(self.suspend(run) for run in chosen[at : at + SUSPEND_BATCH]))

    async def suspend(self, run: Run) -> None:
        """Give a waiting run's lease back and drop it from memory; it goes on, somewhere, at its next outcome."""
        if not run.can_suspend:
            return
        word = await self._give_back(run, "waiting")
        if word == "MORE":
            self.pull(run)
        elif word:
            self.forget(run)

    async def drain(self, seconds: float) -> None:
        """Let work under way end, then give every run back."""
        self._closing = self._endings.closing = True
        if self._working:
            try:
                async with asyncio.timeout(seconds):
                    await self._at_rest.wait()
            except TimeoutError:
                logger.info("work under way did not end in time; it is handed over", extra={"count": self._working})
        runs = list(self.runs.values())
        hows = ["waiting" if run.can_suspend else "queued" for run in runs]
        for run in runs:
            self.forget(run)
        words = await asyncio.gather(*(self._give_back(run, how) for run, how in zip(runs, hows, strict=True)))
        for run, word in zip(runs, words, strict=True):
            if word == "MORE":
                await self._give_back(run, "queued")

    async def close(self) -> None:
        """Stop whatever is left."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        pending = list(self._tasks)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._workflow_threads.close()
