"""What activities read of each other: so much of an activity's pass is kept, and no more. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from meshdata.graph.activities import is_waiting
from meshdata.graph.compiled import Activity
from meshdata.graph.mapping import Reference
from meshdata.graph.problems import Path, Problems

_KEPT = (("output", "data"), ("output", "metadata"), ("hook", "data"))
"""Parts of a pass that others can read, by what they have in common."""


def connect(
    activities: Mapping[str, Activity],
    reads: Mapping[str, Sequence[tuple[Reference, Path]]],
    job_paths: Mapping[str, Iterable[Path]],
    problems: Problems,
) -> dict[str, Activity]:
    """The activities, each with what it reads of others and what others read of it.

    Args:
        reads: what an activity's maps, edges and rules refer to, by its id.
        job_paths: what job maps set of a graph's jobs, by its topic.
    """
    read: dict[str, set[str]] = {id: set() for id in activities}
    produced: dict[str, set[Path]] = {id: set() for id in activities}
    for id, references in reads.items():
        reader = activities[id]
        heads = {path[0] for path in job_paths[reader.graph]}
        for reference, at in references:
            head, rest = reference.path[0], reference.path[1:]
            if head == "$job":
                if rest[:1] == ("data",) and rest[1:] and rest[1] not in heads:
                    problems.warn(f"{reference.text}: no job.maps of the graph sets it", at)
            elif head in ("$self", id):
                if rest[:2] == _KEPT[0] and len(rest) > 2 and reader.output_maps is not None and is_waiting(reader):
                    produced[id].add(rest)  # by its first leg, for its second
            elif head in activities:
                if head not in reader.ancestors:
                    problems.warn(f"{reference.text}: {head} is no ancestor of {id}, so this is always undefined", at)
                elif not _is_kept(rest):
                    problems.warn(f"{reference.text}: {_why(rest)}, so this is undefined", at)
                else:
                    read[id].add(head)
                    produced[head].add(rest)
    return {
        id: replace(activity, reads=frozenset(read[id]), produced=_outermost(produced[id]))
        for id, activity in activities.items()
    }


def _is_kept(path: Path) -> bool:
    return path[:2] in _KEPT and len(path) > 2


def _why(path: Path) -> str:
    if path[:1] == ("input",):
        return "inputs are not kept"
    if path in (("output", "data"), ("hook", "data"), ("output", "metadata"), ("output",), ("hook",), ()):
        return "data are kept by their keys, not as a whole"
    return "an activity has output.data, output.metadata and hook.data"


def _outermost(paths: set[Path]) -> tuple[Path, ...]:
    """Paths that are not inside of another."""
    found: list[Path] = []
    for path in sorted(paths):
        if not found or path[: len(found[-1])] != found[-1]:
            found.append(path)
    return tuple(found)
