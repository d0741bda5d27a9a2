"""Starts: what they do when the id is taken, ids reserved for later, starts with a delay."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from meshdata import MeshData, MeshFlow, workflow
from meshdata.errors import (
    InvalidOptions,
    JobError,
    JobExists,
    JobFailed,
    JobInterrupted,
    JobNotFound,
    MeshTimeout,
)
from tests.integration.conftest import Eventually, OpenMesh

AN_HOUR = timedelta(hours=1)
A_MS = timedelta(milliseconds=1)


class Counted:
    """A function that counts its runs and tells which one it was."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self, *args: Any) -> Any:
        self.runs += 1
        return [self.runs, *args]


@pytest.fixture
async def thing(mesh: MeshData) -> Counted:
    fn = Counted()
    await mesh.connect("thing", fn)
    return fn


async def waits(key: str) -> Any:
    return await workflow.wait_for(key)


# --- conflicts --------------------------------------------------------------------------------------------------------


async def test_a_start_joins_the_job_of_its_id_if_not_told_otherwise(mesh: MeshData, thing: Counted) -> None:
    for conflict in ({}, {"conflict": "attach"}):
        assert await mesh.exec("thing", ["x"], id="a", ttl="1 minute", **conflict) == [1, "x"]


async def test_a_start_that_is_to_fail_is_refused_while_the_id_lives_and_when_it_is_over(
    mesh: MeshData, thing: Counted
) -> None:
    assert await mesh.exec("thing", id="a", ttl="1 minute", conflict="fail") == [1]
    for wait in (True, False):
        with pytest.raises(JobExists) as refused:
            await mesh.exec("thing", id="a", ttl="1 minute", conflict="fail", wait=wait)
        assert (refused.value.job_id, refused.value.code) == ("thing:a", 409)
    assert thing.runs == 1


async def test_a_start_that_restarts_runs_anew_what_is_over_however_it_ended(mesh: MeshData, thing: Counted) -> None:
    async def fails() -> None:
        raise ValueError("no")

    await mesh.connect("fails", fails)
    for n in (1, 2, 3):
        assert await mesh.exec("thing", id="a", ttl="1 minute", conflict="restart") == [n]
        with pytest.raises(JobFailed):
            await mesh.exec("fails", id="a", ttl="1 minute", conflict="restart")


async def test_a_start_that_restarts_is_refused_while_the_job_lives(mesh: MeshData, eventually: Eventually) -> None:
    await mesh.connect("waits", waits)
    handle = await mesh.exec("waits", ["go"], id="a", ttl="1 minute", wait=False)
    await eventually(lambda: handle_waits(handle))
    with pytest.raises(JobExists):
        await mesh.exec("waits", ["go"], id="a", conflict="restart")
    await mesh.signal("go", 7)
    assert await handle == 7


async def handle_waits(handle: Any) -> bool:
    return bool((await handle.info()).waiting_for)


async def test_of_many_starts_at_once_that_are_to_fail_one_begins(mesh: MeshData, thing: Counted) -> None:
    starts = [mesh.exec("thing", id="a", ttl="1 minute", conflict="fail") for _ in range(20)]
    ends = await asyncio.gather(*starts, return_exceptions=True)
    assert sum(isinstance(end, JobExists) for end in ends) == 19
    assert thing.runs == 1


async def test_a_conflict_is_decided_in_one_command(mesh: MeshData, thing: Counted, count: Callable[[], int]) -> None:
    await mesh.exec("thing", id="a", ttl="1 minute", conflict="fail")
    before = count()
    with pytest.raises(JobExists):
        await mesh.exec("thing", id="a", ttl="1 minute", conflict="fail")
    assert count() - before == 1


@pytest.fixture
def count(mesh: MeshData, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many starts were sent, by any road."""
    sent = 0
    real = mesh.store._script

    async def counted(name: str, *args: Any, **options: Any) -> Any:
        nonlocal sent
        sent += name in ("start", "result", "flush_job")
        return await real(name, *args, **options)

    monkeypatch.setattr(mesh.store, "_script", counted)
    return lambda: sent


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"id": "a", "conflict": "replace"}, "conflict"),
        ({"conflict": "fail"}, "conflict"),
        ({"id": "a", "conflict": "attach", "flush": True}, "conflict"),
        ({"id": "a", "conflict": "restart", "retry_failed": True}, "conflict"),
        ({"id": "a", "pending": "an hour or so"}, "pending"),
        ({"id": "a", "pending": 0}, "pending"),
        ({"id": "a", "pending": 1, "delay": 1}, "pending"),
        ({"id": "a", "delay": "soon"}, "delay"),
        ({"id": "a", "delay": -1}, "delay"),
        ({"id": "a", "delay": "infinity"}, "delay"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    mesh: MeshData, keys: Callable[[], set[str]], options: dict[str, Any], argument: str
) -> None:
    before = keys()
    with pytest.raises(InvalidOptions) as refused:
        await mesh.exec("nobody", **options)
    assert refused.value.argument == argument
    assert keys() == before


# --- unknown ids ------------------------------------------------------------------------------------------------------


async def test_an_unknown_id_is_not_found_at_once(mesh: MeshData) -> None:
    handle = mesh.handle("thing", "nobody")
    async with asyncio.timeout(2):
        for ask in (handle.result, handle.status, handle.info, handle.resume):
            with pytest.raises(JobNotFound) as error:
                await ask()
            assert error.value.job_id == "thing:nobody"


# --- ids reserved -----------------------------------------------------------------------------------------------------


async def test_a_reserved_id_runs_when_it_is_resumed_and_not_before(mesh: MeshData, thing: Counted) -> None:
    handle = await mesh.exec("thing", ["x"], id="a", ttl="1 minute", pending="1 hour", state={"plan": "pro"})
    info = await handle.info()
    assert (info.status, info.attempts, info.is_open) == ("pending", 0, False)
    assert info.due is not None
    assert AN_HOUR <= info.due - info.created <= AN_HOUR + A_MS, "counted from the next whole ms"
    assert await handle.state("plan") == {"plan": "pro"}
    assert (await mesh.raw("thing", "a"))["_status"] == b"pending"
    with pytest.raises(MeshTimeout):
        await handle.result(timeout="100 ms")
    assert thing.runs == 0
    assert await handle.resume()
    assert await handle == [1, "x"]
    assert (await mesh.raw("thing", "a"))["_status"] == b"completed"
    assert not await handle.resume(), "it has begun before"


async def test_those_who_await_a_reserved_id_get_its_result(mesh: MeshData, thing: Counted) -> None:
    handle = await mesh.exec("thing", id="a", ttl="1 minute", pending="1 hour")
    callers = [asyncio.create_task(mesh.exec("thing", id="a", ttl="1 minute")) for _ in range(3)]
    waiter = asyncio.create_task(handle.result())
    await asyncio.sleep(0)
    assert await mesh.resume("thing", "a")
    assert await asyncio.gather(*callers, waiter) == [[1]] * 4


async def test_a_reservation_lapses_with_all_it_held_and_tells_those_who_wait(
    mesh: MeshData, thing: Counted, keys: Callable[[], set[str]], eventually: Eventually
) -> None:
    handle = await mesh.exec("thing", id="a", pending="300 ms", state={"plan": "pro"})
    with pytest.raises(JobNotFound):
        await handle.result(timeout=10)
    assert not [key for key in keys() if key.endswith((":thing:a", ":timers"))]
    assert thing.runs == 0


async def test_a_reservation_nobody_can_take_away_is_taken_away_by_redis(
    mesh: MeshData, keys: Callable[[], set[str]], eventually: Eventually, redis_client: Any, namespace: str
) -> None:
    await mesh.exec("served_by_nobody", id="a", pending="50 ms", state={"plan": "pro"})
    await eventually(lambda: not [key for key in keys() if key.endswith(":served_by_nobody:a")])
    for key in keys():
        if key.endswith(":timers"):
            redis_client.delete(key)


async def test_a_reservation_may_be_for_ever(mesh: MeshData, redis_client: Any, keys: Callable[[], set[str]]) -> None:
    handle = await mesh.exec("served_by_nobody", id="a", pending="infinity")
    info = await handle.info()
    assert (info.status, info.due) == ("pending", None)
    assert {redis_client.pttl(key) for key in keys() if key.endswith(":served_by_nobody:a")} == {-1}
    assert await handle.flush()


async def test_a_reserved_id_is_taken(mesh: MeshData, thing: Counted) -> None:
    handle = await mesh.exec("thing", id="a", pending="1 hour")
    for conflict in ("fail", "restart"):
        with pytest.raises(JobExists):
            await mesh.exec("thing", id="a", conflict=conflict)
    assert await mesh.exec("thing", id="a", flush=True, ttl="1 minute") == [1]
    assert await handle == [1]


async def test_a_reserved_id_is_interrupted_and_flushed_like_a_job(
    mesh: MeshData, thing: Counted, keys: Callable[[], set[str]]
) -> None:
    handle = await mesh.exec("thing", id="a", ttl="infinity", pending="1 hour")
    with pytest.raises(JobError, match="no hooks"):
        await handle.hook("thing")
    waiter = asyncio.create_task(handle.result())
    assert await handle.interrupt(reason="no more")
    with pytest.raises(JobInterrupted, match="no more"):
        await waiter
    with pytest.raises(JobInterrupted):
        await handle.result()
    assert (await handle.info()).due is None
    assert await handle.flush()
    again = await mesh.exec("thing", id="b", pending="1 hour")
    assert await again.flush()
    with pytest.raises(JobNotFound):
        await again.resume()
    assert not [key for key in keys() if key.endswith((":thing:a", ":thing:b", ":timers"))]
    assert thing.runs == 0


# --- starts with a delay ----------------------------------------------------------------------------------------------


async def started_at() -> str:
    return workflow.info().started.isoformat()


async def test_a_delayed_start_begins_when_it_is_due_and_counts_from_then(mesh: MeshData) -> None:
    await mesh.connect("job", started_at)
    handle = await mesh.exec("job", id="a", ttl="1 minute", delay="200 ms", state={"plan": "pro"}, wait=False)
    info = await handle.info()
    assert (info.status, info.attempts, info.is_open) == ("delayed", 0, True)
    assert info.due is not None
    assert timedelta(milliseconds=200) <= info.due - info.created <= timedelta(milliseconds=201)
    assert (await mesh.raw("job", "a"))["_status"] == b"delayed"
    assert await handle == info.due.isoformat()
    assert (await handle.info()).due is None
    assert (await mesh.raw("job", "a"))["_status"] == b"completed"


async def test_a_caller_waits_through_the_delay(mesh: MeshData, thing: Counted) -> None:
    assert await mesh.exec("thing", ["x"], delay="50 ms") == [1, "x"]
    assert await mesh.exec("thing", ["x"], delay=0) == [2, "x"]


async def test_a_delayed_start_is_resumed_interrupted_and_flushed_before_it_is_due(
    mesh: MeshData, thing: Counted, keys: Callable[[], set[str]]
) -> None:
    async def start(id: str) -> Any:
        return await mesh.exec("thing", id=id, ttl="1 minute", delay="1 hour", wait=False)

    first, second, third = await start("1"), await start("2"), await start("3")
    assert await first.resume()
    assert await first == [1]
    await second.interrupt()
    with pytest.raises(JobInterrupted):
        await second.result()
    assert await third.flush()
    with pytest.raises(JobNotFound):
        await third.result()
    assert not [key for key in keys() if key.endswith(":timers")]
    assert thing.runs == 1


async def test_a_delayed_start_begins_whoever_is_there_when_it_is_due(open_mesh: OpenMesh) -> None:
    first = await open_mesh(name="first")
    await first.connect("job", started_at)
    handle = await first.exec("job", id="a", ttl="1 minute", delay="300 ms", wait=False)
    due = (await handle.info()).due
    await first.close()
    second = await open_mesh(name="second")
    await second.connect("job", started_at)
    assert due is not None
    assert await second.handle("job", "a").result(timeout=10) == due.isoformat()


# --- children ---------------------------------------------------------------------------------------------------------


async def test_a_child_restarts_what_is_over_and_starts_after_a_delay(mesh: MeshData, thing: Counted) -> None:
    async def parent(conflict: Any, delay: Any) -> Any:
        first = await workflow.exec_child("thing", id="c", ttl="1 minute")
        try:
            second = await workflow.exec_child("thing", id="c", ttl="1 minute", conflict=conflict, delay=delay)
        except JobExists:
            second = "exists"
        return [first, second]

    await mesh.connect("parent", parent)
    assert await mesh.exec("parent", ["fail", None]) == [[1], "exists"]
    await mesh.flush("thing", "c")
    assert await mesh.exec("parent", ["restart", "50 ms"]) == [[2], [3]]


async def test_a_child_that_is_delayed_is_started_all_the_same(mesh: MeshData, thing: Counted) -> None:
    async def parent() -> Any:
        return await workflow.start_child("thing", id="c", ttl="1 minute", delay="1 hour")

    await mesh.connect("parent", parent)
    assert await mesh.exec("parent") == "c"
    assert await mesh.handle("thing", "c").status() == "delayed"
    assert await mesh.resume("thing", "c")
    assert await mesh.handle("thing", "c") == [1]


async def test_a_child_cannot_join_anothers_job(mesh: MeshData, thing: Counted) -> None:
    async def parent() -> Any:
        return await workflow.exec_child("thing", id="c", conflict="attach")  # type: ignore[arg-type]

    await mesh.connect("parent", parent)
    with pytest.raises(JobFailed, match="conflict: 'fail' or 'restart' is needed"):
        await mesh.exec("parent")


# --- workflows --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def client(redis_url: str, namespace: str, partitions: int, no_leaks: set[str]) -> AsyncIterator[MeshFlow.Client]:
    no_leaks |= {"inseq", "outseq"}
    async with AsyncExitStack() as stack:
        shared = await stack.enter_async_context(MeshData(redis_url, namespace=namespace, partitions=partitions))
        await stack.enter_async_context(MeshFlow.Worker(shared, workflows=[waits, started_at]))
        yield await stack.enter_async_context(MeshFlow.Client(shared))


async def test_a_workflow_is_not_started_twice_under_an_id_unless_the_start_says_so(client: MeshFlow.Client) -> None:
    first = await client.start(waits, ["go"], id="w", ttl="1 minute")
    for options in ({}, {"conflict": "fail"}, {"conflict": "restart"}):
        with pytest.raises(JobExists):
            await client.start(waits, ["go"], id="w", **options)
    joined = await client.start(waits, ["go"], id="w", conflict="attach")
    await client.signal("go", 1)
    assert await first == await joined == 1
    await client.signal("go", 2)
    assert await client.execute(waits, ["go"], id="w", ttl="1 minute", conflict="restart") == 2


async def test_a_workflow_is_reserved_and_resumed_or_starts_later(client: MeshFlow.Client) -> None:
    handle = await client.start(started_at, id="w", ttl="1 minute", pending="1 hour")
    assert await handle.status() == "pending"
    assert await handle.resume()
    assert await handle.result(timeout=10)
    later = await client.start(started_at, ttl="1 minute", delay="100 ms")
    assert await later.status() == "delayed"
    due = (await later.info()).due
    assert due is not None
    assert await later == due.isoformat()
    with pytest.raises(JobNotFound):
        await client.handle("nobody").status()
    with pytest.raises(JobNotFound):
        await client.handle("nobody").result()
