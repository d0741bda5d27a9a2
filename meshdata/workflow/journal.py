"""What a run's journal says: did this call happen, what came of it, which outcome is delivered next? Pure.

The journal is the total order of outcomes. `Journal` holds the part of it that the run has not consumed yet; outcomes
leave it strictly in order. How an entry looks in Redis: docs/keyspace.md "journal".
"""

from collections import deque
from collections.abc import Container, Sequence
from typing import Final

from meshdata.engine.entry import Entry, parse

PATCH: Final = "patch"
"""Kind and position of entries that say which patches a run has taken, by their names; no outcomes of calls."""

BACK: Final = "back"
"""The code of a signal that went to the next who waits: its own wait was given up before it was told."""


class Journal:
    """The outcomes a run has still to consume, and how far this process has read."""

    __slots__ = ("_ahead", "_finals", "length", "patches", "size")

    def __init__(self) -> None:
        self.length = 0
        self.size = 0  # bytes of the payloads
        self.patches: set[str] = set()
        self._ahead: deque[Entry] = deque()
        self._finals: dict[str, int] = {}

    def extend(self, first: int, raws: Sequence[bytes]) -> bool:
        """Take in entries that stand from index `first` on; those known already are passed over.

        Returns:
            False if entries are missing in between: read from `length` on.
        """
        if first > self.length:
            return False
        for raw in raws[self.length - first :]:
            self.append(parse(self.length, raw))
        return True

    def append(self, entry: Entry) -> None:
        """Take in the next entry."""
        self.length += 1
        self.size += len(entry.payload)
        if entry.kind == PATCH:
            self.patches.add(entry.name)
            return
        self._ahead.append(entry)
        if entry.is_final:
            self._finals[entry.position] = self._finals.get(entry.position, 0) + 1

    @property
    def head(self) -> Entry | None:
        """The next outcome to deliver, left in place."""
        return self._ahead[0] if self._ahead else None

    @property
    def consumed(self) -> int:
        """The place of the next outcome to deliver."""
        return self._ahead[0].place if self._ahead else self.length

    @property
    def next_position(self) -> str:
        """The call the next outcome is of; '' if there is none."""
        return self._ahead[0].position if self._ahead else ""

    def next(self) -> Entry | None:
        """The next outcome to deliver, taken out; None when all is consumed."""
        if not self._ahead:
            return None
        entry = self._ahead.popleft()
        if entry.is_final:
            left = self._finals[entry.position] - 1
            if left:
                self._finals[entry.position] = left
            else:
                del self._finals[entry.position]
        return entry

    @property
    def has_more(self) -> bool:
        """Whether outcomes wait to be delivered."""
        return bool(self._ahead)

    def has_outcome(self, position: str) -> bool:
        """Whether the call's end is recorded and not yet delivered."""
        return position in self._finals

    def outcome_of(self, position: str) -> Entry | None:
        """The call's end, if it is recorded and not yet delivered."""
        return next((one for one in self._ahead if one.position == position and one.is_final), None)

    def first_not_of(self, positions: Container[str]) -> Entry | None:
        """The first outcome ahead that is of none of these calls."""
        return next((one for one in self._ahead if one.is_of_call and one.position not in positions), None)

    def has_news(self, position: str) -> bool:
        """Whether anything about the call is still to be delivered."""
        return any(entry.position == position for entry in self._ahead)

    def payload_of(self, position: str) -> bytes | None:
        """The payload of the first thing still to be delivered of a call, if there is any."""
        return next((entry.payload for entry in self._ahead if entry.position == position), None)
