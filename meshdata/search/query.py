"""Conditions as users write them: operators on fields, dicts, and the checks against a schema; pure.

`fulltext.py` turns the tree into the module's query text, `predicate.py` into a Python function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from meshdata.errors import QueryInvalid
from meshdata.search.codec import LOOSE
from meshdata.search.column import Column
from meshdata.search.fields import Geo, Numeric, Option, Tag, Text
from meshdata.search.leaf import leaf
from meshdata.search.schema import SYSTEM, Schema
from meshdata.search.tree import (
    And,
    Condition,
    Everything,
    Knn,
    Not,
    Nothing,
    Op,
    Or,
    RawText,
    Unbound,
    all_of,
    flat,
    has_knn,
    leaves,
    negated,
)

DEPTH_LIMIT = 150
"""How deep conditions may be nested. The module's parser has a stack that ends somewhat later, with negations at each
level earlier; it says so, which is QueryInvalid too."""


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
        return ~(self._ask(Op.MISSING) if value is None else self._ask(Op.EQ, value))

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
        return self._ask(Op.GE, low) & self._ask(Op.LE, high)

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
    "near": lambda field, value: field.near(*_place(value)),
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


def _place(value: Any) -> tuple[Any, Any, Any]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != 3:
        raise QueryInvalid(f"near takes longitude, latitude and kilometres, not {value!r}")
    return value[0], value[1], value[2]


def bind(tree: Condition, schema: Schema[Any] | None) -> Condition:
    """The tree with each comparison a leaf of this schema; without one, a field's kind follows from its value.

    Raises:
        QueryInvalid: a field the schema does not have, an operator or a value that does not fit it, `knn` below the
            top, or `&`, `|` and `~` nested deeper than the module can read.
    """
    bound = _bind(tree, schema, 0)
    if has_knn(bound) and not (isinstance(bound, Knn) or _is_filtered_knn(bound)):
        raise QueryInvalid("knn() is asked once, at the top: knn(...) & condition")
    return bound


def _bind(tree: Condition, schema: Schema[Any] | None, depth: int) -> Condition:
    kind = type(tree)
    if kind is And or kind is Or or kind is Not:
        if depth == DEPTH_LIMIT:
            raise QueryInvalid(
                f"& | ~ are nested more than {DEPTH_LIMIT} deep; a chain of the same one counts once, however long"
            )
        if kind is Not:
            return negated(_bind(tree.part, schema, depth + 1))  # type: ignore[attr-defined]  # of a Not, by its kind
        parts = [_bind(part, schema, depth + 1) for part in tree.parts]  # type: ignore[attr-defined]  # And, Or
        return flat(kind, parts)  # type: ignore[arg-type]  # one of these two
    if kind is Unbound:
        name, op, values = tree.name, tree.op, tree.values  # type: ignore[attr-defined]  # a Term is left
        return leaf(_loose_column(name, op, values) if schema is None else schema.column(name), op, values)
    if kind is Everything or kind is Nothing or kind is RawText:
        return tree
    column: Column = tree.column  # type: ignore[attr-defined]  # every other node is a leaf
    if schema is not None and schema.columns.get(column.name) is not column:
        other = schema.column(column.name)
        if (other.attribute, other.kind) != (column.attribute, column.kind):
            raise QueryInvalid(
                f"{column.name!r} is searched otherwise in {schema.entity!r} than in the model it was taken from"
            )
    return tree


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
