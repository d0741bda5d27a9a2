"""Schedules: one is made once, a slot is started once, and the end of a run is heard of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshdata.store.schedules import DueSchedule
from meshdata.store.store import Store
from tests.scripts.conftest import TOPIC, Bench

NAME = "thing:nightly"
FIELDS = {
    "rule": "{}", "overlap": "skip", "on_error": "continue", "max": "", "topic": TOPIC, "body": b'{"a":[]}',
    "fn": "thing", "ttl": "", "queue": "", "limit": "",
}  # fmt: skip


class Time:
    """Milliseconds that stand still."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
async def bench(request: pytest.FixtureRequest, make_bench: Callable[..., Any], time: Time) -> Bench:
    made: Bench = await make_bench(partitions=request.param, clock=time)
    return made


async def make(bench: Bench, slot: int | None, token: str = "t", **fields: Any) -> str:
    return await bench.store.schedule(NAME, {**FIELDS, **fields}, slot=slot, token=token)


async def handed(bench: Bench) -> list[DueSchedule]:
    return (await bench.store.fire(bench.store.keys.partition(NAME)))[2]


async def start(bench: Bench, due: DueSchedule, following: int | None, line: int = 0) -> str:
    job = f"{NAME}@{due.slot}"
    word = await bench.store.slot(NAME, rev=due.rev, slot=due.slot, following=following, line=line, job=job)
    await carried(bench.store)
    return word


async def carried(store: Store) -> None:
    """Messages between partitions have arrived."""
    for source in range(store.partitions):
        for target in range(store.partitions):
            while source != target and (messages := await store.outgoing(source, target, 100)):
                await store.carry(source, target, messages)


async def end(bench: Bench, slot: int, code: str = "ok") -> None:
    """The job of a slot is run to its end."""
    claim = bench.claims(f"{NAME}@{slot}")[-1]
    assert (await bench.store.lease(claim)).word == "OK"
    status = "completed" if code == "ok" else "failed"
    await bench.store.finish(
        claim, seq=0, status=status, code=code, payload=b"null", problem="" if code == "ok" else "no"
    )
    await carried(bench.store)


async def stored(bench: Bench) -> dict[str, str]:
    return await bench.store.read_schedule(NAME)


def started(bench: Bench, slot: int) -> bool:
    return bench.header(f"{NAME}@{slot}") != {}


async def test_it_is_made_once(bench: Bench) -> None:
    assert await make(bench, 1_000_100) == "OK"
    before = bench.everything()
    assert await make(bench, 1_000_200, token="another") == "EXISTS"
    assert await make(bench, 1_000_100) == "OK", "the same call, sent twice"
    assert bench.everything() == before
    assert await bench.store.schedule_names() == [NAME]


async def test_it_is_handed_out_when_it_is_due_and_again_a_second_later(bench: Bench, time: Time) -> None:
    await make(bench, 1_000_100)
    assert await handed(bench) == []
    time.ms = 1_000_100
    [due] = await handed(bench)
    assert (due.name, due.now, due.slot, due.line, due.waited, due.overlap) == (
        NAME,
        1_000_100,
        1_000_100,
        0,
        False,
        "skip",
    )
    assert await handed(bench) == []
    time.ms += 1000
    assert [one._replace(now=due.now) for one in await handed(bench)] == [due]


async def test_a_slot_is_started_once_whoever_decides(bench: Bench, time: Time) -> None:
    await make(bench, 1_000_000)
    [due] = await handed(bench)
    assert await start(bench, due, 1_005_000) == "STARTED"
    assert bench.messages(f"{NAME}@1000000") == 1
    before = bench.everything()
    assert await start(bench, due, 1_005_000) == "STALE"
    assert bench.everything() == before
    assert (await stored(bench))["slot"] == "1005000"
    assert bench.timers(NAME) == {f"s {NAME}": 1_005_000}


async def test_the_end_of_a_run_is_heard_of(bench: Bench) -> None:
    await make(bench, 1_000_000)
    await start(bench, (await handed(bench))[0], 1_005_000)
    assert (await stored(bench))["running"] == "1"
    await end(bench, 1_000_000)
    facts = await stored(bench)
    assert (facts["running"], facts["cycles"], facts["last"]) == ("0", "1", "1000000")
    assert "failures" not in facts


async def test_a_run_that_is_flushed_is_over(bench: Bench) -> None:
    await make(bench, 1_000_000)
    await start(bench, (await handed(bench))[0], 1_005_000)
    await bench.store.flush(f"{NAME}@1000000")
    await carried(bench.store)
    assert (await stored(bench))["running"] == "0"


async def test_a_slot_that_finds_a_run_under_way_is_left_out(bench: Bench, time: Time) -> None:
    await make(bench, 1_000_000)
    await start(bench, (await handed(bench))[0], 1_005_000)
    time.ms = 1_005_000
    assert await start(bench, (await handed(bench))[0], 1_010_000) == "SKIPPED"
    facts = await stored(bench)
    assert (facts["skipped"], facts["cycles"], facts["slot"]) == ("1", "1", "1010000")
    assert not started(bench, 1_005_000)


@pytest.mark.parametrize(("overlap", "line"), [("queue", 0), ("skip", 1_005_000)])
async def test_a_slot_that_queues_or_is_owed_waits_for_the_run(
    bench: Bench, time: Time, overlap: str, line: int
) -> None:
    await make(bench, 1_000_000, overlap=overlap)
    await start(bench, (await handed(bench))[0], 1_005_000)
    time.ms = 1_005_000
    assert await start(bench, (await handed(bench))[0], 1_010_000, line) == "WAITS"
    assert bench.timers(NAME) == {}
    await end(bench, 1_000_000)
    [due] = await handed(bench)
    assert (due.slot, due.waited, due.line) == (1_005_000, True, line)
    assert await start(bench, due, 1_010_000, line) == "STARTED"


async def test_where_runs_may_overlap_every_slot_is_started(bench: Bench, time: Time) -> None:
    await make(bench, 1_000_000, overlap="allow")
    for at in (1_000_000, 1_005_000):
        time.ms = at
        assert await start(bench, (await handed(bench))[0], at + 5_000) == "STARTED"
    assert (await stored(bench))["running"] == "2"


async def test_after_its_last_slot_it_goes_with_the_end_of_the_run(bench: Bench) -> None:
    await make(bench, 1_000_000)
    await start(bench, (await handed(bench))[0], None)
    assert (await stored(bench))["slot"] == ""
    assert await make(bench, 1_000_000, token="another") == "EXISTS"
    await end(bench, 1_000_000)
    assert await stored(bench) == {}
    assert await bench.store.schedule_names() == []


async def test_the_last_of_so_many_cycles_is_the_last(bench: Bench) -> None:
    await make(bench, 1_000_000, max=1)
    await start(bench, (await handed(bench))[0], 1_005_000)
    assert bench.timers(NAME) == {}
    await end(bench, 1_000_000)
    assert await stored(bench) == {}


@pytest.mark.parametrize("policy", ["continue", "stop", "pause"])
async def test_a_run_that_failed_is_met_by_the_policy(bench: Bench, policy: str) -> None:
    await make(bench, 1_000_000, on_error=policy)
    await start(bench, (await handed(bench))[0], 1_005_000)
    await end(bench, 1_000_000, "err")
    facts = await stored(bench)
    if policy == "stop":
        assert (facts, bench.timers(NAME)) == ({}, {})
        return
    assert (facts["failures"], facts["error"]) == ("1", "no")
    assert facts.get("paused") == ("1" if policy == "pause" else "0")
    assert bench.timers(NAME) == ({} if policy == "pause" else {f"s {NAME}": 1_005_000})


async def test_what_was_decided_before_it_was_paused_is_void(bench: Bench) -> None:
    await make(bench, 1_000_000)
    [due] = await handed(bench)
    assert await bench.store.schedule(NAME, FIELDS, slot=1_000_000, rev=due.rev, paused=True) == "OK"
    assert await start(bench, due, 1_005_000) == "STALE"
    assert bench.timers(NAME) == {}
    assert await bench.store.schedule(NAME, FIELDS, slot=1_000_000, rev=due.rev) == "STALE"


async def test_a_run_of_one_that_was_there_before_says_nothing_of_the_new_one(bench: Bench) -> None:
    await make(bench, 1_000_000)
    [before] = await handed(bench)
    await start(bench, before, 1_005_000)
    assert await bench.store.unschedule(NAME)
    assert not await bench.store.unschedule(NAME)
    assert await make(bench, 1_007_000, token="another") == "OK"
    await end(bench, 1_000_000)
    assert (await stored(bench))["running"] == "0"
    assert await start(bench, before, 1_005_000) == "STALE"


async def test_one_that_is_altered_without_a_slot_to_come_is_gone(bench: Bench) -> None:
    await make(bench, 1_000_000)
    rev = int((await stored(bench))["rev"])
    assert await bench.store.schedule(NAME, FIELDS, slot=None, rev=rev) == "OK"
    assert await stored(bench) == {}
    assert await bench.store.schedule(NAME, FIELDS, slot=None, rev=rev) == "NOTFOUND"


async def test_it_is_run_by_hand_unless_a_run_is_under_way(bench: Bench) -> None:
    assert await bench.store.trigger(NAME, f"{NAME}@now-1") == "NOTFOUND"
    await make(bench, 1_009_000)
    assert await bench.store.trigger(NAME, f"{NAME}@now-1") == "STARTED"
    assert await bench.store.trigger(NAME, f"{NAME}@now-1") == "STARTED", "the same call, sent twice"
    assert await bench.store.trigger(NAME, f"{NAME}@now-2") == "BUSY"
    await carried(bench.store)
    facts = await stored(bench)
    assert (facts["running"], facts["cycles"], facts["slot"]) == ("1", "0", "1009000")
    await end_of(bench, f"{NAME}@now-1")
    assert (await stored(bench))["running"] == "0"


async def end_of(bench: Bench, job: str) -> None:
    claim = bench.claims(job)[-1]
    await bench.store.lease(claim)
    await bench.store.finish(claim, seq=0, status="completed", code="ok", payload=b"null")
    await carried(bench.store)
