"""Calls through `MeshCall`: from one process to another, cached by id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from meshdata import MeshCall

OpenCall = Callable[..., Awaitable[MeshCall]]


@pytest.fixture
async def open_call(redis_url: str, namespace: str, partitions: int, no_leaks: set[str]) -> AsyncIterator[OpenCall]:
    """Any number of doors on one namespace, as several processes have; all closed before leaks are looked for."""
    no_leaks |= {"inseq", "outseq"}
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> MeshCall:
            call = MeshCall(redis_url, namespace=namespace, partitions=partitions, **options)
            return await stack.enter_async_context(call)

        yield open_one


async def test_a_call_is_answered_by_another_process(open_call: OpenCall) -> None:
    server, client = await open_call(), await open_call()
    await server.connect("math.add", lambda a, b: a + b)
    assert await client.exec("math.add", args=[1, 2]) == 3


async def test_an_answer_is_kept_by_its_id_until_it_is_flushed(open_call: OpenCall) -> None:
    call = await open_call()
    runs = []

    @call.function("greet")
    async def greet(name: str) -> str:
        runs.append(name)
        return f"Hello, {name}"

    assert await call.exec("greet", args=["a"], id="k", ttl="1 minute") == "Hello, a"
    assert await call.exec("greet", args=["b"], id="k", ttl="1 minute") == "Hello, a"
    assert await call.flush("greet", id="k")
    assert not await call.flush("greet", id="k")
    assert await call.exec("greet", args=["c"], id="k", ttl="1 minute") == "Hello, c"
    assert await call.exec("greet", args=["d"], id="k", ttl="1 minute", flush=True) == "Hello, d"
    assert runs == ["a", "c", "d"]
    assert not await call.interrupt("greet", id="k")
    assert await call.flush("greet", id="k")
