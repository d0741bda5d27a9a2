"""Journals that grow long: whoever takes such a run over has to read all of it. Said in the log; nothing is refused."""

import logging
from typing import Final

from meshdata.workflow.runner import Run

logger = logging.getLogger(__name__)

LONG_JOURNAL: Final = 10_000
"""Entries above which a journal is called long, if a mesh is not told otherwise."""

LONG_BYTES: Final = 16_000_000
"""Bytes of payloads above which it is called so, however few entries they are."""

MOST_TOLD: Final = 10_000
"""Of how many runs a process remembers that it has said so."""


class LongJournals:
    """Says once of each run of a process that its journal is long.

    Args:
        entries: above how many it is.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._told: dict[tuple[str, int], None] = {}

    def look(self, run: Run) -> None:
        """The run's journal may have grown."""
        journal = run.journal
        if journal.length <= self._entries and journal.size <= LONG_BYTES:
            return
        known = (run.name, run.round)
        if known in self._told:
            return
        self._told[known] = None
        if len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        logger.warning(
            "the journal of %s has grown to %d entries of %d bytes, which whoever takes it over has to read; let the "
            "function end this run now and then by workflow.continue_as_new",
            run.job, journal.length, journal.size,
            extra={"job_id": run.job, "entries": journal.length, "bytes": journal.size},
        )  # fmt: skip
