"""The lane beside redis-py's own asyncio client with its pool: the same script, the same tasks, by turns."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bench.harness import FLOOR_SCRIPT, Bench, in_tasks, spread
from bench.report import Line
from meshdata.store.redis import Connections

TASKS = 50


async def lane_and_pool(bench: Bench) -> list[Line]:
    """Scripts per second and client CPU per script."""
    connections = await Connections.open(bench.url, name="bench")
    pool = Redis.from_url(bench.url, max_connections=TASKS, retry=Retry(NoBackoff(), 0))
    try:
        lane = connections.lane()
        sha: bytes = await lane.call("SCRIPT", "LOAD", FLOOR_SCRIPT)
        text = sha.decode()

        async def by_lane() -> Any:
            return await lane.call("EVALSHA", text, 1, "bench:key", "value")

        async def by_pool() -> Any:
            return await pool.evalsha(text, 1, "bench:key", "value")

        count = {"lane": bench.size(200_000, 20_000), "pool": bench.size(40_000, 4_000)}
        ways: dict[str, Callable[[], Awaitable[Any]]] = {"lane": by_lane, "pool": by_pool}
        seconds, cpu = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
        times: dict[str, list[float]] = {way: [] for way in ways}
        rounds = 4
        for way, call in ways.items():
            await in_tasks(call, tasks=TASKS, count=count[way] // 20)
        for _ in range(rounds):
            for way, call in ways.items():
                took, used, each = await in_tasks(call, tasks=TASKS, count=count[way] // rounds)
                seconds[way] += took
                cpu[way] += used
                times[way] += each
    finally:
        await pool.aclose()
        await connections.aclose()
    rate = {way: len(times[way]) / seconds[way] for way in ways}
    each_us = {way: cpu[way] / len(times[way]) * 1e6 for way in ways}
    figures = {
        "per_second": rate["lane"],
        **spread(times["lane"]),
        "cpu_us": each_us["lane"],
        "pool_per_second": rate["pool"],
        **spread(times["pool"], prefix="pool_"),
        "pool_cpu_us": each_us["pool"],
        "rate_ratio": rate["lane"] / rate["pool"],
        "cpu_ratio": each_us["pool"] / each_us["lane"],
    }
    met = rate["lane"] >= 4 * rate["pool"] and each_us["lane"] <= each_us["pool"] / 5
    return [Line("lane at 50 tasks", figures, ">= 4 x the rate of redis-py's pool at <= 1/5 of its client CPU", met)]
