"""One library's calls and kept answers, client and worker in one process: `python program.py <library> <url> <calls>`.

Stands alone, so that libraries which need another redis-py than ours run in an environment of their own. Prints one
JSON object: `p50_us` and `per_second_1` of one caller, `per_second_50` of fifty, `kept_us` of an answer that is kept,
`near_us` of one kept in the process; what a library does not have is left out.
"""

import asyncio
import json
import logging
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[[], Awaitable[Any]]
Polling = Callable[[float], Awaitable[Any]]
POLL_S = {1: 0.001, 50: 0.02}
"""Where a library polls for an answer, it does so this often, by the number of callers: much more would keep fifty of
them busy with nothing else. By default they do every 200 or 500 ms."""


async def answer(name: str) -> dict[str, str]:
    return {"name": name, "plan": "pro"}


async def measured(call: Polling, count: int) -> dict[str, float]:
    for _ in range(10):
        await call(POLL_S[1])
    times = []
    for _ in range(max(20, count // 10)):
        begun = time.perf_counter()
        await call(POLL_S[1])
        times.append(time.perf_counter() - begun)

    async def several() -> None:
        for _ in range(count // 50):
            await call(POLL_S[50])

    begun = time.perf_counter()
    await asyncio.gather(*(several() for _ in range(50)))
    took = time.perf_counter() - begun
    return {
        "p50_us": statistics.median(times) * 1e6,
        "per_second_1": len(times) / sum(times),
        "per_second_50": count // 50 * 50 / took,
    }


async def each_us(call: Call, count: int) -> float:
    for _ in range(5):
        await call()
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        await call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


async def meshdata(url: str, count: int) -> dict[str, float]:
    from meshdata import MeshCall

    async with MeshCall(url, namespace="rivals") as call:
        await call.connect("answer", answer)
        found = await measured(lambda _: call.exec("answer", args=["jsmith"]), count)
        kept: dict[str, Any] = {"id": "jsmith", "ttl": "1 hour"}
        found["kept_us"] = await each_us(lambda: call.exec("answer", args=["jsmith"], **kept), count)
        near: dict[str, Any] = {**kept, "near_cache": True}
        found["near_us"] = await each_us(lambda: call.exec("answer", args=["jsmith"], **near), count)
        return found


async def arq(url: str, count: int) -> dict[str, float]:
    from arq import create_pool
    from arq.connections import RedisSettings
    from arq.worker import Worker, func

    async def served(ctx: dict[str, Any], name: str) -> dict[str, str]:
        return await answer(name)

    settings = RedisSettings.from_dsn(url)
    pool = await create_pool(settings)
    functions = [func(served, name="answer")]  # type: ignore[arg-type]  # its stub wants a protocol
    worker = Worker(functions, redis_settings=settings, poll_delay=POLL_S[1], max_jobs=100, handle_signals=False)
    task = asyncio.create_task(worker.async_run())

    async def call(poll_s: float) -> None:
        job = await pool.enqueue_job("answer", "jsmith")
        assert job is not None
        await job.result(timeout=60, poll_delay=poll_s)

    try:
        return await measured(call, count)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.close()
        await pool.aclose()


async def taskiq(url: str, count: int) -> dict[str, float]:
    from taskiq.api import run_receiver_task
    from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

    results: Any = RedisAsyncResultBackend(url)
    broker = ListQueueBroker(url).with_result_backend(results)
    task = broker.register_task(answer, task_name="answer")
    await broker.startup()
    worker = asyncio.create_task(run_receiver_task(broker))

    async def call(poll_s: float) -> None:
        sent = await task.kiq("jsmith")
        await sent.wait_result(check_interval=poll_s, timeout=60)

    try:
        return await measured(call, count)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        await broker.shutdown()


async def cashews(url: str, count: int) -> dict[str, float]:
    from cashews import Cache

    found = {}
    for figure, options in (("kept_us", {}), ("near_us", {"client_side": True})):
        cache = Cache()
        cache.setup(url, **options)
        kept = cache(ttl="1h", key=figure + ":{name}")(answer)
        found[figure] = await each_us(lambda kept=kept: kept("jsmith"), count)  # type: ignore[misc]  # bound at once
        await cache.close()
    return found


LIBRARIES: dict[str, Callable[[str, int], Awaitable[dict[str, float]]]] = {
    "meshdata": meshdata, "arq": arq, "taskiq": taskiq, "cashews": cashews,
}  # fmt: skip


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    library, address, calls = sys.argv[1:]
    print(json.dumps(asyncio.run(LIBRARIES[library](address, int(calls)))))
