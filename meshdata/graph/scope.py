"""What a running activity sees, and what is kept of it for those that come after. Pure.

An activity reads itself, its ancestors, and the job; nothing of other branches. Of an ancestor it sees what the graph
says that others read of it (`Activity.produced`), at the pass that the place of the reader is below.
"""

from collections.abc import Mapping
from typing import Any

from meshdata.graph.begin import stamp
from meshdata.graph.compiled import Activity, App
from meshdata.graph.mapping import walk
from meshdata.graph.pipes.values import UNDEFINED
from meshdata.graph.place import Place, address_of, instance_of, within
from meshdata.graph.state import ACTIVITY, State, to_text

Document = dict[str, Any]
"""An activity's pass: {"output": {"data": …, "metadata": {…}}, "hook": {"data": …}}."""


def begun_document(activity: Activity, place: Place, *, created_ms: int, updated_ms: int) -> Document:
    """A pass that has only begun: what `{activity.output.metadata.*}` gives, and nothing else yet."""
    address = address_of((*activity.ancestors, activity.id), place)
    metadata = {
        "aid": activity.id, "dad": address, "atp": activity.type, "stp": "",
        "ac": stamp(created_ms), "au": stamp(updated_ms),
    }  # fmt: skip
    return {"output": {"metadata": metadata}}


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
            where = within(place, (*ancestor.ancestors, id))
            kept = state.read(ACTIVITY + instance_of(id, where))
            if kept is not None:
                scope[id] = document_of(ancestor, where, kept)
    scope["$job"] = job_scope(state)
    return scope


def job_scope(state: State, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `{$job.*}` gives; with `data` in place of the job's."""
    metadata = {**state.metadata, "ju": state.updated, "js": state.status}
    if state.error is not None:
        metadata["err"] = to_text(state.error).decode()
    return {"metadata": metadata, "data": state.data or {} if data is None else data}


def kept_of(activity: Activity, own: Document, *, created_ms: int, updated_ms: int) -> dict[str, Any]:
    """What is kept of a pass: when it was, and the part of it that others read, under short names.

    {"t": [created, ms; updated, ms after that], "d": output's data, "h": hook's data, "m": what is told of an error}
    """
    found: Document = {}
    for path in activity.produced:
        value = UNDEFINED if path[1] == "metadata" else walk(own, path)
        if value is not UNDEFINED:
            _put(found, path, value)
    kept: dict[str, Any] = {"t": [created_ms, updated_ms - created_ms]}
    for name, part in (("d", "output"), ("h", "hook")):
        if part in found:
            kept[name] = found[part]["data"]
    told = {name: value for name, value in own["output"]["metadata"].items() if name in ("err", "$error")}
    if told:
        kept["m"] = told
    return kept


def document_of(activity: Activity, place: Place, kept: Mapping[str, Any]) -> Document:
    """A pass as others see it, of what is kept of it."""
    created, took = kept["t"]
    document = begun_document(activity, place, created_ms=created, updated_ms=created + took)
    document["output"]["metadata"].update(kept.get("m", {}))
    if "d" in kept:
        document["output"]["data"] = kept["d"]
    if "h" in kept:
        document["hook"] = {"data": kept["h"]}
    return document


def _put(target: Document, path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        inner = target.get(step)
        if not isinstance(inner, dict):  # a whole that others read has the place of its parts
            inner = target[step] = {}
        target = inner
    target[path[-1]] = value
