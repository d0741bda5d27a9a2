"""The one table of how a Python value stands in a record: type → text in the hash, kind, literal in a query; pure.

The index reads the hash, and a query's values are written by the same functions, so the three cannot come apart.

    type                        in the hash                                     kind
    str                         itself                                          Tag
    bool                        true, false                                     Tag
    int, float, Decimal         repr                                            Numeric
    datetime, date              ms since 1970 UTC, up to three decimals         Numeric
    timedelta                   ms, up to three decimals                        Numeric
    Enum, Literal               the value's text                                Tag
    UUID, time, and every type  their text                                      Tag
      that JSON writes as text
    list, set, tuple of these   their texts with a separator between them       Tag
    bytes                       base64                                          not indexed
    models, dicts, the rest     JSON                                            not indexed

None is never stored: a field that is None is not in the hash. A datetime without a time zone is taken as UTC.
"""

from __future__ import annotations

import base64
import struct
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypeAliasType

from meshdata.search.fields import SEPARATOR, Numeric, Tag, Vector
from meshdata.values import to_json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MANY: dict[Any, Callable[[Any], Any]] = {list: list, set: set, frozenset: frozenset, tuple: tuple}


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of one type are written and read.

    Attributes:
        kind: what the type is in an index where its annotation does not say; None for not at all.
        encode: a value of the type → its text (a vector: its bytes).
        decode: the text back → the value. Both raise ValueError or TypeError.
        literal: what a condition compares with → text; more generous than `encode` where that is plain (a date beside a
            datetime).
        element: for a list, the codec of what it holds.
        whole: whether the text is that of a whole number; the module prints others with 12 digits.
        double: whether every value is a double, as the index holds numbers.
        is_set: whether the values have no order and come once each; they are written sorted.
    """

    kind: type[Tag] | type[Numeric] | None
    encode: Callable[[Any], str | bytes]
    decode: Callable[[str], Any]
    literal: Callable[[Any], str]
    element: Codec | None = None
    whole: bool = False
    is_set: bool = False
    double: bool = False


# --- text -------------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if type(value) is str and value.isascii():
        return value
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, str):
        raise TypeError(f"a text is a str, not {type(value).__name__}")
    value.encode()  # a lone surrogate cannot be stored; better said here
    return value


def _bool(value: Any) -> str:
    if value is True or value == "true":
        return "true"
    if value is False or value == "false":
        return "false"
    raise TypeError(f"True or False, not {value!r}")


def _read_bool(text: str) -> bool:
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


# --- numbers ----------------------------------------------------------------------------------------------------------


def _int(value: Any) -> str:
    return str(int(value))


def _read_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = Decimal(text)  # an increment by a float leaves "3.0" or "1e3" behind
        if number != int(number):
            raise
        return int(number)


def _float(value: Any) -> str:
    return repr(float(value))


def _decimal(value: Any) -> str:
    return str(Decimal(value))


def number_text(value: Any) -> str:
    """The literal of a number; text that is a number is taken too, as the dict form and the command line have it.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise TypeError(f"a number, not {type(value).__name__}")
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise ValueError(f"{value!r} is no number") from None
    if value != value:
        raise ValueError("NaN compares with nothing")
    return repr(value) if isinstance(value, float) else str(value)


# --- time -------------------------------------------------------------------------------------------------------------


def _ms_text(microseconds: int) -> str:
    whole, rest = divmod(abs(microseconds), 1_000)
    sign = "-" if microseconds < 0 else ""
    return f"{sign}{whole}.{rest:03d}" if rest else f"{sign}{whole}"


def _microseconds(text: str) -> int:
    return int(text) * 1_000 if text.lstrip("-").isdecimal() else int(Decimal(text) * 1_000)


def _time(value: Any) -> str:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        raise TypeError(f"a datetime or date, not {type(value).__name__}")
    return _ms_text((moment - _EPOCH) // _MICROSECOND)


def _read_time(text: str) -> datetime:
    return _EPOCH + timedelta(microseconds=_microseconds(text))


def _timedelta(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = timedelta(seconds=value)
    if not isinstance(value, timedelta):
        raise TypeError(f"a timedelta or seconds, not {type(value).__name__}")
    return _ms_text(value // _MICROSECOND)


_SCALARS: dict[Any, Codec] = {
    str: Codec(Tag, _text, str, _text),
    bool: Codec(Tag, _bool, _read_bool, _bool),
    int: Codec(Numeric, _int, _read_int, number_text, whole=True),
    float: Codec(Numeric, _float, float, number_text, double=True),
    Decimal: Codec(Numeric, _decimal, Decimal, number_text),
    datetime: Codec(Numeric, _time, _read_time, _time),
    date: Codec(Numeric, _time, lambda text: _read_time(text).date(), _time, whole=True),
    timedelta: Codec(Numeric, _timedelta, lambda text: timedelta(microseconds=_microseconds(text)), _timedelta),
    UUID: Codec(Tag, str, UUID, lambda value: str(value if isinstance(value, UUID) else UUID(value))),
    bytes: Codec(None, lambda value: base64.b64encode(value).decode(), base64.b64decode, _text),
}


def codec_of(annotation: Any, separator: str = SEPARATOR) -> Codec:
    """Find the codec of a type, as annotated in a model.

    Args:
        annotation: any annotation; Optional, Annotated and aliases are seen through.
        separator: what parts the texts of a list.
    """
    annotation = bare(annotation)
    if known := _SCALARS.get(annotation):
        return known
    origin = get_origin(annotation) or annotation
    if origin in _MANY:
        return _many(annotation, origin, separator)
    if origin is Literal:
        return _choices({str(value): value for value in get_args(annotation)})
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choices({str(member.value): member for member in annotation})
    return _by_pydantic(annotation)


def bare(annotation: Any) -> Any:
    """See through Annotated, Optional, NewType and type aliases."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin is Union or origin is types.UnionType:
            some = [arm for arm in get_args(annotation) if arm is not type(None)]
            if len(some) != 1:
                return annotation
            annotation = some[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        else:
            return annotation


def _choices(members: dict[str, Any]) -> Codec:
    texts = {member: text for text, member in members.items()}

    def encode(value: Any) -> str:
        text = texts.get(value)
        if text is None:
            text = str(value)
            if text not in members:
                raise ValueError(f"{value!r} is none of {', '.join(members)}")
        return text

    def decode(text: str) -> Any:
        if text not in members:
            raise ValueError(f"{text!r} is none of {', '.join(members)}")
        return members[text]

    return Codec(Tag, encode, decode, encode)


def _many(annotation: Any, origin: Any, separator: str) -> Codec:
    arguments = get_args(annotation)
    uniform = len(arguments) == 1 or (origin is tuple and len(arguments) == 2 and arguments[1] is ...)
    element = codec_of(arguments[0], separator) if uniform else None
    if element is None or element.kind is None or element.element:
        return _by_pydantic(annotation)
    make, one = _MANY[origin], element

    def encode(values: Any) -> str:
        texts = [str(one.encode(value)) for value in values]
        for text in texts:
            if separator in text:
                raise ValueError(f"{text!r} holds {separator!r}, which parts the values of a list")
        if origin in (set, frozenset):
            texts.sort()  # the same set, the same text
        if texts and not texts[-1]:
            texts.append("")  # so that [""] is not [], nor ["a", ""] the same as ["a"]
        return separator.join(texts)

    def decode(text: str) -> Any:
        return make(one.decode(part) for part in text.removesuffix(separator).split(separator)) if text else make(())

    return Codec(Tag, encode, decode, element.literal, element, is_set=origin in (set, frozenset))


def _by_pydantic(annotation: Any) -> Codec:
    """Whatever else pydantic knows: by its text where JSON has a text for it, by its JSON otherwise."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel | Mapping)) and _is_text(adapter):

        def encode_text(value: Any) -> str:
            return _text(adapter.dump_python(value, mode="json"))

        def literal(value: Any) -> str:
            return encode_text(adapter.validate_python(value))

        return Codec(Tag, encode_text, adapter.validate_python, literal)

    def encode(value: Any) -> str:
        return to_json(value, argument="value").decode()

    return Codec(None, encode, adapter.validate_json, encode)


def _is_text(adapter: TypeAdapter[Any]) -> bool:
    try:
        return adapter.json_schema(mode="serialization").get("type") == "string"
    except Exception:  # pydantic raises errors of several families for types JSON schema cannot tell
        return False


# --- places and vectors -----------------------------------------------------------------------------------------------

# What the module's own projection holds; it drops a whole record from the index for a latitude beyond it.
_LATITUDE_LIMIT = 85.05112878


def point(value: Any) -> tuple[float, float]:
    """Read (longitude, latitude), from a pair, from the text "lon,lat", or from what has both as attributes.

    Raises:
        ValueError: it is no place.
    """
    if isinstance(value, str):
        value = value.split(",")
    elif hasattr(value, "longitude"):
        value = value.longitude, value.latitude
    try:
        lon, lat = (float(part) for part in value)
    except (TypeError, ValueError):
        raise ValueError(f"a place is a pair of longitude and latitude, not {value!r}") from None
    if not (-180 <= lon <= 180 and -_LATITUDE_LIMIT <= lat <= _LATITUDE_LIMIT):
        raise ValueError(f"({lon}, {lat}) is no longitude within 180 and latitude within {_LATITUDE_LIMIT}")
    return lon, lat


def _geo(value: Any) -> str:
    lon, lat = point(value)
    return f"{lon!r},{lat!r}"


def place_class(kind: Any) -> bool:
    """Whether a type is a place by its attributes, such as pydantic-extra-types' Coordinate."""
    return isinstance(kind, type) and {"longitude", "latitude"} <= set(getattr(kind, "__annotations__", ()))


def geo_codec(annotation: Any) -> Codec:
    """The codec of a place; read back as the model has it: as text, or as what takes a pair."""
    kind = bare(annotation)
    if kind is str:
        return Codec(None, _geo, str, _geo)
    if place_class(kind):
        return Codec(
            None, _geo, lambda text: kind(**dict(zip(("longitude", "latitude"), point(text), strict=True))), _geo
        )
    return Codec(None, _geo, point, _geo)


_LETTERS = {"FLOAT32": "f", "FLOAT64": "d", "FLOAT16": "e", "BFLOAT16": "H"}


def _brain(number: float) -> int:
    """The upper half of a float32, rounded to the nearest, ties to even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", number))
    upper: int = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    if upper & 0x7F80 == 0x7F80:
        raise OverflowError(f"{number} is beyond BFLOAT16")
    return upper


def vector_codec(option: Vector) -> Codec:
    """The codec of a vector: its numbers in little-endian bytes, as the module compares them."""
    layout = struct.Struct(f"<{option.dim}{_LETTERS[option.type]}")
    is_brain = option.type == "BFLOAT16"

    def encode(value: Any) -> bytes:
        numbers = [float(number) for number in value]
        if len(numbers) != option.dim:
            raise ValueError(f"{len(numbers)} numbers, where the vector has {option.dim}")
        if any(number - number != 0 for number in numbers):
            raise ValueError("a vector has no NaN and no infinity")
        try:
            return layout.pack(*(map(_brain, numbers) if is_brain else numbers))
        except (OverflowError, struct.error) as problem:
            raise ValueError(str(problem)) from None

    def decode(stored: Any) -> list[float]:
        if not isinstance(stored, bytes) or len(stored) != layout.size:
            raise ValueError(f"no vector of {option.dim} numbers")
        numbers = layout.unpack(stored)
        return (
            [struct.unpack("<f", struct.pack("<I", bits << 16))[0] for bits in numbers] if is_brain else list(numbers)
        )

    return Codec(None, encode, decode, lambda value: repr(value))


# --- without a model --------------------------------------------------------------------------------------------------


def _loose(value: Any) -> str:
    codec = _SCALARS.get(type(value))
    if codec is not None and not isinstance(value, bytes):
        return str(codec.encode(value))
    if isinstance(value, Enum):
        return _loose(value.value)
    return to_json(value, argument="value").decode()


LOOSE = Codec(None, _loose, str, _loose)
"""Where no model says what a field is: each value by its own type, text when read."""


def untyped_to_hash(values: Mapping[str, Any]) -> dict[str, str]:
    """Write the fields of a record that has no model: text as it is, true and false, numbers by repr, the rest as JSON.

    None is left out: the caller deletes those fields.

    Raises:
        InvalidOptions: a value that JSON cannot hold.
    """
    hashed = {}
    for name, value in values.items():
        if value is None:
            continue
        scalar = isinstance(value, str | bool | int | float)
        hashed[name] = _loose(value) if scalar else to_json(value, argument=name).decode()
    return hashed
