"""The base of classes that are entities: fields, records, and durable methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast
from weakref import ref

from pydantic import ConfigDict
from pydantic import Field as PydanticField

from meshdata.call.caller import served_of
from meshdata.call.handle import Handle
from meshdata.entity.classes import Kind
from meshdata.entity.registry import Connected
from meshdata.errors import InvalidOptions, UsageError
from meshdata.mesh import MeshData
from meshdata.meshos.calls import Calls
from meshdata.meshos.declare import Durable, declare, durable_members
from meshdata.meshos.duals import Delete, Update
from meshdata.meshos.place import Place, place_of, reference
from meshdata.meshos.queued import queued
from meshdata.meshos.records import ClassRecords
from meshdata.opening import Address, Opening
from meshdata.search.aggregate import Aggregate
from meshdata.search.find import Find
from meshdata.search.record import Record, RecordType
from meshdata.values import Duration, check_entity, mint_id
from meshdata.workflow.activity import Activity
from meshdata.workflow.child import ttl_text
from meshdata.workflow.method import HookMethod, Method, RunMethod
from meshdata.workflow.state import State, state

FOREVER: Final = "infinity"
"""How long the record of a class's object is kept that names no ttl: until it is deleted."""


class MeshOSType(RecordType):
    """Reads the body of a class of entities; makes an object of an id alone a reference to its record."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        version, ttl = kwargs.pop("version", None), kwargs.pop("ttl", None)
        root = next((base for base in bases if isinstance(base, MeshOSType)), None)
        if root is not None:
            declare(name, bases, namespace, MeshOS)
        if version is not None:
            check_entity(version, argument="version")
        if ttl is not None:
            ttl_text(ttl)
        made = super().__new__(mcs, name, bases, namespace, **kwargs)
        type.__setattr__(made, "__meshes__", [])
        if version is not None:
            type.__setattr__(made, "__version__", version)
        if ttl is not None:
            type.__setattr__(made, "__ttl__", ttl)
        if made.__entity__:
            _place(made)
        return made

    if not TYPE_CHECKING:  # a checker knows the fields, and `of` for an id alone

        def __call__(cls, *args: Any, **values: Any) -> Any:
            if len(args) > 1 or (args and values):
                raise InvalidOptions(f"{cls.__name__} takes one id, or fields by their names", argument="id")
            if args or not values.keys() - {"id"}:
                return reference(cls, args[0] if args else values.get("id"))
            return super().__call__(**values)


def _place(cls: Any) -> None:
    """Give a class with an entity its own durable methods: their calls go to its entity, and its version."""

    def of_job(id: str) -> Any:
        return reference(cls, id, Place(is_job=True))

    for name, member in durable_members(cls).items():
        if isinstance(member, Method):
            type.__setattr__(cls, name, member.placed(cls.__entity__, cls.__version__, of_job))
        elif member.queue is not None:
            type.__setattr__(cls, name, queued(member, cls.__entity__, cls.__version__, of_job))
    type.__setattr__(cls, "__durable__", durable_members(cls))


class MeshOS(Record, metaclass=MeshOSType):
    """A class per entity: `class Order(MeshOS, entity="order", version="v1")`.

    Its annotated fields are those of its records, as with `Record`. `@workflow.run`, `@workflow.hook` and `@activity`
    make methods durable. Inside one, `self` stands for the running job: `self.id`, `self.state`, and calls of its other
    methods, which are children, hooks and activities. Elsewhere `Order(id="o1")`, or `Order.of("o1")`, stands for the
    record of that id, whether it is there or not.

    A class without an entity is a base for others: they have its fields and methods, and may override them.

    Class arguments:
        entity: whose records the class's are.
        version: versions of a class are served side by side: each has topics of its own; the records are one entity's.
        ttl: how long a job's result and record stay after its end, and hooks are accepted; by default until deleted.
        workflow_functions, hook_functions, proxy_functions: (in its body) names of methods, in place of decorators.
    """

    model_config = ConfigDict(ignored_types=(Method, Activity, Update, Delete))

    __version__: ClassVar[str] = ""
    __ttl__: ClassVar[Duration] = FOREVER
    __meshes__: ClassVar[
        list[ref[MeshData]]
    ] = []  # those it was registered with; its verbs work on the last that is open
    __durable__: ClassVar[Mapping[str, Durable]] = {}

    id: str = PydanticField(default_factory=mint_id)

    if TYPE_CHECKING:
        create = cast("Any", None)  # any type of its own fits: a class's first workflow is often called so

        def __init_subclass__(
            cls, *, entity: str = "", version: str = "", ttl: Duration = FOREVER, **kwargs: Any
        ) -> None: ...

    # --- the mesh -----------------------------------------------------------------------------------------------------

    @classmethod
    @asynccontextmanager
    async def served(cls, mesh: Address = None, **options: Any) -> AsyncIterator[MeshData]:
        """Serve the class, and let its verbs work: `async with Order.served(mesh):`.

        Args:
            mesh: an open one, which its owner closes, and which serves till then, or what `MeshData` takes.
            options: of that `MeshData`.
        """
        opening = Opening(mesh, **options)
        try:
            opened = await opening.opened()
            await opened.register(cls)
            yield opened
        finally:
            await opening.close()

    @classmethod
    def __mesh_kind__(cls, mesh: MeshData) -> Kind:
        """What `mesh.register(Order)` asks."""
        records = cls.on(mesh)
        methods = cls._methods()
        return Kind(
            cls,
            records.entity,
            cls.__version__,
            [
                Connected(
                    method.home.name, method.function, cls.__version__ or None, method.ttl or cls.__ttl__, method.retry,
                    method.concurrency, served_of(method, cls.__ttl__), records.entity,
                    isinstance(method, HookMethod),
                )
                for method in methods
            ],
            [method.home.name for method in methods if isinstance(method, RunMethod)],
        )  # fmt: skip

    @classmethod
    def __mesh_bind__(cls, mesh: MeshData) -> None:
        """The class was registered: its verbs work on that mesh from now on."""
        others = [one for one in cls.__meshes__ if one() is not None and one() is not mesh]
        cls.__meshes__[:] = [*others, ref(mesh)]

    @classmethod
    def _methods(cls) -> list[Method[Any, Any]]:
        return [member for member in cls.__durable__.values() if isinstance(member, Method)]

    @classmethod
    def on(cls, mesh: MeshData) -> ClassRecords[Self]:
        """The class's verbs on this mesh: `Order.on(mesh).find(...)`, `Order.on(mesh).of("o1").create(1)`."""
        return ClassRecords(cls, mesh)

    @classmethod
    def _records(cls) -> ClassRecords[Self]:
        return cls.on(cls._mesh())

    @classmethod
    def _mesh(cls) -> MeshData:
        known = [mesh for one in cls.__meshes__ if (mesh := one()) is not None]
        if not known:
            raise UsageError(
                f"{cls.__name__} belongs to no mesh yet; use mesh.register({cls.__name__}), or "
                f"`async with {cls.__name__}.served(mesh):`"
            )
        return next((one for one in reversed(known) if one.is_open), known[-1])

    # --- records ------------------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, id: str | None = None) -> Self:
        """The object of an id, whether or not there is a record; `Order(id="o1")` for type checkers. None: a new id."""
        return reference(cls, id)

    if not TYPE_CHECKING:  # see above

        @classmethod
        async def create(cls, fields: Any = None, /, *, ttl: Duration | None = None, **named: Any) -> Self:
            """Make a record without a job; see `ClassRecords.create`. Often overridden by a workflow."""
            return await cls._records().create(fields, ttl=ttl, **named)

    @classmethod
    async def get(cls, id: str) -> Self:
        """A record as an instance; see `ClassRecords.get`."""
        return await cls._records().get(id)

    @classmethod
    async def retrieve(cls, id: str, *, sparse: bool = False) -> dict[str, Any]:
        """A record as a dict; see `ClassRecords.retrieve`."""
        return await cls._records().retrieve(id, sparse=sparse)

    update = Update()
    """`Order.update("o1", {...})` changes a record; `order.update(...)` writes what was changed of an instance."""

    delete = Delete()
    """`Order.delete("o1")`, or `order.delete()`: remove a record, and its job if it has one."""

    @classmethod
    def find(cls, *conditions: Any) -> Find[Self]:
        """A query: `await Order.find(Order.status == "depleted")`; see `ClassRecords.find`."""
        return cls._records().find(*conditions)

    @classmethod
    async def count(cls, *conditions: Any) -> int:
        """How many records meet the conditions."""
        return await cls._records().count(*conditions)

    @classmethod
    def aggregate(cls, *conditions: Any, **request: Any) -> Aggregate:
        """Figures over the records; see `ClassRecords.aggregate`."""
        return cls._records().aggregate(*conditions, **request)

    # --- the job ------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Inside a method: the record of the running job, each change once. Its verbs are those of `workflow.state`."""
        return state

    @property
    def handle(self) -> Handle[Any]:
        """The object's job, which may or may not exist: status, result, signal, interrupt, export …"""
        return self._own_mesh().handle(type(self).__entity__, self.id)

    def __mesh_running__(self) -> bool:
        """Whether this is the `self` of a running method."""
        return place_of(self).is_job

    def _own_mesh(self) -> MeshData:
        return place_of(self).mesh or type(self)._mesh()

    def _calls(self) -> Calls:
        cls = type(self)
        runs = sum(isinstance(method, RunMethod) for method in cls._methods())
        return Calls(
            self._own_mesh(), cls.__entity__, self.id, version=cls.__version__, ttl=cls.__ttl__, is_alone=runs == 1
        )

    def __mesh_call__(
        self, method: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        """What a method does that is called outside every workflow."""
        return self._called(method, args, kwargs, options)

    async def _called(
        self, method: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        calls = self._calls()
        if isinstance(method, RunMethod):
            return await calls.run(method, args, kwargs, options)
        return await (await calls.hook(method, args, kwargs, options))

    async def __mesh_begin__(
        self, method: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """What `.start(...)` of a method does."""
        calls = self._calls()
        begin = calls.begin if isinstance(method, RunMethod) else calls.hook
        return await begin(method, args, kwargs, options)

    # --- fields that are not here -------------------------------------------------------------------------------------

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                cls = type(self).__name__
                raise AttributeError(
                    f"{name!r} of {cls} {self.id!r} was not read: in a method of it use "
                    f"`await self.state.get({name!r})`, elsewhere `await {cls}.get({self.id!r})`",
                    name=name,
                    obj=self,
                )
            return super().__getattr__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            if name in type(self).model_fields and self.__mesh_running__():
                raise UsageError(f"a method changes its record by `await self.state.set({name}=...)`")
            super().__setattr__(name, value)
