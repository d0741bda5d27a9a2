"""join, beat, take_over, leave; relay and relayed; signal; change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from meshdata.store.messages import Claim

if TYPE_CHECKING:
    from tests.scripts.conftest import Bench

JOB = "thing:1"
RUN = "0 thing:1"


async def take_over(bench: Bench, dead: str, *, limit: int = 100, deaths: int | None = 3) -> tuple[str, int]:
    return await bench.store.take_over(0, dead, limit=limit, deaths=deaths, payload=b'{"code":999}', problem="it died")


async def die(bench: Bench) -> None:
    """Let a process's life sign lapse."""
    bench.redis.zadd(f"{bench.base(JOB)}procs", {bench.store.process: 1})


# --- join, leave ------------------------------------------------------------------------------------------------------


async def test_join_makes_groups_and_a_life_sign_and_may_be_repeated(bench: Bench) -> None:
    for _ in range(2):
        await bench.store.join(0, ["a", "b"], ttl_ms=60_000)
    base = bench.base(JOB)
    assert bench.redis.smembers(f"{base}topics") == {b"work", b"a", b"b"}
    assert [group["name"] for group in bench.redis.xinfo_groups(f"{base}q:a")] == [b"g"]
    assert bench.redis.zscore(f"{base}procs", "one")


async def test_leave_removes_streams_nobody_serves_and_only_those(bench: Bench, other: Bench) -> None:
    await bench.start()
    assert len(bench.read(JOB)) == 1
    other.read(JOB)
    assert (await take_over(bench, "one", deaths=None)) == ("DONE", 1)
    await bench.store.leave(0, ["work"])
    base = bench.base(JOB)
    assert bench.redis.zrange(f"{base}procs", 0, -1) == [b"two"]
    assert bench.redis.exists(f"{base}q:work", f"{base}c:work") == 2, "another serves it"
    [claim] = bench.claims(JOB)
    await other.lease(claim)
    await other.store.finish(claim, seq=0, status="completed", code="ok", payload=b"1")
    await other.store.leave(0, ["work"])
    assert not bench.redis.exists(f"{base}q:work", f"{base}c:work", f"{base}topics", f"{base}procs")


async def test_a_stream_with_work_in_it_stays_when_its_last_worker_leaves(bench: Bench) -> None:
    await bench.start()
    await bench.store.leave(0, ["work"])
    assert bench.messages(JOB) == 1


# --- beat -------------------------------------------------------------------------------------------------------------


async def test_beat_tells_who_is_dead(bench: Bench, other: Bench) -> None:
    beat = await bench.store.beat(0, ttl_ms=60_000)
    assert (beat.alive, beat.dead) == (True, [])
    await die(other)
    assert (await bench.store.beat(0, ttl_ms=60_000)).dead == ["two"]


async def test_who_beats_late_judges_nobody(bench: Bench, other: Bench) -> None:
    await die(bench)
    await die(other)
    assert (await bench.store.beat(0, ttl_ms=60_000)).dead == [], "Redis may have been away for all"
    assert (await bench.store.beat(0, ttl_ms=60_000)).dead == ["two"]


async def test_beat_of_a_process_that_was_taken_over_says_so(bench: Bench, other: Bench) -> None:
    await die(bench)
    assert (await take_over(other, "one"))[0] == "DONE"
    assert not (await bench.store.beat(0, ttl_ms=60_000)).alive


async def test_beat_takes_late_leases_and_names_those_it_may_not_have(bench: Bench, other: Bench) -> None:
    mine, lost = await bench.start("thing:1"), await bench.start("thing:2")
    await other.lease(Claim(lost.run, lost.fence))
    beat = await bench.store.beat(0, ttl_ms=60_000, late=[mine, lost])
    assert beat.lost == ["0 thing:2"]
    assert (bench.header("thing:1")["owner"], bench.header("thing:2")["owner"]) == ("one", "two")
    assert bench.messages(JOB) == 0


async def test_beat_tells_of_runs_with_news(bench: Bench, other: Bench) -> None:
    claim = await bench.take()
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    await other.store.signal("key", b"1")
    assert (await bench.store.beat(0, ttl_ms=60_000)).news == [RUN]
    await bench.store.forget_news(0, [RUN])
    assert (await bench.store.beat(0, ttl_ms=60_000)).news == []


# --- take_over --------------------------------------------------------------------------------------------------------


async def test_take_over_leaves_the_living_alone(bench: Bench, other: Bench) -> None:
    await bench.take()
    before = bench.everything()
    assert await take_over(other, "one") == ("ALIVE", 0)
    assert bench.everything() == before


async def test_take_over_puts_back_runs_and_messages_once(bench: Bench, other: Bench) -> None:
    held = await bench.take("thing:held")
    await bench.start("thing:read")
    bench.read(JOB)
    await die(bench)
    assert await take_over(other, "one") == ("DONE", 2)
    assert await take_over(other, "one") == ("DONE", 0)
    claims = {claim.run: claim for claim in bench.claims(JOB)}
    assert set(claims) == {"0 thing:held", "0 thing:read"}
    assert int(claims["0 thing:held"].fence) > int(held.fence)
    assert (await bench.store.step(held, seq=1, seen=1, operations=[])).word == "STALE"
    assert bench.redis.xlen(f"{bench.base(JOB)}q:work") == 0, "what it had read is consumed"


async def test_take_over_puts_back_what_a_reader_that_nobody_knows_had_read(bench: Bench, other: Bench) -> None:
    await bench.start("thing:late")
    await die(bench)
    assert await take_over(other, "one") == ("DONE", 0)
    # A read that was under way when its process was taken for dead; then that did die.
    bench.redis.xreadgroup("g", "one", {f"{bench.base(JOB)}q:work": ">"})
    assert await take_over(other, "three") == ("DONE", 1)
    assert [claim.run for claim in bench.claims(JOB)] == ["0 thing:late"]


async def test_take_over_goes_on_in_batches(bench: Bench, other: Bench) -> None:
    for n in range(25):
        await bench.take(f"thing:{n}")
    await die(bench)
    words = []
    while not words or words[-1][0] == "MORE":
        words.append(await take_over(other, "one", limit=10))
    assert [count for _, count in words] == [10, 10, 5]
    assert bench.messages(JOB) == 25


async def test_take_over_passes_over_runs_that_went_to_others(bench: Bench, other: Bench) -> None:
    claim = await bench.take()
    await bench.store.suspend(claim, seen=1, how="queued")
    [new] = bench.claims(JOB)
    await other.lease(new)
    bench.redis.sadd(f"{bench.base(JOB)}own:one", RUN)  # a trace that should not be there
    await die(bench)
    assert await take_over(other, "one") == ("DONE", 0)
    assert bench.header(JOB)["owner"] == "two"


async def test_a_run_that_took_as_many_processes_as_it_may_goes_to_the_dead_letters(
    make_bench: Any, clock: Any
) -> None:
    bench, other = await make_bench("one", clock=clock), await make_bench("two", clock=clock)
    await bench.start(ttl="60000", record=True)
    for death in range(3):
        if death > 1:
            assert bench.header(JOB)["status"] == "backoff", "a suspect waits for its turn"
            await other.store.fire(0)
        [claim] = bench.claims(JOB)
        assert (await bench.lease(claim)).word == "OK"
        await die(bench)
        assert await take_over(other, "one") == ("DONE", 1)
        await bench.store.join(0, ["work"], ttl_ms=60_000)
    assert (bench.header(JOB)["status"], bench.header(JOB)["result"]) == ("failed", '{"code":999}')
    assert bench.record(JOB)["_error"] == "it died"
    [(_, letter)] = bench.redis.xrange(f"{bench.base(JOB)}dead")
    assert letter == {
        b"run": RUN.encode(), b"error": b"it died", b"body": b'{"a":[]}', b"topic": b"work", b"ttl": b"60000",
        b"hookable": b"1", b"name": b"thing",
    }  # fmt: skip
    assert bench.messages(JOB) == 0


async def test_a_run_that_waits_is_blamed_for_deaths_much_later(bench: Bench, other: Bench) -> None:
    claim = await bench.take(ttl="60000")
    await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    bench.redis.hset(f"{bench.base(JOB)}j:{JOB}", "deaths", 10)
    await die(bench)
    await take_over(other, "one")
    assert bench.header(JOB)["status"] == "backoff"
    assert not bench.redis.exists(f"{bench.base(JOB)}dead")


async def test_suspects_come_back_one_after_another(make_bench: Any, clock: Any) -> None:
    bench, other = await make_bench("one", clock=clock), await make_bench("two", clock=clock)
    for n in range(5):
        await bench.take(f"thing:{n}")
        bench.redis.hset(f"{bench.base(JOB)}j:thing:{n}", "deaths", 1)
    await die(bench)
    await take_over(other, "one", deaths=5)
    assert sorted(due - clock.ms for due in bench.timers(JOB).values()) == [0, 100, 200, 300, 400]


async def test_a_process_that_gives_all_back_itself_is_no_death(bench: Bench) -> None:
    await bench.take()
    assert await take_over(bench, "one", deaths=None) == ("DONE", 1)
    assert "deaths" not in bench.header(JOB)
    assert bench.messages(JOB) == 1


async def test_an_activity_message_is_put_back_with_its_count_and_in_the_end_fails(bench: Bench, other: Bench) -> None:
    claim = await other.take()
    await bench.store.join(0, ["far/act"], ttl_ms=60_000)
    await other.store.step(claim, seq=1, seen=1, operations=["call", 4, "0:1", "act", "far/act", b"{}"])
    counts = []
    for _ in range(3):
        [(_, fields)] = bench.read(JOB, "far/act")
        counts.append(fields.get(b"n"))
        await die(bench)
        await take_over(other, "one")
        await bench.store.join(0, ["far/act"], ttl_ms=60_000)
    assert counts == [None, b"1", b"2"]
    assert [entry.code for entry in bench.journal(JOB)] == ["ok", "err"]
    [(_, letter)] = bench.redis.xrange(f"{bench.base(JOB)}dead")
    assert (letter[b"run"], letter[b"position"]) == (RUN.encode(), b"0:1")
    assert bench.header(JOB)["status"] == "running", "the workflow may go on without it"


async def test_streams_that_only_the_dead_served_go(bench: Bench, other: Bench) -> None:
    await bench.store.join(0, ["alone"], ttl_ms=60_000)
    bench.read(JOB, "alone")
    other.read(JOB)
    await die(bench)
    await take_over(other, "one")
    base = bench.base(JOB)
    assert not bench.redis.exists(f"{base}q:alone", f"{base}c:alone")
    assert bench.redis.smembers(f"{base}topics") == {b"work"}


# --- signal -----------------------------------------------------------------------------------------------------------


async def test_a_payload_reaches_exactly_one_waiter_first_come_first_served(bench: Bench) -> None:
    for n in (1, 2):
        claim = await bench.take(f"thing:{n}")
        await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    assert [await bench.store.signal("key", f"{n}".encode()) for n in range(4)] == ["TAKEN", "TAKEN", "KEPT", "KEPT"]
    assert [bench.journal(f"thing:{n}")[1].payload for n in (1, 2)] == [b"0", b"1"]
    claim = await bench.take("thing:3")
    stepped = await bench.store.step(claim, seq=1, seen=1, operations=["wait", 4, "0:1", "key", 0, ""])
    assert stepped.length == 2
    assert bench.journal("thing:3")[1].payload == b"2"


async def test_payloads_nobody_takes_have_a_limit_and_an_end(bench: Bench) -> None:
    key = f"{bench.base('key')}sig:key"
    bench.redis.rpush(key, *[b"p 1"] * 9_999)
    assert await bench.store.signal("key", b"1") == "KEPT"
    assert await bench.store.signal("key", b"1") == "FULL"
    assert 0 < bench.redis.ttl(key) <= 7 * 24 * 3600


async def test_waiters_that_are_gone_are_passed_over(bench: Bench) -> None:
    bench.redis.rpush(f"{bench.base('key')}sig:key", *[f"w 0 0:1 0 gone:{n}" for n in range(500)])
    assert await bench.store.signal("key", b"1") == "KEPT"


# --- change -----------------------------------------------------------------------------------------------------------


async def test_change_of_records(bench: Bench) -> None:
    store = bench.store
    assert await store.change(JOB, "set", 1, "a", "1", create=False) == ("NOTFOUND", "", None)
    assert await store.change(JOB, "set", 1, "a", "1", expected_rev=3) == ("CONFLICT", "0", None)
    assert bench.record(JOB) == {}
    assert await store.change(JOB, "set", 2, "a", "1", "b", "x") == ("OK", "2", 1)
    assert await store.change(JOB, "set", 1, "a", "2", "b", expected_rev=1) == ("OK", "0", 2)
    assert await store.change(JOB, "set", 1, "a", "9", expected_rev=1) == ("CONFLICT", "2", None)
    assert await store.change(JOB, "incr", "a", "0.5") == ("OK", "2.5", 3)
    assert await store.change(JOB, "mult", "a", "4") == ("OK", "10", 4)
    assert await store.change(JOB, "mult", "new", "4") == ("OK", "4", 5)
    assert await store.change(JOB, "set", 1, "word", "x") == ("OK", "1", 6)
    assert await store.change(JOB, "incr", "word", "1") == ("NOTNUMBER", "word", None)
    assert await store.change(JOB, "delete", "word", "none") == ("OK", "1", 7)
    record = bench.record(JOB)
    assert {name: value for name, value in record.items() if not name.startswith("_")} == {"a": "10", "new": "4"}
    assert record["_rev"] == "7"


# --- relay, relayed ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def two_partitions(make_bench: Any) -> Any:
    return await make_bench(partitions=2)


def job_in(bench: Bench, partition: int, name: str) -> str:
    """A job of an entity in a partition."""
    return next(job for job in (f"{name}:{n}" for n in range(100)) if bench.store.keys.partition(job) == partition)


@pytest.fixture
def by_hand(two_partitions: Bench, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing is relayed but by the test; `undo` it to have the store do it."""
    monkeypatch.setattr(two_partitions.store, "relay", lambda source, target: None)
    return monkeypatch


def asks(key: str, *payloads: str) -> list[Any]:
    """A step's operations: send signals to a key of partition 1."""
    one = [["ask", 8, f"0:{n}", "signal", 1, key, "signal", key, text, "@"] for n, text in enumerate(payloads)]
    return [part for operation in one for part in operation]


@pytest.mark.usefixtures("by_hand")
async def test_messages_are_applied_once_and_in_order_whoever_relays_them_how_often(two_partitions: Bench) -> None:
    bench, store = two_partitions, two_partitions.store
    key = job_in(bench, 1, "key")
    claim = await bench.take(job_in(bench, 0, "thing"))
    await store.step(claim, seq=1, seen=1, operations=asks(key, "1", "2", "3"))
    outbox, line = f"{store.keys.base(0)}out:1", f"{store.keys.base(1)}sig:{key}"
    messages = bench.redis.lrange(outbox, 0, -1)
    assert len(messages) == 3

    async def relay(*some: bytes) -> int:
        last: int = (await store._script("relay", 1, 0, *some))[0]
        return last

    assert await relay(*messages[1:]) == 0, "the first is missing: none is applied"
    assert await relay(*messages[:2]) == 2
    assert await relay(*messages) == 3
    assert await relay(*messages) == 3
    assert bench.redis.lrange(line, 0, -1) == [b"p 1", b"p 2", b"p 3"]
    assert [await store._script("relayed", 0, 1, last) for last in (2, 2, 3)] == [[1], [1], [0]]
    assert not bench.redis.exists(outbox)
    assert bench.redis.llen(f"{store.keys.base(1)}out:0") == 3, "the answers, on their way back"


async def test_beat_tells_of_messages_left_in_the_outbox(two_partitions: Bench, by_hand: pytest.MonkeyPatch) -> None:
    bench, store = two_partitions, two_partitions.store
    job = job_in(bench, 0, "thing")
    claim = await bench.take(job)
    await store.step(claim, seq=1, seen=1, operations=asks(job_in(bench, 1, "key"), "1"))
    assert (await store.beat(0, ttl_ms=60_000)).relay == [1]
    by_hand.undo()
    store.relay(0, 1)
    await store._outbox.close()
    assert (await store.beat(0, ttl_ms=60_000)).relay == []
    assert bench.journal(job)[1].payload == b"false"


async def test_all_parked_runs_get_another_chance_however_many(bench: Bench) -> None:
    count = 1_100
    await asyncio.gather(*(bench.start(f"thing:{n}") for n in range(count)))
    claims = {claim.run: claim for claim in bench.claims("thing:0")}.values()
    park = (bench.store.suspend(claim, seen=1, how="parked", problem="unfit") for claim in claims)
    assert set(await asyncio.gather(*park)) == {"OK"}
    assert await bench.store.join(0, ["work"], ttl_ms=60_000) == count
