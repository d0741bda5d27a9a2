"""What the runs of graphs ask of Redis: one method per script, one typed outcome per call.

A graph job's journal is its inbox: what a step has dealt with leaves it with the step's commit. Its state is a hash of
its own. Source: docs/keyspace.md; the scripts lua/graph_*.lua.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from meshdata.store.keys import Keys
from meshdata.store.messages import Argument, Claim, Outcome, StartJob

Fields = dict[str, bytes | None]
"""Fields of a job's state; None for one that is not there."""


class Scripts(Protocol):
    """What is asked of the store."""

    @property
    def keys(self) -> Keys: ...
    @property
    def process(self) -> str: ...
    async def _script(self, name: str, partition: int, *args: Argument) -> list[Any]: ...
    async def command(self, partition: int, *args: Argument) -> Any: ...
    def _carried(self, partition: int, outbox: int) -> None: ...
    def _of(self, run: str) -> int: ...


class Taken(NamedTuple):
    """A graph job in hand: word OK, TAKEN or STALE; its fence; commits so far; its inbox; its state, `whole` or the
    part that every step needs."""

    word: str
    fence: str
    seq: int
    entries: list[bytes]
    fields: Fields
    whole: bool


class Committed(NamedTuple):
    """What a commit came to: word OK (written), MORE (written, and there is news), STALE or REWIND (nothing was)."""

    word: str
    entries: list[bytes]


class End(NamedTuple):
    """How a job stands behind a step: running, waiting, completed or failed; of an end, its code, the error as it is
    stored, its message, and how long the job stays (ms, or inf)."""

    how: str
    code: str = ""
    payload: bytes = b""
    problem: str = ""
    ttl: str = ""


class Graphs:
    """The part of the store that graph jobs use."""

    def __init__(self, store: Scripts) -> None:
        self._store = store

    async def start(self, start: StartJob, end: End, operations: Sequence[Argument], *, waiter: str = "") -> Outcome:
        """Create a job with what its trigger came to; EXISTS if there is one."""
        store = self._store
        partition = store.keys.partition(start.job)
        spec = start.spec(waiter)
        reply = await store._script("graph_start", partition, *end, len(spec), *spec, *operations)
        store._carried(partition, reply[3])
        return Outcome(reply[0].decode(), reply[1].decode(), reply[2])

    async def lease(self, claim: Claim) -> Taken:
        """Take the lease of a job that goes on."""
        store = self._store
        word, seq, entries, whole, state = await store._script(
            "graph_lease",
            store._of(claim.run),
            claim.run,
            claim.fence,
            store.process,
            claim.stream,
            claim.message,
        )
        return Taken(word.decode(), claim.fence, seq, entries, _fields(state), bool(whole))

    async def reply(self, claim: Claim, position: str, *, code: str, payload: bytes, takes: bool) -> Taken:
        """Bring a worker's reply, and take the job's lease if nobody has it."""
        store = self._store
        partition = store._of(claim.run)
        word, fence, seq, entries, whole, state, outbox = await store._script(
            "graph_reply", partition, claim.run, position, code, payload, store.process, "1" if takes else "0",
            claim.stream, claim.message,
        )  # fmt: skip
        store._carried(partition, outbox)
        return Taken(word.decode(), fence.decode(), seq, entries, _fields(state), bool(whole))

    async def commit(
        self, claim: Claim, *, seq: int, consumed: int, end: End, operations: Sequence[Argument]
    ) -> Committed:  # fmt: skip
        """Write what a step came to."""
        store = self._store
        partition = store._of(claim.run)
        word, entries, outbox = await store._script(
            "graph_commit", partition, claim.run, claim.fence, store.process, seq, consumed, claim.stream,
            claim.message, *end, *operations,
        )  # fmt: skip
        store._carried(partition, outbox)
        return Committed(word.decode(), entries)

    async def add(self, run: str, position: str, *, guid: str, payload: bytes, gid: str = "") -> str:
        """A further reply for an activity that is open: OK, AGAIN (it came before) or STALE."""
        store = self._store
        partition = store._of(run)
        word, outbox = await store._script("graph_add", partition, run, position, gid, guid, payload)
        store._carried(partition, outbox)
        found: str = word.decode()
        return found

    async def fields(self, job: str, names: Sequence[str]) -> Fields:
        """Some fields of a job's state."""
        partition = self._store.keys.partition(job)
        found = await self._store.command(partition, "HMGET", self._store.keys.graph(job), *names)
        return dict(zip(names, found, strict=True))

    async def state(self, job: str) -> Fields:
        """All of a job's state; empty if there is none."""
        partition = self._store.keys.partition(job)
        found: dict[bytes, bytes] = await self._store.command(partition, "HGETALL", self._store.keys.graph(job))
        return {name.decode(): value for name, value in found.items()}


def _fields(state: Sequence[bytes]) -> Fields:
    return {state[at].decode(): state[at + 1] for at in range(0, len(state), 2)}
