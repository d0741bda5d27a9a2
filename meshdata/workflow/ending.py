"""How runs end: what the function returned or raised is stored, or the function is queued for another attempt."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from meshdata.engine import dead
from meshdata.engine.policy import RetryPolicy, is_final
from meshdata.errors import (
    CODE_EXHAUSTED,
    CODE_FAILED,
    CODE_FATAL,
    CODE_INTERRUPTED,
    CODE_TIMEOUT,
    FINAL_CODES,
    JobFailed,
    MeshError,
    ScriptFailed,
    StoreError,
    failure_payload,
)
from meshdata.store.messages import Claim
from meshdata.store.store import Store
from meshdata.values import from_json, to_json
from meshdata.workflow.renewal import open_signals, renewal_of, was_told
from meshdata.workflow.runner import Run

logger = logging.getLogger(__name__)

COUNTED_AS_DONE: Final = 200
COUNTED_AS_AGAIN: Final = 599

PAUSE_S: Final = 0.5
"""Between attempts to write what could not be written."""

MOST_REFUSALS: Final = 5
"""Attempts at what a script refuses (a key is not what it should be, a script has a fault) before it is given up."""


class Endings:
    """Writes the ends of a host's runs.

    Args:
        spawn: starts a task outside every run.
        let_go: the run's end is written, or somebody else's to write.

    Attributes:
        counts: ends by code, for roll calls: 200 done, 599 failed and to be tried again, else the failure's.
    """

    def __init__(
        self,
        store: Store,
        spawn: Callable[[Coroutine[Any, Any, Any]], Any],
        let_go: Callable[[Run], None],
    ) -> None:
        self._store = store
        self._spawn = spawn
        self._let_go = let_go
        self.closing = False
        self.counts: Counter[int] = Counter()

    async def fail(self, run: Run, error: Exception) -> None:
        """End a run that cannot go on."""
        self.counts[CODE_FAILED] += 1
        payload = to_json(failure_payload(error, attempts=run.attempt + 1), argument="error")
        try:
            await self._finish(run, None, "failed", "err", payload, str(error))
        except ScriptFailed as refused:
            await self._bury(run.partition, run.claim, refused)

    def end(self, run: Run, task: "asyncio.Task[Any]") -> None:
        """The function returned or raised: store that, or have it run again."""
        # A step may still be under way. It is on the same connection, so it comes first; the end says that it has to.
        error = _error_of(task)
        if error is None:
            try:
                payload = to_json(task.result(), argument="result")
                run.service.function.check_result(payload)
            except MeshError as unfit:
                error = unfit
            else:
                self._returned(run, payload)
                return
        renewal = renewal_of(error)
        write = self._failed(run, error) if renewal is None else self._renew(run, renewal)
        self._spawn(self._write_end(run, write))

    def _returned(self, run: Run, payload: bytes) -> None:
        claim = run.claim
        self.counts[COUNTED_AS_DONE] += 1

        def then(reply: Any) -> None:
            if self._store.finished(claim, reply) is None:
                self._spawn(self._write_end(run, self._finish(run, run.steps, "completed", "ok", payload, "")))
            else:
                self._let_go(run)

        self._store.finish_soon(claim, then, seq=run.steps, payload=payload)

    async def _write_end(self, run: Run, write: Coroutine[Any, Any, None]) -> None:
        try:
            await write
        except ScriptFailed as refused:
            logger.exception("the end of a run was refused, so the run fails", extra={"job_id": run.job})
            await self.fail(run, refused)
        finally:
            self._let_go(run)

    async def _renew(self, run: Run, body: bytes) -> None:
        renew = partial(
            self._store.renew, run.claim, seq=run.steps, consumed=run.journal.consumed,
            told=was_told(run), body=body, signals=open_signals(run),
        )  # fmt: skip
        await self._written(renew)

    async def _failed(self, run: Run, error: BaseException) -> None:
        policy = run.policy
        attempts = run.attempt + 1
        delay = policy.pause_ms(attempts, error, dice=random.random)
        end = run.cancellation.end_by(error, run.journal, again=delay is not None)
        if end is not None:
            self.counts[CODE_INTERRUPTED] += 1
            await self._finish(run, run.steps, "interrupted", "err", end, str(from_json(end)["message"]))
            return
        if delay is not None:
            self.counts[COUNTED_AS_AGAIN] += 1
            logger.info("a run failed and will be tried again", extra={"job_id": run.job, "attempt": attempts})
            drop = run.failed_on(error)
            again = partial(
                self._store.again, run.claim, drop=drop, delay_ms=delay, attempt=attempts, told=run.cancellation.is_told
            )
            await self._written(partial(again, seq=run.steps))
            return
        code = failure_code(error, policy, attempts)
        self.counts[code] += 1
        payload = to_json(failure_payload(error, code=code, attempts=attempts), argument="error")
        message = error.message if isinstance(error, JobFailed) else str(error)
        await self._finish(run, run.steps, "failed", "err", payload, message[:1000] or type(error).__name__)

    async def _finish(self, run: Run, seq: int | None, status: str, code: str, payload: bytes, problem: str) -> None:
        finish = partial(
            self._store.finish,
            run.claim,
            seq=seq,
            status=status,
            code=code,
            payload=payload,
            problem=_one_line(problem),
        )
        if not await self._written(finish):
            logger.warning("a run ended here that another process has", extra={"job_id": run.job})

    async def surely(
        self, write: Callable[[], Coroutine[Any, Any, Any]], partition: int, claim: Claim, position: str = ""
    ) -> Any:
        """Write, however long the store stays away: the scripts apply it once.

        What a script goes on refusing, trying again would not change. A dead letter tells of it; of an activity's work
        for another worker `position` is the call.

        Returns:
            What it gave; False if it was given up, for that or because this process closes.
        """
        try:
            return await self._written(write)
        except ScriptFailed as refused:
            await self._bury(partition, claim, refused, position)
            return False

    async def _written(self, write: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        refusals = 0
        while True:
            try:
                return await write()
            except StoreError as error:
                refusals += isinstance(error, ScriptFailed)
                if refusals == MOST_REFUSALS:
                    raise
                logger.warning("what came of a run could not be written yet", exc_info=True)
            if self.closing:
                return False
            await asyncio.sleep(PAUSE_S)

    async def _bury(self, partition: int, claim: Claim, refused: ScriptFailed, position: str = "") -> None:
        logger.error("given up, see the dead letters: %s", refused, extra={"run": claim.run})
        try:
            await dead.bury(self._store, partition, claim, str(refused), position=position)
        except StoreError:
            logger.exception("not even a dead letter could be written", extra={"run": claim.run})


def failure_code(error: BaseException, policy: RetryPolicy, attempts: int) -> int:
    """The code a failure is stored with: fatal, attempts used up, or plain."""
    if is_final(error):
        code = getattr(error, "code", CODE_FATAL)
        return code if isinstance(code, int) and code in FINAL_CODES else CODE_FATAL
    if isinstance(error, TimeoutError):
        return CODE_TIMEOUT
    return CODE_EXHAUSTED if policy.is_used_up(attempts, error) else CODE_FAILED


def _error_of(task: "asyncio.Task[Any]") -> BaseException | None:
    if task.cancelled():
        return asyncio.CancelledError("the function was cancelled from within")
    return task.exception()


def _one_line(text: str) -> str:
    return " ".join(text.split())
