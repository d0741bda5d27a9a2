"""Reads all that is stored of a job, and has it told."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from meshdata.call.options import check_flags, job_of
from meshdata.errors import JobNotFound
from meshdata.store.store import LEASE_ENTRIES, Store
from meshdata.values import from_json, to_json
from meshdata.workflow.export import JobExport, sections
from meshdata.workflow.story import Thread, tell

AT_ONCE: Final = 100
"""How many of a job's hooks are read together."""

FromHash = Callable[[str, Mapping[str, bytes]], dict[str, Any]]


async def export(
    store: Store,
    from_hash: FromHash,
    entity: str,
    id: str,
    *,
    allow: Collection[str] | None,
    block: Collection[str] | None,
    values: bool,
) -> JobExport:
    """See `MeshData.export`."""
    check_flags(values=values)
    wanted = sections(allow, block)
    job = job_of(entity, id)
    main = await _thread(store, "0", job)
    if main is None:
        raise JobNotFound(job_id=job)
    dimensions = [str(number) for number in range(1, int(main.text("dims", "0")) + 1)]
    threads = [main]
    for at in range(0, len(dimensions), AT_ONCE):
        hooks = await asyncio.gather(*(_thread(store, dim, job) for dim in dimensions[at : at + AT_ONCE]))
        threads += [hook for hook in hooks if hook is not None]  # an hour after its end a hook is forgotten
    stored = await store.read(job)
    fields = {name: value for name, value in stored.items() if value is not None and not name.startswith("_")}
    record = from_json(to_json(from_hash(entity, fields), argument="record"))
    return tell(store.keys.namespace, job, threads, record, wanted=wanted, values=values)


async def _thread(store: Store, dimension: str, job: str) -> Thread | None:
    run = f"{dimension} {job}"
    header = await store.header(run)  # before the journal: one read later may only tell more
    if not header:
        return None
    journal: list[bytes] = []
    while piece := await store.entries(run, len(journal), LEASE_ENTRIES):
        journal += piece
        if len(piece) < LEASE_ENTRIES:
            break
    return Thread(dimension, header, journal)
