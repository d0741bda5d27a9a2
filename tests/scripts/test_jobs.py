"""start, result, flush_job, interrupt_job, hook: a job from outside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from meshdata.errors import StoreUnavailable
from meshdata.store.lane import ConnectionLost, Lane
from meshdata.store.messages import Claim, Outcome, StartJob

if TYPE_CHECKING:
    from tests.scripts.conftest import Bench

JOB = "thing:1"
RUN = "0 thing:1"


def a_start(**options: Any) -> StartJob:
    return StartJob(JOB, "work", b'{"a":[]}', "thing", **options)


async def finish(bench: Bench, claim: Claim, *, status: str = "completed", payload: bytes = b"5") -> None:
    code = "ok" if status == "completed" else "err"
    assert await bench.store.finish(claim, seq=0, status=status, code=code, payload=payload, problem="")


# --- start ------------------------------------------------------------------------------------------------------------


async def test_start_creates_a_job_and_queues_its_message_once(bench: Bench) -> None:
    assert (await bench.store.start_job(a_start(), waiter="w")).word == "CREATED"
    assert bench.messages(JOB) == 1
    header = bench.header(JOB)
    assert (header["status"], header["seq"], header["owner"], header["waiters"]) == ("queued", "0", "", "w")
    [entry] = bench.journal(JOB)
    assert (entry.kind, entry.code, entry.name, entry.payload) == ("start", "ok", "thing", b'{"a":[]}')


async def test_start_of_a_job_that_lives_is_pending_and_notes_the_waiter_once(bench: Bench) -> None:
    await bench.start()
    for _ in range(3):
        assert await bench.store.start_job(a_start(), waiter="w") == Outcome("PENDING", "", b"")
    assert bench.header(JOB)["waiters"] == "w"
    assert bench.messages(JOB) == 1


async def test_start_of_a_job_that_is_over_gives_its_end(bench: Bench) -> None:
    await finish(bench, await bench.take(ttl="60000"))
    assert await bench.store.start_job(a_start(ttl="60000")) == Outcome("DONE", "ok", b"5")


async def test_start_that_must_not_find_one_says_so(bench: Bench) -> None:
    await bench.start()
    assert (await bench.store.start_job(a_start(policy="fail", token="mine"))).word == "EXISTS"


async def test_start_sent_twice_under_one_token_is_one_start(bench: Bench) -> None:
    for policy in ("fail", "flush", "retry"):
        start = StartJob(f"thing:{policy}", "work", b"{}", "thing", policy=policy, token="mine")
        assert (await bench.store.start_job(start)).word == "CREATED"
        assert (await bench.store.start_job(start)).word == "PENDING"
    assert bench.messages(JOB) == 3


async def test_start_anew_flushes_what_is_there_and_voids_its_message(bench: Bench) -> None:
    old = await bench.start()
    assert (await bench.store.start_job(a_start(policy="flush", token="mine"))).word == "CREATED"
    [new] = bench.claims(JOB)
    assert int(new.fence) > int(old.fence)
    assert (await bench.lease(old)).word == "STALE"
    assert (await bench.lease(new)).word == "OK"


@pytest.mark.parametrize(("status", "word"), [("failed", "CREATED"), ("completed", "DONE")])
async def test_start_that_retries_begins_anew_only_after_a_failure(bench: Bench, status: str, word: str) -> None:
    await finish(bench, await bench.take(ttl="60000"), status=status)
    assert (await bench.store.start_job(a_start(policy="retry", token="mine"))).word == word


async def test_start_with_a_delay_queues_nothing_until_its_timer_fires(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    await bench.store.start_job(a_start(delay_ms=5_000))
    assert bench.messages(JOB) == 0
    assert await bench.store.fire(0) == (0, 5_000, [])
    clock.ms += 5_000
    assert await bench.store.fire(0) == (1, None, [])
    assert bench.messages(JOB) == 1


@pytest.mark.parametrize(("status", "word"), [("failed", "CREATED"), ("completed", "CREATED"), ("", "EXISTS")])
async def test_start_that_restarts_begins_anew_only_what_is_over(bench: Bench, status: str, word: str) -> None:
    claim = await bench.take(ttl="60000")
    if status:
        await finish(bench, claim, status=status)
    restart = a_start(policy="restart", token="mine")
    assert (await bench.store.start_job(restart)).word == word
    if status:
        assert (await bench.store.start_job(restart)).word == "PENDING", "sent twice it is one start"


async def test_a_delayed_start_counts_from_its_due_time(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    await bench.store.start_job(a_start(delay_ms=5_000, seeds=["plan", "pro"]))
    due = clock.ms + 5_000
    assert (bench.header(JOB)["status"], bench.header(JOB)["due"]) == ("delayed", str(due))
    clock.ms += 7_000  # nobody served it in time
    await bench.store.fire(0)
    assert "due" not in bench.header(JOB)
    assert [entry.ms for entry in bench.journal(JOB)] == [due]
    [(_, message)] = bench.read(JOB)
    assert (message[b"t"], message[b"b"]) == (str(due).encode(), b'{"a":[]}')
    assert bench.record(JOB)["_status"] == "running"


async def test_what_is_reserved_begins_once(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    assert await bench.store.resume(JOB) == "NOTFOUND"
    await bench.store.start_job(a_start(pending="5000"))
    assert bench.messages(JOB) == 0
    assert 5_000 < bench.redis.pttl(f"{bench.base(JOB)}j:{JOB}") <= 6_000
    clock.ms += 1_000
    assert [await bench.store.resume(JOB) for _ in range(2)] == ["OK", "BEGUN"]
    assert bench.messages(JOB) == 1
    assert bench.timers(JOB) == {}
    assert {bench.redis.pttl(f"{bench.base(JOB)}{kind}:{JOB}") for kind in "jl"} == {-1}
    assert [entry.ms for entry in bench.journal(JOB)] == [clock.ms]
    clock.ms += 10_000
    assert await bench.store.fire(0) == (0, None, [])


async def test_what_is_reserved_lapses_when_its_time_is_over(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    await bench.store.start_job(a_start(pending="5000", seeds=["plan", "pro"]))
    assert await bench.store.fire(0) == (0, 5_000, [])
    clock.ms += 5_000
    assert await bench.store.fire(0) == (1, None, [])
    assert (bench.header(JOB), bench.record(JOB), bench.journal(JOB)) == ({}, {}, [])
    assert await bench.store.resume(JOB) == "NOTFOUND"


async def test_start_with_seeds_makes_a_record(bench: Bench) -> None:
    await bench.start(seeds=["plan", "pro"])
    record = bench.record(JOB)
    assert (record["plan"], record["_entity"], record["_id"], record["_status"]) == ("pro", "thing", "1", "running")


async def test_a_plain_job_has_no_record(bench: Bench) -> None:
    await bench.start()
    assert bench.record(JOB) == {}


# --- result -----------------------------------------------------------------------------------------------------------


async def test_result_of_nothing_is_not_found(bench: Bench) -> None:
    assert (await bench.store.result(RUN)).word == "NOTFOUND"


async def test_result_of_a_living_job_is_pending_and_notes_only_named_waiters(bench: Bench) -> None:
    await bench.start()
    assert (await bench.store.result(RUN)).word == "PENDING"
    assert "waiters" not in bench.header(JOB)
    await bench.store.result(RUN, waiter="a")
    await bench.store.result(RUN, waiter="b")
    await bench.store.result(RUN, waiter="a")
    assert bench.header(JOB)["waiters"] == "a b"


async def test_result_of_a_job_without_a_ttl_is_kept_for_those_who_awaited_it(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.result(RUN, waiter="a")
    await finish(bench, claim, payload=b'"two\nlines"')
    bench.redis.delete(f"{bench.base(JOB)}j:{JOB}")  # as it is a second later
    assert await bench.store.result(RUN, waiter="a") == Outcome("DONE", "ok", b'"two\nlines"')
    assert (await bench.store.result(RUN)).word == "NOTFOUND", "it is not what a ttl keeps"
    assert 0 < bench.redis.pttl(f"{bench.base(JOB)}a:{RUN}") <= 30_000


async def test_no_answer_is_kept_when_nobody_awaits_or_the_job_itself_is_kept(bench: Bench) -> None:
    await finish(bench, await bench.take("thing:1"))
    kept = await bench.take("thing:2", ttl="60000")
    await bench.store.result("0 thing:2", waiter="a")
    await finish(bench, kept)
    assert not bench.redis.exists(f"{bench.base(JOB)}a:0 thing:1", f"{bench.base(JOB)}a:0 thing:2")


# --- flush_job --------------------------------------------------------------------------------------------------------


async def test_flush_takes_all_away_and_voids_the_lease(bench: Bench) -> None:
    claim = await bench.take(record=True)
    assert await bench.store.flush(JOB) == 3
    assert (bench.header(JOB), bench.record(JOB), bench.journal(JOB), bench.owned(JOB)) == ({}, {}, [], set())
    assert (await bench.store.step(claim, seq=1, seen=1, operations=["timer", 3, "0:1", "sleep", 5])).word == "STALE"
    assert bench.timers(JOB) == {}


async def test_flush_of_nothing_removes_nothing(bench: Bench) -> None:
    assert await bench.store.flush(JOB) == 0


async def test_flush_looks_for_the_last_hooks_and_those_that_live_not_for_all_there_ever_were(bench: Bench) -> None:
    await bench.take(ttl="60000")
    await bench.store.hook(JOB, topic="work", body=b"{}", name="thing.mark")
    key = f"{bench.base(JOB)}j:{JOB}"
    bench.redis.hset(key, "dims", 5_000_000)
    await bench.store.hook(JOB, topic="work", body=b"{}", name="thing.mark")
    before = bench.redis.info("commandstats")["cmdstat_del"]["calls"]
    assert await bench.store.flush(JOB) == 6
    assert bench.redis.info("commandstats")["cmdstat_del"]["calls"] - before < 1_100
    assert (bench.header(JOB, "1"), bench.header(JOB, "5000001")) == ({}, {})


async def test_flush_takes_waits_hooks_and_children_along(bench: Bench) -> None:
    claim = await bench.take(ttl="60000")
    child = StartJob("thing:child", "work", b"{}", "thing", policy="fail", parent="@", awaited=True)
    operations = [
        "timer", 3, "0:1", "sleep", 60_000,
        "wait", 4, "0:2", "key", 0, "",
        "child", 6 + len(child.spec("")), "terminate", "0:3", "child", 0, child.job, "start", *child.spec(""),
    ]  # fmt: skip
    assert (await bench.store.step(claim, seq=1, seen=1, operations=operations)).word == "OK"
    assert await bench.store.hook(JOB, topic="work", body=b"{}", name="thing.mark") == ("OK", "1")
    await bench.store.flush(JOB)
    assert (bench.timers(JOB), bench.header(JOB, "1"), bench.header("thing:child")) == ({}, {}, {})
    assert not bench.redis.exists(f"{bench.base(JOB)}sig:key")
    assert bench.messages(JOB) == 0


# --- interrupt_job ----------------------------------------------------------------------------------------------------


async def interrupt(bench: Bench, job: str = JOB, **options: Any) -> str:
    given = {"payload": b'{"type":"JobInterrupted"}', "problem": "enough", "descend": True, "throw": True, "ttl": ""}
    return await bench.store.interrupt(job, **{**given, **options})


async def test_interrupt_of_nothing_and_of_what_is_over(bench: Bench) -> None:
    assert await interrupt(bench) == "NOTFOUND"
    await finish(bench, await bench.take(ttl="60000"))
    before = bench.everything()
    assert await interrupt(bench) == "ENDED"
    assert bench.everything() == before


async def test_interrupt_ends_a_job_and_voids_its_lease(bench: Bench) -> None:
    claim = await bench.take(record=True, ttl="60000")
    assert await interrupt(bench) == "OK"
    header, record = bench.header(JOB), bench.record(JOB)
    assert (header["status"], header["code"]) == ("interrupted", "err")
    assert (record["_status"], record["_error"]) == ("interrupted", "enough")
    assert bench.owned(JOB) == set()
    before = bench.everything()
    assert (await bench.store.step(claim, seq=1, seen=1, operations=[])).word == "STALE"
    assert not await bench.store.finish(claim, seq=0, status="completed", code="ok", payload=b"1")
    assert bench.everything() == before


async def test_interrupt_that_does_not_throw_gives_none(bench: Bench) -> None:
    await bench.take(ttl="60000")
    await interrupt(bench, throw=False)
    assert await bench.store.result(RUN) == Outcome("DONE", "ok", b"null")


async def test_interrupt_with_a_ttl_of_its_own_keeps_the_remains_that_long(bench: Bench) -> None:
    await bench.take(ttl="inf")
    await interrupt(bench, ttl="5000")
    assert 0 < bench.redis.pttl(f"{bench.base(JOB)}j:{JOB}") <= 5_000


@pytest.mark.parametrize(("descend", "status"), [(True, "interrupted"), (False, "queued")])
async def test_interrupt_descends_to_living_children_if_it_is_to(bench: Bench, descend: bool, status: str) -> None:
    claim = await bench.take(ttl="60000")
    child = StartJob("thing:child", "work", b"{}", "thing", ttl="60000", policy="fail", parent="@", awaited=True)
    ask = ["child", 6 + len(child.spec("")), "abandon", "0:1", "child", 0, child.job, "start", *child.spec("")]
    await bench.store.step(claim, seq=1, seen=1, operations=ask)
    await interrupt(bench, descend=descend)
    assert bench.header("thing:child")["status"] == status


async def test_a_job_interrupted_before_anybody_began_it_leaves_no_message(bench: Bench) -> None:
    await bench.start(ttl="60000")
    await interrupt(bench)
    assert bench.messages(JOB) == 0


# --- hook -------------------------------------------------------------------------------------------------------------


async def test_hook_on_nothing_and_on_what_takes_none(bench: Bench) -> None:
    assert await bench.store.hook(JOB, topic="work", body=b"{}", name="x") == ("NOTFOUND", "")
    await bench.start(hookable=False)
    assert await bench.store.hook(JOB, topic="work", body=b"{}", name="x") == ("CLOSED", "")
    await finish(bench, await bench.take("thing:2"))
    assert await bench.store.hook("thing:2", topic="work", body=b"{}", name="x") == ("CLOSED", "")


async def test_hooks_get_dimensions_in_turn_and_messages_of_their_own(bench: Bench) -> None:
    await bench.take()
    assert await bench.store.hook(JOB, topic="work", body=b"1", name="x") == ("OK", "1")
    assert await bench.store.hook(JOB, topic="work", body=b"2", name="x") == ("OK", "2")
    assert [claim.run for claim in bench.claims(JOB)] == ["1 thing:1", "2 thing:1"]
    assert bench.journal(JOB, "2")[0].payload == b"2"
    assert bench.header(JOB)["hooks"] == "2"


async def test_an_open_job_does_not_expire_under_a_hook(bench: Bench) -> None:
    await finish(bench, await bench.take(ttl="60000"))
    key = f"{bench.base(JOB)}j:{JOB}"
    assert bench.redis.pttl(key) > 0
    await bench.store.hook(JOB, topic="work", body=b"{}", name="x")
    assert bench.redis.pttl(key) == -1
    [claim] = bench.claims(JOB)
    await bench.lease(claim)
    assert await bench.store.finish(Claim(claim.run, claim.fence), seq=0, status="completed", code="ok", payload=b"1")
    assert 0 < bench.redis.pttl(key) <= 60_000
    assert await bench.store.result("1 thing:1") == Outcome("DONE", "ok", b"1")


async def test_a_hook_of_a_job_begun_anew_does_not_meet_the_hook_of_the_one_before(bench: Bench) -> None:
    for body in (b"old", b"new"):
        await bench.take()
        await bench.store.hook(JOB, topic="work", body=body, name="x")
        assert [entry.payload for entry in bench.journal(JOB, "1")] == [body]
        assert "result" not in bench.header(JOB, "1")
        [hook] = [claim for claim in bench.claims(JOB) if claim.run == "1 thing:1"]
        await bench.lease(hook)
        await bench.store.finish(Claim(hook.run, hook.fence), seq=0, status="completed", code="ok", payload=b"1")
        # Gone as by the end of its ttl: the hook's end is kept longer.
        bench.redis.delete(f"{bench.base(JOB)}j:{JOB}", f"{bench.base(JOB)}l:{JOB}", f"{bench.base(JOB)}own:one")


async def test_whoever_awaits_a_flushed_job_is_not_given_the_answer_of_an_earlier_one(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.result("0 thing:1", waiter="one")
    await finish(bench, claim)
    bench.redis.delete(f"{bench.base(JOB)}j:{JOB}", f"{bench.base(JOB)}l:{JOB}")  # as a second after its end
    assert (await bench.store.result("0 thing:1", waiter="one")).word == "DONE"
    await bench.start()
    assert (await bench.store.result("0 thing:1", waiter="one")).word == "PENDING"
    await bench.store.flush(JOB)
    assert (await bench.store.result("0 thing:1", waiter="one")).word == "NOTFOUND"


async def test_a_change_of_a_revision_is_not_sent_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.store.change(JOB, "set", 1, "n", "1")
    call = Lane.call

    def cut(lane: Lane, *args: Any) -> asyncio.Future[Any]:
        monkeypatch.undo()
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call(lane, *args).add_done_callback(lambda _: sent.set_exception(ConnectionLost(sent=True)))
        return sent

    monkeypatch.setattr(Lane, "call", cut)
    with pytest.raises(StoreUnavailable, match="unknown"):
        await bench.store.change(JOB, "set", 1, "n", "2", expected_rev=1)
    assert bench.record(JOB)["n"] == "2"
