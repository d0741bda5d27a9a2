"""The life of calls as users of the reference family know it: one ordered story, then what that family got wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from meshdata import MeshCall
from meshdata.errors import InvalidOptions, JobFailed


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
async def call(
    request: pytest.FixtureRequest, redis_url: str, namespace: str, no_leaks: set[str]
) -> AsyncIterator[MeshCall]:
    no_leaks |= {"inseq", "outseq"}
    async with MeshCall(redis_url, namespace=namespace, partitions=request.param) as door:
        yield door


async def until(condition: Callable[[], bool], *, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_calls_and_kept_answers(call: MeshCall) -> None:
    async def greet(asked: dict[str, str]) -> dict[str, dict[str, str]]:
        return {"hello": asked}

    worker = await call.connect("my.function", greet)
    assert worker.name == "my.function" and callable(worker)

    async def hello(payload: str, **options: Any) -> str:
        answer = await call.exec("my.function", args=[{"payload": payload}], **options)
        return str(answer["hello"]["payload"])

    kept = {"id": "mytest123", "ttl": "1 minute"}
    assert await hello("HotMesh") == "HotMesh"
    assert await hello("CoolMesh", **kept) == "CoolMesh"
    assert await hello("HotMesh", **kept) == "CoolMesh"
    assert await hello("HotMesh", **kept, flush=True) == "HotMesh"
    assert await hello("HotMesh", **kept) == "HotMesh"
    assert await call.flush("my.function", id="mytest123")
    assert await hello("ColdMesh", **kept) == "ColdMesh"


async def test_crons_start_once_and_stop_when_told(call: MeshCall) -> None:
    counts = [0]

    async def count() -> None:
        counts[0] += 1

    assert await call.cron("my.cron.function", id="mycron123", interval="100 ms") is True
    assert await call.cron("my.cron.function", count, id="mycron123", interval="100 ms") is False
    await until(lambda: counts[0] > 1)

    async def another() -> None:
        raise AssertionError("the schedule runs already")

    assert await call.cron("my.cron.function", another, id="mycron123", interval="100 ms") is False
    assert await call.interrupt("my.cron.function", id="mycron123") is True
    assert await call.interrupt("my.cron.function", id="mycron123") is False


async def test_a_cron_ends_after_its_cycles(call: MeshCall) -> None:
    counts = [0]

    async def count() -> None:
        counts[0] += 1

    options = {"interval": "100 ms", "delay": "100 ms", "max_cycles": 2}
    assert await call.cron("my.cron.two", count, id="mycron456", **options) is True
    await until(lambda: counts[0] == 2)
    deadline = time.monotonic() + 10
    while await call.schedules():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    assert counts[0] == 2


# --- what the reference family gets wrong -----------------------------------------------------------------------------


async def test_two_calls_at_once_with_one_id_share_one_result(call: MeshCall) -> None:
    runs: list[int] = []

    async def work(n: int) -> int:
        runs.append(n)
        await asyncio.sleep(0)
        return n

    await call.connect("work", work)
    found = await asyncio.gather(*(call.exec("work", args=[n], id="k", ttl=60) for n in range(2)))
    assert len(runs) == 1 and set(found) == set(runs)


async def test_a_kept_answer_of_nothing_is_kept(call: MeshCall) -> None:
    runs: list[int] = []
    await call.connect("work", runs.append)
    assert [await call.exec("work", args=[n], id="k", ttl=60) for n in (1, 2)] == [None, None]
    assert runs == [1]


async def test_a_kept_failure_raises_again_and_is_neither_a_duplicate_nor_an_empty_success(call: MeshCall) -> None:
    runs: list[int] = []

    def work(n: int) -> None:
        runs.append(n)
        raise ValueError(f"bad {n}")

    await call.connect("work", work)
    for n in (1, 2):
        with pytest.raises(JobFailed, match="ValueError: bad 1"):
            await call.exec("work", args=[n], id="k", ttl=60)
    with pytest.raises(JobFailed, match="ValueError: bad 3"):
        await call.exec("work", args=[3], id="k", ttl=60, retry_failed=True)
    assert runs == [1, 3]


async def test_an_id_without_a_ttl_may_be_repeated_at_once(call: MeshCall) -> None:
    runs: list[int] = []
    await call.connect("work", runs.append)
    for n in (1, 2, 3):
        assert await call.exec("work", args=[n], id="k") is None
    assert runs == [1, 2, 3]


async def test_a_cron_whose_function_raises_runs_on(call: MeshCall) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 2:
            raise ValueError("the second")

    assert await call.cron("work", work, id="k", interval="100 ms")
    await until(lambda: len(runs) >= 4)
    assert await call.interrupt("work", id="k")


async def test_an_interval_that_is_none_is_refused_at_once_and_steps_are_understood(call: MeshCall) -> None:
    with pytest.raises(InvalidOptions):
        await call.cron("work", id="k", interval="every now and then")
    assert await call.schedules() == []
    assert await call.cron("work", id="k", interval="*/5 * * * *")
    assert await call.interrupt("work", id="k")
