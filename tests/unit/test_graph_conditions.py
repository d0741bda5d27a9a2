"""Which edges are taken."""

from __future__ import annotations

from meshdata.graph.compiled import Activity, Edge, Hook
from meshdata.graph.conditions import taken


def test_of_edges_to_one_activity_one_is_taken() -> None:
    edges = (Edge("a", frozenset({"422"})), Edge("a", frozenset({"200"})), Edge("b"), Edge("a"))
    activity = Activity(id="h1", type="hook", graph="g", own=Hook(), edges=edges)
    assert taken(activity, {}, 200) == [edges[1], edges[2]]
    assert taken(activity, {}, 422) == [edges[0], edges[2]]
    assert taken(activity, {}, 500) == [edges[2], edges[3]]
