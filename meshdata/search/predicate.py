"""A tree of conditions → a Python function over one record's hash: for servers without search, for tests; pure.

It reads what the index reads, the hash's text, and holds itself to the module's rules: blanks around tags do not count,
words end where `words.py` says. It knows no stemming and no phonetics, so `match("run")` does not find "running" here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from meshdata.errors import QueryInvalid
from meshdata.search.column import BLANKS, Column
from meshdata.search.fields import Tag
from meshdata.search.tree import (
    And,
    Condition,
    Everything,
    Fuzzy,
    Infix,
    Missing,
    Near,
    Not,
    Nothing,
    OneOf,
    Or,
    Phrase,
    Prefix,
    Range,
    Words,
)
from meshdata.search.words import words as words_of

Record = Mapping[str, Any]
Predicate = Callable[[Record], bool]
_EARTH_KM = 6372.797560856  # the module's own radius


def predicate(tree: Condition) -> Predicate:
    """Make a function that says whether a record meets the conditions.

    Args:
        tree: a bound tree.

    Returns:
        A function of a hash: field name → text or UTF-8 bytes.

    Raises:
        QueryInvalid: it holds what only the module can answer: `knn` or `unsafe_raw`.
    """
    match tree:
        case Everything():
            return lambda record: True
        case Nothing():
            return lambda record: False
        case And(parts):
            every = [predicate(part) for part in parts]
            return lambda record: all(one(record) for one in every)
        case Or(parts):
            some = [predicate(part) for part in parts]
            return lambda record: any(one(record) for one in some)
        case Not(part):
            inner = predicate(part)
            return lambda record: not inner(record)
        case Missing(column):
            return lambda record: column.source not in record
        case Range():
            return _on_number(tree)
        case Near():
            return _on_place(tree)
        case OneOf(column, texts):
            wanted = frozenset(texts)
            return _on_tags(column, lambda tag: tag in wanted)
        case Prefix(column, text):
            return _on_tags(column, lambda tag: tag.startswith(text))
        case Infix(column, text):
            return _on_tags(column, lambda tag: text in tag)
        case Words() | Phrase() | Fuzzy():
            return _on_words(tree)
    raise QueryInvalid(f"{type(tree).__name__} is answered by the search module only, which this server does not have")


def text_of(record: Record, column: Column) -> str | None:
    """The column's text in a record; None where it is missing."""
    stored = record.get(column.source)
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored


def number_of(record: Record, column: Column) -> float | None:
    """The column's number as the index has it; None where it is missing or no number."""
    text = text_of(record, column)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _on_number(tree: Range) -> Predicate:
    column = tree.column
    low = -math.inf if tree.low is None else tree.low
    high = math.inf if tree.high is None else tree.high

    def holds(record: Record) -> bool:
        number = number_of(record, column)
        if number is None:
            return False
        above = number > low if tree.low_open else number >= low
        return above and (number < high if tree.high_open else number <= high)

    return holds


def _on_tags(column: Column, holds: Callable[[str], bool]) -> Predicate:
    separator = column.separator
    fold = isinstance(column.option, Tag) and not column.option.case_sensitive

    def some(record: Record) -> bool:
        text = text_of(record, column)
        if text is None:
            return False
        if fold:
            text = text.lower()
        return any(holds(tag.strip(BLANKS)) for tag in (text.split(separator) if separator else [text]))

    return some


def _on_words(tree: Words | Phrase | Fuzzy) -> Predicate:
    def holds(record: Record) -> bool:
        text = text_of(record, tree.column)
        if text is None:
            return False
        there = words_of(text)
        match tree:
            case Words(_, wanted):
                return all(
                    any(have.startswith(word) if starred else have == word for have in there)
                    for word, starred in wanted
                )
            case Phrase(_, row):
                return any(tuple(there[at : at + len(row)]) == row for at in range(len(there) - len(row) + 1))
            case Fuzzy(_, close, distance):
                return all(any(_within(word, have, distance) for have in there) for word in close)

    return holds


def _within(left: str, right: str, distance: int) -> bool:
    """Whether at most `distance` letters were put in, taken out or changed."""
    if abs(len(left) - len(right)) > distance:
        return False
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1] <= distance


def _on_place(tree: Near) -> Predicate:
    lon, lat = math.radians(tree.lon), math.radians(tree.lat)

    def holds(record: Record) -> bool:
        text = text_of(record, tree.column)
        if text is None:
            return False
        other_lon, other_lat = (math.radians(float(part)) for part in text.split(","))
        u, v = math.sin((other_lat - lat) / 2), math.sin((other_lon - lon) / 2)
        far = 2 * _EARTH_KM * math.asin(math.sqrt(u * u + math.cos(lat) * math.cos(other_lat) * v * v))
        return far <= tree.km

    return holds
