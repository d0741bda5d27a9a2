"""What a change to a record sends: the fields that differ from what an instance was read from, and its claims; pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from meshdata.errors import CorruptRecord
from meshdata.search.origin import origin_of
from meshdata.search.schema import Schema, Stored
from meshdata.store.messages import Argument

CLAIM = "_!"
"""Before a unique field's name: what no other record may have, see lua/lib/claims.lua."""


def claimed(schema: Schema[Any], changes: Mapping[str, Stored]) -> dict[str, Argument]:
    """Fields to set, and the claims they need."""
    if not schema.unique:
        return {**changes}
    return {**changes, **{f"{CLAIM}{name}": text for name, text in schema.claims(changes).items()}}


def without_id(schema: Schema[Any], changes: dict[str, Stored]) -> dict[str, Stored]:
    """The same without the record's own id, which the script writes."""
    if schema.key and schema.fields[schema.key].source == "_id":
        changes.pop(schema.key, None)
    return changes


def changed_fields(schema: Schema[Any], record: BaseModel, id: str) -> tuple[dict[str, Stored], list[str]]:
    """Fields to set and to take away, so that the record is as its instance.

    Of an instance that was read, those that differ from what was stored; of one made by hand, those it was made with.
    Each is checked by its model first: an assignment to an instance may not have been.

    Raises:
        RecordInvalid: a value does not fit.
    """
    origin = origin_of(record)
    setting, gone = schema.to_hash(record, id=id)
    if origin is None:
        given = {below for name in record.model_fields_set for below in schema.below(name)}
        setting = {name: text for name, text in setting.items() if name in given}
        gone = [name for name in gone if name in given]
    else:
        setting = {name: text for name, text in setting.items() if not _same(schema, name, text, origin.fields)}
        gone = [name for name in gone if name in origin.fields]
    tops = {name.partition(".")[0] for name in setting}
    values = {name: value for name, value in record.__dict__.items() if name in tops}
    schema.to_hash(values, partial=True, id=id)
    return setting, gone


def _same(schema: Schema[Any], name: str, text: Stored, stored: Mapping[str, Any]) -> bool:
    """Whether a field still is what was stored, if perhaps in another spelling (a counted number's)."""
    old = stored.get(name)
    if old is None:
        return False
    plain = old.decode("utf-8", "surrogateescape") if isinstance(old, bytes) and isinstance(text, str) else old
    if plain == text:
        return True
    one = schema.fields.get(name)
    if one is None:
        return False
    try:
        return one.encode(one.decode(old)) == text
    except (ValueError, TypeError, ArithmeticError, CorruptRecord):
        return False
