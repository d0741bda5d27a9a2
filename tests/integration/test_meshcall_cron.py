"""`MeshCall.cron`: a topic called again and again, by whichever process serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from meshdata import MeshCall, MeshData
from meshdata.errors import InvalidOptions
from meshdata.testing import Clock

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
async def call(redis_url: str, namespace: str, partitions: int, no_leaks: set[str]) -> AsyncIterator[MeshCall]:
    no_leaks |= {"inseq", "outseq"}
    async with MeshCall(redis_url, namespace=namespace, partitions=partitions) as door:
        yield door


class Counter:
    """How often it was called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def test_the_life_of_a_cron(call: MeshCall, eventually: Eventually) -> None:
    first, second = Counter(), Counter()
    assert await call.cron("my.cron.function", id="mycron123", interval="200 ms") is True, "without a worker"

    async def counts() -> None:
        first()

    async def counts_too() -> None:
        second()

    assert await call.cron("my.cron.function", counts, id="mycron123", interval="200 ms") is False
    await eventually(lambda: first.count > 1)
    assert await call.cron("my.cron.function", counts_too, id="mycron123", interval="200 ms") is False
    with pytest.raises(InvalidOptions, match="one name stands for one function"):
        await call.cron("my.cron.function", counts_too, id="another", interval="200 ms")
    assert await call.interrupt("my.cron.function", id="mycron123") is True
    assert await call.interrupt("my.cron.function", id="mycron123") is False


async def test_so_many_cycles_after_a_delay(call: MeshCall, eventually: Eventually) -> None:
    counter = Counter()

    def counts() -> None:
        counter()

    assert await call.cron("other", counts, id="mycron456", interval="200 ms", delay="200 ms", max_cycles=2) is True
    [one] = await call.schedules()
    assert (one.topic, one.id, one.max_cycles, one.paused) == ("other", "mycron456", 2, False)

    async def ended() -> bool:
        return not await call.schedules()

    await eventually(ended)
    assert counter.count == 2


async def test_of_a_hundred_callers_one_starts_it(call: MeshCall) -> None:
    asked = [call.cron("tick", id="one", interval="1 day") for _ in range(100)]
    assert sorted(await asyncio.gather(*asked)) == [False] * 99 + [True]
    assert await call.interrupt("tick", id="one")


async def test_an_interval_that_is_none_is_refused_at_once_and_steps_are_understood(call: MeshCall) -> None:
    with pytest.raises(InvalidOptions, match="neither a cron expression"):
        await call.cron("tick", id="a", interval="every now and then")
    with pytest.raises(InvalidOptions, match="did you mean 'max_cycles'"):
        await call.cron("tick", id="a", interval="1 h", maxCycles=3)  # type: ignore[arg-type]  # what it is about
    assert await call.schedules() == []
    assert await call.cron("tick", id="a", interval="*/5 * * * *")
    assert await call.interrupt("tick", id="a")


async def test_it_is_paused_changed_run_by_hand_and_goes_on() -> None:
    clock = Clock()
    calls: list[int] = []

    async def tick(n: int) -> int:
        calls.append(n)
        return len(calls)

    async with MeshData("fake://", clock=clock) as mesh, MeshCall(mesh) as call:
        await call.cron("tick", tick, id="a", args=[7], interval="1 h")
        await clock.advance("1 h")
        assert await call.pause("tick", id="a")
        await clock.advance("3 h")
        handle = await call.trigger("tick", id="a")
        assert await handle == 3
        assert await call.update("tick", id="a", interval="1 day", max_cycles=4)
        assert await call.resume("tick", id="a")
        await clock.advance("1 week")
        assert calls == [7] * 5, "two by the clock, one by hand, two by the clock"
        assert await call.schedules("tick") == []


async def test_a_cron_whose_function_fails_goes_on() -> None:
    clock = Clock()
    calls = 0

    async def tick() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("no")

    async with MeshData("fake://", clock=clock) as mesh, MeshCall(mesh) as call:
        await call.cron("tick", tick, id="a", interval="1 h")
        await call.cron("tick", id="b", interval="1 h", on_error="stop")
        await clock.advance("5 h")
        assert calls == 6 + 1
        assert [(one.id, one.failures) for one in await call.schedules()] == [("a", 6)]
