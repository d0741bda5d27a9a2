"""One field of a record as storage and index see it: its name, its codec, how it is searched; pure.

The checks here keep out what the module would take in silence and then not find: see `docs/design.md` "Search".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from meshdata.search.codec import Codec, geo_codec, vector_codec
from meshdata.search.fields import SEPARATOR, Geo, Numeric, Option, Tag, Text, Vector
from meshdata.search.words import gather, spread

TAG_LIMIT = 4096
"""Bytes. A longer tag is indexed and never found."""

SAFE_DIGITS = 16
"""A shorter text of a whole number stands for one that a double holds."""

_NO_NUMBERS = frozenset({"inf", "-inf", "nan"})

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
        encode: a value → what the hash holds. ValueError or TypeError: it cannot be stored, or not found again.
        indexed: whether conditions on it can be asked.
        kind: TAG, TEXT, NUMERIC, GEO, VECTOR, or "" where it is not indexed.
        exact_attribute: the name under which the whole value is a tag: the attribute itself, for a `Text(exact=True)`
            its twin.
        separator: what parts this column's values in the index; None where the text is one value.
    """

    name: str
    attribute: str
    source: str
    codec: Codec
    option: Option | None = None
    # worked out once: each write and each comparison asks for them
    encode: Callable[[Any], str | bytes] = field(init=False)
    indexed: bool = field(init=False)
    kind: str = field(init=False)
    exact_attribute: str = field(init=False)
    separator: str | None = field(init=False)

    def __post_init__(self) -> None:
        option = self.option
        indexed = option is not None and option.index
        told = {
            "encode": _encoder(self.codec, option),
            "indexed": indexed,
            "kind": type(option).__name__.upper() if indexed else "",
            "exact_attribute": f"{self.attribute}__exact" if isinstance(option, Text) else self.attribute,
            "separator": option.separator if isinstance(option, Tag) else None,
        }
        for name, value in told.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<{self.kind or 'stored'} {self.name}>"

    @property
    def exact_in_reply(self) -> bool:
        """Whether the module, asked for the field by name, gives the hash's text: it prints numbers with 12 digits."""
        return not isinstance(self.option, Numeric) or self.codec.whole

    def parts(self, values: Iterable[Any]) -> list[str]:
        """Values of a list, each as it stands in the hash; of a field that holds a list.

        Raises:
            ValueError, TypeError: one cannot be stored.
        """
        assert self.codec.element is not None
        texts = [str(self.codec.element.encode(value)) for value in values]
        for text in texts:
            # the codec and the index agree on what a list may hold
            self.encode([self.codec.element.decode(text)])
        return texts

    def claim(self, stored: str | bytes) -> str:
        """What two records of a unique field may not share: the stored text, as far as the index tells texts apart."""
        assert isinstance(stored, str) and isinstance(self.option, Tag)
        text = stored.strip(BLANKS)
        return text if self.option.case_sensitive else text.lower()

    @property
    def unique(self) -> bool:
        """Whether no two records may have the same value."""
        return isinstance(self.option, Tag) and self.option.unique

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
        missing = []
        if option.index:
            missing = ["INDEXEMPTY"] if isinstance(option, Tag | Text) and option.index_empty else []
            missing += ["INDEXMISSING"] if option.index_missing else []
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
                shape = [word for pair in option.parameters().items() for word in pair]
                words = [*head, "VECTOR", option.algorithm, str(len(shape)), *shape, *missing]
            case Numeric() | Geo():
                words = [*head, type(option).__name__.upper(), *missing]
        if getattr(option, "sortable", False):
            words += ["SORTABLE", "UNF"] if isinstance(option, Tag | Text) and option.unf else ["SORTABLE"]
        if not option.index:
            words.append("NOINDEX")
        if isinstance(option, Text) and option.exact:
            twin = [self.source, "AS", self.exact_attribute, "TAG", *_tag_arguments("\x1f", True, option.suffix)]
            words += [*twin, *missing]
        return words


def _encoder(codec: Codec, option: Option | None) -> Callable[[Any], str | bytes]:
    """How a field writes its values: its codec, and the checks its kind needs; made once, it runs with each write."""
    encode = codec.encode
    if option is None or not option.index:
        return encode
    match option:
        case Numeric():
            return _number_encoder(codec)
        case Text():
            return _text_encoder(codec, exact=option.exact)
        case Tag():
            return _tag_encoder(codec, option.separator)
    return encode


def _number_encoder(codec: Codec) -> Callable[[Any], str]:
    # A whole number of so many digits is a double of its own, and a float is one anyway, unless it is no number at all.
    encode, whole, double = codec.encode, codec.whole, codec.double

    def number(value: Any) -> str:
        text = str(encode(value))
        if whole and len(text) < SAFE_DIGITS:
            return text
        if (text in _NO_NUMBERS) if double else not survives_as_double(text):
            raise ValueError(f"{text} is more than the index's doubles can tell apart; annotate it with Tag()")
        return text

    return number


def _text_encoder(codec: Codec, *, exact: bool) -> Callable[[Any], str]:
    encode = codec.encode

    def words(value: Any) -> str:
        text = str(encode(value))
        if "\0" in text:
            raise ValueError("a text holds no NUL character: the index stops reading there")
        if exact:
            _check_tag(text, SEPARATOR)
        return spread(text)

    return words


def _tag_encoder(codec: Codec, separator: str) -> Callable[[Any], str]:
    encode, is_list = codec.encode, codec.element is not None

    def tag(value: Any) -> str:
        text = str(encode(value))
        for part in text.split(separator) if is_list else (text,):
            _check_tag(part, separator)
        return text

    return tag


def _check_tag(text: str, separator: str) -> None:
    problem = tag_problem(text, separator)
    if problem:
        raise ValueError(f"{problem}; annotate it with Text() or Tag(index=False)")


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


def column(name: str, codec: Codec, option: Option | None) -> Column:
    """A column whose kind follows from its option, and where that says nothing from its type."""
    match option:
        case Vector():
            codec = vector_codec(option)
        case None if codec.kind is not None:
            option = codec.kind()
    return Column(name, attribute_of(name), name, codec, option)


def geo_column(name: str, annotation: Any, option: Geo) -> Column:
    """A column of places."""
    return Column(name, attribute_of(name), name, geo_codec(annotation), option)


def attribute_of(path: str) -> str:
    """What the index calls a field: a dot would have to be escaped in every query."""
    return path.replace(".", "__")
