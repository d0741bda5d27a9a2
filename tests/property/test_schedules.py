"""Random lives of schedules: time goes by, processes come and go, people change things. No slot runs twice or early."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshdata import MeshData, workflow
from meshdata.errors import JobExists
from meshdata.testing import Clock

BEGIN = datetime(2026, 3, 28, tzinfo=UTC)

INTERVALS = st.sampled_from(["20 minutes", "1 hour", "*/20 * * * *", "30 2 * * *", "15,45 0-4 * * *", "1 day"])
EVENTS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from(["7 minutes", "50 minutes", "3 h", "10 h"])),
    st.tuples(st.just("advance"), st.sampled_from(["7 minutes", "50 minutes", "3 h"])),
    st.tuples(st.just("work"), st.sampled_from(["0 s", "5 minutes", "45 minutes", "4 h"])),
    st.tuples(st.just("update"), INTERVALS),
    st.tuples(st.sampled_from(["pause", "resume", "trigger", "leave", "come", "make"]), st.just("")),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A missed slot is news; here there are thousands."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class Life:
    """One schedule, the workers that come and go, and all that ran."""

    def __init__(self, options: dict[str, Any], partitions: int) -> None:
        self.options = options
        self.partitions = partitions
        self.clock = Clock(BEGIN)
        self.url = f"fake://{secrets.token_hex(4)}"
        self.work = "5 minutes"
        self.slots: list[datetime] = []
        self.by_hand = 0
        self.at_work = self.most_at_work = 0
        self.workers: list[MeshData] = []
        self.early: list[str] = []

    async def run(self) -> None:
        """What is scheduled; it takes the time that `work` says."""
        id = workflow.info().id
        if id not in self.begun:  # a run that changes hands begins again
            self.begun.add(id)
            when = id.partition("@")[2]
            if when.startswith("now-"):
                self.by_hand += 1
            else:
                self.slots.append(datetime.fromisoformat(when))
                if self.slots[-1] > self.clock.now:
                    self.early.append(id)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            self.lengths[id] = self.work
        await workflow.sleep_for(self.lengths[id])
        self.at_work -= 1

    async def live(self, interval: str, events: list[tuple[str, str]]) -> None:
        self.begun: set[str] = set()
        self.lengths: dict[str, str] = {}
        async with MeshData(self.url, clock=self.clock, partitions=self.partitions) as mesh:
            assert await mesh.schedule("tick", id="a", interval=interval, **self.options)
            await self.come()
            for kind, what in events:
                await self.happen(mesh, kind, what)
            await self.check(mesh)
            for worker in self.workers:
                await worker.close()

    async def come(self) -> None:
        worker = MeshData(self.url, clock=self.clock, partitions=self.partitions)
        await worker.start()
        await worker.connect("tick", self.run)
        self.workers.append(worker)

    async def happen(self, mesh: MeshData, kind: str, what: str) -> None:
        match kind:
            case "advance":
                await self.clock.advance(what)
            case "work":
                self.work = what
            case "update":
                await mesh.update_schedule("tick", "a", interval=what)
            case "pause":
                await mesh.pause_schedule("tick", "a")
            case "resume":
                await mesh.resume_schedule("tick", "a")
            case "make":
                assert not await mesh.schedule("tick", id="a", interval="1 s")
            case "come" if len(self.workers) < 3:
                await self.come()
            case "leave" if self.workers:
                await self.workers.pop(0).close()
            case "trigger":
                try:
                    await mesh.trigger("tick", "a")
                except JobExists:
                    assert self.options["overlap"] != "allow"

    async def check(self, mesh: MeshData) -> None:
        assert not self.early
        assert self.slots == sorted(set(self.slots)), "each slot once, in their order"
        if self.options["overlap"] != "allow":
            assert self.most_at_work <= 1
        if not self.workers:
            return
        await self.clock.settle()
        [one] = await mesh.schedules()
        assert one.cycles == len(self.slots)
        assert one.running == self.at_work
        assert one.next is not None
        if not one.paused and one.running == 0:
            assert one.next > self.clock.now, "nothing is due that is not started"


async def in_time(life: Coroutine[Any, Any, None]) -> None:
    """One that hangs is a failure with an example, not the end of the test."""
    async with asyncio.timeout(40):
        await life


@pytest.mark.parametrize("partitions", [1, 4])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    interval=INTERVALS,
    overlap=st.sampled_from(["skip", "queue", "allow"]),
    catch_up=st.sampled_from([False, True, 3]),
    events=st.lists(EVENTS, min_size=3, max_size=14),
)
def test_no_slot_runs_twice_whatever_happens(
    partitions: int, interval: str, overlap: str, catch_up: bool | int, events: list[tuple[str, str]]
) -> None:
    life = Life({"overlap": overlap, "catch_up": catch_up, "tz": "Europe/Paris"}, partitions)
    asyncio.run(in_time(life.live(interval, events)))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    overlap=st.sampled_from(["queue", "allow"]),
    events=st.lists(
        EVENTS.filter(lambda event: event[0] in ("advance", "leave", "come") and event[1] != "10 h"), max_size=12
    ),
)
def test_with_catching_up_no_slot_is_left_out(overlap: str, events: list[tuple[str, str]]) -> None:
    life = Life({"overlap": overlap, "catch_up": True}, 1)
    life.work = "1 minute"
    asyncio.run(in_time(life.live("10 minutes", [*events, ("come", ""), ("advance", "8 h")])))
    first = life.slots[0]
    assert life.slots == [first + n * timedelta(minutes=10) for n in range(len(life.slots))]
    assert life.slots[-1] == life.clock.now - (life.clock.now - first) % timedelta(minutes=10)
