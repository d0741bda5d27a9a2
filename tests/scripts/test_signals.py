"""signal, wait and any: who gets a payload, and what is left of a wait that is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshdata.store.messages import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scripts.conftest import Bench, Clock

JOB = "thing:1"
ANY = "a\x1fb c"


def any_of(position: str = "0:1", timeout: Any = "", *keys: str) -> list[Any]:
    named = keys or ("a", "b c")
    places = [part for key in named for part in (0, key)]
    return ["any", 3 + len(places), position, timeout, "\x1f".join(named), *places]


def lines(bench: Bench) -> dict[str, list[str]]:
    """The lines of all keys, those that are empty left out."""
    start = f"{bench.base(JOB)}sig:"
    return {
        key.decode().removeprefix(start): [one.decode() for one in bench.redis.lrange(key, 0, -1)]
        for key in bench.redis.scan_iter(match=f"{start.replace('[', '')}*")
    }


def outcomes(bench: Bench) -> list[tuple[str, str, str, bytes]]:
    return [(entry.position, entry.kind, entry.code, entry.payload) for entry in bench.journal(JOB)[1:]]


async def stepped(bench: Bench, operations: list[Any], seq: int = 1) -> Claim:
    claim = await bench.take() if seq == 1 else Claim(f"0 {JOB}", bench.header(JOB)["fence"])
    assert (await bench.store.step(claim, seq=seq, seen=1, operations=operations)).word == "OK"
    return claim


# --- a settled wait ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [["wait", 4, "0:1", "a", 0, 60_000], any_of("0:1", 60_000)])
async def test_the_signal_that_settles_a_wait_disarms_its_timer(bench: Bench, operation: list[Any]) -> None:
    await stepped(bench, operation)
    assert list(bench.timers(JOB)) == [f"d 0:1 0 {JOB}"]
    assert await bench.store.signal("a", b"1") == "TAKEN"
    assert (bench.timers(JOB), lines(bench)) == ({}, {})
    assert [name for name in bench.header(JOB) if name.startswith("w:")] == []


@pytest.mark.parametrize("operation", [["wait", 4, "0:1", "a", 0, 1000], any_of("0:1", 1000)])
async def test_the_time_that_settles_a_wait_takes_it_out_of_every_line(
    make_bench: Callable[..., Any], clock: Clock, operation: list[Any]
) -> None:
    bench = await make_bench(clock=clock)
    await stepped(bench, operation)
    clock.ms += 1000
    await bench.store.fire(0)
    assert outcomes(bench) == [("0:1", operation[0], "timeout", b"null")]
    assert (bench.timers(JOB), lines(bench)) == ({}, {})
    assert await bench.store.signal("a", b"1") == "KEPT"


@pytest.mark.parametrize("operation", [["wait", 4, "0:1", "a", 0, 60_000], any_of("0:1", 60_000)])
async def test_a_wait_that_is_given_up_leaves_nothing(bench: Bench, operation: list[Any]) -> None:
    await stepped(bench, operation)
    await stepped(bench, ["cancel", 1, "0:1"], seq=2)
    assert (bench.timers(JOB), lines(bench), outcomes(bench)) == ({}, {}, [])


# --- one of several keys ----------------------------------------------------------------------------------------------


async def test_the_first_signal_of_any_key_settles_and_says_which(bench: Bench) -> None:
    await stepped(bench, any_of())
    assert bench.header(JOB)["w:0:1"].startswith("any 0,0 0/")
    assert lines(bench) == {"a": [f"w 0 0:1 0 {JOB}"], "b c": [f"w 0 0:1 0 {JOB}"]}
    assert await bench.store.signal("b c", b'{"x":1}') == "TAKEN"
    assert outcomes(bench) == [("0:1", "any", "ok", b'[1,{"x":1}]')]
    assert bench.journal(JOB)[1].name == ANY
    assert await bench.store.signal("a", b"2") == "KEPT"


async def test_of_payloads_that_were_there_the_first_named_is_taken_and_no_other(bench: Bench) -> None:
    for key in ("b c", "a"):
        assert await bench.store.signal(key, b"1") == "KEPT"
    await stepped(bench, any_of())
    assert outcomes(bench) == [("0:1", "any", "ok", b"[0,1]")]
    assert lines(bench) == {"b c": ["p 1"]}


async def test_two_waits_on_several_keys_share_them_in_the_order_they_came(bench: Bench) -> None:
    await stepped(bench, [*any_of("0:1"), *any_of("0:2", "", "b c", "d")])
    assert await bench.store.signal("b c", b"1") == "TAKEN"
    assert await bench.store.signal("b c", b"2") == "TAKEN"
    assert outcomes(bench) == [("0:1", "any", "ok", b"[1,1]"), ("0:2", "any", "ok", b"[0,2]")]
    assert lines(bench) == {}


async def test_keys_of_several_partitions_give_one_payload(make_bench: Callable[..., Any]) -> None:
    bench = await make_bench(partitions=4)
    keys = [f"k{n}" for n in range(8)]
    places = [part for key in keys for part in (bench.store.keys.partition(key), key)]
    claim = await bench.take()
    await bench.store.step(
        claim, seq=1, seen=1, operations=["any", 3 + len(places), "0:1", "", "\x1f".join(keys), *places]
    )
    for number, key in enumerate(keys):
        await _relayed(bench)
        await bench.store.signal(key, b"%d" % number)
    await _relayed(bench)
    [(position, kind, code, payload)] = outcomes(bench)
    assert (position, kind, code, payload) == ("0:1", "any", "ok", b"[0,0]")
    left = [one for key in keys for one in bench.redis.lrange(_line(bench, key), 0, -1)]
    assert sorted(left) == [b"p %d" % number for number in range(1, 8)], "the other payloads are for others"


def _line(bench: Bench, key: str) -> str:
    return f"{bench.store.keys.base(bench.store.keys.partition(key))}sig:{key}"


async def _relayed(bench: Bench) -> None:
    """Carry over all that is in the outboxes."""
    store = bench.store
    busy = True
    while busy:
        busy = False
        for source in range(4):
            for target in range(4):
                messages = await store.outgoing(source, target, 100)
                if messages:
                    busy = True
                    await store.carry(source, target, messages)


# --- ids --------------------------------------------------------------------------------------------------------------


async def test_a_signal_sent_again_under_its_id_counts_once_and_is_answered_as_it_was(bench: Bench) -> None:
    await stepped(bench, ["wait", 4, "0:1", "a", 0, ""])
    for _ in range(2):
        assert await bench.store.signal("a", b"1", id="m-1") == "TAKEN"
    for _ in range(2):
        assert await bench.store.signal("a", b"2", id="m-2") == "KEPT"
    assert await bench.store.signal("b", b"3", id="m-1") == "KEPT", "an id is the key's"
    assert (outcomes(bench), lines(bench)) == ([("0:1", "wait", "ok", b"1")], {"a": ["p 2"], "b": ["p 3"]})
    remembered = list(bench.redis.scan_iter(match=f"{bench.base(JOB)}sid:*"))
    assert len(remembered) == 3
    assert all(0 < bench.redis.pttl(key) <= 604_800_000 for key in remembered)


async def test_keys_and_ids_that_look_alike_are_told_apart(bench: Bench) -> None:
    assert await bench.store.signal("a", b"1", id="b:c") == "KEPT"
    assert await bench.store.signal("a:b", b"2", id="c") == "KEPT"
    assert lines(bench) == {"a": ["p 1"], "a:b": ["p 2"]}


# --- the bus ----------------------------------------------------------------------------------------------------------


async def test_a_message_is_published_once_with_its_entry(bench: Bench) -> None:
    claim = await bench.take()
    with bench.redis.pubsub(ignore_subscribe_messages=True) as ear:
        ear.subscribe("the-bus")
        ear.get_message(timeout=5)  # it is subscribed
        for _ in range(2):  # the second is the first, sent again
            await bench.store.step(claim, seq=1, seen=1, operations=["emit", 4, "0:1", "topic", "the-bus", b'{"x":1}'])
        bench.redis.publish("the-bus", b"last")
        heard = []
        while b"last" not in heard:
            message = ear.get_message(timeout=5)
            heard += [message["data"]] if message is not None else []
    assert heard == [b'{"x":1}', b"last"]
    assert outcomes(bench) == [("0:1", "emit", "ok", b"null")]
