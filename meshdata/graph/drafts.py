"""A model's parts by their types, and each graph's tree: what is there before any map is looked at. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshdata.errors import ModelError
from meshdata.graph.activities import check_cycle, type_of
from meshdata.graph.model import (
    TYPES,
    ActivityPart,
    AppPart,
    CyclePart,
    Document,
    EdgePart,
    GraphPart,
    RulePart,
    TriggerPart,
)
from meshdata.graph.problems import GRAPHS, Path, Problems
from meshdata.graph.tree import Tree, grow

RESERVED_APP: Final = "a"
_NOT_IN_IDS: Final = "/:{}"


@dataclass(slots=True)
class Draft:
    """A graph that is being compiled.

    Attributes:
        edges: by the activity they leave, each with its index in the model; rules: the first of each hook's topic.
        gone_back_to: ancestors that a cycle names.
        validates: whether its schemas are enforced.
    """

    part: GraphPart
    path: Path
    activities: dict[str, ActivityPart] = field(default_factory=dict)
    edges: dict[str, list[tuple[str, EdgePart]]] = field(default_factory=dict)
    rules: dict[str, RulePart] = field(default_factory=dict)
    gone_back_to: frozenset[str] = frozenset()
    tree: Tree = field(default_factory=lambda: Tree(""))
    validates: bool = False

    @property
    def topic(self) -> str:
        """What it subscribes to."""
        return self.part.subscribes

    def at(self, id: str) -> Path:
        """Where an activity is written."""
        return (*self.path, "activities", id)


def read_app(document: Any, problems: Problems) -> AppPart:
    """The app that a document holds.

    Raises:
        ModelError: it holds none.
    """
    found = problems.read(Document, document, ())
    app = None if found is None else problems.read(AppPart, found.app, ("app",))
    if app is None:
        problems.check()
        raise ModelError("there is no app")  # never: a part that cannot be read is a problem
    if app.id == RESERVED_APP:
        problems.add("the id 'a' is reserved", ("app", "id"))
    return app


class Drafts:
    """Reads the graphs of an app.

    Attributes:
        owners: the graph of each activity, those of all graphs.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.owners: dict[str, Draft] = {}

    def read(self, app: AppPart) -> Iterator[Draft]:
        """The graphs that can be read; what is wrong with them, and with others, is told."""
        topics: set[str] = set()
        for index, value in enumerate(app.graphs):
            path = (*GRAPHS, str(index))
            part = self._problems.read(GraphPart, value, path)
            if part is None:
                continue
            if part.subscribes in topics:
                self._problems.add(f"two graphs subscribe to {part.subscribes}", (*path, "subscribes"))
            topics.add(part.subscribes)
            asked = part.settings.get("validate", app.settings.get("validate"))
            draft = Draft(part, path, validates=asked is True)
            self._read_activities(draft)
            self._read_edges(draft)
            self._read_rules(draft)
            self._link(draft)
            yield draft

    def _read_activities(self, draft: Draft) -> None:
        triggers = []
        for id, value in draft.part.activities.items():
            path = draft.at(id)
            if id in self.owners:
                self._problems.add(f"Duplicate activity id found: {id}", path)
            self.owners[id] = draft
            if not id or id.startswith(("$", "@")) or any(one.isspace() or one in _NOT_IN_IDS for one in id):
                self._problems.add(
                    f"an activity's id has no white space and none of / : {{ }}, and does not begin with $ or @; "
                    f"this is {id!r}", path,
                )  # fmt: skip
            elif "." in id:
                self._problems.warn(f"nobody can read data of {id!r}: a reference ends an id at its first dot", path)
            part = self._read_activity(value, path)
            if part is None:
                continue
            if isinstance(part, TriggerPart):
                triggers.append(id)
                if len(triggers) > 1:
                    self._problems.add(f"a graph has one trigger; {triggers[0]} is one already", path)
            draft.activities[id] = part

    def _read_activity(self, value: Any, path: Path) -> ActivityPart | None:
        kind = value.get("type") if isinstance(value, Mapping) else None
        if kind is None:
            return self._problems.read(ActivityPart, value, path)
        if not isinstance(kind, str) or kind not in TYPES:
            self._problems.add(f"activity type {kind} not found; there are {', '.join(TYPES)}", (*path, "type"))
            return None
        return self._problems.read(TYPES[kind], value, path)

    def _read_edges(self, draft: Draft) -> None:
        for source, ways in draft.part.transitions.items():
            path = (*draft.path, "transitions", source)
            if source not in draft.part.activities:
                self._problems.add(f"a transition leaves {source}, which is no activity of the graph", path)
            if not isinstance(ways, list | None):
                self._problems.add("the transitions of an activity are a list", path)
                continue
            for index, value in enumerate(ways or ()):
                at = (*path, str(index))
                edge = self._problems.read(EdgePart, value, at)
                if edge is None:
                    continue
                if edge.to not in draft.part.activities:
                    self._problems.add(
                        f"a transition leads to {edge.to}, which is no activity of the graph", (*at, "to")
                    )
                else:
                    draft.edges.setdefault(source, []).append((str(index), edge))

    def _read_rules(self, draft: Draft) -> None:
        for topic, rules in draft.part.hooks.items():
            path = (*draft.path, "hooks", topic)
            if not isinstance(rules, list) or not rules:
                self._problems.add("the rules of a hook's topic are a list", path)
                continue
            rule = self._problems.read(RulePart, rules[0], (*path, "0"))
            if rule is None:
                continue
            target = draft.activities.get(rule.to)
            if rule.to not in draft.part.activities:
                self._problems.add(f"a hook leads to {rule.to}, which is no activity of the graph", (*path, "0", "to"))
            elif target is not None and type_of(target) != "hook":
                self._problems.add(f"a hook leads to {rule.to}, which is a {target.type}", (*path, "0", "to"))
            if len(rules) > 1:
                self._problems.warn("only the first rule of a topic counts", (*path, "1"))
            if len(rule.conditions.match) > 1:
                self._problems.warn("only the first match of a rule counts", (*path, "0", "conditions", "match", "1"))
            draft.rules[topic] = rule

    def _link(self, draft: Draft) -> None:
        problems, path = self._problems, draft.path
        trigger = next((id for id, part in draft.activities.items() if isinstance(part, TriggerPart)), None)
        if trigger is None:
            if len(draft.activities) == len(draft.part.activities):  # else one that cannot be read may be it
                problems.add("the graph has no activity of type trigger (collator-trigger-activity-not-found)", path)
            return
        ways = {source: [(edge.to, index) for index, edge in edges] for source, edges in draft.edges.items()}
        draft.gone_back_to = frozenset(
            part.ancestor for part in draft.activities.values() if isinstance(part, CyclePart)
        )
        draft.tree = grow(trigger, ways, lambda message, *at: problems.add(message, (*path, *at)))
        for id, part in draft.activities.items():
            if not draft.tree.is_reached(id):
                problems.warn(f"no transition leads to {id}", draft.at(id))
            elif isinstance(part, CyclePart):
                above = {one: draft.activities.get(one) for one in draft.tree.ancestors[id]}
                check_cycle(id, part, above, draft.at(id), problems)
