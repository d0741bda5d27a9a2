"""A graph job as one document: what each pass of each activity left, by its address; and the job as a story. Pure.

Source: docs/keyspace.md "The state of a graph job".
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import orjson

from meshdata.errors import InvalidOptions
from meshdata.graph.compiled import Activity
from meshdata.graph.place import address_of, parse_instance
from meshdata.graph.scope import document_of
from meshdata.graph.state import ACTIVITY, DATA, ERROR, LEDGER, STATUS, UPDATED, metadata_of

Fields = Mapping[str, bytes | None]
Find = Callable[[str], Activity | None]
"""The activity of an id, of the version that is carried out or of the one the job began with."""

FACETS: Final = ("data", "state", "status", "timeline", "transitions")
MARKER: Final = re.compile(r"-(.+?)((?:,\d+)*)-(\d+)(?:-(\d+))?-")


def job_document(fields: Fields) -> dict[str, Any]:
    """What a job's own part of the state is: `{metadata, data}`, data left out where none was mapped."""
    metadata = metadata_of(fields)
    if metadata:
        metadata |= {"ju": (fields.get(UPDATED) or b"").decode(), "js": status_of(fields)}
        error = fields.get(ERROR)
        if error is not None:
            metadata["err"] = error.decode()
    data = fields.get(DATA)
    return {"metadata": metadata} if data is None else {"metadata": metadata, "data": orjson.loads(data)}


def status_of(fields: Fields) -> int:
    """A job's semaphore."""
    return int(fields.get(STATUS) or 0)


def process_export(fields: Fields, find: Find) -> dict[str, Any]:
    """`{dependencies, process, status}`.

    `process` is a tree: what an activity's pass left stands under its address, one index after another, then its id, as
    `{"output": {"data", "metadata"}, "hook": {"data"}}`; `metadata.as` is its ledger, 15 digits, which stands at the
    first pass. The job's own part is `process["$<topic>"]`. `status` is the semaphore as text.
    """
    process: dict[str, Any] = {}
    for name, value in sorted(fields.items()):
        if value is None or not name.startswith((ACTIVITY, LEDGER)):
            continue
        kind, instance = name[:2], name[2:]
        id, place = parse_instance(instance)
        activity = find(id)
        if activity is None:  # of a version that is no more
            continue
        node = process
        for index in address_of((*activity.ancestors, id), place).split(",")[1:]:
            node = node.setdefault(index, {})
        document = node.setdefault(id, {})
        if kind == LEDGER:
            document.setdefault("output", {}).setdefault("metadata", {})["as"] = int(value)
        else:
            _merge(document, document_of(activity, place, orjson.loads(value)))
    job = job_document(fields)
    process[f"${job['metadata'].get('tpc', '')}"] = job
    return {"dependencies": [], "process": process, "status": str(status_of(fields))}


def flow_export(
    fields: Fields,
    record: Mapping[str, str],
    find: Find,
    *,
    allow: Collection[str] | None = None,
    block: Collection[str] | None = None,
    values: bool = True,
) -> dict[str, Any]:
    """The job as a story: `{data, state, status, timeline, transitions}`.

    Args:
        record: the user fields of the job's record, as text: `data`.
        allow, block: parts to give, parts to leave out.
        values: False leaves the markers' values out of the timeline.

    Returns:
        state: `{metadata, data}` of the job; status: the semaphore; timeline: the markers, `{key, index, dimension,
        secondary, value}` each; transitions: `{activity, dimensions, created, updated}` for each pass of an activity.

    Raises:
        InvalidOptions: allow or block names a part there is not.
    """
    for argument, names in (("allow", allow), ("block", block)):
        unknown = set(names or ()) - set(FACETS)
        if unknown or isinstance(names, str):
            raise InvalidOptions(f"parts are {', '.join(FACETS)}, in a list; got {names!r}", argument=argument)
    parts: dict[str, Callable[[], Any]] = {
        "data": lambda: dict(record),
        "state": lambda: job_document(fields),
        "status": lambda: status_of(fields),
        "timeline": lambda: timeline(fields, values=values),
        "transitions": lambda: transitions(fields, find),
    }
    return {
        name: part()
        for name, part in parts.items()
        if (allow is None or name in allow) and (block is None or name not in block)
    }


def timeline(fields: Fields, *, values: bool = True) -> list[dict[str, Any]]:
    """The markers of a job, by dimension, index and secondary index. A name `-sleep,0,0,1-13-2-` tells all of them; of
    any other name the whole is the key."""
    found = []
    for name, value in fields.items():
        if value is None or not name.startswith("-"):
            continue
        match = MARKER.fullmatch(name)
        entry: dict[str, Any]
        if match is None:
            entry = {"key": name[1:], "index": 0}
        else:
            entry = {"key": match[1], "index": int(match[3])}
            if match[2]:
                entry["dimension"] = match[2]
            if match[4] is not None:
                entry["secondary"] = int(match[4])
        if values:
            entry["value"] = _typed(value)
        found.append(entry)
    return sorted(found, key=_order)


def _order(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    dimension = [int(text) for text in entry.get("dimension", "").split(",")[1:]]
    return dimension, entry["index"], entry.get("secondary", -1), entry["key"]


def transitions(fields: Fields, find: Find) -> list[dict[str, Any]]:
    """When each pass of each activity was begun and changed last, the first begun first."""
    found = []
    for name, value in fields.items():
        if value is None or not name.startswith(ACTIVITY):
            continue
        id, place = parse_instance(name[len(ACTIVITY) :])
        activity = find(id)
        if activity is not None:
            metadata = document_of(activity, place, orjson.loads(value))["output"]["metadata"]
            times = {"created": metadata["ac"], "updated": metadata["au"]}
            found.append({"activity": id, "dimensions": metadata["dad"], **times})
    return sorted(found, key=lambda one: (one["created"], one["updated"], one["dimensions"], one["activity"]))


def _merge(target: dict[str, Any], document: Mapping[str, Any]) -> None:
    for name, part in document.items():
        known = target.setdefault(name, {})
        for key, value in part.items():
            if key == "metadata":
                known[key] = {**value, **known.get(key, {})}
            else:
                known[key] = value


def _typed(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except ValueError:  # one that was given with the start, as text
        return value.decode()
