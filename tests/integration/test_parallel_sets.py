"""Sets of calls without limit: any number, any depth, any member, and the same again on replay."""

import asyncio
from typing import Any

import pytest

from meshdata import MeshData, workflow
from meshdata.errors import ActivityFailed
from meshdata.workflow import activity, sync
from tests.handover import count_steps, hand_over, until_resident
from tests.integration.conftest import Eventually, OpenMesh


@activity
async def give(value: Any) -> Any:
    return value


@activity
async def fail(text: str) -> None:
    raise ValueError(text)


async def told(value: Any) -> Any:
    """A failure by what it says."""
    return f"{value.type}: {value.message}" if isinstance(value, ActivityFailed) else value


async def tree(depth: int) -> list[Any]:
    """Branches of unequal depth, each with a draw of its own between its calls."""
    own = [await give(depth), workflow.random().random(), str(workflow.uuid())]
    if depth == 0:
        return own
    return own + list(await asyncio.gather(*(tree(less) for less in range(depth)), give(None), workflow.sleep_for(0)))


@pytest.fixture
async def two(open_mesh: OpenMesh) -> list[MeshData]:
    """Two meshes that serve the same functions."""
    return [await open_mesh(name="one"), await open_mesh(name="two")]


async def test_a_thousand_activities_go_out_in_a_few_steps(mesh: MeshData, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = count_steps(mesh, monkeypatch)

    async def wf() -> int:
        return sum(await asyncio.gather(*(give(n) for n in range(1000))))

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=30) == 499_500
    assert 1 <= len(steps) <= 10


async def test_falsy_and_failing_members_stand_where_they_were_called(mesh: MeshData) -> None:
    values = [0, "", False, None, [], {}, 0.0]

    async def wf() -> list[Any]:
        calls = [one for value in values for one in (give(value), fail(f"after {value!r}"))]
        return [await told(one) for one in await asyncio.gather(*calls, return_exceptions=True)]

    def plain() -> list[Any]:
        return sync.all_(*(give(value) for value in values))

    await mesh.connect("wf", wf)
    await mesh.connect("plain", plain)
    assert await mesh.exec(entity="wf", timeout=20) == [
        one for value in values for one in (value, f"ValueError: after {value!r}")
    ]
    assert await mesh.exec(entity="plain", timeout=20) == values


async def test_a_failing_member_leaves_its_siblings_their_outcomes(mesh: MeshData) -> None:
    async def wf() -> list[Any]:
        siblings = [asyncio.ensure_future(give(n)) for n in range(20)]
        with pytest.raises(ActivityFailed, match="one of them"):
            await asyncio.gather(*siblings, fail("one of them"))
        return [await one for one in siblings]

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == list(range(20))


async def test_branches_of_unequal_depth_draw_the_same_on_replay(two: list[MeshData], eventually: Eventually) -> None:
    drawn: list[list[Any]] = []

    async def wf() -> list[Any]:
        found = await tree(5)
        drawn.append(found)
        await workflow.wait_for("go")
        return found

    for mesh in two:
        await mesh.connect("wf", wf)
    handle = await two[0].exec(entity="wf", id="w", wait=False)
    for round in range(3):
        holder, run = await until_resident(two, "wf:w")
        await eventually(lambda round=round: len(drawn) > round)
        await hand_over(holder, run)
    await two[0].signal("go")
    found = await handle.result(timeout=20)
    assert all(one == found for one in drawn)
    assert len(set(map(str, _draws(found)))) == 2 * 32  # a tree of depth n has 2 ** n branches


def _draws(found: list[Any]) -> list[Any]:
    return [*found[1:3], *(one for branch in found[3:] if isinstance(branch, list) for one in _draws(branch))]
