"""Changing a function while its runs live: which way a run takes, what is recorded of it, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import InvalidOptions, NotInWorkflow
from meshdata.workflow import activity
from tests.handover import hand_over, journal_of, positions, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh

Function = Callable[..., Awaitable[Any]]


@activity
async def old() -> str:
    return "old"


@activity
async def new() -> str:
    return "new"


async def before() -> list[Any]:
    start = await workflow.wait_for("start")
    return [start, await old(), await workflow.wait_for("end")]


async def both() -> list[Any]:
    start = await workflow.wait_for("start")
    first = await (new() if workflow.patched("new") else old())
    return [start, first, await workflow.wait_for("end")]


async def deprecated() -> list[Any]:
    start = await workflow.wait_for("start")
    workflow.deprecate_patch("new")
    return [start, await new(), await workflow.wait_for("end")]


async def after() -> list[Any]:
    start = await workflow.wait_for("start")
    return [start, await new(), await workflow.wait_for("end")]


class Deploy:
    """Serves one version after the other under the name `wf`."""

    def __init__(self, open_mesh: OpenMesh, eventually: Eventually) -> None:
        self.open_mesh, self.eventually = open_mesh, eventually
        self.mesh: MeshData | None = None

    async def __call__(self, fn: Function) -> MeshData:
        if self.mesh is not None:
            await self.mesh.close()
        self.mesh = await self.open_mesh()
        await self.mesh.connect("wf", fn)
        return self.mesh

    async def waits_for(self, key: str) -> None:
        assert self.mesh is not None
        mesh = self.mesh

        async def waits() -> bool:
            return key in [wait.name for wait in (await mesh.info("wf", "a")).waiting_for]

        await self.eventually(waits)

    async def status(self, wanted: str) -> None:
        assert self.mesh is not None
        mesh = self.mesh

        async def is_so() -> bool:
            return (await mesh.info("wf", "a")).status == wanted

        await self.eventually(is_so)


@pytest.fixture
def deploy(open_mesh: OpenMesh, eventually: Eventually) -> Deploy:
    return Deploy(open_mesh, eventually)


async def begin(mesh: MeshData) -> Any:
    return await mesh.exec(entity="wf", id="a", ttl="1 minute", wait=False)


async def test_a_new_run_takes_the_new_way_and_says_so(deploy: Deploy) -> None:
    mesh = await deploy(both)
    await begin(mesh)
    await mesh.signal("start", 1)
    await mesh.signal("end", 2)
    assert await mesh.handle("wf", "a").result(timeout=10) == [1, "new", 2]
    journal = await journal_of(mesh, "wf:a")
    assert positions(journal) == ["0 ok", "0:1 ok", "patch ok", "0:2 ok", "0:3 ok"]


@pytest.mark.parametrize("key", ["start", "end"])
async def test_a_patched_run_goes_its_way_wherever_it_is_lost(
    open_mesh: OpenMesh, deploy: Deploy, eventually: Eventually, key: str
) -> None:
    mesh = await deploy(both)
    other = await open_mesh()
    await other.connect("wf", both)
    await begin(mesh)
    for one in ("start", "end"):
        if one == key:
            held, run = await until_resident([mesh, other], "wf:a")
            await eventually(lambda run=run: run.is_waiting)
            await hand_over(held, run)
        await mesh.signal(one, one)
    assert await mesh.handle("wf", "a").result(timeout=10) == ["start", "new", "end"]
    await other.close()


async def test_a_run_that_passed_before_keeps_the_old_way(deploy: Deploy) -> None:
    mesh = await deploy(before)
    await begin(mesh)
    await mesh.signal("start", 1)
    await deploy.waits_for("end")
    mesh = await deploy(both)
    await mesh.signal("end", 2)
    assert await mesh.handle("wf", "a").result(timeout=10) == [1, "old", 2]
    assert "patch ok" not in positions(await journal_of(mesh, "wf:a"))


async def test_a_run_that_is_not_there_yet_takes_the_new_way(deploy: Deploy) -> None:
    mesh = await deploy(before)
    await begin(mesh)
    await deploy.waits_for("start")
    mesh = await deploy(both)
    await mesh.signal("start", 1)
    await mesh.signal("end", 2)
    assert await mesh.handle("wf", "a").result(timeout=10) == [1, "new", 2]


async def test_a_run_that_only_waits_beyond_the_place_keeps_the_old_way(deploy: Deploy) -> None:
    """Nothing is recorded yet of what it did after the place, but that it waits."""

    async def waits() -> list[Any]:
        return [await workflow.wait_for("end")]

    async def changed() -> list[Any]:
        if workflow.patched("first"):
            return [await new(), await workflow.wait_for("end")]
        return [await workflow.wait_for("end"), workflow.patched("first")]

    mesh = await deploy(waits)
    await begin(mesh)
    await deploy.waits_for("end")
    mesh = await deploy(changed)
    await mesh.signal("end", 2)
    assert await mesh.handle("wf", "a").result(timeout=10) == [2, False]


async def test_a_patch_answers_alike_for_the_whole_run(open_mesh: OpenMesh, deploy: Deploy) -> None:
    async def loop() -> list[Any]:
        return [[await old(), await workflow.wait_for("go")] for _ in range(3)]

    async def patched_loop() -> list[Any]:
        answers = []
        for _ in range(3):
            answers.append(workflow.patched("x"))
            await (new() if answers[-1] else old())
            await workflow.wait_for("go")
        return answers

    mesh = await deploy(loop)
    await begin(mesh)
    await mesh.signal("go")
    await deploy.waits_for("go")
    mesh = await deploy(patched_loop)
    for _ in range(2):
        await mesh.signal("go")
    assert await mesh.handle("wf", "a").result(timeout=10) == [False] * 3
    await mesh.flush("wf", "a")
    await begin(mesh)
    for _ in range(3):
        await mesh.signal("go")
    assert await mesh.handle("wf", "a").result(timeout=10) == [True] * 3


async def test_a_patch_costs_no_step_and_no_position(deploy: Deploy) -> None:
    async def plain() -> list[str]:
        return [await old(), await new()]

    async def with_patches() -> list[str]:
        for id in ("a", "b c"):
            assert workflow.patched(id)
        first = await old()
        assert workflow.patched("d") and workflow.patched("a")
        return [first, await new()]

    steps, places = [], []
    for fn in (plain, with_patches):
        mesh = await deploy(fn)
        seen: list[int] = []
        original = mesh._host.end

        def end(run: Any, task: Any, seen: list[int] = seen, original: Any = original) -> None:
            seen.append(run.steps)
            original(run, task)

        mesh._host.end = end  # type: ignore[method-assign]
        await begin(mesh)
        await mesh.handle("wf", "a").result(timeout=10)
        steps += seen
        places.append([one for one in positions(await journal_of(mesh, "wf:a")) if not one.startswith("patch")])
        await mesh.flush("wf", "a")
    assert steps[0] == steps[1] == 2
    assert places[0] == places[1]


async def test_a_patch_that_nothing_follows_does_not_keep_a_run_from_resting(
    deploy: Deploy, eventually: Eventually
) -> None:
    async def aside() -> list[bool]:

        async def asks() -> bool:
            await old()
            return workflow.patched("x")

        asked = asyncio.create_task(asks())
        await workflow.wait_for("end")
        return [await asked]

    mesh = await deploy(aside)
    handle = await begin(mesh)
    _, run = await until_resident([mesh], "wf:a")
    await eventually(lambda: run.is_waiting and len(run.tasks) == 1)
    assert await suspend(mesh, run)
    await mesh.signal("end")
    assert len(await handle.result(timeout=10)) == 1


async def test_the_old_way_is_taken_out_in_two_deploys(deploy: Deploy) -> None:
    mesh = await deploy(both)
    await begin(mesh)
    await mesh.signal("start", 1)
    await deploy.waits_for("end")
    await deploy(deprecated)
    mesh = await deploy(after)
    await mesh.signal("end", 2)
    assert await mesh.handle("wf", "a").result(timeout=10) == [1, "new", 2]
    await mesh.flush("wf", "a")

    mesh = await deploy(deprecated)
    await begin(mesh)
    await mesh.signal("start", 1)
    await deploy.waits_for("end")
    mesh = await deploy(deprecated)
    await mesh.signal("end", 2)
    assert await mesh.handle("wf", "a").result(timeout=10) == [1, "new", 2]


async def test_a_run_from_before_the_patch_is_parked_where_only_the_new_way_is_left(deploy: Deploy) -> None:
    mesh = await deploy(before)
    await begin(mesh)
    await mesh.signal("start", 1)
    await deploy.waits_for("end")
    mesh = await deploy(deprecated)
    await mesh.signal("end", 2)
    await deploy.status("parked")
    assert "passed here before patch 'new'" in str((await mesh.info("wf", "a")).error)
    assert (await mesh.health()).parked == 1
    mesh = await deploy(both)
    assert await mesh.handle("wf", "a").result(timeout=10) == [1, "old", 2]
    assert (await mesh.health()).parked == 0


async def test_a_function_that_ends_before_what_is_recorded_is_parked(deploy: Deploy) -> None:
    async def ends_early() -> list[Any]:
        return [await workflow.wait_for("start")]

    async def breaks() -> None:
        raise TypeError("a slip of the new code")

    mesh = await deploy(before)
    await begin(mesh)
    await mesh.signal("start", 1)
    await deploy.waits_for("end")
    for fn, told in ((ends_early, "its end"), (breaks, "its end by TypeError: a slip of the new code")):
        mesh = await deploy(fn)
        await mesh.signal("end", 2)
        await deploy.status("parked")
        assert told in str((await mesh.info("wf", "a")).error)
    mesh = await deploy(before)
    assert await mesh.handle("wf", "a").result(timeout=10) == [1, "old", 2]
    await mesh.flush("wf", "a")
    assert await mesh.signal("end") is False


async def test_a_further_attempt_may_end_sooner(deploy: Deploy) -> None:
    async def gives_up() -> Any:
        if workflow.info().attempt == 2:
            return "gave up"
        await old()
        raise ValueError("by itself")

    mesh = await deploy(gives_up)
    assert (
        await mesh.exec(entity="wf", id="a", retry=RetryPolicy(max_attempts=2, initial="1 ms"), timeout=10) == "gave up"
    )


async def test_a_misfit_shows_the_line_of_the_call(deploy: Deploy) -> None:

    async def gathered() -> list[Any]:
        await workflow.wait_for("start")
        return list(await asyncio.gather(new(), old()))  # the line that is shown

    async def elsewhere() -> None:
        async def inner() -> Any:
            await workflow.wait_for("start")
            return await old()

        await asyncio.create_task(inner())  # other place, other identity

    mesh = await deploy(before)
    await begin(mesh)
    await mesh.signal("start", 1)
    await deploy.waits_for("end")
    mesh = await deploy(gathered)
    await deploy.mesh.signal("end", 2)  # type: ignore[union-attr]
    await deploy.status("parked")
    error = str((await mesh.info("wf", "a")).error)
    assert "0:2 the journal has activity old (entry 2, " in error
    assert "the function has activity new at tests/integration/test_patches.py:" in error and "in gathered" in error
    mesh = await deploy(elsewhere)
    await deploy.status("parked")
    error = str((await mesh.info("wf", "a")).error)
    assert "0:1 the journal has wait start" in error
    assert "no such call; it waits for wait start at 0.1:1, tests/integration/test_patches.py:" in error
    await mesh.interrupt("wf", "a")


async def test_a_patch_needs_a_name_and_a_workflow(mesh: MeshData) -> None:
    async def nameless() -> None:
        workflow.patched("")

    await mesh.connect("nameless", nameless)
    with pytest.raises(Exception, match="at least one character"):
        await mesh.exec(entity="nameless")
    for verb in (workflow.patched, workflow.deprecate_patch):
        with pytest.raises(NotInWorkflow):
            verb("x")
    with pytest.raises(InvalidOptions):
        await mesh.exec(entity="nameless", id="")
