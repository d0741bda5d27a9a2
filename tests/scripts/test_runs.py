"""lease, step, finish, again, suspend, reply, fire: a run, and who may write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshdata.errors import ScriptFailed
from meshdata.store.messages import Claim, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scripts.conftest import Bench, Clock

JOB = "thing:1"
RUN = "0 thing:1"
DONE = ["done", 5, "0:1", "activity", "ok", "act", b"7"]
COUNT = ["state", 5, "0:2", "incr", "incr", "n", "2.5"]


# --- lease ------------------------------------------------------------------------------------------------------------


async def test_of_all_who_hold_a_message_one_gets_the_lease(bench: Bench, other: Bench) -> None:
    claim = await bench.start()
    leased = await bench.lease(claim)
    assert (leased.word, leased.seq, leased.attempt, len(leased.entries)) == ("OK", 0, 0, 1)
    assert (await other.lease(claim)).word == "STALE"
    assert (bench.header(JOB)["owner"], bench.owned(JOB), other.owned(JOB)) == ("one", {RUN}, set())
    assert bench.messages(JOB) == 0


async def test_a_lease_asked_for_again_by_its_holder_is_given_again(bench: Bench) -> None:
    claim = await bench.start()
    assert (await bench.lease(claim)).word == (await bench.lease(claim)).word == "OK"


async def test_a_lease_under_an_old_fence_or_on_what_is_over_or_gone_is_void(bench: Bench) -> None:
    claim = await bench.start()
    assert (await bench.lease(Claim(RUN, str(int(claim.fence) - 1)))).word == "STALE"
    assert (await bench.lease(Claim("0 thing:none", "1"))).word == "STALE"
    await bench.lease(claim)
    await bench.store.finish(claim, seq=0, status="completed", code="ok", payload=b"1")
    assert (await bench.lease(claim)).word == "STALE"


async def test_a_lease_tells_what_the_run_waits_for(bench: Bench, other: Bench) -> None:
    claim = await bench.take()
    operations = [
        "wait",
        4,
        "0:1",
        "key",
        0,
        "",
        "timer",
        3,
        "0.1:2",
        "sleep",
        60_000,
        "wait",
        4,
        "0:3",
        "other",
        0,
        "",
    ]
    await bench.store.step(claim, seq=1, seen=1, operations=operations)
    await other.store.signal("key", b"1")
    await bench.store.suspend(claim, seen=2, how="queued")
    leased = await other.lease(bench.claims(JOB)[-1])
    assert (leased.word, sorted(leased.waits)) == ("OK", ["0.1:2", "0:3"])


async def test_a_long_journal_is_read_in_pieces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshdata.store.store.LEASE_ENTRIES", 10)
    claim = await bench.take()
    operations = [part for n in range(47) for part in ("done", 5, f"0:{n}", "once", "ok", "x", str(n))]
    assert (await bench.store.step(claim, seq=1, seen=1, operations=operations)).length == 48
    assert len((await bench.lease(claim)).entries) == 48


# --- step -------------------------------------------------------------------------------------------------------------


async def test_the_first_step_takes_the_lease_and_consumes_the_message(bench: Bench) -> None:
    claim = await bench.start()
    stepped = await bench.store.step(claim, seq=1, seen=1, operations=DONE)
    assert (stepped.word, stepped.length, stepped.entries) == ("OK", 2, None)
    header = bench.header(JOB)
    assert (header["owner"], header["status"], header["seq"]) == ("one", "running", "1")
    assert (bench.owned(JOB), bench.messages(JOB)) == ({RUN}, 0)


async def test_a_step_sent_again_only_answers(bench: Bench) -> None:
    claim = await bench.take()
    first = await bench.store.step(claim, seq=1, seen=1, operations=[*DONE, *COUNT])
    before = bench.everything()
    again = await bench.store.step(claim, seq=1, seen=1, operations=[*DONE, *COUNT])
    assert bench.everything() == before
    assert (again.word, again.length, again.entries) == ("OK", 3, first.entries)
    assert bench.record(JOB)["n"] == "2.5"


async def test_a_step_under_an_old_fence_writes_nothing(bench: Bench, other: Bench) -> None:
    old = await bench.take()
    await bench.store.suspend(old, seen=1, how="queued")
    [new] = bench.claims(JOB)
    await other.lease(new)
    before = bench.everything()
    assert (await bench.store.step(old, seq=1, seen=1, operations=COUNT)).word == "STALE"
    assert (await bench.store.step(Claim(RUN, new.fence), seq=1, seen=1, operations=COUNT)).word == "STALE"
    assert bench.everything() == before


async def test_a_step_by_a_process_that_knows_more_than_the_store_is_told_to_rewind(bench: Bench) -> None:
    claim = await bench.take()
    before = bench.everything()
    assert (await bench.store.step(claim, seq=3, seen=1, operations=COUNT)).word == "REWIND"
    assert bench.everything() == before


async def test_a_step_gives_back_what_others_wrote_meanwhile_in_order(bench: Bench, other: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    assert await other.store.signal("key", b'"hi"') == "TAKEN"
    stepped = await bench.store.step(claim, seq=2, seen=1, operations=["done", 5, "0:2", "once", "ok", "x", b"1"])
    assert stepped.entries is not None
    assert [entry.split(b" ", 3)[1] for entry in stepped.entries] == [b"0:1", b"0:2"]
    assert bench.redis.smembers(f"{bench.base(JOB)}wake:one") == set()


async def test_an_entry_tells_how_long_its_call_took(make_bench: Callable[..., Any], clock: Clock) -> None:
    bench = await make_bench(clock=clock)
    claim = await bench.take()
    operations = ["done", 6, "0:1", "activity", "ok", "act", b"7", 45, "timer", 3, "0:2", "sleep", 3000]
    operations += ["wait", 4, "0:3", "key", 0, "", "try", 5, "0:4", "act", b"{}", 500, 20]
    await bench.store.step(claim, seq=1, seen=1, operations=operations)
    clock.ms += 1000
    await bench.store.signal("key", b"1")
    clock.ms += 2000
    await bench.store.fire(0)
    took = {(entry.position, entry.code): entry.took for entry in bench.journal(JOB)}
    assert took == {
        ("0", "ok"): 0, ("0:1", "ok"): 45, ("0:4", "try"): 20, ("0:3", "ok"): 1000, ("0:4", "due"): 3000,
        ("0:2", "ok"): 3000,
    }  # fmt: skip


async def test_what_an_earlier_version_waits_for_is_delivered_without_a_time(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    bench.redis.hset(f"{bench.base(JOB)}j:{JOB}", "w:0:1", "wait 0 0 key")
    assert await bench.store.signal("key", b"1") == "TAKEN"
    assert (bench.journal(JOB)[-1].code, bench.journal(JOB)[-1].took) == ("ok", 0)


async def test_state_changes_are_one_with_their_entries(bench: Bench) -> None:
    claim = await bench.take()
    operations = ["state", 8, "0:1", "set", "set", 2, "a", "1", "b", "x y"]
    operations += [*COUNT, "state", 5, "0:3", "mult", "mult", "n", "4", "state", 5, "0:4", "mget", "get", "n", "none"]
    operations += ["state", 4, "0:5", "delete", "delete", "a", "state", 5, "0:6", "incr", "incr", "b", "1"]
    stepped = await bench.store.step(claim, seq=1, seen=1, operations=operations)
    assert stepped.word == "OK"
    outcomes = [(entry.code, entry.payload) for entry in bench.journal(JOB)[1:]]
    assert outcomes == [
        ("ok", b"2"),
        ("ok", b"2.5"),
        ("ok", b"10"),
        ("ok", b"3:+101:-"),
        ("ok", b"1"),
        ("notnumber", b"b"),
    ]
    record = bench.record(JOB)
    assert (record["n"], record["b"], "a" in record, record["_status"]) == ("10", "x y", False, "running")


async def test_a_wait_that_is_cancelled_takes_its_timer_and_its_place_in_the_line_along(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, 60_000])
    assert bench.timers(JOB)
    await bench.store.step(claim, seq=2, seen=1, operations=["cancel", 1, "0:1"])
    assert bench.timers(JOB) == {}
    assert await bench.store.signal("key", b"1") == "KEPT"
    assert len(bench.journal(JOB)) == 1


async def test_a_call_replayed_finds_its_wait_where_it_stands(bench: Bench) -> None:
    claim = await bench.take()
    call = ["call", 4, "0:1", "act", "far/act", b"{}"]
    await bench.store.step(claim, seq=1, seen=1, operations=call)
    await bench.store.step(claim, seq=2, seen=1, operations=call)
    assert bench.messages(JOB, "far/act") == 1


async def test_progress_clears_the_blame_for_deaths(bench: Bench) -> None:
    claim = await bench.take()
    bench.redis.hset(f"{bench.base(JOB)}j:{JOB}", "deaths", 3)
    await bench.store.step(claim, seq=1, seen=1, operations=DONE)
    assert "deaths" not in bench.header(JOB)


# --- finish -----------------------------------------------------------------------------------------------------------


async def test_finish_ends_a_job_once_and_sent_again_only_answers(bench: Bench) -> None:
    claim = await bench.take(ttl="60000", record=True)
    await bench.store.step(claim, seq=1, seen=1, operations=["timer", 3, "0:1", "sleep", 60_000])
    assert await bench.store.finish(claim, seq=1, status="completed", code="ok", payload=b"5")
    before = bench.everything()
    assert await bench.store.finish(claim, seq=1, status="completed", code="ok", payload=b"6")
    assert bench.everything() == before
    assert await bench.store.result(RUN) == Outcome("DONE", "ok", b"5")
    assert bench.record(JOB)["_status"] == "completed"
    assert (bench.owned(JOB), bench.timers(JOB)) == (set(), {})


async def test_finish_under_an_old_fence_or_by_another_writes_nothing(bench: Bench, other: Bench) -> None:
    claim = await bench.take()
    before = bench.everything()
    assert not await other.store.finish(claim, seq=0, status="completed", code="ok", payload=b"1")
    stale = Claim(RUN, str(int(claim.fence) - 1))
    assert not await bench.store.finish(stale, seq=0, status="completed", code="ok", payload=b"1")
    assert bench.everything() == before


async def test_finish_after_steps_the_store_has_lost_queues_the_run_as_it_stands(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=DONE)
    assert not await bench.store.finish(claim, seq=2, status="completed", code="ok", payload=b"1")
    assert (bench.header(JOB)["status"], bench.owned(JOB), bench.messages(JOB)) == ("queued", set(), 1)
    [new] = bench.claims(JOB)
    assert (await bench.lease(new)).seq == 1


async def test_finish_of_a_run_without_a_step_consumes_its_message(bench: Bench) -> None:
    claim = await bench.start()
    assert await bench.store.finish(claim, seq=0, status="failed", code="err", payload=b"{}", problem="no")
    assert bench.messages(JOB) == 0
    assert 0 < bench.redis.pttl(f"{bench.base(JOB)}j:{JOB}") <= 1_000


@pytest.mark.parametrize(("ttl", "least", "most"), [("", 0, 1_000), ("5000", 1_000, 5_000), ("inf", -1, -1)])
async def test_finish_sets_when_the_remains_go(bench: Bench, ttl: str, least: int, most: int) -> None:
    claim = await bench.take(ttl=ttl, record=True)
    await bench.store.finish(claim, seq=0, status="completed", code="ok", payload=b"1")
    for kind in ("j", "l", "r"):
        assert least <= bench.redis.pttl(f"{bench.base(JOB)}{kind}:{JOB}") <= most


# --- again ------------------------------------------------------------------------------------------------------------


async def test_again_drops_what_it_failed_on_and_queues_it_after_the_pause(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    claim = await bench.take()
    operations = [*DONE, "done", 5, "0:2", "activity", "err", "act", b"{}", "timer", 3, "0:3", "sleep", 60_000]
    await bench.store.step(claim, seq=1, seen=1, operations=operations)
    assert await bench.store.again(claim, seq=1, drop=["0:2", "0:3"], delay_ms=2_000, attempt=1)
    header = bench.header(JOB)
    assert (header["status"], header["attempt"], header["owner"]) == ("backoff", "1", "")
    assert [entry.position for entry in bench.journal(JOB)] == ["0", "0:1"]
    assert list(bench.timers(JOB)) == [f"q {RUN}"]
    assert not await bench.store.again(claim, seq=1, drop=[], delay_ms=0, attempt=1), "sent again, it is void"
    clock.ms += 2_000
    assert await bench.store.fire(0) == (1, None, [])
    [new] = bench.claims(JOB)
    assert (await bench.lease(new)).attempt == 1


async def test_again_after_steps_the_store_has_lost_queues_the_run_as_it_stands(bench: Bench) -> None:
    claim = await bench.take()
    assert not await bench.store.again(claim, seq=1, drop=["0:1"], delay_ms=60_000, attempt=1)
    assert (bench.header(JOB)["status"], bench.messages(JOB)) == ("queued", 1)


# --- suspend ----------------------------------------------------------------------------------------------------------


async def test_suspend_gives_the_lease_back_until_the_next_outcome(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    assert await bench.store.suspend(claim, seen=1, how="waiting") == "OK"
    assert (bench.header(JOB)["status"], bench.owned(JOB), bench.messages(JOB)) == ("waiting", set(), 0)
    assert await bench.store.suspend(claim, seen=1, how="waiting") == "STALE"
    await bench.store.signal("key", b"1")
    assert (bench.header(JOB)["status"], bench.messages(JOB)) == ("queued", 1)


async def test_suspend_is_refused_while_there_is_news(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    await bench.store.signal("key", b"1")
    before = bench.everything()
    assert await bench.store.suspend(claim, seen=1, how="waiting") == "MORE"
    assert bench.everything() == before


async def test_suspend_after_steps_the_store_has_lost_queues_the_run_as_it_stands(bench: Bench) -> None:
    """What it waits for may not be written: nothing would ever wake it."""
    claim = await bench.take()
    assert await bench.store.suspend(claim, seq=1, seen=1, how="waiting") == "OK"
    assert (bench.header(JOB)["status"], bench.messages(JOB)) == ("queued", 1)


async def test_suspend_of_what_another_has_consumes_the_void_message(bench: Bench, other: Bench) -> None:
    claim = await bench.start()
    await other.lease(Claim(claim.run, claim.fence))
    assert bench.messages(JOB) == 1
    assert await bench.store.suspend(claim, seen=1, how="queued") == "STALE"
    assert bench.messages(JOB) == 0
    assert bench.header(JOB)["owner"] == "two"


async def test_a_parked_run_waits_for_a_worker_that_joins_its_topic(bench: Bench, other: Bench) -> None:
    claim = await bench.take()
    assert await bench.store.suspend(claim, seen=1, how="parked", problem="another path") == "OK"
    header = bench.header(JOB)
    assert (header["status"], header["parked"], bench.messages(JOB)) == ("parked", "another path", 0)
    assert await other.store.join(0, ["work"], ttl_ms=60_000) == 1
    assert (bench.header(JOB)["status"], bench.messages(JOB)) == ("queued", 1)
    assert await other.store.join(0, ["work"], ttl_ms=60_000) == 0


# --- reply ------------------------------------------------------------------------------------------------------------


async def test_reply_delivers_once_and_consumes_the_message(bench: Bench, other: Bench) -> None:
    await other.store.join(0, ["far/act"], ttl_ms=60_000)
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["call", 4, "0:1", "act", "far/act", b"{}"])
    [(number, fields)] = other.read(JOB, "far/act")
    assert (fields[b"a"], fields[b"p"], fields[b"b"]) == (RUN.encode(), b"0:1", b"{}")
    where: dict[str, Any] = {"stream": f"{bench.base(JOB)}q:far/act", "message": number}
    assert await other.store.reply(RUN, "0:1", code="ok", payload=b"7", **where)
    assert not await other.store.reply(RUN, "0:1", code="ok", payload=b"8", **where)
    assert [entry.payload for entry in bench.journal(JOB)[1:]] == [b"7"]
    assert bench.messages(JOB, "far/act") == 0


async def test_a_reply_that_is_to_be_tried_again_counts_once(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["call", 4, "0:1", "act", "far/act", b"{}"])
    where: dict[str, Any] = {"stream": f"{bench.base(JOB)}q:far/act", "message": b"1-1"}
    assert await bench.store.reply(RUN, "0:1", code="try", payload=b"{}", delay_ms=100, **where)
    assert not await bench.store.reply(RUN, "0:1", code="try", payload=b"{}", delay_ms=100, **where)
    assert [entry.code for entry in bench.journal(JOB)] == ["ok", "try"]
    clock.ms += 100
    assert (await bench.store.fire(0))[0] == 1
    assert [entry.code for entry in bench.journal(JOB)] == ["ok", "try", "due"]


# --- fire -------------------------------------------------------------------------------------------------------------


async def test_timers_fire_once_in_order_and_never_early(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    claim = await bench.take()
    operations = ["timer", 3, "0:1", "sleep", 300, "timer", 3, "0:2", "sleep", 100, "wait", 4, "0:3", "key", 0, 200]
    await bench.store.step(claim, seq=1, seen=1, operations=operations)
    assert await bench.store.fire(0) == (0, 100, [])
    clock.ms += 99
    assert await bench.store.fire(0) == (0, 1, [])
    clock.ms += 201
    assert await bench.store.fire(0, limit=2) == (2, 0, [])
    assert await bench.store.fire(0, limit=2) == (1, None, [])
    fired = [(entry.position, entry.code) for entry in bench.journal(JOB)[1:]]
    assert fired == [("0:2", "ok"), ("0:3", "timeout"), ("0:1", "ok")]
    assert not bench.redis.exists(f"{bench.base(JOB)}sig:key"), "the wait that timed out has left the line"


async def test_a_script_that_fails_says_which_it_was(bench: Bench) -> None:
    claim = await bench.take()
    with pytest.raises(ScriptFailed, match="step"):
        await bench.store.step(claim, seq=1, seen=1, operations=["no such operation", 0])


async def test_a_step_whose_outcomes_the_store_has_lost_is_not_taken(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:2", "key", 0, ""])
    # It was told of the signal; Redis was restarted and has lost that.
    before = bench.everything()
    assert (await bench.store.step(claim, seq=2, seen=2, operations=DONE)).word == "REWIND"
    assert bench.everything() == before


async def test_a_step_that_ends_its_own_run_does_nothing_after_that(bench: Bench) -> None:
    claim = await bench.take(ttl="60000", record=True)
    end = b'{"message":"%s"}' % (b"x" * 100)
    interrupt = ["ask", 14, "0:2", "interrupt", 0, JOB, "interrupt", JOB, end, "why", "1", "1", "", "@"]
    interrupt[1] = len(interrupt) - 2
    behind = [*["state", 5, "0:3", "incr", "incr", "n", "1"], *["timer", 3, "0:4", "sleep", 100_000]]
    stepped = await bench.store.step(claim, seq=1, seen=1, operations=[*DONE, *interrupt, *behind])
    assert stepped.word == "STALE"
    assert await bench.store.result(RUN) == Outcome("DONE", "err", end)
    assert (bench.timers(JOB), bench.record(JOB)["_status"], "n" in bench.record(JOB)) == ({}, "interrupted", False)
