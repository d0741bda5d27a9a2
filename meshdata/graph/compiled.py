"""What a model is compiled to: immutable, shared by every job of its version. Pure values.

A `Mapper` is a map, a pipe or a cell as a function of a scope (`mapping.py`); it gives UNDEFINED where nothing is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from meshdata.graph.mapping import Mapper

ActivityType = Literal["trigger", "worker", "await", "hook", "signal", "cycle", "interrupt"]

Validator = Callable[[Any], None]
"""Raises where data do not fit a schema; the error says at which path."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is counted of a job: what with (`kind`), and where it is taken from; `path` names it."""

    kind: str
    path: str
    target: Mapper


@dataclass(frozen=True, slots=True)
class Stats:
    """What a trigger makes of its payload: the job's id, the key it is counted under, and what is counted."""

    id: Mapper | None = None
    key: Mapper | None = None
    granularity: str = "5m"
    measures: tuple[Measure, ...] = ()


@dataclass(frozen=True, slots=True)
class HookRule:
    """When a payload of a topic is for a waiting hook: `actual`, of the payload, is what `expected`, of the job, was
    when it began to wait."""

    topic: str
    to: str
    expected: Mapper | None
    actual: Mapper | None


@dataclass(frozen=True, slots=True)
class Trigger:
    """Begins a job."""

    stats: Stats | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """Asks a worker by its topic."""

    topic: Mapper


@dataclass(frozen=True, slots=True)
class Await:
    """Starts another graph's job by its topic; waits for its end unless `wait` gives False."""

    topic: Mapper
    wait: Mapper | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """Waits for a signal by a rule, or for `sleep` seconds; without either it passes through."""

    sleep: Mapper | None = None
    rule: HookRule | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """Wakes a waiting hook (`one`) or those of every job an index lists (`all`)."""

    kind: Literal["one", "all"]
    topic: Mapper
    payload: Mapper | None = None
    status: Mapper | None = None
    code: Mapper | None = None
    key_name: Mapper | None = None
    key_value: Mapper | None = None
    resolver: Mapper | None = None
    scrub: Mapper | None = None


@dataclass(frozen=True, slots=True)
class Cycle:
    """Goes back to an ancestor."""

    ancestor: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Ends a job, by default its own."""

    target: Mapper | None = None
    topic: Mapper | None = None
    reason: Mapper | None = None
    code: Mapper | None = None
    throw: Mapper | None = None
    descend: Mapper | None = None
    stack: Mapper | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A way to another activity: always taken without `codes`, else by the reply's code and what `match` compares."""

    to: str
    codes: frozenset[str] | None = None
    gate: Literal["and", "or"] = "and"
    match: tuple[tuple[Any, Mapper], ...] = ()


@dataclass(frozen=True, slots=True)
class Special:
    """A key of job maps that is no path of the job's data: slots `name[25]`, markers `x[-]`, record fields `x[_]`."""

    kind: Literal["slots", "markers", "record"]
    name: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity.

    Attributes:
        graph: the topic of its graph.
        ancestors: from the trigger down, without itself.
        is_cycled: it may be gone back to, so that it stays open after its end.
        job_specials: keys of what `job_maps` gives that are not the job's data.
        retry: tries that are left for an error, by its code.
        produced: paths of it that others read, from the second segment on: ("output", "data", "x").
        reads: other activities that its maps and conditions read.
        own: what only its type has.
    """

    id: str
    type: ActivityType
    graph: str
    own: Trigger | Worker | Await | Hook | Signal | Cycle | Interrupt
    title: str = ""
    parent: str | None = None
    ancestors: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    is_cycled: bool = False
    input_maps: Mapper | None = None
    output_maps: Mapper | None = None
    job_maps: Mapper | None = None
    telemetry: Mapper | None = None
    job_specials: Mapping[str, Special] = field(default_factory=dict)
    emit: Mapper | None = None
    persist: Mapper | None = None
    threshold: Mapper | None = None
    retry: Mapping[str, int] = field(default_factory=dict)
    produced: tuple[Path, ...] = ()
    reads: frozenset[str] = frozenset()
    input_schema: Validator | None = None
    output_schema: Validator | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """One graph.

    Attributes:
        topic: what it subscribes to; publishes: the topic its results are published to.
        trigger: the id of the activity that begins its jobs; activities: all ids, in the order of the model.
        expire: seconds a finished job stays; None for the default.
        job_paths: parts of the job's data that any of its job maps sets, in the order of the model; not slots.
        hooks: topics of its hook rules.
    """

    topic: str
    trigger: str
    activities: tuple[str, ...]
    publishes: str | None = None
    expire: Mapper | None = None
    validates: bool = False
    input_schema: Validator | None = None
    output_schema: Validator | None = None
    job_paths: tuple[Path, ...] = ()
    hooks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class App:
    """One version of an app.

    Attributes:
        graphs: by the topic they subscribe to; activities: of all graphs, by id; hooks: rules by topic.
        worker_topics: those that the model names as they are.
        source: the model it was compiled of, everything it refers to taken in; fit for JSON.
    """

    id: str
    version: str
    graphs: Mapping[str, Graph]
    activities: Mapping[str, Activity]
    hooks: Mapping[str, HookRule] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    worker_topics: frozenset[str] = frozenset()
    source: Mapping[str, Any] = field(default_factory=dict)
