"""One resident run: start the function, feed it outcomes in journal order, write what it does, end it.

The life of a durable call:
    issued   the user awaits it; it is in `calls`
    live     its work has begun: an operation is queued, or an activity runs here
    over     its entry came up in the journal and was delivered

On a first run a call goes live as soon as it is issued. On replay it waits until the journal has nothing more to say:
only then is it known that the call was not over, nor given up, when the last process lost the run.

Operations are written by one step at a time; those that gather while a step is under way go out with the next. A step's
answer holds whatever others wrote meanwhile, so the order of entries here is the order in the store.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from weakref import WeakSet

from meshdata.engine.entry import Entry
from meshdata.engine.policy import ONCE, RetryPolicy
from meshdata.errors import (
    ReplayError,
    ScriptFailed,
    StoreError,
    Suspended,
)
from meshdata.store.messages import Argument, Claim, Stepped
from meshdata.store.store import Store
from meshdata.workflow.call import SIGNALS, Call, failure_of, label, partitions_of
from meshdata.workflow.context import durable_codes, entered
from meshdata.workflow.home import Homes
from meshdata.workflow.interceptor import Interceptor
from meshdata.workflow.journal import BACK, PATCH, Journal
from meshdata.workflow.request import POSITION, Cancellation
from meshdata.workflow.settle import Settler, is_woken_within, waits_on, wake_with
from meshdata.workflow.where import line_of

logger = logging.getLogger(__name__)

WRITE_AGAIN_S: Final = 0.5
"""Pause before a step is tried again when the store is out of reach; its number keeps it from counting twice."""

FEW: Final = 5
"""How many calls an error names."""

LOOK_AGAIN_S: Final = 0.1
"""How often a replay looks whether input and output of the function's own has ended."""

REAP_S: Final = 0.1
REAPS: Final = 20
"""How often, and how many times, what is left of a dropped run is told to end."""


class Hosting(Protocol):
    """What a run asks of the process that hosts it. The last six know entities; they are handed down from above."""

    store: Store
    loop: asyncio.AbstractEventLoop
    context: Context
    settler: Settler
    homes: Homes
    interceptors: Sequence[Interceptor]
    to_hash: Callable[[str, Mapping[str, Any]], tuple[Mapping[str, Argument], Sequence[str]]]
    from_hash: Callable[[str, Mapping[str, bytes]], dict[str, Any]]
    seeds: Callable[[str, Mapping[str, Any]], Sequence[Argument]]
    stored_names: Callable[[str, Sequence[str]], Sequence[str]]
    named: Callable[[str, Sequence[str], Mapping[str, bytes | None]], dict[str, Any]]
    elements: Callable[[str, str, Sequence[Any]], Sequence[Argument]]

    def spawn(self, coroutine: Coroutine[Any, Any, Any], /, context: Context | None = None) -> "asyncio.Task[Any]": ...
    async def in_thread(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any: ...
    def update(self, run: "Run", /) -> None: ...
    def pull(self, run: "Run", /) -> None: ...
    def park(self, run: "Run", error: ReplayError, /) -> None: ...
    def fail(self, run: "Run", error: Exception, /) -> None: ...
    def lost(self, run: "Run", /, *, rewind: bool) -> None: ...
    def end(self, run: "Run", task: "asyncio.Task[Any]", /) -> None: ...


class Run:
    """One run of a workflow or hook function in this process."""

    __slots__ = (
        "__weakref__",
        "_cancelled",
        "_failures",
        "_inline",
        "_issued",
        "_limit_told",
        "_notes",
        "_ops",
        "_own",
        "_patches",
        "_scheduled",
        "_seen",
        "_writing",
        "active_at",
        "ahead",
        "attempt",
        "beats",
        "began_at",
        "calls",
        "cancellation",
        "claim",
        "computing",
        "dropped",
        "fresh",
        "has_slot",
        "host",
        "journal",
        "leased",
        "main",
        "now_ms",
        "origin",
        "over",
        "partition",
        "policy",
        "replayed",
        "round",
        "seq",
        "service",
        "started_ms",
        "tasks",
        "terms",
        "told",
    )  # fmt: skip

    def __init__(
        self, host: Hosting, service: Any, claim: Claim, partition: int, *, seq: int, attempt: int, ms: int
    ) -> None:
        self.host = host
        self.service = service
        self.claim = claim
        self.partition = partition
        self.seq = seq
        self.attempt = attempt
        self.now_ms = self.started_ms = ms
        self.journal = Journal()
        self.calls: dict[str, Call] = {}
        self.fresh: list[Call] = []
        self.cancellation = Cancellation()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.main: asyncio.Task[Any] | None = None
        self.leased = not claim.stream
        self.dropped = False
        self.over = False
        self.has_slot = False
        self.policy: RetryPolicy = ONCE
        self.origin = ""
        self.told = 0  # outcomes and other entries the function's calls were given, in their order
        self.round = 0  # runs of the job before this one, each of which ended by continue_as_new
        self.terms: dict[str, Any] = {}  # what its start says that the next run's start says as well
        self.began_at = self.active_at = host.loop.time()
        self._ops: list[Argument] = []
        self._seen: int | None = None
        self._own: list[tuple[str, str, str, str, bytes]] = []
        self._cancelled: list[str] = []
        self._scheduled = False
        self._writing = False
        self._inline = 0
        self.computing = False
        self.replayed = 0  # entries of the journal that were there when this process got the run
        self._failures: WeakSet[Exception] | None = None  # those told to the function that it may still raise
        self._issued: dict[str, int] = {}
        self._notes: list[str] = []
        self._patches: dict[str, bool] = {}
        self.ahead: set[str] = set()  # calls that wait for what comes from outside, and are still to be made again
        self._limit_told = False
        self.beats: dict[str, bytes] = {}  # what the last heartbeats of calls told, by their positions

    @property
    def name(self) -> str:
        """ "<dim> <job>"."""
        return self.claim.run

    @property
    def job(self) -> str:
        """ "<entity>:<id>"."""
        return self.claim.run.partition(" ")[2]

    @property
    def steps(self) -> int:
        """Steps it has made, one that is under way included."""
        return self.seq + self._writing

    @property
    def is_replaying(self) -> bool:
        """Whether its function does over what it did before it was lost or suspended."""
        return self.journal.consumed < self.replayed or bool(self.ahead)

    @property
    def dimension(self) -> str:
        """The hook thread; 0 is the main function."""
        return self.claim.run.partition(" ")[0]

    @property
    def root(self) -> str:
        """The path of its main task."""
        return str(self.round)

    # --- the function -------------------------------------------------------------------------------------------------

    def begin_by(self, start: Mapping[str, Any]) -> None:
        """Take in what its start says besides the arguments; see `child.start_body`."""
        policy = start.get("r")
        self.policy = self.service.retry or ONCE if policy is None else RetryPolicy.from_data(policy)
        self.origin = start.get("o") or self.job
        self.round = int(start.get("n", 0))
        self.terms = {key: start[key] for key in ("r", "o") if key in start}

    def begin(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> None:
        """Start the function. The journal has been loaded; its first entry, the start, is not delivered."""
        self.main = asyncio.Task(coroutine, loop=self.host.loop, context=context, name=f"meshdata run {self.name}")
        self.tasks.add(self.main)
        self.main.add_done_callback(self._main_done, context=self.host.context)
        if self.journal.has_more:
            self.host.settler.ask(self)

    def context(self) -> Context:
        """The context its code runs in."""
        return self.host.context.copy().run(entered, self)  # a copy: a task of the host may be in it just now

    def follow(self, task: "asyncio.Task[Any]") -> None:
        """A task of this run was created."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard, context=self.host.context)
        if self.dropped:  # code that cleans up after `Suspended`
            task.add_done_callback(_seen, context=self.host.context)
            task.cancel()

    # --- calls --------------------------------------------------------------------------------------------------------

    async def outcome(self, call: Call) -> Any:
        """Issue a call and await its outcome."""
        future = self.issue(call)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self.abandon(call)
            raise

    def issue(self, call: Call) -> "asyncio.Future[Any]":
        """The user awaits a call: begin it, or wait for the journal to say what came of it."""
        if self.dropped or self.over:
            raise Suspended
        future = call.future = self.host.loop.create_future()
        self.calls[call.position] = call
        self.ahead.discard(call.position)
        if self._failures:
            self._issued[call.position] = self.journal.consumed
        elif self._issued:  # what they might have followed from is forgotten
            self._issued.clear()
        if self.journal.has_more:
            self.fresh.append(call)
            self.host.settler.ask(self)
        else:
            self._go_live(call)
        return future

    def patched(self, patch: str) -> bool:
        """Whether the run takes a patch: it did before, or was never further than here. The answer stays."""
        known = self._patches.get(patch)
        if known is None:
            known = patch in self.journal.patches
            if not known and not self.journal.has_more and not self.ahead:
                known = True
                self._notes.append(patch)
            self._patches[patch] = known
        return known

    def abandon(self, call: Call) -> None:
        """The user gave up a call: nobody waits for its outcome."""
        if self.dropped or self.over or call.position not in self.calls:
            return
        if call.state == "written" or self.journal.has_outcome(call.position):
            self._give_back(call)
            return  # its outcome is on the way and will be passed over
        if call.task is not None:
            call.task.cancel()
        if call.is_unwritten and not self.journal.has_news(call.position):
            del self.calls[call.position]  # nothing was written of it
            self._progress()
            return
        call.state = "cancelled"
        self._cancelled.append(call.position)
        self.write("cancel", call.position)

    def _give_back(self, call: Call) -> None:
        """A signal that came for a wait nobody awaits any more goes to the next who waits."""
        entry = self.journal.outcome_of(call.position)
        if entry is not None and entry.code == "ok" and call.kind in SIGNALS:
            partitions = partitions_of(call, self.host.store.keys.partition)
            self.write("back", entry.place, call.position, partitions)

    def _go_live(self, call: Call) -> None:
        if call.state == "new":
            call.state = "live"
            call.began = self.host.loop.time()
            call.live(self, call)

    # --- delivery -----------------------------------------------------------------------------------------------------

    def settled(self) -> None:
        """None of the run's tasks can go on by itself: deliver the next outcome, or go on beyond the journal."""
        if self.dropped or self.over or self.computing or (self.main is not None and self.main.done()):
            return  # once the function has ended, what it was not told of is left to whoever is told instead
        self._limit_told = False
        while (entry := self.journal.head) is not None:
            if entry.position not in self.calls and entry.position != POSITION and self._does_io():
                # Code that awaits input and output of its own: it runs again on replay, and its call is still to come.
                self.host.loop.call_later(LOOK_AGAIN_S, self.host.settler.ask, self, context=self.host.context)
                return
            self.journal.next()
            self.told += 1
            try:
                visible = self._deliver(entry)
            except ReplayError as error:
                self.host.park(self, error)
                return
            if visible:
                if self.journal.has_more or self.fresh:
                    self.host.settler.ask(self)
                return
        fresh, self.fresh = self.fresh, []
        for call in fresh:
            if call.position in self.calls and call.future is not None and not call.future.done():
                self._go_live(call)
        self.host.update(self)

    def _deliver(self, entry: Entry) -> bool:
        """Hand one outcome over; True if the user's code sees it."""
        self.now_ms = max(self.now_ms, entry.ms)
        if entry.position == POSITION:
            assert self.main is not None
            return self.cancellation.came_up(entry.payload, self.main)
        call = self.calls.get(entry.position)
        if call is None or call.kind != entry.kind or call.name != entry.name:
            raise self._misfit(entry, call)
        if not entry.is_final:
            self._told_of_attempt(call, entry)
            return False
        self._forget(call)
        future = call.future
        if future is None or future.done():
            return False
        if entry.code == BACK:  # a further attempt of the function, which waits on
            call.state = "new"
            self.calls[call.position] = call
            self.fresh.append(call)
            return False
        if call.kind == "timeout":
            self._limit_told = True
            # After the limit's own callback: by then it has cancelled its task, which can be seen.
            self.host.loop.call_soon(self._limit_has_said_so, context=self.host.context)
        if entry.code == "ok":
            try:
                future.set_result(call.decode(entry.payload))
            except Exception as error:
                future.set_exception(error)
        else:
            failure = failure_of(entry, self.job)
            failure.__mesh_entry__ = entry  # type: ignore[attr-defined]  # what a retry of the function drops
            if self._failures is None:
                self._failures = WeakSet()
            self._failures.add(failure)
            future.set_exception(failure)
        return True

    def _limit_has_said_so(self) -> None:
        self._limit_told = False

    def _misfit(self, entry: Entry, call: Call | None, ended: str = "") -> ReplayError:
        """What the journal has, and what the function did there."""
        found, where = ended or "no such call", ""
        if call is not None:
            found, where = str(call), line_of(self.tasks, call.position, call.future)
        return ReplayError(
            label(entry.kind, entry.name),
            found,
            entry.position,
            where=where,
            recorded=f"entry {entry.place}, {datetime.fromtimestamp(entry.ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC",
            others=() if call else [
                f"{one} at {one.position}, {line_of(self.tasks, one.position, one.future)}".rstrip(", ")
                for one in list(self.calls.values())[:FEW]
            ],
        )  # fmt: skip

    def _told_of_attempt(self, call: Call, entry: Entry) -> None:
        """An attempt failed, or the next one is due. Whether it is still wanted shows when the journal is used up."""
        if call.state in ("cancelled", "void"):
            if call.state == "void" and not self.journal.has_news(entry.position):
                self._forget(call)
        elif entry.code == "begin":
            call.first_ms = entry.ms
        elif entry.code == "try":
            if call.first_ms is None:
                call.first_ms = entry.ms - entry.took
            call.attempts += 1
            call.state = "waiting"
        else:
            call.state = "new"
            if call not in self.fresh:
                self.fresh.append(call)

    def _forget(self, call: Call) -> None:
        self.calls.pop(call.position, None)

    def came(self, index: int, raw: bytes | None) -> None:
        """A hint: the journal has an entry at `index`; `raw` if it was small."""
        if self.dropped or self.over or index < self.journal.length:
            return
        if raw is None or not self.journal.extend(index, [raw]):
            self.host.pull(self)
            return
        self._progress()

    def read_on(self, first: int, raws: list[bytes]) -> None:
        """Entries read from the store."""
        if not self.dropped and not self.over and self.journal.extend(first, raws):
            self._progress()

    def _progress(self) -> None:
        """There may be something to deliver."""
        self.active_at = self.host.loop.time()
        if self.journal.has_more or self.fresh:
            main = self.main
            # A single task that waits on a durable call itself: nothing else can be astir, unless a time limit has been
            # told that it is up, and has not yet said so to the task.
            alone = len(self.tasks) == len(self.calls) == 1 and not self._limit_told
            if alone and main is not None and self._waits_on_call(main):
                self.settled()
            else:
                self.host.settler.ask(self)
        self.host.update(self)

    def _waits_on_call(self, task: "asyncio.Task[Any]") -> bool:
        waiter = waits_on(task)
        return waiter is not None and not waiter.done() and any(c.future is waiter for c in self.calls.values())

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, operation: str, *args: Argument) -> None:
        """Queue an operation for the next step."""
        if self._seen is None and operation != "done":
            self._seen = self.journal.length
        self._ops += (operation, len(args), *args)
        self._schedule()

    def record(self, call: Call, code: str, payload: bytes) -> None:
        """An outcome this process worked out: write it, then deliver it in its turn."""
        if self.dropped or self.over or call.position not in self.calls or call.state == "cancelled":
            return
        call.state = "written"
        if self.beats.pop(call.position, None) is not None:
            self.write("beat", call.position)
        self._own.append((call.position, call.kind, code, call.name, payload))
        took = self._took(call)
        self.write("done", call.position, call.kind, code, call.name, payload, *([took] if took else []))

    def try_again(self, call: Call, payload: bytes, delay_ms: int) -> None:
        """An attempt failed, and another is granted after a pause."""
        if self.dropped or self.over or call.position not in self.calls or call.state == "cancelled":
            return
        call.state = "waiting"
        self.write("try", call.position, call.name, payload, delay_ms, self._took(call))

    def note_begin(self, call: Call) -> None:
        """The first attempt of a call begins: have the journal say when."""
        call.has_begun = True
        self._own.append((call.position, call.kind, "begin", call.name, b"null"))
        self.write("done", call.position, call.kind, "begin", call.name, b"null")

    def beat(self, call: Call, details: bytes) -> None:
        """A call's attempt tells how it gets on: keep that for the next one."""
        if self.dropped or self.over or call.position not in self.calls or call.state == "cancelled":
            return
        self.beats[call.position] = details
        self.write("beat", call.position, details)

    def _took(self, call: Call) -> int:
        """For how many ms this process has worked on a call."""
        return int((self.host.loop.time() - call.began) * 1000)

    def begin_inline(self) -> None:
        """Work of this run is done in this process."""
        self._inline += 1

    def end_inline(self) -> None:
        """That work is over."""
        self._inline -= 1

    def begin_computing(self) -> None:
        """Its function is at work in a thread: it is not settled, however it looks."""
        self.computing = True
        self.begin_inline()

    def end_computing(self) -> None:
        """The thread waits, or has ended."""
        self.computing = False
        self.end_inline()
        if self.journal.has_more or self.fresh:
            self.host.settler.ask(self)

    def _schedule(self) -> None:
        if not self._scheduled and not self._writing:
            self._scheduled = True
            self.host.store.before_write(self.partition, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self.dropped or self.over or not self._ops:
            return
        self._writing = True
        ops, own, cancelled = self._ops, self._own, self._cancelled
        self._ops, self._own, self._cancelled = [], [], []
        for patch in self._notes:
            own.insert(0, (PATCH, PATCH, "ok", patch, b""))
            ops[:0] = ("done", 5, PATCH, PATCH, "ok", patch, b"")
        self._notes.clear()
        # Had the outcome of a call been known, its work would not have been begun: the step must not begin it either.
        seen = self.journal.length if self._seen is None else self._seen
        self._seen = None
        claim = self.claim

        def then(reply: Any) -> None:
            stepped = self.host.store.stepped(claim, reply)
            try:
                if stepped is not None:
                    self._stepped(stepped, seen, own, cancelled)
                elif not self.dropped:
                    self.host.spawn(self._step(seen, ops, own, cancelled))
            except Exception as error:  # it runs where replies are read, which must go on whatever a run holds
                self.host.fail(self, error)

        self.host.store.step_soon(claim, then, seq=self.seq + 1, seen=seen, operations=ops)

    async def _step(
        self, seen: int, ops: list[Argument], own: list[tuple[str, str, str, str, bytes]], cancelled: list[str]
    ) -> None:
        store = self.host.store
        while True:
            try:
                stepped = await store.step(self.claim, seq=self.seq + 1, seen=seen, operations=ops)
                break
            except ScriptFailed as error:
                logger.exception("a step was refused", extra={"job_id": self.job})
                self._writing = False
                self.host.fail(self, error)
                return
            except StoreError:
                logger.warning("a step could not be written yet", extra={"job_id": self.job})
                await asyncio.sleep(WRITE_AGAIN_S)
                if self.dropped:
                    return
        self._stepped(stepped, seen, own, cancelled)

    def _stepped(
        self, stepped: Stepped, seen: int, own: list[tuple[str, str, str, str, bytes]], cancelled: list[str]
    ) -> None:
        self._writing = False
        if self.dropped:
            return
        if stepped.word != "OK":
            self.host.lost(self, rewind=stepped.word == "REWIND")
            return
        self.seq += 1
        if not self.leased:
            self.leased = True
            self.claim = Claim(self.claim.run, self.claim.fence)
        if stepped.entries is None:
            for position, kind, code, name, payload in own:
                journal = self.journal
                journal.append(Entry(journal.length, stepped.now_ms, position, kind, code, name, payload))
        else:
            self.journal.extend(seen, stepped.entries)
        for position in cancelled:
            call = self.calls.get(position)
            if call is not None and self.journal.has_news(position):
                call.state = "void"
                self._give_back(call)
            elif call is not None:
                self._forget(call)
        if self._ops:
            self._schedule()
        self._progress()

    # --- rest and end -------------------------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether it only waits for what comes from outside: it needs no slot."""
        return (
            bool(self.calls)
            and self._inline == 0
            and not self._ops
            and not self._writing
            and not self.journal.has_more
            and self.leased
        )

    @property
    def can_suspend(self) -> bool:
        """Whether dropping it from memory loses nothing: all its tasks wait on durable calls, if by way of others."""
        return self.is_waiting and not self.fresh and not self._limit_told and not self._does_io()

    def _does_io(self) -> bool:
        """Whether one of its tasks waits on something that is neither durable nor of the run itself."""
        futures: set[Any] = {call.future for call in self.calls.values()}
        futures |= self.tasks
        return not all(is_woken_within(task, futures.__contains__) for task in self.tasks)

    def failed_on(self, error: BaseException) -> list[str]:
        """The calls a failure of the function came from, and those made when it was known: they may follow from it."""
        entries = _entries_of(error, set())
        if not entries:
            return []
        first = min(entry.place for entry in entries)
        after = [position for position, consumed in self._issued.items() if consumed > first]
        return list(dict.fromkeys([*(entry.position for entry in entries), *after]))

    def drop(self) -> None:
        """Take the run out of memory: its code sees `Suspended`, and nothing it does counts any more."""
        if self.dropped:
            return
        self.dropped = True
        self.host.settler.forget(self)
        suspended: set[Any] = set()
        for call in list(self.calls.values()):
            if call.task is not None:
                call.task.cancel()
            if call.future is not None and not call.future.done():
                call.future.set_exception(Suspended())
                call.future.exception()  # seen: nobody may be waiting for it any more
                suspended.add(call.future)
        for task in list(self.tasks):
            # One that was about to go on must not: what it was to be told is told again elsewhere.
            waiter = waits_on(task)
            if waiter not in suspended and not wake_with(task, Suspended()):
                task.cancel()
            task.add_done_callback(_seen, context=self.host.context)
        self.calls.clear()
        self.host.loop.call_later(REAP_S, self._reap, REAPS, context=self.host.context)

    def _reap(self, left: int) -> None:
        """Clean-up code of a dropped run may wait for tasks that were never begun: it is told again to end."""
        for task in self.tasks:
            task.cancel()
        if self.tasks and left:
            self.host.loop.call_later(REAP_S, self._reap, left - 1, context=self.host.context)

    def _main_done(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        if self.dropped or self.over:
            _seen(task)
            return
        misfit = self._left_unmade(task)
        if misfit is not None:
            _seen(task)
            self.host.park(self, misfit)
            return
        self.over = True
        self.host.settler.forget(self)
        for other in list(self.tasks):
            other.add_done_callback(_seen, context=self.host.context)
            other.cancel()
        for call in list(self.calls.values()):
            if call.task is not None:
                call.task.cancel()
        self.host.end(self, task)

    def _left_unmade(self, main: "asyncio.Task[Any]") -> ReplayError | None:
        """Whether the function ended before it made a call that is recorded.

        Not asked where it may differ from before for good reason: on a further attempt, and beside tasks that await
        input and output of their own.
        """
        if not self.journal.has_more or self.attempt or self._does_io():
            return None
        entry = self.journal.first_not_of(self.calls)
        if entry is None:
            return None
        raised = None if main.cancelled() else main.exception()
        ended = "its end" if raised is None else f"its end by {type(raised).__name__}: {raised}"
        return self._misfit(entry, None, ended)


durable_codes.add(Run.outcome.__code__)


def _seen(task: "asyncio.Task[Any]") -> None:
    """Nobody awaits this task: its exception is not news."""
    if not task.cancelled():
        task.exception()


def _entries_of(error: BaseException | None, seen: set[int]) -> list[Entry]:
    """The outcomes an exception stands for: its own, those of a group's members, or that of what it was raised from."""
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        entry: Entry | None = getattr(error, "__mesh_entry__", None)
        if entry is not None:
            return [entry]
        if isinstance(error, BaseExceptionGroup):
            found = [entry for one in error.exceptions for entry in _entries_of(one, seen)]
            if found:
                return found
        error = error.__cause__ or error.__context__
    return []
