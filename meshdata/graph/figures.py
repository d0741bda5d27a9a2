"""Answers questions about what an app has counted, and finds the jobs that a broadcast is for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshdata.errors import InvalidOptions
from meshdata.graph import statistics
from meshdata.graph.asking import rule_of
from meshdata.graph.compiled import App, Graph
from meshdata.graph.statistics import Query
from meshdata.store.messages import Mark
from meshdata.store.store import Store


@dataclass(slots=True)
class Listing:
    """The jobs that some indexes list.

    Attributes:
        names: of the indexes that list any; ids: of living jobs, each once; marks: how far the indexes were read.
    """

    names: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


class AppFigures:
    """The statistics of one app.

    Args:
        active: gives the version that is carried out.
    """

    def __init__(self, store: Store, app: str, active: Callable[[], Awaitable[App]]) -> None:
        self._store = store
        self._app = app
        self._active = active

    async def _query(self, topic: str, query: Mapping[str, Any]) -> Query:
        app = await self._active()
        return statistics.resolve(app, graph_of(app, topic), query, await self._store.time_ms(0))

    async def resolve(self, topic: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """What a query is about: `{key, granularity, start, end, range, sparse}`.

        Raises:
            InvalidOptions: there is no such graph, it counts nothing, or the query is not what it has to be.
        """
        found = await self._query(topic, query)
        return found.told("key", "granularity", "start", "end", "range", "sparse")

    async def stats(self, topic: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """What was counted: see `statistics.stats_answer`. Raises as `resolve`."""
        found = await self._query(topic, query)
        return statistics.stats_answer(found, await self._read(found))

    async def ids(self, topic: str, query: Mapping[str, Any], facets: Sequence[str] = ()) -> dict[str, Any]:
        """The jobs that were listed, over or not: see `statistics.ids_answer`.

        Args:
            facets: "<path>:<value>" each; none asks for every value that was counted or listed.
        """
        found = await self._query(topic, query)
        wanted = _checked(facets) or statistics.facets_of(await self._read(found))
        ids = {}
        for bucket in found.buckets:
            for facet in wanted:
                some, _ = await self._store.statistics.ids(self._app, found.key, bucket, facet)
                if some:
                    ids[bucket, facet] = some
        return statistics.ids_answer(found, wanted, ids)

    async def listing(self, topic: str, query: Any, facets: Sequence[str]) -> Listing:
        """The living jobs that a signal to all who wait by a hook's topic is for.

        Args:
            topic: of the hook; the key is what the trigger of the hook's graph makes of the query's data.
        """
        app = await self._active()
        graph = app.graphs[app.activities[rule_of(app, topic).to].graph]
        found = statistics.resolve(app, graph, query, await self._store.time_ms(0))
        wanted = _checked(facets) or statistics.facets_of(await self._read(found))
        listing, known = Listing(), set[str]()
        for bucket in found.buckets:
            for facet in wanted:
                ids, marks = await self._store.statistics.ids(self._app, found.key, bucket, facet, living=True)
                listing.marks += marks
                if ids:
                    listing.names.append(statistics.index_name(self._app, found.key, bucket, facet))
                for id in ids:
                    if id not in known:
                        known.add(id)
                        listing.ids.append(id)
        return listing

    async def scrub(self, listing: Listing) -> None:
        """Take out of the indexes what was read of them; what was added since stays."""
        for mark in listing.marks:
            await self._store.statistics.scrub(self._app, mark)

    async def _read(self, query: Query) -> list[list[dict[str, str]]]:
        return await self._store.statistics.figures(self._app, query.key, query.buckets)


def graph_of(app: App, topic: str) -> Graph:
    """The graph that subscribes to a topic.

    Raises:
        InvalidOptions: there is none.
    """
    graph = app.graphs.get(topic)
    if graph is None:
        known = ", ".join(sorted(app.graphs)) or "none"
        raise InvalidOptions(f"no graph subscribes to {topic}; there are {known}", argument="topic")
    return graph


def _checked(facets: Sequence[str]) -> list[str]:
    if isinstance(facets, str) or not all(isinstance(facet, str) for facet in facets):
        raise InvalidOptions('facets are texts, "<path>:<value>" each, in a list', argument="facets")
    return list(facets)
