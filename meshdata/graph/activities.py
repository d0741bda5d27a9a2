"""What only one type of activity has, compiled: a worker's topic, a hook's time, a trigger's statistics. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from meshdata.graph.compiled import (
    Activity,
    ActivityType,
    Await,
    Cycle,
    Hook,
    HookRule,
    Interrupt,
    Measure,
    Signal,
    Special,
    Stats,
    Trigger,
    Worker,
)
from meshdata.graph.mapping import Mapper, is_expression, reference_of
from meshdata.graph.model import (
    ActivityPart,
    AwaitPart,
    CyclePart,
    HookPart,
    InterruptPart,
    Maps,
    SignalPart,
    StatsPart,
    TriggerPart,
    WorkerPart,
)
from meshdata.graph.pipes.values import is_number
from meshdata.graph.problems import Path, Problems
from meshdata.graph.reading import Reader

Own = Trigger | Worker | Await | Hook | Signal | Cycle | Interrupt

MOST_SLOTS: Final = 1_000
_SPECIAL: Final = re.compile(r"(?P<name>.*)\[(?P<what>\d+|-|_)\]")
_BACK: Final[frozenset[ActivityType]] = frozenset({"worker", "await", "hook", "signal", "interrupt"})
"""Types that a cycle can go back to."""


def type_of(part: ActivityPart) -> ActivityType:
    """The type of an activity, by the name that the compiled graph has for it."""
    return "hook" if part.type == "activity" else part.type  # type: ignore[return-value]  # by model.TYPES it is one


def own_of(part: ActivityPart, rule: HookRule | None, path: Path, reader: Reader, problems: Problems) -> Own:
    """An activity's own part. What is wrong with it is told to `problems`."""
    if isinstance(part, TriggerPart):
        return Trigger(None if part.stats is None else _stats(part.stats, (*path, "stats"), reader, problems))
    if isinstance(part, WorkerPart):
        return Worker(_topic(part, path, reader, problems))
    if isinstance(part, AwaitPart):
        return Await(_topic(part, path, reader, problems), reader.mapper(part.await_, (*path, "await")))
    if isinstance(part, HookPart):
        return Hook(reader.mapper(part.sleep, (*path, "sleep")), rule)
    if isinstance(part, SignalPart):
        return _signal(part, path, reader, problems)
    if isinstance(part, CyclePart):
        return Cycle(part.ancestor)
    assert isinstance(part, InterruptPart)
    named = {name: reader.mapper(getattr(part, name), (*path, name)) for name in _INTERRUPT}
    return Interrupt(**named)


_INTERRUPT: Final = ("target", "topic", "reason", "code", "throw", "descend", "stack")


def literal_topic(part: ActivityPart) -> str | None:
    """The topic of a worker, an await or a signal, where the model names it as it is."""
    found = getattr(part, "topic", None)
    if isinstance(part, WorkerPart | AwaitPart) and part.subtype is not None:
        found = part.subtype
    return found if isinstance(found, str) and not is_expression(found) else None


def check_cycle(
    id: str, part: CyclePart, ancestors: Mapping[str, ActivityPart | None], path: Path, problems: Problems
) -> None:
    """A cycle goes back to an activity that is before it (None where that cannot be read), and can be gone back to."""
    at = (*path, "ancestor")
    target = ancestors.get(part.ancestor)
    if part.ancestor not in ancestors:
        above = ", ".join(ancestors) or "nothing"
        problems.add(f"{part.ancestor} is not an ancestor of {id}; above it there is {above}", at)
    elif target is not None and type_of(target) not in _BACK:
        problems.add(f"{part.ancestor} is a {target.type}, which cannot be gone back to", at)


def retries(part: ActivityPart, path: Path, problems: Problems) -> dict[str, int]:
    """How often an activity is tried again, by the code of its error."""
    found: dict[str, int] = {}
    for code, policy in (part.retry or {}).items():
        most = policy[0] if isinstance(policy, list) and policy else policy
        if is_number(most) and most >= 0 and int(most) == most:
            found[code] = int(most)
        else:
            problems.add(f"tries are a list that begins with their number, like [3]; this is {policy!r}",
                         (*path, "retry", code))  # fmt: skip
    if found and not isinstance(part, WorkerPart | AwaitPart):
        problems.warn(f"a {part.type} is not tried again", (*path, "retry"))
    return found


# --- job maps ---------------------------------------------------------------------------------------------------------


def specials(maps: Any, path: Path, problems: Problems) -> dict[str, Special]:
    """Keys of job maps that are no paths of the job's data."""
    found: dict[str, Special] = {}
    for key in maps if isinstance(maps, Mapping) else ():
        match = _SPECIAL.fullmatch(key)
        if match is None:
            continue
        name, what = match["name"], match["what"]
        if what in "-_":
            found[key] = Special("markers" if what == "-" else "record", name)
        elif not name or int(what) > MOST_SLOTS:
            problems.add(f"{key!r}: slots have a name, and there are at most {MOST_SLOTS}", (*path, key))
        else:
            found[key] = Special("slots", name, int(what))
    return found


def paths_of(maps: Any) -> list[Path]:
    """The paths of the job's data that job maps set: those of their leaves; a pipe is one."""
    if not isinstance(maps, Mapping) or "@pipe" in maps:
        return []
    plain = {key: one for key, one in maps.items() if not key.startswith(("_", "-")) and not _SPECIAL.fullmatch(key)}
    return _leaves(plain, ())


def _leaves(value: Any, path: Path) -> list[Path]:
    if isinstance(value, list):
        value = {str(index): one for index, one in enumerate(value)}
    if not isinstance(value, Mapping) or "@pipe" in value:
        return [path]
    return [leaf for key, one in value.items() for leaf in _leaves(one, (*path, str(key)))]


# --- types ------------------------------------------------------------------------------------------------------------


def _nowhere(scope: Mapping[str, Any]) -> str:
    return ""


def _topic(part: WorkerPart | AwaitPart, path: Path, reader: Reader, problems: Problems) -> Mapper:
    name = "topic" if part.subtype is None else "subtype"
    found = reader.mapper(getattr(part, name), (*path, name))
    if part.topic is None and part.subtype is None:
        problems.add(f"topic is needed: whom the {part.type} asks", (*path, name))
    return found or _nowhere


def _signal(part: SignalPart, path: Path, reader: Reader, problems: Problems) -> Signal:
    def of(name: str) -> Mapper | None:
        return reader.mapper(getattr(part, name), (*path, name))

    def maps(name: str, of_part: Maps | None) -> Mapper | None:
        return None if of_part is None else reader.mapper(of_part.maps, (*path, name, "maps"))

    topic = of("topic")
    if part.subtype == "all" and (literal_topic(part) is None):
        problems.add("the topic of a signal to all is a text, not a map", (*path, "topic"))
    return Signal(
        part.subtype, topic or _nowhere, maps("signal", part.signal), of("status"), of("code"), of("key_name"),
        of("key_value"), maps("resolver", part.resolver), of("scrub"),
    )  # fmt: skip


def _stats(part: StatsPart, path: Path, reader: Reader, problems: Problems) -> Stats:
    measures = []
    for index, one in enumerate(part.measures or ()):
        at = (*path, "measures", str(index), "target")
        reference = reference_of(one.target)
        target = reader.mapper(one.target, at)
        if reference is None or len(reference.path) < 4:
            problems.add(f"a target refers to data, like {{$self.output.data.size}}; this is {one.target}", at)
        elif target is not None:
            measures.append(Measure(one.measure, "/".join(reference.path[3:]), target))
    id, key = (reader.mapper(getattr(part, name), (*path, name)) for name in ("id", "key"))
    return Stats(id, key, part.granularity, tuple(measures))


def is_waiting(activity: Activity) -> bool:
    """Whether it is a hook that may wait."""
    return isinstance(activity.own, Hook) and (activity.own.sleep is not None or activity.own.rule is not None)
