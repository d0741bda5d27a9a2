"""Large values: kept beside the journal, given back as if they stood in it, gone with their job."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import ActivityFailed, ChildFailed, InvalidOptions, JobFailed
from tests.handover import hand_over, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh

TTL = "1 minute"
LIMIT = 200
BIG = "x" * 1_000
"""Above the limit of these meshes."""


@pytest.fixture
async def mesh(open_mesh: OpenMesh) -> MeshData:
    return await open_mesh(large_value=LIMIT)


@pytest.fixture
async def two(open_mesh: OpenMesh) -> list[MeshData]:
    return [await open_mesh(name="one", large_value=LIMIT), await open_mesh(name="two", large_value=LIMIT)]


@pytest.fixture
def raw_journals(redis_client: redis.Redis, keys: Callable[[], set[str]]) -> Callable[[], list[bytes]]:
    """Every entry of every journal, as it stands there."""

    def look() -> list[bytes]:
        journals = [key for key in keys() if key.partition("}:")[2].startswith(("l:", "hl:"))]
        return [entry for key in journals for entry in redis_client.lrange(key, 0, -1)]

    return look


def large_keys(keys: Callable[[], set[str]]) -> set[str]:
    return {name for key in keys() if (name := key.partition("}:")[2]).startswith(("v:", "hv:"))}


@activity
async def echo(value: Any) -> Any:
    return value


@activity
async def fails(value: str) -> None:
    raise ValueError(value)


async def test_arguments_results_and_outcomes_are_kept_beside_the_journal(
    mesh: MeshData, keys: Callable[[], set[str]], raw_journals: Callable[[], list[bytes]]
) -> None:
    async def work(value: str) -> str:
        return await echo(value) + "y"

    await mesh.connect("work", work)
    assert await mesh.exec("work", [BIG], id="a", ttl=TTL) == BIG + "y"
    assert await mesh.exec("work", [BIG], id="a", ttl=TTL) == BIG + "y", "as it is kept"
    assert await mesh.handle("work", "a") == BIG + "y"
    assert len(raw_journals()) == 3
    assert max(map(len, raw_journals())) < 64
    assert large_keys(keys) == {"v:work:a"}
    exported = await mesh.export("work", "a")
    assert BIG in exported.to_json()
    assert (await mesh.info("work", "a")).error is None
    assert await mesh.flush("work", "a")
    assert large_keys(keys) == set()


async def test_small_values_have_no_key_of_their_own(mesh: MeshData, keys: Callable[[], set[str]]) -> None:
    async def work(value: str) -> str:
        return await echo(value)

    await mesh.connect("work", work)
    assert await mesh.exec("work", ["x" * 100], id="a", ttl=TTL) == "x" * 100
    assert large_keys(keys) == set()


async def test_the_limit_is_64_kb_if_nothing_is_said(open_mesh: OpenMesh, keys: Callable[[], set[str]]) -> None:
    mesh = await open_mesh()
    await mesh.connect("echo", lambda value: value)
    for size, there in ((65_000, set()), (66_000, {"v:echo:66000"})):
        assert len(await mesh.exec("echo", ["x" * size], id=str(size), ttl=TTL)) == size
        assert large_keys(keys) == there


async def test_they_go_when_their_job_does(
    mesh: MeshData, keys: Callable[[], set[str]], eventually: Eventually, redis_client: redis.Redis
) -> None:
    await mesh.connect("echo", lambda value: value)
    assert await mesh.exec("echo", [BIG], id="a") == BIG
    [key] = [key for key in keys() if key.endswith("v:echo:a")]
    assert 0 < redis_client.pttl(key) <= 1_000
    handle = await mesh.exec("echo", [BIG], id="b", pending="1 hour")
    [key] = [key for key in keys() if key.endswith("v:echo:b")]
    assert redis_client.pttl(key) > 0
    await handle.resume()
    assert await handle == BIG
    later = await mesh.exec("echo", [BIG], id="c", delay="20 ms", wait=False)
    assert await later == BIG
    await eventually(lambda: large_keys(keys) == set())


async def test_failures_are_whole_too(mesh: MeshData) -> None:
    async def work(value: str) -> str:
        try:
            await fails(value)
        except ActivityFailed as error:
            raise KeyError(error.message) from None
        return ""

    await mesh.connect("work", work)
    for _ in range(2):
        with pytest.raises(JobFailed) as failed:
            await mesh.exec("work", [BIG], id="a", ttl=TTL)
        assert BIG in failed.value.message
    assert BIG in ((await mesh.info("work", "a")).error or "")


async def test_a_run_that_goes_on_elsewhere_is_given_them_again(two: list[MeshData]) -> None:
    given: list[list[int]] = []

    async def work(value: str) -> list[int]:
        sizes: list[int] = []
        given.append(sizes)
        sizes.append(len(value))
        sizes += [len(one) for one in await asyncio.gather(*(echo(value + "y" * n) for n in range(5)))]
        sizes.append(len(await workflow.once(lambda: value)))
        await workflow.state.set(big=value)
        sizes.append(len(await workflow.state.get("big")))
        sizes.append(len(await workflow.exec_child("child", [value])))
        sizes.append(len(await workflow.wait_for("first")))
        sizes.append(len(await workflow.wait_for("second")))
        return sizes

    async def child(value: str) -> str:
        return await echo(value)

    for mesh in two:
        await mesh.connect("work", work)
        await mesh.connect("child", child)
    handle = await two[0].exec("work", [BIG], id="a", ttl=TTL, wait=False)
    await until_waits(handle, "first")
    await hand_over(*(await until_resident(two, "work:a")))
    await two[0].signal("first", BIG)
    await until_waits(handle, "second")
    assert await suspend(*(await until_resident(two, "work:a")))
    await two[1].signal("second", BIG)
    sizes = [1_000, *range(1_000, 1_005), 1_000, 1_000, 1_000, 1_000, 1_000]
    assert await handle == sizes
    assert len(given) == 3
    assert all(one == sizes[: len(one)] for one in given)


async def until_waits(handle: Any, key: str) -> None:
    async with asyncio.timeout(10):
        while key not in {wait.name for wait in (await handle.info()).waiting_for}:
            await asyncio.sleep(0.002)


async def test_a_resident_run_is_told_large_outcomes_that_others_write(mesh: MeshData) -> None:
    async def work() -> list[int]:
        first = await asyncio.gather(workflow.wait_for("a"), workflow.wait_for("b"), workflow.exec_child("child"))
        race, _ = await asyncio.wait(
            [asyncio.create_task(workflow.wait_for("c")), asyncio.create_task(workflow.sleep_for("1 hour"))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        return [len(one) for one in first] + [len(one.result()) for one in race]

    async def child() -> str:
        return BIG

    await mesh.connect("work", work)
    await mesh.connect("child", child)
    handle = await mesh.exec("work", id="a", ttl=TTL, wait=False)
    for key in ("a", "b", "c"):
        await mesh.signal(key, BIG)
    assert await handle == [1_000] * 4


async def test_children_and_their_failures_carry_them(mesh: MeshData) -> None:
    async def parent(value: str) -> list[Any]:
        child = await workflow.exec_child("echo", [value], id="e", ttl=TTL)
        same = await workflow.exec_child("echo", [value], id="e", ttl=TTL, conflict="restart")
        try:
            await workflow.exec_child("bad", [value])
        except ChildFailed as error:
            return [len(child), len(same), len(error.message)]
        return []

    async def bad(value: str) -> None:
        raise ValueError(value)

    await mesh.connect("parent", parent)
    await mesh.connect("echo", lambda value: value)
    await mesh.connect("bad", bad)
    assert await mesh.exec("parent", [BIG], id="a", ttl=TTL) == [1_000] * 3


async def test_a_child_started_again_by_a_further_attempt_is_known_by_its_large_arguments(mesh: MeshData) -> None:
    begun: list[int] = []

    async def parent(value: str) -> int:
        size = await workflow.exec_child("child", [value], ttl=TTL)
        if workflow.info().attempt == 1:
            raise ValueError("once more")
        return size

    async def child(value: str) -> int:
        begun.append(len(value))
        return len(value)

    await mesh.connect("parent", parent)
    await mesh.connect("child", child)
    policy = RetryPolicy(max_attempts=2, initial="1 ms")
    assert await mesh.exec("parent", [BIG], id="a", ttl=TTL, retry=policy) == 1_000
    assert begun == [1_000]


async def test_hooks_have_their_own(mesh: MeshData, keys: Callable[[], set[str]]) -> None:
    async def work() -> str:
        return await workflow.wait_for("go")

    async def hook(value: str) -> str:
        return await echo(value)

    await mesh.connect("work", work)
    await mesh.connect("work.hook", hook)
    handle = await mesh.exec("work", id="a", ttl=TTL, wait=False)
    running = await handle.hook("work.hook", [BIG])
    assert await running == BIG
    assert await running == BIG, "as it is kept"
    assert large_keys(keys) == {"hv:1:work:a"}
    await mesh.signal("go", BIG)
    assert await handle == BIG
    open_for_hooks = await handle.hook("work.hook", [BIG])
    assert await open_for_hooks == BIG
    assert await handle == BIG
    assert await handle.flush()
    assert large_keys(keys) == set()


async def test_an_activity_on_another_worker_brings_them(mesh: MeshData) -> None:
    def far(value: str) -> str:
        return value

    async def work(value: str) -> str:
        return str(await workflow.proxy_activities(far, queue="far").far(value))

    await mesh.serve_activities("far", far)
    await mesh.connect("work", work)
    assert await mesh.exec("work", [BIG], id="a", ttl=TTL) == BIG


async def test_a_job_that_goes_on_as_a_new_run_leaves_those_of_the_run_before(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis
) -> None:
    async def rounds(value: str, left: int) -> int:
        assert len(await echo(value)) == 1_000
        if left:
            workflow.continue_as_new(value, left - 1)
        return len(value)

    await mesh.connect("rounds", rounds)
    assert await mesh.exec("rounds", [BIG, 5], id="a", ttl=TTL) == 1_000
    [key] = [key for key in keys() if key.endswith("v:rounds:a")]
    assert sorted(redis_client.hkeys(key)) == [b"1", b"2", b"n"]


async def test_a_further_attempt_leaves_none_of_what_it_drops(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis
) -> None:
    async def work() -> int:
        try:
            await fails(BIG)
        except ActivityFailed:
            if workflow.info().attempt == 1:
                raise
        return workflow.info().attempt

    await mesh.connect("work", work)
    policy = RetryPolicy(max_attempts=2, initial="1 ms")
    assert await mesh.exec("work", id="a", ttl=TTL, retry=policy) == 2
    [key] = [key for key in keys() if key.endswith("v:work:a")]
    assert redis_client.hlen(key) == 2, "the counter, and the failure of the second attempt"


async def test_meshes_of_different_limits_understand_each_other(open_mesh: OpenMesh) -> None:
    low, high = await open_mesh(large_value=64), await open_mesh(large_value=1_000_000)
    for mesh in (low, high):
        await mesh.connect("echo", lambda value: value)
    for asking in (low, high):
        for _ in range(4):
            assert await asking.exec("echo", [BIG], id="a", ttl=TTL) == BIG
            assert await asking.exec("echo", [BIG], id="a", ttl=TTL, flush=True) == BIG


async def test_a_stand_in_without_a_server_keeps_them_too() -> None:
    async with MeshData("fake://", namespace="large", large_value=LIMIT) as mesh:
        await mesh.connect("echo", echo_twice)
        for _ in range(2):
            assert await mesh.exec("echo", [BIG], id="a", ttl=TTL) == BIG + BIG


async def echo_twice(value: str) -> str:
    return str(await echo(value) + await echo(value))


@pytest.mark.parametrize("limit", [0, 63, 10**9, "64 KB", 1.5, True])
async def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidOptions) as refused:
        MeshData(large_value=limit)
    assert refused.value.argument == "large_value"
