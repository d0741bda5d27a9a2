"""What is asked of Redis about the statistics of apps. They lie in the partition of the job that was counted, so every
question goes to all of them.

Source: docs/keyspace.md "Statistics"; lua/lib/statistics.lua, which writes them with the start of a job.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from meshdata.store.keys import Keys
from meshdata.store.messages import Argument, Mark

AT_ONCE = 500
"""Hashes that are read at once."""

PIECE = 1_000
"""Ids that one script looks at."""


class Scripts(Protocol):
    """What is asked of the store."""

    @property
    def keys(self) -> Keys: ...
    @property
    def partitions(self) -> int: ...
    async def _script(self, name: str, partition: int, *args: Argument) -> list[Any]: ...
    async def command(self, partition: int, *args: Argument) -> Any: ...


class Statistics:
    """The part of the store that knows statistics."""

    def __init__(self, store: Scripts) -> None:
        self._store = store

    async def figures(self, app: str, key: str, buckets: Sequence[str]) -> list[list[dict[str, str]]]:
        """The figures of each bucket: one hash for each partition that has any."""
        store = self._store
        places = [(bucket, partition) for bucket in buckets for partition in range(store.partitions)]
        found: dict[str, list[dict[str, str]]] = {bucket: [] for bucket in buckets}
        for at in range(0, len(places), AT_ONCE):
            some = places[at : at + AT_ONCE]
            hashes = await asyncio.gather(
                *(store.command(p, "HGETALL", store.keys.statistics(p, app, bucket, key)) for bucket, p in some)
            )
            for (bucket, _), figures in zip(some, hashes, strict=True):
                if figures:
                    found[bucket].append({name.decode(): value.decode() for name, value in figures.items()})
        return [found[bucket] for bucket in buckets]

    async def ids(
        self, app: str, key: str, bucket: str, facet: str, *, living: bool = False
    ) -> tuple[list[str], list[Mark]]:
        """The jobs that an index lists, in the order of their starts within each partition, and how far it was read.

        Args:
            living: leave out those that are over.
        """
        partitions = range(self._store.partitions)
        read = await asyncio.gather(*(self._read(p, app, key, bucket, facet, living) for p in partitions))
        ids = [id for some, _ in read for id in some]
        return ids, [Mark(p, bucket, key, facet, upto) for p, (_, upto) in enumerate(read) if upto]

    async def _read(
        self, partition: int, app: str, key: str, bucket: str, facet: str, living: bool
    ) -> tuple[list[str], int]:
        found: list[str] = []
        at = 0
        while True:
            behind, ids = await self._store._script(
                "stat_ids", partition, app, bucket, key, facet, at, PIECE, "1" if living else "0"
            )
            found += [id.decode() for id in ids]
            if behind <= at:
                return found, behind
            at = behind

    async def scrub(self, app: str, mark: Mark) -> int:
        """Take out of an index what was read; how many ids it was."""
        [count] = await self._store._script(
            "stat_scrub", mark.partition, app, mark.bucket, mark.key, mark.facet, mark.upto
        )
        return int(count)
