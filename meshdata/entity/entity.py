"""What `connect` gives back: an entity to call like the function it stands for, through the mesh."""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

from meshdata.call.handle import HookHandle
from meshdata.entity.registry import Connected, Registry
from meshdata.values import check_entity

P = ParamSpec("P")
R = TypeVar("R")


class Door(Protocol):
    """What an entity asks of the mesh it belongs to."""

    @property
    def exec(self) -> Callable[..., Coroutine[Any, Any, Any]]: ...
    @property
    def hook(self) -> Callable[..., Coroutine[Any, Any, HookHandle]]: ...
    @property
    def connect(self) -> Callable[..., Any]: ...
    @property
    def registry(self) -> Registry: ...
    async def served(self, name: str) -> None: ...


class Entity(Generic[P, R]):
    """A connected function. `await entity` waits until this process serves it; `await entity(...)` calls it."""

    def __init__(self, door: Door, connected: Connected) -> None:
        self._door = door
        self.connected = connected

    @property
    def entity_name(self) -> str:
        """The name it is connected under."""
        return self.connected.name

    @property
    def registry(self) -> Registry:
        """What its mesh knows of entities and their models; for tools."""
        return self._door.registry

    def __repr__(self) -> str:
        return f"Entity({self.entity_name!r})"

    def __await__(self) -> Generator[Any, None, "Entity[P, R]"]:
        return self._until_served().__await__()

    async def _until_served(self) -> "Entity[P, R]":
        await self._door.served(self.entity_name)
        return self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return self._door.exec(entity=self.entity_name, args=list(args), kwargs=kwargs)

    def options(self, **options: Any) -> Callable[P, Coroutine[Any, Any, R]]:
        """The same call with options of `exec`: `await user.options(id="jsmith", ttl="15 minutes")("jsmith")`."""

        def call(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            return self._door.exec(entity=self.entity_name, args=list(args), kwargs=kwargs, **options)

        return call

    def hook(self, name: str, **options: Any) -> "Callable[[Callable[P2, Any]], Hook[P2]]":
        """Connect a function as the hook `<entity>.<name>`: `@user.hook("bill")`, then `await bill.on("jsmith", …)`."""

        def connect(fn: Callable[..., Any]) -> Any:
            full = check_entity(f"{self.entity_name}.{name}", argument="name")
            return Hook(self, self._door.connect(full, fn, **options), self._door)

        return cast("Callable[[Callable[P2, Any]], Hook[P2]]", connect)


P2 = ParamSpec("P2")


class Hook(Generic[P2]):
    """A hook of an entity."""

    def __init__(self, owner: Entity[..., Any], entity: Entity[P2, Any], door: Door) -> None:
        self._owner = owner
        self._entity = entity
        self._door = door
        self.entity_name = entity.entity_name

    def __repr__(self) -> str:
        return f"Hook({self.entity_name!r})"

    def __await__(self) -> Generator[Any, None, "Hook[P2]"]:
        return self._until_served().__await__()

    async def _until_served(self) -> "Hook[P2]":
        await self._entity
        return self

    def on(self, id: str, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, HookHandle]:
        """Run it on the record of that id. Await the handle for what it returned."""
        return self._door.hook(
            entity=self._owner.entity_name, id=id, hook_entity=self.entity_name, args=list(args), kwargs=kwargs
        )
