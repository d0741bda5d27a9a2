"""Graphs without a server, by a clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from meshdata import HotMesh, MeshData
from meshdata.testing import Clock

MODEL = """
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: reminder
      expire: 100000
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        h1: {type: hook, sleep: 3600, job: {maps: {at: '{$self.hook.data.timestamp}'}}}
        w1: {type: worker, topic: work, job: {maps: {told: '{$self.output.data.told}'}}}
      transitions:
        t1: [{to: h1}]
        h1: [{to: w1}]
"""


@pytest.fixture
async def clock_and_mesh() -> AsyncIterator[tuple[Clock, MeshData]]:
    clock = Clock()
    async with MeshData("fake://", clock=clock) as mesh:
        yield clock, mesh


async def test_an_hour_goes_by(clock_and_mesh: tuple[Clock, MeshData]) -> None:
    clock, mesh = clock_and_mesh
    async with await HotMesh.init("shop", mesh, workers=[("work", lambda asked: {"told": True})]) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        begun = clock()
        await hot.pub("reminder", {"id": "r"})
        await clock.advance("59 minutes")
        assert await hot.get_status("r") == 1
        await clock.advance("1 minute")
        assert await hot.get_status("r") == 0
        assert (await hot.get_state("reminder", "r")).data == {"at": begun + 3_600_000, "told": True}


async def test_a_shared_mesh_serves_an_app_until_its_owner_closes_it(clock_and_mesh: tuple[Clock, MeshData]) -> None:
    clock, mesh = clock_and_mesh
    async with await HotMesh.init("shop", mesh, workers=[("work", lambda asked: {"told": True})]) as first:
        await first.deploy(MODEL)
        await first.activate("1")
    second = await HotMesh.init("shop", mesh, readonly=True)
    await second.pub("reminder", {"id": "r"})
    await clock.advance("1 hour")
    assert await second.get_status("r") == 0
