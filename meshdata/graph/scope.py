"""What a running activity sees, and what is kept of it for those that come after. Pure.

An activity reads itself, its ancestors, and the job; nothing of other branches. Of an ancestor it sees what the graph
says that others read of it (`Activity.produced`), at the pass that the place of the reader is below.
"""

from collections.abc import Mapping
from typing import Any

from meshdata.graph.compiled import Activity, App
from meshdata.graph.mapping import walk
from meshdata.graph.pipes.values import UNDEFINED
from meshdata.graph.place import Place, address_of, instance_of, within
from meshdata.graph.state import ACTIVITY, State, to_text

Document = dict[str, Any]
"""An activity's pass: {"output": {"data": …, "metadata": {…}}, "hook": {"data": …}}."""


def metadata_of(activity: Activity, place: Place, *, created: str, updated: str) -> dict[str, Any]:
    """What `{activity.output.metadata.*}` gives."""
    return {
        "aid": activity.id,
        "dad": address_of((*activity.ancestors, activity.id), place),
        "atp": activity.type,
        "stp": "",
        "ac": created,
        "au": updated,
    }


def scope_of(app: App, activity: Activity, place: Place, state: State, own: Document) -> dict[str, Any]:
    """The scope of an activity's maps and conditions.

    Args:
        place: with the index of its own pass.
        own: its own pass, as far as it has come.
    """
    scope: dict[str, Any] = {"$self": own, activity.id: own, "$app": {"settings": app.settings}}
    for id in activity.reads:
        if id in activity.ancestors:
            ancestor = app.activities[id]
            kept = state.read(ACTIVITY + instance_of(id, within(place, (*ancestor.ancestors, id))))
            if kept is not None:
                scope[id] = kept
    scope["$job"] = job_scope(state)
    return scope


def job_scope(state: State, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `{$job.*}` gives; with `data` in place of the job's."""
    metadata = {**state.metadata, "ju": state.updated, "js": state.status}
    if state.error is not None:
        metadata["err"] = to_text(state.error).decode()
    return {"metadata": metadata, "data": state.data or {} if data is None else data}


def kept_of(activity: Activity, own: Document) -> Document:
    """The part of an activity's pass that others read: paths that the graph names, and when it was."""
    kept: Document = {}
    metadata = own["output"]["metadata"]
    _put(kept, ("output", "metadata"), {"ac": metadata["ac"], "au": metadata["au"]})
    for path in activity.produced:
        value = walk(own, path)
        if value is not UNDEFINED:
            _put(kept, path, value)
    return kept


def _put(target: Document, path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        inner = target.get(step)
        if not isinstance(inner, dict):  # a whole that others read has the place of its parts
            inner = target[step] = {}
        target = inner
    target[path[-1]] = value
