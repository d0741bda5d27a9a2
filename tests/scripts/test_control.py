"""throttle: rates are kept, one for all or of single topics, and told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.scripts.conftest import Bench


async def test_throttle_keeps_what_it_tells_and_nothing_that_is_zero(bench: Bench) -> None:
    store = bench.store
    with bench.redis.pubsub() as channel:
        channel.subscribe(store.keys.bus)
        assert channel.get_message(timeout=5)["type"] == "subscribe"
        for topic, ms, kept in (
            ("a", 5, (0, {"a": 5})),
            ("b", -1, (0, {"a": 5, "b": -1})),
            ("a", 0, (0, {"b": -1})),
            (None, 7, (7, {})),
            ("a", 0, (7, {"a": 0})),
            (None, 0, (0, {})),
        ):
            await store.throttle(ms, topic=topic, message=b"%d" % ms)
            assert await store.throttles() == kept
            assert channel.get_message(timeout=5)["data"] == b"%d" % ms
    assert not bench.redis.exists(store.keys.throttle)


async def test_processes_and_depths_are_those_of_the_namespace(make_bench: Callable[..., Any]) -> None:
    bench: Bench = await make_bench(partitions=2)
    store = bench.store
    assert await store.processes() == [store.process]
    for n in range(5):
        await bench.start(f"thing:{n}")
    assert await store.depths(["work", "idle"]) == {"work": 5, "idle": 0}
