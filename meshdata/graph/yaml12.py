"""YAML as models are written in: version 1.2's reading of plain scalars, and the line of every node.

PyYAML reads plain scalars as version 1.1 does, where `on` and `no` are booleans and `12:30` is a number. Models of the
reference family are written for 1.2. A date stays the text it is written as.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import BaseResolver

MERGE: Final = "tag:yaml.org,2002:merge"
TEXT: Final = "tag:yaml.org,2002:str"
_TAG: Final = "tag:yaml.org,2002:"
_LARGEST_WHOLE: Final = 2**63


class _Resolver(BaseResolver):
    """What plain scalars are."""


_PLAIN: Final = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0b[01]+|0o[0-7]+|0x[0-9a-fA-F]+|[0-9](?:[0-9_]*[0-9])?)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9](?:[0-9_]*[0-9])?(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
)
for _name, _pattern, _first in _PLAIN:
    _Resolver.add_implicit_resolver(
        f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), [*_first, ""] if _name == "null" else list(_first)
    )

# The parser in C reads ten times faster; not every build of PyYAML has it.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Reader(_Parser):  # type: ignore[misc]  # which of two classes it stands on, the build decides
    """Text to nodes."""

    yaml_implicit_resolvers = _Resolver.yaml_implicit_resolvers


class Unreadable(Exception):
    """A text is no YAML, or holds what a model cannot; `line` counts from 1."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def read(text: str) -> Node | None:
    """The node tree of a text; None of an empty one.

    Raises:
        Unreadable: it is no YAML.
    """
    reader = _Reader(text)
    try:
        node: Node | None = reader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(
            f"this is no YAML: {error.problem or error.context}", mark.line + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise Unreadable(f"this is no YAML: {error}", None) from error
    finally:
        reader.dispose()
    return node


def line_of(node: Node) -> int:
    """Where a node begins, from 1."""
    return int(node.start_mark.line) + 1


def key_of(node: Node) -> str:
    """The key a node is in an object: a text, as in JSON.

    Raises:
        Unreadable: it is a list or an object.
    """
    if not isinstance(node, ScalarNode):
        raise Unreadable("a key is a text, not a list or an object", line_of(node))
    return str(node.value)


def scalar(node: ScalarNode) -> Any:
    """The value of a scalar.

    Raises:
        Unreadable: its tag is none that JSON has a value for, or does not fit what is written.
    """
    text = node.value
    if node.tag in (TEXT, MERGE):
        return text
    kind = node.tag.removeprefix(_TAG)
    try:
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return _whole(text)
        if kind == "float":
            return _fraction(text)
    except ValueError as error:
        raise Unreadable(f"{text!r} is no {kind}", line_of(node)) from error
    raise Unreadable(f"the tag {node.tag} is not known", line_of(node))


def _whole(text: str) -> float:
    plain = text.replace("_", "")
    sign, digits = (-1 if plain.startswith("-") else 1), plain.lstrip("+-")
    bases = {"0b": 2, "0o": 8, "0x": 16}
    found = sign * int(digits, bases.get(digits[:2].lower(), 10))
    return found if abs(found) < _LARGEST_WHOLE else float(found)


def _fraction(text: str) -> float:
    plain = text.replace("_", "").lower()
    if plain.endswith((".inf", ".nan")):
        return float(plain.replace(".", ""))
    found = float(plain)
    return int(found) if found.is_integer() and abs(found) < 2**53 else found


def merged(node: MappingNode) -> Iterator[tuple[Node, Node]]:
    """Key and value nodes that `<<` merges into an object, what prevails last.

    Raises:
        Unreadable: a merge of what is no object.
    """
    for key, value in node.value:
        if key.tag != MERGE:
            continue
        for one in reversed(value.value) if isinstance(value, SequenceNode) else [value]:
            if not isinstance(one, MappingNode):
                raise Unreadable("<< merges objects only", line_of(key))
            yield from merged(one)
            yield from (pair for pair in one.value if pair[0].tag != MERGE)
