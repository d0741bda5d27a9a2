"""A model as storage and index see it: which fields, how each is written, read and indexed; pure.

A `Schema` is made once per model and entity (`schema_of`). Its `version` is a digest of all that decides how the index
is built, so that two processes with the same model name the same index, and a changed model names a new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from meshdata.errors import CorruptRecord, InvalidOptions, QueryInvalid, RecordInvalid
from meshdata.search.codec import LOOSE, bare, codec_of, untyped_to_hash
from meshdata.search.column import Column, attribute_of, column
from meshdata.search.fields import SEPARATOR, Geo, Numeric, Option, Tag, Text
from meshdata.search.layout import MARK, Group, Layout, key_of, lay_out, part_of
from meshdata.search.origin import ORIGIN, PLACE, Origin, remember
from meshdata.values import check_entity, from_json

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
        columns: path → column, the system fields among them; a nested model's fields are "address.city".
        fields: the same without the system fields; groups: path → nested model.
        unique: the columns whose values no two records share.
        key: the field that is the record's id, "" if the model has none.
        version: 12 hex digits that change with the index's definition.
    """

    def __init__(self, entity: str, model: type[M] | None, layout: Layout) -> None:
        self.entity = entity
        self.model = model
        self.columns = {**SYSTEM, **layout.columns}
        self.fields = layout.columns
        self.groups = layout.groups
        self.key = layout.key
        self.unique = [one for one in layout.columns.values() if one.unique]
        self.version = hashlib.sha256("\0".join(self.index_arguments()).encode()).hexdigest()[:12]
        self._layout = layout
        self._encoders = {name: one.encode for name, one in layout.columns.items()}
        self._keys = {name: key_of(name, info) for name, info in model.model_fields.items()} if model else {}
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
            if name in self.groups:
                parts = ", ".join(self.groups[name].parts.values())
                raise QueryInvalid(f"{self._label}: {name!r} is a model; ask one of its fields: {parts}") from None
            raise QueryInvalid(
                f"{self._label} has no field {name!r}; its fields are {', '.join(self.fields) or 'none'}"
            ) from None

    # --- writing ------------------------------------------------------------------------------------------------------

    def to_hash(
        self, value: BaseModel | Mapping[str, Any], *, partial: bool = False, id: str | None = None
    ) -> tuple[dict[str, Stored], list[str]]:
        """Check a record, or a change to one, and write it as hash fields.

        Args:
            value: an instance, or field names and values; a field of a nested model is named "address.city".
            partial: only these fields change; otherwise it is a whole record, whose defaults are written too.
            id: the record's id, named in errors; a model's `id` must be equal to it.

        Returns:
            The fields to set, as text (vectors as bytes), and the names of those to delete, because they are None.

        Raises:
            RecordInvalid: an unknown field, or a value that does not fit; it names model, record and field.
        """
        values: Mapping[str, Any]
        if isinstance(value, BaseModel):
            values = value.__dict__ | (value.__pydantic_extra__ or {})
            values.pop(ORIGIN, None)
            values.pop(PLACE, None)
        elif partial or self.model is None:
            self.check_names(value, id)
            values = {name: self._checked(name, part, id) for name, part in value.items()}
        else:
            self.check_names(value, id)
            values = self._validated(value, id)
        if id is not None and self.key and self.key in values and str(values[self.key]) != id:
            raise self.problem(self.key, f"{values[self.key]!r} is not the record's id", id)
        setting: dict[str, Stored] = {}
        gone: list[str] = []
        encoders = self._encoders
        for name, part in values.items():
            encode = encoders.get(name)
            if encode is None or part is None:
                self._write(name, part, setting, gone, id)
                continue
            try:
                setting[name] = encode(part)
            except (ValueError, TypeError, ArithmeticError, InvalidOptions) as problem:
                raise self.problem(name, str(problem), id) from problem
        return setting, gone

    def _write(self, name: str, value: Any, setting: dict[str, Stored], gone: list[str], id: str | None) -> None:
        group = self.groups.get(name)
        if value is None:
            gone.extend(self._layout.below(name))
        elif group is None:
            setting[name] = self._encoded(name, value, id)
        else:
            before = len(setting)
            for part, path in group.parts.items():
                self._write(path, part_of(value, part), setting, gone, id)
            if len(setting) == before:
                setting[name] = MARK
            else:
                gone.append(name)

    def _encoded(self, name: str, value: Any, id: str | None) -> str | bytes:
        one = self.fields.get(name)
        if one is None:
            return untyped_to_hash({name: value})[name]
        try:
            return one.encode(value)
        except (ValueError, TypeError, ArithmeticError, InvalidOptions) as problem:
            raise self.problem(name, str(problem), id) from problem

    def claims(self, setting: Mapping[str, Stored]) -> dict[str, str]:
        """Unique field → what no other record may have, of the fields that are to be set."""
        return {one.name: one.claim(setting[one.name]) for one in self.unique if one.name in setting}  # type: ignore[arg-type]  # text

    def elements(self, name: str, values: Iterable[Any], id: str | None = None) -> tuple[str, bool, list[str]]:
        """Values of a list as its field stores each.

        Returns:
            What parts them, whether the field is a set, and the texts.

        Raises:
            RecordInvalid: the field is no list or set of plain values, or a value does not fit.
        """
        self.check_names([name], id)
        one = self.fields.get(name)
        if one is None or one.codec.element is None:
            raise self.problem(name, "it is no list or set of plain values", id)
        if f"{name}[]" not in self._adapters:
            model, own = self._layout.places[name]
            element = get_args(bare(model.model_fields[own].annotation))[0]
            self._adapters[f"{name}[]"] = TypeAdapter(list[element])  # type: ignore[valid-type]  # a type made at run time
        try:
            checked = self._adapters[f"{name}[]"].validate_python(list(values))
            return one.separator or SEPARATOR, one.codec.is_set, one.parts(checked)
        except ValidationError as problem:
            raise self._invalid(problem, id, f"{name}.") from problem
        except (ValueError, TypeError, ArithmeticError, InvalidOptions) as problem:
            raise self.problem(name, str(problem), id) from problem

    def below(self, name: str) -> list[str]:
        """Every hash field of a name: of a nested model's, those of its fields."""
        return self._layout.below(name)

    def check_names(self, names: Iterable[str], id: str | None = None) -> None:
        """Refuse names of no field.

        Raises:
            RecordInvalid: it names the first of them.
        """
        if self.model is not None and self.model.model_config.get("extra") == "allow":
            return
        for name in names:
            if name not in self.fields and name not in self.groups:
                raise self.problem(str(name), f"no such field; the fields are {', '.join(self.fields)}", id)

    def _validated(self, values: Mapping[str, Any], id: str | None) -> dict[str, Any]:
        assert self.model is not None
        try:
            made = self.model.model_validate({self._keys.get(name, name): part for name, part in values.items()})
        except ValidationError as problem:
            raise self._invalid(problem, id) from problem
        return {name: made.__dict__[name] for name in self._keys} | (made.__pydantic_extra__ or {})

    def _checked(self, name: str, value: Any, id: str | None) -> Any:
        """One value as its field has it. None deletes, whatever the type."""
        if value is None or name not in self._layout.places:
            return value
        model, own = self._layout.places[name]
        adapter = self._adapters.get(name)
        try:
            if _can_assign(model):
                # by the model itself, so that its own field validators run
                made = model.model_construct()
                model.__pydantic_validator__.validate_assignment(made, own, value)
                return made.__dict__[own]
            if adapter is None:
                info = model.model_fields[own]
                adapter = self._adapters[name] = TypeAdapter[Any](Annotated[info.annotation, info])  # type: ignore[arg-type]
            return adapter.validate_python(value)
        except ValidationError as problem:
            raise self._invalid(problem, id, name) from problem

    def _invalid(self, problem: ValidationError, id: str | None, name: str = "") -> RecordInvalid:
        first = problem.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        where = name.rpartition(".")[0]
        return self.problem(
            f"{where}.{path}" if where and path else path or name, f"{first['msg']} (got {first['input']!r:.80})", id
        )

    def problem(self, name: str, message: str, id: str | None) -> RecordInvalid:
        """What is wrong with a field of a record."""
        return RecordInvalid(message, model=self._label, field=name, id=id or "")

    # --- reading ------------------------------------------------------------------------------------------------------

    def from_hash(self, hash: Hash, names: tuple[str, ...] | list[str] | None = None) -> dict[str, Any]:
        """Read hash fields as typed values; a nested model's as an instance of it.

        Args:
            hash: a record's fields, or some of them.
            names: which to give, None for one that is not there; without it all there are but the system's.

        Raises:
            CorruptRecord: a stored text is no value of its field.
        """
        texts = as_text_keys(hash)
        if names is not None:
            return {name: self._read(name, texts) for name in names}
        found: dict[str, Any] = {}
        for name, text in texts.items():
            top = name.partition(".")[0]
            if name[:1] == "_" or top in found:
                continue
            if top in self.groups:
                found[top] = self._built(self.groups[top], texts)
            else:
                found[name] = self._decoded(name, text)
        if self.key and self.key not in found and "_id" in texts and self.fields[self.key].source == "_id":
            found[self.key] = self._decoded(self.key, texts["_id"])
        return found

    def _read(self, name: str, texts: Mapping[str, Any]) -> Any:
        if name in self.groups:
            return self._built(self.groups[name], texts)
        stored = texts.get(name)
        if stored is None and name in self.columns:
            stored = texts.get(self.columns[name].source)
        return None if stored is None else self._decoded(name, stored)

    def _built(self, group: Group, texts: Mapping[str, Any]) -> Any:
        """A nested model from what is stored of it; None where nothing is."""
        mark = texts.get(group.name)
        # A process that does not know the model stores a nested one as JSON, under the group's own name.
        values = {} if mark is None else self._unmarked(group, mark)
        for part, path in group.parts.items():
            value = self._read(path, texts)
            if value is not None:
                values[group.keys[part]] = value
        if not values and mark is None:
            return None
        try:
            return group.model.model_validate(values)
        except ValidationError as problem:
            if all(error["type"] == "missing" for error in problem.errors()):
                parts = {part: values[key] for part, key in group.keys.items() if key in values}
                return group.model.model_construct(**parts)
            raise CorruptRecord(f"{self._label}, field {group.name!r}: {problem}") from problem

    def _unmarked(self, group: Group, mark: str | bytes) -> dict[str, Any]:
        try:
            found = from_json(mark)
        except CorruptRecord:
            found = None
        if not isinstance(found, dict):
            raise CorruptRecord(f"{self._label}, field {group.name!r}: {mark!r:.80} is no {group.model.__name__}")
        return found

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
        texts = as_text_keys(hash)
        values = self.from_hash(texts)
        known = {self._keys[name]: value for name, value in values.items() if name in self._keys}
        if self.model.model_config.get("extra") == "allow":
            known |= {name: value for name, value in values.items() if name not in self._keys}
        try:
            made = self.model.model_validate(known)
        except ValidationError as problem:
            if not all(error["type"] == "missing" and len(error["loc"]) == 1 for error in problem.errors()):
                first = problem.errors(include_url=False, include_context=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                raise CorruptRecord(
                    f"{self._label} record {values.get('id', '')!r}, field {where!r}: {first['msg']}"
                ) from problem
            made = self.model.model_construct(**known)
        remember(made, Origin(self.entity, texts))
        return made

    def partial(self, hash: Hash, names: tuple[str, ...]) -> BaseModel:
        """Read some fields as an instance of a model that has just these, each None where the record has none.

        A nested model's field is where it is in the model: `part.address.city`.
        """
        values = self.from_hash(hash, names)
        made = self._partials.get(names)
        if made is None:
            made = self._partials[names] = self._partial_model(names)
        shaped: dict[str, Any] = {}
        for name, value in values.items():
            *above, last = name.lstrip("_").split(".")
            into = shaped
            for step in above:
                into = into.setdefault(step, {})
            into[last] = value
        return made.model_validate(shaped)

    def _partial_model(self, names: tuple[str, ...], within: str = "") -> type[BaseModel]:
        shape: dict[str, Any] = {}
        nested: dict[str, list[str]] = {}
        for name in names:
            plain = name.lstrip("_")
            first, dot, _ = plain[len(within) :].partition(".")
            if dot:
                nested.setdefault(first, []).append(name)
                continue
            if first in shape:
                raise QueryInvalid(f"{name!r} and {plain!r} cannot be selected together")
            place = self._layout.places.get(name)
            annotation: Any = place[0].model_fields[place[1]].annotation if place else Any
            shape[first] = (annotation | None, None)
        for first, its in nested.items():
            if first in shape:
                raise QueryInvalid(f"{within + first!r} and its field {its[0]!r} cannot be selected together")
            shape[first] = (self._partial_model(tuple(its), f"{within}{first}."), ...)
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
    return Schema(entity, model, lay_out(model))


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
        source = str(one["identifier"])
        path = source if attribute_of(source) == name else name
        columns[path] = Column(path, name, source, codec, option)
    return Schema(entity, None, Layout(columns, key="id"))


def as_text_keys(hash: Hash) -> dict[str, Any]:
    """The same fields with `str` names."""
    return {name.decode() if isinstance(name, bytes) else name: value for name, value in hash.items()}


@lru_cache(maxsize=1024)
def _can_assign(model: type[BaseModel]) -> bool:
    """Whether one field can be checked by itself: a validator of the whole model must not see half of one."""
    return not model.__pydantic_decorators__.model_validators and not model.model_config.get("frozen")
