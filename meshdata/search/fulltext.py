r"""A tree of conditions → the module's query text and the values it binds; pure.

No value is written into the text: each one travels as a PARAM (but for the words of a phrase, see `_quoted`). Even so
the module reads a bound value: it takes a backslash for an escape and drops blanks at the ends. So backslashes are
doubled, and in a part of a tag, where blanks at the ends count, blanks are escaped. Dialect 2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from meshdata.errors import QueryInvalid
from meshdata.search.fields import Text
from meshdata.search.tree import (
    And,
    Condition,
    Everything,
    Fuzzy,
    Infix,
    Knn,
    Missing,
    Near,
    Not,
    Nothing,
    OneOf,
    Or,
    Phrase,
    Prefix,
    Range,
    RawText,
    Words,
)
from meshdata.search.words import is_word

Param = str | bytes | int | float
DISTANCE = "_distance"
"""What a nearest-neighbour search calls the distance in its answers."""

# No tree of its own meaning "no record" exists in the language; this cannot be true of any.
_NEVER = "(ismissing(@_created) -ismissing(@_created))"
_SPECIAL = re.compile(r"([^\w])", re.ASCII)


@dataclass(slots=True)
class Query:
    """Query text and its parameters, as FT.SEARCH and FT.AGGREGATE take them."""

    text: str = "*"
    params: dict[str, Param] = field(default_factory=dict)
    knn: Knn | None = None
    negations: int = 0  # how many stand around the node being written

    def arguments(self) -> list[Param]:
        """PARAMS and DIALECT."""
        bound = [part for pair in self.params.items() for part in pair]
        return ["PARAMS", len(bound), *bound, "DIALECT", 2] if bound else ["DIALECT", 2]


def compile_query(tree: Condition) -> Query:
    """Write a bound tree as query text.

    Raises:
        QueryInvalid: it holds comparisons that were not bound to a schema.
    """
    query = Query()
    knn = [part for part in (tree.parts if isinstance(tree, And) else (tree,)) if isinstance(part, Knn)]
    if not knn:
        query.text = _node(tree, query)
        return query
    query.knn = knn[0]
    rest = tuple(part for part in tree.parts if part is not knn[0]) if isinstance(tree, And) else ()
    base = _node(And(rest), query) if rest else "*"
    blob = _bound(query, knn[0].blob)
    query.text = f"({base})=>[KNN {knn[0].k} {_at(knn[0].column.attribute)} {blob} AS {DISTANCE}]"
    return query


def _node(tree: Condition, query: Query) -> str:
    write = _WRITERS.get(type(tree))
    if write is None:
        raise QueryInvalid(f"{tree!r} has no place in a query")
    return write(tree, query)


def _everything(tree: Everything, query: Query) -> str:
    return "*"  # by itself only: bind leaves it nowhere else, and the language has it nowhere else


def _nothing(tree: Nothing, query: Query) -> str:
    return _NEVER


def _and(tree: And, query: Query) -> str:
    return f"({' '.join([_node(part, query) for part in _nested_first(tree.parts)])})"


def _or(tree: Or, query: Query) -> str:
    for part in tree.parts:
        if type(part) is Not:
            # module 2.10 loses the newest record of a union with a negation in it, so it is said the other way round
            return _node(Not(And(tuple(~part for part in tree.parts))), query)
    return f"({'|'.join([_node(part, query) for part in _nested_first(tree.parts)])})"


def _not(tree: Not, query: Query) -> str:
    query.negations += 1
    inner = _node(tree.part, query)
    query.negations -= 1
    return f"(-{inner})"


def _nested_first(parts: tuple[Condition, ...]) -> tuple[Condition, ...] | list[Condition]:
    # the module's parser keeps what stands left of a bracket on a stack, which a deep tree would overflow
    for part in parts:
        if type(part) in _NESTED:
            return sorted(parts, key=lambda one: type(one) not in _NESTED)
    return parts


_NESTED = frozenset({And, Or, Not})


def _raw(tree: RawText, query: Query) -> str:
    query.params.update(tree.params)
    return f"({tree.text})"


def _range(tree: Range, query: Query) -> str:
    low, high = tree.low, tree.high
    floor = "-inf" if low is None else f"{'(' if tree.low_open else ''}{_bound(query, _double(low))}"
    ceiling = "+inf" if high is None else f"{'(' if tree.high_open else ''}{_bound(query, _double(high))}"
    return f"{_at(tree.column.attribute)}:[{floor} {ceiling}]"


def _one_of(tree: OneOf, query: Query) -> str:
    choices = "|".join([_bound(query, _doubled(text)) for text in tree.texts])
    return f"{_at(tree.column.exact_attribute)}:{{{choices}}}"


def _prefix(tree: Prefix, query: Query) -> str:
    return f"{_at(tree.column.exact_attribute)}:{{{_part(tree.text, query, front=False)}}}"


def _infix(tree: Infix, query: Query) -> str:
    return f"{_at(tree.column.exact_attribute)}:{{{_part(tree.text, query, front=True)}}}"


def _words(tree: Words, query: Query) -> str:
    column = tree.column
    found = [f"{_word(query, word)}{'*' if starred else ''}" for word, starred in tree.words]
    if query.negations and len(found) == 1:
        # module 2.10: a negated word is taken to be in the newest record when another field of it has the word;
        # as an intersection, were it with itself, it is read rightly
        found *= 2
    text = f"({' '.join([f'{_at(column.attribute)}:({one})' for one in found])})"
    # said here, since the module forgets it for a field that is not stemmed
    sounds = isinstance(column.option, Text) and column.option.phonetic
    return f"({text}=>{{$phonetic:true}})" if sounds else text


def _phrase(tree: Phrase, query: Query) -> str:
    return f'{_at(tree.column.attribute)}:"{_quoted(tree.words)}"'


def _fuzzy(tree: Fuzzy, query: Query) -> str:
    edge = "%" * tree.distance
    found = [f"{edge}{_word(query, word)}{edge}" for word in tree.words]
    return f"({' '.join([f'{_at(tree.column.attribute)}:({one})' for one in found])})"


def _missing(tree: Missing, query: Query) -> str:
    return f"ismissing({_at(tree.column.attribute)})"


def _near(tree: Near, query: Query) -> str:
    place = " ".join([_bound(query, _double(number)) for number in (tree.lon, tree.lat, tree.km)])
    return f"{_at(tree.column.attribute)}:[{place} km]"


# By type and not by `match`: a query is compiled for each request, and this takes half the time.
_WRITERS: dict[type[Condition], Callable[[Any, Query], str]] = {
    Everything: _everything, Nothing: _nothing, And: _and, Or: _or, Not: _not, RawText: _raw,
    Range: _range, OneOf: _one_of, Prefix: _prefix, Infix: _infix,
    Words: _words, Phrase: _phrase, Fuzzy: _fuzzy, Missing: _missing, Near: _near,
}  # fmt: skip


@lru_cache(maxsize=4096)
def _at(attribute: str) -> str:
    return "@" + _SPECIAL.sub(r"\\\1", attribute)


def _bound(query: Query, value: Param) -> str:
    name = f"p{len(query.params) + 1}"
    query.params[name] = value
    return f"${name}"


def _double(number: float) -> str:
    return repr(number) if math.isfinite(number) else ("-inf" if number < 0 else "+inf")


def _doubled(text: str) -> str:
    return text.replace("\\", "\\\\") if "\\" in text else text


def _word(query: Query, word: str) -> str:
    return _bound(query, _doubled(word).encode("utf-8", "surrogateescape"))


def _quoted(words: tuple[str, ...]) -> str:
    """The words of a phrase, the one place where a value is in the text of a query.

    Bound words do not do: the module takes two bound words that are equal for one, and "a b a" for "a b". It is safe,
    since a word holds nothing that has a meaning between quotes; that is looked at here once more.
    """
    for word in words:
        if not is_word(word):
            raise QueryInvalid(f"{word!r} cannot stand in a phrase")
    return " ".join(words)


def _part(text: str, query: Query, *, front: bool) -> str:
    """A tag that begins with a text, or holds it."""
    # An escaped blank is not dropped at an end. A wildcard pattern (w'...') would keep it too, but some never end.
    escaped = re.sub(r"[\\ \t\n\v\f\r]", r"\\\g<0>", text)
    return f"{'*' if front else ''}{_bound(query, escaped)}*"
