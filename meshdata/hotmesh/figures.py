"""What an app has counted of its jobs, and signals to all that an index lists: a part of the door."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from meshdata.errors import InvalidOptions
from meshdata.graph.figures import AppFigures
from meshdata.hotmesh.jobs import payload_of

AT_ONCE: Final = 100
"""Signals that are under way at once."""


class _Door(Protocol):
    _figures: AppFigures

    async def hook(self, topic: str, data: Any) -> str: ...


class FigureVerbs:
    """The verbs of `HotMesh` that ask for statistics. A query is a mapping:

    data: a payload; what the trigger's `stats.key` makes of it is asked for.
    start, end: ISO 8601 or NOW; range: 30m, 2h, 7d. Two of the three, and none where the granularity is infinity.
    sparse: True leaves the single buckets out.
    """

    _figures: AppFigures

    async def get_stats(self, topic: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """What was counted of a graph's jobs.

        Returns:
            key, granularity, range, start, end, count (of jobs), measures, segments. Measures are `{target, type,
            value}` each: target "<path>:<value>" for count, "<path>" for sum, avg, mdn, max and min. Segments are
            `{time, count, measures}`, one for each bucket; none if the query is sparse.

        Raises:
            InvalidOptions: no graph subscribes to the topic, it counts nothing, or the query is not what it has to be.
        """
        return await self._figures.stats(topic, query)

    async def get_ids(self, topic: str, query: Mapping[str, Any], facets: Sequence[str] = ()) -> dict[str, Any]:
        """The jobs that measures of kind index list, over or not.

        Args:
            facets: "<path>:<value>" each; none asks for every one there is.

        Returns:
            key, facets, granularity, range, start, end, counts (`{facet, count}` each), segments (`{time, measures}`
            each, with measures `{type: "ids", target, time, count, ids}`).
        """
        return await self._figures.ids(topic, query, facets)

    async def resolve_query(self, topic: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """What a query is about, without asking: key, granularity, start, end, range, sparse."""
        return await self._figures.resolve(topic, query)

    async def hook_all(
        self: _Door, topic: str, data: Any, query: Mapping[str, Any], facets: Sequence[str] = ()
    ) -> list[str]:
        """Wake the hooks of a topic in every living job that indexes list: `hook(topic, {**data, "id": job id})` each.

        Args:
            topic: of the hook; its rule has to match on `{$self.hook.data.id}`.
            query: see the class; with `scrub`, True takes the ids that were read out of the indexes.
            facets: "<path>:<value>" each; none stands for every index of the key.

        Returns:
            The names of the indexes that list any; empty if there are none.

        Raises:
            InvalidOptions: no graph has a hook of the topic, or what `get_stats` raises.
        """
        payload = payload_of(data)
        if not isinstance(payload, dict):
            raise InvalidOptions(f"an object is needed, to carry the id; got {type(payload).__name__}", argument="data")
        listing = await self._figures.listing(topic, query, facets)
        for at in range(0, len(listing.ids), AT_ONCE):
            some = listing.ids[at : at + AT_ONCE]
            await asyncio.gather(*(self.hook(topic, {**payload, "id": id}) for id in some))
        if query.get("scrub") is True:
            await self._figures.scrub(listing)
        return listing.names
