"""Which of an activity's edges are taken. Pure."""

from meshdata.graph.compiled import Activity, Edge
from meshdata.graph.mapping import Scope
from meshdata.graph.pipes.values import strictly_equal


def taken(activity: Activity, scope: Scope, code: int) -> list[Edge]:
    """The edges whose conditions hold, for a reply of a code. One without conditions is always taken, also on error.

    Of several that lead to one activity, one is taken: it has one place there.

    Raises:
        PipeError: a condition cannot be evaluated.
    """
    found: dict[str, Edge] = {}
    for edge in activity.edges:
        if edge.to not in found and _holds(edge, scope, code):
            found[edge.to] = edge
    return list(found.values())


def _holds(edge: Edge, scope: Scope, code: int) -> bool:
    if edge.codes is None:
        return True
    if str(code) not in edge.codes:
        return False
    if not edge.match:
        return True
    found = (strictly_equal(expected, actual(scope)) for expected, actual in edge.match)
    return any(found) if edge.gate == "or" else all(found)
