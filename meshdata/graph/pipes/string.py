"""Texts: `{@string.*}`."""

import math
import re
from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, PipeError, integer, is_nothing, needed, number, text

string = Family("string", "Texts. All but concat need their first argument.")

SPACES = "".join(
    map(chr, (*range(9, 14), 32, 160, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF))
)
LONGEST = 10_000_000
"""Characters a text may be filled or repeated to."""


def _text(value: Any, name: str) -> str:
    return text(needed(value, f"string.{name}"))


def _within(value: Any, length: int, otherwise: int = 0) -> int:
    """A position between the ends."""
    return int(min(max(integer(value, otherwise), 0), length))


def _from_end(value: Any, length: int, otherwise: int) -> int:
    """A position that counts from the end if it is negative."""
    at = integer(value, otherwise)
    return int(max(length + at, 0) if at < 0 else min(at, length))


@string("split")
def split(value: Any = UNDEFINED, separator: Any = UNDEFINED) -> list[str]:
    """(s, separator?) Its parts; without a separator the text as it is, with an empty one its characters."""
    found = _text(value, "split")
    if separator is UNDEFINED:
        return [found]
    between = text(separator)
    return found.split(between) if between else list(found)


@string("charAt")
def char_at(value: Any = UNDEFINED, index: Any = UNDEFINED) -> str:
    """(s, i=0) The character there; empty beyond the ends."""
    found, at = _text(value, "charAt"), integer(index)
    return found[int(at)] if 0 <= at < len(found) else ""


@string("concat")
def concat(*values: Any) -> str:
    """(...s) All in one; null and undefined are empty."""
    return "".join("" if is_nothing(one) else text(one) for one in values)


@string("includes")
def includes(value: Any = UNDEFINED, wanted: Any = UNDEFINED, start: Any = UNDEFINED) -> bool:
    """(s, x, from=0) Whether x is in it."""
    found = _text(value, "includes")
    return text(wanted) in found[_within(start, len(found)) :]


@string("indexOf")
def index_of(value: Any = UNDEFINED, wanted: Any = UNDEFINED, start: Any = UNDEFINED) -> int:
    """(s, x, from=0) The first place of x, or -1."""
    found = _text(value, "indexOf")
    return found.find(text(wanted), _within(start, len(found)))


@string("lastIndexOf")
def last_index_of(value: Any = UNDEFINED, wanted: Any = UNDEFINED, start: Any = UNDEFINED) -> int:
    """(s, x, from?) The last place of x that begins at `from` or before, or -1."""
    found, part = _text(value, "lastIndexOf"), text(wanted)
    limit = number(start)
    last = len(found) if start is UNDEFINED or math.isnan(limit) else _within(start, len(found))
    return found.rfind(part, 0, last + len(part))


@string("startsWith")
def starts_with(value: Any = UNDEFINED, wanted: Any = UNDEFINED, start: Any = UNDEFINED) -> bool:
    """(s, x, from=0) Whether it begins with x there."""
    found = _text(value, "startsWith")
    return found.startswith(text(wanted), _within(start, len(found)))


@string("endsWith")
def ends_with(value: Any = UNDEFINED, wanted: Any = UNDEFINED, end: Any = UNDEFINED) -> bool:
    """(s, x, end?) Whether it ends with x, taken up to `end`."""
    found = _text(value, "endsWith")
    return found[: _within(end, len(found), len(found))].endswith(text(wanted))


@string("slice")
def slice_(value: Any = UNDEFINED, start: Any = UNDEFINED, end: Any = UNDEFINED) -> str:
    """(s, start=0, end?) A part of it; negative positions count from the end."""
    found = _text(value, "slice")
    return found[_from_end(start, len(found), 0) : _from_end(end, len(found), len(found))]


@string("substring")
def substring(value: Any = UNDEFINED, start: Any = UNDEFINED, end: Any = UNDEFINED) -> str:
    """(s, start=0, end?) A part of it; negative positions are 0, and the two are put in order."""
    found = _text(value, "substring")
    one, other = _within(start, len(found)), _within(end, len(found), len(found))
    return found[min(one, other) : max(one, other)]


@string("toLowerCase")
def to_lower_case(value: Any = UNDEFINED) -> str:
    """(s) In small letters."""
    return _text(value, "toLowerCase").lower()


@string("toUpperCase")
def to_upper_case(value: Any = UNDEFINED) -> str:
    """(s) In capitals."""
    return _text(value, "toUpperCase").upper()


@string("trim")
def trim(value: Any = UNDEFINED) -> str:
    """(s) Without spaces around it."""
    return _text(value, "trim").strip(SPACES)


@string("trimStart")
def trim_start(value: Any = UNDEFINED) -> str:
    """(s) Without spaces before it."""
    return _text(value, "trimStart").lstrip(SPACES)


@string("trimEnd")
def trim_end(value: Any = UNDEFINED) -> str:
    """(s) Without spaces after it."""
    return _text(value, "trimEnd").rstrip(SPACES)


def _filler(found: str, length: Any, pad: Any, name: str) -> str:
    wanted, part = integer(length), " " if pad is UNDEFINED else text(pad)
    if wanted > LONGEST:
        raise PipeError(f"{name} to {wanted} characters is too much", argument=name)
    missing = int(max(wanted, 0)) - len(found)
    return (part * (missing // len(part) + 1))[:missing] if part and missing > 0 else ""


@string("padStart")
def pad_start(value: Any = UNDEFINED, length: Any = UNDEFINED, pad: Any = UNDEFINED) -> str:
    """(s, length, pad=" ") Filled up to a length, in front."""
    found = _text(value, "padStart")
    return _filler(found, length, pad, "string.padStart") + found


@string("padEnd")
def pad_end(value: Any = UNDEFINED, length: Any = UNDEFINED, pad: Any = UNDEFINED) -> str:
    """(s, length, pad=" ") Filled up to a length, behind."""
    found = _text(value, "padEnd")
    return found + _filler(found, length, pad, "string.padEnd")


@string("replace")
def replace(value: Any = UNDEFINED, old: Any = UNDEFINED, new: Any = UNDEFINED) -> str:
    """(s, a, b) With b in the place of the first a."""
    return _text(value, "replace").replace(text(old), text(new), 1)


@string("search")
def search(value: Any = UNDEFINED, pattern: Any = UNDEFINED) -> int:
    """(s, pattern) Where a regular expression first matches, or -1."""
    found = _text(value, "search")
    try:
        match = re.search("" if pattern is UNDEFINED else text(pattern), found)
    except re.error as problem:
        raise PipeError(f"{text(pattern)!r} is no regular expression: {problem}", argument="string.search") from problem
    return match.start() if match else -1


@string("repeat")
def repeat(value: Any = UNDEFINED, count: Any = UNDEFINED) -> str:
    """(s, n) n times in a row."""
    found, times = _text(value, "repeat"), integer(count)
    if times < 0 or math.isinf(times) or times * len(found) > LONGEST:
        raise PipeError("Invalid repeat count. Must be a positive finite number.", argument="string.repeat")
    return found * int(times)
