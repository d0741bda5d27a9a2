"""Schedules: functions run again and again, each slot once, whatever processes come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import InvalidOptions, JobExists, JobFailed, JobNotFound
from meshdata.testing import Clock
from tests.integration.conftest import OpenMesh

Eventually = Callable[..., Awaitable[Any]]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NEW_YEAR)


@pytest.fixture
async def held(clock: Clock, partitions: int) -> AsyncIterator[MeshData]:
    """A mesh whose time stands still until it is moved."""
    async with MeshData("fake://", clock=clock, partitions=partitions) as mesh:
        yield mesh


class Runs:
    """What a scheduled function was called with, and the slots of its runs."""

    def __init__(self) -> None:
        self.slots: list[str] = []
        self.args: list[Any] = []

    async def note(self, *args: Any) -> None:
        self.slots.append(workflow.info().id.partition("@")[2])
        self.args.append(args)


# --- slots ------------------------------------------------------------------------------------------------------------


async def test_each_slot_is_run_once_in_its_turn(held: MeshData, clock: Clock) -> None:
    runs = Runs()
    await held.connect("tick", runs.note)
    assert await held.schedule("tick", [1, {"a": 2}], id="often", interval="15 minutes")
    await clock.advance("1 hour")
    assert runs.slots == [f"2026-01-01T{at}:00Z" for at in ("00:00", "00:15", "00:30", "00:45", "01:00")]
    assert runs.args == [(1, {"a": 2})] * 5
    [one] = await held.schedules()
    assert (one.id, one.topic, one.cycles, one.running, one.paused) == ("often", "tick", 5, 0, False)
    assert (one.last, one.next) == (NEW_YEAR + timedelta(hours=1), NEW_YEAR + timedelta(minutes=75))


async def test_a_month_of_nights_goes_by_in_a_moment(held: MeshData, clock: Clock) -> None:
    runs = Runs()
    await held.connect("night", runs.note)
    await held.schedule("night", id="close", interval="30 2 * * *", tz="Europe/Paris")
    await clock.advance("3 months")
    assert len(runs.slots) == 90
    # 29 March: at half past two the clocks show half past three
    assert (runs.slots[0], runs.slots[86:89]) == (
        "2026-01-01T01:30:00Z", ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    )  # fmt: skip


async def test_it_ends_after_so_many_cycles(held: MeshData, clock: Clock) -> None:
    runs = Runs()
    await held.connect("tick", runs.note)
    await held.schedule("tick", id="twice", interval="1 second", delay="1 second", max_cycles=2)
    await clock.advance("4500 ms")
    assert runs.slots == ["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"]
    assert await held.schedules() == []
    assert await held.unschedule("tick", "twice") is False


async def test_it_ends_at_its_moment(held: MeshData, clock: Clock) -> None:
    runs = Runs()
    await held.connect("tick", runs.note)
    await held.schedule("tick", id="a", interval="1 h", until=NEW_YEAR + timedelta(hours=2))
    await clock.advance("1 day")
    assert len(runs.slots) == 3
    assert await held.schedules() == []


async def test_each_has_slots_of_its_own(held: MeshData, clock: Clock) -> None:
    runs = Runs()
    await held.connect("tick", runs.note)
    await held.connect("tock", runs.note)
    for entity, id in (("tick", "a"), ("tick", "b"), ("tock", "a")):
        assert await held.schedule(entity, [entity, id], id=id, interval="1 day")
    await clock.advance("1 h")
    assert sorted(runs.args) == [("tick", "a"), ("tick", "b"), ("tock", "a")]
    assert [(one.entity, one.id) for one in await held.schedules()] == [("tick", "a"), ("tick", "b"), ("tock", "a")]
    assert [one.id for one in await held.schedules("tock")] == ["a"]
    assert await held.unschedule("tick", "a")
    await clock.advance("1 day")
    assert len(runs.args) == 5


async def test_a_held_clock_goes_on_where_several_processes_fire(
    held: MeshData, clock: Clock, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pause that ends between two microseconds: the clock comes to just before its end and to just after.
    monkeypatch.setattr("meshdata.engine.scheduler.random.uniform", lambda least, most: 0.010_000_4)
    async with MeshData("fake://", clock=clock, partitions=partitions) as other:
        for mesh in (held, other):
            await mesh.connect("slow", slow)
        await held.schedule("slow", ["30 minutes"], id="a", interval="1 h")
        await held.schedule("slow", ["3 h"], id="b", interval="20 minutes", overlap="allow")
        await clock.advance("6 h")
        assert [one.cycles for one in await held.schedules()] == [7, 19]


# --- one for all ------------------------------------------------------------------------------------------------------


async def test_of_a_hundred_who_ask_for_it_one_makes_it(open_mesh: OpenMesh) -> None:
    meshes = await asyncio.gather(*(open_mesh() for _ in range(10)))
    asked = [mesh.schedule("tick", id="one", interval="1 day") for mesh in meshes for _ in range(10)]
    made = await asyncio.gather(*asked)
    assert sorted(made) == [False] * 99 + [True]
    assert len(await meshes[0].schedules()) == 1
    assert await meshes[3].unschedule("tick", "one")
    assert not await meshes[4].unschedule("tick", "one")


async def test_it_outlives_every_process(open_mesh: OpenMesh, eventually: Eventually) -> None:
    runs = Runs()
    first = await open_mesh()
    assert await first.schedule("tick", id="a", interval="100 ms"), "nobody serves it yet"
    await first.close()
    second = await open_mesh()
    await second.connect("tick", runs.note)
    assert not await second.schedule("tick", id="a", interval="100 ms")
    await eventually(lambda: len(runs.slots) > 2)
    await second.close()
    so_far = len(runs.slots)
    third = await open_mesh()
    await third.connect("tick", runs.note)
    await eventually(lambda: len(runs.slots) > so_far + 2)
    assert len(set(runs.slots)) == len(runs.slots)
    assert await third.unschedule("tick", "a")


async def test_workers_share_the_slots_and_none_runs_twice(open_mesh: OpenMesh, eventually: Eventually) -> None:
    runs = Runs()
    meshes = [await open_mesh() for _ in range(4)]
    for mesh in meshes:
        await mesh.connect("tick", runs.note)
    await meshes[0].schedule("tick", id="a", interval="100 ms", overlap="allow", max_cycles=12)
    await eventually(lambda: len(runs.slots) == 12)
    assert len(set(runs.slots)) == 12


async def test_it_is_run_where_its_queue_is_served(open_mesh: OpenMesh, eventually: Eventually) -> None:
    runs = Runs()
    mesh = await open_mesh()
    await mesh.connect("tick", runs.note, queue="gpu")
    other = await open_mesh()
    await other.schedule("tick", id="a", interval="1 day", queue="gpu", max_cycles=1)
    await eventually(lambda: runs.slots)


async def test_its_size_does_not_grow(
    open_mesh: OpenMesh, eventually: Eventually, redis_client: redis.Redis, keys: Callable[[], set[str]]
) -> None:
    now = 1_767_225_600_000
    runs = Runs()
    mesh = await open_mesh(clock=lambda: now)
    await mesh.connect("tick", runs.note)
    await mesh.schedule("tick", id="a", interval="1 second", catch_up=True)

    async def size_after(cycles: int) -> tuple[set[str], int]:
        nonlocal now
        now = 1_767_225_600_000 + (cycles - 1) * 1000
        await eventually(lambda: len(runs.slots) == cycles, within=30)
        # what runs leave is forgotten after a second
        await eventually(lambda: not any(":j:" in key or ":l:" in key for key in keys()))
        found = keys()
        return found, sum(redis_client.memory_usage(key, samples=0) or 0 for key in found)

    few, small = await size_after(10)
    many, large = await size_after(1_000)
    assert many == few
    assert large <= small + 64, "its numbers have some digits more"
    assert await mesh.unschedule("tick", "a")


# --- runs that overlap ------------------------------------------------------------------------------------------------


async def slow(key: str) -> None:
    await workflow.sleep_for(key)


async def test_a_slot_that_finds_a_run_under_way_is_left_out(held: MeshData, clock: Clock) -> None:
    await held.connect("slow", slow)
    await held.schedule("slow", ["150 minutes"], id="a", interval="1 hour")
    await clock.advance("359 minutes")
    [one] = await held.schedules()
    assert (one.cycles, one.skipped, one.running) == (2, 4, 0)
    assert one.last == NEW_YEAR + timedelta(hours=3)


async def test_a_slot_waits_for_the_run_before_it(held: MeshData, clock: Clock) -> None:
    runs = Runs()

    async def note(length: str) -> None:
        await runs.note()
        await slow(length)

    await held.connect("slow", note)
    await held.schedule("slow", ["150 minutes"], id="a", interval="1 hour", overlap="queue", max_cycles=4)
    await clock.advance("10 h")
    assert runs.slots == [f"2026-01-01T{at:02}:00:00Z" for at in range(4)], "each in its turn"
    assert await held.schedules() == []


async def test_runs_may_overlap(held: MeshData, clock: Clock) -> None:
    await held.connect("slow", slow)
    await held.schedule("slow", ["150 minutes"], id="a", interval="1 hour", overlap="allow")
    await clock.advance("4 h")
    [one] = await held.schedules()
    assert (one.cycles, one.skipped, one.running) == (5, 0, 3)


# --- slots nobody was there for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "overlap", "late", "hours"),
    [
        (False, "skip", 30, [10]), (False, "skip", 90, []), (True, "skip", 90, list(range(11))),
        (3, "skip", 90, [8, 9, 10]), (True, "allow", 90, list(range(11))), (2, "queue", 90, [9, 10]),
    ],
)  # fmt: skip
async def test_what_is_made_up_is_a_matter_of_policy(
    open_mesh: OpenMesh, eventually: Eventually, catch_up: bool | int, overlap: str, late: int, hours: list[int]
) -> None:
    start = 1_767_225_600_000
    now = start
    runs = Runs()

    def time() -> int:
        return now

    maker = await open_mesh(clock=time)
    await maker.schedule("tick", id="a", interval="1 h", catch_up=catch_up, overlap=overlap)
    now = start + 10 * 3_600_000 + late * 1000
    worker = await open_mesh(clock=time)
    await worker.connect("tick", runs.note)

    async def caught_up() -> bool:
        [one] = await worker.schedules()
        assert one.next is not None
        return one.next.hour == 11 and one.running == 0

    await eventually(caught_up)
    assert sorted(runs.slots) == [f"2026-01-01T{hour:02}:00:00Z" for hour in hours]
    await worker.unschedule("tick", "a")


# --- changed by hand --------------------------------------------------------------------------------------------------


async def test_a_pause_starts_nothing_and_is_not_made_up(held: MeshData, clock: Clock) -> None:
    runs = Runs()
    await held.connect("tick", runs.note)
    await held.schedule("tick", id="a", interval="1 h", catch_up=True)
    await clock.advance("1 h")
    assert await held.pause_schedule("tick", "a")
    [one] = await held.schedules()
    assert one.paused
    await clock.advance("330 minutes")
    assert len(runs.slots) == 2
    assert await held.resume_schedule("tick", "a")
    assert await held.resume_schedule("tick", "a"), "it goes on already"
    await clock.advance("30 minutes")
    assert runs.slots[2:] == ["2026-01-01T07:00:00Z"]
    assert not await held.pause_schedule("tick", "b")
    assert not await held.resume_schedule("tick", "b")


async def test_an_interval_is_changed(held: MeshData, clock: Clock) -> None:
    runs = Runs()
    await held.connect("tick", runs.note)
    await held.schedule("tick", id="a", interval="1 h")
    await clock.advance("90 minutes")
    assert await held.update_schedule("tick", "a", interval="0 12 * * *", tz="Asia/Tokyo", max_cycles=3)
    [one] = await held.schedules()
    assert (one.interval, one.tz, one.cycles, one.max_cycles) == ("0 12 * * *", "Asia/Tokyo", 2, 3)
    await clock.advance("1 week")
    assert runs.slots[2:] == ["2026-01-01T03:00:00Z"]
    assert await held.schedules() == []
    assert not await held.update_schedule("tick", "a", interval="1 h")


async def test_what_is_not_changed_stays(held: MeshData, clock: Clock) -> None:
    await held.connect("tick", Runs().note)
    await held.schedule("tick", id="a", interval="1 h", overlap="queue", catch_up=4, until="1 year", on_error="pause")
    [before] = await held.schedules()
    await clock.advance("10 minutes")
    await held.update_schedule("tick", "a", overlap="allow")
    [after] = await held.schedules()
    assert (after.overlap, after.next) == ("allow", NEW_YEAR + timedelta(hours=1))
    assert (after.catch_up, after.until, after.on_error, after.interval) == (4, before.until, "pause", "1 h")
    await held.update_schedule("tick", "a", interval=90.5)
    [after] = await held.schedules()
    assert (after.until, after.interval) == (before.until, "90500 ms")
    assert after.next == NEW_YEAR + timedelta(minutes=10, seconds=90.5)
    with pytest.raises(InvalidOptions, match="neither a cron expression"):
        await held.update_schedule("tick", "a", interval="often")


async def test_it_is_run_by_hand_beside_its_slots(mesh: MeshData, eventually: Eventually) -> None:
    async def double(n: int) -> int:
        return 2 * n

    await mesh.connect("double", double)
    await mesh.schedule("double", [21], id="a", interval="1 day", delay="1 day")
    handle = await mesh.trigger("double", "a")
    assert await handle == 42
    assert handle.id.startswith("a@now-")

    async def is_over() -> bool:
        [one] = await mesh.schedules()
        return (one.cycles, one.running, one.last) == (0, 0, None)

    await eventually(is_over)
    with pytest.raises(JobNotFound, match="no schedule 'b' of 'double'"):
        await mesh.trigger("double", "b")
    await mesh.unschedule("double", "a")


async def test_a_run_by_hand_does_not_overlap_another(held: MeshData, clock: Clock) -> None:
    await held.connect("slow", slow)
    await held.schedule("slow", ["1 h"], id="a", interval="1 day", delay="30 minutes")
    await held.trigger("slow", "a")
    with pytest.raises(JobExists, match="is under way"):
        await held.trigger("slow", "a")
    await clock.advance("2 h")
    [one] = await held.schedules()
    assert (one.cycles, one.skipped) == (0, 1)
    await held.trigger("slow", "a")


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_a_run_that_fails_does_not_end_it(held: MeshData, clock: Clock) -> None:
    tries = 0

    async def fails() -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise ValueError("the second fails")

    await held.connect("fails", fails)
    await held.schedule("fails", id="a", interval="1 h")
    await clock.advance("1 h")
    [one] = await held.schedules()
    assert (one.failures, one.error) == (1, "the second fails")
    await clock.advance("1 h")
    [one] = await held.schedules()
    assert (one.cycles, one.failures, one.error) == (3, 1, None)


@pytest.mark.parametrize("on_error", ["stop", "pause"])
async def test_a_run_that_fails_may_end_it_after_its_retries(held: MeshData, clock: Clock, on_error: Any) -> None:
    tries = 0

    async def fails() -> None:
        nonlocal tries
        tries += 1
        raise ValueError("no")

    await held.connect("fails", fails)
    await held.schedule(
        "fails", id="a", interval="1 h", on_error=on_error, retry=RetryPolicy(max_attempts=3, initial=1)
    )
    await clock.advance("1 day")
    assert tries == 3
    found = await held.schedules()
    assert [(one.paused, one.failures) for one in found] == ([(True, 1)] if on_error == "pause" else [])
    assert await held.schedule("fails", id="a", interval="1 h") is (on_error == "stop")


async def test_a_run_that_does_not_end_in_time_fails(held: MeshData, clock: Clock) -> None:
    await held.connect("slow", slow)
    await held.schedule("slow", ["1 day"], id="a", interval="1 h", timeout="10 minutes")
    await clock.advance("61 minutes")
    [one] = await held.schedules()
    assert (one.cycles, one.failures, one.error) == (2, 1, "it did not end within 600 s")


async def test_results_are_kept_if_that_is_asked_for(held: MeshData, clock: Clock) -> None:
    async def fails(day: int) -> None:
        raise ValueError(f"day {day}")

    await held.connect("fails", fails)
    await held.schedule("fails", [1], id="a", interval="1 day", ttl="2 days")
    await clock.advance("1 h")
    with pytest.raises(JobFailed, match="day 1"):
        await held.handle("fails", "a@2026-01-01T00:00:00Z").result()


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"entity": "a b"}, "entity"), ({"id": ""}, "id"),
        ({"id": "x" * 500}, "id"), ({"interval": "soon"}, "interval"), ({"tz": "Mars"}, "tz"),
        ({"args": "text"}, "args"), ({"overlap": "no"}, "overlap"), ({"catch_up": -1}, "catch_up"),
        ({"max_cycles": 0}, "max_cycles"), ({"on_error": "cry"}, "on_error"), ({"delay": -1}, "delay"),
        ({"until": "1999-01-01"}, "until"), ({"retry": 3}, "retry"), ({"timeout": 0}, "timeout"), ({"ttl": "x"}, "ttl"),
        ({"maxCycles": 3}, "maxCycles"),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_schedule_is_refused_before_anything_is_written(
    mesh: MeshData, keys: Callable[[], set[str]], options: dict[str, Any], argument: str
) -> None:
    before = keys()
    with pytest.raises(InvalidOptions) as refused:
        await mesh.schedule(**{"entity": "tick", "id": "a", "interval": "1 h", **options})
    assert refused.value.argument == argument
    assert keys() == before
