"""Databases, their namespaces, and the classes in each: opened together, found by name, told of as a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from meshdata.errors import EntityNotFound, InvalidOptions, UsageError
from meshdata.mesh import MeshData, Url
from meshdata.meshos.model import MeshOS
from meshdata.meshos.records import ClassRecords
from meshdata.search.schema import schema_of
from meshdata.values import check_entity


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of a database.

    Attributes:
        name: the namespace's.
        classes: the classes whose records it holds; the first is the one meant where none is named.
        label: what people are told it is.
    """

    name: str
    classes: Sequence[type[MeshOS]]
    label: str = ""

    def __post_init__(self) -> None:
        check_entity(self.name, argument="name")
        for one in self.classes:
            if not isinstance(one, type) or not issubclass(one, MeshOS) or not one.__entity__:
                raise InvalidOptions(f"a MeshOS class with an entity is needed; got {one!r}", argument="classes")


@dataclass(frozen=True, slots=True)
class Profile:
    """A database: a Redis, and what lives on it.

    Attributes:
        name: what it is asked for by.
        url: where it is, as `MeshData` takes it; it is in no manifest.
        namespaces: what is on it.
        label: what people are told it is.
        options: further ones for `MeshData`.
        serve: False only reads and calls: other processes serve its classes.
    """

    name: str
    url: Url
    namespaces: Sequence[Namespace]
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    serve: bool = True

    def __post_init__(self) -> None:
        check_entity(self.name, argument="name")
        names = [one.name for one in self.namespaces]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InvalidOptions(f"{twice[0]!r} is there twice", argument="namespaces")


class Profiles:
    """Several databases, open together: `async with Profiles(main, archive) as profiles:`.

    Each class of each namespace is registered with the mesh of that namespace; a class may be in several.
    """

    def __init__(self, *profiles: Profile) -> None:
        self.profiles = {one.name: one for one in profiles}
        if len(self.profiles) < len(profiles):
            raise InvalidOptions("two profiles have one name", argument="profiles")
        self._meshes: dict[tuple[str, str], MeshData] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Profiles:
        async with AsyncExitStack() as stack:
            for profile in self.profiles.values():
                for namespace in profile.namespaces:
                    mesh = MeshData(profile.url, namespace=namespace.name, **profile.options)
                    await stack.enter_async_context(mesh)
                    await mesh.register(*namespace.classes, serve=profile.serve)
                    self._meshes[profile.name, namespace.name] = mesh
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meshes.clear()
        await self._stack.aclose()

    def __iter__(self) -> Iterator[ClassRecords[Any]]:
        """Every class of every namespace of every database."""
        for profile in self.profiles.values():
            for namespace in profile.namespaces:
                for one in namespace.classes:
                    yield one.on(self.mesh(profile.name, namespace.name))

    def mesh(self, database: str, namespace: str) -> MeshData:
        """The mesh of a namespace.

        Raises:
            InvalidOptions: there is no such database, or namespace in it; the message lists those there are.
            UsageError: they are not open.
        """
        self._namespace(database, namespace)
        mesh = self._meshes.get((database, namespace))
        if mesh is None:
            raise UsageError("the profiles are not open; use `async with Profiles(...) as profiles:`")
        return mesh

    def find_entity(self, database: str, namespace: str, entity: str = "") -> ClassRecords[Any]:
        """A class's records where they are.

        Args:
            entity: its name; one that ends in `*` is taken without that. Nothing, `*`, or a text that begins with "-"
                (an option of a command) stands for the first class of the namespace.

        Raises:
            InvalidOptions: there is no such database or namespace. EntityNotFound: there is no such entity in it.
        """
        mesh, classes = self.mesh(database, namespace), self._namespace(database, namespace).classes
        wanted = "" if entity.startswith("-") else entity.rstrip("*")
        for one in classes:
            if wanted in ("", one.__entity__):
                return one.on(mesh)
        known = ", ".join(one.__entity__ for one in classes)
        raise EntityNotFound(entity, f"There is no entity {entity!r} in {database}/{namespace}; there are: {known}.")

    def find_schemas(self, database: str, namespace: str) -> dict[str, dict[str, Any]]:
        """The fields of each entity of a namespace, as the manifest has them."""
        return {one.__entity__: _fields(one) for one in self._namespace(database, namespace).classes}

    def manifest(self) -> dict[str, Any]:
        """What there is, for a page or a service that lists it; no connection data.

        Returns:
            database name → {"db": {"name", "label", "search"}, "namespaces": name → {"name", "label", "entities":
            [{"name", "label", "version", "schema": field → {"type", ...}}]}}. `search` is whether the server has the
            search module; None while it is not open.
        """
        return {
            profile.name: {
                "db": {"name": profile.name, "label": profile.label or profile.name, "search": self._searches(profile)},
                "namespaces": {
                    one.name: {
                        "name": one.name,
                        "label": one.label or one.name,
                        "entities": list(map(_told, one.classes)),
                    }
                    for one in profile.namespaces
                },
            }
            for profile in self.profiles.values()
        }

    def _searches(self, profile: Profile) -> bool | None:
        meshes = [mesh for (database, _), mesh in self._meshes.items() if database == profile.name]
        return all(mesh.store.has_search for mesh in meshes) if meshes else None

    def _namespace(self, database: str, namespace: str) -> Namespace:
        profile = self.profiles.get(database)
        if profile is None:
            raise InvalidOptions(
                f"there is no database {database!r}; there are: {', '.join(self.profiles) or 'none'}",
                argument="database",
            )
        found = {one.name: one for one in profile.namespaces}
        if namespace not in found:
            raise InvalidOptions(
                f"there is no namespace {namespace!r} in {database!r}; there are: {', '.join(found) or 'none'}",
                argument="namespace",
            )
        return found[namespace]


def _told(one: type[MeshOS]) -> dict[str, Any]:
    label = (one.__doc__ or "").strip().partition("\n")[0] or one.__name__
    return {"name": one.__entity__, "label": label, "version": one.__version__, "schema": _fields(one)}


def _fields(one: type[MeshOS]) -> dict[str, Any]:
    """Field → how it is searched: the type of its index field, or None, and whether it can be sorted by."""
    schema = schema_of(one)
    return {
        name: {"type": column.kind, "sortable": bool(getattr(column.option, "sortable", False))}
        for name, column in schema.fields.items()
        if name != "id"
    }
