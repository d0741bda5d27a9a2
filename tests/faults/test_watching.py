"""Who watches goes on when Redis is cut off, killed, or loses its last moments, and the picture is right afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshdata import MeshData
from meshdata.search import Watch
from tests.faults.test_redis_away import Server, server  # noqa: F401 - a fixture

IDS = [f"u{n}" for n in range(10)]


async def follow(watch: Watch[Any], picture: dict[str, str], kinds: list[str]) -> None:
    """Keep a picture of what is told."""
    async for change in watch:
        kinds.append(change.kind)
        if change.kind == "leave":
            picture.pop(change.id)
        elif change.kind != "gap":
            picture[change.id] = change.item["n"]


@pytest.mark.parametrize("size", [0, 400], ids=["everything kept", "the last moments lost"])
@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_watch_outlives_its_redis(server: Server, partitions: int, size: int) -> None:  # noqa: F811
    async with MeshData(server.embedded.url, namespace="w", partitions=partitions) as mesh:
        mesh._store.has_search = False  # its index is not what is tried here
        watch = mesh.find("user").where([{"field": "plan", "value": "pro"}]).watch()
        picture: dict[str, str] = {}
        kinds: list[str] = []
        following = asyncio.ensure_future(follow(watch, picture, kinds))
        for n, id in enumerate(IDS):
            await mesh.set("user", id, {"plan": "pro" if n % 2 else "free", "n": n})
        async with asyncio.timeout(10):
            while len(picture) < 5:
                await asyncio.sleep(0.005)

        await server.kill()
        if size:
            server.lose_the_last(size)
        server.start()
        for n, id in enumerate(IDS[:6]):
            await mesh.set("user", id, {"plan": "free" if n % 3 else "pro", "n": 100 + n})

        async def truth() -> dict[str, str]:
            page = await mesh.find("user").where([{"field": "plan", "value": "pro"}])
            return {one["id"]: one["n"] for one in page}

        async with asyncio.timeout(20):
            while picture != await truth() or "gap" not in kinds:
                assert not following.done(), following.result()
                await asyncio.sleep(0.01)
        await mesh.set("user", "u9", {"plan": "free"})
        async with asyncio.timeout(10):
            while "u9" in picture:
                await asyncio.sleep(0.005)
        await watch.aclose()
        await following
        for id in IDS:
            await mesh.flush("user", id)
