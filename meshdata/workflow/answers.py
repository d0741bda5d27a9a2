"""Runs what is called without a job: the function once, its value or error as the answer; nothing of it is recorded.

A process that dies with a call leaves its message, and another runs the function again. A call that waited longer than
anybody waits for it is dropped.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from meshdata.engine.router import Message
from meshdata.errors import CODE_FAILED, CODE_FATAL, Fatal, JobFailed, failure_payload
from meshdata.store.messages import Asked, Claim
from meshdata.store.store import Store
from meshdata.values import from_json, to_json
from meshdata.workflow.function import Function, InThread
from meshdata.workflow.interceptor import Execution, Interceptor, around

ANSWER_CODES: Final = {"ok": 200, "err": CODE_FAILED}
MARGIN_MS: Final = 100
"""A call that is this near to its end is looked at by the server's clock before it is begun."""


class Answers:
    """The calls a host works on.

    Args:
        spawn: starts a task outside every run.
        surely: writes, however long the store stays away.

    Attributes:
        counts: answers by code, for roll calls: 200 or the failure's.
    """

    def __init__(
        self,
        store: Store,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[Any]],
        surely: Callable[[Callable[[], Coroutine[Any, Any, Any]], int, Claim], Coroutine[Any, Any, Any]],
        in_thread: InThread,
        interceptors: Sequence[Interceptor],
    ) -> None:
        self._store = store
        self._spawn = spawn
        self._surely = surely
        self._in_thread = in_thread
        self._interceptors = interceptors
        self._loop = asyncio.get_running_loop()
        self.counts: Counter[int] = Counter()
        self._ahead_ms: float | None = None  # the server's clock before the loop's
        self._working: dict[str, asyncio.Task[Any]] = {}  # call -> what runs its function
        self._stopped: set[str] = set()

    def begin(self, message: Message, asked: Asked, function: Function, done: Callable[[], None]) -> None:
        """Work on a call; `done` is called once its answer is written, or nothing is left to do."""
        self._working[asked.call] = self._spawn(self._answer(message, asked, function, done))

    def stop(self, call: str) -> None:
        """A call was interrupted: nobody awaits what its function returns. (One that runs in a thread runs on.)"""
        task = self._working.get(call)
        if task is not None:
            self._stopped.add(call)
            self._loop.call_soon(task.cancel)  # not before it has begun: what it holds would not be given back

    async def _answer(self, message: Message, asked: Asked, function: Function, done: Callable[[], None]) -> None:
        partition, claim = message.partition, message.claim
        try:
            if asked.till_ms and await self._is_overdue(message, asked):
                done()
                return
            code, payload = await self._outcome(message, asked, function)
        except BaseException as error:  # the host closes: the message stays, and is put back when it has left
            if asked.call not in self._stopped:
                done()
                raise
            code, payload = "err", _failed(JobFailed("it was interrupted", type=type(error).__name__))
        finally:
            self._stopped.discard(asked.call)
            self._working.pop(asked.call, None)

        self.counts[ANSWER_CODES[code]] += 1

        def then(reply: Any) -> None:
            if isinstance(reply, Exception):
                self._spawn(again())
            else:
                done()

        async def again() -> None:
            try:
                letter = replace(claim, run=f"x {asked.entry or asked.call}")
                write = partial(self._store.calls.answer, partition, claim, asked, code, payload)
                await self._surely(write, partition, letter)
            finally:
                done()

        self._store.calls.answer_soon(partition, then, claim, asked, code, payload)
        self._store.lane(partition).write_now()

    async def _outcome(self, message: Message, asked: Asked, function: Function) -> tuple[str, bytes]:
        try:
            said = from_json(message.body or b"")
            args, kwargs = function.arguments(list(said["a"]), said.get("k") or {})
            payload = to_json(await self._run(asked, function, args, kwargs), argument="result")
            function.check_result(payload)
            return "ok", payload
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return "err", _failed(JobFailed("the function was cancelled from within", type="CancelledError"))
        except Exception as error:
            return "err", _failed(error)

    async def _run(self, asked: Asked, function: Function, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if not self._interceptors:
            return await function.run(self._in_thread, args, kwargs)
        about = Execution(function.name, asked.entry or asked.call, "0", 1, args, kwargs)
        run = partial(function.run, self._in_thread)
        return await around(self._interceptors, "activity", about, lambda call: run(call.args, call.kwargs))

    async def _is_overdue(self, message: Message, asked: Asked) -> bool:
        now = self._store.now_ms()
        if now is None:
            if self._ahead_ms is None:
                # Counted from before it was asked: a call is rather looked at too soon than begun too late.
                asked_at = self._loop.time()
                self._ahead_ms = await self._store.time_ms(message.partition) - asked_at * 1000
            now = int(self._loop.time() * 1000 + self._ahead_ms)
        if now < asked.till_ms - MARGIN_MS:
            return False
        return await self._store.calls.is_overdue(message.partition, message.claim, asked)


def _failed(error: Exception) -> bytes:
    code = CODE_FATAL if isinstance(error, Fatal) else None
    return to_json(failure_payload(error, code=code), argument="error")
