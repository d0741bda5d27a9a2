"""A model changes while it is in use: whoever counts, by old code or new, never sees a wrong count."""

from __future__ import annotations

import asyncio
from typing import Annotated

from meshdata import MeshData
from meshdata.search import Numeric, Record, Tag, match_all
from tests.integration.conftest import OpenMesh

COUNT = 400


class One(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    spent: Annotated[float, Numeric()] = 0


class Two(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag(sortable=True)] = "free"
    spent: Annotated[float, Numeric(sortable=True)] = 0
    level: str | None = None


async def test_no_wrong_count_while_indexes_are_built_and_swapped(mesh: MeshData, open_mesh: OpenMesh) -> None:
    new = await open_mesh()
    await mesh.create_index(One)
    await asyncio.gather(
        *(mesh.set("user", f"u{n}", {"id": f"u{n}", "plan": "free", "spent": 1}) for n in range(COUNT))
    )
    stop = asyncio.Event()
    counts: set[int] = set()
    polls = 0

    async def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await mesh.set("user", f"u{n * 7 % COUNT}", {"plan": "pro" if n % 2 else "free", "spent": n})

    async def poll(query: object) -> None:
        nonlocal polls
        while not stop.is_set():
            counts.add(await query.count())  # type: ignore[attr-defined]
            polls += 1

    meanwhile = [
        asyncio.ensure_future(write()),
        asyncio.ensure_future(poll(mesh.find(One).where(One.plan.in_(["free", "pro"]) & (One.spent > 0)))),
        asyncio.ensure_future(poll(new.find(Two).where(Two.plan.in_(["free", "pro"]) & (Two.spent > 0)))),
        asyncio.ensure_future(poll(mesh.find("user"))),
    ]
    assert await new.create_index(Two)
    assert not await mesh.create_index(One), "older code leaves the index as it is, and works with it"
    for model in (One, Two):
        assert await new.create_index(model, force=True)
    report = await new.find(Two).where(Two.level.is_missing()).set({"level": "blue"})
    assert len(report.done) == COUNT
    stop.set()
    await asyncio.gather(*meanwhile)
    assert counts == {COUNT} and polls > 50
    assert await new.find(Two).where(Two.level == "blue").count() == COUNT
    await new.find(Two).where(match_all()).flush()
