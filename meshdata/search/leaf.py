"""One comparison → a leaf that both back ends understand, or an error that says why it makes no sense; pure.

Whatever cannot be stored can equal nothing stored, so comparing with it is `Nothing`, not an error. An operator that
makes no sense for a kind of field, or a value that does not fit its type, is `QueryInvalid`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search.codec import number_text, point
from meshdata.search.column import BLANKS, Column, survives_as_double, tag_problem
from meshdata.search.fields import Tag, Text
from meshdata.search.tree import (
    Condition,
    Fuzzy,
    Infix,
    Knn,
    Missing,
    Near,
    Not,
    Nothing,
    OneOf,
    Op,
    Phrase,
    Prefix,
    Range,
    Words,
    any_of,
)
from meshdata.search.words import spread, starred_words, words

_TAG_OPS = frozenset({Op.IS, Op.EQ, Op.IN, Op.PREFIX, Op.INFIX, Op.MISSING})
_EXACT_OPS = frozenset({Op.EQ, Op.IN})
_OPS: dict[str, frozenset[Op]] = {
    "TAG": _TAG_OPS,
    "TEXT": frozenset({Op.IS, Op.MATCH, Op.PHRASE, Op.FUZZY, Op.MISSING}),
    "NUMERIC": frozenset({Op.IS, Op.EQ, Op.LT, Op.LE, Op.GT, Op.GE, Op.IN, Op.MISSING}),
    "GEO": frozenset({Op.NEAR, Op.MISSING}),
    "VECTOR": frozenset({Op.KNN, Op.MISSING}),
}
_REMEDIES = {
    "": "it is not in the index; annotate it with Tag(), Text(), Numeric(), Geo() or Vector()",
    "TAG": "a Tag is compared as a whole; annotate it with Text() to search words, Numeric() to compare sizes",
    "TEXT": "words are searched by match(), phrase(), fuzzy(); Text(exact=True) adds == and in_",
    "NUMERIC": "numbers are compared by == < <= > >=, in_() and between()",
    "GEO": "places are searched by near()",
    "VECTOR": "vectors are searched by knn()",
}


def leaf(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    """One comparison as a leaf that both back ends understand.

    Raises:
        QueryInvalid: the operator makes no sense for this kind of field, or the value does not for its type.
    """
    kind = column.kind
    allowed = _OPS.get(kind, frozenset())
    if isinstance(column.option, Text) and column.option.exact:
        allowed |= _EXACT_OPS
    if op not in allowed:
        raise QueryInvalid(f"{column.name}: {op} cannot be asked of this field; {_REMEDIES[kind]}")
    if op is Op.MISSING and column.option is not None and not column.option.index_missing:
        raise QueryInvalid(f"{column.name}: {op} cannot be asked of a field with index_missing=False")
    try:
        return Missing(column) if op is Op.MISSING else _LEAVES[op](column, op, values)
    except QueryInvalid:
        raise
    except (ValueError, TypeError, ArithmeticError, InvalidOptions) as problem:
        raise QueryInvalid(f"{column.name} {op}: {problem}") from problem


def _equal(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    if column.kind == "NUMERIC":
        return any_of([_number(column, Op.EQ, value) for value in values])
    if op is Op.IS and column.kind == "TEXT":
        return _phrase(column, op, values)
    separator = column.separator or "\x1f"
    texts = [column.codec.literal(value) for value in values]
    if isinstance(column.option, Tag | Text) and not column.option.index_empty and "" in texts:
        raise QueryInvalid(f"{column.name}: an empty text cannot be asked for in a field with index_empty=False")
    if isinstance(column.option, Text):
        texts = [spread(text) for text in texts]
    if isinstance(column.option, Tag) and not column.option.case_sensitive:
        texts = [text.lower() for text in texts]
    found = tuple(dict.fromkeys([text.strip(BLANKS) for text in texts if not tag_problem(text, separator)]))
    return OneOf(column, found) if found else Nothing()


def _compare(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    return _number(column, op, values[0])


_BEYOND = {True: (Op.LT, Op.LE), False: (Op.GT, Op.GE)}


def _number(column: Column, op: Op, value: Any) -> Condition:
    """A comparison of doubles that says the same as the comparison of the exact number it was asked for."""
    if column.codec.literal is number_text and _is_double(value):  # the usual case, without decimals
        return _bounded(column, op, float(value), op is Op.LT, op is Op.GT)
    text = column.codec.literal(value)
    double = float(text)
    if math.isinf(double):  # every stored number is finite
        return Range(column, None, None) if op in _BEYOND[double > 0] else Nothing()
    if op is Op.EQ:
        return Range(column, double, double) if survives_as_double(text) else Nothing()
    exact, held = Decimal(text), Decimal(repr(double))
    below, above = held < exact, held > exact
    return _bounded(column, op, double, above or (op is Op.LT and not below), below or (op is Op.GT and not above))


def _is_double(value: Any) -> bool:
    kind = type(value)
    return (kind is int and -(2**53) <= value <= 2**53) or (kind is float and value - value == 0)


def _bounded(column: Column, op: Op, double: float, high_open: bool, low_open: bool) -> Condition:
    if op in (Op.LT, Op.LE):
        return Range(column, None, double, high_open=high_open)
    if op in (Op.GT, Op.GE):
        return Range(column, double, None, low_open=low_open)
    return Range(column, double, double)


def _prefix(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    return _part(Prefix, column, _string(values[0]))


def _infix(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    if column.codec.element is not None:
        return _equal(column, Op.EQ, values)
    text = _string(values[0])
    if len(text) == 1 and getattr(column.option, "suffix", False):
        raise ValueError(
            "a field with suffix=True is asked for two letters or more: its index holds no shorter endings"
        )
    return _part(Infix, column, text)


def _part(node: Callable[[Column, str], Condition], column: Column, text: str) -> Condition:
    if not text:
        return Not(Missing(column))
    if tag_problem(text, column.separator or "\x1f"):
        return Nothing()
    if isinstance(column.option, Tag) and not column.option.case_sensitive:
        text = text.lower()
    return node(column, text)


def _match(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    found = tuple(dict.fromkeys(starred_words(_string(values[0]))))
    return Words(column, found) if found else Nothing()


def _phrase(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    found = tuple(words(_string(values[0])))
    if any("\udc80" <= word[-1] <= "\udcff" for word in found):
        raise ValueError("a word of more than 128 bytes is cut by the index, here amid a character; leave it out")
    for word, after in pairwise(found):
        if word == after:
            raise ValueError(f"{word!r} comes twice in a row, which the index cannot tell from once")
    if len(found) < 2:
        return Words(column, tuple((word, False) for word in found)) if found else Nothing()
    return Phrase(column, found)


def _fuzzy(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    distance = values[1] if len(values) > 1 else 1
    if isinstance(distance, bool) or distance not in (1, 2, 3):
        raise ValueError(f"the distance is 1, 2 or 3 letters, not {distance!r}")
    found = tuple(dict.fromkeys(words(_string(values[0]))))
    return Fuzzy(column, found, distance) if found else Nothing()


def _near(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    lon, lat = point(values[:2])
    km = float(number_text(values[2]))
    if not 0 < km < math.inf:
        raise ValueError(f"a radius is more than 0 km, not {km:g}")
    return Near(column, lon, lat, km)


def _knn(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    vector, k = values
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k is a whole number from 1 on, not {k!r}")
    blob = column.codec.encode(vector)
    assert isinstance(blob, bytes)
    return Knn(column, blob, k)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a str is looked for, not {type(value).__name__}")
    value.encode()
    return value


_LEAVES: dict[Op, Callable[[Column, Op, tuple[Any, ...]], Condition]] = {
    Op.IS: _equal, Op.EQ: _equal, Op.IN: _equal,
    Op.LT: _compare, Op.LE: _compare, Op.GT: _compare, Op.GE: _compare,
    Op.PREFIX: _prefix, Op.INFIX: _infix,
    Op.MATCH: _match, Op.PHRASE: _phrase, Op.FUZZY: _fuzzy,
    Op.NEAR: _near, Op.KNN: _knn,
}  # fmt: skip
