"""redis-om's field options, read as ours: `Field(index=True, full_text_search=True)` in a HashModel or JsonModel; pure.

Nothing of redis-om is imported: its options are attributes of its own FieldInfo. There a field is searched only where
one of them says so; ours are unless they say otherwise. Its classes keep their own expressions (`Customer.age > 1` is
redis-om's): conditions for the mesh are made with `field(Customer, "age")`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from meshdata.search.codec import bare, codec_of, place_class
from meshdata.search.fields import Geo, Numeric, Option, Tag, Text, Vector

SEPARATOR = "|"
"""redis-om's own default between the values of a list."""


def is_foreign(model: type[BaseModel]) -> bool:
    """Whether a class is one of redis-om's."""
    return any(base.__module__.split(".")[0] in ("redis_om", "aredis_om") for base in model.__mro__)


def is_foreign_id(info: FieldInfo) -> bool:
    """Whether redis-om has the field for the record's id."""
    return _said(info, "primary_key") is True


def foreign_key(model: type[BaseModel]) -> str:
    """The field that is the id: the last one said to be, since every class of theirs begins with a `pk`."""
    return [name for name, info in model.model_fields.items() if is_foreign_id(info)][-1]


def option_of_foreign(model: type[BaseModel], name: str, info: FieldInfo) -> Option | None:
    """How redis-om has a field searched; None where the field is not redis-om's and its type decides.

    A field of theirs that is not indexed is stored only.
    """
    if not is_foreign(model):
        return None
    vector = _said(info, "vector_options")
    if vector is not None:
        return _vector(vector)
    sortable, words = _said(info, "sortable") is True, _said(info, "full_text_search") is True
    indexed = _said(info, "index") is True or sortable or words or is_foreign_id(info)
    if place_class(bare(info.annotation)):
        return Geo(index=indexed)
    codec = codec_of(info.annotation)
    if codec.kind is Numeric:
        return Numeric(sortable=sortable, index=indexed)
    if codec.kind is None:
        return None
    if words and codec.element is None:
        return Text(sortable=sortable, exact=True, index=indexed)
    return Tag(
        sortable=sortable,
        case_sensitive=_said(info, "case_sensitive") is True,
        separator=_said(info, "separator") or SEPARATOR,
        index=indexed,
    )


def _said(info: FieldInfo, option: str) -> Any:
    value = getattr(info, option, None)
    return None if value is PydanticUndefined else value


def _vector(said: Any) -> Vector:
    def value(name: str) -> Any:
        given = getattr(said, name, None)
        return getattr(given, "value", given)

    shape: dict[str, Any] = {"dim": value("dimension"), "type": value("type"), "metric": value("distance_metric")}
    if value("algorithm") == "FLAT":
        shape |= {"initial_cap": value("initial_cap"), "block_size": value("block_size")}
    else:
        shape |= {name: value(name) for name in ("initial_cap", "m", "ef_construction", "ef_runtime", "epsilon")}
    return Vector(algorithm=value("algorithm"), **shape)
