"""Classes whose methods are served: what a mesh is told of one, and the entities several versions of which it knows."""

from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from meshdata.entity.registry import Connected, Registry
from meshdata.errors import InvalidOptions
from meshdata.search.record import Record


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class tells of itself.

    Attributes:
        model: the class, a pydantic one.
        entity: whose records its instances are; version: "" for none.
        functions: its methods, to be served; methods of one entity and different versions have topics of their own.
        parts: entities of jobs that are parts of its own, with records of the same fields.
    """

    model: type[BaseModel]
    entity: str
    version: str
    functions: Sequence[Connected] = ()
    parts: Sequence[str] = ()

    @property
    def key(self) -> str:
        """What a mesh knows it by."""
        return key_of(self.entity, self.version)


def key_of(entity: str, version: str) -> str:
    """What a mesh knows a class by; no name of an entity has a space."""
    return f"{entity} {version}"


class ServableClass(Protocol):
    """A class that can be registered with a mesh."""

    def __mesh_kind__(self, mesh: Any, /) -> Kind: ...
    def __mesh_bind__(self, mesh: Any, /) -> None: ...


class Registration:
    """Classes that a mesh has been told of: await it to be sure that they are served."""

    def __init__(self, served: Callable[[str], Coroutine[Any, Any, None]], keys: Sequence[str]) -> None:
        self._served = served
        self._keys = keys

    def __await__(self) -> Generator[Any, None, None]:
        return self._until_served().__await__()

    async def _until_served(self) -> None:
        for key in self._keys:
            await self._served(key)


@dataclass(slots=True)
class Classes:
    """The classes a mesh knows, by entity and version."""

    registry: Registry
    served: dict[str, Kind] = field(default_factory=dict)
    _versions: dict[str, dict[str, Kind]] = field(default_factory=dict)

    def take(self, kind: Kind, *, serve: bool) -> str:
        """Take in a class; the fields of all versions of its entity are those of its records from now on.

        Returns:
            Its key.

        Raises:
            InvalidOptions: the version is another class's, a field is of another type in another version, or a name is
                that of a connected function.
        """
        versions = {**self._versions.get(kind.entity, {})}
        known = versions.setdefault(kind.version, kind)
        if known.model is not kind.model:
            version = f" {kind.version}" if kind.version else ""
            raise InvalidOptions(
                f"{kind.entity!r}{version} is {known.model.__name__} here, and cannot be {kind.model.__name__} too; "
                "give one of them another version",
                argument="classes",
            )
        common = None if len(versions) == 1 else common_model([one.model for one in versions.values()])
        self.registry.learn(kind.model, kind.entity)
        if common is not None:
            self.registry.share(common, kind.entity)
        self.registry.parts |= dict.fromkeys(kind.parts, kind.entity)
        if serve:
            for function in kind.functions:
                self.registry.add(function)
            self.served[kind.key] = kind
        self._versions[kind.entity] = versions
        return kind.key

    def refuse(self, entity: str) -> None:
        """Refuse a call of an entity that is a class: it has methods, and no function of its own name.

        Raises:
            InvalidOptions: it names them.
        """
        kinds = self._versions.get(entity)
        if kinds:
            known = next(iter(kinds.values()))
            raise InvalidOptions(
                f"{entity!r} is the class {known.model.__name__}; call one of its methods: "
                f"{', '.join(one.name for one in known.functions)}",
                argument="entity",
            )


def common_model(models: Sequence[type[BaseModel]]) -> type[BaseModel]:
    """One model with the fields of several; what only some of them need may be missing.

    Raises:
        InvalidOptions: two of them have a field of one name and different types.
    """
    shape: dict[str, Any] = {}
    for model in models:
        for name, info in model.model_fields.items():
            known = shape.get(name)
            if known is not None and not _same_type(known[1], info):
                raise InvalidOptions(
                    f"{model.__name__} has it otherwise than another version: the records of all versions are one "
                    "entity's, and a field is of one type in them; name the new one differently",
                    argument=name,
                )
            shape.setdefault(name, (info.annotation, info))
    for name, (annotation, info) in shape.items():
        if info.is_required() and not all(name in model.model_fields for model in models):
            shape[name] = (annotation | None, FieldInfo.merge_field_infos(info, default=None))
    made: type[BaseModel] = create_model(models[-1].__name__, __base__=Record, **shape)
    return made


def _same_type(one: FieldInfo, other: FieldInfo) -> bool:
    return one.annotation == other.annotation and one.metadata == other.metadata
