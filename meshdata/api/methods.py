"""Methods of `MeshData` that may be called from outside: their parameters, as pydantic reads them, and what they do.

A method is a coroutine function here: first the mesh, then what a request names. Its signature is the contract: it
checks requests, and the OpenAPI document is made from it.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel

from meshdata.api.parameters import parameters_of
from meshdata.api.question import aggregate_of, find_of
from meshdata.call.why import why as sentences
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData

JsonDuration = str | int | float
"""Seconds, or a text such as "15 minutes"."""

WAIT: Final = 30
"""Seconds a call waits for a result, where it does not say. The job goes on after them."""


@dataclass(frozen=True, slots=True)
class Started:
    """What was begun and not waited for."""

    entity: str
    id: str


@dataclass(frozen=True, slots=True)
class Method:
    """One method: what it is called, what it takes, whether it changes anything."""

    name: str
    call: Callable[..., Awaitable[Any]]
    writes: bool
    parameters: type[BaseModel]

    @property
    def says(self) -> str:
        """What it does, for the document."""
        return inspect.getdoc(self.call) or ""


METHODS: Final[dict[str, Method]] = {}


def named(method: Method, data: Any) -> dict[str, Any]:
    """The arguments of a call, which come as an object, or as a list in the order of the method's parameters."""
    if isinstance(data, Mapping):
        return dict(data)
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise InvalidOptions("a list of arguments, or an object of named ones", argument="data")
    names = list(method.parameters.model_fields)
    if len(data) > len(names):
        raise InvalidOptions(f"{method.name} takes {len(names)} arguments, not {len(data)}", argument="data")
    return dict(zip(names, data, strict=False))


def method_of(name: str) -> Method | None:
    """A method by its name, in our spelling or the reference family's (rollCall for roll_call)."""
    return METHODS.get(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def _reads(fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    return _add(fn, writes=False)


def _writes(fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    return _add(fn, writes=True)


def _add(fn: Callable[..., Awaitable[Any]], *, writes: bool) -> Callable[..., Awaitable[Any]]:
    name = fn.__name__.rstrip("_")
    METHODS[name] = Method(name, fn, writes, parameters_of(fn, skip=1))
    return fn


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


# --- jobs -------------------------------------------------------------------------------------------------------------


@_writes
async def exec_(
    mesh: MeshData,
    entity: str,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    id: str | None = None,
    ttl: JsonDuration | None = None,
    wait: bool = True,
    timeout: JsonDuration = WAIT,
    flush: bool = False,
    retry_failed: bool = False,
    state: dict[str, Any] | None = None,
    hookable: bool | None = None,
    queue: str | None = None,
    conflict: Literal["attach", "fail", "restart"] | None = None,
    pending: JsonDuration | None = None,
    delay: JsonDuration | None = None,
) -> Any:
    """Execute an entity's function in whatever process serves it, and give what it returned."""
    found = await mesh.exec(
        entity, args or (), kwargs, id=id, ttl=ttl, wait=wait, timeout=timeout if wait else None, flush=flush,
        retry_failed=retry_failed, state=state, hookable=hookable, queue=queue, conflict=conflict, pending=pending,
        delay=delay,
    )  # fmt: skip
    return found if wait and pending is None else Started(found.entity, found.id)


@_writes
async def hook(
    mesh: MeshData,
    entity: str,
    id: str,
    hook_entity: str,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    wait: bool = True,
    timeout: JsonDuration = WAIT,
    queue: str | None = None,
) -> Any:
    """Run a further function on a living job, sharing its record, and give what it returned."""
    handle = await mesh.hook(entity, id, hook_entity, args or (), kwargs, queue=queue)
    return await handle.result(timeout) if wait else Started(entity, id)


@_writes
async def signal(mesh: MeshData, key: str, payload: Any = None, id: str | None = None) -> bool:
    """Send a payload to the first who waits on a key; it is kept if nobody does. True if a waiter took it."""
    return await mesh.signal(key, payload, id=id)


@_writes
async def interrupt(
    mesh: MeshData,
    entity: str,
    id: str,
    reason: str | None = None,
    code: int = 410,
    descend: bool = True,
    throw: bool = True,
    suppress: bool = False,
) -> bool:
    """End a job now, wherever it runs."""
    return await mesh.interrupt(entity, id, reason=reason, code=code, descend=descend, throw=throw, suppress=suppress)


@_writes
async def cancel(mesh: MeshData, entity: str, id: str, reason: str | None = None) -> bool:
    """Ask a job to end itself; it may clean up. False if it was over."""
    return await mesh.cancel(entity, id, reason)


@_writes
async def resume(mesh: MeshData, entity: str, id: str) -> bool:
    """Start a job that is reserved, or was to start later. False if it has begun before."""
    return await mesh.resume(entity, id)


@_writes
async def flush(mesh: MeshData, entity: str, id: str) -> bool:
    """Remove a job, its record and all it left. True if there was anything."""
    return await mesh.flush(entity, id)


@_reads
async def result(mesh: MeshData, entity: str, id: str, timeout: JsonDuration = WAIT) -> Any:
    """What a job's function returned; waits for it."""
    return await mesh.handle(entity, id).result(timeout)


@_reads
async def info(mesh: MeshData, entity: str, id: str) -> Any:
    """How a job stands."""
    return _plain(await mesh.info(entity, id))


@_reads
async def status(mesh: MeshData, entity: str, id: str) -> str:
    """The status of a job, in one word."""
    return (await mesh.info(entity, id)).status


@_reads
async def why(mesh: MeshData, entity: str, id: str) -> list[str]:
    """What a job waits for and why, in sentences."""
    return await sentences(mesh.store, entity, id)


@_reads
async def export(
    mesh: MeshData,
    entity: str,
    id: str,
    allow: list[str] | None = None,
    block: list[str] | None = None,
    values: bool = True,
) -> Any:
    """All there is to tell of a job, as one document."""
    return await mesh.export(entity, id, allow=allow, block=block, values=values)


# --- records ----------------------------------------------------------------------------------------------------------


@_reads
async def get(mesh: MeshData, entity: str, id: str, names: list[str] | None = None) -> dict[str, Any]:
    """A record's fields, or some of them."""
    return await mesh.get(entity, id, *names or ())


@_reads
async def exists(mesh: MeshData, entity: str, id: str) -> bool:
    """Whether there is a record."""
    return await mesh.exists(entity, id)


@_writes
async def create(mesh: MeshData, entity: str, id: str, fields: dict[str, Any], ttl: JsonDuration | None = None) -> int:
    """Make a record without a job. The number of fields."""
    return await mesh.create(entity, id, fields, ttl=ttl)


@_writes
async def set_(
    mesh: MeshData, entity: str, id: str, fields: dict[str, Any], create: bool = True, expected_rev: int | None = None
) -> int:
    """Write fields of a record, whether it is there or not. The number of new fields."""
    return await mesh.set(entity, id, fields, create=create, expected_rev=expected_rev)


@_writes
async def update(mesh: MeshData, entity: str, id: str, fields: dict[str, Any], expected_rev: int | None = None) -> int:
    """Change fields of a record that is there. How many were written or taken away."""
    return await mesh.update(entity, id, fields, expected_rev=expected_rev)


@_writes
async def incr(mesh: MeshData, entity: str, id: str, field: str, by: int | float = 1) -> int | float:
    """Add to a number. The new value."""
    return await mesh.incr(entity, id, field, by)


@_writes
async def mult(mesh: MeshData, entity: str, id: str, field: str, by: int | float) -> int | float:
    """Multiply a number. The new value."""
    return await mesh.mult(entity, id, field, by)


@_writes
async def append(mesh: MeshData, entity: str, id: str, field: str, values: list[Any]) -> int:
    """Add values to a list or set. How many are new."""
    return await mesh.append(entity, id, field, *values)


@_writes
async def remove(mesh: MeshData, entity: str, id: str, field: str, values: list[Any]) -> int:
    """Take values out of a list or set. How many went."""
    return await mesh.remove(entity, id, field, *values)


@_writes
async def delete(mesh: MeshData, entity: str, id: str, names: list[str] | None = None) -> int:
    """Take fields away; without names, remove a record that no job made."""
    return await mesh.delete(entity, id, *names or ())


# --- search -----------------------------------------------------------------------------------------------------------


@_reads
async def count(mesh: MeshData, entity: str, where: list[dict[str, Any]] | None = None) -> int:
    """How many records meet the conditions."""
    return await find_of(mesh, entity, where=where).count()


@_reads
async def ids(
    mesh: MeshData, entity: str, where: list[dict[str, Any]] | None = None, sort: list[str] | None = None,
    limit: int = 20, offset: int = 0,
) -> list[str]:  # fmt: skip
    """The ids of the records that meet the conditions."""
    return await find_of(mesh, entity, where=where, sort=sort, limit=limit, offset=offset).ids()


@_reads
async def aggregate(
    mesh: MeshData, entity: str, where: list[dict[str, Any]] | None = None, group_by: list[str] | None = None,
    reduce: dict[str, str] | None = None, sort: list[str] | None = None, limit: int = 20,
) -> Any:  # fmt: skip
    """Figures over records, grouped."""
    return await aggregate_of(mesh, entity, where=where, group_by=group_by, reduce=reduce, sort=sort, limit=limit)


@_reads
async def list_indexes(mesh: MeshData) -> Any:
    """The indexes of the namespace."""
    return [_plain(one) for one in await mesh.list_indexes()]


@_writes
async def create_index(mesh: MeshData, entity: str) -> bool:
    """Build the index of an entity that has a model here, or change it to fit. Whether there was anything to do."""
    schema = mesh.registry.schemas.get(entity)
    if schema is None or schema.model is None:
        raise InvalidOptions(f"no model of {entity!r} is known to this process", argument="entity")
    return await mesh.create_index(schema.model, entity=entity)


@_writes
async def drop_index(mesh: MeshData, entity: str) -> bool:
    """Remove an index; the records stay."""
    return await mesh.drop_index(entity)


# --- schedules, the namespace -----------------------------------------------------------------------------------------


@_reads
async def schedules(mesh: MeshData, entity: str | None = None) -> Any:
    """How schedules stand."""
    return [_plain(one) for one in await mesh.schedules(entity)]


@_writes
async def pause_schedule(mesh: MeshData, entity: str, id: str) -> bool:
    """Start nothing more until it is resumed."""
    return await mesh.pause_schedule(entity, id)


@_writes
async def resume_schedule(mesh: MeshData, entity: str, id: str) -> bool:
    """Go on with the next slot."""
    return await mesh.resume_schedule(entity, id)


@_writes
async def unschedule(mesh: MeshData, entity: str, id: str) -> bool:
    """End a schedule; a run that is under way goes on."""
    return await mesh.unschedule(entity, id)


@_writes
async def publish(mesh: MeshData, message: dict[str, Any]) -> None:
    """Tell every process of the namespace that listens just now."""
    await mesh.publish(message)


@_reads
async def health(mesh: MeshData) -> Any:
    """Whether the process that answers does its part."""
    return _plain(await mesh.health())
