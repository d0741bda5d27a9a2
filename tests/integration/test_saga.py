"""saga: what was done is undone in reverse order when something fails, whatever happens meanwhile."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import Fatal, InvalidOptions, JobCancelled, JobFailed, NotInWorkflow
from meshdata.workflow import activity
from tests.handover import hand_over, journal_of, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh

AT_ONCE = RetryPolicy(max_attempts=3, initial="1 ms")
FOREVER = "never signalled"

done: list[str] = []
"""What the activities did, in order."""


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@activity
async def do(what: str) -> str:
    if what.startswith("bad"):
        raise ValueError(what)
    done.append(what)
    return what


@activity
async def undo(what: str) -> None:
    done.append(f"un{what}")


@activity
def undo_in_a_thread(what: str) -> None:
    done.append(f"un{what}")


@activity(retry=AT_ONCE)
async def undo_at_last(what: str) -> None:
    done.append(f"try {what}")
    if activity.info().attempt < 3:
        raise ConnectionError("no answer")


@activity(retry=AT_ONCE)
async def cannot_undo(what: str) -> None:
    done.append(f"try {what}")
    raise ConnectionError(what)


async def waits(mesh: MeshData, id: str = "j") -> bool:
    return bool((await mesh.info("job", id)).waiting_for)


@pytest.fixture
async def fail(mesh: MeshData) -> Callable[..., Awaitable[JobFailed]]:
    """Run a function as a workflow; how it failed."""

    async def run(fn: Callable[..., Any], **options: Any) -> JobFailed:
        await mesh.connect("job", fn, **options)
        with pytest.raises(JobFailed) as caught:
            await mesh.exec(entity="job", id="j", ttl="1 minute", timeout=10)
        return caught.value

    return run


async def test_nothing_is_undone_where_nothing_failed(mesh: MeshData) -> None:
    async def job() -> str:
        async with workflow.saga() as saga:
            saga.compensate(undo, "a")
            return str(await do("a"))

    await mesh.connect("job", job)
    assert await mesh.exec(entity="job", timeout=5) == "a"
    assert done == ["a"]


async def test_compensations_of_every_kind_run_in_reverse_and_the_error_is_raised_on(
    mesh: MeshData, fail: Callable[..., Awaitable[JobFailed]]
) -> None:
    async def child(what: str) -> None:
        await undo(what)

    async def own(what: str) -> None:
        await undo(what)
        await workflow.sleep_for("1 ms")

    async def job() -> None:
        async with workflow.saga() as saga:
            saga.compensate(undo, "activity")
            saga.compensate(undo_in_a_thread, what="thread")
            saga.compensate(own, "function")
            saga.compensate(workflow.exec_child, "child", ["child"])
            saga.compensate(workflow.state.set, undone="yes")
            saga.compensate(lambda: undo("lambda"))
            await do("bad luck")

    await mesh.connect("child", child)
    error = await fail(job)
    assert (error.type, error.message) == ("ValueError", "bad luck")
    assert done == ["unlambda", "unchild", "unfunction", "unthread", "unactivity"]
    assert await mesh.get("job", "j", "undone") == {"undone": "yes"}


async def test_each_compensation_is_tried_as_its_own_policy_says_and_all_are_run(
    fail: Callable[..., Awaitable[JobFailed]],
) -> None:
    caught: list[BaseException] = []

    async def job() -> None:
        try:
            async with workflow.saga() as saga:
                saga.compensate(undo, "first")
                saga.compensate(cannot_undo, "x")
                saga.compensate(undo_at_last, "y")
                saga.compensate(cannot_undo, "z")
                await do("bad luck")
        except ExceptionGroup as error:
            caught.append(error)
            raise

    error = await fail(job)
    assert (error.type, error.message) == ("ExceptionGroup", "2 of 4 compensations failed (2 sub-exceptions)")
    assert "bad luck" in error.remote_traceback
    assert done == [*["try z"] * 3, *["try y"] * 3, *["try x"] * 3, "unfirst"]
    group = caught[0]
    assert isinstance(group, ExceptionGroup) and isinstance(group.__cause__, JobFailed)
    assert group.__cause__.message == "bad luck"
    assert [getattr(one, "message", "") for one in group.exceptions] == ["z", "x"]


async def test_a_run_that_has_compensated_is_not_tried_again(fail: Callable[..., Awaitable[JobFailed]]) -> None:
    async def job() -> None:
        async with workflow.saga() as saga:
            saga.compensate(undo, "a")
            await do("a")
            await do("bad luck")

    error = await fail(job, retry=AT_ONCE)
    assert (error.attempts, done) == (1, ["a", "una"])


async def test_a_run_that_had_nothing_to_undo_is_tried_again(fail: Callable[..., Awaitable[JobFailed]]) -> None:
    async def job() -> None:
        async with workflow.saga():
            await do("bad luck")

    assert (await fail(job, retry=AT_ONCE)).attempts == 3


async def test_a_cancelled_job_undoes_what_it_did(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> None:
        async with workflow.saga() as saga:
            for what in "abc":
                saga.compensate(undo, what)
                await do(what)
            await workflow.wait_for(FOREVER)

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh))
    await handle.cancel("enough")
    with pytest.raises(JobCancelled, match="enough"):
        await handle.result(5)
    assert done == ["a", "b", "c", "unc", "unb", "una"]


async def slow(key: str, what: str) -> None:
    await workflow.wait_for(key)
    await undo(what)


async def test_a_request_does_not_stop_compensations_nor_hide_the_error(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> None:
        async with workflow.saga() as saga:
            saga.compensate(undo, "a")
            saga.compensate(slow, "go on", "b")
            await do("bad luck")

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh))
    assert await handle.cancel() is True
    await mesh.signal("go on")
    with pytest.raises(JobFailed, match="bad luck"):
        await handle.result(5)
    assert done == ["unb", "una"]


async def test_a_time_limit_around_a_saga_does_not_stop_its_compensations(mesh: MeshData) -> None:
    async def job() -> str:
        try:
            async with workflow.timeout("20 ms"), workflow.saga() as saga:
                saga.compensate(undo, "a")
                saga.compensate(workflow.sleep_for, "60 ms")
                await do("bad luck")
        except JobFailed as error:
            await do("goes on")
            return error.message
        return "?"

    await mesh.connect("job", job)
    assert await mesh.exec(entity="job", timeout=5) == "bad luck"
    assert done == ["una", "goes on"]


async def test_a_time_limit_inside_a_saga_is_a_failure_like_any(fail: Callable[..., Awaitable[JobFailed]]) -> None:
    async def job() -> None:
        async with workflow.saga() as saga:
            saga.compensate(undo, "a")
            async with workflow.timeout("1 ms"):
                await workflow.wait_for(FOREVER)

    assert (await fail(job)).type == "TimeoutError"
    assert done == ["una"]


async def test_by_hand_it_undoes_once(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> list[str]:
        saga = workflow.saga()
        saga.compensate(undo, "a")
        saga.compensate(slow, "go on", "b")
        await saga.undo()
        await saga.undo()
        return ["never"]

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh))
    await handle.cancel()
    await mesh.signal("go on")
    with pytest.raises(JobCancelled):
        await handle.result(5)
    assert done == ["unb", "una"]


async def test_sagas_nest(fail: Callable[..., Awaitable[JobFailed]]) -> None:
    async def job() -> None:
        async with workflow.saga() as outer:
            outer.compensate(undo, "outer")
            try:
                async with workflow.saga() as inner:
                    inner.compensate(undo, "inner")
                    await do("bad first")
            except JobFailed:
                await do("other way")
            raise Fatal("and yet")

    assert (await fail(job)).message == "and yet"
    assert done == ["uninner", "other way", "unouter"]


async def test_what_cannot_be_called_is_refused_when_it_is_named(mesh: MeshData) -> None:
    async def job() -> list[str]:
        saga, told = workflow.saga(), []
        for name in (
            lambda: saga.compensate("undo"),
            lambda: saga.compensate(undo),
            lambda: saga.compensate(undo, 1, 2),
        ):  # type: ignore[arg-type,call-arg]
            try:
                name()
            except InvalidOptions as error:
                told.append(error.argument)
        return told

    await mesh.connect("job", job)
    assert len(await mesh.exec(entity="job", timeout=5)) == 3
    with pytest.raises(NotInWorkflow):
        workflow.saga()


@pytest.mark.parametrize("loser", [hand_over, suspend], ids=["lost", "suspended"])
async def test_a_saga_goes_on_undoing_wherever_it_is_taken(
    open_mesh: OpenMesh, eventually: Eventually, loser: Callable[..., Awaitable[Any]]
) -> None:
    async def job() -> None:
        async with workflow.saga() as saga:
            for what in "abc":
                saga.compensate(slow, f"undo {what}", what)
                await do(what)
            await do("bad luck")

    meshes = [await open_mesh(), await open_mesh()]
    for mesh in meshes:
        await mesh.connect("job", job)
    handle = await meshes[0].exec(entity="job", id="j", ttl="1 minute", wait=False)
    for what in "cba":

        async def is_taken(what: str = what) -> bool:
            mesh, run = await until_resident(meshes, "job:j")
            waiting = (await mesh.info("job", "j")).waiting_for
            if [wait.name for wait in waiting] != [f"undo {what}"] or not run.can_suspend:
                return False
            return await loser(mesh, run) is not False

        await eventually(is_taken)
        await meshes[0].signal(f"undo {what}")
    with pytest.raises(JobFailed, match="bad luck"):
        await handle.result(5)
    assert Counter(done) == Counter(["a", "b", "c", "unc", "unb", "una"]) and done[-3:] == ["unc", "unb", "una"]
    assert len(await journal_of(meshes[0], "job:j")) == 11
