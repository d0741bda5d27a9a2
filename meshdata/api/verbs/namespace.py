"""Methods on what belongs to no record: schedules, processes, the bus."""

from typing import Any

from meshdata.api.methods import JsonDuration, plain, reads, writes
from meshdata.mesh import MeshData


@reads
async def schedules(mesh: MeshData, entity: str | None = None) -> Any:
    """How schedules stand."""
    return [plain(one) for one in await mesh.schedules(entity)]


@writes
async def pause_schedule(mesh: MeshData, entity: str, id: str) -> bool:
    """Start nothing more until it is resumed."""
    return await mesh.pause_schedule(entity, id)


@writes
async def resume_schedule(mesh: MeshData, entity: str, id: str) -> bool:
    """Go on with the next slot."""
    return await mesh.resume_schedule(entity, id)


@writes
async def unschedule(mesh: MeshData, entity: str, id: str) -> bool:
    """End a schedule; a run that is under way goes on."""
    return await mesh.unschedule(entity, id)


@writes
async def publish(mesh: MeshData, message: dict[str, Any]) -> None:
    """Tell every process of the namespace that listens just now."""
    await mesh.publish(message)


@reads
async def roll_call(mesh: MeshData, delay: JsonDuration = 1) -> Any:
    """Every process that serves something: what it is and how it stands."""
    return [plain(one) for one in await mesh.roll_call(delay)]


@writes
async def throttle(mesh: MeshData, ms: int, topic: str | None = None, process: str | None = None) -> None:
    """Slow down, hold (-1) or release (0) the taking in of messages."""
    await mesh.throttle(ms, topic=topic, process=process)


@reads
async def throttles(mesh: MeshData) -> Any:
    """The rates that are kept."""
    return plain(await mesh.throttles())


@reads
async def health(mesh: MeshData) -> Any:
    """Whether the process that answers does its part."""
    return plain(await mesh.health())
