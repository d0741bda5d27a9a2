"""Which versions of an entity's model have had an index, in their order: so that old code does not fight with new code.

The history is kept in the namespace's `meta` hash, one field a generation, written once and never changed. Whoever
brings a version that is not in it claims the next number; one process alone can. A version that is in it, but not the
last, is that of older code: it leaves the index as it is, and works with it where all its fields are there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshdata.search.reply import SearchStore, as_text
from meshdata.search.schema import Schema

Columns = Mapping[str, tuple[str, ...]]
"""The index's attributes, each in the words of FT.CREATE."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One version of an entity's index.

    Attributes:
        number: 1 for the first.
        version: the digest of the schema it was made for.
        index: the version in the index's name; that of an earlier generation where the index was only added to.
        columns: what the index has.
    """

    number: int
    version: str
    index: str
    columns: Columns

    def lacks(self, schema: Schema[Any]) -> list[str]:
        """The schema's attributes that this index does not have, or has otherwise."""
        return [name for name, words in columns_of(schema).items() if not _serves(self.columns.get(name, ()), words)]

    def can_take(self, schema: Schema[Any]) -> bool:
        """Whether adding to this index makes it fit the schema."""
        return all(_serves(self.columns.get(name, words), words) for name, words in columns_of(schema).items())


def _serves(there: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    """Whether an attribute of the index answers what code with another definition asks: it may be sortable beyond."""
    return there == asked or tuple(word for word in there if word not in ("SORTABLE", "UNF")) == asked


def columns_of(schema: Schema[Any]) -> dict[str, tuple[str, ...]]:
    """A schema's attributes in the words of FT.CREATE."""
    found: dict[str, tuple[str, ...]] = {}
    for one in schema.columns.values():
        if words := one.index_arguments():
            found.setdefault(one.attribute, tuple(words))
    return found


class Generations:
    """The history of one entity's index."""

    def __init__(self, store: SearchStore, entity: str) -> None:
        self._store = store
        self._field = f"index:{entity}:"

    async def read(self) -> Sequence[Generation]:
        """Every generation, the oldest first."""
        told = as_text(await self._store.command(0, "HGETALL", self._store.keys.meta))
        numbered = [
            (int(name.removeprefix(self._field)), json.loads(value))
            for name, value in told.items()
            if name.startswith(self._field) and name.removeprefix(self._field).isdecimal()
        ]
        return [
            Generation(number, one["version"], one["index"], {n: tuple(words) for n, words in one["columns"].items()})
            for number, one in sorted(numbered, key=lambda pair: pair[0])
        ]

    async def claim(self, number: int, schema: Schema[Any], *, like: Generation | None = None) -> Generation | None:
        """Make the schema's version the generation of this number; None where another process was first.

        Args:
            like: the generation whose index is added to, or serves as it is; None for an index of its own.
        """
        made = Generation(
            number,
            schema.version,
            like.index if like else schema.version,
            {**columns_of(schema), **(like.columns if like else {})},
        )
        value = json.dumps({"version": made.version, "index": made.index, "columns": dict(made.columns)})
        first = await self._store.command(0, "HSETNX", self._store.keys.meta, f"{self._field}{number}", value)
        return made if first else None

    async def forget(self) -> None:
        """The entity has no index any more."""
        found = await self.read()
        if found:
            await self._store.command(
                0, "HDEL", self._store.keys.meta, *(f"{self._field}{one.number}" for one in found)
            )
