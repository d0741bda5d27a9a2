"""How an app's jobs stand: read from their state, by their ids."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from meshdata.errors import JobNotFound
from meshdata.graph.effects import job_of
from meshdata.graph.state import DATA, ERROR, METADATA, STATUS, UPDATED, metadata_of
from meshdata.graph.stream import JobOutput
from meshdata.store.store import Store
from meshdata.values import from_json, to_json

RESERVED: Final = -1
BEGUN: Final = 1
INTERRUPTED: Final = 1 - 1_000_000_000
STANDING: Final = {
    b"pending": RESERVED, b"delayed": RESERVED, b"interrupted": INTERRUPTED, b"failed": 0, b"completed": 0
}  # fmt: skip
"""The semaphore of a job whose trigger was not carried out, by its status; BEGUN of one that is queued."""


def payload_of(data: Any) -> Any:
    """Data as JSON holds them: models, dates and the like as plain values; None is an empty payload."""
    return {} if data is None else from_json(to_json(data, argument="data"))


def text_of(value: Any) -> str:
    """A field of a record or a marker, as text."""
    return value if isinstance(value, str) else to_json(value, argument="search").decode()


def not_found(id: str) -> JobNotFound:
    """There is no such job."""
    return JobNotFound(f"Job {id} not found", job_id=id)


async def status(store: Store, app: str, id: str) -> int:
    """A job's semaphore.

    Raises:
        JobNotFound: there is no such job.
    """
    job = job_of(app, id)
    found = (await store.graphs.fields(job, [STATUS]))[STATUS]
    if found is not None:
        return int(found)
    return _before(await store.header(f"0 {job}"), id)


async def state(store: Store, app: str, id: str) -> JobOutput:
    """A job's metadata and data.

    Raises:
        JobNotFound: there is no such job.
    """
    job = job_of(app, id)
    fields = await store.graphs.fields(job, [*METADATA, UPDATED, STATUS, ERROR, DATA])
    metadata = metadata_of(fields)
    if not metadata:
        return JobOutput({"jid": id, "app": app, "js": _before(await store.header(f"0 {job}"), id)})
    metadata |= {"ju": (fields[UPDATED] or b"").decode(), "js": int(fields[STATUS] or 0)}
    if fields[ERROR] is not None:
        metadata["err"] = fields[ERROR].decode()
    data = fields[DATA]
    return JobOutput(metadata, None if data is None else orjson.loads(data))


def _before(header: Mapping[str, bytes], id: str) -> int:
    """The semaphore of a job whose trigger was not carried out yet."""
    if not header:
        raise not_found(id)
    return STANDING.get(header["status"], BEGUN)
