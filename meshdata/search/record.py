"""The base of models that name their entity and whose fields are expressions: `User.plan == "pro"`."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, overload

from pydantic import BaseModel
from pydantic._internal._model_construction import ModelMetaclass

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search.query import Field
from meshdata.search.schema import SYSTEM, Schema, schema_of
from meshdata.values import check_entity

# While pydantic builds a class it looks at its bases' attributes; a field must look absent then, as it does in any
# other model.
_building: ContextVar[bool] = ContextVar("building", default=False)


class Meta:
    """The system fields of every record, as expressions."""

    id = Field("_id", SYSTEM["_id"])
    status = Field("_status", SYSTEM["_status"])
    created = Field("_created", SYSTEM["_created"])
    updated = Field("_updated", SYSTEM["_updated"])
    ended = Field("_ended", SYSTEM["_ended"])
    error = Field("_error", SYSTEM["_error"])


meta = Meta()
"""`meta.status == "failed"`: conditions on system fields for models that are no `Record`, and for none at all."""


class RecordType(ModelMetaclass):
    """Answers `User.plan` with an expression. Instances are plain pydantic: they never come here."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        entity = kwargs.pop("entity", None)
        if entity is not None:
            check_entity(entity)
        token = _building.set(True)
        try:
            made = super().__new__(mcs, name, bases, namespace, **kwargs)
        finally:
            _building.reset(token)
        if entity is not None:
            type.__setattr__(made, "__entity__", entity)
        type.__setattr__(made, "__expressions__", {})  # of its own, not its base's: made as they are asked for
        return made

    if not TYPE_CHECKING:  # a checker should take User.plan for what the field is, and miss a wrong name

        def __getattr__(cls, name: str) -> Any:
            if not name.startswith("_") and not _building.get():
                if (known := cls.__expressions__.get(name)) is not None:
                    return known
                if name in cls.__pydantic_fields__:
                    made = cls.__expressions__[name] = field(cls, name)
                    return made
                if name == "meta":
                    return meta
                raise AttributeError(_no_field(cls.__name__, name, cls.__pydantic_fields__), name=name, obj=cls)
            return super().__getattr__(name)


class Record(BaseModel, metaclass=RecordType):
    """A model of an entity's records: `class User(Record, entity="user")`."""

    __entity__: ClassVar[str] = ""

    if TYPE_CHECKING:
        meta: ClassVar[Meta]

        def __init_subclass__(cls, *, entity: str = "", **kwargs: Any) -> None: ...


class Nested:
    """A nested model as an expression: its fields are asked by name, `User.address.city == "x"`."""

    __slots__ = ("_model", "_path")
    __hash__ = None  # type: ignore[assignment]  # as a field's

    def __init__(self, model: type[BaseModel], path: str) -> None:
        self._model = model
        self._path = path

    def __repr__(self) -> str:
        return f"field({self._path!r})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        group = _schema_of(self._model).groups[self._path]
        if name not in group.parts:
            raise AttributeError(
                _no_field(f"{self._model.__name__}.{self._path}", name, group.parts), name=name, obj=self
            )
        return field(self._model, group.parts[name])

    def _refuse(self, other: object) -> Any:
        fields = ", ".join(_schema_of(self._model).groups[self._path].parts.values())
        raise QueryInvalid(f"{self._path} is a model; compare one of its fields: {fields}")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse


@overload
def field(model: str) -> Field: ...
@overload
def field(model: type[BaseModel], name: str) -> Any: ...
def field(model: type[BaseModel] | str, name: str | None = None) -> Any:
    """A field as an expression: `field(User, "plan")` of any pydantic class, `field("plan")` where there is no model.

    A field of a nested model is `field(User, "address.city")`.

    Raises:
        InvalidOptions: the model has no such field.
    """
    if isinstance(model, str):
        return Field(model, SYSTEM.get(model))
    schema = _schema_of(model)
    if name in schema.groups:
        return Nested(model, name)
    if name is None or name not in schema.fields:
        raise InvalidOptions(f"{model.__name__} has no field {name!r}", argument="name")
    return Field(name, schema.column(name))


def _schema_of(model: type[BaseModel]) -> Schema[Any]:
    entity = getattr(model, "__entity__", "") or model.__name__
    return schema_of(model, _plain(entity))


def _no_field(where: str, name: str, fields: Iterable[str]) -> str:
    near = get_close_matches(name, list(fields), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(fields)}"
    return f"{where} has no field {name!r}; {hint}"


def _plain(entity: str) -> str:
    # a generic model's name has brackets, which no entity has; the name is only a key here
    return entity.split("[")[0]
