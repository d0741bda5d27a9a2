"""How a job stands, and what it has stored: by name, all of it, as one document. A part of the door."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from meshdata.errors import InvalidOptions
from meshdata.graph.compiled import App
from meshdata.graph.definitions import Definitions
from meshdata.graph.effects import job_of
from meshdata.graph.export import flow_export, process_export
from meshdata.graph.state import metadata_of
from meshdata.graph.stream import JobOutput
from meshdata.hotmesh import jobs
from meshdata.hotmesh.jobs import not_found
from meshdata.mesh import MeshData
from meshdata.store.graphs import Fields

SYSTEM = "_"
"""Names of a record that begin so are the mesh's own."""


class _Door(Protocol):
    _definitions: Definitions
    app_id: str
    mesh: MeshData


class LookVerbs:
    """The verbs of `HotMesh` that show how a job stands, and what it has stored."""

    async def get_status(self: _Door, job_id: str) -> int:
        """A job's semaphore: how many obligations are open; 0 when it is over, -1 while it is only reserved, and far
        below 0 once it was interrupted.

        Raises:
            JobNotFound: there is no such job.
        """
        return await jobs.status(self.mesh.store, self.app_id, job_id)

    async def get_state(self: _Door, topic: str, job_id: str) -> JobOutput:
        """A job as it stands: its metadata, with the semaphore as `js`, and its data.

        Raises:
            JobNotFound: there is no such job.
        """
        return await jobs.state(self.mesh.store, self.app_id, job_id)

    async def get_query_state(self: _Door, job_id: str, fields: Sequence[str]) -> dict[str, str | None]:
        """Some fields of a job, as text.

        Args:
            fields: `x` is the field x of the job's record, what maps wrote as `_x`; `'"x"'`, in quotes, is x of the
                job's state as it is stored: a marker, `'":"'` for the semaphore.

        Returns:
            The fields as they were named; None for one that is not there.
        """
        if isinstance(fields, str) or not all(isinstance(name, str) and name for name in fields):
            raise InvalidOptions("names of fields are needed, in a list", argument="fields")
        store, job = self.mesh.store, job_of(self.app_id, job_id)
        stored = {name: name[1:-1] for name in fields if len(name) > 2 and name[0] == name[-1] == '"'}
        searched = [name for name in fields if name not in stored]
        found: dict[str, str | None] = dict.fromkeys(fields)
        if stored:
            state = await store.graphs.fields(job, list(stored.values()))
            found |= {name: _text(state[literal]) for name, literal in stored.items()}
        if searched:
            values = await store.command(store.keys.partition(job), "HMGET", store.keys.record(job), *searched)
            found |= {name: _text(value) for name, value in zip(searched, values, strict=True)}
        return found

    async def get_raw(self: _Door, job_id: str) -> dict[str, str]:
        """All that a job has stored, as text: its state by the names of docs/keyspace.md, the fields of its record with
        `_` before them.

        Raises:
            JobNotFound: there is no such job.
        """
        state, record = await _stored(self, job_id)
        return {name: _text(value) or "" for name, value in state.items()} | {f"_{k}": v for k, v in record.items()}

    async def export(
        self: _Door,
        job_id: str,
        *,
        flow: bool = False,
        allow: Collection[str] | None = None,
        block: Collection[str] | None = None,
        values: bool = True,
    ) -> dict[str, Any]:
        """A job as one document.

        Args:
            flow: as a story: `{data, state, status, timeline, transitions}`; else `{dependencies, process, status}`,
                where `process` has what each pass of each activity left under its address, and the job under
                "$<topic>".
            allow, block, values: of a story: parts to give, parts to leave out, whether markers have their values.

        Raises:
            JobNotFound: there is no such job. InvalidOptions: allow or block names a part there is not.
        """
        state, record = await _stored(self, job_id)
        apps: list[App] = [await self._definitions.active()]
        older = metadata_of(state).get("vrs", apps[0].version)
        if older != apps[0].version:
            found = await self._definitions.version(older)
            if found is not None:
                apps.append(found)
        known = {id: activity for app in reversed(apps) for id, activity in app.activities.items()}
        if flow:
            return flow_export(state, record, known.get, allow=allow, block=block, values=values)
        return process_export(state, known.get)


async def _stored(door: _Door, job_id: str) -> tuple[Fields, Mapping[str, str]]:
    store, job = door.mesh.store, job_of(door.app_id, job_id)
    state, record = await asyncio.gather(
        store.graphs.state(job), store.command(store.keys.partition(job), "HGETALL", store.keys.record(job))
    )
    if not state:
        raise not_found(job_id)
    texts = {name.decode(): _text(value) or "" for name, value in record.items()}
    return state, {name: value for name, value in texts.items() if not name.startswith(SYSTEM)}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
