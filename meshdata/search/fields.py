"""How a model's field is searched, said in its annotation: `plan: Annotated[str, Tag()]`; values only, no I/O.

A field without one of these gets the kind its type suggests (`codec.py` has the table). `index=False` keeps a field out
of the index; it is stored all the same, and with `sortable=True` results can still be sorted by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from meshdata.errors import InvalidOptions

SEPARATOR = "\x1f"
"""Parts the values of a list. The module's own default is a comma, which would split ordinary text in silence."""


class Point(NamedTuple):
    """A place: longitude and latitude in degrees. A plain pair of numbers serves as well."""

    lon: float
    lat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """An exact value, or a list of them: ids, names, states.

    Blanks around a value do not count, and a value has at most 4096 bytes: both are limits of the module's.

    Attributes:
        sortable: keep the value at hand for sorting and grouping, at the price of memory.
        case_sensitive: whether "Pro" and "pro" are two values.
        separator: one character that no value of a list holds.
        suffix: an index of the endings, which makes `contains` fast and writing slower.
    """

    sortable: bool = False
    case_sensitive: bool = True
    separator: str = SEPARATOR
    suffix: bool = False
    index: bool = True

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or not self.separator.isascii() or self.separator == "\0":
            raise InvalidOptions("a separator is one ASCII character", argument="separator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words, searched by `match`, `phrase` and `fuzzy`.

    Attributes:
        weight: how much a hit in this field counts when results are ranked.
        nostem: whether only the word itself is found, not its other forms ("run" for "running").
        phonetic: also find what sounds alike; one of dm:en, dm:fr, dm:pt, dm:es.
        exact: index the whole text as a `Tag` too, so that `==` and `in_` work (at most 4096 bytes then).
    """

    weight: float = 1.0
    sortable: bool = False
    nostem: bool = False
    phonetic: Literal["dm:en", "dm:fr", "dm:pt", "dm:es"] | None = None
    exact: bool = False
    suffix: bool = False
    index: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """A number or a point in time. The index holds doubles: whole numbers go up to 2**53; larger ids are `Tag`s."""

    sortable: bool = False
    index: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Geo:
    """A place, as `Point` or as a pair (longitude, latitude); searched by `near`."""

    index: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A list of `dim` numbers, searched by `knn`.

    Attributes:
        algorithm: HNSW is fast and nearly exact, FLAT compares with every record.
        metric: how distance is measured.
    """

    dim: int
    algorithm: Literal["HNSW", "FLAT"] = "HNSW"
    type: Literal["FLOAT32", "FLOAT64"] = "FLOAT32"
    metric: Literal["COSINE", "L2", "IP"] = "COSINE"
    index: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.dim, bool) or not isinstance(self.dim, int) or self.dim < 1:
            raise InvalidOptions("a vector has at least one number", argument="dim")


Option = Tag | Text | Numeric | Geo | Vector
