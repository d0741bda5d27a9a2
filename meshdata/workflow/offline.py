"""Runs a function from a recorded journal, without a store: as far as the journal goes, and without doing anything."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Never

from meshdata.errors import CorruptRecord, ReplayError
from meshdata.store.keys import Keys
from meshdata.store.messages import Argument, Claim
from meshdata.values import from_json
from meshdata.workflow.call import Call
from meshdata.workflow.context import follow_tasks
from meshdata.workflow.function import Function, contained
from meshdata.workflow.home import Home, Homes
from meshdata.workflow.interceptor import Interceptor
from meshdata.workflow.runner import Run
from meshdata.workflow.settle import Settler
from meshdata.workflow.thread import Threads
from meshdata.workflow.where import line_of
from meshdata.workflow.worker import Service

LOOK_AGAIN_S: Final = 0.02
"""How often is looked whether input and output of the function's own has ended."""

THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run as it was recorded; `waits` are the positions of what it waited for then."""

    namespace: str
    job: str
    dimension: str
    name: str
    attempt: int
    entries: Sequence[bytes]
    waits: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Knows:
    """What a host is told from above: where functions live, and how records are read."""

    homes: Homes
    to_hash: Callable[[str, Mapping[str, Any]], tuple[Mapping[str, Argument], Sequence[str]]]
    from_hash: Callable[[str, Mapping[str, bytes]], dict[str, Any]]
    seeds: Callable[[str, Mapping[str, Any]], Sequence[Argument]]
    stored_names: Callable[[str, Sequence[str]], Sequence[str]]
    named: Callable[[str, Sequence[str], Mapping[str, bytes | None]], dict[str, Any]]
    elements: Callable[[str, str, Sequence[Any]], Sequence[Argument]]


@dataclass(frozen=True, slots=True)
class Pending:
    """A call the function makes beyond the journal, and the line it is made at."""

    call: str
    position: str
    where: str

    def __str__(self) -> str:
        return f"{self.call} at {self.position}" + (f", {self.where}" if self.where else "")


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a function came: it returned, raised, or waits for what is not recorded.

    Attributes:
        delivered: how many recorded outcomes it was given.
    """

    ended: bool
    result: Any
    error: BaseException | None
    pending: tuple[Pending, ...]
    delivered: int


class _Store:
    """As much of a store as calls ask for before they go live."""

    def __init__(self, namespace: str) -> None:
        self.keys = Keys(namespace)


class _OfflineRun(Run):
    """A run that writes nothing: what is not recorded stays open."""

    __slots__ = ("at_rest",)
    at_rest: asyncio.Event

    def settled(self) -> None:
        had_more = self.journal.has_more
        super().settled()
        if self.dropped or self.over:
            return
        if had_more and not self.computing:
            self.host.settler.ask(self)
        elif self.computing or self._does_io():
            self.host.loop.call_later(LOOK_AGAIN_S, self.host.settler.ask, self, context=self.host.context)
        else:
            self.at_rest.set()

    def write(self, operation: str, *args: Argument) -> None:
        pass

    def _go_live(self, call: Call) -> None:
        call.state = "live"


class _Offline:
    """As much of a host as such a run needs."""

    def __init__(self, namespace: str, knows: Knows) -> None:
        self.store: Any = _Store(namespace)
        self.loop = asyncio.get_running_loop()
        self.context: Context = copy_context()
        self.settler = Settler(self.loop)
        self.homes = knows.homes
        self.to_hash, self.from_hash, self.seeds = knows.to_hash, knows.from_hash, knows.seeds
        self.stored_names, self.named, self.elements = knows.stored_names, knows.named, knows.elements
        self.interceptors: Sequence[Interceptor] = ()
        self.misfit: Exception | None = None
        self.threads: ThreadPoolExecutor | None = None

    def spawn(self, coroutine: Coroutine[Any, Any, Any], context: Context | None = None) -> Never:
        raise AssertionError("nothing is begun offline")

    async def in_thread(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if self.threads is None:
            self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="meshdata-replay")
        return await self.loop.run_in_executor(
            self.threads, partial(copy_context().run, contained, fn, *args, **kwargs)
        )

    def park(self, run: Run, error: ReplayError) -> None:
        self._stop(run, error)

    def fail(self, run: Run, error: Exception) -> None:
        self._stop(run, error)

    def _stop(self, run: Run, error: Exception) -> None:
        self.misfit = error
        run.drop()
        assert isinstance(run, _OfflineRun)
        run.at_rest.set()

    def update(self, run: Run) -> None:
        pass

    def pull(self, run: Run) -> None:
        pass

    def lost(self, run: Run, *, rewind: bool) -> None:
        pass

    def end(self, run: Run, task: "asyncio.Task[Any]") -> None:
        assert isinstance(run, _OfflineRun)
        run.at_rest.set()


async def rerun(recorded: Recorded, function: Function, knows: Knows) -> Reached:
    """Run a function from a journal.

    Raises:
        ReplayError: it takes another way. CorruptRecord: this is no journal.
    """
    loop = asyncio.get_running_loop()
    stop_following = follow_tasks(loop)
    host = _Offline(recorded.namespace, knows)
    entity = recorded.job.partition(":")[0]
    service = Service(function, home=Home(entity, recorded.name, recorded.name))
    claim = Claim(f"{recorded.dimension} {recorded.job}", "1")
    run = _OfflineRun(host, service, claim, 0, seq=0, attempt=recorded.attempt, ms=0)
    run.at_rest = asyncio.Event()
    threads = Threads(Run.drop)
    run.ahead.update(recorded.waits)
    try:
        run.journal.extend(0, [raw for raw in recorded.entries if not _is_end(raw)])
        run.replayed = run.journal.length + 1  # nothing is done anew, and nothing said
        start = run.journal.next()
        if start is None or start.kind != "start":
            raise CorruptRecord(f"the journal of {recorded.job} does not begin with its start")
        run.now_ms = run.started_ms = start.ms
        said = from_json(start.payload)
        run.begin_by(said)

        async def body() -> Any:
            args, kwargs = function.arguments(list(said["a"]), said.get("k") or {})
            if function.is_async:
                return await function.run(host.in_thread, args, kwargs)
            return await threads.call(run, function, args, kwargs)

        run.begin(body(), run.context())
        host.settler.ask(run)
        await run.at_rest.wait()
        if host.misfit is not None:
            raise host.misfit
        return _reached(run)
    finally:
        run.drop()
        if run.main is not None:
            await asyncio.gather(run.main, *run.tasks, return_exceptions=True)
        stop_following()
        threads.close()
        if host.threads is not None:
            host.threads.shutdown(wait=False, cancel_futures=True)


def _is_end(raw: bytes) -> bool:
    """Whether an entry is not an outcome but the job's own result."""
    words = raw.split(b" ", 3)
    return len(words) > 2 and words[1:3] == [b"0", b"end"]


def _reached(run: Run) -> Reached:
    main, delivered = run.main, run.journal.consumed - 1
    assert main is not None
    if main.done():
        error = asyncio.CancelledError() if main.cancelled() else main.exception()
        return Reached(True, None if error else main.result(), error, (), delivered)
    pending = tuple(
        Pending(str(call), call.position, line_of(run.tasks, call.position, call.future))
        for call in run.calls.values()
        if call.state in ("new", "live", "waiting")
    )
    return Reached(False, None, None, pending, delivered)
