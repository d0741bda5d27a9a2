"""What a graph's job has stored: by name, all of it, as one document."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from meshdata import HotMesh
from meshdata.errors import InvalidOptions, JobNotFound
from meshdata.hotmesh import StreamData
from tests.integration.conftest import OpenMesh

MODEL = """app:
  id: looks
  version: '{version}'
  graphs:
    - subscribes: order
      expire: 60
      activities:
        t1:
          type: trigger
          stats: {{id: '{{$self.input.data.id}}'}}
          job: {{maps: {{id: '{{$self.input.data.id}}', '_kind': order}}}}
        {id}:
          type: worker
          topic: work
          job: {{maps: {{n: '{{$self.output.data.n}}', '-done': true}}}}
      transitions:
        t1: [{{to: {id}}}]
"""


async def work(asked: StreamData) -> dict[str, int]:
    return {"n": 5}


@pytest.fixture
async def hot(open_mesh: OpenMesh, no_leaks: set[str]) -> AsyncIterator[HotMesh]:
    no_leaks |= {"app:looks"}
    async with await HotMesh.init("looks", await open_mesh(), workers=[("work", work)]) as found:
        await found.deploy(MODEL.format(version="1", id="w1"))
        await found.activate("1")
        await found.pubsub("order", {"id": "j1"}, timeout=10)
        yield found
        await found.scrub("j1")


async def test_fields_are_asked_for_by_name(hot: HotMesh) -> None:
    names = ["kind", "none", '":"', '"-done"', '"-none"']
    assert await hot.get_query_state("j1", names) == {
        "kind": "order", "none": None, '":"': "0", '"-done"': "true", '"-none"': None,
    }  # fmt: skip
    assert await hot.get_query_state("gone", ["kind", '":"']) == {"kind": None, '":"': None}
    assert await hot.get_query_state("j1", []) == {}
    with pytest.raises(InvalidOptions, match="in a list"):
        await hot.get_query_state("j1", "kind")


async def test_all_that_is_stored_is_shown_as_text(hot: HotMesh) -> None:
    raw = await hot.get_raw("j1")
    assert (raw[":"], raw["_kind"], raw["-done"], raw["l:t1"]) == ("0", "order", "true", "888000001000001")
    assert not any(name.startswith("__") for name in raw)
    with pytest.raises(JobNotFound, match="Job gone not found"):
        await hot.get_raw("gone")


async def test_a_job_is_one_document(hot: HotMesh) -> None:
    found = await hot.export("j1")
    assert (found["dependencies"], found["status"]) == ([], "0")
    assert found["process"]["$order"]["data"] == {"id": "j1", "n": 5}
    worker = found["process"]["0"]["0"]["w1"]["output"]["metadata"]
    assert (worker["as"], worker["dad"], worker["atp"]) == (888000001000001, ",0,0", "worker")
    with pytest.raises(JobNotFound):
        await hot.export("gone")


async def test_a_job_is_a_story(hot: HotMesh) -> None:
    story = await hot.export("j1", flow=True)
    assert (story["data"], story["status"]) == ({"kind": "order"}, 0)
    assert story["timeline"] == [{"key": "done", "index": 0, "value": True}]
    assert [one["activity"] for one in story["transitions"]] == ["t1", "w1"]
    assert list(await hot.export("j1", flow=True, allow=["status"])) == ["status"]


async def test_an_activity_that_is_no_more_is_shown_as_the_jobs_version_had_it(hot: HotMesh) -> None:
    await hot.deploy(MODEL.format(version="2", id="w2"))
    await hot.activate("2")
    assert "w1" in (await hot.export("j1"))["process"]["0"]["0"]
