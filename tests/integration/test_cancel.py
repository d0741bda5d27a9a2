"""cancel: a job is asked to end itself; its function is told where it awaits, and may clean up first."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.engine.entry import Entry
from meshdata.errors import InvalidOptions, JobCancelled, JobFailed, JobInterrupted, JobNotFound, NotInWorkflow
from meshdata.workflow import activity
from meshdata.workflow.context import running
from meshdata.workflow.runner import Run
from tests.handover import hand_over, journal_of, positions, resident, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh

FOREVER = "never signalled"


async def waits(mesh: MeshData, job: str) -> bool:
    """Whether a job stands at something it waits for."""
    entity, _, id = job.partition(":")
    return bool((await mesh.info(entity, id)).waiting_for)


def kinds(journal: list[bytes]) -> list[str]:
    return [entry.split(b" ", 4)[2].decode() for entry in journal]


@pytest.fixture
def at_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`at_place(job, place, action)`: await action(run) once the entry at a place of the journal was delivered."""
    plans: dict[tuple[str, int], Callable[[Run], Awaitable[Any]]] = {}
    acting: set[asyncio.Task[Any]] = set()
    deliver = Run._deliver

    def watched(run: Run, entry: Entry) -> bool:
        visible = deliver(run, entry)
        action = plans.pop((run.job, entry.place), None)
        if action is not None:

            async def act() -> None:
                await action(run)

            acting.add(asyncio.get_running_loop().create_task(act(), context=run.host.context))
        return visible

    monkeypatch.setattr(Run, "_deliver", watched)

    def plan(job: str, place: int, action: Callable[[Run], Awaitable[Any]]) -> None:
        plans[job, place] = action

    yield plan
    assert all(task.done() for task in acting)


# --- from outside -----------------------------------------------------------------------------------------------------


async def forever() -> Any:
    return await workflow.wait_for(FOREVER)


async def test_a_cancelled_job_raises_where_it_is_awaited(
    mesh: MeshData, open_mesh: OpenMesh, eventually: Eventually
) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    waiting = [asyncio.create_task(job.result()), asyncio.create_task((await open_mesh()).handle("job", "j").result())]
    await eventually(lambda: waits(mesh, "job:j"))
    assert await mesh.cancel("job", "j", reason="no longer wanted") is True
    for one in waiting:
        with pytest.raises(JobCancelled, match="was cancelled: no longer wanted") as caught:
            await asyncio.wait_for(one, 5)
        assert (caught.value.job_id, caught.value.reason, caught.value.code) == ("job:j", "no longer wanted", 410)
        assert isinstance(caught.value, JobInterrupted)
    info = await job.info()
    assert (info.status, info.error, info.waiting_for) == ("interrupted", "no longer wanted", ())
    assert (await mesh.raw("job", "j"))["_error"] == b"no longer wanted"


async def test_the_function_cleans_up_by_durable_calls_of_any_kind(mesh: MeshData, eventually: Eventually) -> None:
    done = []

    @activity
    async def release(what: str) -> str:
        done.append(what)
        return what

    async def job() -> None:
        try:
            await workflow.wait_for(FOREVER)
        except asyncio.CancelledError:
            await workflow.state.set(step="stopping")
            await asyncio.gather(release("room"), release("car"))
            await workflow.sleep_for("5 ms")
            raise
        finally:
            await workflow.state.set(step="stopped")

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    assert await handle.cancel() is True
    with pytest.raises(JobCancelled):
        await handle.result(5)
    assert sorted(done) == ["car", "room"]
    assert await handle.state("step") == {"step": "stopped"}


async def test_a_function_that_catches_it_ends_as_it_likes(mesh: MeshData, eventually: Eventually) -> None:
    async def job(way: str) -> str:
        try:
            await workflow.wait_for(FOREVER)
        except asyncio.CancelledError:
            if way == "raise":
                raise ValueError("half way") from None
        return "as far as it came"

    await mesh.connect("job", job)
    for way in ("return", "raise"):
        await mesh.exec(entity="job", args=[way], id=way, ttl="1 minute", wait=False)
        await eventually(lambda way=way: waits(mesh, f"job:{way}"))
        await mesh.cancel("job", way)
    assert await mesh.handle("job", "return").result(5) == "as far as it came"
    with pytest.raises(JobFailed, match="half way"):
        await mesh.handle("job", "raise").result(5)


async def test_to_ask_twice_is_to_ask_once(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> str:
        try:
            await workflow.wait_for(FOREVER)
        except asyncio.CancelledError:
            await workflow.wait_for("go on")
        return "undisturbed"

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    assert [await handle.cancel("one"), await handle.cancel("two")] == [True, True]
    await eventually(lambda: waits(mesh, "job:j"))
    assert await handle.cancel("three") is True
    await mesh.signal("go on")
    assert await handle.result(5) == "undisturbed"
    assert kinds(await journal_of(mesh, "job:j")).count("cancel") == 1


async def test_what_is_over_cannot_be_asked_and_what_is_unknown_is_an_error(mesh: MeshData) -> None:
    async def job() -> int:
        return 1

    await mesh.connect("job", job)
    await mesh.exec(entity="job", id="j", ttl="1 minute")
    assert await mesh.cancel("job", "j") is False
    assert await mesh.handle("job", "j") == 1
    with pytest.raises(JobNotFound):
        await mesh.cancel("job", "nobody")
    with pytest.raises(InvalidOptions, match=r"^reason:"):
        await mesh.cancel("job", "j", reason=5)  # type: ignore[arg-type]


async def test_a_job_nobody_has_begun_ends_at_once_and_is_never_run(mesh: MeshData, open_mesh: OpenMesh) -> None:
    ran = []

    async def job() -> None:
        ran.append(1)

    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    assert await handle.cancel("too late anyway") is True
    with pytest.raises(JobCancelled, match="too late anyway"):
        await handle.result(5)
    assert await handle.cancel() is False
    await mesh.connect("job", job)
    await mesh.exec(entity="job", id="another", timeout=10)
    assert ran == [1]
    assert (await handle.info()).status == "interrupted"


async def test_a_job_that_has_written_nothing_yet_is_told_at_its_first_call(mesh: MeshData) -> None:
    began, stopped, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @activity
    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def job() -> None:
        try:
            await endless()
        except asyncio.CancelledError:
            told.set()
            raise

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await asyncio.wait_for(began.wait(), 5)
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(5)
    await asyncio.wait_for(stopped.wait(), 5)
    assert told.is_set()


async def test_an_activity_in_flight_is_cancelled(mesh: MeshData, eventually: Eventually) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    @activity(retry=RetryPolicy(max_attempts=5, initial="1 ms"))
    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise

    async def job() -> str:
        await workflow.state.set(a=1)
        try:
            await endless()
        except asyncio.CancelledError:
            return "stopped"
        return "?"

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await asyncio.wait_for(began.wait(), 5)
    await handle.cancel()
    assert await handle.result(5) == "stopped"
    await asyncio.wait_for(stopped.wait(), 5)
    assert kinds(await journal_of(mesh, "job:j")) == ["start", "state", "cancel"]


async def test_a_plain_function_in_a_thread_can_ask_whether_it_is_cancelled(
    mesh: MeshData, eventually: Eventually
) -> None:
    began, stopped = threading.Event(), threading.Event()

    @activity
    def endless() -> None:
        began.set()
        deadline = time.monotonic() + 10
        while not activity.info().cancelled and time.monotonic() < deadline:
            time.sleep(0.001)
        if activity.info().cancelled:
            stopped.set()

    async def job() -> None:
        await endless()

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(began.is_set)
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(5)
    await eventually(stopped.is_set)


async def test_an_activity_on_another_worker_is_cancelled_when_it_tells_how_it_gets_on(
    mesh: MeshData, open_mesh: OpenMesh, eventually: Eventually
) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    @activity(queue="far", heartbeat="1 minute")
    async def endless() -> None:
        began.set()
        try:
            while True:
                activity.info().heartbeat("on my way")
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            stopped.set()
            raise

    async def job() -> None:
        await endless()

    await mesh.connect("job", job)
    await (await open_mesh()).serve_activities("far", endless)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(began.is_set)
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(5)
    await eventually(stopped.is_set)


async def test_a_suspended_job_wakes_to_be_told(mesh: MeshData, open_mesh: OpenMesh, eventually: Eventually) -> None:
    async def job() -> str:
        try:
            await workflow.wait_for(FOREVER)
        except asyncio.CancelledError:
            return "woken"
        return "?"

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    _, run = await until_resident([mesh], "job:j")
    await eventually(lambda: run.can_suspend)
    assert await suspend(mesh, run)
    other = await open_mesh()
    assert await other.cancel("job", "j") is True
    assert await handle.result(5) == "woken"


async def test_a_job_between_two_attempts_ends_without_the_pause(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> None:
        raise ValueError("not yet")

    await mesh.connect("job", job, retry=RetryPolicy(max_attempts=9, initial="1 hour"))
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)

    async def pauses() -> bool:
        return (await handle.status()) == "backoff"

    await eventually(pauses)
    assert await handle.cancel("enough") is True
    with pytest.raises(JobCancelled, match="enough"):
        await handle.result(5)
    assert (await handle.info()).attempts == 2


async def test_a_clean_up_that_fails_is_tried_again_by_the_policy(mesh: MeshData, eventually: Eventually) -> None:
    tries = Counter[str]()

    @activity
    async def release() -> None:
        tries["release"] += 1
        if tries["release"] < 3:
            raise ConnectionError("no answer")

    async def job() -> None:
        try:
            await workflow.wait_for(FOREVER)
        finally:
            tries["told"] += 1
            await release()

    await mesh.connect("job", job, retry=RetryPolicy(max_attempts=5, initial="1 ms"))
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    await handle.cancel()
    with pytest.raises(JobCancelled):
        await handle.result(5)
    assert tries["release"] == 3
    assert kinds(await journal_of(mesh, "job:j")) == ["start", "cancel", "activity"]


async def test_running_hooks_are_told_too_and_a_hook_alone_by_its_handle(
    mesh: MeshData, eventually: Eventually
) -> None:
    async def listen(name: str) -> str:
        try:
            return str(await workflow.wait_for(FOREVER))
        except asyncio.CancelledError:
            await workflow.state.set(**{name: "told"})
            raise

    await mesh.connect("job", listen)
    await mesh.connect("job.listen", listen)
    handle = await mesh.exec(entity="job", args=["main"], id="j", ttl="1 minute", wait=False)
    one, two = [await handle.hook("job.listen", [name]) for name in ("one", "two")]

    async def all_wait() -> bool:
        return all([bool(await mesh._store.header(f"{dim} job:j")) for dim in "012"]) and all(
            [any(name.startswith("w:") for name in await mesh._store.header(f"{dim} job:j")) for dim in "012"]
        )

    await eventually(all_wait)
    assert await one.cancel("only this") is True
    with pytest.raises(JobCancelled, match="only this"):
        await one.result(5)
    assert await handle.state() == {"one": "told"}
    assert await handle.cancel() is True
    for each in (handle, two):
        with pytest.raises(JobCancelled):
            await each.result(5)
    assert await handle.state() == {"one": "told", "two": "told", "main": "told"}
    assert await one.cancel() is False


async def test_a_hook_nobody_has_begun_is_over_with_its_job(
    mesh: MeshData, redis_client: redis.Redis, eventually: Eventually
) -> None:
    await mesh.connect("job", forever)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    hook = await handle.hook("job.nobody")
    await handle.cancel()
    for each in (handle, hook):
        with pytest.raises(JobCancelled):
            await each.result(5)
    assert redis_client.pttl(mesh._store.keys.base(mesh._store.keys.partition("job:j")) + "j:job:j") > 0


async def test_a_job_whose_code_does_not_fit_is_told_once_fitting_code_comes(
    open_mesh: OpenMesh, eventually: Eventually
) -> None:
    one = await open_mesh()

    async def first() -> None:
        await workflow.state.set(a=1)
        await workflow.wait_for(FOREVER)

    async def second() -> None:
        await workflow.sleep_for(1)

    await one.connect("job", first)
    handle = await (await open_mesh()).exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(one, "job:j"))
    await one.close()
    two = await open_mesh()
    await two.connect("job", second)

    async def is_parked() -> bool:
        return (await handle.status()) == "parked"

    assert await handle.cancel() is True
    await eventually(is_parked)
    three = await open_mesh()
    await two.close()
    await three.connect("job", first)
    with pytest.raises(JobCancelled):
        await handle.result(10)


# --- from inside ------------------------------------------------------------------------------------------------------


async def test_a_workflow_cancels_another_job(mesh: MeshData, eventually: Eventually) -> None:
    async def boss() -> list[Any]:
        told = [await workflow.cancel("job", "j", reason="by order")]
        try:
            await workflow.cancel("job", "nobody")
        except JobNotFound as error:
            told.append(error.job_id)
        await workflow.wait_for("it is over")
        told.append(await workflow.cancel("job", "j"))
        return told

    await mesh.connect("job", forever)
    await mesh.connect("boss", boss)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    order = await mesh.exec(entity="boss", wait=False)
    with pytest.raises(JobCancelled, match="by order"):
        await handle.result(5)
    await mesh.signal("it is over")
    assert await order.result(5) == [True, "job:nobody", False]


async def test_a_workflow_cancels_itself(mesh: MeshData) -> None:
    async def job() -> None:
        await workflow.cancel("job", workflow.info().id, reason="I give up")
        await workflow.wait_for(FOREVER)

    await mesh.connect("job", job)
    with pytest.raises(JobCancelled, match="I give up"):
        await mesh.exec(entity="job", id="j", ttl="1 minute", timeout=5)


async def test_a_cancelled_child_is_told_to_its_parent(mesh: MeshData, eventually: Eventually) -> None:
    async def parent() -> str:
        try:
            await workflow.exec_child("job", id="child")
        except JobCancelled as error:
            return f"{error.job_id}: {error.reason}"
        return "?"

    await mesh.connect("job", forever)
    await mesh.connect("parent", parent)
    handle = await mesh.exec(entity="parent", wait=False)

    async def child_waits() -> bool:
        try:
            return await waits(mesh, "job:child")
        except JobNotFound:
            return False

    await eventually(child_waits)
    await mesh.cancel("job", "child", reason="moved")
    assert await handle.result(5) == "job:child: moved"


# --- shield -----------------------------------------------------------------------------------------------------------


async def test_a_request_waits_for_the_end_of_a_shield(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> None:
        try:
            async with workflow.shield():
                await workflow.state.set(paid="begun")
                await workflow.wait_for("paid")
                await workflow.state.set(paid="yes")
            await workflow.state.set(paid="and sent")
        finally:
            await workflow.state.set(over="yes")

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    await handle.cancel()
    assert await handle.cancel() is True
    await mesh.signal("paid")
    with pytest.raises(JobCancelled):
        await handle.result(5)
    assert await handle.state() == {"paid": "yes", "over": "yes"}


async def test_a_shield_in_any_task_holds_the_request(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> None:
        async def careful(key: str) -> None:
            async with workflow.shield():
                await workflow.wait_for(key)
                await workflow.state.set(**{key: "came"})

        async with asyncio.TaskGroup() as group:
            group.create_task(careful("a"))
            group.create_task(careful("b"))
            group.create_task(workflow.wait_for(FOREVER))

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)

    async def all_wait() -> bool:
        return len((await handle.info()).waiting_for) == 3

    await eventually(all_wait)
    await handle.cancel()
    for key in "ab":
        await mesh.signal(key)
    with pytest.raises(JobCancelled):
        await handle.result(5)
    assert await handle.state() == {"a": "came", "b": "came"}


async def test_a_block_that_fails_is_told_before_the_request(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> str:
        try:
            async with workflow.shield():
                await workflow.wait_for("go")
                raise ValueError("in the block")
        except ValueError:
            pass
        try:
            await workflow.sleep_for("1 hour")
        except asyncio.CancelledError:
            return "told where it awaited next"
        return "?"

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    await handle.cancel()
    await mesh.signal("go")
    assert await handle.result(5) == "told where it awaited next"


async def test_outside_a_workflow_there_is_nothing_to_shield() -> None:
    with pytest.raises(NotInWorkflow):
        async with workflow.shield():
            pass
    with pytest.raises(NotInWorkflow):
        workflow.cancel("job", "j")


# --- as plain asyncio -------------------------------------------------------------------------------------------------

Pause = Callable[[], Awaitable[Any]]
Log = list[str]


async def noted(log: Log, name: str, pause: Pause) -> str:
    log.append(f"begin {name}")
    try:
        await pause()
    except asyncio.CancelledError:
        log.append(f"cancelled {name}")
        raise
    return name


async def direct(log: Log, pause: Pause) -> Any:
    return await noted(log, "one", pause)


async def gathered(log: Log, pause: Pause) -> Any:
    return await asyncio.gather(*(noted(log, name, pause) for name in "abc"))


async def nested(log: Log, pause: Pause) -> Any:
    return await asyncio.gather(noted(log, "a", pause), asyncio.gather(noted(log, "b", pause), noted(log, "c", pause)))


async def exceptions_returned(log: Log, pause: Pause) -> Any:
    return await asyncio.gather(noted(log, "a", pause), noted(log, "b", pause), return_exceptions=True)


async def grouped(log: Log, pause: Pause) -> Any:
    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(noted(log, name, pause))


async def group_that_fails(log: Log, pause: Pause) -> Any:
    async def failing() -> None:
        try:
            await noted(log, "a", pause)
        except asyncio.CancelledError:
            raise ValueError("in the clean-up") from None

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            group.create_task(noted(log, "b", pause))
    except* ValueError as errors:
        log.append(f"group of {len(errors.exceptions)}")
    return "went on"


async def waited(log: Log, pause: Pause) -> Any:
    tasks = [asyncio.create_task(noted(log, name, pause)) for name in "ab"]
    try:
        await asyncio.wait(tasks)
    finally:
        log.append(f"done {[task.done() for task in tasks]}")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def limited(log: Log, pause: Pause) -> Any:
    return await asyncio.wait_for(noted(log, "one", pause), 3600)


async def shielded(log: Log, pause: Pause) -> Any:
    inner = asyncio.create_task(noted(log, "inner", pause))
    try:
        await asyncio.shield(inner)
    except asyncio.CancelledError:
        log.append(f"inner done {inner.done()}")
        inner.cancel()
        raise


async def caught_and_gone_on(log: Log, pause: Pause) -> Any:
    try:
        await noted(log, "one", pause)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        log.append(f"cancelling {task.cancelling()}")
        task.uncancel()
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
    return "went on"


async def locked(log: Log, pause: Pause) -> Any:
    lock = asyncio.Lock()

    async def hold(name: str) -> None:
        async with lock:
            await noted(log, name, pause)

    try:
        await asyncio.gather(hold("a"), hold("b"))
    finally:
        log.append(f"locked {lock.locked()}")


SHAPES = [
    direct, gathered, nested, exceptions_returned, grouped, group_that_fails, waited, limited, shielded,
    caught_and_gone_on, locked,
]  # fmt: skip


def tell(task: "asyncio.Task[Any]") -> str:
    if task.cancelled():
        return "cancelled"
    return type(task.exception()).__name__ if task.exception() else str(task.result())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_structured_code_is_cancelled_as_plain_asyncio_does(
    mesh: MeshData, eventually: Eventually, shape: Callable[[Log, Pause], Awaitable[Any]]
) -> None:
    plain: Log = []
    task = asyncio.ensure_future(shape(plain, lambda: asyncio.sleep(3600)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    logs: list[Log] = []

    async def job() -> Any:
        logs.append([])
        return await shape(logs[-1], lambda: workflow.sleep_for(3600))

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await eventually(lambda: waits(mesh, "job:j"))
    await handle.cancel()
    try:
        end = str(await handle.result(5))
    except JobCancelled:
        end = "cancelled"
    except JobFailed as error:
        end = error.type
    # In what order a TaskGroup cancels its tasks is not said in plain asyncio: it is that of a set.
    assert (sorted(logs[-1]), end) == (sorted(plain), tell(task))


# --- signals that come too late ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("several", [False, True], ids=["one key", "several keys"])
async def test_a_signal_that_comes_as_its_wait_is_given_up_goes_to_the_next_who_waits(
    open_mesh: OpenMesh, eventually: Eventually, several: bool
) -> None:
    async def job() -> list[Any]:
        keys = [f"{workflow.info().id} {name}" for name in "abc"]
        try:
            await (workflow.wait_for_any(*keys) if several else workflow.wait_for(keys[1]))
        except asyncio.CancelledError:
            return [await workflow.wait_for(keys[1]), await workflow.condition(keys[1], timeout="1 ms")]
        return ["?"]

    payload = {"n": "long" * 20_000}  # a large value is no part of its entry
    first = await open_mesh()
    await first.connect("job", job)
    client = await open_mesh()
    handles = [await client.exec(entity="job", id=f"j{n}", ttl="1 minute", wait=False) for n in range(4)]
    for handle in handles:
        await eventually(lambda handle=handle: waits(client, handle.job_id))
    await first.close()
    for handle in handles:  # the request comes first, then the signal, and only then somebody who reads of both
        await handle.cancel()
        assert await client.signal(f"{handle.id} b", payload)
    meshes = [await open_mesh(), await open_mesh()]
    for mesh in meshes:
        await mesh.connect("job", job)
    for handle in handles:
        assert await handle.result(10) == [payload, False]
        journal = await journal_of(client, handle.job_id)
        codes = [entry.split(b" ", 4)[3] for entry in journal]
        assert codes.count(b"back") == 1
    await client.export("job", "j0")


async def test_a_further_attempt_that_does_not_give_the_wait_up_waits_on(
    open_mesh: OpenMesh, eventually: Eventually
) -> None:
    async def child() -> str:
        return "grown"

    async def job() -> list[Any]:
        waiting = asyncio.create_task(workflow.wait_for("key"))
        try:
            grown = await workflow.exec_child("child", id="c", conflict="restart", ttl="1 minute")
        except JobInterrupted:
            waiting.cancel()
            await workflow.sleep_for("1 ms")
            raise
        return [grown, await waiting]

    first, client = await open_mesh(), await open_mesh()
    await first.connect("job", job)
    once_more = RetryPolicy(max_attempts=2, initial="1 ms")
    handle = await client.exec(entity="job", id="j", ttl="1 minute", wait=False, retry=once_more)

    async def both_wait() -> bool:
        return len((await handle.info()).waiting_for) == 2

    await eventually(both_wait)
    await first.close()
    await client.interrupt("child", "c")

    async def knows_of_its_child() -> bool:
        return len(await journal_of(client, "job:j")) == 2

    await eventually(knows_of_its_child)
    assert await client.signal("key", "kept") is True
    second = await open_mesh()
    await second.connect("child", child)
    await second.connect("job", job)
    assert await handle.result(10) == ["grown", "kept"]
    codes = [entry.split(b" ", 4)[3].decode() for entry in await journal_of(client, "job:j")]
    assert sorted(codes) == ["back", "ok", "ok", "ok"]


# --- replay -----------------------------------------------------------------------------------------------------------


def program(log: dict[str, list[Log]]) -> Callable[[], Awaitable[list[str]]]:
    """Work of several kinds, a shield, and a clean-up; it writes down what it does."""

    @activity
    async def work(n: int) -> int:
        return n

    async def run() -> list[str]:
        lines, own = Log(), running()
        log.setdefault(workflow.info().id, []).append(lines)

        def say(line: str) -> None:
            if not own.dropped:  # what a lost run does counts no more
                lines.append(line)

        async def note(name: str, call: Awaitable[Any]) -> None:
            say(f"call {name}")
            try:
                await call
            except asyncio.CancelledError:
                say(f"cancelled {name}")
                raise
            say(f"got {name}")

        try:
            await note("work", work(1))
            await note("sleep", workflow.sleep_for("1 ms"))
            await note("both", asyncio.gather(work(2), workflow.condition(FOREVER, timeout="2 ms")))
            async with workflow.shield():
                await note("shielded work", work(3))
                await note("shielded state", workflow.state.set(a=1))
            await note("child", workflow.exec_child("child"))
            async with asyncio.TaskGroup() as group:
                group.create_task(note("grouped work", work(4)))
                group.create_task(note("grouped wait", workflow.condition(FOREVER, timeout="2 ms")))
            async with workflow.timeout("1 hour"):
                await note("limited", work(5))
            return [*lines, "to the end"]
        except asyncio.CancelledError:
            say("told")
            await note("clean", work(6))
            await note("rest", asyncio.gather(work(7), workflow.state.set(b=2)))
            return [*lines, "cleaned up"]

    return run


async def child() -> str:
    return "grown"


@pytest.mark.timeout(90)
async def test_asked_at_any_place_and_lost_at_any_later_one_it_goes_the_same_way(
    open_mesh: OpenMesh, at_place: Callable[..., None]
) -> None:
    log: dict[str, list[Log]] = {}
    meshes = [await open_mesh(), await open_mesh()]
    for mesh in meshes:
        await mesh.connect("child", child)
        await mesh.connect("program", program(log))
    mesh = meshes[0]
    whole = await mesh.exec(entity="program", id="whole", ttl="1 hour", timeout=20)
    assert whole[-1] == "to the end"
    length = len(await journal_of(mesh, "program:whole"))
    ids = []
    for asked in range(1, length):
        for lost in range(asked + 1, asked + 4):
            ids.append(f"{asked} {lost}")

            async def ask(run: Run) -> None:
                await mesh.cancel("program", run.job.partition(":")[2])

            async def lose(run: Run) -> None:
                found = resident(meshes, run.job)
                if found is not None and not run.over:
                    await hand_over(*found)

            at_place(f"program:{ids[-1]}", asked, ask)
            at_place(f"program:{ids[-1]}", lost, lose)
    few = asyncio.Semaphore(20)

    async def execute(id: str) -> list[str]:
        async with few:
            result: list[str] = await mesh.exec(entity="program", id=id, ttl="1 hour", timeout=30)
            return result

    results = dict(zip(ids, await asyncio.gather(*map(execute, ids)), strict=True))
    replayed = 0
    for id, result in results.items():
        final = log[id][-1]
        assert result[:-1] == final, id
        for part in log[id][:-1]:
            replayed += 1
            assert part == final[: len(part)], id
        journal = await journal_of(mesh, f"program:{id}")
        ends = Counter(line.split()[0] for line in positions(journal) if line.split()[1] not in ("try", "due"))
        assert max(ends.values()) <= 2 and max(c for at, c in ends.items() if at != "0") == 1, (
            id
        )  # 0: start and request
        assert ("cancel" in kinds(journal)) or result[-1] == "to the end", id
        await mesh.flush("program", id)
    await mesh.flush("program", "whole")
    assert sum(result[-1] == "cleaned up" for result in results.values()) > len(ids) / 2
    assert replayed > len(ids) / 4


async def test_a_shield_and_a_clean_up_outlast_suspensions(open_mesh: OpenMesh, eventually: Eventually) -> None:
    async def job() -> str:
        try:
            async with workflow.shield():
                await workflow.wait_for("in the shield")
        except asyncio.CancelledError:
            return str(await workflow.wait_for("in the clean-up"))
        return "?"

    meshes = [await open_mesh(), await open_mesh()]
    for mesh in meshes:
        await mesh.connect("job", job)
    handle = await meshes[0].exec(entity="job", id="j", ttl="1 minute", wait=False)

    async def is_suspended() -> bool:
        holder, run = await until_resident(meshes, "job:j")
        return run.can_suspend and not run.journal.has_more and await suspend(holder, run)

    await eventually(is_suspended)
    await handle.cancel()
    await eventually(is_suspended)
    await meshes[1].signal("in the shield")
    await eventually(is_suspended)
    await meshes[1].signal("in the clean-up", "done")
    assert await handle.result(5) == "done"


async def test_of_a_request_and_an_end_one_comes_first(mesh: MeshData) -> None:
    @activity
    async def work() -> None:
        await asyncio.sleep(random.random() / 500)

    async def job() -> str:
        await work()
        await work()
        return "done"

    await mesh.connect("job", job)

    few = asyncio.Semaphore(10)

    async def one(number: int) -> str:
        async with few:
            handle = await mesh.exec(entity="job", id=f"j{number}", ttl="1 minute", wait=False)
            await asyncio.sleep(number / 15_000)
            asked = await handle.cancel()
            try:
                end = str(await handle.result(10))
            except JobCancelled:
                end = "cancelled"
            if not asked:
                assert end == "done"
            return end

    ends = Counter(await asyncio.gather(*map(one, range(200))))
    assert set(ends) <= {"done", "cancelled"} and ends["cancelled"], ends
