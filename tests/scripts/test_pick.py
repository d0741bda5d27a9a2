"""pick: who reads a message that names no run gets the first in line."""

from __future__ import annotations

from meshdata.store.messages import Claim, StartJob
from tests.scripts.conftest import TOPIC, Bench


async def begin(bench: Bench, n: int, priority: str) -> None:
    start = StartJob(f"thing:{n}", TOPIC, b'{"a":[]}', "thing", priority=priority)
    assert (await bench.store.start_job(start)).word == "CREATED"


def tokens(bench: Bench) -> list[Claim]:
    """The messages that name no run, as claims."""
    found = []
    for kind in "cq":
        stream = f"{bench.store.keys.base(0)}{kind}:{TOPIC}"
        found += [Claim("1", "", stream, number) for number, fields in bench.redis.xrange(stream) if b"k" in fields]
    return found


async def test_pick_gives_the_lease_of_the_first_in_line_once(bench: Bench) -> None:
    await begin(bench, 1, "b")
    await begin(bench, 2, "")
    await begin(bench, 3, "u")
    messages = tokens(bench)
    assert len(messages) == 3 and bench.claims("thing:1") == []
    picked = await bench.store.pick(0, TOPIC, messages[0])
    assert picked is not None and picked[0].run == "0 thing:3" and len(picked[1].entries) == 1
    assert bench.header("thing:3")["owner"] == bench.store.process and bench.owned("thing:3") == {"0 thing:3"}
    assert await bench.store.pick(0, TOPIC, messages[0]) is None, "the message was consumed"
    assert await bench.store.finish(picked[0], seq=0, status="completed", code="ok", payload=b"1")
    for message, run in zip(messages[1:], ("0 thing:2", "0 thing:1"), strict=True):
        picked = await bench.store.pick(0, TOPIC, message)
        assert picked is not None and picked[0].run == run
    assert not bench.redis.exists(f"{bench.store.keys.base(0)}limits")
    assert not bench.redis.keys(f"{bench.store.keys.base(0)}g[lv]*")


async def test_pick_passes_over_who_has_ended_and_answers_empty_when_nobody_is_left(bench: Bench) -> None:
    await begin(bench, 1, "u")
    await begin(bench, 2, "b")
    await bench.store.flush("thing:1")
    first, second = tokens(bench)
    picked = await bench.store.pick(0, TOPIC, first)
    assert picked is not None and picked[0].run == "0 thing:2"
    assert await bench.store.pick(0, TOPIC, second) is None
    assert not bench.redis.exists(f"{bench.store.keys.base(0)}limits")


async def test_a_message_for_the_line_that_a_dead_process_had_read_is_put_back(bench: Bench, other: Bench) -> None:
    await begin(bench, 1, "b")
    assert bench.read("thing:1")
    await bench.store.leave(0, [])
    assert await other.store.take_over(0, "one", limit=10, deaths=5, payload=b"{}", problem="p") == ("DONE", 1)
    [message] = tokens(bench)
    picked = await other.store.pick(0, TOPIC, message)
    assert picked is not None and picked[0].run == "0 thing:1"
    await other.store.leave(0, [])
    await bench.store.join(0, [TOPIC], ttl_ms=60_000)
    assert await bench.store.take_over(0, "two", limit=10, deaths=5, payload=b"{}", problem="p") == ("DONE", 1)
    [claim] = bench.claims("thing:1")
    assert claim.run == "0 thing:1" and int(claim.fence) > int(picked[0].fence)
