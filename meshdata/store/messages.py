"""What goes into a store call and what comes out: one typed value each. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

Argument = str | bytes | int | float
"""What a command may be made of."""


@dataclass(slots=True)
class StartJob:
    """Everything a start says, in the words of `lua/lib/start_job.lua`; the floors above have checked it."""

    job: str
    topic: str
    body: bytes
    name: str
    ttl: str = ""
    hookable: bool = True
    record: bool = False
    policy: str = "attach"
    parent: str = ""
    awaited: bool = False
    answer: bytes = b""
    origin: str = ""
    delay_ms: int | None = None
    pending: str = ""
    limit: str = ""
    queue: str = ""
    token: str = ""
    graph: str | None = None
    held: bool = False
    priority: str = ""
    limit_key: str = ""
    seeds: Sequence[Argument] = ()

    def spec(self, waiter: str) -> list[Argument]:
        """The list the script takes."""
        return [
            self.job, self.topic, self.body, self.name, self.ttl, "1" if self.hookable else "0",
            "1" if self.record else "", waiter, self.policy, self.parent, self._further(), *self.seeds,
        ]  # fmt: skip

    def _further(self) -> bytes:
        """What most starts leave out, packed into one argument: each argument costs the hot path."""
        if not (self.origin or self.queue or self.token or self.parent or self.pending or self.limit) and (
            self.delay_ms is None and self.graph is None and not (self.priority or self.limit_key)
        ):
            return b""
        delay = b"" if self.delay_ms is None else b"%d" % self.delay_ms
        awaited = b"1" if self.awaited else b""
        rest = (
            self.origin.encode(),
            delay,
            self.queue.encode(),
            self.token.encode(),
            self.pending.encode(),
            self.limit.encode(),
            *self._of_graph(),
            *self._of_gate(),
        )
        return b"".join(b"%d:%b" % (len(part), part) for part in (awaited, self.answer, *rest))

    def _of_gate(self) -> tuple[bytes, ...]:
        if not (self.priority or self.limit_key):
            return ()
        return self.priority.encode(), self.limit_key.encode()

    def _of_graph(self) -> tuple[bytes, ...]:
        if self.graph is None:
            return (b"", b"", b"") if self.priority or self.limit_key else ()
        return b"", b"=" + self.graph.encode(), b"1" if self.held else b""


class Outcome(NamedTuple):
    """How a job stands: word is CREATED, PENDING, EXISTS, DONE or NOTFOUND; code and payload are set with DONE."""

    word: str
    code: str
    payload: bytes


class Changed(NamedTuple):
    """What came of a change to a record: the script's word, its text, the record's revision (None: nothing changed)."""

    word: str
    text: str
    rev: int | None


class Stepped(NamedTuple):
    """What a step came to: word OK, STALE or REWIND; the script's time; the journal's length; entries not seen."""

    word: str
    now_ms: int
    length: int
    entries: list[bytes] | None


class Leased(NamedTuple):
    """A lease: word OK or STALE; the ledger's number; attempts made before; the whole journal; positions of
    the calls whose outcome is still to come from outside; what the last heartbeats of calls told."""

    word: str
    seq: int
    attempt: int
    entries: list[bytes]
    waits: list[str]
    beats: dict[str, bytes]


class Beat(NamedTuple):
    """What a life sign learned: whether this process was known, who is dead, which runs have news, what to relay."""

    alive: bool
    dead: list[str]
    news: list[str]
    relay: list[int]
    lost: list[str]


@dataclass(slots=True, frozen=True)
class Claim:
    """A message a process holds: the run it gives, the fence it gives it with, and where it came from."""

    run: str
    fence: str
    stream: str = ""
    message: bytes = b""


class Asked(NamedTuple):
    """A call without a job, as its message has it.

    Attributes:
        call: its id; waiter: the process that awaits it, "" where its entry knows.
        entry: what keeps the answer, "" for nothing; policy: how, for `lua/answer.lua`.
        till_ms: when nobody awaits it any more, ms since 1970; 0 for never.
    """

    call: str
    waiter: str
    entry: str
    policy: bytes
    till_ms: int


def texts(packed: bytes) -> list[str]:
    """A list of texts as scripts pack it: "<length>:<bytes>" each."""
    found = []
    at = 0
    while at < len(packed):
        colon = packed.index(b":", at)
        end = colon + 1 + int(packed[at:colon])
        found.append(packed[colon + 1 : end].decode())
        at = end
    return found


class Mark(NamedTuple):
    """How far an index of statistics was read in one partition: ids before number `upto`."""

    partition: int
    bucket: str
    key: str
    facet: str
    upto: int
