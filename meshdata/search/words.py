r"""What counts as a word in full text: the module's own rule, told again in Python; pure.

Words end at a blank, a tab and at ASCII punctuation other than `_` and `\`. Control characters (the newline too) do not
end a word: the module drops them, so that "one\ntwo" is indexed as "onetwo" and neither word is found. `spread` is the
    cure: each control character is
stored with a blank on both sides, and `gather` takes exactly those blanks away again.

Two limits of module 2.10 stay: a word's capitals beyond ASCII count ("Über" is not "über"), and a word that has some is
not found by its beginning or by a near miss.
"""

from __future__ import annotations

import re

WORD_LIMIT = 128
"""Bytes. The module keeps no more of a word, so no more of it is compared."""

_ENDS = frozenset(" \t,./(){}[]:;~!@#$%^&*-=+|'`\"<>?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SPREAD = re.compile(r" ([\x00-\x08\x0a-\x1f\x7f]) ")
_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


def spread(text: str) -> str:
    """The stored form of a text: each control character between two blanks."""
    return _CONTROL.sub(r" \g<0> ", text)


def gather(stored: str) -> str:
    """The text that `spread` made this of."""
    return _SPREAD.sub(r"\1", stored)


def words(text: str) -> list[str]:
    """The words of a text as they are indexed: ASCII letters in lower case, others as they are (as module 2.10)."""
    return [word for raw in _raw_words(spread(text)) if (word := _normal(raw))]


def starred_words(text: str) -> list[tuple[str, bool]]:
    """The words of a query, each with whether a `*` stood right behind it (any word that begins so)."""
    found = []
    at = 0
    text = spread(text)
    for raw in _raw_words(text):
        at = text.index(raw, at) + len(raw)
        if word := _normal(raw):
            found.append((word, text[at : at + 1] == "*"))
    return found


def _raw_words(text: str) -> list[str]:
    """Cut at the ends of words; a backslash keeps the character behind it from being one."""
    parts = []
    start = 0
    escaped = False
    for at, character in enumerate(text):
        if character in _ENDS and not escaped:
            parts.append(text[start:at])
            start = at + 1
        escaped = character == "\\" and not escaped
    parts.append(text[start:])
    return [part for part in parts if part]


def _normal(raw: str) -> str:
    if raw.isascii() and raw.isalnum():
        return raw[:WORD_LIMIT].lower()
    if len(raw) * 4 > WORD_LIMIT:
        # the cut may go through a character: its half is kept as what stands for such bytes in a str
        raw = raw.encode()[:WORD_LIMIT].decode("utf-8", "surrogateescape")
    kept = []
    escaped = False
    for character in raw:
        if character == "\t" or _CONTROL.match(character) or (character == " " and not escaped):
            escaped = False
        elif character == "\\" and not escaped:
            escaped = True
        else:
            kept.append(character)
            escaped = False
    return "".join(kept).translate(_LOWER)
