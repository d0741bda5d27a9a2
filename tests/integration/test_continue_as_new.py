"""Jobs that go on as new runs: the same id and record, an empty journal, the same who await the end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import JobCancelled, JobFailed, JobInterrupted
from meshdata.workflow import activity
from tests.handover import hand_over, journal_of, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh

TTL = "1 minute"


@activity
async def work(n: int) -> int:
    return n


async def loop(left: int, *, total: int = 0) -> int:
    total += await work(left)
    await workflow.state.incr("rounds")
    if left > 1:
        workflow.continue_as_new(left - 1, total=total)
    return total


async def test_a_job_goes_on_as_a_new_run_with_an_empty_journal(mesh: MeshData) -> None:
    await mesh.connect("loop", loop)
    assert await mesh.exec("loop", [5], id="a", ttl=TTL, state={"plan": "pro"}) == 15
    assert await mesh.get("loop", "a") == {"plan": "pro", "rounds": "5"}
    info = await mesh.info("loop", "a")
    assert (info.status, info.runs, info.attempts, info.ttl_ms) == ("completed", 5, 1, 60_000)
    journal = await journal_of(mesh, "loop:a")
    assert [entry.split(b" ")[2] for entry in journal] == [b"start", b"activity", b"state"]


async def test_all_who_await_a_job_get_the_result_of_its_last_run(mesh: MeshData, eventually: Eventually) -> None:
    async def rounds(left: int) -> int:
        await workflow.wait_for("go")
        if left:
            workflow.continue_as_new(left - 1)
        return workflow.info().runs

    await mesh.connect("rounds", rounds)
    handle = await mesh.exec("rounds", [3], id="a", wait=False)
    callers = [asyncio.create_task(mesh.exec("rounds", [3], id="a")) for _ in range(3)]
    for n in range(4):
        await mesh.signal("go", n)
    assert await asyncio.gather(handle.result(), *callers) == [4] * 4


@pytest.mark.parametrize("rounds", [3, 30])
async def test_the_number_of_keys_does_not_grow_with_the_rounds(
    mesh: MeshData, keys: Callable[[], set[str]], eventually: Eventually, rounds: int
) -> None:
    async def long(left: int) -> None:
        async with workflow.timeout("1 hour"):
            await asyncio.gather(work(left), workflow.exec_child("child", [left]))
        waiting = asyncio.create_task(workflow.wait_for(f"never {left}"))
        sleeping = asyncio.create_task(workflow.sleep_for("1 hour"))
        await asyncio.sleep(0)
        assert not waiting.done() and not sleeping.done()
        await work(0)
        if left:
            workflow.continue_as_new(left - 1)
        await workflow.wait_for("stop")

    async def child(n: int) -> int:
        return n

    await mesh.connect("long", long)
    await mesh.connect("child", child)
    handle = await mesh.exec("long", [rounds], id="a", wait=False)
    await eventually(lambda: at_round(handle, rounds + 1))

    def own() -> set[str]:  # a child is forgotten a second after its end
        found = {key.partition("}")[2].lstrip(".0123456789:") for key in keys()}
        return {key for key in found if ":child:" not in key and not key.startswith(("q:", "c:", "own:", "wake:"))}

    await eventually(lambda: {key for key in own() if key.startswith("sig:")} == {"sig:never 0", "sig:stop"})
    allowed = {"j:long:a", "l:long:a", "r:long:a", "timers", "topics", "procs", "inseq", "outseq", "meta"}
    await eventually(lambda: {key for key in own() if not key.startswith("sig:")} <= allowed)
    timers = [
        timer for p in range(mesh.store.partitions) for timer in await mesh.store.command(
            p, "ZRANGE", f"{mesh.store.keys.base(p)}timers", 0, -1
        )
    ]  # fmt: skip
    assert [timer.split(b" ")[0] for timer in timers] == [b"d"], "the sleep of the last round"
    assert len(await journal_of(mesh, "long:a")) < 8
    await mesh.signal("stop")
    await handle


async def at_round(handle: Any, runs: int) -> bool:
    info = await handle.info()
    return info.runs == runs and "stop" in {wait.name for wait in info.waiting_for}


async def test_it_goes_through_except_exception_and_finally_from_however_deep(mesh: MeshData) -> None:
    async def deep(left: int) -> str:
        async def inner() -> None:
            try:
                workflow.continue_as_new(left - 1)
            except Exception:
                raise AssertionError("swallowed") from None
            finally:
                await workflow.state.incr("cleaned")

        if left == 3:
            await inner()
        elif left == 2:
            await asyncio.gather(inner(), workflow.sleep_for("1 hour"))
        elif left == 1:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner())
                group.create_task(workflow.sleep_for("1 hour"))
        return f"{workflow.info().runs} {await workflow.state.get('cleaned')}"

    await mesh.connect("deep", deep)
    assert await mesh.exec("deep", [3], id="a", ttl=TTL) == "4 3"


async def test_beside_a_true_failure_it_is_a_failure(mesh: MeshData) -> None:
    async def both() -> None:
        async def fails() -> None:
            await workflow.sleep_for(0.001)
            raise ValueError("true")

        async def goes_on() -> None:
            try:
                await workflow.sleep_for("1 hour")
            finally:
                workflow.continue_as_new()

        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(goes_on())

    await mesh.connect("both", both)
    with pytest.raises(JobFailed, match="unhandled errors"):
        await mesh.exec("both", id="a", ttl=TTL)
    assert (await mesh.info("both", "a")).runs == 1


async def test_calls_of_a_run_are_not_those_of_the_one_before(mesh: MeshData) -> None:
    seen: list[tuple[Any, ...]] = []

    @activity
    async def key() -> str:
        return activity.info().idempotency_key

    async def child() -> str:
        return workflow.info().id

    async def drawn(left: int) -> None:
        seen.append((await key(), await workflow.exec_child("child"), str(workflow.uuid()), workflow.random().random()))
        if left:
            workflow.continue_as_new(left - 1)

    await mesh.connect("drawn", drawn)
    await mesh.connect("child", child)
    await mesh.exec("drawn", [2], id="a", ttl=TTL)
    assert len(seen) == 3
    assert all(len(set(column)) == 3 for column in zip(*seen, strict=True)), seen


# --- what stays -------------------------------------------------------------------------------------------------------


async def test_signals_that_nobody_was_told_of_are_kept_for_the_next_run(
    mesh: MeshData, eventually: Eventually
) -> None:
    """Those on the way, those in the journal and not told, and those nobody waits for: each once, in their order."""

    async def drain(got: list[int]) -> list[int]:
        waits = [asyncio.create_task(workflow.wait_for("k")) for _ in range(3)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        got = got + [wait.result() for wait in waits if wait.done()]
        if len(got) < 9:
            workflow.continue_as_new(got)
        return got

    await mesh.connect("drain", drain)
    for n in range(5):
        await mesh.signal("k", n)
    handle = await mesh.exec("drain", [[]], id="a", ttl=TTL, wait=False)
    for n in range(5, 9):
        await mesh.signal("k", n)
    got = await handle.result(timeout=20)
    assert sorted(got) == list(range(9)), "none is lost, none is told twice"


async def test_signals_are_told_in_the_order_they_came_in_across_runs(mesh: MeshData) -> None:
    async def drain(got: list[int]) -> list[int]:
        waits = [asyncio.create_task(workflow.wait_for("k")) for _ in range(3)]
        got = [*got, await waits[0]]
        if len(got) < 5:
            workflow.continue_as_new(got)
        return got

    await mesh.connect("drain", drain)
    for n in range(5):
        await mesh.signal("k", n)
    assert await mesh.exec("drain", [[]], id="a", ttl=TTL) == list(range(5))


async def test_hooks_go_on_and_are_accepted_across_runs(mesh: MeshData, eventually: Eventually) -> None:
    async def rounds(left: int) -> int:
        await workflow.wait_for(f"go {left}")
        if left:
            workflow.continue_as_new(left - 1)
        return workflow.info().runs

    async def note(name: str) -> Any:
        await workflow.state.set({name: "here"})
        return await workflow.wait_for(name)

    await mesh.connect("rounds", rounds)
    await mesh.connect("rounds.note", note)
    handle = await mesh.exec("rounds", [1], id="a", ttl=TTL, wait=False)
    first = await handle.hook("rounds.note", ["one"])
    await mesh.signal("go 1")
    await eventually(lambda: runs_of(handle, 2))
    second = await handle.hook("rounds.note", ["two"])
    assert (await handle.info()).hooks == 2
    await mesh.signal("one", 1)
    await mesh.signal("two", 2)
    assert [await first, await second] == [1, 2]
    await mesh.signal("go 0")
    assert await handle == 2
    assert await handle.state("one", "two") == {"one": "here", "two": "here"}


async def runs_of(handle: Any, runs: int) -> bool:
    return bool((await handle.info()).runs == runs)


async def test_a_hook_cannot_begin_anew(mesh: MeshData) -> None:
    async def waits() -> Any:
        return await workflow.wait_for("go")

    async def hook() -> None:
        workflow.continue_as_new()

    await mesh.connect("waits", waits)
    await mesh.connect("waits.hook", hook)
    handle = await mesh.exec("waits", id="a", ttl=TTL, wait=False)
    running = await handle.hook("waits.hook")
    with pytest.raises(JobFailed, match="workflow's own function"):
        await running
    await mesh.signal("go")
    await handle


async def test_children_live_on_across_runs_and_end_with_the_job(mesh: MeshData, eventually: Eventually) -> None:
    async def parent(left: int) -> None:
        if left:
            task = asyncio.create_task(workflow.exec_child("waits", [f"child {left}"], id=f"c{left}"))
            await workflow.wait_for(f"go {left}")
            assert not task.done()
            workflow.continue_as_new(left - 1)
        await workflow.wait_for("stop")

    async def waits(key: str) -> Any:
        return await workflow.wait_for(key)

    await mesh.connect("parent", parent)
    await mesh.connect("waits", waits)
    handle = await mesh.exec("parent", [2], id="a", ttl=TTL, wait=False)
    for left in (2, 1):
        await eventually(lambda left=left: handle_has(mesh, left))
        await mesh.signal(f"go {left}")
    await eventually(lambda: runs_of(handle, 3))
    assert (await handle.info()).children == 2
    await mesh.signal("child 2")
    await eventually(lambda: children_of(handle, 1))
    child = mesh.handle("waits", "c1")
    await handle.interrupt()
    with pytest.raises(JobInterrupted):
        await child


async def handle_has(mesh: MeshData, left: int) -> bool:
    info = await mesh.info("parent", "a")
    return info.runs == 3 - left and {"child", "wait"} <= {wait.kind for wait in info.waiting_for}


async def children_of(handle: Any, children: int) -> bool:
    return bool((await handle.info()).children == children)


async def test_the_retry_policy_stays_and_attempts_count_from_anew(mesh: MeshData) -> None:
    attempts: list[tuple[int, int]] = []

    async def flaky(left: int) -> int:
        info = workflow.info()
        attempts.append((info.runs, info.attempt))
        if info.attempt < 3:
            raise ValueError("not yet")
        if left:
            workflow.continue_as_new(left - 1)
        return info.attempt

    await mesh.connect("flaky", flaky)
    policy = RetryPolicy(max_attempts=3, initial="1 ms")
    assert await mesh.exec("flaky", [1], id="a", ttl=TTL, retry=policy) == 3
    assert attempts == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


async def test_a_request_to_cancel_is_not_lost_between_two_runs(mesh: MeshData, eventually: Eventually) -> None:
    async def rounds(left: int) -> None:
        async with workflow.shield():
            await workflow.wait_for(f"go {left}")
            if left:
                workflow.continue_as_new(left - 1)
        await workflow.sleep_for("1 hour")

    await mesh.connect("rounds", rounds)
    handle = await mesh.exec("rounds", [1], id="a", ttl=TTL, wait=False)
    await until_waits(handle, "go 1")
    _, run = await until_resident([mesh], "rounds:a")
    assert await handle.cancel("enough")
    await eventually(lambda: run.cancellation.payload is not None)  # held by the shield
    await mesh.signal("go 1")
    await mesh.signal("go 0")
    with pytest.raises(JobCancelled, match="enough"):
        await handle.result(timeout=10)
    assert (await handle.info()).runs == 2


# --- loss -------------------------------------------------------------------------------------------------------------


async def test_a_run_that_follows_is_replayed_like_any_other(open_mesh: OpenMesh) -> None:
    meshes = [await open_mesh(name="one"), await open_mesh(name="two")]
    runs: list[int] = []

    async def rounds(left: int, drawn: list[str]) -> list[str]:
        runs.append(workflow.info().runs)
        drawn = [*drawn, str(workflow.uuid())]
        await work(left)
        await workflow.wait_for(f"first {left}")
        await workflow.wait_for(f"second {left}")
        drawn.append(str(workflow.uuid()))
        if left:
            workflow.continue_as_new(left - 1, drawn)
        return drawn

    for mesh in meshes:
        await mesh.connect("rounds", rounds)
    handle = await meshes[0].exec("rounds", [2, []], id="a", ttl=TTL, wait=False)
    for left in (2, 1, 0):
        await until_waits(handle, f"first {left}")
        await hand_over(*(await until_resident(meshes, "rounds:a")))
        await meshes[0].signal(f"first {left}")
        await until_waits(handle, f"second {left}")
        assert await suspend(*(await until_resident(meshes, "rounds:a")))
        await meshes[0].signal(f"second {left}")
    drawn = await handle.result(timeout=20)
    assert len(set(drawn)) == 6
    assert runs == [1, 1, 1, 2, 2, 2, 3, 3, 3]


async def until_waits(handle: Any, key: str) -> None:
    async with asyncio.timeout(10):
        while key not in {wait.name for wait in (await handle.info()).waiting_for}:
            await asyncio.sleep(0.002)


async def test_a_renewal_that_is_too_late_writes_nothing(mesh: MeshData) -> None:
    async def once_more(left: int) -> str:
        await workflow.wait_for("go")
        if left:
            workflow.continue_as_new(0)
        return "end"

    await mesh.connect("once_more", once_more)
    handle = await mesh.exec("once_more", [1], id="a", ttl=TTL, wait=False)
    _, run = await until_resident([mesh], "once_more:a")
    claim = run.claim
    await mesh.signal("go")
    await until_resident([mesh], "once_more:a")
    while not await runs_of(handle, 2):
        await asyncio.sleep(0.001)
    assert not await mesh.store.renew(claim, seq=1, consumed=1, told=False, body=b'{"a":[9]}', signals=[])
    await mesh.signal("go")
    assert await handle == "end"


@pytest.mark.parametrize(
    ("args", "kwargs", "argument"),
    [([1, 2], {}, "args[1]"), ([1], {"nobody": 1}, "kwargs.nobody"), ([object()], {}, "args[0]")],
)
async def test_arguments_the_function_does_not_take_are_refused_in_the_run(
    mesh: MeshData, args: list[Any], kwargs: dict[str, Any], argument: str
) -> None:
    async def one(n: int) -> None:
        workflow.continue_as_new(*args, **kwargs)

    await mesh.connect("one", one)
    with pytest.raises(JobFailed) as failed:
        await mesh.exec("one", [1], id="a", ttl=TTL)
    assert failed.value.type == "InvalidOptions"
    assert failed.value.message.startswith(argument)


# --- journals that grow long ------------------------------------------------------------------------------------------


async def test_a_long_journal_is_warned_of_once_and_shown(
    open_mesh: OpenMesh, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    mesh = await open_mesh(long_journal=10)

    async def gathers(calls: int) -> int:
        for n in range(calls):
            await work(n)
        await workflow.wait_for("go")
        return workflow.info().entries

    await mesh.connect("gathers", gathers)
    caplog.set_level("WARNING", "meshdata.workflow.long")
    short = await mesh.exec("gathers", [8], id="short", ttl=TTL, wait=False)
    long = await mesh.exec("gathers", [20], id="long", ttl=TTL, wait=False)
    for handle in (short, long):
        await until_waits(handle, "go")
    assert [(info.entries, info.is_long) for info in (await short.info(), await long.info())] == [
        (9, False), (21, True),
    ]  # fmt: skip
    await hand_over(*(await until_resident([mesh], "gathers:long")))
    await until_resident([mesh], "gathers:long")
    for _ in range(2):
        await mesh.signal("go")
    assert [await short, await long] == [9, 21]
    [warning] = caplog.records
    assert "continue_as_new" in warning.getMessage()
    assert (warning.__dict__["job_id"], warning.__dict__["entries"]) == ("gathers:long", 11)


async def test_a_journal_of_few_large_entries_is_long_too(
    open_mesh: OpenMesh, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshdata.workflow.long.LONG_BYTES", 10_000)
    mesh = await open_mesh(large_value=1_000)

    @activity
    async def large() -> str:
        return "x" * 4_000

    async def gathers() -> None:
        for _ in range(4):
            await large()

    await mesh.connect("gathers", gathers)
    caplog.set_level("WARNING", "meshdata.workflow.long")
    await mesh.exec("gathers", id="a", ttl=TTL)
    [warning] = caplog.records
    assert warning.__dict__["bytes"] > 10_000


async def test_a_function_may_go_on_as_new_by_what_it_was_told(mesh: MeshData) -> None:
    async def by_length(left: int) -> int:
        while left:
            left -= await work(1)
            if workflow.info().entries >= 5:
                workflow.continue_as_new(left)
        return workflow.info().runs

    await mesh.connect("by_length", by_length)
    assert await mesh.exec("by_length", [23], id="a", ttl=TTL) == 5
