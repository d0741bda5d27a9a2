"""Signals beyond one key: several at once, with time limits, from hooks, in loops, sent twice, lost and taken over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshdata import MeshData, workflow
from meshdata.errors import InvalidOptions, JobFailed, MeshTimeout, NotInWorkflow
from tests.handover import hand_over, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh


async def first_of(*keys: str) -> list[Any]:
    return list(await workflow.wait_for_any(*keys))


async def begin(mesh: MeshData, entity: str, *args: Any) -> Any:
    handle = await mesh.exec(entity=entity, args=list(args), id="a", ttl="1 minute", wait=False)
    return handle


async def waits(mesh: MeshData, entity: str, count: int = 1) -> bool:
    return len((await mesh.info(entity, "a")).waiting_for) == count


async def test_of_several_keys_the_first_signal_counts(mesh: MeshData, eventually: Eventually) -> None:
    await mesh.connect("any", first_of)
    handle = await begin(mesh, "any", "x", "y", "z")
    await eventually(lambda: waits(mesh, "any"))
    [wait] = (await mesh.info("any", "a")).waiting_for
    assert (wait.kind, wait.name) == ("any", "x, y, z")
    assert await mesh.signal("y", {"n": 1})
    assert await handle.result(timeout=10) == ["y", {"n": 1}]
    await mesh.flush("any", "a")
    await mesh.signal("x", "for the next")  # nobody waits on the other keys any more
    assert await (await begin(mesh, "any", "x")).result(timeout=10) == ["x", "for the next"]


async def test_signals_that_were_there_are_left_but_for_one(mesh: MeshData) -> None:
    async def both() -> list[Any]:
        return [list(await workflow.wait_for_any("p", "q")), list(await workflow.wait_for_any("p", "q"))]

    await mesh.connect("both", both)
    await mesh.signal("q", 1)
    await mesh.signal("p", 2)
    assert sorted(await mesh.exec(entity="both", timeout=10)) == [["p", 2], ["q", 1]]


@pytest.mark.parametrize("lost", [False, True])
async def test_waits_on_several_keys_outlive_their_process(
    open_mesh: OpenMesh, eventually: Eventually, lost: bool
) -> None:
    async def twice() -> list[Any]:
        first = await workflow.wait_for_any("x", "y")
        second = await workflow.wait_for_any("x", "y")
        return [list(first), list(second)]

    meshes = [await open_mesh(), await open_mesh()]
    for one in meshes:
        await one.connect("twice", twice)
    handle = await begin(meshes[0], "twice")
    for number, key in enumerate(["y", "x"]):
        mesh, run = await until_resident(meshes, "twice:a")
        await eventually(lambda run=run: run.is_waiting)
        if lost:
            await hand_over(mesh, run)
        else:
            assert await suspend(mesh, run)
        await meshes[1].signal(key, number)
    assert await handle.result(timeout=10) == [["y", 0], ["x", 1]]


async def test_time_limits_of_waits_on_several_keys(mesh: MeshData) -> None:
    async def late() -> list[str]:
        told = []
        one = workflow.wait_for_any("n1", "n2", timeout="5 ms")
        both = workflow.wait_for_all("m1", "m2", timeout="5 ms")
        for wait in (one, both):
            try:
                await wait
            except MeshTimeout as error:
                told.append(str(error))
        return told

    await mesh.connect("late", late)
    await mesh.signal("m1", 1)
    any_told, all_told = await mesh.exec(entity="late", timeout=10)
    assert "'n1 or n2'" in any_told
    assert "'m1'" in all_told or "'m2'" in all_told, "between partitions even a signal that was there takes its time"
    for key in ("n1", "n2", "m2"):  # no wait is left that would take it away
        await mesh.signal(key, key)
    await mesh.connect("any", first_of)
    for key in ("n1", "n2", "m2"):
        assert await mesh.exec(entity="any", args=[key], timeout=10) == [key, key]


async def test_all_of_several_keys_within_their_time(mesh: MeshData) -> None:
    async def all_of() -> list[Any]:
        return await workflow.wait_for_all("b", "a", timeout="1 minute")

    await mesh.connect("all", all_of)
    handle = await begin(mesh, "all")
    for key in ("a", "b"):
        await mesh.signal(key, key)
    assert await handle.result(timeout=10) == ["b", "a"]


async def test_waits_in_a_gather_in_a_loop_and_in_a_hook(mesh: MeshData) -> None:
    async def main(rounds: int) -> list[Any]:
        got = []
        for number in range(rounds):
            got.append(await asyncio.gather(workflow.wait_for(f"s{number}"), workflow.wait_for_any("odd", "even")))
        return [[one, list(other)] for one, other in got]

    async def answers(rounds: int) -> None:
        for number in range(rounds):
            await workflow.wait_for("go")
            await workflow.signal("odd" if number % 2 else "even", number)
            await workflow.signal(f"s{number}", number)

    await mesh.connect("main", main)
    await mesh.connect("main.answers", answers)
    handle = await begin(mesh, "main", 3)
    await mesh.hook("main", "a", "main.answers", args=[3])
    for _ in range(3):
        await mesh.signal("go")
    assert await handle.result(timeout=10) == [[0, ["even", 0]], [1, ["odd", 1]], [2, ["even", 2]]]


async def test_a_signal_sent_twice_under_one_id_counts_once(mesh: MeshData) -> None:
    async def takes() -> list[Any]:
        return [await workflow.wait_for("dup"), await workflow.condition("dup", timeout="20 ms")]

    async def sends() -> list[bool]:
        return [await workflow.signal("dup", n, id="order-7") for n in range(2)]

    await mesh.connect("takes", takes)
    await mesh.connect("sends", sends)
    assert [await mesh.signal("dup", n, id="order-6") for n in range(3)] == [False] * 3
    assert await mesh.exec(entity="takes", timeout=10) == [0, False]
    assert await mesh.exec(entity="sends", timeout=10) == [False, False]
    assert await mesh.handle("takes", "none").signal("dup", 9, id="order-7") is False
    assert await mesh.exec(entity="takes", timeout=10) == [0, False]
    with pytest.raises(InvalidOptions):
        await mesh.signal("dup", id="")


async def test_several_keys_need_names(mesh: MeshData) -> None:
    async def none() -> None:
        await workflow.wait_for_any()

    async def bad() -> None:
        await workflow.wait_for_all("good", "")

    await mesh.connect("none", none)
    await mesh.connect("bad", bad)
    for entity in ("none", "bad"):
        with pytest.raises(JobFailed) as caught:
            await mesh.exec(entity=entity, timeout=10)
        assert caught.value.type == "InvalidOptions"
    with pytest.raises(NotInWorkflow):
        workflow.wait_for_any("k")
