"""Deploying tells what a model says without effect."""

from __future__ import annotations

import logging

import pytest

from meshdata import HotMesh, MeshData

MODEL = """
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: x
      activities:
        t1: {type: trigger, colour: red}
"""


@pytest.mark.parametrize(("model", "told"), [(MODEL, 1), (MODEL.replace(", colour: red", ""), 0)])
async def test_a_key_that_nothing_knows_is_warned_of(model: str, told: int, caplog: pytest.LogCaptureFixture) -> None:
    async with MeshData("fake://") as mesh, await HotMesh.init("shop", mesh) as hot:
        with caplog.at_level(logging.WARNING, logger="meshdata.hotmesh"):
            await hot.deploy(model)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("meshdata.hotmesh")]
    assert len(messages) == told
    assert all("line 8, graph x, activity t1, field colour: the key 'colour' is not known" in one for one in messages)
