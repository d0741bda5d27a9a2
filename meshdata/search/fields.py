"""How a model's field is searched, said in its annotation: `plan: Annotated[str, Tag()]`; values only, no I/O.

A field without one of these gets the kind its type suggests (`codec.py` has the table). `index=False` keeps a field out
of the index; it is stored all the same, and with `sortable=True` results can still be sorted by it.
"""

from __future__ import annotations

import math
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
        unf: sort by the value as it is; False lets the module fold its case first.
        case_sensitive: whether "Pro" and "pro" are two values.
        separator: one character that no value of a list holds.
        suffix: an index of the endings, which makes `contains` fast and writing slower.
        unique: no two records of the entity have the same value; a write that would make them is a `UniqueViolation`.
        index_missing, index_empty: whether records without the field, and with an empty text, can be asked for.
    """

    sortable: bool = False
    unf: bool = True
    case_sensitive: bool = True
    separator: str = SEPARATOR
    suffix: bool = False
    unique: bool = False
    index: bool = True
    index_missing: bool = True
    index_empty: bool = True

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
        sortable, unf, suffix, index_missing, index_empty: as `Tag` has them.
    """

    weight: float = 1.0
    sortable: bool = False
    unf: bool = True
    nostem: bool = False
    phonetic: Literal["dm:en", "dm:fr", "dm:pt", "dm:es"] | None = None
    exact: bool = False
    suffix: bool = False
    index: bool = True
    index_missing: bool = True
    index_empty: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float) or not 0 < self.weight < math.inf:
            raise InvalidOptions(f"a weight is a number above 0, not {self.weight!r}", argument="weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """A number or a point in time. The index holds doubles: whole numbers go up to 2**53; larger ids are `Tag`s."""

    sortable: bool = False
    index: bool = True
    index_missing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Geo:
    """A place, as `Point` or as a pair (longitude, latitude); searched by `near`."""

    index: bool = True
    index_missing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A list of `dim` numbers, searched by `knn`.

    Attributes:
        algorithm: HNSW is fast and nearly exact, FLAT compares with every record.
        type: how a number is stored; the halves save memory and keep 11 and 8 bits of it.
        metric: how distance is measured.
        initial_cap: for how many records room is made at once.
        m: HNSW: neighbours a record is tied to; ef_construction, ef_runtime: how many candidates are looked at by a
            write, by a search; epsilon: how far beyond its radius a range is searched.
        block_size: FLAT: records per block.
    """

    dim: int
    algorithm: Literal["HNSW", "FLAT"] = "HNSW"
    type: Literal["FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16"] = "FLOAT32"
    metric: Literal["COSINE", "L2", "IP"] = "COSINE"
    initial_cap: int | None = None
    m: int | None = None
    ef_construction: int | None = None
    ef_runtime: int | None = None
    epsilon: float | None = None
    block_size: int | None = None
    index: bool = True
    index_missing: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.dim, bool) or not isinstance(self.dim, int) or self.dim < 1:
            raise InvalidOptions("a vector has at least one number", argument="dim")
        for name in (*_HNSW, "block_size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise InvalidOptions(f"a number above 0 is needed; got {value!r}", argument=name)
            if value is not None and name in (_HNSW if self.algorithm == "FLAT" else ("block_size",)):
                raise InvalidOptions(f"{self.algorithm} has no such parameter", argument=name)

    def parameters(self) -> dict[str, str]:
        """What FT.CREATE is told of the vector, by its own names."""
        told = {"TYPE": self.type, "DIM": str(self.dim), "DISTANCE_METRIC": self.metric}
        for name in ("initial_cap", *_HNSW, "block_size"):
            value = getattr(self, name)
            if value is not None:
                told[name.upper()] = str(value)
        return told


_HNSW = ("m", "ef_construction", "ef_runtime", "epsilon")

Option = Tag | Text | Numeric | Geo | Vector
