"""One mesh, for tests that are read as a tutorial."""

from collections.abc import AsyncIterator

import pytest

from meshdata import MeshData


@pytest.fixture
async def mesh(redis_url: str, namespace: str, no_leaks: set[str]) -> AsyncIterator[MeshData]:
    """A mesh on a namespace of its own: `async with MeshData("redis://...", namespace="shop") as mesh`."""
    async with MeshData(redis_url, namespace=namespace) as opened:
        yield opened
