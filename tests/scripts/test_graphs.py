"""The scripts of graph jobs, each by itself: their promises when sent twice, late, or under an old lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshdata.store.graphs import End
from meshdata.store.messages import Claim, StartJob
from tests.scripts.conftest import TOPIC, Bench, Clock

JOB = "app:1"
RUN = f"0 {JOB}"
WAITS = End("waiting")
DONE = End("completed", "ok", b"", "", "60000")

META = b'{"jid":"1"'
STATE = ["set", 4, "#", META, ":", b"1"]
WORK = ["work", 3, "w1", TOPIC, b"{}"]


def spec(**options: Any) -> StartJob:
    return StartJob(JOB, TOPIC, b"{}", "graph", ttl="1000", policy="fail", graph="out", held=True, **options)


async def begin(bench: Bench, *operations: Any, end: End = WAITS) -> str:
    outcome = await bench.store.graphs.start(spec(token="t"), end, [*STATE, *operations])
    return outcome.word


def work(bench: Bench) -> Claim:
    """The message of the work that was asked for, read."""
    stream = f"{bench.base(JOB)}q:{TOPIC}"
    [[(number, fields)]] = bench.redis.xreadgroup("g", bench.store.process, {stream: ">"})[stream.encode()]
    return Claim(fields[b"a"].decode(), "", stream, number)


def state(bench: Bench) -> dict[str, bytes]:
    raw = bench.redis.hgetall(f"{bench.base(JOB)}g:{JOB}")
    return {name.decode(): value for name, value in raw.items()}


async def test_a_job_is_created_with_its_triggers_step_or_not_at_all(bench: Bench) -> None:
    assert await begin(bench, *WORK) == "CREATED"
    header = bench.header(JOB)
    assert header["status"] == "waiting" and header["seq"] == "1" and header["graph"] == "out"
    assert state(bench) == {"#": META, ":": b"1"} and bench.messages(JOB) == 1
    before = bench.everything()
    assert await begin(bench, *WORK) == "PENDING", "the same start, sent again"
    other = await bench.store.graphs.start(spec(token="other"), WAITS, [*STATE, *WORK])
    assert other.word == "EXISTS" and bench.everything() == before


async def test_a_job_that_ends_with_its_trigger_tells_at_once(bench: Bench) -> None:
    assert await begin(bench, end=DONE) == "CREATED"
    outcome = await bench.store.result(RUN)
    assert outcome.word == "DONE" and outcome.code == "ok"
    assert outcome.payload == b'{"metadata":{"jid":"1","ju":"","js":1}}'
    assert 0 < bench.redis.pttl(f"{bench.base(JOB)}g:{JOB}") <= 60_000
    assert not bench.redis.exists(f"{bench.base(JOB)}l:{JOB}")


async def test_a_reply_is_taken_once_with_the_lease_and_the_state(bench: Bench) -> None:
    await begin(bench, *WORK)
    message = work(bench)
    taken = await bench.store.graphs.reply(message, "w1", code="ok", payload=b"1", takes=True)
    assert (taken.word, taken.seq, taken.whole) == ("TAKEN", 1, True)
    assert taken.fields == {"#": META, ":": b"1"} and len(taken.entries) == 1
    assert bench.owned(JOB) == {RUN} and bench.messages(JOB) == 0
    before = bench.everything()
    again = await bench.store.graphs.reply(message, "w1", code="ok", payload=b"1", takes=True)
    assert again.word == "STALE" and bench.everything() == before


async def test_a_reply_for_a_job_in_hand_waits_in_the_inbox(bench: Bench, other: Bench) -> None:
    await begin(bench, *WORK, "work", 3, "w2", TOPIC, b"{}")
    [first, second] = bench.read(JOB)
    stream = f"{bench.base(JOB)}q:{TOPIC}"
    mine = await bench.store.graphs.reply(Claim(RUN, "", stream, first[0]), "w1", code="ok", payload=b"1", takes=True)
    theirs = await other.store.graphs.reply(
        Claim(RUN, "", stream, second[0]), "w2", code="ok", payload=b"2", takes=True
    )
    assert (mine.word, theirs.word) == ("TAKEN", "OK")
    committed = await bench.store.graphs.commit(
        Claim(RUN, mine.fence), seq=2, consumed=1, end=WAITS, operations=["cancel", 1, "w1"]
    )
    assert committed.word == "MORE" and len(committed.entries) == 1
    assert committed.entries[0].endswith(b" w2 reply ok work\n2") and bench.owned(JOB) == {RUN}


async def test_a_worker_that_leaves_its_activity_open_consumes_its_message(bench: Bench) -> None:
    await begin(bench, *WORK)
    taken = await bench.store.graphs.reply(work(bench), "w1", code="", payload=b"", takes=True)
    assert taken.word == "OK" and bench.messages(JOB) == 0 and "w:w1" in bench.header(JOB)


async def test_a_commit_is_applied_once(bench: Bench) -> None:
    await begin(bench, *WORK)
    taken = await bench.store.graphs.reply(work(bench), "w1", code="ok", payload=b"1", takes=True)
    claim = Claim(RUN, taken.fence)
    running = End("running")
    operations = ["set", 2, "n", b"1", "work", 3, "w2", TOPIC, b"{}"]
    first = await bench.store.graphs.commit(claim, seq=2, consumed=1, end=running, operations=operations)
    assert (first.word, bench.messages(JOB)) == ("MORE", 1)
    again = await bench.store.graphs.commit(claim, seq=2, consumed=1, end=running, operations=operations)
    assert (again.word, bench.messages(JOB)) == ("MORE", 1)
    assert bench.header(JOB)["seq"] == "2"


async def test_nothing_is_written_under_an_old_fence_or_after_the_end(bench: Bench) -> None:
    await begin(bench, *WORK)
    taken = await bench.store.graphs.reply(work(bench), "w1", code="ok", payload=b"1", takes=True)
    claim = Claim(RUN, taken.fence)
    assert (await bench.store.graphs.commit(claim, seq=2, consumed=1, end=WAITS, operations=[])).word == "OK"
    before = bench.everything()
    late = await bench.store.graphs.commit(claim, seq=3, consumed=0, end=DONE, operations=["set", 2, "x", b"1"])
    assert late.word == "STALE" and bench.everything() == before
    fence = bench.header(JOB)["fence"]
    done = await bench.store.graphs.commit(Claim(RUN, fence), seq=3, consumed=0, end=DONE, operations=[])
    assert done.word == "OK" and bench.header(JOB)["status"] == "completed"
    before = bench.everything()
    for seq in (3, 4):
        assert (
            await bench.store.graphs.commit(
                Claim(RUN, fence), seq=seq, consumed=0, end=WAITS, operations=["set", 2, "x", b"1"]
            )
        ).word == "STALE"
    assert bench.everything() == before


async def test_a_store_that_has_lost_a_commit_has_the_job_done_again(bench: Bench) -> None:
    await begin(bench, *WORK)
    taken = await bench.store.graphs.reply(work(bench), "w1", code="ok", payload=b"1", takes=True)
    found = await bench.store.graphs.commit(Claim(RUN, taken.fence), seq=5, consumed=1, end=DONE, operations=[])
    assert found.word == "REWIND" and bench.header(JOB)["status"] == "queued"
    assert bench.owned(JOB) == set() and len(bench.claims(JOB)) == 1
    assert len(bench.journal(JOB)) == 1, "what had come is still to be dealt with"


async def test_a_job_that_goes_on_is_taken_by_one(bench: Bench, other: Bench) -> None:
    await begin(bench, "timer", 3, "h1", "sleep", 0)
    while not bench.claims(JOB):  # it is due with the next millisecond
        await bench.store.fire(bench.store.keys.partition(JOB))
    [claim] = bench.claims(JOB)
    bench.read(JOB)
    taken = await bench.store.graphs.lease(claim)
    assert taken.word == "OK" and [entry.split(b" ")[1:4] for entry in taken.entries] == [[b"h1", b"sleep", b"ok"]]
    assert (await other.store.graphs.lease(claim)).word == "STALE"


async def test_a_signal_that_was_there_before_is_in_the_inbox_at_once(bench: Bench) -> None:
    await bench.store.signal("key", b"early")
    assert await begin(bench, "wait", 4, "h1", "key", bench.store.keys.partition("key"), "") == "CREATED"
    assert bench.header(JOB)["status"] == "queued" and [entry.payload for entry in bench.journal(JOB)] == [b"early"]


async def test_a_further_reply_counts_once(bench: Bench) -> None:
    await begin(bench, *WORK)
    graphs = bench.store.graphs
    assert await graphs.add(RUN, "w1", guid="g", payload=b"1") == "OK"
    assert await graphs.add(RUN, "w1", guid="g", payload=b"1") == "AGAIN"
    assert await graphs.add(RUN, "w1", guid="h", payload=b"2") == "OK"
    assert await graphs.add(RUN, "w9", guid="h", payload=b"2") == "STALE"
    assert [entry.payload for entry in bench.journal(JOB)] == [b"1", b"2"]


async def test_work_nobody_has_begun_goes_with_its_job(bench: Bench) -> None:
    await begin(bench, *WORK)
    assert await bench.store.flush(JOB)
    assert bench.messages(JOB) == 0
    assert not bench.redis.exists(f"{bench.base(JOB)}g:{JOB}", f"{bench.base(JOB)}j:{JOB}")


async def test_work_of_a_dead_process_is_put_back_and_its_job_too(bench: Bench, other: Bench) -> None:
    await begin(bench, *WORK)
    message = work(bench)
    partition = bench.store.keys.partition(JOB)
    await other.store.take_over(partition, "one", limit=10, deaths=None, payload=b"{}", problem="")
    assert (await bench.store.graphs.reply(message, "w1", code="ok", payload=b"1", takes=True)).word == "STALE"
    again = work(other)
    taken = await other.store.graphs.reply(again, "w1", code="ok", payload=b"1", takes=True)
    assert taken.word == "TAKEN" and len(taken.entries) == 1


@pytest.mark.parametrize(("throw", "code"), [(True, "err"), (False, "ok")])
async def test_an_interrupt_ends_a_job_with_its_output(bench: Bench, throw: bool, code: str) -> None:
    await begin(bench, "set", 2, "$", b'{"x":1}', *WORK)
    payload = b'{"code":410,"message":"a \\"quoted\\" reason"}'
    word = await bench.store.interrupt(JOB, payload=payload, problem="why", descend=False, throw=throw, ttl="1000")
    outcome = await bench.store.result(RUN)
    assert (word, outcome.code) == ("OK", code) and state(bench)[":"] == b"-999999999"
    assert outcome.payload.endswith(b'"data":{"x":1}}') and bench.messages(JOB) == 0
    assert (b'"type":"JobInterrupted"' in outcome.payload) is throw


async def test_a_large_reply_is_kept_beside_the_inbox_and_goes_with_it(
    make_bench: Callable[..., Any], clock: Clock
) -> None:
    bench: Bench = await make_bench()
    await begin(bench, *WORK)
    payload = b'"' + b"x" * 70_000 + b'"'
    taken = await bench.store.graphs.reply(work(bench), "w1", code="ok", payload=payload, takes=True)
    assert taken.entries[0].endswith(payload)
    assert bench.redis.hlen(f"{bench.base(JOB)}v:{JOB}") == 2
    await bench.store.graphs.commit(Claim(RUN, taken.fence), seq=2, consumed=1, end=WAITS, operations=[])
    assert bench.redis.hkeys(f"{bench.base(JOB)}v:{JOB}") == [b"n"]
