"""What a model's instance was read from, kept with it, so that a change sends only what differs; pure.

It lies in the instance's `__dict__`, where pydantic keeps what is no field (`cached_property` does the same): it is not
dumped, compared or shown, and a copy of the instance has it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

ORIGIN = "_meshdata_origin"
"""Its name there."""

PLACE = "_meshdata_place"
"""The name of what an object of a `MeshOS` class keeps likewise: the mesh it belongs to, the job it stands for."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The record an instance was read from or written to.

    Attributes:
        entity: whose record it is.
        fields: hash field → text as stored, system fields too.
    """

    entity: str
    fields: Mapping[str, Any]

    @property
    def rev(self) -> int | None:
        """The revision it had; None where that was not read."""
        rev = self.fields.get("_rev")
        return None if rev is None else int(rev)


def remember(record: BaseModel, origin: Origin) -> None:
    """Keep with an instance what it was read from."""
    record.__dict__[ORIGIN] = origin


def origin_of(record: BaseModel) -> Origin | None:
    """What an instance was read from, if it was."""
    found = record.__dict__.get(ORIGIN)
    return found if isinstance(found, Origin) else None
