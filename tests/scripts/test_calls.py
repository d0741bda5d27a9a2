"""The scripts of calls: what a death between them leaves; what they promise together is in test_kept_calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshdata.store.calls import Ask, run_of
from meshdata.store.messages import Asked, Claim

if TYPE_CHECKING:
    from tests.scripts.conftest import Bench

ENTRY = "work:k"
RUN = run_of(0, "one.1", ENTRY)


def asking(call: str = "one.1", **options: Any) -> Ask:
    return Ask(
        **(
            {"entry": ENTRY, "topic": "work", "body": b'{"a":[]}', "ttl": "60000", "failure": "60000", "call": call}
            | options
        )
    )


def taken(bench: Bench) -> list[tuple[Claim, Asked]]:
    """What this process reads of the topic."""
    found = []
    for number, fields in bench.read(ENTRY):
        text = {name.decode(): value for name, value in fields.items()}
        claim = Claim(text["x"].decode(), "", f"{bench.base(ENTRY)}q:work", number)
        asked = Asked(
            text["x"].decode(), text.get("w", b"").decode(), text.get("e", b"").decode(), text.get("o", b""),
            int(text.get("d") or 0),
        )  # fmt: skip
        found.append((claim, asked))
    return found


async def die(bench: Bench, other: Bench, *, deaths: int = 3) -> None:
    """`other` lapses, and `bench` puts back what it held."""
    bench.redis.zadd(f"{bench.base(ENTRY)}procs", {other.store.process: 1})
    word, _ = await bench.store.take_over(
        0, other.store.process, limit=100, deaths=deaths, payload=b'{"code":999}', problem="it died"
    )
    assert word == "DONE"
    await other.store.join(0, ["work"], ttl_ms=60_000)


async def test_ask_sent_again_is_the_same_call(bench: Bench) -> None:
    for _ in range(2):
        assert (await bench.store.calls.ask(asking())).call == "one.1"
        assert (await bench.store.calls.ask(asking("one.2"))).call == "one.1"
    assert bench.messages(ENTRY) == 1
    for claim, asked in taken(bench):
        await bench.store.calls.answer(0, claim, asked, "ok", b"1")
    # The answer to one that runs it anew is its own, however often it is sent.
    assert (await bench.store.calls.ask(asking(anew="all"))).payload == b"1"
    assert (await bench.store.calls.ask(asking("one.3", anew="all"))).word == "PENDING"


async def test_a_call_of_a_dead_process_is_put_back_and_stays_the_one_under_way(bench: Bench, other: Bench) -> None:
    await bench.store.calls.ask(asking())
    (first,) = taken(other)
    await die(bench, other)
    assert (await bench.store.calls.ask(asking("one.2"))).call == "one.1"
    (second,) = taken(bench)
    assert second[1] == first[1]
    await bench.store.calls.answer(0, *second, "ok", b"1")
    await bench.store.calls.answer(0, *first, "ok", b"2")  # it was not dead after all, and comes late
    assert (await bench.store.calls.ask(asking("one.3"))).payload == b"1"


async def test_a_call_that_kills_whoever_runs_it_goes_to_the_dead_letters(bench: Bench, other: Bench) -> None:
    await bench.store.calls.ask(asking())
    for _ in range(3):
        assert len(taken(other)) == 1
        await die(bench, other)
    assert (await bench.store.calls.ask(asking("one.2"))).payload == b'{"code":999}'
    ((_, letter),) = bench.redis.xrange(bench.store.keys.dead(0))
    assert (letter[b"run"], letter[b"topic"], letter[b"body"]) == (b"x work:k", b"work", b'{"a":[]}')
    assert bench.messages(ENTRY) == 0


async def test_withdraw_leaves_what_is_worked_on(bench: Bench, other: Bench) -> None:
    await bench.store.calls.ask(asking())
    (work,) = taken(other)
    assert await bench.store.calls.withdraw(RUN, "work", b"", stay=False) == "RUNNING"
    await other.store.calls.answer(0, *work, "ok", b"1")
    assert await bench.store.calls.withdraw(RUN, "work", b"", stay=False) == "GONE"
    assert (await bench.store.calls.ask(asking("one.2"))).payload == b"1"


async def test_withdraw_tells_whether_a_living_process_serves_the_topic(bench: Bench, other: Bench) -> None:
    other.read(ENTRY)
    await bench.store.calls.ask(asking())
    assert await bench.store.calls.withdraw(RUN, "work", b"", stay=True) == "WAITING"
    bench.redis.zadd(f"{bench.base(ENTRY)}procs", {other.store.process: 1})
    assert await bench.store.calls.withdraw(RUN, "work", b"", stay=False) == "NOBODY"
    assert bench.messages(ENTRY) == 0


async def test_overdue_drops_what_nobody_awaits_and_nothing_else(bench: Bench) -> None:
    await bench.store.calls.ask(asking(wait_ms=1))
    await bench.store.calls.ask(asking("one.2", wait_ms=60_000))
    (work,) = taken(bench)
    assert not await bench.store.calls.is_overdue(0, *work), "another caller is more patient than its message says"
    await bench.store.calls.forget(ENTRY, "work")
    await bench.store.calls.ask(asking("one.3", wait_ms=-1))
    (late,) = taken(bench)
    assert await bench.store.calls.is_overdue(0, *late)
    assert (await bench.store.calls.ask(asking("one.4"))).call == "one.4"
