"""What a step of a graph job causes, as operations of its commit: name, number of arguments, arguments. Pure.

Sources: lua/lib/graph_operations.lua and lua/lib/operations.lua, which carry them out.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from meshdata.graph.state import to_text
from meshdata.store.messages import Argument, Mark, StartJob

GRAPH: Final = "graph:"
RETRY_MARK: Final = "+"
"""Before an instance, in the position of the pause before its next try."""

ABANDON: Final = "abandon"
"""What becomes of a child when its parent ends: it goes on. Whoever interrupts a job says so of all of them."""


def run_topic(app: str) -> str:
    """The topic that runs of an app's jobs are queued under."""
    return f"{GRAPH}{app}"


def work_topic(app: str, topic: str) -> str:
    """The topic of a worker."""
    return f"{GRAPH}{app}/{topic}"


def signal_key(app: str, topic: str, value: str) -> str:
    """The key that a hook waits on: its topic, and what a payload has to match."""
    return f"{GRAPH}{app}/{topic}:{value}"


def job_of(app: str, id: str) -> str:
    """The kernel's name of a job."""
    return f"{app}:{id}"


class Effects:
    """The operations of one commit, in order.

    Args:
        partition: of a job's name or a signal's key.
    """

    def __init__(self, app: str, partition: Callable[[str], int]) -> None:
        self._app = app
        self._partition = partition
        self.operations: list[Argument] = []
        self.last: list[Argument] = []

    def _add(self, name: str, *arguments: Argument) -> None:
        self.operations += (name, len(arguments), *arguments)

    def work(self, instance: str, topic: str, body: bytes) -> None:
        """Ask a worker."""
        self._add("work", instance, work_topic(self._app, topic), body)

    def sleep(self, position: str, ms: int) -> None:
        """Wake the job after a time."""
        self._add("timer", position, "sleep", ms)

    def wait(self, instance: str, key: str) -> None:
        """Wait for a signal."""
        self._add("wait", instance, key, self._partition(key), "")

    def signal(self, key: str, payload: bytes, *, id: str = "") -> None:
        """Send a signal. One of an id that the key had before is no further signal."""
        self._add("send", self._partition(key), "signal", key, payload, "", id)

    def child(self, instance: str, start: StartJob) -> None:
        """Start another graph's job; its replies come to the instance."""
        partition = self._partition(start.job)
        self._add("child", ABANDON, instance, "reply", partition, start.job, "start", *start.spec(""))

    def interrupt(self, job: str, payload: bytes, problem: str, *, descend: bool, throw: bool, ttl: str) -> None:
        """End another job now."""
        flags = ("1" if descend else "0", "1" if throw else "0")
        self._add("send", self._partition(job), "interrupt", job, payload, problem, *flags, ttl, "")

    def interrupt_self(self, job: str, payload: bytes, problem: str, *, descend: bool, throw: bool, ttl: str) -> None:
        """End this job now: behind everything else that the step causes."""
        before = len(self.operations)
        self.interrupt(job, payload, problem, descend=descend, throw=throw, ttl=ttl)
        self.last = self.operations[before:]
        del self.operations[before:]

    def close(self, instance: str) -> None:
        """Take no more replies for an instance."""
        self._add("cancel", instance)

    def record(self, fields: Sequence[tuple[str, str]]) -> None:
        """Set fields of the job's record."""
        self._add("record", len(fields), *(text for pair in fields for text in pair))

    def statistics(self, arguments: Sequence[Argument]) -> None:
        """Count the job: `statistics.recorded`."""
        self._add("stat", *arguments)

    def unindex(self, mark: Mark) -> None:
        """Take out of an index what was read of it."""
        self._add("send", mark.partition, "unindex", self._app, mark.bucket, mark.key, mark.facet, mark.upto)

    def publish(self, topic: str) -> None:
        """Show the job's output to those who subscribe."""
        self._add("publish", topic)

    def tell(self, code: str) -> None:
        """Show the job's output to the parent that waits for it."""
        self._add("tell", code)

    def answer(self) -> None:
        """Show the job's output to those who await its end."""
        self._add("answer")


def reply(data: Any, *, status: str = "success", code: int | None = None) -> bytes:
    """A reply to an activity, or a payload for a hook, as it crosses Redis."""
    return to_text({"s": status, "c": code, "d": data})
