"""What calls without a job ask of Redis: one method per script, one typed outcome per call.

A call is known by its id, its partition, and the entry that keeps its answer, if there is one; who awaits it hears of
its end under the name `run_of` makes of these. Source: docs/keyspace.md "Calls"; lua/lib/calls.lua.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from meshdata.store.keys import Keys
from meshdata.store.messages import Argument, Asked, Claim, Outcome

PAGE: Final = 1_000
"""Entries of a flushed group that one script gives back."""

Then = Callable[[Any], None]
"""Is given a reply, or the error, in the moment it is read."""


class Scripts(Protocol):
    """What is asked of the store."""

    _crash: Callable[[str], None] | None

    @property
    def keys(self) -> Keys: ...
    @property
    def partitions(self) -> int: ...
    @property
    def process(self) -> str: ...
    async def _script(self, name: str, partition: int, *args: Argument) -> list[Any]: ...
    def _soon(self, name: str, partition: int, then: Then, *args: Argument) -> None: ...
    def _of(self, run: str) -> int: ...


@dataclass(slots=True)
class Ask:
    """A call whose answer an entry keeps, in the words of `lua/ask.lua`; the floors above have checked it.

    Attributes:
        entry: "<topic>:<id>"; call: the id of the call, if it comes to one.
        anew: "" takes what is kept, "failed" does unless that is a failure, "all" does not.
        ttl, stale, failure: ms, 'inf' or ''.
    """

    entry: str
    topic: str
    body: bytes
    ttl: str = ""
    stale: str = ""
    failure: str = ""
    anew: str = ""
    tags: Sequence[str] = ()
    call: str = ""
    wait_ms: Argument = ""


class Kept(NamedTuple):
    """What an entry said: DONE with the answer, and for how many ms it is fresh (-1 for ever, 0 stale); PENDING with
    the call that brings it; or LIMITED, the topic has limits."""

    word: str
    code: str
    payload: bytes
    left_ms: int
    call: str


def run_of(partition: int, call: str, entry: str = "") -> str:
    """What those who await a call know it by."""
    return f"x {partition} {call} {entry}" if entry else f"x {partition} {call}"


class CallScripts:
    """Calls without a job, in one namespace."""

    def __init__(self, store: Scripts) -> None:
        self._store = store

    def _soon(self, name: str, partition: int, then: Then, *args: Argument) -> None:
        crash = self._store._crash
        if crash is None:
            self._store._soon(name, partition, then, *args)
            return

        def then_crash(reply: Any) -> None:
            crash(f"after {name}")
            then(reply)

        self._store._soon(name, partition, then_crash, *args)

    # --- asking -------------------------------------------------------------------------------------------------------

    def call_soon(self, then: Then, topic: str, call: str, body: bytes, wait_ms: Argument) -> None:
        """Queue a call whose answer is not kept; `then` is given the reply for `called`."""
        store = self._store
        self._soon("call", store.keys.partition(call), then, topic, call, body, store.process, wait_ms, "")

    async def call_again(self, topic: str, call: str, body: bytes, wait_ms: Argument) -> tuple[Outcome, bytes]:
        """The same where it is not known whether that took effect: it is queued once. The id of its message too."""
        store = self._store
        partition = store.keys.partition(call)
        return self.called(await store._script("call", partition, topic, call, body, store.process, wait_ms, "1"))

    def called(self, reply: Any) -> tuple[Outcome, bytes]:
        """A reply to `call_soon`."""
        word, code, payload, message = reply
        return Outcome(word.decode(), code.decode(), payload), message

    def ask_soon(self, then: Then, ask: Ask) -> None:
        """Ask for an entry's answer; `then` is given the reply for `asked`."""
        self._soon("ask", self._store.keys.partition(ask.entry), then, *self._ask(ask))

    async def ask(self, ask: Ask) -> Kept:
        """The same; sent again as often as it takes."""
        return self.asked(await self._store._script("ask", self._store.keys.partition(ask.entry), *self._ask(ask)))

    def _ask(self, ask: Ask) -> tuple[Argument, ...]:
        return (
            ask.entry, ask.topic, ask.call, ask.body, self._store.process, ask.wait_ms, ask.anew, ask.ttl, ask.stale,
            ask.failure, *ask.tags,
        )  # fmt: skip

    def asked(self, reply: Any) -> Kept:
        """A reply to `ask_soon`."""
        word, code, payload, what = reply
        if word == b"DONE":
            return Kept("DONE", code.decode(), payload, what, "")
        return Kept(word.decode(), "", b"", 0, what.decode())

    async def awaited(self, run: str) -> Outcome:
        """What came of a call, by the name `run_of` made; PENDING if that is not known (yet)."""
        _, partition, call, *entry = run.split(" ", 3)
        reply = await self._store._script("awaited", int(partition), call, entry[0] if entry else "")
        return Outcome(reply[0].decode(), reply[1].decode(), reply[2])

    async def withdraw(self, run: str, topic: str, message: bytes, *, stay: bool) -> str:
        """Await a call no longer; unless it is to stay, nobody begins it then. NOBODY, WAITING, RUNNING or GONE."""
        _, partition, call, *entry = run.split(" ", 3)
        reply = await self._store._script(
            "withdraw", int(partition), topic, call, message, entry[0] if entry else "", self._store.process,
            "1" if stay else "",
        )  # fmt: skip
        word: str = reply[0].decode()
        return word

    # --- answering ----------------------------------------------------------------------------------------------------

    def answer_soon(self, partition: int, then: Then, claim: Claim, asked: Asked, code: str, payload: bytes) -> None:
        """Bring what came of a call and consume its message; `then` is given the reply, or an error: call `answer`."""
        self._soon("answer", partition, then, *_answer(claim, asked, code, payload))

    async def answer(self, partition: int, claim: Claim, asked: Asked, code: str, payload: bytes) -> None:
        """The same; sent again as often as it takes."""
        await self._store._script("answer", partition, *_answer(claim, asked, code, payload))

    async def is_overdue(self, partition: int, claim: Claim, asked: Asked) -> bool:
        """Whether nobody awaits a call any more; it is dropped then."""
        reply = await self._store._script(
            "overdue", partition, claim.stream, claim.message, asked.call, asked.entry, asked.till_ms or ""
        )
        return bool(reply[0] == b"DROPPED")

    # --- what is kept -------------------------------------------------------------------------------------------------

    async def forget(self, entry: str, topic: str, *, end_by: bytes = b"") -> bool:
        """Forget an entry's answer; or end the run under way by an error. Whether there was any."""
        reply = await self._store._script("forget", self._store.keys.partition(entry), entry, topic, end_by)
        return bool(reply[0])

    async def flush_tag(self, tag: str) -> int:
        """Forget the answers of a group; how many it were."""
        removed = 0
        for partition in range(self._store.partitions):
            first = 0
            while first >= 0:
                count, first = await self._store._script("flush_tag", partition, tag, first, PAGE)
                removed += count
        return removed

    def kept_soon(self, then: Then, run: str) -> None:
        """Ask for the stored end of a job; `then` is given the reply for `kept`."""
        self._soon("kept", self._store._of(run), then, run)

    async def kept_surely(self, run: str) -> Kept:
        """The same; sent again as often as it takes."""
        return self.kept(await self._store._script("kept", self._store._of(run), run))

    def kept(self, reply: Any) -> Kept:
        """A reply to `kept_soon`: DONE or NOTFOUND."""
        word, code, payload, left = reply
        return Kept(word.decode(), code.decode(), payload, left, "")


def _answer(claim: Claim, asked: Asked, code: str, payload: bytes) -> tuple[Argument, ...]:
    return claim.stream, claim.message, asked.call, asked.waiter, code, payload, asked.entry, asked.policy
