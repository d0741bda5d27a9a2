"""What a process says of itself in a roll call. Made here, read there; what crosses is JSON."""

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

KB = 1024


@dataclass(frozen=True, slots=True)
class System:
    """The machine a process runs on.

    Attributes:
        memory_total, memory_free: bytes of the machine; 0 where it does not tell.
        memory_used: bytes the process has in memory.
        cpu_load: processes that wanted to run, on average of the last 1, 5 and 15 minutes.
        cpus: how many can at once.
    """

    memory_total: int = 0
    memory_free: int = 0
    memory_used: int = 0
    cpu_load: tuple[float, ...] = ()
    cpus: int = 0

    @classmethod
    def here(cls) -> "System":
        """This machine, now."""
        page = _sysconf("SC_PAGE_SIZE")
        return cls(
            memory_total=page * _sysconf("SC_PHYS_PAGES"),
            memory_free=page * _sysconf("SC_AVPHYS_PAGES"),
            memory_used=_resident_bytes(page),
            cpu_load=tuple(round(load, 2) for load in os.getloadavg()),
            cpus=os.cpu_count() or 0,
        )


def _sysconf(name: str) -> int:
    try:
        return max(0, os.sysconf(name))
    except (ValueError, OSError):  # this system has no such figure
        return 0


def _resident_bytes(page: int) -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * page
    except OSError:
        import resource  # where there is no /proc: the most it ever had

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * KB


@dataclass(frozen=True, slots=True)
class Profile:
    """One process that serves, as it answered a roll call.

    Attributes:
        process: its id, which `mesh.throttle(process=...)` takes; name: what it was called at its opening, or "".
        host, pid: where it runs.
        topics: what it serves; depths: messages of each that nobody has consumed, in the whole namespace.
        counts: ends of what it ran, by code: 200 done, 599 failed and to be tried again, others the failure's.
        throttle: ms between two messages of a topic, -1 for a pause; throttles: topics with a rate of their own.
        busy: slots taken, of `concurrency`; resident: runs in memory.
        started: when it began to serve; timestamp: when it answered.
        signature: the source of what it serves, by topic, if that was asked for.
    """

    process: str
    name: str
    namespace: str
    host: str
    pid: int
    topics: tuple[str, ...]
    counts: dict[int, int]
    throttle: int
    throttles: dict[str, int]
    busy: int
    concurrency: int
    resident: int
    started: datetime
    timestamp: datetime
    system: System = field(default_factory=System)
    depths: dict[str, int] = field(default_factory=dict)
    signature: dict[str, str] | None = None

    def to_message(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of_message(cls, message: Mapping[str, Any]) -> "Profile":
        """From what `to_message` made.

        Raises:
            KeyError, TypeError, ValueError: it is no profile.
        """
        system = System(**{**message["system"], "cpu_load": tuple(message["system"]["cpu_load"])})
        read = {
            "topics": tuple(message["topics"]),
            "counts": {int(code): count for code, count in message["counts"].items()},
            "started": datetime.fromisoformat(message["started"]).astimezone(UTC),
            "timestamp": datetime.fromisoformat(message["timestamp"]).astimezone(UTC),
            "system": system,
        }
        return cls(**{**message, **read})


@dataclass(frozen=True, slots=True)
class Throttle:
    """The rates that are kept: ms between two messages of a topic in one process; 0 for none, -1 for a pause.

    Attributes:
        all: of every topic that has none of its own; topics: those that have.
    """

    all: int = 0
    topics: dict[str, int] = field(default_factory=dict)

    def of(self, topic: str) -> int:
        """The rate of a topic."""
        return self.topics.get(topic, self.all)
