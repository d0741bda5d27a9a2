"""Serves graphs in this process: takes messages in, runs workers' callbacks, has the steps that follow carried out."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson

from meshdata.engine.router import Message, Router
from meshdata.errors import CODE_FAILED, ScriptFailed, StoreError
from meshdata.graph.effects import GRAPH, run_topic, work_topic
from meshdata.graph.spans import stream_span
from meshdata.graph.steps import Steps
from meshdata.graph.stream import StreamData, StreamReply, WorkerCallback, packed_failure, packed_reply
from meshdata.store.graphs import Taken
from meshdata.store.messages import Claim
from meshdata.store.store import Store
from meshdata.telemetry import mark_failed

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.5
THREADS: Final = 32


@dataclass(slots=True)
class Served:
    """What this process does for an app: its `steps`, if it is an engine of it, and workers by topic."""

    steps: Steps | None = None
    workers: dict[str, WorkerCallback] = field(default_factory=dict)


class GraphHost:
    """The graphs of one process."""

    def __init__(self, store: Store, router: Router) -> None:
        self._store = store
        self._router = router
        self._apps: dict[str, Served] = {}
        self._topics: dict[str, tuple[Served, WorkerCallback | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work: set[Claim] = set()
        self._held: set[str] = set()
        self._closing = False
        self._threads: ThreadPoolExecutor | None = None

    def serve_runs(self, app: str, steps: Steps) -> str:
        """Be an engine of an app. Returns the topic to serve."""
        served = self._apps.setdefault(app, Served())
        served.steps = steps
        topic = run_topic(app)
        self._topics[topic] = (served, None)
        return topic

    def serve_work(self, app: str, topic: str, callback: WorkerCallback) -> str:
        """Be a worker. Returns the topic to serve."""
        served = self._apps.setdefault(app, Served())
        served.workers[topic] = callback
        full = work_topic(app, topic)
        self._topics[full] = (served, callback)
        return full

    def sources(self) -> dict[str, str]:
        """The source of the callbacks it serves, by topic."""
        return {topic: _source(callback) for topic, (_, callback) in self._topics.items() if callback is not None}

    def has_room(self, topic: str) -> bool:
        """Whether the router should read a topic: as long as it has slots."""
        return not self._closing

    def holds(self, run: str) -> bool:
        """Whether this process has a job's lease, or may have."""
        return run in self._held

    def handle(self, message: Message) -> None:
        """A message arrived: a job that goes on, or work."""
        if message.claim in self._at_work:
            return  # read again after the connection broke
        served, callback = self._topics[message.topic]
        self._at_work.add(message.claim)
        self._router.take()
        work = self._run(served, message) if callback is None else self._work(served, callback, message)
        task = asyncio.create_task(self._guarded(work, message), name=f"meshdata graph {message.claim.run}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None], message: Message) -> None:
        try:
            await work
        except Exception:
            # Its message, or its lease, is put back when this process leaves or its sign lapses.
            logger.exception("a message of a graph could not be dealt with", extra={"run": message.claim.run})
        finally:
            self._at_work.discard(message.claim)
            self._router.release()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def _run(self, served: Served, message: Message) -> None:
        claim, steps = message.claim, served.steps
        assert steps is not None  # its topic is served
        self._held.add(claim.run)
        try:
            if message.body is not None:
                await steps.begin(claim, message.body)
                return
            taken = await self._surely(lambda: self._store.graphs.lease(claim))
            if taken.word == "OK":
                await self._go_on(steps, Claim(claim.run, claim.fence), taken)
        finally:
            self._held.discard(claim.run)

    async def _go_on(self, steps: Steps, claim: Claim, taken: Taken) -> None:
        if taken.seq == 0 and not taken.fields:
            # A first message that was put back, or too large to carry its body: the job begins with the inbox's head.
            await steps.begin_from(claim, taken)
        else:
            await steps.go_on(claim, taken)

    # --- work ---------------------------------------------------------------------------------------------------------

    async def _work(self, served: Served, callback: WorkerCallback, message: Message) -> None:
        try:
            packed = orjson.loads(message.body or b"null")
            asked = StreamData(packed["metadata"], packed["data"])
        except (ValueError, LookupError, TypeError):
            logger.error("work that cannot be read was taken away", extra={"run": message.claim.run})
            payload: bytes | None = packed_failure(ValueError("the work's message cannot be read"))
        else:
            app = message.topic.removeprefix(GRAPH).partition("/")[0]
            payload = await self._called(app, callback, asked)
        claim, run = message.claim, message.claim.run
        takes = served.steps is not None and not self._closing
        self._held.add(run)
        try:
            taken = await self._surely(
                lambda: self._store.graphs.reply(
                    claim, message.position, code="" if payload is None else "ok", payload=payload or b"", takes=takes
                )
            )
            if taken.word == "TAKEN":
                assert served.steps is not None  # else it takes nothing
                await served.steps.go_on(Claim(run, taken.fence), taken)
        finally:
            self._held.discard(run)

    async def _called(self, app: str, callback: WorkerCallback, asked: StreamData) -> bytes | None:
        with stream_span("EXECUTE", app, asked.metadata) as span:
            try:
                if inspect.iscoroutinefunction(callback):
                    found = await callback(asked)
                else:
                    found = await self._in_thread(callback, asked)
                    if inspect.isawaitable(found):
                        found = await found
                if isinstance(found, StreamReply) and found.status == "error":
                    mark_failed(span, f"Function Status Code {found.code or CODE_FAILED}")
                return packed_reply(found)
            except Exception as error:
                logger.info("a worker's callback raised", exc_info=True, extra={"topic": asked.metadata.get("topic")})
                mark_failed(span, f"Function Status Code {CODE_FAILED}")
                return packed_failure(error)

    async def _in_thread(self, callback: WorkerCallback, asked: StreamData) -> Any:
        if self._threads is None:  # the loop's own has few: it has other things to do
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="meshdata work")
        call = partial(copy_context().run, callback, asked)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _surely(self, call: Callable[[], Coroutine[Any, Any, Taken]]) -> Taken:
        """Call the store until it answers: what was worked out is not lost because the connection is."""
        while True:
            try:
                return await call()
            except ScriptFailed:
                raise
            except StoreError:
                logger.warning("a reply cannot be written yet", exc_info=True)
            await asyncio.sleep(PAUSE_S)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Let what is under way end, for so long; the rest is put back when the process leaves."""
        self._closing = True
        if self._tasks:
            _, left = await asyncio.wait(list(self._tasks), timeout=max(seconds, 0.01))
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _source(callback: WorkerCallback) -> str:
    try:
        return inspect.getsource(callback)
    except (OSError, TypeError):  # typed in a console, or an object that is called
        return repr(callback)
