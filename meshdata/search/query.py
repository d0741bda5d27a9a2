"""Conditions as a small tree: built by operators on fields, checked as they are built, run by two back ends; pure.

`fulltext.py` turns a tree into the module's query text, `predicate.py` into a Python function. Both see leaves only in
a form where nothing is left to decide: texts as the hash holds them, numbers as doubles, texts cut into words. Whatever
    cannot be stored can equal nothing stored,
so comparing with it is `Nothing`, not an error; an operator that makes no sense for a field is a `QueryInvalid` where
it is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Any

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search.codec import LOOSE, number_text, point
from meshdata.search.column import BLANKS, Column, survives_as_double, tag_problem
from meshdata.search.fields import Geo, Numeric, Option, Tag, Text
from meshdata.search.schema import SYSTEM, Schema
from meshdata.search.words import spread, starred_words, words


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


@dataclass(frozen=True, slots=True)
class Everything(Condition):
    """Every record."""


@dataclass(frozen=True, slots=True)
class Nothing(Condition):
    """No record: the comparison cannot be true of any."""


@dataclass(frozen=True, slots=True)
class And(Condition):
    """All parts hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or(Condition):
    """Some part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The part does not hold; a record without the field is among those."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Range(Condition):
    """A number between two doubles; None is no bound, `open` leaves the bound itself out."""

    column: Column
    low: float | None
    high: float | None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class OneOf(Condition):
    """A tag, or a value of a list of tags, is one of these texts."""

    column: Column
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prefix(Condition):
    """A tag begins with the text."""

    column: Column
    text: str


@dataclass(frozen=True, slots=True)
class Infix(Condition):
    """A tag holds the text."""

    column: Column
    text: str


@dataclass(frozen=True, slots=True)
class Words(Condition):
    """A text holds all these words, in any order; a starred one stands for all that begin so."""

    column: Column
    words: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Phrase(Condition):
    """A text holds these words one after the other."""

    column: Column
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fuzzy(Condition):
    """A text holds, for each of these words, one at most `distance` edits away."""

    column: Column
    words: tuple[str, ...]
    distance: int


@dataclass(frozen=True, slots=True)
class Missing(Condition):
    """The record has no such field."""

    column: Column


@dataclass(frozen=True, slots=True)
class Near(Condition):
    """A place within `km` of a point."""

    column: Column
    lon: float
    lat: float
    km: float


@dataclass(frozen=True, slots=True)
class Knn(Condition):
    """The `k` records whose vector is nearest; stands at the top of a query, beside conditions that filter first."""

    column: Column
    blob: bytes
    k: int


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Unbound(Condition):
    """A comparison on a field whose kind is not known yet; `bind` makes it a leaf."""

    name: str
    op: Op
    values: tuple[Any, ...]


def match_all() -> Condition:
    """Every record: the condition to give where all are meant."""
    return Everything()


def unsafe_raw(text: str, **params: str | bytes | int | float) -> Condition:
    """A condition in the module's own language; put no value into the text: write `$name` and give it by keyword."""
    for name in params:
        if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or re.fullmatch(r"p\d+", name):
            raise QueryInvalid(f"{name!r} cannot name a parameter: letters and digits, and not p1, p2, ...")
    return RawText(text, tuple(params.items()))


class Field:
    """A field of a model, or a name; its operators make conditions."""

    __slots__ = ("column", "name")
    __hash__ = None  # type: ignore[assignment]  # == makes a condition, so a field cannot be a key

    def __init__(self, name: str, column: Column | None = None) -> None:
        self.name = name
        self.column = column

    def __repr__(self) -> str:
        return f"field({self.name!r})"

    def _ask(self, op: Op, *values: Any) -> Condition:
        return Unbound(self.name, op, values) if self.column is None else leaf(self.column, op, values)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._ask(Op.MISSING) if value is None else self._ask(Op.EQ, value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return ~self.__eq__(value)

    def __lt__(self, value: Any) -> Condition:
        return self._ask(Op.LT, value)

    def __le__(self, value: Any) -> Condition:
        return self._ask(Op.LE, value)

    def __gt__(self, value: Any) -> Condition:
        return self._ask(Op.GT, value)

    def __ge__(self, value: Any) -> Condition:
        return self._ask(Op.GE, value)

    def in_(self, values: Iterable[Any]) -> Condition:
        """The field, or a value of its list, is one of these; of none it is never one."""
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise QueryInvalid(f"{self.name}.in_() takes a list of values, not {type(values).__name__}")
        return self._ask(Op.IN, *values)

    def not_in(self, values: Iterable[Any]) -> Condition:
        """The field is none of these; a record without it is among the answers."""
        return ~self.in_(values)

    def between(self, low: Any, high: Any) -> Condition:
        """low <= field <= high."""
        return (self >= low) & (self <= high)

    def startswith(self, text: str) -> Condition:
        """The tag begins with the text."""
        return self._ask(Op.PREFIX, text)

    def contains(self, value: Any) -> Condition:
        """The text holds this text; of a list: it holds this value."""
        return self._ask(Op.INFIX, value)

    def match(self, text: str) -> Condition:
        """The text holds all these words; `spam*` stands for every word that begins so. No word finds nothing."""
        return self._ask(Op.MATCH, text)

    def phrase(self, text: str) -> Condition:
        """The text holds these words, one after the other."""
        return self._ask(Op.PHRASE, text)

    def fuzzy(self, text: str, distance: int = 1) -> Condition:
        """The text holds these words, give or take `distance` (1 to 3) letters in each."""
        return self._ask(Op.FUZZY, text, distance)

    def is_none(self) -> Condition:
        """The record does not have the field: None is not stored."""
        return self._ask(Op.MISSING)

    is_missing = is_none

    def near(self, lon: float, lat: float, km: float) -> Condition:
        """The place is within `km` kilometres of the point."""
        return self._ask(Op.NEAR, lon, lat, km)

    def knn(self, vector: Sequence[float], k: int = 10) -> Condition:
        """The `k` records nearest to the vector; `&` other conditions to choose among those only that meet them."""
        return self._ask(Op.KNN, vector, k)

    def __neg__(self) -> Order:
        return Order(self.name, descending=True)


@dataclass(frozen=True, slots=True)
class Order:
    """One field to sort by. Records without the field come last either way."""

    name: str
    descending: bool = False


# --- leaves -----------------------------------------------------------------------------------------------------------

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
    if isinstance(column.option, Text):
        texts = [spread(text) for text in texts]
    if column.option is not None and isinstance(column.option, Tag) and not column.option.case_sensitive:
        texts = [text.lower() for text in texts]
    found = tuple(dict.fromkeys(text.strip(BLANKS) for text in texts if not tag_problem(text, separator)))
    return OneOf(column, found) if found else Nothing()


def _compare(column: Column, op: Op, values: tuple[Any, ...]) -> Condition:
    return _number(column, op, values[0])


_BEYOND = {True: (Op.LT, Op.LE), False: (Op.GT, Op.GE)}


def _number(column: Column, op: Op, value: Any) -> Condition:
    """A comparison of doubles that says the same as the comparison of the exact number it was asked for."""
    text = column.codec.literal(value)
    double = float(text)
    if math.isinf(double):  # every stored number is finite
        return Range(column, None, None) if op in _BEYOND[double > 0] else Nothing()
    if op is Op.EQ:
        return Range(column, double, double) if survives_as_double(text) else Nothing()
    exact, held = Decimal(text), Decimal(repr(double))
    below, above = held < exact, held > exact
    if op in (Op.LT, Op.LE):
        return Range(column, None, double, high_open=above or (op is Op.LT and not below))
    return Range(column, double, None, low_open=below or (op is Op.GT and not above))


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


# --- trees ------------------------------------------------------------------------------------------------------------


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


def condition_of(given: Any) -> Condition:
    """What a caller gave for a condition: one, a dict, or a list of dicts that all hold.

    Raises:
        QueryInvalid: an empty filter, or no condition at all; `match_all()` is how to say "every record".
    """
    if isinstance(given, Condition):
        return given
    if isinstance(given, Mapping):
        return _from_dict(given)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        if not given:
            raise QueryInvalid("an empty filter; say match_all() where every record is meant")
        return all_of([condition_of(one) for one in given])
    if isinstance(given, Field):
        raise QueryInvalid(f"{given.name} is a field, not a condition; write for example {given.name} == True")
    raise QueryInvalid(f"a condition is an expression such as User.plan == 'pro' or a dict, not {type(given).__name__}")


_WORDS_FOR: dict[str, Callable[[Field, Any], Condition]] = {
    "=": lambda field, value: field._ask(Op.IS, value),
    "==": lambda field, value: field._ask(Op.IS, value),
    "!=": lambda field, value: ~field._ask(Op.IS, value),
    "<": lambda field, value: field < value,
    "<=": lambda field, value: field <= value,
    ">": lambda field, value: field > value,
    ">=": lambda field, value: field >= value,
    "[]": lambda field, value: field.between(*_pair(value)),
    "between": lambda field, value: field.between(*_pair(value)),
    "in": lambda field, value: field.in_(value),
    "not in": lambda field, value: field.not_in(value),
    "startswith": lambda field, value: field.startswith(value),
    "contains": lambda field, value: field.contains(value),
    "match": lambda field, value: field.match(value),
    "phrase": lambda field, value: field.phrase(value),
    "fuzzy": lambda field, value: field.fuzzy(value),
    "missing": lambda field, value: field.is_none() if value in (None, True) else ~field.is_none(),
    "near": lambda field, value: field.near(*value),
}


def _from_dict(given: Mapping[str, Any]) -> Condition:
    unknown = set(given) - {"field", "is", "value", "type"}
    name, word = given.get("field"), given.get("is", "=")
    if unknown or not isinstance(name, str):
        raise QueryInvalid(
            f'a condition in dict form is {{"field": ..., "is": "=", "value": ...}}, not {dict(given)!r}'
        )
    word = str(word).lower().replace("_", " ").strip()
    if word not in _WORDS_FOR:
        raise QueryInvalid(f'"is": {word!r} is unknown; use one of {", ".join(_WORDS_FOR)}')
    value = given.get("value")
    if value is None and word in ("=", "==", "!="):
        missing = Field(name).is_none()
        return ~missing if word == "!=" else missing
    return _WORDS_FOR[word](Field(name), value)


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != 2:
        raise QueryInvalid(f"between takes a pair of values, not {value!r}")
    return value[0], value[1]


def bind(tree: Condition, schema: Schema[Any] | None) -> Condition:
    """The tree with each comparison a leaf of this schema; without one, a field's kind follows from its value.

    Raises:
        QueryInvalid: a field the schema does not have, an operator or a value that does not fit it, or `knn` below the
            top.
    """
    bound = _bind(tree, schema)
    if has_knn(bound) and not (isinstance(bound, Knn) or _is_filtered_knn(bound)):
        raise QueryInvalid("knn() is asked once, at the top: knn(...) & condition")
    return bound


def _bind(tree: Condition, schema: Schema[Any] | None) -> Condition:
    match tree:
        case And(parts):
            return _flat(And, [_bind(part, schema) for part in parts])
        case Or(parts):
            return _flat(Or, [_bind(part, schema) for part in parts])
        case Not(part):
            return _negated(_bind(part, schema))
        case Unbound(name, op, values):
            return leaf(_loose_column(name, op, values) if schema is None else schema.column(name), op, values)
        case Everything() | Nothing() | RawText():
            return tree
    column: Column = tree.column  # type: ignore[attr-defined]  # every other node is a leaf
    if schema is not None and schema.columns.get(column.name) is not column:
        other = schema.column(column.name)
        if (other.attribute, other.kind) != (column.attribute, column.kind):
            raise QueryInvalid(
                f"{column.name!r} is searched otherwise in {schema.entity!r} than in the model it was taken from"
            )
    return tree


def _flat(node: type[And] | type[Or], parts: list[Condition]) -> Condition:
    """The parts as one node, without nodes of the same kind below it and without what decides nothing."""
    neutral, decisive = (Everything, Nothing) if node is And else (Nothing, Everything)
    flat: list[Condition] = []
    for part in parts:
        if isinstance(part, decisive):
            return part
        if not isinstance(part, neutral):
            flat.extend(part.parts if isinstance(part, node) else (part,))
    if not flat:
        return neutral()
    return flat[0] if len(flat) == 1 else node(tuple(flat))


def both(left: Condition, right: Condition) -> Condition:
    """Two bound trees that both hold, as a bound tree."""
    return _flat(And, [left, right])


def _negated(part: Condition) -> Condition:
    match part:
        case Everything():
            return Nothing()
        case Nothing():
            return Everything()
    return ~part


def has_knn(tree: Condition) -> bool:
    """Whether a nearest-neighbour search stands anywhere in the tree."""
    return any(isinstance(one, Knn) for one in leaves(tree))


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


def _is_filtered_knn(tree: Condition) -> bool:
    return (
        isinstance(tree, And)
        and len([part for part in tree.parts if isinstance(part, Knn)]) == 1
        and (sum(isinstance(one, Knn) for one in leaves(tree)) == 1)
    )


_OPTION_FOR: dict[Op, Option] = {
    Op.MATCH: Text(), Op.PHRASE: Text(), Op.FUZZY: Text(), Op.NEAR: Geo(),
    Op.LT: Numeric(), Op.LE: Numeric(), Op.GT: Numeric(), Op.GE: Numeric(),
}  # fmt: skip


def _loose_column(name: str, op: Op, values: tuple[Any, ...]) -> Column:
    """A field that no model and no index describes: its kind is that of the operator, or of the value beside it."""
    if name in SYSTEM:
        return SYSTEM[name]
    if op is Op.KNN:
        raise QueryInvalid(f"{name}: knn() needs a model that says what the vector is")
    option = _OPTION_FOR.get(op)
    if option is None:
        sized = values and all(
            isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in values
        )
        option = Numeric() if sized else Tag()
    source = "_id" if name == "id" else name
    return Column(name, source, source, LOOSE, option)
