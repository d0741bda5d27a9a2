"""Methods that are workflows or hooks: what `@workflow.run` and `@workflow.hook` make of the methods of a class.

    class Order(MeshOS, entity="order"):
        @workflow.run
        async def create(self, quantity: int) -> str: ...

        @workflow.hook
        async def incr_quantity(self, by: int) -> None: ...

A method knows where its calls go once its class has an entity (`placed`). Called in a workflow it is a child or a hook;
called from anywhere else it asks its object, which knows a mesh (`Owner`).
"""

import copy
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, Self, TypedDict, TypeVar, Unpack, overload

from meshdata.engine.info import JobInfo
from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions, UsageError
from meshdata.values import Duration
from meshdata.workflow.child import check_retry, exec_child, ttl_text
from meshdata.workflow.child import hook as hook_verb
from meshdata.workflow.context import current_run, durable_codes, running
from meshdata.workflow.function import Function
from meshdata.workflow.home import Home, decoder_of, topic_of
from meshdata.workflow.starting import Conflict, ParentClose

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class RunOptions(TypedDict, total=False):
    """What a workflow method may be told.

    Attributes:
        retry: how often a failed run is repeated; by default it is not.
        ttl: how long its result is kept and hooks are accepted after its end; by default as its class says.
        concurrency: how many runs of it a process works on at once.
    """

    retry: RetryPolicy | None
    ttl: Duration | None
    concurrency: int | None


class HookOptions(TypedDict, total=False):
    """What a hook method may be told; see `RunOptions`."""

    retry: RetryPolicy | None
    concurrency: int | None


class CallOptions(TypedDict, total=False):
    """What one call of a workflow method may say; see `MeshData.exec`. In a workflow the last five are refused.

    Attributes:
        parent_close: in a workflow, what becomes of the child when its parent ends.
    """

    ttl: Duration | None
    retry: RetryPolicy | None
    state: Mapping[str, Any] | None
    conflict: Conflict | None
    delay: Duration | None
    parent_close: ParentClose
    timeout: Duration | None
    pending: Duration | None
    flush: bool
    retry_failed: bool
    hookable: bool | None


class Began(Protocol[R_co]):
    """One run of a hook method; await it for what the method returned."""

    @property
    def job_id(self) -> str: ...
    def __await__(self) -> Generator[Any, None, R_co]: ...
    async def result(self, timeout: Duration | None = None) -> R_co: ...
    async def cancel(self, reason: str | None = None) -> bool: ...


class BeganJob(Began[R_co], Protocol[R_co]):
    """The job of a workflow method: what `call.handle.Handle` can do, with the method's type."""

    id: str

    async def status(self) -> str: ...
    async def info(self) -> JobInfo: ...
    async def state(self, *names: str) -> dict[str, Any]: ...
    async def signal(self, key: str, payload: Any = None, *, id: str | None = None) -> bool: ...
    async def interrupt(self, **options: Any) -> bool: ...
    async def resume(self) -> bool: ...
    async def flush(self) -> bool: ...


class Owner(Protocol):
    """What an object does when one of its methods is called outside every workflow."""

    @property
    def id(self) -> str: ...
    def __mesh_call__(
        self, method: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], /
    ) -> Coroutine[Any, Any, Any]: ...
    def __mesh_begin__(
        self, method: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], /
    ) -> Coroutine[Any, Any, Any]: ...
    def __mesh_running__(self) -> bool:
        """Whether it stands for the job whose method this code is in."""


# --- calls ------------------------------------------------------------------------------------------------------------


class BoundRun(Generic[P, R]):
    """A workflow method of one object: `await order.create(1)`, `await order.create.start(1)` for a handle."""

    def __init__(self, owner: Owner, method: "RunMethod[Any, R]", options: CallOptions | None = None) -> None:
        self._owner = owner
        self._method = method
        self._options: CallOptions = options or {}

    def __repr__(self) -> str:
        return f"<{self._method!r} of {self._owner.id!r}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run it, or join the run there is, and give what it returns; in a workflow, as a child."""
        if running() is not None:
            return self._child(args, kwargs)
        return self._owner.__mesh_call__(self._method, args, kwargs, self._options)

    def _child(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Coroutine[Any, Any, R]:
        home, options = self._method.home, dict(self._options)
        if self._owner.__mesh_running__():
            # A part of the running job, not a further record of its entity: it has a name of its own.
            home = home.of(home.name)
        else:
            options["id"] = self._owner.id
        call: Coroutine[Any, Any, R] = exec_child(home, args, kwargs=kwargs, **options)  # type: ignore[call-overload]  # it checks the options
        return call

    async def start(self, *args: P.args, **kwargs: P.kwargs) -> BeganJob[R]:
        """Start it, or join the run there is, and go on: a handle. In a workflow that is `workflow.start_child`."""
        if running() is not None:
            raise UsageError(f"in a workflow a child is started by workflow.start_child({self._method!r}, ...)")
        began: BeganJob[R] = await self._owner.__mesh_begin__(self._method, args, kwargs, self._options)
        return began

    def options(self, **options: Unpack[CallOptions]) -> "BoundRun[P, R]":
        """The same method with options: `await order.create.options(ttl="1 day").start(1)`."""
        return BoundRun(self._owner, self._method, {**self._options, **options})


class BoundHook(Generic[P, R]):
    """A hook method of one object: `await order.incr_quantity(-1)`; `.start(-1)` for a handle."""

    def __init__(self, owner: Owner, method: "HookMethod[Any, R]", retry: RetryPolicy | None = None) -> None:
        self._owner = owner
        self._method = method
        self._retry = retry

    def __repr__(self) -> str:
        return f"<{self._method!r} of {self._owner.id!r}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R | None]:
        """Run it on the living job, and give what it returns. In a workflow it is as `workflow.hook`: this goes on as
        soon as the hook is accepted, with None."""
        if running() is not None:
            return self._accepted(args, kwargs)
        return self._owner.__mesh_call__(self._method, args, kwargs, {"retry": self._retry})

    def _accepted(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        home = self._method.home
        there = {} if self._owner.__mesh_running__() else {"id": self._owner.id, "entity": home.entity}
        return _nothing(hook_verb(home, args, kwargs=dict(kwargs), retry=self._retry, **there))

    async def start(self, *args: P.args, **kwargs: P.kwargs) -> Began[R]:
        """Run it on the living job and go on as soon as it is accepted: a handle."""
        if running() is not None:
            raise UsageError("in a workflow a hook is not awaited: call the method, or workflow.hook")
        began: Began[R] = await self._owner.__mesh_begin__(self._method, args, kwargs, {"retry": self._retry})
        return began

    def options(self, *, retry: RetryPolicy | None = None) -> "BoundHook[P, R]":
        """The same method with options."""
        return BoundHook(self._owner, self._method, retry)


async def _nothing(call: Coroutine[Any, Any, Any]) -> None:
    await call


durable_codes.add(_nothing.__code__)


# --- methods ----------------------------------------------------------------------------------------------------------


class Method(Generic[P, R]):
    """A method that runs as a job's function.

    Attributes:
        fn: the plain function, whose first parameter is the object: `Order.create.fn(order, 1)` calls it as it is.
        name: its name in the class.
    """

    role: ClassVar[str] = ""
    _bound: ClassVar[Callable[..., Any]]
    _home: Home | None = None

    def __init__(self, fn: Callable[..., Any], options: Mapping[str, Any] | None = None) -> None:
        if not inspect.isfunction(fn):
            raise InvalidOptions(f"a method is needed; got {fn!r}", argument=self.role or "fn")
        Function(fn, argument=self.role)
        if not inspect.signature(fn).parameters:
            raise InvalidOptions(f"{fn.__qualname__}() takes no self", argument=fn.__name__)
        allowed = RunOptions if self.role == "run" else HookOptions
        for name in options or {}:
            if name not in allowed.__annotations__:
                known = ", ".join(allowed.__annotations__)
                raise InvalidOptions(f"workflow.{self.role} has no option {name!r}; it has {known}", argument=name)
        self.fn = fn
        self.name = fn.__name__
        self.retry: RetryPolicy | None = (options or {}).get("retry")
        self.ttl: Duration | None = (options or {}).get("ttl")
        self.concurrency: int | None = (options or {}).get("concurrency")
        count: Any = self.concurrency
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise InvalidOptions(f"a whole number from 1 on is needed; got {count!r}", argument="concurrency")
        if self.retry is not None:
            check_retry(self.retry)
        if self.ttl is not None:
            ttl_text(self.ttl)
        functools.update_wrapper(self, fn)

    def __repr__(self) -> str:
        return self.fn.__qualname__

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Any: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if not hasattr(type(instance), "__mesh_call__"):
            raise UsageError(f"{self!r} is a method of a class that is no MeshOS: class ...(MeshOS, entity=...)")
        current = getattr(type(instance), self.name)
        if not isinstance(current, Method) or current.fn is not self.fn:
            # Overridden: only `super().create(...)` comes here, and means the code of the class above, in place.
            return functools.partial(self.fn, instance)
        return type(self)._bound(instance, current)

    def __call__(self, instance: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self.__get__(instance)(*args, **kwargs)

    @property
    def home(self) -> Home:
        """Where its calls go.

        Raises:
            UsageError: its class has no entity, so that no job can be one of its.
        """
        if self._home is None:
            raise UsageError(f"{self!r} belongs to a class without an entity; call it on a class that names one")
        return self._home

    @property
    def function(self) -> Function:
        """What a worker runs: the method, on an object for the job it runs in."""
        assert self.home.function is not None
        return self.home.function

    def like(self, fn: Callable[..., Any]) -> Self:
        """A method of the same role and options around another function: one that overrides it."""
        made = type(self)(fn)
        made.retry, made.ttl, made.concurrency = self.retry, self.ttl, self.concurrency
        return made

    def placed(self, entity: str, version: str, of_job: Callable[[str], Any]) -> Self:
        """The method as one of a class with an entity.

        Args:
            version: the class's, "" for none: its calls arrive on topics of their own.
            of_job: makes the object for a running job of its id.
        """
        name = f"{entity}.{self.name}"
        function = Function(_on_object(self.fn, of_job), name)
        made = copy.copy(self)
        made._home = Home(entity, name, topic_of(name, version or None), decoder_of(function), function)
        return made


class RunMethod(Method[P, R]):
    """A method that is a workflow; made by `@workflow.run`."""

    role = "run"
    _bound = BoundRun

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> BoundRun[P, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return super().__get__(instance, owner)


class HookMethod(Method[P, R]):
    """A method that is a hook; made by `@workflow.hook`."""

    role = "hook"
    _bound = BoundHook

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> BoundHook[P, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return super().__get__(instance, owner)


def _on_object(fn: Callable[..., Any], of_job: Callable[[str], Any]) -> Callable[..., Any]:
    """The method without its first parameter: the object is made for the job it runs in, anew in each run."""

    def own() -> Any:
        return of_job(current_run("run").job.partition(":")[2])

    entered: Any
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def entered(*args: Any, **kwargs: Any) -> Any:
            return await fn(own(), *args, **kwargs)
    else:

        @functools.wraps(fn)
        def entered(*args: Any, **kwargs: Any) -> Any:
            return fn(own(), *args, **kwargs)

    signature = inspect.signature(fn)
    entered.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    return entered  # type: ignore[no-any-return]  # one of the two


# --- decorators -------------------------------------------------------------------------------------------------------


class DecoratesRun(Protocol):
    """A decorator that makes a method a workflow, with its types."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> RunMethod[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], R], /) -> RunMethod[P, R]: ...


class DecoratesHook(Protocol):
    """A decorator that makes a method a hook, with its types."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> HookMethod[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], R], /) -> HookMethod[P, R]: ...


@overload
def run(fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> RunMethod[P, R]: ...
@overload
def run(fn: Callable[Concatenate[Any, P], R], /) -> RunMethod[P, R]: ...
@overload
def run(**options: Unpack[RunOptions]) -> DecoratesRun: ...
def run(fn: Callable[..., Any] | None = None, /, **options: Unpack[RunOptions]) -> Any:
    """Make a method of a `MeshOS` class a workflow: `@workflow.run`, or `@workflow.run(...)` with `RunOptions`."""
    if fn is not None:
        return RunMethod[Any, Any](fn, options)
    return lambda function: RunMethod(function, options)


@overload
def hook(
    target: str, args: Sequence[Any] = (), *, kwargs: dict[str, Any] | None = None, id: str | None = None,
    entity: str | None = None, queue: str | None = None, retry: RetryPolicy | None = None,
) -> Coroutine[Any, Any, str]: ...  # fmt: skip
@overload
def hook(
    target: Callable[..., Any], args: Sequence[Any], *, kwargs: dict[str, Any] | None = None, id: str | None = None,
    entity: str | None = None, queue: str | None = None, retry: RetryPolicy | None = None,
) -> Coroutine[Any, Any, str]: ...  # fmt: skip
@overload
def hook(fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> HookMethod[P, R]: ...
@overload
def hook(fn: Callable[Concatenate[Any, P], R], /) -> HookMethod[P, R]: ...
@overload
def hook(**options: Unpack[HookOptions]) -> DecoratesHook: ...
def hook(*given: Any, **options: Any) -> Any:
    """Run a hook function on a living job, by default this one; go on as soon as it is accepted.

    In the body of a `MeshOS` class it is a decorator instead: `@workflow.hook`, or `@workflow.hook(...)` with what
    `HookOptions` lists, makes a method a hook. A call with a function and nothing else is that outside a workflow, and
    the verb in one; `workflow.hook(fn, [])` is the verb for type checkers too.

    Args:
        target: the hook's name (`user.bill`), its function, or a hook method (`Order.incr_quantity`).
        args, kwargs: what it is called with.
        id, entity: the job; by default this one's, or another of this entity.
        queue: where the hook is served, if not where this job is, or under its own name.
        retry: how often a failed run of it is repeated.

    Returns:
        The hook's dimension.

    Raises:
        NotInWorkflow: it is not called in a workflow.
        JobNotFound: there is no such job; JobError: it takes no hooks, or no more.
    """
    if running() is None:
        if len(given) == 1 and not options and inspect.isfunction(given[0]):
            return HookMethod[Any, Any](given[0])
        if not given and "target" not in options and options.keys() <= HookOptions.__annotations__.keys():
            return lambda function: HookMethod(function, options)
    return hook_verb(*given, **options)


__all__ = ["HookMethod", "Method", "RunMethod", "hook", "run"]
