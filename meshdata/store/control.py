"""What the floors above ask of the store about the control plane; `Store` has it all.

Source: docs/keyspace.md; lua/throttle.lua.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

from meshdata.store.keys import Keys
from meshdata.store.messages import Argument

ALL: Final = ":"
"""The field of the rate of all topics; no topic is called that."""


class _Store(Protocol):
    @property
    def keys(self) -> Keys: ...
    @property
    def partitions(self) -> int: ...
    async def command(self, partition: int, *args: Argument) -> Any: ...
    async def _script(
        self, name: str, partition: int, *args: Argument, resend: bool = ..., wait: bool = ...
    ) -> list[Any]: ...


class ControlScripts:
    """How fast messages are taken in, who serves, and how much waits for them."""

    async def throttle(self: _Store, ms: int, *, topic: str | None, message: bytes) -> None:
        """Keep a rate, of a topic or of all, and tell it on the bus."""
        await self._script("throttle", 0, topic or "", ms, self.keys.bus, message)

    async def throttles(self: _Store) -> tuple[int, dict[str, int]]:
        """The rates as they are kept: that of all, and those that topics have of their own."""
        found = {name.decode(): int(ms) for name, ms in (await self.command(0, "HGETALL", self.keys.throttle)).items()}
        return found.pop(ALL, 0), found

    async def set_limits(self: _Store, topic: str, text: str) -> None:
        """Keep the limits of a topic in every partition, in the words of `lua/lib/gate.lua`; "" for none."""
        keys = [f"{self.keys.base(partition)}limits" for partition in range(self.partitions)]
        change: tuple[Argument, ...] = (topic, text) if text else (topic,)
        verb = "HSET" if text else "HDEL"
        await asyncio.gather(*(self.command(at, verb, key, *change) for at, key in enumerate(keys)))

    async def is_limited(self: _Store, topic: str) -> bool:
        """Whether a topic has limits. (A line by priority alone is none.)"""
        kept = await self.command(0, "HGET", f"{self.keys.base(0)}limits", topic)
        return kept not in (None, b"line")

    async def processes(self: _Store) -> list[str]:
        """The processes that serve topics."""
        return [name.decode() for name in await self.command(0, "ZRANGE", f"{self.keys.base(0)}procs", 0, -1)]

    async def depths(self: _Store, topics: Iterable[str]) -> dict[str, int]:
        """How many messages of each topic are not consumed: they wait, or were read and have written nothing yet."""
        names = list(topics)
        keys = self.keys
        lengths = await asyncio.gather(*(
            self.command(partition, "XLEN", spell(partition, topic))
            for topic in names
            for partition in range(self.partitions)
            for spell in (keys.work, keys.continuations)
        ))  # fmt: skip
        each = 2 * self.partitions
        return {topic: sum(lengths[at * each : (at + 1) * each]) for at, topic in enumerate(names)}
