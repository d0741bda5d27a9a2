r"""What counts as a word in full text, the same for the index, a query and the predicate; pure.

A word ends at a blank, at ASCII punctuation other than `_`, at a control character (the newline too) and at a
backslash. Left to itself the module sees the last two otherwise: it drops control characters, so that "one\ntwo" is
indexed as "onetwo" and neither word is found, and takes a backslash for an escape. So a text is stored with a blank on
both sides of each such character (`spread`), and `gather` takes exactly those blanks away again.

Limits of module 2.10 that stay: a word's first 128 bytes count; capitals beyond ASCII count ("Über" is not "über"), and
a word that has some is not found by its beginning or by a near miss.
"""

from __future__ import annotations

import re

WORD_LIMIT = 128
"""Bytes of a word that the module keeps."""

_ODD = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\\]")
# Behind a backslash comes a control character, which takes the escape upon itself; else the blank would be escaped.
_SPREAD = re.compile(r" (?:(\\)\x01|([\x00-\x08\x0a-\x1f\x7f])) ")
_WORD = re.compile(r"([^\x00-\x20\x7f!-/:-@\[-^`{-~]+)(\*?)")
_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


def spread(text: str) -> str:
    """The stored form of a text, in which words end where they should."""
    return _ODD.sub(lambda odd: " \\\x01 " if odd[0] == "\\" else f" {odd[0]} ", text)


def gather(stored: str) -> str:
    """The text that `spread` made this of."""
    return _SPREAD.sub(r"\1\2", stored)


def words(text: str) -> list[str]:
    """The words of a text as they are indexed: ASCII letters in lower case, others as they are."""
    return [_normal(found[1]) for found in _WORD.finditer(text)]


def starred_words(text: str) -> list[tuple[str, bool]]:
    """The words of a query, each with whether a `*` stood right behind it (any word that begins so)."""
    return [(_normal(found[1]), bool(found[2])) for found in _WORD.finditer(text)]


def is_word(text: str) -> bool:
    """Whether a text is a single word: no blank, no control character, no ASCII punctuation but `_`."""
    return _WORD.fullmatch(text) is not None and not text.endswith("*")


def _normal(word: str) -> str:
    if len(word) * 4 > WORD_LIMIT:
        # the cut may go through a character: its half is kept as what stands for such bytes in a str
        word = word.encode()[:WORD_LIMIT].decode("utf-8", "surrogateescape")
    return word.lower() if word.isascii() else word.translate(_LOWER)
