"""How a graph job begins: its id and key, its metadata, and what its trigger is given. Pure."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from meshdata.graph.compiled import Activity, App, Graph, Stats, Trigger
from meshdata.graph.pipes.values import UNDEFINED, is_nothing, text
from meshdata.values import check_id

GUID_SIZE: Final = 22
TRACE: Final = ("trc", "spn")
"""What tells of a trace in metadata: its id, and the span that what follows stands below."""

MINUTES: Final = {"5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60}


def guid() -> str:
    """A name that nothing else has."""
    return "H" + secrets.token_urlsafe(GUID_SIZE)[:GUID_SIZE]


@lru_cache(maxsize=256)
def stamp(ms: int) -> str:
    """A moment as metadata shows it: YYYYMMDDHHMMSS.mmm, UTC."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%d%H%M%S}.{rest:03d}"


def bucket(ms: int, granularity: str) -> str:
    """The time slice a moment belongs to: YYYYMMDDHHMM, or 0 where there is one only."""
    minutes = MINUTES.get(granularity)
    if minutes is None:
        return "0"
    slice_ms = minutes * 60_000
    return f"{datetime.fromtimestamp(ms // slice_ms * slice_ms / 1000, UTC):%Y%m%d%H%M}"


@dataclass(frozen=True, slots=True)
class Parent:
    """The activity of another job that started one."""

    job: str
    generation: str
    address: str
    activity: str
    waits: bool


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a job begins with.

    Attributes:
        search: fields of its record; markers: fields of its state, each name with its mark.
    """

    topic: str
    data: Any
    id: str
    key: str
    parent: Parent | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    search: Mapping[str, str] = field(default_factory=dict)
    markers: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As it crosses Redis."""
        packed: dict[str, Any] = {"t": self.topic, "d": self.data, "i": self.id, "k": self.key}
        if self.parent is not None:
            parent = self.parent
            packed["p"] = [parent.job, parent.generation, parent.address, parent.activity, parent.waits]
        for name, value in (("x", self.trace), ("s", self.search), ("m", self.markers)):
            if value:
                packed[name] = dict(value)
        return packed

    @classmethod
    def from_dict(cls, packed: Mapping[str, Any]) -> "Beginning":
        """The other way round."""
        parent = Parent(*packed["p"]) if "p" in packed else None
        return cls(
            packed["t"], packed["d"], packed["i"], packed["k"], parent,
            packed.get("x", {}), packed.get("s", {}), packed.get("m", {}),
        )  # fmt: skip


def own_document(data: Any) -> dict[str, Any]:
    """What a trigger sees of itself: its input is its output, the caller's payload."""
    return {"input": {"data": data}, "output": {"data": data, "metadata": {}}}


def stats_of(trigger: Activity) -> Stats | None:
    """What is counted of the jobs that a trigger begins."""
    return trigger.own.stats if isinstance(trigger.own, Trigger) else None


def identify(app: App, graph: Graph, data: Any) -> tuple[str, str]:
    """The id and the key of a job that begins with a payload. An id that comes to nothing is a new one.

    Raises:
        InvalidOptions: what the graph makes of it is no id; PipeError: a pipe cannot do what it was asked to.
    """
    trigger = app.activities[graph.trigger]
    stats = stats_of(trigger)
    own = own_document(data)
    scope = {"$self": own, trigger.id: own, "$app": {"settings": app.settings}}
    id = UNDEFINED if stats is None or stats.id is None else stats.id(scope)
    key = UNDEFINED if stats is None or stats.key is None else stats.key(scope)
    name = guid() if is_nothing(id) or id == "" else check_id(text(id), argument="data")
    return name, "" if is_nothing(key) else text(key)


def metadata(app: App, graph: Graph, beginning: Beginning, now_ms: int) -> dict[str, Any]:
    """The metadata of a job, as far as it stays what it is."""
    stats = stats_of(app.activities[graph.trigger])
    granularity = stats.granularity if stats is not None else "5m"
    found: dict[str, Any] = {
        "gid": guid(),  # first: the script that takes further replies compares it
        "jid": beginning.id,
        "aid": graph.trigger,
        "app": app.id,
        "vrs": app.version,
        "tpc": graph.topic,
        "ts": bucket(now_ms, granularity),
        "jc": stamp(now_ms),
    }
    if beginning.key:
        found["key"] = beginning.key
    if beginning.parent is not None:
        parent = beginning.parent
        found |= {"pj": parent.job, "pg": parent.generation, "pd": parent.address, "pa": parent.activity}
        if not parent.waits:
            found["px"] = True
    return found | {name: beginning.trace[name] for name in TRACE if name in beginning.trace}
