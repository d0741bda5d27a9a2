"""A model's fields as Arrow columns, and items as record batches; imported only when a table is asked for.

| in the model | in the table |
| --- | --- |
| bool, int, float, str, bytes | bool, int64, double, string, binary |
| Decimal | decimal128: as many digits as its `max_digits` and `decimal_places` say, else 38 with 18 after the point |
| date, datetime, time, timedelta | date32, timestamp[us, UTC], time64[us], duration[us] |
| Enum, Literal | what their values are; UUID, URLs and the like: string |
| a list, set or tuple of these, a vector | list |
| a place | struct of lon and lat; a nested model or dataclass: struct of its fields |
| dict, and whatever else | its JSON, as string |

A whole number beyond 64 bits, or a Decimal with more digits, is an error and not another number.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from meshdata.errors import InvalidOptions
from meshdata.search.fields import Geo, Point, Vector
from meshdata.values import to_json

_DIGITS, _PLACES = 38, 18
_SYSTEM = {"_created": datetime, "_updated": datetime, "_ended": datetime}

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ArrowColumn:
    """One column: its name, its type, what makes a value of the model one that Arrow takes."""

    name: str
    type: pa.DataType
    convert: Convert


def columns_of(model: type[BaseModel], names: Sequence[str] = ()) -> list[ArrowColumn]:
    """The columns of a model's fields, in their order; of those named only, if any are."""
    found = []
    for name in names or model.model_fields:
        info = _field(model, name)
        typed = _typed(_SYSTEM.get(name, str)) if info is None else _typed(info.annotation, tuple(info.metadata))
        found.append(ArrowColumn(name.lstrip("_"), *typed))
    return found


def _field(model: type[BaseModel], name: str) -> FieldInfo | None:
    """A field by its name, "address.city" for one of a nested model; None for a system field."""
    *above, last = name.split(".")
    for step in above:
        inner, _ = _bare(model.model_fields[step].annotation, ())
        model = inner
    return model.model_fields.get(last)


def _value(item: Any, name: str) -> Any:
    """A column's value of an item; None where the item has none."""
    if isinstance(item, Mapping):
        return item.get(name)
    for step in name.split("."):
        item = getattr(item, step, None)
    return item


def text_columns(rows: Sequence[Mapping[str, Any]]) -> list[ArrowColumn]:
    """The columns of records without a model: every name there is, as text."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [ArrowColumn(name, pa.string(), _text) for name in names]


def schema_of(columns: Sequence[ArrowColumn]) -> pa.Schema:
    """The columns as Arrow's schema."""
    return pa.schema([(one.name, one.type) for one in columns])


def batch_of(columns: Sequence[ArrowColumn], items: Sequence[Any]) -> pa.RecordBatch:
    """Items, instances or dicts, as a record batch; null where one has no value.

    Raises:
        InvalidOptions: a value does not fit its column; `.argument` is the field.
    """
    arrays = []
    for one in columns:
        values = [_value(item, one.name) for item in items]
        try:
            converted = [None if value is None else one.convert(value) for value in values]
            arrays.append(pa.array(converted, type=one.type))
        except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError) as problem:
            raise InvalidOptions(
                f"a value does not fit a column of {one.type}: {problem}", argument=one.name
            ) from problem
    return pa.RecordBatch.from_arrays(arrays, schema=schema_of(columns))


def table_of_rows(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of an aggregate, each column of the type its values have."""
    arrays = []
    for name in names:
        values = [_plain(row.get(name)) for row in rows]
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowException, ValueError, TypeError, OverflowError):  # several kinds in one column
            arrays.append(pa.array([None if value is None else _text(value) for value in values], type=pa.string()))
    return pa.Table.from_arrays(arrays, names=list(names))


# --- types ------------------------------------------------------------------------------------------------------------

_SCALARS: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    date: pa.date32(),
    time: pa.time64("us"),
    timedelta: pa.duration("us"),
}


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value, argument="value").decode()


def _typed(annotation: Any, metadata: tuple[Any, ...] = ()) -> tuple[pa.DataType, Convert]:
    annotation, metadata = _bare(annotation, metadata)
    if any(isinstance(one, Geo) or one is Geo for one in metadata) or annotation is Point:
        return pa.struct([("lon", pa.float64()), ("lat", pa.float64())]), _place
    if any(isinstance(one, Vector) for one in metadata):
        return pa.list_(pa.float64()), list
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _of_values(arguments)
    if origin is not None:
        element = [one for one in arguments if one is not Ellipsis]
        listed = isinstance(origin, type) and issubclass(origin, Collection) and not issubclass(origin, Mapping)
        return _listed(element[0]) if listed and len(set(element)) == 1 else (pa.string(), _text)
    return _of_class(annotation, metadata)


def _of_class(kind: Any, metadata: tuple[Any, ...]) -> tuple[pa.DataType, Convert]:
    if not isinstance(kind, type):
        return pa.string(), _text
    if issubclass(kind, Enum):
        arrow, convert = _of_values([one.value for one in kind])
        return arrow, lambda value: convert(value.value if isinstance(value, Enum) else value)
    if issubclass(kind, BaseModel):
        return _struct(
            {name: _typed(info.annotation, tuple(info.metadata)) for name, info in kind.model_fields.items()}
        )
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return _struct({one.name: _typed(hints[one.name]) for one in fields(kind)})
    if issubclass(kind, Decimal):
        return _decimal(metadata)
    if issubclass(kind, datetime):
        return pa.timestamp("us", tz="UTC"), _moment
    if issubclass(kind, UUID):
        return pa.string(), str
    for known in (bool, int, float, str, bytes, date, time, timedelta):
        if issubclass(kind, known):
            return _SCALARS[known], _same
    return pa.string(), _text


def _bare(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The type without Annotated, alias and None, and what was annotated on the way."""
    while True:
        origin = get_origin(annotation)
        if isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif origin is Annotated:
            annotation, *more = get_args(annotation)
            metadata = (*metadata, *more)
        elif origin in (Union, types.UnionType):
            some = [one for one in get_args(annotation) if one is not type(None)]
            if len(some) != 1:
                return object(), metadata
            annotation = some[0]
        else:
            return annotation, metadata


def _of_values(values: Sequence[Any]) -> tuple[pa.DataType, Convert]:
    kinds = {type(value) for value in values}
    [kind] = kinds if len(kinds) == 1 else [object]
    return (_SCALARS[kind], _same) if kind in _SCALARS else (pa.string(), _text)


def _listed(element: Any) -> tuple[pa.DataType, Convert]:
    arrow, convert = _typed(element)

    def listed(value: Any) -> list[Any]:
        some = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [None if one is None else convert(one) for one in some]

    return pa.list_(arrow), listed


def _struct(parts: Mapping[str, tuple[pa.DataType, Convert]]) -> tuple[pa.DataType, Convert]:
    def struct(value: Any) -> dict[str, Any]:
        found = {name: getattr(value, name, None) for name in parts}
        return {name: None if one is None else parts[name][1](one) for name, one in found.items()}

    return pa.struct([(name, arrow) for name, (arrow, _) in parts.items()]), struct


def _decimal(metadata: Sequence[Any]) -> tuple[pa.DataType, Convert]:
    said = {"max_digits": None, "decimal_places": None}
    for one in metadata:
        said |= {name: value for name in said if (value := getattr(one, name, None)) is not None}
    digits, places = said["max_digits"], said["decimal_places"]
    places = _PLACES if places is None else places
    digits = _DIGITS if digits is None else max(digits, places)
    return pa.decimal128(min(digits, _DIGITS), places), _same


def _moment(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _place(value: Any) -> dict[str, float]:
    if isinstance(value, str):
        value = value.split(",")
    lon, lat = value
    return {"lon": float(lon), "lat": float(lat)}


def _plain(value: Any) -> Any:
    """A value of an aggregate as Arrow understands it by itself."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return value
