"""Compiles a model: YAML to an immutable `App`, or a `ModelError` with everything that is wrong with it.

The order: read the parts by their types; grow each graph's tree; compile the maps of each activity, which tells what it
reads; connect what is read to whom it is read of. A step looks at all graphs before the next one begins, so that one
mistake does not hide the others.
"""

from collections.abc import Callable, Mapping
from typing import Any

from meshdata.errors import ModelError
from meshdata.graph.activities import (
    literal_topic,
    own_of,
    paths_of,
    retries,
    specials,
    type_of,
)
from meshdata.graph.compiled import Activity, App, Edge, Graph, HookRule, Validator
from meshdata.graph.drafts import Draft, Drafts, read_app
from meshdata.graph.flow import connect
from meshdata.graph.loading import LoadedModel, Source, load
from meshdata.graph.mapping import Mapper, Reference
from meshdata.graph.model import (
    ActivityPart,
    AwaitPart,
    Conditions,
    EdgePart,
    HookPart,
    Maps,
    SignalPart,
    TriggerPart,
    WorkerPart,
)
from meshdata.graph.pipes.values import UNDEFINED, is_number, text
from meshdata.graph.problems import Path, Problems
from meshdata.graph.reading import Reader
from meshdata.graph.schemas import NoSchema, validator_of


def compile_app(source: Source) -> App:
    """Compile a model.

    Args:
        source: its path, its text, or a model as `App.source` holds it.

    Raises:
        ModelError: it cannot be compiled; all that is wrong is in `.problems`, each with graph, activity, field, line.
    """
    try:
        return _Compiler(load(source)).compile()
    except RecursionError as error:
        raise ModelError("the model is nested too deeply") from error


class _Compiler:
    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._problems = Problems(loaded)
        self._known: Mapping[str, Any] = {}
        self._reads: dict[str, list[tuple[Reference, Path]]] = {}
        self._job_paths: dict[str, tuple[Path, ...]] = {}
        self._hooks: dict[str, HookRule] = {}

    def compile(self) -> App:
        app = read_app(self._loaded.document, self._problems)
        reading = Drafts(self._problems)
        drafts = list(reading.read(app))
        self._known = reading.owners
        activities: dict[str, Activity] = {}
        graphs: dict[str, Graph] = {}
        for draft in drafts:
            rules = self._rules(draft)
            graph = self._graph(draft)
            self._job_paths[draft.topic] = graph.job_paths
            for id in draft.activities:
                activities[id] = self._activity(draft, id, rules)
            graphs[draft.topic] = graph
        self._problems.check()
        activities = connect(activities, self._reads, self._job_paths, self._problems)
        topics = self._look_at_topics(drafts)
        return App(
            id=app.id,
            version=app.version,
            graphs=graphs,
            activities=activities,
            hooks=self._hooks,
            settings=app.settings,
            warnings=self._problems.warnings,
            worker_topics=frozenset(topics),
            source=self._loaded.document,
        )

    # --- what they are compiled to ------------------------------------------------------------------------------------

    def _rules(self, draft: Draft) -> dict[str, HookRule]:
        """The rules of a graph by the activity they lead to; those of all graphs by topic."""
        by_target: dict[str, HookRule] = {}
        for topic, part in draft.rules.items():
            path = (*draft.path, "hooks", topic, "0")
            match, at = part.conditions.match[0], (*path, "conditions", "match", "0")
            rule = HookRule(
                topic, part.to, self._of_target(part.to, match.expected, (*at, "expected")),
                self._reader().mapper(_given(match.actual), (*at, "actual")),
            )  # fmt: skip
            if topic in self._hooks:
                self._problems.warn(f"{topic} has rules in two graphs; those of the last one count", path)
            if part.to in by_target:
                self._problems.warn(f"{part.to} has a topic already: {by_target[part.to].topic}", path)
            by_target.setdefault(part.to, rule)
            self._hooks[topic] = rule
        return by_target

    def _of_target(self, id: str, value: Any, path: Path) -> Mapper | None:
        """A map of a hook's rule that the hook itself evaluates."""
        reader = self._reader()
        mapper = reader.mapper(_given(value), path)
        self._note(id, reader)
        return mapper

    def _graph(self, draft: Draft) -> Graph:
        part, path = draft.part, draft.path
        expire = self._reader()
        found = Graph(
            topic=draft.topic,
            trigger=draft.tree.trigger,
            activities=tuple(draft.activities),
            publishes=part.publishes,
            expire=expire.mapper(part.expire, (*path, "expire")),
            validates=draft.validates,
            input_schema=self._validator(draft, part.input, (*path, "input")),
            output_schema=self._validator(draft, part.output, (*path, "output")),
            job_paths=tuple(
                dict.fromkeys(
                    path for one in draft.activities.values() if one.job is not None for path in paths_of(one.job.maps)
                )
            ),
            hooks=tuple(draft.rules),
        )
        for id in draft.activities:  # whichever of them ends a job evaluates it
            self._note(id, expire)
        return found

    def _activity(self, draft: Draft, id: str, rules: Mapping[str, HookRule]) -> Activity:
        part, path, tree = draft.activities[id], draft.at(id), draft.tree
        reader = self._reader()
        maps = _maps_by(reader, path)
        self._look_at_job_maps(part, (*path, "job", "maps"))
        is_trigger = isinstance(part, TriggerPart)
        activity = Activity(
            id=id,
            type=type_of(part),
            graph=draft.topic,
            own=own_of(part, rules.get(id), path, reader, self._problems),
            title=part.title or "",
            parent=tree.parents.get(id),
            ancestors=tree.ancestors.get(id, ()),
            edges=tuple(self._edge(draft, id, index, edge, reader) for index, edge in draft.edges.get(id, ())),
            is_cycled=part.cycle or id in draft.gone_back_to,
            input_maps=maps("input", part.input),
            output_maps=maps("output", part.output),
            job_maps=maps("job", part.job),
            telemetry=reader.mapper(part.telemetry, (*path, "telemetry")),
            job_specials={} if part.job is None else specials(part.job.maps, (*path, "job", "maps"), self._problems),
            emit=reader.mapper(part.emit, (*path, "emit")),
            persist=reader.mapper(part.persist, (*path, "persist")),
            threshold=reader.mapper(part.status_threshold, (*path, "statusThreshold")),
            retry=retries(part, path, self._problems),
            input_schema=None if is_trigger else self._validator(draft, part.input, (*path, "input")),
            output_schema=self._output_schema(draft, part, path),
        )
        self._note(id, reader)
        return activity

    def _note(self, id: str, reader: Reader) -> None:
        self._reads.setdefault(id, []).extend(reader.references)

    def _edge(self, draft: Draft, source: str, index: str, part: EdgePart, reader: Reader) -> Edge:
        at = (*draft.path, "transitions", source, index, "conditions")
        conditions = part.conditions
        if conditions is None:
            return Edge(part.to)
        return Edge(
            part.to, self._codes(conditions, (*at, "code")), conditions.gate,
            tuple(
                (one.expected, _compared(one.actual, (*at, "match", str(number), "actual"), reader))
                for number, one in enumerate(conditions.match or ())
            ),
        )  # fmt: skip

    def _codes(self, conditions: Conditions, path: Path) -> frozenset[str]:
        """The codes an edge is for. Of a list only the numbers count, a scalar is compared as text."""
        code = conditions.code
        if not isinstance(code, list):
            return frozenset({text(code)})
        if not all(is_number(one) for one in code):
            self._problems.warn("only the numbers of a list of codes count", path)
        return frozenset(text(one) for one in code if is_number(one))

    # --- schemas ------------------------------------------------------------------------------------------------------

    def _output_schema(self, draft: Draft, part: ActivityPart, path: Path) -> Validator | None:
        """What is checked when an activity's data come: of a trigger, by the schema of its graph's input."""
        if isinstance(part, TriggerPart) and draft.part.input is not None and draft.part.input.schema_ is not None:
            return self._validator(draft, draft.part.input, (*draft.path, "input"))
        if isinstance(part, HookPart) and part.hook:
            return self._validator(draft, Maps(schema=part.hook.get("schema", part.hook)), (*path, "hook"))
        return self._validator(draft, part.output, (*path, "output"))

    def _validator(self, draft: Draft, part: Maps | None, path: Path) -> Validator | None:
        if not draft.validates or part is None or part.schema_ is None:
            return None
        try:
            return validator_of(part.schema_)
        except NoSchema as error:
            self._problems.add(str(error), (*path, "schema"))
            return None

    # --- looks --------------------------------------------------------------------------------------------------------

    def _reader(self) -> Reader:
        return Reader(self._problems, self._known)

    def _look_at_job_maps(self, part: ActivityPart, path: Path) -> None:
        if part.job is not None and isinstance(part.job.maps, Mapping) and "@pipe" in part.job.maps:
            self._problems.warn("a pipe in place of job maps names no paths, so it sets nothing", path)

    def _look_at_topics(self, drafts: list[Draft]) -> set[str]:
        """The topics of workers; warns of those of graphs and hooks that the app has not."""
        of_workers: set[str] = set()
        graphs = {draft.topic for draft in drafts}
        for draft in drafts:
            for id, part in draft.activities.items():
                topic = literal_topic(part)
                if topic is None:
                    continue
                if isinstance(part, WorkerPart):
                    of_workers.add(topic)
                elif isinstance(part, AwaitPart) and topic not in graphs:
                    name = "topic" if part.subtype is None else "subtype"
                    self._problems.warn(f"no graph of the app subscribes to {topic}", (*draft.at(id), name))
                elif isinstance(part, SignalPart) and topic not in self._hooks:
                    self._problems.warn(f"no graph of the app has a hook {topic}", (*draft.at(id), "topic"))
        return of_workers


def _given(value: Any) -> Any:
    """A value that may be missing, as mappers take it."""
    return None if value is UNDEFINED else value


def _compared(actual: Any, path: Path, reader: Reader) -> Mapper:
    """What a condition compares: null is a value here, and what is left out is undefined."""
    found = reader.mapper(_given(actual), path)
    return found or (lambda scope: actual)


def _maps_by(reader: Reader, path: Path) -> Callable[[str, Maps | None], Mapper | None]:
    """The maps under a key of an activity."""

    def of(name: str, part: Maps | None) -> Mapper | None:
        return None if part is None else reader.mapper(part.maps, (*path, name, "maps"))

    return of
