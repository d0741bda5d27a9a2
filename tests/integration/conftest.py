"""What the suites that run whole meshes share: meshes on one namespace, with one partition and with four."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
import redis

from meshdata import MeshCall, MeshData


class OpenMesh(Protocol):
    """Opens one more mesh on the test's namespace; the fixture closes it."""

    async def __call__(self, **options: Any) -> MeshData: ...


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
def partitions(request: pytest.FixtureRequest) -> int:
    """How many parts the namespace's keys are spread over."""
    return int(request.param)


@pytest.fixture
async def open_mesh(redis_url: str, namespace: str, partitions: int, no_leaks: set[str]) -> AsyncIterator[OpenMesh]:
    """Any number of meshes on one namespace, as several processes have; all closed before leaks are looked for."""
    no_leaks |= {"inseq", "outseq"}  # the numbers of the last message between two partitions live as long as these
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> MeshData:
            mesh = MeshData(redis_url, namespace=namespace, partitions=partitions, **options)
            return await stack.enter_async_context(mesh)

        yield open_one


@pytest.fixture
async def mesh(open_mesh: OpenMesh) -> MeshData:
    """One mesh."""
    return await open_mesh()


OpenCall = Callable[..., Awaitable[MeshCall]]


@pytest.fixture
async def open_call(open_mesh: OpenMesh) -> OpenCall:
    """Any number of doors to calls on one namespace, each a process of its own."""

    async def open_one(**options: Any) -> MeshCall:
        return MeshCall(await open_mesh(**options))

    return open_one


@pytest.fixture
def keys(redis_client: redis.Redis, namespace: str) -> Callable[[], set[str]]:
    """The keys of the namespace as they are now."""

    def look() -> set[str]:
        return {key.decode() for key in redis_client.scan_iter(match=f"mesh:{{{namespace}*", count=1000)}

    return look


Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
def eventually() -> Eventually:
    """`await eventually(condition)`: ask until what it returns (or what awaiting that gives) is true; give it back."""

    async def poll(condition: Callable[[], Any], *, within: float = 10.0) -> Any:
        deadline = time.monotonic() + within
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, f"did not come true within {within} s; last seen: {found!r}"
            await asyncio.sleep(0.005)

    return poll
