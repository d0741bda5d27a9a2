"""How a model's fields lie in a record: one column each, those of a nested model flattened beside them; pure.

    class User(Record, entity="user"):          hash field      in the index
        plan: str                               plan            plan
        address: Address                        address.city    address__city

A nested model that holds nothing but defaults of None leaves no field behind; the group's own name then says that it is
there (`MARK`). Lists of models, unions of models, models that hold themselves, and those that write themselves in their
own way (extra fields, a serializer, a root) are one field of JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from meshdata.errors import InvalidOptions
from meshdata.search.codec import bare, codec_of
from meshdata.search.column import Column, column, geo_column
from meshdata.search.fields import Geo, Numeric, Option, Tag, Text, Vector
from meshdata.search.foreign import foreign_key, is_foreign_id, option_of_foreign

MARK = "{}"
"""Stored under a group's name where the nested model is there and has no field that is stored."""


@dataclass(frozen=True, slots=True)
class Group:
    """A nested model.

    Attributes:
        name: its path ("address", "address.place").
        model: its class.
        parts: its fields → their paths, which are columns or groups.
        keys: its fields → what its validation calls them.
    """

    name: str
    model: type[BaseModel]
    parts: dict[str, str]
    keys: dict[str, str]


@dataclass(slots=True)
class Layout:
    """Where everything is.

    Attributes:
        columns: path → column, of every field that is stored.
        groups: path → nested model.
        places: path → the class that has the field, and the field's name there.
        key: the field that is the record's id, "" if there is none.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    places: dict[str, tuple[type[BaseModel], str]] = field(default_factory=dict)
    key: str = ""

    def below(self, name: str) -> list[str]:
        """Every hash field of a name: itself, and for a group all that is below it."""
        if name not in self.groups:
            return [name]
        return [name, *(one for part in self.groups[name].parts.values() for one in self.below(part))]


def lay_out(model: type[BaseModel]) -> Layout:
    """The layout of a model.

    Raises:
        InvalidOptions: a field cannot be searched as annotated, or two would have one name in the index.
    """
    layout = Layout()
    for name, info in model.model_fields.items():
        _place(layout, model, name, info, "", (model,))
    taken: dict[str, str] = {}
    for path, one in layout.columns.items():
        for attribute in dict.fromkeys((one.attribute, one.exact_attribute)):
            if taken.setdefault(attribute, path) != path:
                raise InvalidOptions(
                    f"{model.__name__}: the index would call both {taken[attribute]!r} and {path!r} {attribute!r}",
                    argument=path,
                )
    return layout


def _place(
    layout: Layout, model: type[BaseModel], name: str, info: FieldInfo, prefix: str, above: tuple[type[BaseModel], ...]
) -> None:
    path = prefix + name
    layout.places[path] = (model, name)
    nested = _nested(info, above)
    if nested is None:
        layout.columns[path] = _column(model, path, name, info)
        if not prefix and (name == "id" or (is_foreign_id(info) and name == foreign_key(model))):
            layout.key = name
            if layout.columns[path].kind == "TAG" and layout.columns[path].codec.element is None:
                # a record's own id is stored and indexed as the system's _id; the model's field reads the same
                option = Tag(sortable=True)
                layout.columns[path] = Column(path, "_id", "_id", layout.columns[path].codec, option)
        return
    parts = {part: f"{path}.{part}" for part in nested.model_fields}
    keys = {part: key_of(part, its) for part, its in nested.model_fields.items()}
    layout.groups[path] = Group(path, nested, parts, keys)
    for part, its in nested.model_fields.items():
        _place(layout, nested, part, its, f"{path}.", (*above, nested))


def _nested(info: FieldInfo, above: tuple[type[BaseModel], ...]) -> type[BaseModel] | None:
    """The model whose fields become columns; None for any other annotation."""
    kind = bare(info.annotation)
    if not isinstance(kind, type) or not issubclass(kind, BaseModel) or issubclass(kind, RootModel):
        return None
    if not kind.__pydantic_complete__:
        kind.model_rebuild()
    decorators = kind.__pydantic_decorators__
    own_way = decorators.model_serializers or kind.model_config.get("extra") == "allow"
    if kind in above or own_way or not kind.model_fields or _option(info) is not None:
        return None
    return kind


def _column(model: type[BaseModel], path: str, name: str, info: FieldInfo) -> Column:
    option = _option(info)
    if option is None:
        option = option_of_foreign(model, name, info)
    if isinstance(option, Geo):
        return geo_column(path, info.annotation, option)
    codec = codec_of(info.annotation, option.separator if isinstance(option, Tag) else "\x1f")
    expected = {Tag: Tag, Text: Tag, Numeric: Numeric}.get(type(option), codec.kind)
    numbers_as_tags = isinstance(option, Tag) and codec.kind is Numeric
    words_of_a_list = isinstance(option, Text) and codec.element is not None
    if (option is not None and codec.kind is not expected and not numbers_as_tags) or words_of_a_list:
        raise InvalidOptions(
            f"{model.__name__}: a field of type {info.annotation} cannot be searched as {type(option).__name__}",
            argument=path,
        )
    if isinstance(option, Tag) and option.unique and codec.element is not None:
        raise InvalidOptions(f"{model.__name__}: a list cannot be unique, only a single value", argument=path)
    return column(path, codec, option)


def _option(info: FieldInfo) -> Option | None:
    for item in reversed(info.metadata):
        if isinstance(item, Tag | Text | Numeric | Geo | Vector):
            return item
        if isinstance(item, type) and item in (Tag, Text, Numeric, Geo):
            return item()  # `Annotated[str, Tag]`, as often written
    return None


def key_of(name: str, info: FieldInfo) -> str:
    """What a model's validation calls a field: its alias, where it has one."""
    if isinstance(info.validation_alias, str):
        return info.validation_alias
    return info.alias or name


def part_of(value: object, name: str) -> object:
    """One field of a nested model's instance, or of a mapping that stands for one."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
