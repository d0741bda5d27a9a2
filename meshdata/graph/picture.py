"""What is drawn of compiled graphs: boxes and arrows with their labels; and the drawing as Mermaid. Pure.

`svg.py` draws the same. A running job's path is marked by the states of its activities, `states_of` its ledgers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from meshdata.errors import InvalidOptions
from meshdata.graph.activities import is_waiting
from meshdata.graph.compiled import Activity, App, Await, Cycle, Graph, Signal, Worker
from meshdata.graph.ledger import Ledger
from meshdata.graph.mapping import expressions, is_expression, is_function
from meshdata.graph.place import parse_instance
from meshdata.graph.state import LEDGER

State = Literal["running", "waiting", "done", "failed"]
ArrowKind = Literal["transition", "cycle", "signal", "start"]

LONGEST: Final = 44
"""Characters of a label; what is longer ends with an ellipsis."""

_STRENGTH: Final[tuple[State, ...]] = ("done", "waiting", "running", "failed")


@dataclass(frozen=True, slots=True)
class Box:
    """An activity: its id, what it does in a few words, how it stands in the job that is looked at."""

    id: str
    type: str
    detail: str
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Arrow:
    """A way from one activity to another: a transition, back by a cycle, by a signal, to the start of another graph."""

    source: str
    to: str
    label: str
    kind: ArrowKind


@dataclass(frozen=True, slots=True)
class Frame:
    """A graph: its topics, its activities in the order of the model."""

    topic: str
    title: str
    trigger: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Graphs of an app, and the arrows inside and between them."""

    frames: tuple[Frame, ...]
    arrows: tuple[Arrow, ...]

    @property
    def states(self) -> Mapping[str, State]:
        """How activities stand that the job has been to."""
        return {box.id: box.state for frame in self.frames for box in frame.boxes if box.state is not None}


def picture_of(app: App, *, topic: str | None = None, states: Mapping[str, State] | None = None) -> Picture:
    """What to draw.

    Args:
        topic: draw the graph that subscribes to it only; None draws all.
        states: how activities stand in a job, by their ids.

    Raises:
        InvalidOptions: no graph subscribes to the topic.
    """
    if topic is not None and topic not in app.graphs:
        known = ", ".join(app.graphs)
        raise InvalidOptions(f"no graph subscribes to {topic}; there are {known}", argument="topic")
    graphs = [graph for graph in app.graphs.values() if topic in (None, graph.topic)]
    frames = tuple(_frame(app, graph, states or {}) for graph in graphs)
    drawn = {box.id for frame in frames for box in frame.boxes}
    written = dict(zip(app.graphs, app.source["app"]["graphs"], strict=True))  # a topic may be written as a number
    arrows = [arrow for graph in graphs for arrow in _arrows(app, graph, written[graph.topic])]
    return Picture(frames, tuple(arrow for arrow in arrows if arrow.to in drawn))


def states_of(app: App, fields: Mapping[str, bytes | None]) -> dict[str, State]:
    """How a job's activities stand, by its stored fields; of several passes the one that is least done counts."""
    found: dict[str, State] = {}
    for name, value in fields.items():
        if not name.startswith(LEDGER) or value is None:
            continue
        id, _ = parse_instance(name.removeprefix(LEDGER))
        activity = app.activities.get(id)
        state = _state(Ledger(int(value)), stays_open=activity is not None and activity.is_cycled)
        if id not in found or _STRENGTH.index(state) > _STRENGTH.index(found[id]):
            found[id] = state
    return found


def _state(ledger: Ledger, *, stays_open: bool) -> State:
    if ledger.is_closed:
        return "done"
    if ledger.is_forbidden:  # leg 1 is not left
        return "running"
    entered, left = int(ledger) // 1_000_000 % 1_000_000, int(ledger) % 1_000_000
    return "done" if stays_open and entered == left > 0 else "waiting"


def _frame(app: App, graph: Graph, states: Mapping[str, State]) -> Frame:
    title = f"{graph.topic} → {graph.publishes}" if graph.publishes else graph.topic
    boxes = tuple(
        Box(id, app.activities[id].type, short(_detail(app.activities[id])), states.get(id)) for id in graph.activities
    )
    return Frame(graph.topic, title, graph.trigger, boxes)


def _detail(activity: Activity) -> str:
    """What an activity does, where it is known without a job: its title, else whom it asks or what it waits for."""
    own = activity.own
    if activity.title:
        return activity.title
    if isinstance(own, Worker | Await | Signal):
        return str(_literal(own.topic) or "")
    if is_waiting(activity):
        rule = getattr(own, "rule", None)
        return "sleeps" if rule is None else f"waits for {rule.topic}"
    return ""


def _literal(mapper: Any) -> Any:
    """What a map gives without a scope: all of a literal, nothing of a reference."""
    try:
        return mapper({})
    except Exception:  # a pipe that cannot do without its references
        return None


def _arrows(app: App, graph: Graph, written: Mapping[str, Any]) -> Iterator[Arrow]:
    transitions = written.get("transitions") or {}
    for id in graph.activities:
        activity = app.activities[id]
        for edge, source in zip(activity.edges, transitions.get(id) or (), strict=True):
            yield Arrow(id, edge.to, short(condition(source.get("conditions"))), "transition")
        own = activity.own
        if isinstance(own, Cycle):
            yield Arrow(id, own.ancestor, "", "cycle")
        elif isinstance(own, Signal):
            rule = app.hooks.get(str(_literal(own.topic)))
            if rule is not None:
                yield Arrow(id, rule.to, "" if own.kind == "one" else "all", "signal")
        elif isinstance(own, Await):
            child = app.graphs.get(str(_literal(own.topic)))
            if child is not None:
                yield Arrow(id, child.trigger, "", "start")


_SIGNS: Final = {
    "{@conditional.less_than}": "<", "{@conditional.less_than_or_equal}": "≤", "{@conditional.greater_than}": ">",
    "{@conditional.greater_than_or_equal}": "≥", "{@conditional.equality}": "=", "{@conditional.inequality}": "≠",
    "{@conditional.strict_equality}": "=", "{@conditional.strict_inequality}": "≠",
}  # fmt: skip


# --- words ------------------------------------------------------------------------------------------------------------


def condition(conditions: Mapping[str, Any] | None) -> str:
    """The conditions of a transition in a few words: `422 and $job.done = true`."""
    if conditions is None:
        return ""
    matches = [_compared(one.get("actual"), one.get("expected")) for one in conditions.get("match") or ()]
    code = conditions.get("code")
    if code is None and matches:
        codes = []
    else:
        listed = code if isinstance(code, list) else [200 if code is None else code]
        codes = [" | ".join(str(one) for one in listed)]
    gate = f" {conditions.get('gate', 'and')} "
    return ", ".join([*codes, gate.join(matches)] if matches else codes)


def _compared(actual: Any, expected: Any) -> str:
    """A comparison: of a value, or by a pipe that does nothing but compare two."""
    rows = actual.get("@pipe") if isinstance(actual, Mapping) else None
    match rows:
        case [[left, right], [str(function)]] if function in _SIGNS and isinstance(expected, bool):
            told = f"{_value(left)} {_SIGNS[function]} {_value(right)}"
            return told if expected else f"not {told}"
    return f"{_value(actual)} = {_value(expected)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        functions = [one for one in expressions(value) if is_function(one)]
        return f"{functions[-1][2:-1].partition('.')[2]}(…)" if functions else "…"
    if isinstance(value, bool | None):
        return {True: "true", False: "false", None: "null"}[value]
    if not is_expression(value):
        return str(value)
    path = value[1:-1].split(".")
    if path[1:3] in (["output", "data"], ["hook", "data"]):
        path = ([] if path[0] == "$self" else path[:1]) + path[3:]
    elif path[:2] in (["$job", "data"], ["$app", "settings"]):
        path = [path[0], *path[2:]]
    return ".".join(path)


def short(text: str) -> str:
    """A label of one line, not too long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "…"


# --- Mermaid ----------------------------------------------------------------------------------------------------------

_SHAPES: Final = {
    "trigger": ("([", "])"), "worker": ("[", "]"), "await": ("[[", "]]"), "hook": ("{{", "}}"),
    "signal": (">", "]"), "cycle": ("((", "))"), "interrupt": ("[/", "/]"),
}  # fmt: skip
_LINES: Final[Mapping[ArrowKind, str]] = {"transition": "-->", "cycle": "-.->", "signal": "-.->", "start": "==>"}
_CLASSES: Final = {
    "done": "fill:#d7f0dd,stroke:#2f8f4e,color:#10331d",
    "waiting": "fill:#fff1cc,stroke:#b58105,color:#4a3500",
    "running": "fill:#d8e8ff,stroke:#2f6fd0,color:#0f2a52",
    "failed": "fill:#ffdcdc,stroke:#c23b3b,color:#4d1212",
}


def mermaid(picture: Picture) -> str:
    """The drawing as the text of a Mermaid flowchart."""
    names = {box.id: f"n{index}" for index, box in enumerate(box for frame in picture.frames for box in frame.boxes)}
    lines = ["flowchart TD"]
    for index, frame in enumerate(picture.frames):
        lines.append(f'  subgraph g{index}["{_escaped(frame.title)}"]')
        for box in frame.boxes:
            begin, end = _SHAPES[box.type]
            label = _escaped(box.id) + (f"<br/>{_escaped(box.detail)}" if box.detail else "")
            lines.append(f'    {names[box.id]}{begin}"{label}"{end}')
        lines.append("  end")
    for arrow in picture.arrows:
        label = f'|"{_escaped(arrow.label)}"|' if arrow.label else ""
        lines.append(f"  {names[arrow.source]} {_LINES[arrow.kind]}{label} {names[arrow.to]}")
    states = picture.states
    for state, style in _CLASSES.items():
        of_state = [names[id] for id, one in states.items() if one == state]
        if of_state:
            lines += [f"  classDef {state} {style}", f"  class {','.join(of_state)} {state}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
