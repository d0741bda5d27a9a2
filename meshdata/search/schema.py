"""A model as storage and index see it: which fields, how each is written, read and indexed; pure.

A `Schema` is made once per model and entity (`schema_of`). Its `version` is a digest of all that decides how the index
is built, so that two processes with the same model name the same index, and a changed model names a new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from meshdata.errors import CorruptRecord, InvalidOptions, QueryInvalid
from meshdata.search.codec import LOOSE, codec_of, untyped_to_hash
from meshdata.search.column import Column, column, geo_column
from meshdata.search.fields import Geo, Numeric, Option, Tag, Text, Vector
from meshdata.values import check_entity

M = TypeVar("M", bound=BaseModel)
Hash = Mapping[bytes, bytes] | Mapping[str, Any]
"""A record as Redis holds it."""

Stored = str | bytes | int | float
"""What may be sent to Redis for a field; the codecs make text of everything but vectors."""

_TIME = codec_of(datetime)
_STR = codec_of(str)
SYSTEM: dict[str, Column] = {
    made.name: made
    for made in (
        column("_id", _STR, Tag(sortable=True)),
        column("_status", _STR, Tag(sortable=True)),
        column("_created", _TIME, Numeric(sortable=True)),
        column("_updated", _TIME, Numeric(sortable=True)),
        column("_ended", _TIME, Numeric(sortable=True)),
        column("_error", _STR, Text(nostem=True)),
    )
}
"""What every record of the mesh has, and every index: written by the store's scripts, times in ms since 1970."""


class Schema(Generic[M]):
    """How one entity's records are stored and indexed.

    Attributes:
        entity: the entity's name.
        model: the pydantic class; None where the columns were read from an index.
        columns: field name → column, the system fields among them.
        version: 12 hex digits that change with the index's definition.
    """

    def __init__(self, entity: str, model: type[M] | None, columns: Mapping[str, Column]) -> None:
        self.entity = entity
        self.model = model
        self.columns = {**SYSTEM, **columns}
        self.fields = dict(columns)
        self.version = hashlib.sha256("\0".join(self.index_arguments()).encode()).hexdigest()[:12]
        self._keys = {name: _key(name, info) for name, info in model.model_fields.items()} if model else {}
        self._label = model.__name__ if model else entity
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._partials: dict[tuple[str, ...], type[BaseModel]] = {}

    def __repr__(self) -> str:
        return f"Schema({self.entity!r}, {self._label}, v{self.version})"

    def index_arguments(self) -> list[str]:
        """What follows SCHEMA in FT.CREATE."""
        seen: dict[str, list[str]] = {}
        for one in self.columns.values():
            seen.setdefault(one.attribute, one.index_arguments())
        return [word for words in seen.values() for word in words]

    def column(self, name: str) -> Column:
        """The column of a field or system field.

        Raises:
            QueryInvalid: there is none of this name.
        """
        try:
            return self.columns[name]
        except KeyError:
            raise QueryInvalid(
                f"{self._label} has no field {name!r}; its fields are {', '.join(self.fields) or 'none'}"
            ) from None

    # --- writing ------------------------------------------------------------------------------------------------------

    def to_hash(
        self, value: BaseModel | Mapping[str, Any], *, partial: bool = False, id: str | None = None
    ) -> tuple[dict[str, Stored], list[str]]:
        """Check a record, or a change to one, and write it as hash fields.

        Args:
            value: an instance, or field names and values.
            partial: only these fields change; otherwise it is a whole record, whose defaults are written too.
            id: the record's id, named in errors; a model's `id` must be equal to it.

        Returns:
            The fields to set, as text (vectors as bytes), and the names of those to delete, because they are None.

        Raises:
            InvalidOptions: an unknown field, or a value that does not fit; `.argument` is the field.
        """
        if isinstance(value, BaseModel):
            values = {name: part for name, part in value.__dict__.items() if name in self.fields}
            values |= value.__pydantic_extra__ or {}
        elif partial or self.model is None:
            self._check_names(value, id)
            values = {name: self._checked(name, part, id) for name, part in value.items()}
        else:
            self._check_names(value, id)
            values = self._validated(value, id)
        if id is not None and "id" in self.fields and "id" in values and str(values["id"]) != id:
            raise self._problem("id", f"{values['id']!r} is not the record's id", id)
        setting: dict[str, Stored] = {}
        for name, part in values.items():
            if part is not None:
                setting[name] = self._encoded(name, part, id)
        return setting, [name for name, part in values.items() if part is None]

    def _encoded(self, name: str, value: Any, id: str | None) -> str | bytes:
        one = self.fields.get(name)
        if one is None:
            return untyped_to_hash({name: value})[name]
        try:
            return one.encode(value)
        except (ValueError, TypeError, ArithmeticError, InvalidOptions) as problem:
            raise self._problem(name, str(problem), id) from problem

    def _check_names(self, values: Mapping[str, Any], id: str | None) -> None:
        if self.model is not None and self.model.model_config.get("extra") == "allow":
            return
        for name in values:
            if name not in self.fields:
                raise self._problem(str(name), f"no such field; the fields are {', '.join(self.fields)}", id)

    def _validated(self, values: Mapping[str, Any], id: str | None) -> dict[str, Any]:
        assert self.model is not None
        try:
            made = self.model.model_validate({self._keys.get(name, name): part for name, part in values.items()})
        except ValidationError as problem:
            raise self._invalid(problem, id) from problem
        return {**made.__dict__, **(made.__pydantic_extra__ or {})}

    def _checked(self, name: str, value: Any, id: str | None) -> Any:
        """One value as its field has it. None deletes, whatever the type."""
        if value is None or self.model is None or name not in self._keys:
            return value
        adapter = self._adapters.get(name)
        try:
            if _can_assign(self.model):
                # by the model itself, so that its own field validators run
                made = self.model.model_construct()
                self.model.__pydantic_validator__.validate_assignment(made, name, value)
                return made.__dict__[name]
            if adapter is None:
                info = self.model.model_fields[name]
                adapter = self._adapters[name] = TypeAdapter[Any](Annotated[info.annotation, info])  # type: ignore[arg-type]
            return adapter.validate_python(value)
        except ValidationError as problem:
            raise self._invalid(problem, id, name) from problem

    def _invalid(self, problem: ValidationError, id: str | None, name: str = "") -> InvalidOptions:
        first = problem.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or name
        return self._problem(path, f"{first['msg']} (got {first['input']!r:.80})", id)

    def _problem(self, name: str, message: str, id: str | None) -> InvalidOptions:
        record = f" record {id!r}" if id is not None else ""
        return InvalidOptions(f"{self._label}{record}: {message}", argument=name)

    # --- reading ------------------------------------------------------------------------------------------------------

    def from_hash(self, hash: Hash, names: tuple[str, ...] | list[str] | None = None) -> dict[str, Any]:
        """Read hash fields as typed values.

        Args:
            hash: a record's fields, or some of them.
            names: which to give, None for one that is not there; without it all there are but the system's.

        Raises:
            CorruptRecord: a stored text is no value of its field.
        """
        texts = as_text_keys(hash)
        if names is not None:
            return {name: self._read(name, texts) for name in names}
        found = {name: self._decoded(name, texts[name]) for name in texts if name[:1] != "_"}
        if "id" in self.fields and "id" not in found and "_id" in texts:
            found["id"] = self._decoded("id", texts["_id"])
        return found

    def _read(self, name: str, texts: Mapping[str, Any]) -> Any:
        stored = texts.get(name)
        if stored is None and name in self.columns:
            stored = texts.get(self.columns[name].source)
        return None if stored is None else self._decoded(name, stored)

    def _decoded(self, name: str, stored: str | bytes) -> Any:
        one = self.columns.get(name)
        try:
            if one is None:
                return stored.decode() if isinstance(stored, bytes) else stored
            return one.decode(stored)
        except (ValueError, ArithmeticError) as problem:
            raise CorruptRecord(f"{self._label}, field {name!r}: {problem}") from problem

    def instance(self, hash: Hash) -> M:
        """Read a record as an instance of the model.

        A record that lacks required fields (its workflow has not written them yet) is an instance without those
        attributes.

        Raises:
            CorruptRecord: a stored value does not fit the model.
        """
        if self.model is None:
            raise InvalidOptions(f"{self.entity!r} has no model", argument="model")
        values = self.from_hash(hash)
        known = {self._keys[name]: value for name, value in values.items() if name in self._keys}
        if self.model.model_config.get("extra") == "allow":
            known |= {name: value for name, value in values.items() if name not in self._keys}
        try:
            return self.model.model_validate(known)
        except ValidationError as problem:
            if all(error["type"] == "missing" and len(error["loc"]) == 1 for error in problem.errors()):
                return self.model.model_construct(**known)
            first = problem.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CorruptRecord(
                f"{self._label} record {values.get('id', '')!r}, field {where!r}: {first['msg']}"
            ) from problem

    def partial(self, hash: Hash, names: tuple[str, ...]) -> BaseModel:
        """Read some fields as an instance of a model that has just these, each None where the record has none."""
        values = self.from_hash(hash, names)
        made = self._partials.get(names)
        if made is None:
            made = self._partials[names] = self._partial_model(names)
        return made.model_validate({name.lstrip("_"): value for name, value in values.items()})

    def _partial_model(self, names: tuple[str, ...]) -> type[BaseModel]:
        shape: dict[str, Any] = {}
        for name in names:
            plain = name.lstrip("_")
            if plain in shape:
                raise QueryInvalid(f"{name!r} and {plain!r} cannot be selected together")
            annotation: Any = self.model.model_fields[name].annotation if self.model and name in self._keys else Any
            shape[plain] = (annotation | None, None)
        return create_model(f"{self._label}Part", **shape)


def schema_of(model: type[M], entity: str | None = None) -> Schema[M]:
    """The schema of a pydantic class: of `Record`, or any other.

    Args:
        model: the class.
        entity: the entity whose records it describes; None takes the class's own (`class User(Record, entity="user")`).

    Raises:
        InvalidOptions: no entity is known, or a field cannot be searched as annotated.
    """
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise InvalidOptions(f"a model is a pydantic class; got {model!r}", argument="model")
    name = entity or getattr(model, "__entity__", None)
    if not name:
        raise InvalidOptions(
            f"say which entity {model.__name__} describes: class {model.__name__}(Record, entity=...)",
            argument="entity",
        )
    return _schema(model, check_entity(name))


@lru_cache(maxsize=1024)
def _schema(model: type[M], entity: str) -> Schema[M]:
    if not model.__pydantic_complete__:
        model.model_rebuild()
    return Schema(entity, model, {name: _column(model, name, info) for name, info in model.model_fields.items()})


def _column(model: type[BaseModel], name: str, info: FieldInfo) -> Column:
    option = _option(info)
    if isinstance(option, Geo):
        return geo_column(name, info.annotation, option)
    codec = codec_of(info.annotation, option.separator if isinstance(option, Tag) else "\x1f")
    expected = {Tag: Tag, Text: Tag, Numeric: Numeric}.get(type(option), codec.kind)
    numbers_as_tags = isinstance(option, Tag) and codec.kind is Numeric
    words_of_a_list = isinstance(option, Text) and codec.element is not None
    if (option is not None and codec.kind is not expected and not numbers_as_tags) or words_of_a_list:
        raise InvalidOptions(
            f"{model.__name__}: a field of type {info.annotation} cannot be searched as {type(option).__name__}",
            argument=name,
        )
    made = column(name, codec, option)
    if name == "id" and made.kind == "TAG" and made.codec.element is None:
        # a record's own id is stored and indexed as the system's _id; the model's field reads the same
        return Column("id", "_id", "_id", made.codec, SYSTEM["_id"].option)
    return made


def _option(info: FieldInfo) -> Option | None:
    for item in reversed(info.metadata):
        if isinstance(item, Tag | Text | Numeric | Geo | Vector):
            return item
        if isinstance(item, type) and item in (Tag, Text, Numeric, Geo):
            return item()  # `Annotated[str, Tag]`, as often written
    return None


def schema_of_index(entity: str, attributes: list[Mapping[str, Any]]) -> Schema[Any]:
    """The schema an index tells of itself, for callers without the model: kinds are known, values are text.

    Args:
        attributes: FT.INFO's "attributes", with text keys.
    """
    kinds: dict[str, Option] = {"TAG": Tag(), "TEXT": Text(), "NUMERIC": Numeric(), "GEO": Geo()}
    columns: dict[str, Column] = {"id": Column("id", "_id", "_id", LOOSE, SYSTEM["_id"].option)}
    exact = {str(one["attribute"]).removesuffix("__exact") for one in attributes if "__exact" in str(one["attribute"])}
    for one in attributes:
        name, kind = str(one["attribute"]), str(one["type"])
        if name in SYSTEM or kind not in kinds or name.endswith("__exact"):
            continue
        option = kinds[kind]
        flags = one.get("flags", ())
        if kind == "TAG":
            option = Tag(separator=str(one.get("SEPARATOR", "\x1f")), case_sensitive="CASESENSITIVE" in flags)
        elif name in exact:
            option = Text(exact=True)
        codec = codec_of(str) if kind == "TEXT" else LOOSE
        columns[name] = Column(name, name, str(one["identifier"]), codec, option)
    return Schema(entity, None, columns)


def as_text_keys(hash: Hash) -> dict[str, Any]:
    """The same fields with `str` names."""
    return {name.decode() if isinstance(name, bytes) else name: value for name, value in hash.items()}


def _key(name: str, info: FieldInfo) -> str:
    """What the model's validation calls a field: its alias, where it has one."""
    if isinstance(info.validation_alias, str):
        return info.validation_alias
    return info.alias or name


@lru_cache(maxsize=1024)
def _can_assign(model: type[BaseModel]) -> bool:
    """Whether one field can be checked by itself: a validator of the whole model must not see half of one."""
    return not model.__pydantic_decorators__.model_validators and not model.model_config.get("frozen")
