"""What the floors above ask of the store about schedules, one method per script; `Store` has them all.

Source: docs/keyspace.md "Schedules"; lua/lib/schedules.lua.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from meshdata.store.keys import Keys
from meshdata.store.messages import Argument


class DueSchedule(NamedTuple):
    """A schedule whose slot has come: what `lua/fire.lua` hands to whoever fires.

    Attributes:
        name: "<entity>:<id>".
        rev: changes with all that is done to it; what was decided upon another is void.
        now, slot, line: ms; the script's time, the slot that is due, the last slot that is owed (0 for none).
        waited: the slot waited for the run before it.
        rule: what only Python reads.
    """

    name: str
    rev: int
    now: int
    slot: int
    line: int
    waited: bool
    overlap: str
    rule: str


class _Store(Protocol):
    @property
    def keys(self) -> Keys: ...
    @property
    def partitions(self) -> int: ...
    @property
    def process(self) -> str: ...
    async def command(self, partition: int, *args: Argument) -> Any: ...
    async def _script(
        self, name: str, partition: int, *args: Argument, resend: bool = ..., wait: bool = ...
    ) -> list[Any]: ...
    def _carried(self, partition: int, outbox: int) -> None: ...


def due_schedules(handed: Sequence[Any]) -> list[DueSchedule]:
    """The schedules in an answer of `lua/fire.lua`."""
    now = int(handed[0])
    found = []
    for name, rev, slot, line, waited, overlap, rule in handed[1:]:
        slot_ms = int(slot or 0)
        found.append(
            DueSchedule(
                name.decode(), int(rev), now, slot_ms, int(line), waited == b"1", overlap.decode(), rule.decode()
            )
        )
    return found


class ScheduleScripts:
    """Schedules, by their names "<entity>:<id>"."""

    async def schedule(
        self: _Store,
        name: str,
        fields: Mapping[str, Argument],
        *,
        slot: int | None,
        token: str = "",
        rev: int | None = None,
        paused: bool = False,
    ) -> str:
        """Make one, or alter the one known by `rev`: OK, EXISTS, STALE or NOTFOUND. `slot` is when it is due next."""
        flat = [part for pair in fields.items() for part in pair]
        reply = await self._script(
            "schedule", self.keys.partition(name), name, "" if rev is None else rev, token,
            "" if slot is None else slot, "1" if paused else "0", *flat,
        )  # fmt: skip
        word: str = reply[0].decode()
        return word

    async def slot(
        self: _Store, name: str, *, rev: int, slot: int | None, following: int | None, line: int, job: str
    ) -> str:
        """Start the job of a slot, or leave it out: STARTED, SKIPPED, WAITS, PASSED or STALE."""
        partition = self.keys.partition(name)
        reply = await self._script(
            "slot", partition, name, rev, "" if slot is None else slot, "" if following is None else following, line,
            job, self.keys.partition(job),
        )  # fmt: skip
        self._carried(partition, reply[1])
        word: str = reply[0].decode()
        return word

    async def trigger(self: _Store, name: str, job: str) -> str:
        """Start a job of it now, of which this process awaits the end: STARTED, BUSY or NOTFOUND."""
        partition = self.keys.partition(name)
        reply = await self._script("trigger", partition, name, job, self.keys.partition(job), self.process)
        self._carried(partition, reply[1])
        word: str = reply[0].decode()
        return word

    async def unschedule(self: _Store, name: str) -> bool:
        """Take one away. False if there was none."""
        reply = await self._script("unschedule", self.keys.partition(name), name)
        return bool(reply[0])

    async def read_schedule(self: _Store, name: str) -> dict[str, str]:
        """The hash that keeps one, but for the arguments of its runs; empty if there is none."""
        partition = self.keys.partition(name)
        values = await self.command(partition, "HMGET", self.keys.schedule(name), *READ)
        return {field: value.decode() for field, value in zip(READ, values, strict=True) if value is not None}

    async def schedule_names(self: _Store) -> list[str]:
        """All there are."""
        found = await asyncio.gather(
            *(self.command(one, "SMEMBERS", self.keys.schedules(one)) for one in range(self.partitions))
        )
        return sorted(name.decode() for names in found for name in names)


READ = (
    "rev", "rule", "overlap", "on_error", "max", "slot", "last", "cycles", "paused", "running", "skipped", "failures",
    "error",
)  # fmt: skip
"""The fields that tell how a schedule stands."""
