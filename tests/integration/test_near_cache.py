"""Answers kept in this process: right as long as the server says nothing else, and never longer than it is heard."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import redis

from meshdata import MeshCall
from meshdata.engine.near import Near
from meshdata.errors import InvalidOptions, JobFailed
from tests.integration.conftest import Eventually, OpenCall, OpenMesh
from tests.integration.test_kept_calls import Work
from tests.integration.test_meshcall import commands

NEAR: dict[str, Any] = {"id": "k", "ttl": 60, "near_cache": True}


@pytest.fixture
async def work() -> Work:
    return Work()


def near_of(call: MeshCall) -> Near:
    return call.mesh._near


async def filled(call: MeshCall, **options: Any) -> Any:
    """Ask until the answer is kept in this process."""
    for _ in range(3):
        answer = await call.exec("work", **(NEAR | options))
    assert len(near_of(call)) >= 1
    return answer


async def test_an_answer_kept_near_costs_no_command(open_call: OpenCall, work: Work, redis_client: redis.Redis) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    assert await filled(call) == 1
    before = commands(redis_client)
    assert [await call.exec("work", **NEAR) for _ in range(100)] == [1] * 100
    assert commands(redis_client)["evalsha"] == before["evalsha"]


async def test_what_another_process_changes_is_seen(open_call: OpenCall, work: Work, eventually: Eventually) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    await filled(call)
    assert await server.flush("work", id="k")
    await eventually(lambda: len(near_of(call)) == 0)
    assert await call.exec("work", **NEAR) == 2
    await filled(call)
    assert await server.exec("work", id="k", ttl=60, flush=True) == 3

    async def is_new() -> bool:
        return bool(await call.exec("work", **NEAR) == 3)

    await eventually(is_new)


async def test_own_changes_are_seen_at_once(open_call: OpenCall, work: Work) -> None:
    call = await open_call()
    await call.connect("work", work)
    for n in range(1, 30, 3):
        assert await filled(call) == n
        await call.flush("work", id="k")
        assert await filled(call, tags=["group"]) == n + 1
        await call.flush(tag="group")
        assert await filled(call) == n + 2
        assert await call.exec("work", **NEAR, flush=True) == n + 3
        await call.flush("work", id="k")
        work.runs = n + 2


async def test_no_read_that_is_under_way_brings_back_what_was_flushed(open_call: OpenCall, work: Work) -> None:
    call = await open_call()
    await call.connect("work", work)
    for _ in range(50):
        await call.exec("work", **NEAR)
        reading = asyncio.create_task(call.exec("work", **NEAR))
        await asyncio.sleep(0)
        await call.flush("work", id="k")
        await reading
        runs = work.runs
        assert await call.exec("work", **NEAR) >= runs
        await call.flush("work", id="k")


async def test_what_is_kept_near_ends_with_its_ttl(open_call: OpenCall, work: Work, eventually: Eventually) -> None:
    call = await open_call()
    await call.connect("work", work)
    await filled(call, ttl="100 ms")

    async def is_new() -> bool:
        return bool(await call.exec("work", id="k", ttl=60, near_cache=True) == 2)

    await eventually(is_new)


async def test_a_lost_connection_empties_it(
    open_call: OpenCall, work: Work, redis_client: redis.Redis, eventually: Eventually
) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    await filled(call)
    (mine,) = [one for one in redis_client.client_list() if f"meshdata-{call.mesh.process}" == one["name"]]
    redis_client.client_kill_filter(_id=mine["id"])
    await eventually(lambda: len(near_of(call)) == 0)
    await server.flush("work", id="k")
    assert await call.exec("work", **NEAR) == 2
    assert await filled(call) == 2, "it is kept again over the new connection"
    await server.flush("work", id="k")
    await eventually(lambda: len(near_of(call)) == 0)


async def test_nothing_kept_counts_when_the_server_was_not_heard_lately(
    open_call: OpenCall, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    await filled(call)
    near = near_of(call)
    late = near._time() + 3600
    monkeypatch.setattr(near, "_time", lambda: late)  # as if the process had stood still
    near._kept["work:k"] = near._kept["work:k"]._replace(until=late + 60)
    assert near.get("work:k") is None
    assert await call.exec("work", **NEAR) == 1


async def test_flushing_the_database_empties_it(
    open_call: OpenCall, work: Work, eventually: Eventually, redis_client: redis.Redis
) -> None:
    call = await open_call()
    await call.connect("work", work)
    await filled(call)
    near_of(call)._pushed([b"invalidate", None])  # what FLUSHDB causes
    assert len(near_of(call)) == 0
    assert await filled(call) == 1


async def test_it_is_bounded_and_keeps_what_is_used(open_call: OpenCall, work: Work) -> None:
    call = await open_call()
    near = near_of(call)
    near._most = 10
    await call.connect("work", work)
    for n in range(30):
        await filled(call, id=f"k{n}")
        await filled(call, id="often")
    assert len(near) == 10 == len(near._names)
    assert near.get("work:often") is not None
    near._most_bytes = 5
    await filled(call, id="more")
    assert near._bytes <= 5


async def test_a_failure_kept_near_raises_again(open_call: OpenCall, work: Work) -> None:
    call = await open_call()
    await call.connect("work", work)
    work.fails = True
    for _ in range(4):
        with pytest.raises(JobFailed, match="run 1"):
            await call.exec("work", **NEAR)
    work.fails = False
    assert await call.exec("work", **NEAR, retry_failed=True) == 2
    assert await filled(call) == 2


async def test_answers_are_not_shared_between_callers(open_call: OpenCall) -> None:
    call = await open_call()
    await call.connect("work", lambda: {"list": []})
    answer = await filled(call)
    answer["list"].append(1)
    assert await call.exec("work", **NEAR) == {"list": []}


async def test_the_result_of_a_job_is_kept_near_as_well(
    open_mesh: OpenMesh, redis_client: redis.Redis, eventually: Eventually, work: Work
) -> None:
    server, mesh = await open_mesh(), await open_mesh()
    await server.connect("work", work)
    for _ in range(3):
        assert await mesh.exec("work", **NEAR) == 1
    before = commands(redis_client)
    assert [await mesh.exec("work", **NEAR) for _ in range(50)] == [1] * 50
    assert commands(redis_client)["evalsha"] == before["evalsha"]
    await server.flush("work", "k")
    await eventually(lambda: len(mesh._near) == 0)
    assert [await mesh.exec("work", **NEAR) for _ in range(3)] == [2] * 3
    await mesh.flush("work", "k")
    assert [await mesh.exec("work", **NEAR) for _ in range(3)] == [3] * 3
    assert await mesh.exec("work", **NEAR, flush=True) == 4
    assert [await mesh.exec("work", **NEAR) for _ in range(3)] == [4] * 3
    await mesh.flush("work", "k")


async def test_without_an_id_there_is_nothing_to_keep(open_mesh: OpenMesh) -> None:
    mesh = await open_mesh()
    with pytest.raises(InvalidOptions, match="near_cache"):
        await mesh.exec("work", near_cache=True)


async def test_a_server_that_tells_of_no_changes_is_asked_each_time(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("fakeredis")
    async with MeshCall("fake://near", namespace="near") as call:
        work = Work()
        await call.connect("work", work)
        with caplog.at_level(logging.WARNING, logger="meshdata.engine.near"):
            assert [await call.exec("work", **NEAR) for _ in range(4)] == [1] * 4
            assert [await call.mesh.exec("work", **NEAR) for _ in range(4)] == [2] * 4
        assert [record.message for record in caplog.records].count(
            "this Redis does not tell of changed keys; near_cache asks it each time"
        ) == 1
        assert len(near_of(call)) == 0
        await call.flush("work", id="k")
        assert await call.exec("work", **NEAR, stale=60, tags=["t"]) == 3
        assert await call.flush(tag="t")
        assert await call.exec("work", **NEAR) == 4
        await call.mesh.flush("work", "k")
