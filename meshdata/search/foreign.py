"""redis-om's field options, read as ours: `Field(index=True, full_text_search=True)` in a HashModel or JsonModel; pure.

Nothing of redis-om is imported: its options are attributes of its own FieldInfo, and its models say which fields are
indexed. There a field is searched only where it says `index=True`; ours are unless they say otherwise.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from meshdata.search.codec import bare, codec_of
from meshdata.search.fields import Geo, Numeric, Option, Tag, Text, Vector

SEPARATOR = "|"
"""redis-om's own default between the values of a list."""


def is_foreign(model: type[BaseModel]) -> bool:
    """Whether a class is one of redis-om's."""
    return any(base.__module__.split(".")[0] in ("redis_om", "aredis_om") for base in model.__mro__)


def is_foreign_id(info: FieldInfo) -> bool:
    """Whether redis-om has the field for the record's id."""
    return _said(info, "primary_key") is True


def option_of_foreign(model: type[BaseModel], name: str, info: FieldInfo) -> Option | None:
    """How redis-om has a field searched; None where the field is not redis-om's and its type decides.

    A field of theirs that is not indexed is stored only.
    """
    if not is_foreign(model):
        return None
    vector = _said(info, "vector_options")
    if vector is not None:
        return _vector(vector)
    indexed = _said(info, "index") is True or bool(model.model_config.get("index")) or is_foreign_id(info)
    sortable = _said(info, "sortable") is True
    kind = bare(info.annotation)
    if getattr(kind, "__name__", "") in ("Coordinates", "Coordinate"):
        return Geo(index=indexed)
    codec = codec_of(info.annotation)
    if codec.kind is Numeric:
        return Numeric(sortable=sortable, index=indexed)
    if codec.kind is None:
        return None
    if _said(info, "full_text_search") is True and codec.element is None:
        return Text(sortable=sortable, exact=True, index=indexed)
    return Tag(
        sortable=sortable,
        case_sensitive=_said(info, "case_sensitive") is True,
        separator=_said(info, "separator") or SEPARATOR,
        index=indexed,
    )


def _said(info: FieldInfo, option: str) -> Any:
    value = getattr(info, option, None)
    if value is None:
        for item in info.metadata:  # newer versions carry their options beside pydantic's
            value = getattr(item, option, None)
            if value is not None:
                break
    return None if type(value).__name__.endswith("UndefinedType") else value


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
