"""Roll call, throttle, and the messages they are made of."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest
import redis

from meshdata import MeshData
from meshdata.engine.profile import Profile
from meshdata.errors import InvalidOptions
from tests.integration.conftest import Eventually, OpenMesh


class Log:
    """When each message was taken in, and what it was."""

    def __init__(self) -> None:
        self.began: list[tuple[float, Any]] = []

    async def note(self, what: Any) -> Any:
        self.began.append((time.monotonic(), what))
        return what

    @property
    def gaps_ms(self) -> list[float]:
        times = [at for at, _ in self.began]
        return [(later - earlier) * 1000 for earlier, later in pairwise(times)]


@pytest.fixture
def log() -> Log:
    return Log()


async def idle(mesh: MeshData, seconds: float = 0.1) -> None:
    """Time in which something that must not happen could have."""
    await asyncio.sleep(seconds)


# --- roll call --------------------------------------------------------------------------------------------------------


async def test_every_process_that_serves_answers_and_no_other(open_mesh: OpenMesh, log: Log) -> None:
    one, two, asker = await open_mesh(name="one"), await open_mesh(), await open_mesh()
    await one.connect("order", log.note)
    await one.connect("bill", log.note)
    await two.connect("order", log.note)
    await asyncio.gather(*(asker.exec("order", args=[n]) for n in range(5)))
    found = await asker.roll_call(5)
    assert {profile.process for profile in found} == {one.process, two.process}
    first = next(profile for profile in found if profile.process == one.process)
    assert first.name == "one" and first.namespace == asker.namespace
    assert sorted(first.topics) == ["bill", "order"] and first.depths == {"bill": 0, "order": 0}
    assert (first.throttle, first.throttles, first.busy, first.concurrency) == (0, {}, 0, 100)
    assert sum(profile.counts.get(200, 0) for profile in found) == 5
    assert first.system.memory_total > 0 and first.system.memory_used > 0 and len(first.system.cpu_load) == 3
    assert first.started <= first.timestamp and first.signature is None


async def test_who_asks_may_serve_itself_and_ask_many_times_at_once(open_mesh: OpenMesh, log: Log) -> None:
    meshes = [await open_mesh() for _ in range(3)]
    for mesh in meshes:
        await mesh.connect("order", log.note)
    rolls = await asyncio.gather(*(mesh.roll_call(5) for mesh in (*meshes, meshes[0])))
    assert all({profile.process for profile in roll} == {mesh.process for mesh in meshes} for roll in rolls)


async def test_a_roll_call_is_over_in_its_time_if_a_process_does_not_answer(
    mesh: MeshData, redis_client: redis.Redis, log: Log
) -> None:
    await mesh.connect("order", log.note)
    redis_client.zadd(f"{mesh.store.keys.base(0)}procs", {"dead-1": time.time() * 1000 + 60_000})
    found = await mesh.roll_call("50 ms")
    assert [profile.process for profile in found] == [mesh.process]
    redis_client.zrem(f"{mesh.store.keys.base(0)}procs", "dead-1")


async def test_nobody_serves_nobody_answers(mesh: MeshData) -> None:
    assert await mesh.roll_call(0.02) == []


async def test_a_profile_tells_what_waits_and_what_failed(mesh: MeshData, eventually: Eventually) -> None:
    async def fails(n: int) -> None:
        raise ValueError(n)

    await mesh.connect("order", fails)
    with pytest.raises(Exception, match="7"):
        await mesh.exec("order", args=[7])
    await mesh.throttle(-1)
    for n in range(3):
        await mesh.exec("order", args=[n], wait=False)
    [profile] = await mesh.roll_call(5)
    assert profile.counts == {500: 1} and profile.throttle == -1 and profile.depths == {"order": 3}
    await mesh.throttle(0)

    async def all_failed() -> bool:
        return (await mesh.roll_call(5))[0].counts == {500: 4}

    await eventually(all_failed)


async def test_a_roll_call_by_message_is_answered_as_often_as_it_asks_to_be(
    open_mesh: OpenMesh, eventually: Eventually, log: Log
) -> None:
    one, two = await open_mesh(), await open_mesh()
    await one.connect("order", log.note)
    await two.connect("bill", log.note)
    heard: list[dict[str, Any]] = []
    await two.subscribe(heard.append)
    await two.publish({"type": "rollcall", "interval": 0.02, "topic": "order", "max": 2, "signature": True})
    await eventually(lambda: len([m for m in heard if m["type"] == "pong"]) == 2)
    await idle(one)
    pongs = [message for message in heard if message["type"] == "pong"]
    assert [(pong["guid"], pong["originator"]) for pong in pongs] == [(one.process, None)] * 2
    assert "async def note" in Profile.of_message(pongs[0]["profile"]).signature["order"]  # type: ignore[index] # asked for
    heard.clear()
    await two.publish({"type": "rollcall", "interval": 0, "guid": two.process})
    await eventually(lambda: any(message["type"] == "pong" for message in heard))
    assert {message["guid"] for message in heard if message["type"] == "pong"} == {two.process}


async def test_a_ping_without_details_is_answered_without_a_profile(
    mesh: MeshData, eventually: Eventually, log: Log
) -> None:
    await mesh.connect("order", log.note)
    heard: list[dict[str, Any]] = []
    await mesh.subscribe(heard.append)
    await mesh.publish({"type": "ping", "originator": "me"})
    pong = await eventually(lambda: next((m for m in heard if m["type"] == "pong"), None))
    assert pong == {"type": "pong", "guid": mesh.process, "originator": "me"}


# --- throttle ---------------------------------------------------------------------------------------------------------


async def test_a_pause_holds_what_comes_and_a_release_lets_all_of_it_go(open_mesh: OpenMesh, log: Log) -> None:
    one, two = await open_mesh(), await open_mesh()
    for mesh in (one, two):
        await mesh.connect("order", log.note)
    await one.throttle(-1)
    while [profile.throttle for profile in await one.roll_call(5)] != [-1, -1]:
        pass
    handles = [await one.exec("order", args=[n], wait=False) for n in range(10)]
    await idle(one)
    assert log.began == []
    await two.throttle(0)
    assert sorted(await asyncio.gather(*handles)) == list(range(10))


async def test_a_throttle_counts_each_message_and_not_each_read(mesh: MeshData, log: Log) -> None:
    await mesh.connect("order", log.note)
    await mesh.throttle(-1)
    handles = [await mesh.exec("order", args=[n], wait=False) for n in range(8)]
    await mesh.throttle(40)
    await asyncio.gather(*handles)
    assert len(log.gaps_ms) == 7 and min(log.gaps_ms) > 39
    await mesh.throttle(0)


async def test_a_lower_throttle_wakes_who_sleeps_by_the_old_one(mesh: MeshData, log: Log) -> None:
    await mesh.connect("order", log.note)
    await mesh.throttle(3_600_000)
    await mesh.exec("order", args=[0])
    waiting = [asyncio.ensure_future(mesh.exec("order", args=[n])) for n in range(1, 4)]
    await idle(mesh)
    assert len(log.began) == 1
    await mesh.throttle(1)
    assert await asyncio.gather(*waiting) == [1, 2, 3]
    await mesh.throttle(0)


async def test_a_topic_has_a_rate_of_its_own_until_all_are_given_one(open_mesh: OpenMesh, log: Log) -> None:
    mesh = await open_mesh()
    await mesh.connect("slow", log.note)
    await mesh.connect("quick", log.note)
    await mesh.throttle(1000, topic="slow")
    assert (await mesh.throttles()).of("slow") == 1000 and (await mesh.throttles()).of("quick") == 0
    await mesh.throttle(-1, topic="slow")
    held = await mesh.exec("slow", args=["s"], wait=False)
    assert await mesh.exec("quick", args=["q"]) == "q"
    await idle(mesh)
    assert [what for _, what in log.began] == ["q"]
    await mesh.throttle(5)
    kept = await mesh.throttles()
    assert (kept.all, kept.topics, kept.of("slow")) == (5, {}, 5)
    assert await held == "s"
    await mesh.throttle(0)
    assert (await mesh.throttles()).all == 0


async def test_a_process_that_comes_later_goes_by_the_rates_that_are_kept(open_mesh: OpenMesh, log: Log) -> None:
    caller = await open_mesh()
    await caller.throttle(250)
    await caller.throttle(-1, topic="order")
    later = await open_mesh()
    await later.connect("order", log.note)
    [profile] = await caller.roll_call(5)
    assert (profile.throttle, profile.throttles) == (250, {"order": -1})
    handle = await caller.exec("order", args=[1], wait=False)
    await idle(later)
    assert log.began == []
    await caller.throttle(0, topic="order")
    assert (await caller.throttles()).topics == {"order": 0}  # it is free, though all others are not
    assert await handle == 1
    await caller.throttle(0)


async def test_one_process_is_paused_and_the_others_take_what_it_had_not_begun(open_mesh: OpenMesh, log: Log) -> None:
    one, two = await open_mesh(), await open_mesh()
    other = Log()
    await one.connect("order", log.note)
    await two.connect("order", other.note)
    await two.throttle(-1, process=one.process)
    assert (await two.throttles()).all == 0
    while next(p for p in await two.roll_call(5) if p.process == one.process).throttle != -1:
        pass
    assert sorted(await asyncio.gather(*(two.exec("order", args=[n]) for n in range(20)))) == list(range(20))
    assert log.began == [] and len(other.began) == 20
    await one.throttle(0, process=one.process)


async def test_what_was_begun_goes_on_while_all_is_paused(mesh: MeshData, eventually: Eventually) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def patient() -> str:
        begun.set()
        await go.wait()
        return "done"

    await mesh.connect("order", patient)
    handle = await mesh.exec("order", wait=False)
    await begun.wait()
    await mesh.throttle(-1)
    go.set()
    assert await handle.result(timeout=5) == "done"
    await mesh.throttle(0)


async def test_a_rate_that_was_changed_while_the_connection_was_lost_is_read_again(
    open_mesh: OpenMesh, redis_client: redis.Redis, eventually: Eventually, log: Log
) -> None:
    mesh = await open_mesh()
    await mesh.connect("order", log.note)
    redis_client.hset(mesh.store.keys.throttle, ":", 77)  # told while nobody listened
    mesh.store.connections.lane(0).abort("the test says so")

    async def is_read() -> bool:
        return (await mesh.roll_call(1))[0].throttle == 77

    await eventually(is_read)
    await mesh.throttle(0)


async def test_a_message_by_hand_throttles_and_is_not_kept(mesh: MeshData, log: Log, eventually: Eventually) -> None:
    await mesh.connect("order", log.note)
    heard: list[dict[str, Any]] = []
    await mesh.subscribe(heard.append)
    await mesh.publish({"type": "throttle", "throttle": 500})
    await mesh.publish({"type": "throttle", "throttle": "fast"})  # nobody can read it; nobody minds
    await mesh.publish({"type": "throttle", "throttle": 9, "guid": "somebody else"})
    assert (await mesh.roll_call(5))[0].throttle == 500
    assert (await mesh.throttles()).all == 0
    assert heard[0] == {"type": "throttle", "throttle": 500}
    await mesh.throttle(0)
    await eventually(lambda: heard[-1] == {"type": "throttle", "throttle": 0})


@pytest.mark.parametrize("ms", [-2, 2_147_483_648, 1.5, "1", True, None])
async def test_a_rate_that_is_none_is_refused(mesh: MeshData, ms: Any) -> None:
    with pytest.raises(InvalidOptions, match=r"Throttle must be a non-negative integer .* send -1") as refused:
        await mesh.throttle(ms)
    assert refused.value.argument == "ms"
    assert (await mesh.throttles()).all == 0


async def test_a_rate_is_for_a_topic_or_a_process_by_name(mesh: MeshData) -> None:
    for option in ("topic", "process"):
        with pytest.raises(InvalidOptions) as refused:
            await mesh.throttle(1, **{option: ""})
        assert refused.value.argument == option
    with pytest.raises(InvalidOptions):
        await mesh.roll_call("infinity")
