"""Methods on jobs, and calls without a job. Each is a method of the mesh in the words of JSON."""

from typing import Any, Literal

from meshdata.api.methods import WAIT, JsonDuration, Started, plain, reads, writes
from meshdata.call.why import why as sentences
from meshdata.mesh import MeshData
from meshdata.meshcall import MeshCall


@writes
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


@writes
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


@writes
async def signal(mesh: MeshData, key: str, payload: Any = None, id: str | None = None) -> bool:
    """Send a payload to the first who waits on a key; it is kept if nobody does. True if a waiter took it."""
    return await mesh.signal(key, payload, id=id)


@writes
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


@writes
async def cancel(mesh: MeshData, entity: str, id: str, reason: str | None = None) -> bool:
    """Ask a job to end itself; it may clean up. False if it was over."""
    return await mesh.cancel(entity, id, reason)


@writes
async def resume(mesh: MeshData, entity: str, id: str) -> bool:
    """Start a job that is reserved, or was to start later. False if it has begun before."""
    return await mesh.resume(entity, id)


@writes
async def flush(mesh: MeshData, entity: str, id: str) -> bool:
    """Remove a job, its record and all it left. True if there was anything."""
    return await mesh.flush(entity, id)


@reads
async def result(mesh: MeshData, entity: str, id: str, timeout: JsonDuration = WAIT) -> Any:
    """What a job's function returned; waits for it."""
    return await mesh.handle(entity, id).result(timeout)


@reads
async def info(mesh: MeshData, entity: str, id: str) -> Any:
    """How a job stands."""
    return plain(await mesh.info(entity, id))


@reads
async def status(mesh: MeshData, entity: str, id: str) -> str:
    """The status of a job, in one word."""
    return (await mesh.info(entity, id)).status


@reads
async def why(mesh: MeshData, entity: str, id: str) -> list[str]:
    """What a job waits for and why, in sentences."""
    return await sentences(mesh.store, entity, id)


@reads
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


@writes
async def call(
    mesh: MeshData,
    topic: str,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    id: str | None = None,
    ttl: JsonDuration | None = None,
    flush: bool = False,
    timeout: JsonDuration = WAIT,
) -> Any:
    """Call the function served under a topic, without a job; with an id its answer may be kept."""
    return await MeshCall(mesh).exec(topic, args or (), kwargs, id=id, ttl=ttl, flush=flush, timeout=timeout)


@writes
async def forget(mesh: MeshData, topic: str, id: str) -> bool:
    """Forget the answer of a call. True if there was one."""
    return await MeshCall(mesh).flush(topic, id=id)
