"""Large payloads of a journal, read back from the hash they are kept in; `lua/lib/large.lua` puts them there."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

LARGE_VALUE: Final = 65_536
"""Bytes of a payload above which it is kept beside the journal, if a mesh is not told otherwise."""

AT_ONCE: Final = 8_000_000
"""Bytes fetched by one command, if it is not a single value; other commands share the connection."""

_REFERENCE: Final = re.compile(rb"[^\n]*\n\x01(\d+) (\d+)\Z")

Command = Callable[..., Awaitable[Any]]


async def whole(entries: list[bytes], key: str, command: Command) -> list[bytes]:
    """Entries with their payloads, of entries as they stand in a journal.

    Args:
        key: the hash of the journal's large payloads.
        command: sends a command to its partition.

    Returns:
        The same list; what is gone from the hash (with the job, meanwhile) is left as it stands.
    """
    found = [(at, match) for at, raw in enumerate(entries) if (match := _REFERENCE.match(raw)) is not None]
    for part in _parts(found):
        payloads = await command("HMGET", key, *(match[1] for _, match in part))
        for (at, match), payload in zip(part, payloads, strict=True):
            if payload is not None:
                entries[at] = entries[at][: match.start(1) - 1] + payload
    return entries


def _parts(found: Sequence[tuple[int, re.Match[bytes]]]) -> Iterator[list[tuple[int, re.Match[bytes]]]]:
    part: list[tuple[int, re.Match[bytes]]] = []
    size = 0
    for at, match in found:
        if part and size + int(match[2]) > AT_ONCE:
            yield part
            part, size = [], 0
        part.append((at, match))
        size += int(match[2])
    if part:
        yield part
