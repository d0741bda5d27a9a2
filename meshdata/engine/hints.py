"""What pub/sub says. Hints carry news sooner than a look at the keys would; every one may be lost, and nothing breaks.

A hint is a line, and for two kinds a payload after it:
    o <index>/<fence> <run>     a run's journal has a new entry; the entry follows if it is small
    d <code> <run>              a run is over; its result follows if it is small
    x <fence> <run>             a run was taken from the process that holds it under a lower fence
    k - <call>                  a call without a job was interrupted: its function need not go on
"""

from typing import NamedTuple


class Hint(NamedTuple):
    """One hint: kind o, d, x or k; word what stands before the run; payload None where it was too large to send."""

    kind: str
    word: str
    run: str
    payload: bytes | None


def parse(message: bytes) -> Hint:
    """A hint as the scripts publish it."""
    line, newline, payload = message.partition(b"\n")
    kind, _, rest = line.decode().partition(" ")
    word, _, run = rest.partition(" ")
    return Hint(kind, word, run, payload if newline else None)
