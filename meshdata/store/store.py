"""Store: what the floors above may ask of Redis, one method per script, one typed outcome per call.

A method is one round trip. Every script is idempotent by its own ledger (a fence, a sequence number, a token), so a
call whose connection broke is sent again; those that are not (`signal`, `hook`, a `change` that counts, appends, or
names what it must find) say that their outcome is unknown. Effects on other partitions leave through the outbox, which
`relay` carries over.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from meshdata.errors import (
    IndexNotFound,
    InvalidOptions,
    QueryInvalid,
    ScriptFailed,
    StoreUnavailable,
)
from meshdata.store import scripts
from meshdata.store.apps import Apps
from meshdata.store.calls import CallScripts
from meshdata.store.changes import Changes, Place
from meshdata.store.control import ControlScripts
from meshdata.store.crash import crash_points
from meshdata.store.graphs import Graphs
from meshdata.store.keys import FORMAT, Keys
from meshdata.store.lane import ConnectionLost, Lane, ReplyError
from meshdata.store.large import LARGE_VALUE, whole
from meshdata.store.messages import Argument, Beat, Changed, Claim, Leased, Outcome, StartJob, Stepped
from meshdata.store.outbox import Outbox
from meshdata.store.schedules import DueSchedule, ScheduleScripts, due_schedules
from meshdata.store.statistics import Statistics

if TYPE_CHECKING:
    from meshdata.store.redis import Connections

logger = logging.getLogger(__name__)

READY_TIMEOUT_S: Final = 30.0
"""How long a call waits for a lost connection to come back before it gives up."""

CANNOT_WRITE: Final = ("OOM", "MISCONF")
"""Answers of a server that is full, or cannot save: it may write again later, and a run waits for that."""

REPEATABLE: Final = frozenset({"set", "delete", "remove", "drop"})
"""Changes of a record that come to the same when they are made twice."""

LEASE_ENTRIES: Final = 2_000
"""Journal entries a lease returns at once; longer journals are read on in pieces of this many."""


class Store(ScheduleScripts, ControlScripts):
    """One namespace on one Redis. Open it with `Store.open`, close the connections by `close`."""

    def __init__(
        self, connections: "Connections", keys: Keys, *, process: str, clock: Callable[[], int] | None = None,
        large_value: int = LARGE_VALUE,
    ) -> None:  # fmt: skip
        self.connections = connections
        self.keys = keys
        self.partitions = keys.partitions
        self.process = process
        self.has_search: bool = connections.features.search
        self._clock = clock
        self._crash = crash_points()
        self._lanes: list[Lane] = [connections.lane(p) for p in range(keys.partitions)]
        self._bases = [keys.base(p) for p in range(keys.partitions)]
        self._scripts = {name: scripts.load(name, large_value=large_value) for name in scripts.names()}
        self._outbox = Outbox(self)
        self.changes = Changes(self)
        self.graphs = Graphs(self)
        self.calls = CallScripts(self)
        self.apps = Apps(self)
        self.statistics = Statistics(self)

    @classmethod
    async def open(
        cls,
        connections: "Connections",
        namespace: str,
        *,
        process: str,
        partitions: int | None = None,
        clock: Callable[[], int] | None = None,
        large_value: int = LARGE_VALUE,
    ) -> "Store":
        """Join a namespace, or found it: its number of partitions is fixed by whoever comes first.

        Raises:
            InvalidOptions: it has another number of partitions, or a format this version does not know.
            StoreUnavailable: Redis did not answer.
        """
        make = partial(cls, connections, process=process, clock=clock, large_value=large_value)
        store = make(Keys(namespace, partitions or 1))
        meta = store.keys.meta
        await store.command(0, "HSETNX", meta, "partitions", partitions or 1)
        await store.command(0, "HSETNX", meta, "format", FORMAT)
        found = await store.command(0, "HMGET", meta, "partitions", "format")
        count, fmt = int(found[0]), found[1].decode()
        if fmt != FORMAT:
            raise InvalidOptions(
                f"namespace {namespace!r} was written in format {fmt}, this version reads {FORMAT}; use another one",
                argument="namespace",
            )
        if partitions is not None and partitions != count:
            raise InvalidOptions(
                f"namespace {namespace!r} has {count} partitions, fixed when it was created; "
                f"leave partitions out or say {count}",
                argument="partitions",
            )
        if count != store.partitions:
            store = make(Keys(namespace, count))
        return store

    async def close(self) -> None:
        """Let relays under way end, then close the connections."""
        await self.changes.close()
        await self._outbox.close()
        await self.connections.aclose()

    def now_ms(self) -> int | None:
        """The time a test has set, or None for the server's."""
        return None if self._clock is None else self._clock()

    # --- calling ------------------------------------------------------------------------------------------------------

    async def command(self, partition: int, *args: Argument) -> Any:
        """One plain command, sent again when the connection broke; only for commands that may run twice.

        Returns:
            The raw RESP3 reply: bytes, int, float, list, dict or None.

        Raises:
            StoreUnavailable, ScriptFailed, IndexNotFound, QueryInvalid.
        """
        return await self._send(self._lanes[partition], args, resend=True)

    async def _send(self, lane: Lane, args: Sequence[Argument], *, resend: bool, wait: bool = True) -> Any:
        while True:
            try:
                return await lane.call(*args)
            except ConnectionLost as lost:
                if not wait:
                    raise
                if lost.sent and not resend:
                    raise StoreUnavailable(
                        "the connection broke while the call was under way; whether it took effect is unknown"
                    ) from lost
                await lane.ready(READY_TIMEOUT_S)
            except ReplyError as error:
                if not error.try_again:
                    raise _translated(error, args) from error
                await asyncio.sleep(0.05)

    async def _script(
        self, name: str, partition: int, *args: Argument, resend: bool = True, wait: bool = True
    ) -> list[Any]:
        """Call a script.

        Args:
            resend: whether it may be sent again when it is unknown whether it took effect.
            wait: False gives up when the connection is gone, even if the script was not sent yet.
        """
        script = self._scripts[name]
        now: Argument = "" if self._clock is None else self._clock()
        call = ("EVALSHA", script.sha, 1, self._bases[partition], now, partition, *args)
        if self._crash is not None:
            self._crash(f"before {name}")
        lane = self._lanes[partition]
        future = lane.call(*call)
        lane.write_now()
        try:
            reply: list[Any] = await future
        except (ReplyError, ConnectionLost) as error:
            if isinstance(error, ConnectionLost) and not wait:
                raise
            reply = await self._script_again(script, call, partition, error, resend, wait)
        if self._crash is not None:
            self._crash(f"after {name}")
        return reply

    async def _script_again(
        self,
        script: scripts.Script,
        call: tuple[Argument, ...],
        partition: int,
        error: Exception,
        resend: bool,
        wait: bool,
    ) -> Any:
        """The slow road: the server forgot the script, or the connection broke."""
        lane = self._lanes[partition]
        if isinstance(error, ConnectionLost):
            if error.sent and not resend:
                raise StoreUnavailable(
                    "the connection broke while the call was under way; whether it took effect is unknown"
                ) from error
            await lane.ready(READY_TIMEOUT_S)
        elif error.args and not str(error).startswith("NOSCRIPT"):
            if not (isinstance(error, ReplyError) and error.try_again):
                raise _translated(error, (script.name,)) from error
            await asyncio.sleep(0.05)
        # EVAL carries the source: right whether the server knows the script or lost it in a restart.
        return await self._send(lane, ("EVAL", script.source, *call[2:]), resend=resend, wait=wait)

    def _carried(self, partition: int, outbox: int) -> None:
        """A script left messages for other partitions: carry them over in the background."""
        if outbox:
            for target in range(self.partitions):
                if target != partition:
                    self.relay(partition, target)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def start_job(self, start: StartJob, *, waiter: str = "") -> Outcome:
        """Create a job, or report the one there. `waiter` is the process that will be told of its end."""
        partition = self.keys.partition(start.job)
        reply = await self._script("start", partition, *start.spec(waiter))
        self._carried(partition, reply[3])
        return Outcome(reply[0].decode(), reply[1].decode(), reply[2])

    async def result(self, run: str, *, waiter: str = "") -> Outcome:
        """How a run ended; if it has not, note who is to be told."""
        reply = await self._script("result", self._of(run), run, waiter)
        return Outcome(reply[0].decode(), reply[1].decode(), reply[2])

    def _of(self, run: str) -> int:
        return 0 if self.partitions == 1 else self.keys.partition(run.partition(" ")[2])

    async def step(self, claim: Claim, *, seq: int, seen: int, operations: Sequence[Argument]) -> Stepped:
        """Write a run's outcomes and what follows from them; take its lease and consume its message if that is due."""
        partition = self._of(claim.run)
        reply = await self._script(
            "step", partition, claim.run, claim.fence, seq, self.process, seen, claim.stream, claim.message, *operations
        )
        self._carried(partition, reply[4])
        return Stepped(reply[0].decode(), int(reply[1]), reply[2], reply[3] if reply[3] != b"" else None)

    def before_write(self, partition: int, produce: Callable[[], None]) -> None:
        """Have `produce` add its commands to the partition's next write."""
        self._lanes[partition].before_write(produce)
        self._lanes[partition].write_now()

    def step_soon(
        self, claim: Claim, then: Callable[[Any], None], *, seq: int, seen: int, operations: Sequence[Argument]
    ) -> None:
        """`step` without a task: `then` is given the reply for `stepped` in the moment it is read."""
        self._soon(
            "step", self._of(claim.run), then,
            claim.run, claim.fence, seq, self.process, seen, claim.stream, claim.message, *operations,
        )  # fmt: skip

    def _soon(self, name: str, partition: int, then: Callable[[Any], None], *args: Argument) -> None:
        if self._crash is not None:
            self._crash(f"before {name}")
        now: Argument = "" if self._clock is None else self._clock()
        sha, base = self._scripts[name].sha, self._bases[partition]
        self._lanes[partition].call_then(then, "EVALSHA", sha, 1, base, now, partition, *args)

    def stepped(self, claim: Claim, reply: Any) -> Stepped | None:
        """A reply to `step_soon`; None if it was an error: call `step`, which goes the slow road."""
        if isinstance(reply, Exception):
            return None
        if self._crash is not None:
            self._crash("after step")
        word, now, length, entries, outbox = reply
        if outbox:
            self._carried(self._of(claim.run), outbox)
        return Stepped(word.decode(), int(now), length, entries if entries != b"" else None)

    async def finish(
        self, claim: Claim, *, seq: int | None, status: str, code: str, payload: bytes, problem: str = ""
    ) -> bool:
        """Write a run's end, after its `seq`-th step. False: it was not this process's to end, or steps were lost."""
        partition = self._of(claim.run)
        reply = await self._script(
            "finish", partition, claim.run, claim.fence, self.process, "" if seq is None else seq,
            claim.stream, claim.message, status, code, payload, problem,
        )  # fmt: skip
        self._carried(partition, reply[1])
        return bool(reply[0] == b"OK")

    def finish_soon(self, claim: Claim, then: Callable[[Any], None], *, seq: int, payload: bytes) -> None:
        """`finish` of a function that returned, without a task: `then` is given the reply for `finished`."""
        partition = self._of(claim.run)
        self._soon(
            "finish", partition, then,
            claim.run, claim.fence, self.process, seq, claim.stream, claim.message, "completed", "ok", payload, "",
        )  # fmt: skip
        self._lanes[partition].write_now()

    def finished(self, claim: Claim, reply: Any) -> bool | None:
        """A reply to `finish_soon`, as `finish` gives it; None if it was an error: call `finish`."""
        if isinstance(reply, Exception):
            return None
        if self._crash is not None:
            self._crash("after finish")
        if reply[1]:
            self._carried(self._of(claim.run), reply[1])
        return bool(reply[0] == b"OK")

    async def again(
        self, claim: Claim, *, seq: int, drop: Sequence[str], delay_ms: int, attempt: int, told: bool = False
    ) -> bool:
        """Give a failed run back for another attempt after a pause, less what is recorded of the calls at some
        positions. A request to cancel it that it was not `told` of ends the pause."""
        partition = self._of(claim.run)
        reply = await self._script(
            "again", partition, claim.run, claim.fence, self.process, seq, claim.stream, claim.message,
            delay_ms, attempt, "1" if told else "0", *drop,
        )  # fmt: skip
        self._carried(partition, reply[1])
        return bool(reply[0] == b"OK")

    async def renew(
        self, claim: Claim, *, seq: int, consumed: int, told: bool, body: bytes, signals: Sequence[Argument]
    ) -> bool:
        """End a run and begin the next one of its job; see `lua/renew.lua`."""
        partition = self._of(claim.run)
        reply = await self._script(
            "renew", partition, claim.run, claim.fence, self.process, seq, claim.stream, claim.message, consumed,
            "1" if told else "0", body, *signals,
        )  # fmt: skip
        self._carried(partition, reply[1])
        return bool(reply[0] == b"OK")

    async def suspend(self, claim: Claim, *, seen: int, how: str, seq: int | None = None, problem: str = "") -> str:
        """Give a lease back, after the `seq`-th step. Returns OK, MORE (it has news; keep it) or STALE."""
        reply = await self._script(
            "suspend", self._of(claim.run), claim.run, claim.fence, self.process,
            "" if seq is None else seq, seen, claim.stream, claim.message, how, problem,
        )  # fmt: skip
        word: str = reply[0].decode()
        return word

    async def lease(self, claim: Claim) -> Leased:
        """Become the one process that may write a run, and read its whole journal."""
        partition = self._of(claim.run)
        reply = await self._script(
            "lease", partition, claim.run, claim.fence, self.process, claim.stream, claim.message, LEASE_ENTRIES
        )
        entries = await self._whole(claim.run, reply[4])
        while len(entries) < reply[3]:
            piece = await self.entries(claim.run, len(entries), LEASE_ENTRIES)
            if not piece:
                break
            entries.extend(piece)
        waits = [position.decode() for position in reply[5]]
        told = reply[6]
        beats = {position.decode(): details for position, details in zip(told[::2], told[1::2], strict=True)}
        return Leased(reply[0].decode(), reply[1], reply[2], entries, waits, beats)

    async def pick(self, partition: int, topic: str, claim: Claim) -> tuple[Claim, Leased] | None:
        """Become the one process that may write the first in line of a topic; None if nobody is in it."""
        word, run, fence, entries = await self._script(
            "pick", partition, topic, self.process, claim.stream, claim.message
        )
        if word != b"OK":
            return None
        taken = Claim(run.decode(), fence.decode())
        return taken, Leased("OK", 0, 0, await self._whole(taken.run, entries), [], {})

    async def entries(self, run: str, start: int, count: int = 0) -> list[bytes]:
        """Journal entries from an index on; all of them when count is 0."""
        partition = self._of(run)
        dim, _, job = run.partition(" ")
        key = f"{self._bases[partition]}" + (f"l:{job}" if dim == "0" else f"hl:{dim}:{job}")
        found: list[bytes] = await self.command(partition, "LRANGE", key, start, start + count - 1 if count else -1)
        return await self._whole(run, found)

    async def _whole(self, run: str, entries: list[bytes]) -> list[bytes]:
        """Entries with their large payloads, which are kept beside the journal."""
        partition = self._of(run)
        dim, _, job = run.partition(" ")
        key = f"{self._bases[partition]}" + (f"v:{job}" if dim == "0" else f"hv:{dim}:{job}")
        return await whole(entries, key, partial(self.command, partition))

    async def header(self, run: str) -> dict[str, bytes]:
        """A run's header, empty if there is none."""
        partition = self._of(run)
        dim, _, job = run.partition(" ")
        key = f"{self._bases[partition]}" + (f"j:{job}" if dim == "0" else f"hj:{dim}:{job}")
        found: dict[bytes, bytes] = await self.command(partition, "HGETALL", key)
        if b"code" in found and b"result" not in found:  # too long for the header: see lua/lib/stored.lua
            for end in await self.entries(run, -1):
                found[b"result"] = end.partition(b"\n")[2]
        return {name.decode(): value for name, value in found.items()}

    async def parked_runs(self) -> dict[str, str]:
        """The runs that were put aside because their functions do not fit their journals, and why."""
        found: dict[str, str] = {}
        for partition, base in enumerate(self._bases):
            for topic in await self.command(partition, "SMEMBERS", f"{base}topics"):
                for run in await self.command(partition, "SMEMBERS", f"{base}parked:{topic.decode()}"):
                    header = await self.header(run.decode())
                    found[run.decode()] = header.get("parked", b"").decode()
        return found

    async def length(self, run: str) -> int:
        """How many entries a run's journal has."""
        partition = self._of(run)
        dim, _, job = run.partition(" ")
        key = f"{self._bases[partition]}" + (f"l:{job}" if dim == "0" else f"hl:{dim}:{job}")
        length: int = await self.command(partition, "LLEN", key)
        return length

    async def standing(self, run: str) -> tuple[str, int, int]:
        """How far the store knows a run: its fence ('' if there is none), steps applied, length of its journal."""
        partition = self._of(run)
        dim, _, job = run.partition(" ")
        base = self._bases[partition]
        header, journal = (f"j:{job}", f"l:{job}") if dim == "0" else (f"hj:{dim}:{job}", f"hl:{dim}:{job}")
        (fence, seq), length = await asyncio.gather(
            self.command(partition, "HMGET", f"{base}{header}", "fence", "seq"),
            self.command(partition, "LLEN", f"{base}{journal}"),
        )
        return (fence or b"").decode(), int(seq or 0), length

    async def parked(self, topics: Iterable[str]) -> int:
        """How many runs of some topics are parked."""
        commands = [
            self.command(partition, "SCARD", self.keys.parked(partition, topic))
            for partition in range(self.partitions)
            for topic in topics
        ]
        return sum(await asyncio.gather(*commands))

    async def owned(self, partition: int) -> list[str]:
        """Runs whose lease this process holds, as the store knows it."""
        found = await self.command(partition, "SMEMBERS", f"{self._bases[partition]}own:{self.process}")
        return [run.decode() for run in found]

    async def signal(self, key: str, payload: bytes, *, id: str = "") -> str:
        """TAKEN by one who waits, KEPT for one who will, or FULL. With an id, one sent again does not count again."""
        partition = self.keys.partition(key)
        reply = await self._script("signal", partition, key, payload, id, resend=id != "")
        self._carried(partition, reply[1])
        word: str = reply[0].decode()
        return word

    async def hook(self, job: str, *, topic: str, body: bytes, name: str, waiter: str = "") -> tuple[str, str]:
        """Run a function on a living job: (OK, dimension), (NOTFOUND, '') or (CLOSED, '')."""
        partition = self.keys.partition(job)
        reply = await self._script("hook", partition, job, topic, body, name, waiter, resend=False)
        self._carried(partition, reply[2])
        return reply[0].decode(), reply[1].decode()

    async def interrupt(self, job: str, *, payload: bytes, problem: str, descend: bool, throw: bool, ttl: str) -> str:
        """End a job now: OK, NOTFOUND or ENDED."""
        partition = self.keys.partition(job)
        reply = await self._script(
            "interrupt_job", partition, job, payload, problem, "1" if descend else "0", "1" if throw else "0", ttl
        )
        self._carried(partition, reply[1])
        word: str = reply[0].decode()
        return word

    async def resume(self, job: str) -> str:
        """Let a job begin now that is reserved or delayed: OK, BEGUN (before) or NOTFOUND."""
        partition = self.keys.partition(job)
        reply = await self._script("resume", partition, job)
        self._carried(partition, reply[1])
        word: str = reply[0].decode()
        return word

    async def cancel(self, run: str, *, payload: bytes, problem: str) -> str:
        """Ask a run, and the hooks of a main one, to end itself: OK, NOTFOUND or ENDED."""
        partition = self._of(run)
        reply = await self._script("cancel", partition, run, payload, problem)
        self._carried(partition, reply[1])
        word: str = reply[0].decode()
        return word

    async def flush(self, job: str) -> int:
        """Take a job away with everything it left; the number of keys removed."""
        partition = self.keys.partition(job)
        reply = await self._script("flush_job", partition, job)
        self._carried(partition, reply[1])
        removed: int = reply[0]
        return removed

    async def change(
        self,
        job: str,
        op: str,
        *args: Argument,
        create: bool = True,
        new: bool = False,
        expected_rev: int | None = None,
        ttl_ms: int | None = None,
    ) -> Changed:
        """Change a record from outside, in the words of `lua/change.lua`.

        Args:
            create: False refuses a record that is not there; new: True refuses one that is.
            ttl_ms: how long it is to live from now on; None leaves that as it is.
        """
        # Sent again, one that counts would count twice, and one that names what it found would be refused for its own.
        repeatable = op in REPEATABLE and expected_rev is None and not new
        reply = await self._script(
            "change", self.keys.partition(job), job, _presence(create, new),
            "" if expected_rev is None else expected_rev, "" if ttl_ms is None else ttl_ms, op, *args,
            resend=repeatable,
        )  # fmt: skip
        return Changed(reply[0].decode(), reply[1].decode(), int(reply[2]) if reply[2] else None)

    async def change_many(
        self,
        partition: int,
        entity: str,
        records: Sequence[tuple[str, Sequence[Argument]]],
        *,
        create: bool = True,
        new: bool = False,
        ttl_ms: int | None = None,
    ) -> list[tuple[str, str]]:
        """Write fields of many records of one entity in one partition, each by itself.

        Args:
            records: job, and the arguments of `set`.
            create, new, ttl_ms: as `change` has them.

        Returns:
            A word and its text for each, in the words of `lua/change_many.lua`.
        """
        flat: list[Argument] = []
        for job, args in records:
            flat += (job, len(args), *args)
        reply = await self._script(
            "change_many", partition, _presence(create, new), "" if ttl_ms is None else ttl_ms, entity, *flat,
            resend=not new,
        )  # fmt: skip
        words = [part.decode("utf-8", "replace") for part in reply]
        return list(zip(words[::2], words[1::2], strict=True))

    async def read(self, job: str, names: Sequence[str] = ()) -> dict[str, bytes | None]:
        """A record's fields as stored: those named (None where absent), or all."""
        partition, key = self.keys.partition(job), self.keys.record(job)
        if names:
            values = await self.command(partition, "HMGET", key, *names)
            return dict(zip(names, values, strict=True))
        found = await self.command(partition, "HGETALL", key)
        return {name.decode(): value for name, value in found.items()}

    async def watch(self, partition: int, entity: str, ttl_ms: int) -> Place:
        """Say that somebody watches an entity's records, or goes on doing so; where its changes stand."""
        epoch, n = await self._script("watch", partition, entity, ttl_ms)
        return Place(int(epoch), n)

    def lane(self, partition: int) -> Lane:
        """The shared connection of a partition, to subscribe on."""
        return self._lanes[partition]

    # --- the life of a process ----------------------------------------------------------------------------------------

    async def join(self, partition: int, topics: Iterable[str], *, ttl_ms: int) -> int:
        """Begin to serve topics; the number of parked runs that got another chance."""
        reply = await self._script("join", partition, self.process, ttl_ms, *topics)
        unparked: int = reply[0]
        return unparked

    async def beat(self, partition: int, *, ttl_ms: int, late: Iterable[Claim] = ()) -> Beat:
        """Say that this process lives, take leases whose first step is late, learn what there is to do."""
        flat: list[Argument] = []
        for claim in late:
            flat += (claim.run, claim.fence, claim.stream, claim.message)
        word, dead, news, relay, lost = await self._script("beat", partition, self.process, ttl_ms, *flat)
        return Beat(
            word == b"ALIVE", [d.decode() for d in dead], [n.decode() for n in news], [int(r) for r in relay],
            [run.decode() for run in lost],
        )  # fmt: skip

    async def forget_news(self, partition: int, runs: Sequence[str]) -> None:
        """News this process has no use for: it does not hold those runs."""
        await self.command(partition, "SREM", f"{self._bases[partition]}wake:{self.process}", *runs)

    async def take_over(
        self, partition: int, dead: str, *, limit: int, deaths: int | None, payload: bytes, problem: str
    ) -> tuple[str, int]:
        """Put back what a dead process held, or one that leaves (deaths None, none are counted).

        Returns:
            MORE, DONE or ALIVE, and how many runs and messages it was.
        """
        limits = (limit, "" if deaths is None else deaths)
        reply = await self._script("take_over", partition, dead, *limits, payload, problem)
        self._carried(partition, reply[2])
        return reply[0].decode(), reply[1]

    async def leave(self, partition: int, topics: Iterable[str]) -> None:
        """Stop serving topics."""
        await self._script("leave", partition, self.process, *topics)

    async def fire(self, partition: int, *, limit: int = 200) -> tuple[int, int | None, list[DueSchedule]]:
        """Carry out due timers: how many it was, the ms until the next one is due (None: there is none), and schedules
        to decide about, whose next slot a script cannot know."""
        reply = await self._script("fire", partition, self.process, limit)
        self._carried(partition, reply[2])
        return reply[0], None if reply[1] < 0 else reply[1], due_schedules(reply[3])

    async def reply(
        self, run: str, pos: str, *, code: str, payload: bytes, delay_ms: int = 0, stream: str, message: bytes
    ) -> bool:
        """Bring what came of an activity run for another worker's workflow, and consume its message. With code "try"
        it is to be tried again after a pause."""
        partition = self._of(run)
        answer = await self._script("reply", partition, run, pos, code, payload, delay_ms, stream, message)
        self._carried(partition, answer[1])
        return bool(answer[0] == b"OK")

    async def heartbeat(self, run: str, pos: str, details: bytes) -> bool:
        """Keep what an activity tells of its progress, for its next attempt. False: nobody waits for it any more."""
        reply = await self._script("heartbeat", self._of(run), run, pos, details)
        return bool(reply[0] == b"OK")

    async def last_heartbeat(self, run: str, pos: str) -> bytes | None:
        """What an earlier attempt of an activity told last."""
        found: bytes | None = await self.command(self._of(run), "HGET", self._header_key(run), f"b:{pos}")
        return found

    async def is_awaited(self, run: str, pos: str) -> bool:
        """Whether a run still waits for the outcome of a call."""
        return bool(await self.command(self._of(run), "HEXISTS", self._header_key(run), f"w:{pos}"))

    def _header_key(self, run: str) -> str:
        dim, _, job = run.partition(" ")
        return self._bases[self._of(run)] + (f"j:{job}" if dim == "0" else f"hj:{dim}:{job}")

    async def time_ms(self, partition: int) -> int:
        """The time by which everything of the namespace is counted."""
        if self._clock is not None:
            return self._clock()
        seconds, micros = await self.command(partition, "TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    # --- between partitions -------------------------------------------------------------------------------------------

    def relay(self, source: int, target: int) -> None:
        """Have messages of one partition carried to another."""
        self._outbox.relay(source, target)

    async def outgoing(self, source: int, target: int, count: int) -> list[bytes]:
        """The oldest messages of one partition for another."""
        found: list[bytes] = await self.command(source, "LRANGE", f"{self._bases[source]}out:{target}", 0, count - 1)
        return found

    async def carry(self, source: int, target: int, messages: Sequence[bytes]) -> None:
        """Apply messages where they are addressed to, and take them out of the outbox.

        Raises:
            StoreUnavailable: the connection is gone. The outbox has to be read again: if Redis was restarted and lost
                its last moments, these messages may not be in it any more, and their numbers are given to others.
        """
        last, more = await self._script("relay", target, source, *messages, wait=False)
        await self._script("relayed", source, target, last, wait=False)
        self._carried(target, more)


def _presence(create: bool, new: bool) -> str:
    return "new" if new else "1" if create else "0"


def _translated(error: Exception, args: Sequence[Argument]) -> Exception:
    """Redis's words as ours."""
    text = str(error)
    low = text.lower()
    if text.startswith(CANNOT_WRITE):
        return StoreUnavailable(f"Redis refuses to write: {text}")
    verb = str(args[0]).upper() if args else ""
    if verb.startswith("FT."):
        if "no such index" in low or "unknown index name" in low or ("not found" in low and "index" in low):
            named = re.search(r"idx:([^:\s]+)", text)
            of = f" of {named[1]!r}" if named else ""
            return IndexNotFound(f"there is no index{of}; make it by `await mesh.create_index(model)`")
        return QueryInvalid(text)
    return ScriptFailed(text, script=verb.lower())
