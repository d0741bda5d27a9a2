"""interrupt: ending a job from outside, its children with it or without."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import JobError, JobFailed, JobInterrupted, JobNotFound
from tests.integration.conftest import Eventually, OpenMesh


async def forever() -> Any:
    return await workflow.wait_for("never")


async def tree(depth: int) -> Any:
    """A job with two children, each with two of their own, and so on; the leaves wait."""
    if depth == 0:
        return await workflow.wait_for("never")
    me = workflow.info().id
    await workflow.start_child("tree", [depth - 1], id=f"{me}.started", ttl="1 minute")
    return await workflow.exec_child("tree", [depth - 1], id=f"{me}.awaited", ttl="1 minute")


LEAVES = ["t.started.started", "t.started.awaited", "t.awaited.started", "t.awaited.awaited"]
DESCENDANTS = ["t.started", "t.awaited", *LEAVES]


@pytest.fixture
async def planted(mesh: MeshData, eventually: Eventually) -> MeshData:
    """A mesh with a grown tree of three generations, every job of it waiting."""
    await mesh.connect("tree", tree)
    await mesh.exec(entity="tree", args=[2], id="t", ttl="1 minute", wait=False)

    async def has_grown() -> bool:
        for id in ("t", *DESCENDANTS):
            try:
                if not (await mesh.info("tree", id)).waiting_for:
                    return False
            except JobNotFound:
                return False
        return True

    await eventually(has_grown)
    return mesh


async def statuses(mesh: MeshData, ids: list[str]) -> set[str]:
    return {(await mesh.info("tree", id)).status for id in ids}


async def test_an_interrupted_job_raises_where_it_is_awaited(mesh: MeshData, open_mesh: OpenMesh) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    waiting = [asyncio.create_task(job.result()), asyncio.create_task((await open_mesh()).handle("job", "j").result())]
    assert await mesh.interrupt("job", "j", reason="no longer wanted", code=499) is True
    for one in waiting:
        with pytest.raises(JobInterrupted) as caught:
            await asyncio.wait_for(one, 5)
        assert (caught.value.job_id, caught.value.reason, caught.value.code) == ("job:j", "no longer wanted", 499)


async def test_the_code_is_410_where_none_is_given(mesh: MeshData) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await job.interrupt()
    with pytest.raises(JobInterrupted) as caught:
        await mesh.exec(entity="job", id="j", ttl="1 minute")
    assert caught.value.code == 410
    assert str(caught.value) == "Job 'job:j' was interrupted."


async def test_the_record_and_the_info_tell_of_it(mesh: MeshData) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False, state={"a": "1"})
    await job.interrupt(reason="enough")
    info = await job.info()
    assert (info.status, info.error, info.holder, info.is_open) == ("interrupted", "enough", None, False)
    raw = await mesh.raw("job", "j")
    assert (raw["_status"], raw["_error"], raw["a"]) == (b"interrupted", b"enough", b"1")


async def test_the_function_stops_where_it_waits_and_its_cleanup_runs(mesh: MeshData) -> None:
    stopped = asyncio.Event()
    waiting = asyncio.Event()

    async def job() -> None:
        try:
            waiting.set()
            await workflow.wait_for("never")
        finally:
            stopped.set()

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await waiting.wait()
    await handle.interrupt()
    await asyncio.wait_for(stopped.wait(), 10)


async def test_nothing_the_function_does_afterwards_counts(mesh: MeshData, eventually: Eventually) -> None:
    began, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def job() -> str:
        try:
            await workflow.state.set(step="one")
            began.set()
            await asyncio.shield(go.wait())
            await workflow.state.set(step="two")
            return "finished"
        finally:
            ended.set()

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await began.wait()
    await handle.interrupt()
    go.set()
    await asyncio.wait_for(ended.wait(), 10)
    assert await mesh.get("job", "j", "step") == {"step": "one"}
    assert await handle.status() == "interrupted"


async def test_a_queued_job_that_was_interrupted_is_never_run(mesh: MeshData, open_mesh: OpenMesh) -> None:
    runs: list[str] = []

    async def job(name: str) -> str:
        runs.append(name)
        return name

    handle = await mesh.exec(entity="job", args=["interrupted"], id="j", ttl="1 minute", wait=False)
    await handle.interrupt()
    await (await open_mesh()).connect("job", job)
    assert await mesh.exec(entity="job", args=["other"]) == "other"
    assert runs == ["other"]
    assert await handle.status() == "interrupted"


async def test_a_sleeping_job_is_interrupted_and_its_timer_goes(
    mesh: MeshData, redis_client: redis.Redis, namespace: str, eventually: Eventually
) -> None:
    async def sleeper() -> None:
        await workflow.sleep_for("1 hour")

    await mesh.connect("sleeper", sleeper)
    handle = await mesh.exec(entity="sleeper", id="s", ttl="1 minute", wait=False)

    async def sleeps() -> bool:
        return bool((await handle.info()).waiting_for)

    await eventually(sleeps)
    await handle.interrupt()
    assert not list(redis_client.scan_iter(match=f"mesh:{{{namespace}*:timers", count=1000))


async def test_a_job_between_two_attempts_is_interrupted(mesh: MeshData, eventually: Eventually) -> None:
    runs = 0

    async def flaky() -> None:
        nonlocal runs
        runs += 1
        raise ValueError("again")

    await mesh.connect("flaky", flaky)
    policy = RetryPolicy(max_attempts=None, initial="1 hour", max_interval="1 hour")
    handle = await mesh.exec(entity="flaky", id="f", ttl="1 minute", wait=False, retry=policy)

    async def pauses() -> bool:
        return await handle.status() == "backoff"

    await eventually(pauses)
    await handle.interrupt()
    with pytest.raises(JobInterrupted):
        await handle.result(timeout=5)
    assert runs == 1


# --- children ---------------------------------------------------------------------------------------------------------


async def test_children_and_grandchildren_end_with_their_parent(planted: MeshData, eventually: Eventually) -> None:
    await planted.interrupt("tree", "t", reason="felled")

    async def all_ended() -> bool:
        return await statuses(planted, DESCENDANTS) == {"interrupted"}

    await eventually(all_ended)
    for id in DESCENDANTS:
        with pytest.raises(JobInterrupted, match="felled"):
            await planted.handle("tree", id).result(timeout=5)


async def test_without_descend_the_children_go_on(planted: MeshData, eventually: Eventually) -> None:
    await planted.interrupt("tree", "t", descend=False)
    assert await planted.handle("tree", "t").status() == "interrupted"
    assert "interrupted" not in await statuses(planted, DESCENDANTS)
    for n in range(4):
        await planted.signal("never", n)
    for id in LEAVES:
        assert await planted.handle("tree", id).result(timeout=10) in range(4)
    # A parent whose awaited child ended goes on to its own end.
    assert await planted.handle("tree", "t.awaited").result(timeout=10) in range(4)


async def test_an_interrupted_child_fails_its_parents_call_alone(planted: MeshData) -> None:
    await planted.interrupt("tree", "t.awaited.awaited", reason="pruned")
    with pytest.raises(JobFailed) as caught:
        await planted.handle("tree", "t").result(timeout=10)
    assert caught.value.type == "JobInterrupted"
    assert "'tree:t.awaited.awaited' was interrupted: pruned" in caught.value.message
    assert await planted.handle("tree", "t.started").status() not in ("interrupted", "failed")
    for id in ("t.started", "t.awaited.started"):
        await planted.interrupt("tree", id)


async def test_a_parent_may_catch_what_its_child_ended_with(mesh: MeshData, eventually: Eventually) -> None:
    async def parent() -> str:
        try:
            await workflow.exec_child("child", id="c")
        except JobInterrupted as interrupted:
            return f"{interrupted.reason}/{interrupted.code}/{interrupted.job_id}"
        return "not reached"

    await mesh.connect("child", forever)
    await mesh.connect("parent", parent)
    handle = await mesh.exec(entity="parent", id="p", ttl="1 minute", wait=False)

    async def has_child() -> bool:
        return await mesh.interrupt("child", "c", reason="quiet", code=411, suppress=True)

    await eventually(has_child)
    assert await handle.result(timeout=10) == "quiet/411/child:c"


async def test_children_of_hooks_end_with_the_job(mesh: MeshData, eventually: Eventually) -> None:
    async def hook() -> Any:
        await workflow.start_child("child", id="started", ttl="1 minute")
        return await workflow.exec_child("child", id="awaited", ttl="1 minute")

    async def brief_hook() -> None:
        await workflow.start_child("child", id="left", ttl="1 minute")

    await mesh.connect("child", forever)
    await mesh.connect("job", forever)
    await mesh.connect("job.hook", hook)
    await mesh.connect("job.brief", brief_hook)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await (await job.hook("job.brief"))
    await job.hook("job.hook")
    ids = ["started", "awaited", "left"]

    async def all_wait() -> bool:
        try:
            return all([(await mesh.info("child", id)).waiting_for for id in ids])
        except JobNotFound:
            return False

    await eventually(all_wait)
    await job.interrupt()

    async def all_ended() -> bool:
        return all([(await mesh.info("child", id)).status == "interrupted" for id in ids])

    await eventually(all_ended)


async def test_a_job_interrupts_another_from_inside(mesh: MeshData) -> None:
    async def parent() -> Any:
        one = await workflow.start_child("child", id="c1", ttl="10 minutes")
        first = await workflow.interrupt("child", one, throw=False, ttl="10 minutes")
        again = await workflow.interrupt("child", one, suppress=True)
        try:
            await workflow.interrupt("child", "unknown")
        except JobNotFound:
            return [first, again, one]

    await mesh.connect("child", forever)
    await mesh.connect("parent", parent)
    assert await mesh.exec(entity="parent", timeout=10) == [True, False, "c1"]
    assert await mesh.handle("child", "c1").result() is None
    assert await mesh.handle("child", "c1").status() == "interrupted"


async def test_a_parent_begun_anew_after_an_interrupt_hears_nothing_of_the_old_children(
    mesh: MeshData, eventually: Eventually
) -> None:
    async def parent() -> Any:
        return await workflow.exec_child("child")

    await mesh.connect("child", forever)
    await mesh.connect("parent", parent)
    job = await mesh.exec(entity="parent", id="p", ttl="1 minute", wait=False)

    async def waits() -> bool:
        return bool((await job.info()).children)

    for _ in range(5):
        await eventually(waits)
        await job.interrupt()
        await mesh.exec(entity="parent", id="p", ttl="1 minute", wait=False, retry_failed=True)
    await mesh.signal("never", "in the end")
    assert await mesh.handle("parent", "p").result(timeout=10) == "in the end"


async def test_flush_takes_the_children_and_what_is_left_of_them(
    mesh: MeshData, keys: Callable[[], set[str]], eventually: Eventually
) -> None:
    async def leaf() -> str:
        return "leaf"

    async def parent() -> Any:
        await workflow.start_child("waiting", id="w", ttl="infinity", parent_close="terminate")
        return await workflow.exec_child("leaf", id="l", ttl="infinity")

    await mesh.connect("waiting", forever)
    await mesh.connect("leaf", leaf)
    await mesh.connect("parent", parent)
    before = keys()
    assert await mesh.exec(entity="parent", id="p", ttl="infinity", timeout=10) == "leaf"

    async def both_are_known_to_have_ended() -> bool:
        return (await mesh.info("parent", "p")).children == 0

    await eventually(both_are_known_to_have_ended)
    await mesh.flush("parent", "p")
    await eventually(lambda: all(key.endswith(("inseq", "outseq")) or ":wake:" in key for key in keys() - before))


# --- options ----------------------------------------------------------------------------------------------------------


async def test_without_throw_waiters_get_none(mesh: MeshData) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    waiting = asyncio.create_task(job.result())
    await job.interrupt(throw=False)
    assert await asyncio.wait_for(waiting, 5) is None
    assert await mesh.exec(entity="job", id="j", ttl="1 minute") is None
    info = await job.info()
    assert (info.status, info.error) == ("interrupted", None)


async def test_without_throw_none_is_given_whatever_the_function_returns(mesh: MeshData) -> None:
    async def until_told() -> str:
        return str(await workflow.wait_for("never"))

    await mesh.connect("job", until_told)
    job = await mesh.exec("job", id="j", ttl="1 minute", wait=False)
    await job.interrupt(throw=False)
    assert await job.result(timeout=5) is None


async def test_what_is_unknown_or_over_is_an_error(mesh: MeshData) -> None:
    async def quick() -> None: ...

    await mesh.connect("job", quick)
    await mesh.exec(entity="job", id="done", ttl="1 minute")
    with pytest.raises(JobNotFound):
        await mesh.interrupt("job", "unknown")
    with pytest.raises(JobError, match="over already"):
        await mesh.interrupt("job", "done")
    assert await mesh.handle("job", "done").status() == "completed"


async def test_suppress_gives_false_instead(mesh: MeshData) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    assert await mesh.interrupt("job", "unknown", suppress=True) is False
    assert await job.interrupt(suppress=True) is True
    assert await job.interrupt(suppress=True) is False


async def test_the_ttl_of_the_interrupt_is_how_long_the_remains_stay(
    mesh: MeshData, redis_client: redis.Redis, namespace: str
) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="infinity", wait=False)
    await job.interrupt(ttl="5 minutes")
    for key in redis_client.scan_iter(match=f"mesh:{{{namespace}*job:j", count=1000):
        assert 290_000 < redis_client.pttl(key) <= 300_000, key
    assert (await job.info()).ttl_ms == 300_000


async def test_without_a_ttl_the_jobs_own_holds(mesh: MeshData, redis_client: redis.Redis, namespace: str) -> None:
    await mesh.connect("job", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 hour", wait=False)
    await job.interrupt()
    for key in redis_client.scan_iter(match=f"mesh:{{{namespace}*job:j", count=1000):
        assert 3_590_000 < redis_client.pttl(key) <= 3_600_000, key


async def test_a_job_that_interrupts_itself_does_nothing_after_that(mesh: MeshData) -> None:
    async def suicide() -> None:
        # All three go out in one step.
        await asyncio.gather(
            workflow.interrupt("suicide", "s", reason="r" * 100), workflow.state.incr("n"), workflow.sleep_for("1 hour")
        )

    await mesh.connect("suicide", suicide)
    for _ in range(2):
        with pytest.raises(JobInterrupted, match="rrr"):
            await mesh.exec(entity="suicide", id="s", ttl="1 minute")
    assert "n" not in await mesh.raw("suicide", "s")


async def test_to_flush_a_job_spares_another_that_has_its_childs_name_now(
    mesh: MeshData, eventually: Eventually
) -> None:
    async def child(n: int) -> int:
        return n

    async def parent(id: str) -> Any:
        return await workflow.exec_child("child", [1], id=id, ttl="1 minute")

    await mesh.connect("child", child)
    await mesh.connect("parent", parent)
    for id in ("theirs", "ours"):
        await mesh.exec(entity="parent", id=id, args=[id], ttl="1 minute")
    await mesh.exec(entity="child", id="theirs", args=[2], ttl="1 minute", flush=True)
    await mesh.flush("parent", "theirs")
    await mesh.flush("parent", "ours")

    async def is_flushed() -> bool:
        try:
            await mesh.info("child", "ours")
        except JobNotFound:
            return True
        return False

    await eventually(is_flushed)
    assert await mesh.handle("child", "theirs") == 2
