"""The tree of a condition: its nodes, and how they are put together; pure.

Leaves come in a form where nothing is left to decide: texts as the hash holds them, numbers as doubles, texts cut into
words. So the back ends (`fulltext.py`, `predicate.py`) have one meaning to keep and no values to convert.

A node is never changed once it is made. Python does not hold it to that: frozen nodes take twice the time to make, and
a query makes a dozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from meshdata.search.column import Column


class Condition:
    """A node of the tree; put together with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: Any) -> Condition:
        return _join(And, self, other)

    def __or__(self, other: Any) -> Condition:
        return _join(Or, self, other)

    def __invert__(self) -> Condition:
        return self.part if isinstance(self, Not) else Not(self)

    def __bool__(self) -> bool:
        raise TypeError("a condition has no truth value: write & | ~ for and, or, not, and between() for a < field < b")


@dataclass(slots=True)
class Everything(Condition):
    """Every record."""


@dataclass(slots=True)
class Nothing(Condition):
    """No record: the comparison cannot be true of any."""


@dataclass(slots=True)
class And(Condition):
    """All parts hold."""

    parts: tuple[Condition, ...]


@dataclass(slots=True)
class Or(Condition):
    """Some part holds."""

    parts: tuple[Condition, ...]


@dataclass(slots=True)
class Not(Condition):
    """The part does not hold; a record without the field is among those."""

    part: Condition


@dataclass(slots=True)
class Range(Condition):
    """A number between two doubles; None is no bound, `open` leaves the bound itself out."""

    column: Column
    low: float | None
    high: float | None
    low_open: bool = False
    high_open: bool = False


@dataclass(slots=True)
class OneOf(Condition):
    """A tag, or a value of a list of tags, is one of these texts."""

    column: Column
    texts: tuple[str, ...]


@dataclass(slots=True)
class Prefix(Condition):
    """A tag begins with the text."""

    column: Column
    text: str


@dataclass(slots=True)
class Infix(Condition):
    """A tag holds the text."""

    column: Column
    text: str


@dataclass(slots=True)
class Words(Condition):
    """A text holds all these words, in any order; a starred one stands for all that begin so."""

    column: Column
    words: tuple[tuple[str, bool], ...]


@dataclass(slots=True)
class Phrase(Condition):
    """A text holds these words one after the other."""

    column: Column
    words: tuple[str, ...]


@dataclass(slots=True)
class Fuzzy(Condition):
    """A text holds, for each of these words, one at most `distance` edits away."""

    column: Column
    words: tuple[str, ...]
    distance: int


@dataclass(slots=True)
class Missing(Condition):
    """The record has no such field."""

    column: Column


@dataclass(slots=True)
class Near(Condition):
    """A place within `km` of a point."""

    column: Column
    lon: float
    lat: float
    km: float


@dataclass(slots=True)
class Knn(Condition):
    """The `k` records whose vector is nearest; stands at the top of a query, beside conditions that filter first."""

    column: Column
    blob: bytes
    k: int


@dataclass(slots=True)
class RawText(Condition):
    """Query text of the caller's own, for what this tree cannot say. See `unsafe_raw`."""

    text: str
    params: tuple[tuple[str, str | bytes | int | float], ...]


class Op(StrEnum):
    """What can be asked of a field; `IS` is equality in the dict form, where a text holds the words as a phrase."""

    IS = "is"
    EQ = "=="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "in_"
    PREFIX = "startswith"
    INFIX = "contains"
    MATCH = "match"
    PHRASE = "phrase"
    FUZZY = "fuzzy"
    MISSING = "is_none"
    NEAR = "near"
    KNN = "knn"


@dataclass(slots=True)
class Unbound(Condition):
    """A comparison on a field whose kind is not known yet; `bind` makes it a leaf."""

    name: str
    op: Op
    values: tuple[Any, ...]


# --- putting together -------------------------------------------------------------------------------------------------


def _join(node: type[And] | type[Or], left: Condition, right: Any) -> Condition:
    if not isinstance(right, Condition):
        raise TypeError(f"& and | join conditions, not {type(right).__name__}; put brackets around each comparison")
    # flat, so that a long chain is not a deep tree: the module's parser has a stack of its own
    parts = [
        *(left.parts if isinstance(left, node) else (left,)),
        *(right.parts if isinstance(right, node) else (right,)),
    ]
    return node(tuple(parts))


def all_of(parts: Sequence[Condition]) -> Condition:
    """All of these hold; of one, the one itself."""
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def any_of(parts: Sequence[Condition]) -> Condition:
    """Some of these holds; of none, nothing does."""
    if not parts:
        return Nothing()
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def flat(node: type[And] | type[Or], parts: list[Condition]) -> Condition:
    """The parts as one node, without nodes of the same kind below it and without what decides nothing."""
    neutral, decisive = (Everything, Nothing) if node is And else (Nothing, Everything)
    kept: list[Condition] = []
    for part in parts:
        if isinstance(part, decisive):
            return part
        if not isinstance(part, neutral):
            kept.extend(part.parts if isinstance(part, node) else (part,))
    if not kept:
        return neutral()
    return kept[0] if len(kept) == 1 else node(tuple(kept))


def both(left: Condition, right: Condition) -> Condition:
    """Two bound trees that both hold, as a bound tree."""
    return flat(And, [left, right])


def negated(part: Condition) -> Condition:
    """The opposite of a bound tree, as a bound tree."""
    match part:
        case Everything():
            return Nothing()
        case Nothing():
            return Everything()
    return ~part


def has_knn(tree: Condition) -> bool:
    """Whether a nearest-neighbour search stands anywhere in the tree."""
    kind = type(tree)
    if kind is And or kind is Or:
        return any(has_knn(part) for part in tree.parts)  # type: ignore[attr-defined]  # And, Or
    return has_knn(tree.part) if kind is Not else kind is Knn  # type: ignore[attr-defined]  # of a Not


def leaves(tree: Condition) -> Iterable[Condition]:
    """Every leaf of a tree."""
    match tree:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield tree
