"""The gate of a topic that has limits: who is granted, who waits, what an end, a timer and a change make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshdata.store.messages import Claim, StartJob
from tests.scripts.conftest import TOPIC, Bench, Clock


async def limits(bench: Bench, *, count: int = 0, per: int = 0, most: int = 0) -> None:
    await bench.store.set_limits(TOPIC, f"{bench.store.partitions} {count} {per} {most}")


async def begin(bench: Bench, n: int, **options: Any) -> None:
    assert (
        await bench.store.start_job(StartJob(f"thing:{n}", TOPIC, b'{"a":[]}', "thing", **options))
    ).word == "CREATED"


def queued(bench: Bench) -> list[str]:
    """The jobs that have a message, in the order of the stream."""
    return [claim.run.partition(" ")[2] for claim in bench.claims("thing:0")]


def gates(bench: Bench) -> dict[str, int]:
    """How many members each key of a gate has."""
    base = bench.store.keys.base(0)
    sizes = {"line": bench.redis.zcard(f"{base}gl:{TOPIC}:"), "inside": bench.redis.scard(f"{base}gs:{TOPIC}:")}
    return {**sizes, "rate": bench.redis.zcard(f"{base}gr:{TOPIC}:")}


async def end(bench: Bench, claim: Claim) -> None:
    assert await bench.store.finish(claim, seq=None, status="completed", code="ok", payload=b"1")


async def test_without_limits_nothing_of_a_gate_is_written(bench: Bench) -> None:
    await begin(bench, 0)
    assert "gate" not in bench.header("thing:0") and queued(bench) == ["thing:0"]


async def test_who_is_over_the_limit_has_no_message_until_another_ends(bench: Bench) -> None:
    await limits(bench, most=2)
    for n in range(4):
        await begin(bench, n)
    assert queued(bench) == ["thing:0", "thing:1"] and gates(bench) == {"line": 2, "inside": 2, "rate": 0}
    assert bench.header("thing:3")["status"] == "queued" and "message" not in bench.header("thing:3")
    await end(bench, bench.claims("thing:0")[0])
    assert queued(bench) == ["thing:1", "thing:2"]
    for _ in range(3):
        await end(bench, bench.claims("thing:0")[0])
    assert gates(bench) == {"line": 0, "inside": 0, "rate": 0} and queued(bench) == []
    assert not bench.redis.keys(f"{bench.store.keys.base(0)}g*")


async def test_a_start_sent_twice_is_in_line_once(bench: Bench) -> None:
    await limits(bench, most=1)
    await begin(bench, 0)
    await begin(bench, 1)
    again = await bench.store.start_job(StartJob("thing:1", TOPIC, b'{"a":[]}', "thing"))
    assert again.word == "PENDING" and gates(bench) == {"line": 1, "inside": 1, "rate": 0}


@pytest.mark.parametrize("how", ["interrupt", "flush", "cancel"])
async def test_who_ends_in_line_leaves_it_and_who_ends_inside_lets_the_next_in(bench: Bench, how: str) -> None:
    async def stop(job: str) -> None:
        if how == "interrupt":
            await bench.store.interrupt(job, payload=b"{}", problem="p", descend=True, throw=True, ttl="")
        elif how == "flush":
            await bench.store.flush(job)
        else:
            await bench.store.cancel(f"0 {job}", payload=b"{}", problem="p")

    await limits(bench, most=1)
    for n in range(4):
        await begin(bench, n, ttl="60000")
    await stop("thing:1")
    assert gates(bench) == {"line": 2, "inside": 1, "rate": 0}
    await stop("thing:0")
    assert queued(bench) == ["thing:2"] and gates(bench) == {"line": 1, "inside": 1, "rate": 0}
    for n in (2, 3):
        await stop(f"thing:{n}")
    assert gates(bench) == {"line": 0, "inside": 0, "rate": 0}


async def test_a_take_over_keeps_the_place_of_a_run_and_its_last_death_frees_it(bench: Bench, other: Bench) -> None:
    await limits(bench, most=1)
    await begin(bench, 0)
    await begin(bench, 1)
    [claim] = bench.claims("thing:0")
    assert (await bench.store.lease(claim)).word == "OK"
    await bench.store.leave(0, [])
    said = await other.store.take_over(0, "one", limit=10, deaths=3, payload=b"{}", problem="dead")
    assert said == ("DONE", 1) and gates(bench) == {"line": 1, "inside": 1, "rate": 0}
    assert [c.run for c in bench.claims("thing:0")] == ["0 thing:0"]
    assert (await other.store.lease(bench.claims("thing:0")[0])).word == "OK"
    assert (await other.store.take_over(0, "two", limit=10, deaths=1, payload=b"{}", problem="dead"))[0] == "ALIVE"
    await other.store.leave(0, [])
    await bench.store.join(0, [TOPIC], ttl_ms=60_000)
    await bench.store.take_over(0, "two", limit=10, deaths=2, payload=b"{}", problem="dead")
    assert bench.header("thing:0")["status"] == "failed" and queued(bench) == ["thing:1"]


async def test_a_rate_counts_from_the_reading_and_a_timer_lets_the_next_in(make_bench: Callable[..., Any]) -> None:
    clock = Clock()
    bench: Bench = await make_bench(clock=clock)
    await limits(bench, count=2, per=1000)
    for n in range(4):
        await begin(bench, n)
    assert queued(bench) == ["thing:0", "thing:1"] and bench.timers("thing:0") == {}, "none of them has begun"
    clock.ms += 5_000
    assert (await bench.store.lease(bench.claims("thing:0")[0])).word == "OK"
    began = clock.ms
    assert bench.timers("thing:0") == {f"g {TOPIC}:": began + 1000}
    clock.ms += 999
    assert (await bench.store.fire(0))[0] == 0 and gates(bench) == {"line": 2, "inside": 0, "rate": 2}
    clock.ms += 1
    assert (await bench.store.fire(0))[0] == 1
    assert queued(bench) == ["thing:1", "thing:2"] and gates(bench) == {"line": 1, "inside": 0, "rate": 2}
    await end(bench, bench.claims("thing:0")[0])
    assert bench.timers("thing:0") == {f"g {TOPIC}:": clock.ms + 1000}


async def test_of_each_priority_so_many_go_first_and_none_is_left_behind(bench: Bench) -> None:
    await limits(bench, most=1)
    await begin(bench, 999)
    for n in range(39):
        await begin(bench, n, priority=("u", "", "b")[n % 3])
    order = []
    while claims := bench.claims("thing:0"):
        order.append(claims[0].run.partition(":")[2])
        await end(bench, claims[0])
    kinds = [["high", "normal", "low"][int(n) % 3] for n in order[1:]]
    assert {kind: kinds[:13].count(kind) for kind in set(kinds)} == {"high": 9, "normal": 3, "low": 1}
    assert len(kinds) == 39 and kinds[-1] == "low"


async def test_a_bucket_is_whole_wherever_its_runs_are(make_bench: Callable[..., Any]) -> None:
    bench: Bench = await make_bench(partitions=4)
    await limits(bench, most=3)
    for n in range(20):
        await begin(bench, n)
    await bench.store._outbox.close()

    def messages() -> int:
        bases = [bench.store.keys.base(p) for p in range(4)]
        return sum(bench.redis.xlen(f"{base}q:{TOPIC}") for base in bases)

    assert messages() == 3
    inside = [bench.redis.scard(f"{bench.store.keys.base(p)}gs:{TOPIC}:") for p in range(4)]
    assert sorted(inside) == [0, 0, 0, 3]


async def test_a_reserved_and_a_delayed_job_come_to_the_gate_when_they_begin(bench: Bench) -> None:
    await limits(bench, most=1)
    await begin(bench, 0)
    await begin(bench, 1, pending="60000", priority="u", limit_key="ann")
    await begin(bench, 2, pending="60000")
    assert gates(bench)["line"] == 0
    assert await bench.store.resume("thing:1") == "OK"
    assert queued(bench) == ["thing:0", "thing:1"], "its key has room of its own"
    assert await bench.store.resume("thing:2") == "OK"
    assert gates(bench) == {"line": 1, "inside": 1, "rate": 0}
