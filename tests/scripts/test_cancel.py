"""cancel: a run is asked to end itself, wherever it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshdata.store.messages import Outcome, StartJob

if TYPE_CHECKING:
    from tests.scripts.conftest import Bench

JOB = "thing:1"
RUN = "0 thing:1"
END = b'{"type":"JobCancelled","reason":"enough"}'


async def cancel(bench: Bench, run: str = RUN) -> str:
    return await bench.store.cancel(run, payload=END, problem="enough")


def requests(bench: Bench, dim: str = "0") -> int:
    return sum(entry.kind == "cancel" for entry in bench.journal(JOB, dim))


async def test_of_nothing_and_of_what_is_over(bench: Bench) -> None:
    assert await cancel(bench) == "NOTFOUND"
    claim = await bench.take(ttl="60000")
    assert await bench.store.finish(claim, seq=0, status="completed", code="ok", payload=b"5")
    before = bench.everything()
    assert await cancel(bench) == "ENDED"
    assert bench.everything() == before


async def test_a_job_nobody_was_given_ends_and_leaves_no_message(bench: Bench) -> None:
    await bench.start(ttl="60000", record=True)
    assert await cancel(bench) == "OK"
    assert (bench.header(JOB)["status"], bench.record(JOB)["_error"], bench.messages(JOB)) == (
        "interrupted",
        "enough",
        0,
    )
    assert await bench.store.result(RUN) == Outcome("DONE", "err", END)
    assert await cancel(bench) == "ENDED"


async def test_a_job_on_a_topic_nobody_ever_served_ends_as_well(bench: Bench) -> None:
    await bench.store.start_job(StartJob(JOB, "nobody", b'{"a":[]}', "thing", ttl="60000"))
    assert await cancel(bench) == "OK"
    assert (bench.header(JOB)["status"], bench.messages(JOB, "nobody")) == ("interrupted", 0)


async def test_a_start_with_a_delay_ends_with_its_timer(bench: Bench) -> None:
    await bench.store.start_job(StartJob(JOB, "work", b'{"a":[]}', "thing", ttl="60000", delay_ms=60_000))
    assert bench.timers(JOB)
    assert await cancel(bench) == "OK"
    assert (bench.header(JOB)["status"], bench.timers(JOB)) == ("interrupted", {})


async def test_a_job_that_was_read_and_not_leased_is_queued_anew(bench: Bench) -> None:
    claim = await bench.start()
    bench.read(JOB)
    assert await cancel(bench) == "OK"
    assert (bench.header(JOB)["status"], requests(bench)) == ("queued", 1)
    again = bench.claims(JOB)
    assert len(again) == 1 and int(again[0].fence) > int(claim.fence)
    assert (await bench.store.step(claim, seq=1, seen=1, operations=[])).word == "STALE"
    assert len((await bench.lease(again[0])).entries) == 2


async def test_a_job_with_a_lease_gets_one_entry_however_often_it_is_asked(bench: Bench) -> None:
    claim = await bench.take()
    assert [await cancel(bench), await cancel(bench)] == ["OK", "OK"]
    assert (bench.header(JOB)["status"], requests(bench), bench.messages(JOB)) == ("running", 1, 0)
    stepped = await bench.store.step(claim, seq=1, seen=1, operations=["timer", 3, "0:1", "sleep", 60_000])
    assert stepped.entries is not None and len(stepped.entries) == 1


async def test_a_suspended_job_is_queued(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["timer", 3, "0:1", "sleep", 60_000])
    assert await bench.store.suspend(claim, seq=1, seen=1, how="waiting") == "OK"
    assert await cancel(bench) == "OK"
    assert (bench.header(JOB)["status"], bench.messages(JOB), requests(bench)) == ("queued", 1, 1)


async def test_a_pause_between_attempts_ends(bench: Bench) -> None:
    claim = await bench.take()
    assert await bench.store.again(claim, seq=0, drop=[], delay_ms=60_000, attempt=1)
    assert await cancel(bench) == "OK"
    assert (bench.header(JOB)["status"], bench.messages(JOB), bench.timers(JOB)) == ("queued", 1, {})


async def test_a_failure_just_before_it_was_told_pauses_not_at_all_and_one_after_it_does(bench: Bench) -> None:
    claim = await bench.take()
    await cancel(bench)
    assert await bench.store.again(claim, seq=0, drop=[], delay_ms=60_000, attempt=1, told=False)
    assert (bench.header(JOB)["status"], bench.timers(JOB)) == ("queued", {})
    claim = bench.claims(JOB)[-1]
    await bench.lease(claim)
    assert await bench.store.again(claim, seq=0, drop=[], delay_ms=60_000, attempt=2, told=True)
    assert (bench.header(JOB)["status"], len(bench.timers(JOB))) == ("backoff", 1)


async def test_living_hooks_are_asked_with_their_job_and_one_alone_by_its_run(bench: Bench) -> None:
    await bench.take(ttl="60000")
    for _ in range(2):
        await bench.store.hook(JOB, topic="work", body=b'{"a":[]}', name="thing.hook")
    bench.read(JOB)
    assert await cancel(bench, f"1 {JOB}") == "OK"
    assert [requests(bench, dim) for dim in "012"] == [0, 1, 0]
    assert await cancel(bench) == "OK"
    assert [requests(bench, dim) for dim in "012"] == [1, 1, 1]
