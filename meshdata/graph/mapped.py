"""What an activity's job maps come to: parts of the job's data, markers, fields of its record. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from meshdata.graph.compiled import Activity, Graph
from meshdata.graph.mapping import Scope, walk
from meshdata.graph.pipes.values import UNDEFINED, text
from meshdata.graph.state import to_text


class Mapped(NamedTuple):
    """What to set: `parts` of the job's data by their paths, `markers` of its state, `fields` of its record.

    `data` is the maps' result as a whole, None for an activity without job maps.
    """

    data: dict[str, Any] | None
    parts: list[tuple[tuple[str, ...], Any]]
    markers: list[tuple[str, bytes]]
    fields: list[tuple[str, str]]


def job_data(graph: Graph, activity: Activity, scope: Scope) -> Mapped:
    """Evaluate an activity's job maps. What is undefined is left out, and erases nothing.

    Raises:
        PipeError: a map cannot be evaluated.
    """
    if activity.job_maps is None:
        return Mapped(None, [], [], [])
    found = activity.job_maps(scope)
    data: dict[str, Any] = found if isinstance(found, dict) else {}
    mapped = Mapped(data, [], [], [])
    plain = data
    if activity.job_specials:
        plain = {key: value for key, value in data.items() if key not in activity.job_specials}
        for key, special in activity.job_specials.items():
            value = data.get(key, UNDEFINED)
            if special.kind == "slots":
                _fill_slots(mapped, special.name, special.size, value)
            elif isinstance(value, Mapping):
                _mark(mapped, value)
    for name in [name for name in plain if name.startswith(("_", "-"))]:
        _mark(mapped, {name: plain.pop(name)})
    for path in graph.job_paths:
        value = walk(plain, path)
        if value is not UNDEFINED:
            mapped.parts.append((path, value))
    mapped.parts.sort(key=lambda part: len(part[0]))  # a whole before what is set inside it
    return mapped


def _fill_slots(mapped: Mapped, name: str, size: int, value: Any) -> None:
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, element in pairs:
        index = str(key)
        if index.isdecimal() and int(index) < size and element is not UNDEFINED:
            mapped.parts.append(((name, index), element))


def _mark(mapped: Mapped, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if value is UNDEFINED:
            continue
        if name.startswith("-"):
            mapped.markers.append((name, to_text(value)))
        elif name.startswith("_"):
            mapped.fields.append((name[1:], value if isinstance(value, str) else _as_field(value)))


def _as_field(value: Any) -> str:
    return to_text(value).decode() if isinstance(value, dict | list) else text(value)
