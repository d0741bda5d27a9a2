"""JSON texts: `{@json.*}`."""

import json as _json
import math
from datetime import datetime
from typing import Any

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, PipeError, entries, integer, iso, number_text, text

json = Family("json", "Values as JSON texts, and back.")

WIDEST_INDENT = 10


@json("stringify")
def stringify(value: Any = UNDEFINED, replacer: Any = UNDEFINED, space: Any = UNDEFINED) -> Any:
    """(value, keys?, space?) It as JSON. Undefined members are left out, NaN and Infinity are null, dates are texts.
    `keys` is a list of the members to keep; `space` indents, by a number of spaces or a text."""
    keep = {text(one) for one in replacer} if isinstance(replacer, list) else None
    written = plain(value, keep)
    if written is UNDEFINED:
        return UNDEFINED
    indent: str | None = None
    if isinstance(space, str):
        indent = space[:WIDEST_INDENT] or None
    elif space is not UNDEFINED:
        indent = " " * int(min(max(integer(space), 0), WIDEST_INDENT)) or None
    return _write(written, indent, "")


def plain(value: Any, keep: set[str] | None) -> Any:
    """A value as JSON knows it; UNDEFINED where there is nothing to write."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        found = [plain(one, keep) for one in value]
        return [None if one is UNDEFINED else one for one in found]
    if isinstance(value, dict):
        members = ((key, plain(one, keep)) for key, one in entries(value) if keep is None or key in keep)
        return {key: one for key, one in members if one is not UNDEFINED}
    return value


def _write(value: Any, indent: str | None, before: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_text(value)
    if not isinstance(value, list | dict):
        return _json.dumps(value, ensure_ascii=False)
    opening, closing = ("[", "]") if isinstance(value, list) else ("{", "}")
    if not value:
        return opening + closing
    inner = before + (indent or "")
    colon = ":" if indent is None else ": "
    if isinstance(value, list):
        parts = [_write(one, indent, inner) for one in value]
    else:
        parts = [
            f"{_json.dumps(key, ensure_ascii=False)}{colon}{_write(one, indent, inner)}" for key, one in value.items()
        ]
    if indent is None:
        return opening + ",".join(parts) + closing
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{before}{closing}"


@json("parse")
def parse(value: Any = UNDEFINED) -> Any:
    """(text) What it stands for. A text that is no JSON is an error."""
    try:
        return _json.loads(text(value), parse_constant=_refuse)
    except ValueError as problem:
        raise PipeError(f"{text(value)[:80]!r} is no JSON: {problem}", argument="json.parse") from problem


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
