"""One attempt of an activity: what its function may know and tell while it runs, what ends it, and what came of it."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from meshdata.engine.policy import RetryPolicy
from meshdata.errors import CODE_EXHAUSTED, CODE_FATAL, Fatal, MeshTimeout, NotInWorkflow, TimedOut, failure_payload
from meshdata.values import to_json

BEAT_EVERY_S: Final = 1.0
"""The details of heartbeats are written no more often than this; those in between wait for the next writing."""


def _to_nobody(_: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ActivityInfo:
    """What an activity may know of the call it serves.

    Attributes:
        job_id: "<entity>:<id>" of the workflow that called it; also as `job`.
        attempt: 1 for the first run.
        idempotency_key: the same for every run of this call; give it to services that know duplicates by such a key.
        details: what the last heartbeat of an earlier attempt told; None if there was none.
    """

    job_id: str
    name: str
    attempt: int
    idempotency_key: str
    details: Any = None
    beat: Callable[[Any], None] = field(default=_to_nobody, repr=False, compare=False)

    @property
    def job(self) -> str:
        """ "<entity>:<id>" of the workflow that called it."""
        return self.job_id

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is over, and its work may stop; to ask counts as a heartbeat.

        For plain functions, which run in a thread: a coroutine is cancelled. On another worker an attempt learns of it
        when it writes the details of a heartbeat.
        """
        try:
            self.beat(None)
        except asyncio.CancelledError:
            return True
        return False

    def heartbeat(self, details: Any = None) -> None:
        """Say that the work goes on; from a coroutine or a thread, as often as you like.

        Args:
            details: how far it has come, as anything JSON can hold: the next attempt finds it in `.details`. It is
                written at most once a second. None leaves the details as they are.

        Raises:
            asyncio.CancelledError: this attempt is over (it took too long, or its job ended): stop. A coroutine has
                been cancelled then; a plain function in a thread has no other way to hear of it.
            InvalidOptions: the details are not JSON.
        """
        self.beat(details)


_info: ContextVar[ActivityInfo | None] = ContextVar("meshdata_activity", default=None)


def info() -> ActivityInfo:
    """About the running activity.

    Raises:
        NotInWorkflow: no activity is running.
    """
    found = _info.get()
    if found is None:
        raise NotInWorkflow("activity.info()")
    return found


class Pulse:
    """The heartbeats of one attempt: when the last one came, and the details that are still to be written.

    Args:
        write: stores details (as JSON); called on the loop, at most every BEAT_EVERY_S.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._write = write
        self._written_at = -BEAT_EVERY_S
        self._timer: asyncio.TimerHandle | None = None
        self._noted = False
        self._unwritten: bytes | None = None
        self.last_at = self._loop.time()
        self.is_over = False

    def beat(self, details: Any) -> None:
        """A heartbeat, from any thread."""
        if self.is_over:
            raise asyncio.CancelledError("this attempt is over; nobody waits for it any more")
        payload = None if details is None else to_json(details, argument="details")
        self.last_at = self._loop.time()
        if payload is None:
            return
        self._unwritten = payload
        if threading.get_ident() == self._thread:
            self._note()
        elif not self._noted:
            self._noted = True
            self._loop.call_soon_threadsafe(self._note)

    def _note(self) -> None:
        self._noted = False
        if self.is_over or self._timer is not None:
            return
        wait = self._written_at + BEAT_EVERY_S - self._loop.time()
        if wait > 0:
            self._timer = self._loop.call_later(wait, self.flush)
        else:
            self.flush()

    def flush(self) -> None:
        """Write the details that are not written yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unwritten is not None:
            payload, self._unwritten = self._unwritten, None
            self._written_at = self._loop.time()
            self._write(payload)

    def end(self) -> None:
        """The attempt is over."""
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one attempt is held to, in seconds; None for no limit.

    Attributes:
        timeout_s: how long the attempt may take; heartbeat_s: how long it may be silent.
        left_s: how long the call has until its deadline.
    """

    timeout_s: float | None = None
    heartbeat_s: float | None = None
    left_s: float | None = None


NO_LIMITS: Final = Limits()


async def attempt_once(
    work: Callable[[], Coroutine[Any, Any, Any]],
    about: ActivityInfo,
    *,
    retry: RetryPolicy,
    limits: Limits = NO_LIMITS,
    pulse: Pulse | None = None,
) -> tuple[str, bytes, int]:
    """Run an activity's function once.

    Returns:
        What the journal gets: the code (ok, err, or try if it failed and is to be tried again), the result or the error
        as JSON, and for try the pause in ms.
    """
    token = _info.set(about)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        return "ok", to_json(await _within(work, about, limits, pulse), argument="result"), 0
    except Exception as error:
        attempt = about.attempt
        pause = retry.pause_ms(attempt, error, dice=random.random)
        if pause is not None and limits.left_s is not None and loop.time() - began + pause / 1000 >= limits.left_s:
            said = failure_payload(_past_deadline(about), attempts=attempt)
            return "err", to_json(said | {"cause": failure_payload(error, attempts=attempt)}, argument="error"), 0
        if pause is not None:
            return "try", to_json(failure_payload(error, attempts=attempt), argument="error"), pause
        code = CODE_FATAL if isinstance(error, Fatal) else None
        if retry.is_used_up(attempt, error):
            code = CODE_EXHAUSTED
        return "err", to_json(failure_payload(error, code=code, attempts=attempt), argument="error"), 0
    finally:
        if pulse is not None:
            pulse.end()
        _info.reset(token)


async def _within(
    work: Callable[[], Coroutine[Any, Any, Any]], about: ActivityInfo, limits: Limits, pulse: Pulse | None
) -> Any:
    if limits == NO_LIMITS:
        return await work()
    if limits.left_s is not None and limits.left_s <= 0:
        raise _past_deadline(about)
    watch = _Watch(about, limits, pulse)
    try:
        async with watch.limit:
            watch.begin()
            return await work()
    except TimeoutError as error:
        if watch.ended_by is None or not watch.limit.expired():
            raise
        raise watch.ended_by from error
    finally:
        watch.end()


class _Watch:
    """Ends an attempt that takes too long, is silent too long, or comes to the deadline of its call."""

    def __init__(self, about: ActivityInfo, limits: Limits, pulse: Pulse | None) -> None:
        self.limit = asyncio.timeout(None)
        self.ended_by: MeshTimeout | TimedOut | None = None
        self._loop = asyncio.get_running_loop()
        self._about = about
        self._limits = limits
        self._pulse = pulse
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self) -> None:
        """The attempt begins now."""
        limits, loop = self._limits, self._loop
        if limits.timeout_s is not None:
            text = f"activity {self._about.name} took longer than {limits.timeout_s:g} s"
            self._timers["timeout"] = loop.call_later(limits.timeout_s, self._cut, self._late(text))
        if limits.left_s is not None:
            self._timers["deadline"] = loop.call_later(limits.left_s, self._cut, _past_deadline(self._about))
        if limits.heartbeat_s is not None:
            self._timers["heartbeat"] = loop.call_later(limits.heartbeat_s, self._listen, limits.heartbeat_s)

    def _listen(self, heartbeat_s: float) -> None:
        last_at = self._pulse.last_at if self._pulse is not None else 0.0
        left = last_at + heartbeat_s - self._loop.time()
        if left > 0:
            self._timers["heartbeat"] = self._loop.call_later(left, self._listen, heartbeat_s)
        else:
            self._cut(self._late(f"activity {self._about.name} gave no heartbeat for {heartbeat_s:g} s"))

    def _late(self, text: str) -> MeshTimeout:
        return MeshTimeout(text, job_id=self._about.job_id)

    def _cut(self, why: MeshTimeout | TimedOut) -> None:
        if self.ended_by is None:
            self.ended_by = why
            self.limit.reschedule(self._loop.time())

    def end(self) -> None:
        """The attempt is over."""
        for timer in self._timers.values():
            timer.cancel()


def _past_deadline(about: ActivityInfo) -> TimedOut:
    return TimedOut(
        f"activity {about.name} did not end by its deadline", job_id=about.job_id, type="TimedOut",
        attempts=about.attempt,
    )  # fmt: skip
