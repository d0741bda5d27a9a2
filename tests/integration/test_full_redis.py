"""A Redis that is full: callers are told at once, runs under way wait until there is room."""

import asyncio
from collections.abc import Iterator

import pytest
import redis

from meshdata import MeshData, activity
from meshdata.errors import StoreUnavailable


@pytest.fixture
def full(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """The server, given back its memory afterwards."""
    yield redis_client
    redis_client.config_set("maxmemory", 0)


async def test_a_run_waits_for_a_full_redis_and_a_caller_is_told(
    redis_url: str, namespace: str, full: redis.Redis
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @activity
    async def work() -> str:
        began.set()
        await go_on.wait()
        return "done"

    async def job() -> str:
        return await work()

    async with MeshData(redis_url, namespace=namespace) as mesh:
        await mesh.connect("job", job)
        handle = await mesh.exec(entity="job", id="1", ttl="1 minute", wait=False)
        waiting = asyncio.create_task(handle.result(timeout=20))
        await began.wait()
        while not full.hget(f"mesh:{{{namespace}}}:j:job:1", "waiters"):
            await asyncio.sleep(0.01)
        full.config_set("maxmemory", 1)
        go_on.set()
        with pytest.raises(StoreUnavailable, match="refuses to write: OOM"):
            await mesh.exec(entity="job", id="2", ttl="1 minute")
        assert not (await asyncio.wait([waiting], timeout=0.2))[0], "its end cannot be written yet"
        full.config_set("maxmemory", 0)
        assert await waiting == "done"
