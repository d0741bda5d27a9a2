"""One entry of a job's journal, as stored. Pure. How it looks in Redis: docs/keyspace.md "journal"."""

from typing import Final, NamedTuple

from meshdata.errors import CorruptRecord

PARTIAL: Final = frozenset({"begin", "try", "due"})
"""Codes that are news of a call but not its end: a failed attempt, and that the next one is due."""


class Entry(NamedTuple):
    """One outcome: its place, when it was written (ms since 1970), the call it is of, and what came of it; how
    many ms the call (with code `try` the attempt, with `due` the pause before the next) took."""

    place: int
    ms: int
    position: str
    kind: str
    code: str
    name: str
    payload: bytes
    took: int = 0

    @property
    def is_final(self) -> bool:
        """Whether this is the end of its call."""
        return self.code not in PARTIAL

    @property
    def is_of_call(self) -> bool:
        """Whether this is news of a durable call, and not of the run as a whole."""
        return ":" in self.position


def parse(index: int, raw: bytes) -> Entry:
    """An entry as stored.

    Raises:
        CorruptRecord: these bytes are no entry.
    """
    line, newline, payload = raw.partition(b"\n")
    try:
        ms, position, kind, code, name = line.decode().split(" ", 4)
        if not newline:
            raise ValueError("no payload")
        ms, _, took = ms.partition("/")
        return Entry(index, int(ms), position, kind, code, name, payload, int(took or 0))
    except ValueError as error:
        raise CorruptRecord(f"journal entry {index} cannot be read: {raw[:80]!r}") from error
