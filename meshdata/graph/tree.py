"""The tree that a graph's transitions are: who comes before whom, and what keeps them from being a tree. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Report(Protocol):
    """Is told of what is wrong: the message, and the path below the graph that leads to it."""

    def __call__(self, message: str, *path: str) -> None: ...


@dataclass(slots=True)
class Tree:
    """Who comes before whom; activities that nothing leads to have neither parent nor ancestors."""

    trigger: str
    parents: dict[str, str] = field(default_factory=dict)
    ancestors: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def is_reached(self, id: str) -> bool:
        """Whether a way leads to it from the trigger."""
        return id in self.ancestors


def grow(trigger: str, edges: Mapping[str, Sequence[tuple[str, str]]], report: Report) -> Tree:
    """The tree of a graph.

    Args:
        edges: by the activity they leave: where to, and the edge's index in the model; both ends exist.
        report: is told of loops, and of activities with two parents; their further edges are left out.
    """
    tree = Tree(trigger)
    loops = _loops(edges)
    for source, ways in edges.items():
        for to, index in ways:
            if (source, to) in loops:
                way = " -> ".join(loops[source, to])
                report(
                    f"the transitions lead round: {way}; go back with a cycle activity", "transitions", source, index
                )
            elif to == trigger:
                report(f"{to} is the trigger, nothing leads to it", "transitions", source, index)
            elif tree.parents.setdefault(to, source) != source:
                report(
                    f"{to} has two parents, {tree.parents[to]} and {source}; an activity has one",
                    "transitions", source, index,
                )  # fmt: skip
    children: dict[str, list[str]] = {}
    for child, parent in tree.parents.items():
        children.setdefault(parent, []).append(child)
    tree.ancestors[trigger] = ()
    reached = [trigger]
    for id in reached:
        for child in children.get(id, ()):
            tree.ancestors[child] = (*tree.ancestors[id], id)
            reached.append(child)
    return tree


def _loops(edges: Mapping[str, Sequence[tuple[str, str]]]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Edges that close a loop, each with the way round."""
    loops: dict[tuple[str, str], tuple[str, ...]] = {}
    done: set[str] = set()
    for begin in edges:
        if begin in done:
            continue
        way = [begin]
        ahead = [iter(edges[begin])]
        while way:  # a stack of its own: a graph may be deeper than Python's
            step = next(ahead[-1], None)
            if step is None:
                done.add(way.pop())
                ahead.pop()
            elif step[0] in way:
                loops[way[-1], step[0]] = (*way[way.index(step[0]) :], step[0])
            elif step[0] not in done and step[0] in edges:
                way.append(step[0])
                ahead.append(iter(edges[step[0]]))
    return loops
