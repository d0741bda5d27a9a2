"""Where an object of a class belongs: to a mesh, and perhaps to the running job whose method has it as `self`."""

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from meshdata.mesh import MeshData
from meshdata.search.origin import PLACE
from meshdata.values import check_id, mint_id

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Place:
    """What an object keeps beside its fields.

    Attributes:
        mesh: where its methods are called; None for that of its class.
        is_job: whether it stands for the running job; its fields are the record's then, and not its own.
    """

    mesh: MeshData | None = None
    is_job: bool = False


NOWHERE = Place()


def place_of(instance: BaseModel) -> Place:
    """The place of an object."""
    found = instance.__dict__.get(PLACE)
    return found if isinstance(found, Place) else NOWHERE


def placed(instance: M, place: Place) -> M:
    """The object, at a place from now on."""
    instance.__dict__[PLACE] = place
    return instance


def reference(model: type[M], id: Any, place: Place = NOWHERE) -> M:
    """An object that has an id and none of its fields: it stands for the record, which may or may not be there.

    Raises:
        InvalidOptions: the id is none.
    """
    made = model.model_construct(id=mint_id() if id is None else check_id(id))
    kept = made.__dict__["id"]
    made.__dict__.clear()
    made.__dict__["id"] = kept
    return made if place is NOWHERE else placed(made, place)
