"""renew: a job goes on as a new run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshdata.store.messages import Claim

if TYPE_CHECKING:
    from tests.scripts.conftest import Bench

JOB = "thing:1"
BODY = b'{"a":[2],"n":1}'


async def renew(bench: Bench, claim: Claim, *, seq: int = 0, **options: Any) -> bool:
    options = {"consumed": 1, "told": False, "body": BODY, "signals": [], **options}
    return await bench.store.renew(claim, seq=seq, **options)


async def test_a_new_run_has_a_journal_of_its_start_and_is_queued_with_it(bench: Bench) -> None:
    claim = await bench.take(ttl="60000")
    ops = ["done", 5, "0:1", "activity", "ok", "work", b"1"]
    await bench.store.step(claim, seq=1, seen=1, operations=ops)
    assert await renew(bench, claim, seq=1, consumed=2)
    [entry] = bench.journal(JOB)
    assert (entry.kind, entry.name, entry.payload) == ("start", "thing", BODY)
    header = bench.header(JOB)
    assert (header["status"], header["seq"], header["owner"], header["runs"], header["ttl"]) == (
        "queued", "0", "", "2", "60000",
    )  # fmt: skip
    [(_, message)] = [found for found in bench.read(JOB) if found[1][b"f"].decode() == header["fence"]]
    assert message[b"b"] == BODY
    assert bench.owned(JOB) == set()


async def test_renewed_twice_it_is_renewed_once(bench: Bench) -> None:
    claim = await bench.take()
    assert await renew(bench, claim)
    before = bench.everything()
    assert not await renew(bench, claim)
    assert bench.everything() == before


async def test_who_awaits_it_stays_and_attempts_count_from_anew(make_bench: Any, clock: Any) -> None:
    bench = await make_bench(clock=clock)
    claim = await bench.take()
    await bench.store.result(claim.run, waiter="w")
    await bench.store.again(claim, seq=0, drop=[], delay_ms=0, attempt=1, told=False)
    await bench.store.fire(0)
    claim = bench.claims(JOB)[-1]
    assert (await bench.lease(claim)).attempt == 1
    assert await renew(bench, Claim(claim.run, claim.fence))
    header = bench.header(JOB)
    assert header["waiters"] == "w"
    assert "attempt" not in header


async def test_a_store_that_lost_steps_writes_nothing_and_queues_the_run(bench: Bench) -> None:
    claim = await bench.take()
    assert not await renew(bench, claim, seq=3)
    assert bench.header(JOB)["status"] == "queued"
    assert "runs" not in bench.header(JOB)
    assert len(bench.journal(JOB)) == 1


async def test_waits_end_and_untold_signals_go_back_in_their_order(bench: Bench) -> None:
    claim = await bench.take()
    waits = ["wait", 4, "0:1", "k", 0, "", "wait", 4, "0:2", "k", 0, "", "wait", 4, "0:3", "k", 0, 60_000]
    await bench.store.step(claim, seq=1, seen=1, operations=waits)
    for payload in (b"1", b"2"):
        assert await bench.store.signal("k", payload) == "TAKEN"
    assert await renew(bench, claim, seq=1, consumed=1, signals=["0:1", 0, "0:2", 0, "0:3", 0])
    assert bench.redis.lrange(f"{bench.base(JOB)}sig:k", 0, -1) == [b"p 1", b"p 2"]
    assert bench.timers(JOB) == {}
    assert not [name for name in bench.header(JOB) if name.startswith("w:")]


async def test_an_untold_signal_goes_back_to_the_one_of_several_keys_it_was_for(bench: Bench) -> None:
    claim = await bench.take()
    waits = ["any", 7, "0:1", "", "k\x1fother", 0, "k", 0, "other"]
    await bench.store.step(claim, seq=1, seen=1, operations=waits)
    assert await bench.store.signal("other", b'{"n":[1]}') == "TAKEN"
    assert await renew(bench, claim, seq=1, consumed=1, signals=["0:1", "0,0"])
    assert bench.redis.lrange(f"{bench.base(JOB)}sig:other", 0, -1) == [b'p {"n":[1]}']
    assert not bench.redis.exists(f"{bench.base(JOB)}sig:k")


async def test_a_request_to_cancel_that_was_not_told_goes_with_the_job(bench: Bench) -> None:
    claim = await bench.take()
    end = b'{"type":"JobCancelled"}'
    await bench.store.cancel(claim.run, payload=end, problem="enough")
    assert await renew(bench, claim, consumed=2)
    assert [(entry.kind, entry.payload) for entry in bench.journal(JOB)] == [("start", BODY), ("cancel", end)]
    [claim] = [claim for claim in bench.claims(JOB) if claim.fence == bench.header(JOB)["fence"]]
    assert claim.stream.endswith("c:work"), "its journal is to be read"


async def test_a_request_that_was_told_is_forgotten_and_may_come_again(bench: Bench) -> None:
    claim = await bench.take()
    await bench.store.cancel(claim.run, payload=b"{}", problem="enough")
    assert await renew(bench, claim, consumed=2, told=True)
    assert len(bench.journal(JOB)) == 1
    assert "cancel" not in bench.header(JOB)
