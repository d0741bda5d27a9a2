"""The form of a model: what each part of the YAML may hold, and of which type. What it means is the compiler's.

A value that may be a map, a pipe or a cell is `Any` here. Keys that a part does not know are kept, so that the compiler
can warn of them; those in `WITHOUT_EFFECT` are known from other engines, and do nothing.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from meshdata.graph.pipes.values import UNDEFINED, is_number, text


def _written(value: Any) -> Any:
    """A number where a text is meant: `version: 1`."""
    return text(value) if is_number(value) else value


def _nothing(value: Any) -> Any:
    """A key without a value, where an object is meant."""
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_written)]
Members = Annotated[dict[str, Any], BeforeValidator(_nothing)]


class Part(BaseModel):
    """A part of a model."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    WITHOUT_EFFECT: ClassVar[frozenset[str]] = frozenset()


class Maps(Part):
    """`input`, `output`, `job`, `signal`, `resolver`: maps, and a JSON schema of what they give."""

    maps: Any = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class Match(Part):
    """A comparison of a condition or of a hook's rule."""

    expected: Any = UNDEFINED
    actual: Any = UNDEFINED


class Conditions(Part):
    """When an edge is taken."""

    code: Any = 200
    gate: Literal["and", "or"] = "and"
    match: list[Match] | None = None


class EdgePart(Part):
    """One edge of `transitions`."""

    to: Text
    conditions: Conditions | None = None

    WITHOUT_EFFECT = frozenset({"code"})


class RuleConditions(Part):
    """When a payload is for a hook."""

    gate: Literal["and", "or"] = "and"
    match: list[Match] = Field(min_length=1)


class RulePart(Part):
    """One rule of `hooks`."""

    to: Text
    conditions: RuleConditions


class MeasurePart(Part):
    """Something that is counted of a job."""

    measure: Literal["count", "sum", "avg", "mdn", "index", "max", "min"]
    target: str

    WITHOUT_EFFECT = frozenset({"operator", "value"})


class StatsPart(Part):
    """What a trigger makes of its payload."""

    id: Any = None
    key: Any = None
    granularity: Literal["5m", "10m", "15m", "30m", "1h", "infinity"] = "5m"
    measures: list[MeasurePart] | None = None

    WITHOUT_EFFECT = frozenset({"parent", "adjacent"})


class ActivityPart(Part):
    """What activities of all types have."""

    type: str
    title: Text | None = None
    input: Maps | None = None
    output: Maps | None = None
    job: Maps | None = None
    telemetry: Any = None
    emit: Any = None
    persist: Any = None
    status_threshold: Any = Field(None, alias="statusThreshold")
    retry: dict[str, Any] | None = None
    cycle: bool = False

    WITHOUT_EFFECT = frozenset(
        {"statusThresholdType", "settings", "errors", "timeout", "eventName", "expire", "persistent"}
    )


class TriggerPart(ActivityPart):
    """Begins a job."""

    stats: StatsPart | None = None


class WorkerPart(ActivityPart):
    """Asks a worker."""

    topic: Any = None
    subtype: Any = None


class AwaitPart(ActivityPart):
    """Starts another graph's job."""

    topic: Any = None
    subtype: Any = None
    await_: Any = Field(None, alias="await")


class HookPart(ActivityPart):
    """Waits for a signal or a time, or passes through; `hook` is the schema of a signal's payload, or holds it."""

    sleep: Any = None
    hook: dict[str, Any] | None = None

    WITHOUT_EFFECT = ActivityPart.WITHOUT_EFFECT | {"topic", "subtype"}


class SignalPart(ActivityPart):
    """Wakes waiting hooks."""

    subtype: Literal["one", "all"] = "one"
    topic: Any
    signal: Maps | None = None
    status: Any = None
    code: Any = None
    key_name: Any = None
    key_value: Any = None
    resolver: Maps | None = None
    scrub: Any = None


class CyclePart(ActivityPart):
    """Goes back to an ancestor."""

    ancestor: Text


class InterruptPart(ActivityPart):
    """Ends a job."""

    target: Any = None
    topic: Any = None
    reason: Any = None
    code: Any = None
    throw: Any = None
    descend: Any = None
    stack: Any = None


TYPES: Final[dict[str, type[ActivityPart]]] = {
    "trigger": TriggerPart,
    "worker": WorkerPart,
    "await": AwaitPart,
    "hook": HookPart,
    "activity": HookPart,
    "signal": SignalPart,
    "cycle": CyclePart,
    "interrupt": InterruptPart,
}


class GraphPart(Part):
    """One graph. What is in `activities`, `transitions` and `hooks` is read one by one, so that one is named."""

    subscribes: Annotated[Text, Field(min_length=1, pattern=r"^\S+$")]
    publishes: Annotated[Text, Field(min_length=1, pattern=r"^\S+$")] | None = None
    expire: Any = None
    input: Maps | None = None
    output: Maps | None = None
    activities: Members
    transitions: Members = Field(default_factory=dict)
    hooks: Members = Field(default_factory=dict)
    settings: Members = Field(default_factory=dict)

    WITHOUT_EFFECT = frozenset({"persistent"})


class AppPart(Part):
    """An app: a version of a set of graphs."""

    id: Annotated[Text, Field(pattern=r"^[A-Za-z0-9-]+$")]
    version: Annotated[Text, Field(min_length=1, max_length=100, pattern=r"^\S+$")]
    settings: Members = Field(default_factory=dict)
    graphs: Annotated[list[Any], Field(min_length=1)]


class Document(Part):
    """What a file holds."""

    app: dict[str, Any]
