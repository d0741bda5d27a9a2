"""Lists: `{@array.*}`."""

import functools
import locale
from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import (
    UNDEFINED,
    PipeError,
    integer,
    is_nothing,
    less,
    member,
    needed,
    strictly_equal,
    text,
    truthy,
)

array = Family("array", "Lists.")


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(needed(value, name), list):
        raise PipeError(f"{name} works on lists; it was given {text(value)!r}", argument=name)
    found: list[Any] = value
    return found


def _bound(value: Any, length: int, otherwise: int) -> int:
    """A position as slices take it: negative ones count from the end."""
    at = integer(value, otherwise)
    return int(max(length + at, 0) if at < 0 else min(at, length))


@array("get")
def get(value: Any = UNDEFINED, index: Any = UNDEFINED) -> Any:
    """(list, index) The element there; undefined beyond the ends. Texts and objects too, by key."""
    return UNDEFINED if is_nothing(value) else member(value, index if truthy(index) else 0)


@array("length")
def length(value: Any = UNDEFINED) -> Any:
    """(list) How many elements it has; a text's characters; undefined for null."""
    return len(value) if isinstance(value, list | str) else UNDEFINED


@array("concat")
def concat(value: Any = UNDEFINED, other: Any = UNDEFINED) -> list[Any]:
    """(a, b) Both in one list; a `b` that is no list is appended."""
    return [*_list(value, "array.concat"), *(other if isinstance(other, list) else [other])]


@array("indexOf")
def index_of(value: Any = UNDEFINED, wanted: Any = UNDEFINED, start: Any = UNDEFINED) -> int:
    """(list, x, from?) The first place of x, compared strictly; -1 if there is none."""
    items = _list(value, "array.indexOf")
    for at in range(_bound(start, len(items), 0), len(items)):
        if strictly_equal(items[at], wanted):
            return at
    return -1


@array("lastIndexOf")
def last_index_of(value: Any = UNDEFINED, wanted: Any = UNDEFINED, start: Any = UNDEFINED) -> int:
    """(list, x, from?) The last place of x, at `from` or before; -1 if there is none."""
    items = _list(value, "array.lastIndexOf")
    at = integer(start, len(items) - 1)
    at = int(max(len(items) + at, -1) if at < 0 else min(at, len(items) - 1))
    while at >= 0:
        if strictly_equal(items[at], wanted):
            return at
        at -= 1
    return -1


@array("join")
def join(value: Any = UNDEFINED, separator: Any = UNDEFINED) -> str:
    """(list, separator=",") The elements as one text; null and undefined are empty."""
    between = "," if separator is UNDEFINED else text(separator)
    return between.join("" if is_nothing(one) else text(one) for one in _list(value, "array.join"))


@array("push")
def push(value: Any = UNDEFINED, *items: Any) -> list[Any]:
    """(list, ...x) The list with x at its end."""
    found = _list(value, "array.push")
    found.extend(items)
    return found


@array("pop")
def pop(value: Any = UNDEFINED) -> Any:
    """(list) Takes the last element away and gives it; undefined if there is none."""
    found = _list(value, "array.pop")
    return found.pop() if found else UNDEFINED


@array("shift")
def shift(value: Any = UNDEFINED) -> Any:
    """(list) Takes the first element away and gives it; undefined if there is none."""
    found = _list(value, "array.shift")
    return found.pop(0) if found else UNDEFINED


@array("unshift")
def unshift(value: Any = UNDEFINED, *items: Any) -> int:
    """(list, ...x) Puts x at its beginning; gives the new length."""
    found = _list(value, "array.unshift")
    found[:0] = items
    return len(found)


@array("reverse")
def reverse(value: Any = UNDEFINED) -> list[Any]:
    """(list) The list, turned around."""
    found = _list(value, "array.reverse")
    found.reverse()
    return found


@array("slice")
def slice_(value: Any = UNDEFINED, start: Any = UNDEFINED, end: Any = UNDEFINED) -> list[Any]:
    """(list, start=0, end?) A part of it; negative positions count from the end."""
    items = _list(value, "array.slice")
    return items[_bound(start, len(items), 0) : _bound(end, len(items), len(items))]


@array("sort")
def sort(value: Any = UNDEFINED, order: Any = "ASCENDING") -> list[Any]:
    """(list, order="ASCENDING") The list in order; any other word is descending. Null comes first (descending: last),
    undefined last; two texts by the locale's order."""
    found = _list(value, "array.sort")
    ascending = order is UNDEFINED or order == "ASCENDING"
    present = [one for one in found if one is not UNDEFINED]
    gone = len(found) - len(present)
    present.sort(key=functools.cmp_to_key(_compare if ascending else lambda a, b: _compare(b, a)))
    found[:] = [*present, *[UNDEFINED] * gone]
    return found


def _compare(one: Any, other: Any) -> int:
    if one is None or other is None:
        return (other is None) - (one is None)
    if isinstance(one, str) and isinstance(other, str):
        # Letters before their case, as people sort; then by the machine's own locale.
        return (one.casefold() > other.casefold()) - (one.casefold() < other.casefold()) or locale.strcoll(other, one)
    if less(one, other):
        return -1
    return 1 if less(other, one) else 0


@array("splice")
def splice(value: Any = UNDEFINED, start: Any = UNDEFINED, count: Any = 0, *items: Any) -> list[Any]:
    """(list, start, count, ...x) Puts x in the place of `count` elements; gives those taken away."""
    found = _list(value, "array.splice")
    at = _bound(start, len(found), 0)
    upto = at + int(max(0, min(integer(count), len(found) - at)))
    gone = found[at:upto]
    found[at:upto] = items
    return gone
