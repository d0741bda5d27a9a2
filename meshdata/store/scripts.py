"""Loads the Lua files, joins them with the shared parts they include, and writes their `local` lines from their heads.

A file's head is its contract: the names under `-- KEYS` and `-- ARGV` become locals of the script, in that order; `...`
stands for whatever follows. `--- @include part` takes in `lib/part.lua`, once, after what that part includes itself.
`--- @lazy part` takes it in so that it is defined when an effect (a field of `fx`) is first used that is not there yet:
defining functions is most of what a short script costs (measured: 5 of 7 us), and most calls need few of them. How a
script is called is `store.py`'s business.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from meshdata.store.large import LARGE_VALUE

_INCLUDE = re.compile(r"^--- @include (\w+)$", re.MULTILINE)
_LAZY = re.compile(r"^--- @lazy (\w+)$", re.MULTILINE)
_NAME = re.compile(r"^--   (\w+|\.\.\.)(?:\s|$)")


_LARGE_VALUE = re.compile(r"^(local LARGE_VALUE = )\d+", re.MULTILINE)


class ScriptSource(Exception):
    """A Lua file is not as the loader needs it: a part is missing, includes itself, or the head is malformed."""


@dataclass(frozen=True, slots=True)
class Script:
    """One verb, ready to be called: its whole source and the digest the server knows it by."""

    name: str
    source: str
    sha: str
    arguments: tuple[str, ...]


def _read(path: str) -> str:
    try:
        return files("meshdata.store").joinpath("lua", *path.split("/")).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ScriptSource(f"lua/{path} does not exist") from error


def _names(name: str, text: str, section: str) -> list[str]:
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith(f"-- {section}"):
            inside = True
        elif inside:
            match = _NAME.match(line)
            if match is not None:
                found.append(match[1])
            elif not line.startswith("--    "):  # what a line says about a name may go on in the next
                break
    if not found and section == "KEYS":
        raise ScriptSource(f"lua/{name}.lua: the head names no KEYS")
    return found


def _locals(names: list[str], table: str) -> str:
    named = names[: names.index("...")] if "..." in names else names
    if not named:
        return ""
    values = ", ".join(f"{table}[{i}]" for i in range(1, len(named) + 1))
    return f"local {', '.join(named)} = {values}\n"


def _parts(text: str, origin: str, joined: dict[str, str], trail: tuple[str, ...]) -> None:
    for part in _INCLUDE.findall(text):
        if part in trail:
            raise ScriptSource(f"{origin} includes {part}, which includes itself: {' > '.join((*trail, part))}")
        if part not in joined:
            source = _read(f"lib/{part}.lua")
            _parts(source, f"lua/lib/{part}.lua", joined, (*trail, part))
            joined[part] = source


def _lazily(text: str, name: str, joined: dict[str, str]) -> str:
    """The lazy parts as groups: when `fx` lacks a field, they are defined one group after another until it has it."""
    groups = []
    for part in _LAZY.findall(text):
        before = dict(joined)
        _parts(f"--- @include {part}", f"lua/{name}.lua", joined, ())
        groups.append("\n".join(source for one, source in joined.items() if one not in before))
    code = ""
    for source in reversed(groups):
        # The next group stands inside this one: it sees this one's locals, and is armed once this one is used up.
        head = "setmetatable(fx, { __index = function(_, name)\nsetmetatable(fx, nil)\n"
        code = f"{head}{source}\n{code}return fx[name]\nend }})\n"
    return code


@cache
def load(name: str, *, large_value: int = LARGE_VALUE) -> Script:
    """The script of `lua/<name>.lua`; a payload of more than `large_value` bytes is kept beside its journal.

    Raises:
        ScriptSource: a part is missing or includes itself, or the head names no keys.
    """
    text = _read(f"{name}.lua")
    keys, arguments = _names(name, text, "KEYS"), _names(name, text, "ARGV")
    joined: dict[str, str] = {}
    _parts(text, f"lua/{name}.lua", joined, ())
    pieces = [_locals(keys, "KEYS") + _locals(arguments, "ARGV"), *joined.values(), _lazily(text, name, joined), text]
    body = _LARGE_VALUE.sub(rf"\g<1>{large_value}", "\n".join(pieces))
    return Script(name, body, hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest(), tuple(arguments))


def names() -> list[str]:
    """Every verb there is a Lua file for."""
    folder = files("meshdata.store").joinpath("lua")
    return sorted(entry.name.removesuffix(".lua") for entry in folder.iterdir() if entry.name.endswith(".lua"))
