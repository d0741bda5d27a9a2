"""Messages that come twice, too early, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from meshdata import RetryPolicy, workflow
from meshdata.errors import JobInterrupted
from meshdata.store.lane import ConnectionLost, Lane
from meshdata.store.reader import Reader

if TYPE_CHECKING:
    import redis

    from tests.faults.conftest import Fleet

TTL = "5 minutes"
TOPICS = ("order", "journey", "leaf", "journey.mark", "far/far")


@contextlib.asynccontextmanager
async def everything_twice(fleet: Fleet) -> AsyncIterator[list[int]]:
    """Add a copy of every message to its stream, as soon as it stands there; yields the number of copies, in a list."""
    streams = {
        f"{fleet.keys.base(p)}{kind}:{topic}": "0" for p in range(fleet.partitions) for topic in TOPICS for kind in "qc"
    }
    copies = [0]
    stop = False

    def copy(client: redis.Redis) -> None:
        while not stop:
            found = client.xread(streams, block=20)
            for stream, messages in dict(found or {}).items():
                for number, fields in messages[0] if messages and isinstance(messages[0], list) else messages:
                    streams[stream.decode()] = number
                    if b"copy" not in fields:
                        client.xadd(stream, {**fields, b"copy": b"1"})
                        copies[0] += 1

    task = asyncio.create_task(asyncio.to_thread(copy, fleet.redis))
    try:
        yield copies
    finally:
        stop = True
        await task


async def test_every_message_delivered_twice_has_its_effect_once(fleet: Fleet) -> None:
    count = 40 if fleet.partitions == 1 else 16
    await fleet.start(3)
    async with fleet.client() as mesh:
        async with everything_twice(fleet) as copies:
            retry = RetryPolicy(max_attempts=3, initial=0.05)
            orders = [
                asyncio.create_task(mesh.exec(entity="order", args=[n], id=str(n), ttl=TTL)) for n in range(count)
            ]
            journeys = [
                asyncio.create_task(mesh.exec(entity="journey", args=[n], id=str(n), ttl=TTL, retry=retry))
                for n in range(8)
            ]
            for n in range(8):
                await mesh.signal(f"go-{n}", n)
            hooks = [
                await mesh.hook(entity="journey", id=str(n), hook_entity="journey.mark", args=[3]) for n in range(8)
            ]
            assert await fleet.ended(orders, [f"order:{n}" for n in range(count)]) == [6 * n for n in range(count)]
            assert await fleet.ended(journeys, [f"journey:{n}" for n in range(8)]) == [5 * n for n in range(8)]
            assert [await hook for hook in hooks] == [3] * 8
        assert copies[0] > count, "messages were copied"
        await fleet.until(lambda: unread(fleet) == 0, what="the copies are consumed")
    for n in range(count):
        fleet.assert_order_is_right(n)
    for n in range(8):
        record = fleet.record(f"journey:{n}")
        assert (record["steps"], record["marks"]) == ("5", "3")
        fleet.assert_outcomes_once(f"journey:{n}")


def unread(fleet: Fleet) -> int:
    """Messages that are in the streams."""
    bases = [fleet.keys.base(p) for p in range(fleet.partitions)]
    return sum(fleet.redis.xlen(f"{base}{kind}:{topic}") for base in bases for kind in "qc" for topic in TOPICS)


async def test_a_result_announced_before_its_waiter_listens_is_not_missed(fleet: Fleet, monkeypatch: Any) -> None:
    await fleet.start()
    async with fleet.client() as mesh:
        start_job = mesh._store.start_job

        async def slow(start: Any, **options: Any) -> Any:
            """The answer to the start comes to the caller after the job has ended and was announced."""
            outcome = await start_job(start, **options)
            await fleet.until(lambda: fleet.header(start.job).get("status") == "completed")
            return outcome

        monkeypatch.setattr(mesh._store, "start_job", slow)
        assert await mesh.exec(entity="order", args=[1], id="1", ttl=TTL, timeout=2) == 6
        monkeypatch.undo()
        handle = await mesh.exec(entity="order", args=[2], id="2", ttl=TTL, wait=False)
        await fleet.until(lambda: fleet.header("order:2").get("status") == "completed")
        assert await handle.result(timeout=2) == 12
        assert await mesh.handle("order", "2").result(timeout=2) == 12, "a handle of another caller, later"


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process hears no publication."""
    pushed = Lane._pushed

    def without_messages(lane: Lane, push: list[Any]) -> None:
        if push[0] != b"message":
            pushed(lane, push)

    monkeypatch.setattr(Lane, "_pushed", without_messages)


@pytest.mark.usefixtures("deaf")
async def test_without_any_publication_everything_ends_all_the_same(fleet: Fleet) -> None:
    await fleet.start(2, deaf=True)
    async with fleet.client(life_sign=0.6) as mesh:
        retry = RetryPolicy(max_attempts=3, initial=0.05)
        journeys = [
            asyncio.create_task(mesh.exec(entity="journey", args=[n], id=str(n), ttl=TTL, retry=retry))
            for n in range(6)
        ]
        forgotten = [asyncio.create_task(mesh.exec(entity="order", args=[n])) for n in range(6)]
        for n in range(6):
            await mesh.signal(f"go-{n}", n)
        handle = await mesh.exec(entity="order", args=[7], wait=False)
        assert await asyncio.wait_for(asyncio.gather(*forgotten), 20) == [6 * n for n in range(6)]
        assert await handle.result(timeout=20) == 42
        assert await fleet.ended(journeys, [f"journey:{n}" for n in range(6)], 40) == [5 * n for n in range(6)]
    for n in range(6):
        assert fleet.record(f"journey:{n}")["steps"] == "5"


@pytest.mark.usefixtures("deaf")
async def test_a_caller_that_looks_seldom_still_finds_the_answer_of_a_job_without_a_ttl(fleet: Fleet) -> None:
    await fleet.start()
    async with fleet.client(life_sign=4) as mesh:  # it asks again long after the job was forgotten
        assert await mesh.exec(entity="order", args=[3], timeout=20) == 18


@pytest.mark.usefixtures("deaf")
async def test_a_run_that_was_interrupted_leaves_memory_although_the_hint_was_lost(fleet: Fleet) -> None:
    async def waits(key: str) -> object:
        return await workflow.wait_for(key)

    async with fleet.client(life_sign=1, linger=0.2) as mesh:
        await mesh.connect("waits", waits)
        handle = await mesh.exec(entity="waits", args=["never"], id="1", ttl=TTL, wait=False)
        await fleet.until(lambda: any(name.startswith("w:") for name in fleet.header("waits:1")))
        await mesh.interrupt("waits", "1")
        with pytest.raises(JobInterrupted):
            await handle.result(timeout=10)
        await fleet.until(lambda: not mesh._host.runs)


async def test_messages_that_went_away_with_a_connection_are_read_again(fleet: Fleet, monkeypatch: Any) -> None:
    """They are pending for a worker that lives: nobody else comes for them."""
    swallowed: list[Any] = []
    read = Reader.read

    async def cut_short(reader: Reader, *args: Any, **options: Any) -> Any:
        found = await read(reader, *args, **options)
        if found and len(swallowed) < 2:
            swallowed.extend(found)
            raise ConnectionLost(sent=True)
        return found

    monkeypatch.setattr(Reader, "read", cut_short)
    runs: list[int] = []

    async def count(n: int) -> int:
        runs.append(n)
        await asyncio.sleep(0.05)
        return n

    async with fleet.client(life_sign=30) as mesh:
        await mesh.connect("count", count)
        values = await asyncio.wait_for(asyncio.gather(*(mesh.exec(entity="count", args=[n]) for n in range(20))), 20)
    assert values == list(range(20))
    assert swallowed and sorted(runs) == list(range(20)), "each ran once"
