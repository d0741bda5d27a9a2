"""Workflow functions that are plain functions: the same verbs in blocking form, in a bounded number of threads."""

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import ActivityFailed, JobCancelled, JobFailed, NotInWorkflow, Suspended, UsageError
from meshdata.testing import replay
from meshdata.workflow import activity, sync, thread
from tests.handover import hand_over, journal_of, positions, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh


@activity
def add(a: int, b: int) -> int:
    return a + b


@activity
async def double(n: int) -> int:
    return 2 * n


@pytest.fixture
async def two(open_mesh: OpenMesh) -> list[MeshData]:
    """Two meshes that serve the same functions."""
    return [await open_mesh(name="one"), await open_mesh(name="two")]


async def test_every_verb_has_a_blocking_form(mesh: MeshData) -> None:
    def child(n: int) -> int:
        return sync.run(double(n))

    def note(text: str) -> None:
        sync.state.set(noted=text)
        sync.signal("noted")

    def wf(n: int) -> dict[str, Any]:
        acts = sync.proxy_activities(len)
        found: dict[str, Any] = {
            "activity": sync.run(add(n, 1)),
            "proxy": acts.len("four"),
            "slept": sync.sleep_for("1 ms"),
            "child": sync.exec_child("child", [n]),
            "started": sync.start_child("child", [n], id="c"),
            "once": sync.once(lambda: n),
            "set": sync.state.set(plan="pro"),
            "incr": sync.search().incr("credits", 2),
            "all": sync.all_(*(add(n, k) for k in range(5))),
            "signal": sync.signal("later", 1),
            "wait": sync.wait_for("later"),
            "info": sync.info().job_id,
        }
        sync.hook("wf.note", ["hello"])
        sync.wait_for("noted")
        found["state"] = sync.state.get("noted")
        found["draws"] = [sync.random().random(), str(sync.uuid()), sync.now().year]
        return found

    await mesh.connect("child", child)
    await mesh.connect("wf.note", note)
    await mesh.connect("wf", wf)
    found = await mesh.exec(entity="wf", id="w", args=[20], timeout=20)
    draws = found.pop("draws")
    assert len(draws) == 3
    assert found == {
        "activity": 21, "proxy": 4, "slept": 0.001, "child": 40, "started": "c", "once": 20, "set": 1, "incr": 2,
        "all": [20, 21, 22, 23, 24], "signal": False, "wait": 1, "info": "wf:w", "state": "hello",
    }  # fmt: skip


async def test_its_journal_is_that_of_the_same_function_as_a_coroutine(mesh: MeshData) -> None:
    def plain() -> int:
        total = sync.run(add(1, 2))
        parts = sync.all_(add(total, 1), double(total))
        sync.sleep_for("1 ms")
        return sync.run(add(*parts))

    async def coroutine() -> int:
        total = await add(1, 2)
        parts = await workflow.all_(add(total, 1), double(total))
        await workflow.sleep_for("1 ms")
        return await add(*parts)

    await mesh.connect("plain", plain)
    await mesh.connect("coroutine", coroutine)
    journals = []
    for name in ("plain", "coroutine"):
        assert await mesh.exec(entity=name, id="w", ttl="1 minute", timeout=20) == 10
        journals.append(positions(await journal_of(mesh, f"{name}:w")))
        await mesh.flush(name, "w")
    assert journals[0] == journals[1]


@pytest.mark.parametrize("lose", [hand_over, suspend])
async def test_a_run_lost_while_its_thread_waits_goes_on_elsewhere(
    two: list[MeshData], lose: Any, eventually: Eventually
) -> None:
    work: list[int] = []
    unwound: list[str] = []

    @activity
    def step(n: int) -> int:
        work.append(n)
        return n

    def wf() -> list[Any]:
        try:
            found = [sync.run(step(1)), sync.random().random()]
            found.append(sync.wait_for("go"))
            found.append(sync.run(step(2)))
        except BaseException as error:
            unwound.append(type(error).__name__)
            raise
        return found

    for mesh in two:
        await mesh.connect("wf", wf)
    handle = await two[0].exec(entity="wf", id="w", wait=False)
    holder, run = await until_resident(two, "wf:w")
    await eventually(lambda: run.can_suspend)
    await lose(holder, run)
    await eventually(lambda: unwound == [Suspended.__name__])
    await two[0].signal("go", "now")
    found = await handle.result(timeout=10)
    assert [found[0], *found[2:]] == [1, "now", 2]
    assert work == [1, 2]


async def test_a_run_lost_while_its_thread_computes_is_not_written_by_it(
    two: list[MeshData], eventually: Eventually
) -> None:
    computing, go = threading.Event(), threading.Event()
    ended: list[str] = []

    def wf() -> str:
        if not computing.is_set():
            computing.set()
            go.wait(10)
            try:
                sync.run(add(1, 1))
            except Suspended:
                ended.append("suspended")
                raise
        return "done by another"

    for mesh in two:
        await mesh.connect("wf", wf)
    handle = await two[0].exec(entity="wf", id="w", wait=False)
    holder, run = await until_resident(two, "wf:w")
    await eventually(computing.is_set)
    await hand_over(holder, run)
    assert await handle.result(timeout=10) == "done by another"
    go.set()
    await eventually(lambda: ended == ["suspended"])


async def test_any_number_of_waiting_runs_is_served_by_few_threads(
    open_mesh: OpenMesh, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    mesh = await open_mesh(concurrency=50)
    monkeypatch.setattr(mesh._host._workflow_threads, "_limit", 3)
    most = 0

    def wf(n: int) -> int:
        nonlocal most
        most = max(most, sum("meshdata-workflow" in one.name for one in threading.enumerate()))
        sync.run(double(n))
        return int(sync.wait_for(f"go-{n}")) + n

    await mesh.connect("wf", wf)
    handles = [await mesh.exec(entity="wf", id=str(n), args=[n], wait=False) for n in range(40)]

    async def all_wait() -> bool:
        infos = [await mesh.info("wf", str(n)) for n in range(40)]
        return all(info.waiting_for and info.waiting_for[0].kind == "wait" for info in infos)

    await eventually(all_wait, within=30)
    for n in reversed(range(40)):
        await mesh.signal(f"go-{n}", 100)
    assert await asyncio.gather(*(handle.result(timeout=30) for handle in handles)) == [100 + n for n in range(40)]
    assert most <= 3


async def test_more_runs_that_compute_than_threads_take_turns(mesh: MeshData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh._host._workflow_threads, "_limit", 2)
    at_once, most = 0, 0
    lock = threading.Lock()

    def wf(n: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.001)
        with lock:
            at_once -= 1
        return n

    await mesh.connect("wf", wf)
    assert await asyncio.gather(*(mesh.exec(entity="wf", args=[n], timeout=20) for n in range(30))) == list(range(30))
    assert most <= 2


async def test_a_plain_parent_waits_for_plain_children_though_there_is_one_thread(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh._host._workflow_threads, "_limit", 1)

    def tree(depth: int) -> int:
        return 1 if depth == 0 else sum(sync.all_(*(workflow.exec_child("tree", [depth - 1]) for _ in range(2))))

    await mesh.connect("tree", tree)
    assert await mesh.exec(entity="tree", args=[3], timeout=30) == 8


async def test_failures_and_retries_are_those_of_coroutines(mesh: MeshData) -> None:
    attempts: list[int] = []

    @activity
    def fails() -> None:
        raise KeyError("no")

    def wf() -> str:
        attempts.append(sync.info().attempt)
        try:
            sync.run(fails())
        except ActivityFailed as error:
            caught = error.type
        if len(attempts) < 2:
            raise ValueError("again")
        return caught

    await mesh.connect("wf", wf, retry=RetryPolicy(initial="1 ms"))
    assert await mesh.exec(entity="wf", timeout=20) == "KeyError"
    assert attempts == [1, 2]


async def test_a_time_limit_ends_what_a_plain_function_waits_for(mesh: MeshData) -> None:
    def wf() -> list[Any]:
        said: list[Any] = []
        try:
            with sync.timeout("5 ms"):
                sync.wait_for("never")
        except TimeoutError:
            said.append("late")
        with sync.timeout("1 hour") as limit:
            said.append(sync.run(double(1)))
        said.append(limit.expired)
        try:
            sync.wait_for("never", timeout="1 ms")
        except TimeoutError as error:
            said.append(type(error).__name__)
        return said

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == ["late", 2, False, "MeshTimeout"]


async def test_a_plain_function_is_cancelled_where_it_waits_and_cleans_up(
    mesh: MeshData, eventually: Eventually
) -> None:
    cleaned: list[int] = []

    @activity
    def clean() -> None:
        cleaned.append(1)

    def wf() -> None:
        try:
            sync.wait_for("never")
        finally:
            sync.run(clean())

    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", id="w", wait=False)
    _, run = await until_resident([mesh], "wf:w")
    await eventually(lambda: run.can_suspend)
    await mesh.cancel("wf", "w", reason="enough")
    with pytest.raises(JobCancelled, match="enough"):
        await handle.result(timeout=10)
    assert cleaned == [1]


async def test_a_shield_holds_a_request_until_its_end(mesh: MeshData, eventually: Eventually) -> None:
    def wf() -> str:
        try:
            with sync.shield():
                sync.wait_for("go")
                done = sync.run(double(4))
            sync.sleep_for("1 hour")
        except asyncio.CancelledError:
            return f"cancelled after {done}"
        return "not cancelled"

    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", id="w", wait=False)
    _, run = await until_resident([mesh], "wf:w")
    await eventually(lambda: run.can_suspend)
    await mesh.cancel("wf", "w")
    await mesh.signal("go")
    assert await handle.result(timeout=10) == "cancelled after 8"


async def test_context_variables_are_kept_in_the_thread_and_its_activities(mesh: MeshData) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")

    @activity
    def in_thread() -> str:
        return tenant.get()

    @activity
    async def on_loop() -> str:
        return tenant.get()

    def wf() -> list[str]:
        tenant.set("acme")
        return [sync.run(in_thread()), sync.run(on_loop()), tenant.get()]

    async def aio() -> list[str]:
        tenant.set("acme")

        async def inner() -> str:
            return tenant.get()

        return [await in_thread(), await on_loop(), *await asyncio.gather(inner())]

    await mesh.connect("wf", wf)
    await mesh.connect("aio", aio)
    assert await mesh.exec(entity="wf", timeout=20) == ["acme"] * 3
    assert await mesh.exec(entity="aio", timeout=20) == ["acme"] * 3
    assert tenant.get() == "nobody"


async def test_an_async_function_is_told_to_await(mesh: MeshData) -> None:
    async def wf() -> str:
        with pytest.raises(UsageError, match="an async function awaits"):
            sync.sleep_for("1 s")
        return "told"

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == "told"


def test_outside_a_workflow_the_verbs_say_so() -> None:
    for call in (lambda: sync.sleep_for("1 s"), lambda: sync.wait_for("k"), lambda: sync.state.get("f")):
        with pytest.raises(NotInWorkflow):
            call()


async def test_an_exit_of_a_plain_function_is_a_failure_of_its_job_only(mesh: MeshData) -> None:
    def wf() -> None:
        sync.run(double(1))
        raise SystemExit("bye")

    await mesh.connect("wf", wf)
    with pytest.raises(JobFailed, match="SystemExit"):
        await mesh.exec(entity="wf", timeout=20)


async def test_no_thread_is_left_behind(open_mesh: OpenMesh, redis_url: str, namespace: str) -> None:
    async with MeshData(redis_url, namespace=namespace) as mesh:

        def wf() -> None:
            sync.wait_for("never")

        await mesh.connect("wf", wf)
        await mesh.exec(entity="wf", id="w", wait=False)
        _, run = await until_resident([mesh], "wf:w")
        while not run.can_suspend:
            await asyncio.sleep(0.001)
        await mesh.interrupt("wf", "w")
    deadline = time.monotonic() + 5
    while any(one.name.startswith("meshdata-workflow") for one in threading.enumerate()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_recorded_runs_of_plain_functions_are_checked_offline(mesh: MeshData) -> None:
    def wf() -> int:
        n = sync.run(double(2))
        sync.sleep_for("1 ms")
        return sync.run(add(n, 1))

    await mesh.connect("wf", wf)
    await mesh.exec(entity="wf", id="w", ttl="1 minute", timeout=20)
    await replay(await mesh.export("wf", "w"), wf)
    await mesh.flush("wf", "w")


def test_the_number_of_threads_is_bounded() -> None:
    assert thread.THREADS <= 64
