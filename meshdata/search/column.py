"""One field of a record as storage and index see it: its name, its codec, how it is searched; pure.

The checks here keep out what the module would take in silence and then not find: see `docs/design.md` "Search".
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from meshdata.search.codec import Codec, geo_codec, vector_codec
from meshdata.search.fields import Geo, Numeric, Option, Tag, Text, Vector
from meshdata.search.words import gather, spread

TAG_LIMIT = 4096
"""Bytes. A longer tag is indexed and never found."""

BLANKS = " \t\n\v\f\r"
"""What the module strips from both ends of a tag."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Column:
    """One field.

    Attributes:
        name: what the model calls it.
        attribute: what the index calls it.
        source: the hash's field.
        option: how it is searched; None: it is stored only.
    """

    name: str
    attribute: str
    source: str
    codec: Codec
    option: Option | None = None

    def __repr__(self) -> str:
        return f"<{self.kind or 'stored'} {self.name}>"

    @property
    def indexed(self) -> bool:
        """Whether conditions on it can be asked."""
        return self.option is not None and self.option.index

    @property
    def kind(self) -> str:
        """TAG, TEXT, NUMERIC, GEO, VECTOR, or "" where it is not indexed."""
        return type(self.option).__name__.upper() if self.indexed else ""

    @property
    def exact_in_reply(self) -> bool:
        """Whether the module, asked for the field by name, gives the hash's text: it prints numbers with 12 digits."""
        return not isinstance(self.option, Numeric) or self.codec.whole

    @property
    def exact_attribute(self) -> str:
        """The name under which the whole value is a tag: the attribute itself, for a `Text(exact=True)` its twin."""
        return f"{self.attribute}__exact" if isinstance(self.option, Text) else self.attribute

    @property
    def separator(self) -> str | None:
        """What parts this column's values in the index; None where the text is one value."""
        return self.option.separator if isinstance(self.option, Tag) else None

    def encode(self, value: Any) -> str | bytes:
        """A value → what the hash holds.

        Raises:
            ValueError, TypeError: it cannot be stored, or would not be found again.
        """
        stored = self.codec.encode(value)
        if isinstance(stored, bytes) or not self.indexed:
            return stored
        if isinstance(self.option, Numeric):
            if not survives_as_double(stored):
                raise ValueError(f"{stored} is more than the index's doubles can tell apart; annotate it with Tag()")
        elif isinstance(self.option, Text):
            if "\0" in stored:
                raise ValueError("a text holds no NUL character: the index stops reading there")
            if self.option.exact:
                self._check_tag(stored)
            return spread(stored)
        elif isinstance(self.option, Tag):
            parts = stored.split(self.option.separator) if self.codec.element else [stored]
            for part in parts:
                self._check_tag(part)
        return stored

    def _check_tag(self, text: str) -> None:
        problem = tag_problem(text, self.separator or "\x1f")
        if problem:
            raise ValueError(f"{problem}; annotate it with Text() or Tag(index=False)")

    def decode(self, stored: str | bytes) -> Any:
        """What the hash holds → the value. Raises ValueError where it is none."""
        if isinstance(self.option, Vector):
            return self.codec.decode(stored)  # type: ignore[arg-type]  # the one codec that reads bytes
        text = stored.decode() if isinstance(stored, bytes) else stored
        return self.codec.decode(gather(text) if self.kind == "TEXT" else text)

    def index_arguments(self) -> list[str]:
        """The column in the words of FT.CREATE; empty where the index does not know it."""
        option = self.option
        if option is None or not (option.index or getattr(option, "sortable", False)):
            return []
        missing = ["INDEXEMPTY", "INDEXMISSING"] if isinstance(option, Tag | Text) else ["INDEXMISSING"]
        if not option.index:
            missing = []
        head = [self.source, "AS", self.attribute]
        match option:
            case Tag():
                words = [
                    *head,
                    "TAG",
                    *_tag_arguments(option.separator, option.case_sensitive, option.suffix),
                    *missing,
                ]
            case Text():
                words = [*head, "TEXT", *_text_arguments(option), *missing]
            case Vector():
                shape = ["TYPE", option.type, "DIM", str(option.dim), "DISTANCE_METRIC", option.metric]
                words = [*head, "VECTOR", option.algorithm, str(len(shape)), *shape, *missing]
            case Numeric() | Geo():
                words = [*head, type(option).__name__.upper(), *missing]
        if getattr(option, "sortable", False):
            words += ["SORTABLE"] if isinstance(option, Numeric) else ["SORTABLE", "UNF"]
        if not option.index:
            words.append("NOINDEX")
        if isinstance(option, Text) and option.exact:
            twin = [self.source, "AS", self.exact_attribute, "TAG", *_tag_arguments("\x1f", True, option.suffix)]
            words += [*twin, "INDEXEMPTY", "INDEXMISSING"]
        return words


def _tag_arguments(separator: str, case_sensitive: bool, suffix: bool) -> list[str]:
    words = ["SEPARATOR", separator]
    if case_sensitive:
        words.append("CASESENSITIVE")
    if suffix:
        words.append("WITHSUFFIXTRIE")
    return words


def _text_arguments(option: Text) -> list[str]:
    words = ["WEIGHT", repr(float(option.weight))]
    if option.nostem:
        words.append("NOSTEM")
    if option.phonetic:
        words += ["PHONETIC", option.phonetic]
    if option.suffix:
        words.append("WITHSUFFIXTRIE")
    return words


def tag_problem(text: str, separator: str) -> str:
    """Why a text cannot be a tag, "" if it can: NUL cuts a tag, the separator parts it, a long one is never found."""
    if "\0" in text:
        return "a tag holds no NUL character"
    if separator in text:
        return f"a tag does not hold its separator {separator!r}"
    if len(text) > TAG_LIMIT // 4 and len(text.encode()) > TAG_LIMIT:
        return f"a tag has at most {TAG_LIMIT} bytes"
    return ""


def survives_as_double(text: str) -> bool:
    """Whether a number is finite and the only one of its digits that its double stands for."""
    number = float(text)
    if number - number != 0:
        return False
    return (abs(number) < 2**53 and "." not in text) or Decimal(repr(number)) == Decimal(text)


def column(name: str, codec: Codec, option: Option | None, source: str | None = None) -> Column:
    """A column whose kind follows from its option, and where that says nothing from its type."""
    source = source or name
    match option:
        case Vector():
            codec = vector_codec(option)
        case None if codec.kind is not None:
            option = codec.kind()
    return Column(name, name, source, codec, option)


def geo_column(name: str, annotation: Any, option: Geo) -> Column:
    """A column of places."""
    return Column(name, name, name, geo_codec(annotation), option)
