"""Hooks: further functions on a living job, sharing its record."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import InvalidOptions, JobError, JobFailed, JobInterrupted, JobNotFound, MeshTimeout
from tests.integration.conftest import Eventually, OpenMesh


async def subscribe(email: str) -> str:
    await workflow.state.set(email=email, newsletter="yes")
    return f"welcome {email}"


async def unsubscribe(reason: str) -> str:
    await workflow.state.set(newsletter="no", reason=reason)
    return f"good bye: {reason}"


@pytest.fixture
async def subscribed(mesh: MeshData) -> MeshData:
    """A mesh with an entity, its hook, and one open record of it."""
    await mesh.connect("greeting", subscribe)
    await mesh.connect("greeting.unsubscribe", unsubscribe)
    await mesh.exec(entity="greeting", args=["jo@x.org"], id="jo", ttl="1 minute")
    return mesh


async def test_a_hook_on_an_open_record_writes_it_and_answers(subscribed: MeshData) -> None:
    handle = await subscribed.hook(entity="greeting", id="jo", hook_entity="greeting.unsubscribe", args=["too many"])
    assert await handle == "good bye: too many"
    assert await subscribed.all("greeting", "jo") == {"email": "jo@x.org", "newsletter": "no", "reason": "too many"}


async def test_a_hook_does_not_change_the_jobs_own_result(subscribed: MeshData) -> None:
    await (await subscribed.handle("greeting", "jo").hook("greeting.unsubscribe", ["bored"]))
    assert await subscribed.handle("greeting", "jo") == "welcome jo@x.org"
    assert await subscribed.exec(entity="greeting", args=["other"], id="jo", ttl="1 minute") == "welcome jo@x.org"


async def test_a_hook_is_connected_by_its_entity(mesh: MeshData) -> None:
    user = await mesh.connect("user", subscribe)

    @user.hook("bill")
    async def bill(amount: float, *, currency: str = "EUR") -> str:
        await workflow.state.incr("owed", amount)
        return f"{amount} {currency}"

    await bill
    await user.options(id="jo", ttl="infinity")("jo@x.org")
    assert await (await bill.on("jo", 1.5, currency="CHF")) == "1.5 CHF"
    assert await (await bill.on("jo", 2)) == "2.0 EUR"
    assert (await mesh.get("user", "jo", "owed"))["owed"] == "3.5"
    await mesh.flush("user", "jo")


async def test_many_hooks_at_once_share_the_record(mesh: MeshData) -> None:
    await mesh.connect("counter", subscribe)

    async def add(n: int) -> Any:
        return await workflow.state.incr("n", n)

    await mesh.connect("counter.add", add)
    await mesh.exec(entity="counter", args=["x"], id="c", ttl="1 minute")
    handles = await asyncio.gather(
        *(mesh.hook(entity="counter", id="c", hook_entity="counter.add", args=[1]) for _ in range(50))
    )
    assert sorted(await asyncio.gather(*handles)) == list(range(1, 51))
    assert (await mesh.info("counter", "c")).hooks == 0


async def test_a_hook_reaches_a_job_that_is_still_running(mesh: MeshData) -> None:
    async def wait_for_payment() -> Any:
        return await workflow.wait_for("paid")

    async def pay(amount: int) -> str:
        await workflow.signal("paid", {"amount": amount})
        return workflow.info().dimension

    await mesh.connect("order", wait_for_payment)
    await mesh.connect("order.pay", pay)
    order = await mesh.exec(entity="order", id="o", ttl="1 minute", wait=False)
    assert await (await order.hook("order.pay", [7])) == "1"
    assert await order.result(timeout=10) == {"amount": 7}


async def test_a_running_job_without_ttl_takes_hooks_and_stays_until_they_end(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis, eventually: Eventually
) -> None:
    async def wait() -> Any:
        return await workflow.wait_for("main")

    async def hook() -> Any:
        await workflow.state.set(hook="was here")
        return await workflow.wait_for("hook")

    await mesh.connect("short", wait)
    await mesh.connect("short.hook", hook)
    before = keys()
    job = await mesh.exec(entity="short", id="s", wait=False)
    running = await job.hook("short.hook")
    await mesh.signal("main", 1)
    assert await job.result(timeout=10) == 1
    assert (await mesh.info("short", "s")).hooks == 1
    kept = {key for key in keys() - before if key.endswith((":j:short:s", ":l:short:s", ":r:short:s"))}
    assert {redis_client.pttl(key) for key in kept} == {-1}
    await mesh.signal("hook", 2)
    assert await running.result(timeout=10) == 2
    assert all(redis_client.pttl(key) > 0 for key in keys() - before if key.endswith("short:s"))


async def test_the_ttl_goes_on_when_the_last_hook_has_ended(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis
) -> None:
    async def hook() -> Any:
        return await workflow.wait_for("go")

    await mesh.connect("greeting", subscribe)
    await mesh.connect("greeting.wait", hook)
    await mesh.exec(entity="greeting", args=["x"], id="jo", ttl="1 hour")
    first = await mesh.hook(entity="greeting", id="jo", hook_entity="greeting.wait")
    second = await mesh.hook(entity="greeting", id="jo", hook_entity="greeting.wait")
    await mesh.signal("go", 1)
    await mesh.signal("go", 2)
    assert sorted(await asyncio.gather(first, second)) == [1, 2]
    for key in (key for key in keys() if key.endswith("greeting:jo")):
        assert 3_500_000 < redis_client.pttl(key) <= 3_600_000, key


async def test_a_hook_that_fails_says_so_and_leaves_the_job_as_it_was(subscribed: MeshData) -> None:
    async def broken() -> None:
        raise ValueError("no")

    await subscribed.connect("greeting.broken", broken, retry=RetryPolicy(max_attempts=2, initial="1 ms"))
    handle = await subscribed.hook(entity="greeting", id="jo", hook_entity="greeting.broken")
    with pytest.raises(JobFailed) as caught:
        await handle.result(timeout=10)
    assert (caught.value.type, caught.value.message, caught.value.attempts) == ("ValueError", "no", 2)
    info = await subscribed.info("greeting", "jo")
    assert (info.status, info.hooks, info.error) == ("completed", 0, None)


async def test_a_hook_may_start_hooks_and_children_of_its_own(subscribed: MeshData, eventually: Eventually) -> None:
    async def child() -> str:
        return "child"

    async def hook(depth: int) -> Any:
        if depth:
            await workflow.hook("greeting.deep", [depth - 1])
        return await workflow.exec_child("child")

    await subscribed.connect("child", child)
    await subscribed.connect("greeting.deep", hook)
    handle = await subscribed.hook(entity="greeting", id="jo", hook_entity="greeting.deep", args=[3])
    assert await handle.result(timeout=10) == "child"

    async def all_ended() -> bool:
        return (await subscribed.info("greeting", "jo")).hooks == 0

    await eventually(all_ended)
    assert await subscribed.handle("greeting", "jo").status() == "completed"


async def test_a_hook_from_inside_the_workflow_shares_its_record(mesh: MeshData) -> None:
    async def side(word: str) -> None:
        await workflow.state.set(side=word)
        await workflow.signal("side", word)

    async def main() -> Any:
        dimension = await workflow.hook("main.side", ["hello"])
        return [dimension, await workflow.wait_for("side"), await workflow.state.get("side")]

    await mesh.connect("main", main)
    await mesh.connect("main.side", side)
    assert await mesh.exec(entity="main", id="m", ttl="1 minute", timeout=10) == ["1", "hello", "hello"]


# --- where there is no job to hook ------------------------------------------------------------------------------------


async def test_a_hook_on_an_unknown_job_is_refused(subscribed: MeshData) -> None:
    with pytest.raises(JobNotFound):
        await subscribed.hook(entity="greeting", id="nobody", hook_entity="greeting.unsubscribe", args=["x"])


async def test_a_hook_on_a_job_that_is_not_kept_is_refused(mesh: MeshData) -> None:
    await mesh.connect("greeting", subscribe)
    await mesh.exec(entity="greeting", args=["x"], id="gone")
    with pytest.raises(JobError):
        await mesh.hook(entity="greeting", id="gone", hook_entity="greeting.unsubscribe", args=["x"])


async def test_a_job_that_takes_no_hooks_refuses_them(mesh: MeshData) -> None:
    await mesh.connect("greeting", subscribe)
    await mesh.exec(entity="greeting", args=["x"], id="no", ttl="1 minute", hookable=False)
    assert not (await mesh.info("greeting", "no")).is_open
    with pytest.raises(JobError, match="takes no hooks"):
        await mesh.hook(entity="greeting", id="no", hook_entity="greeting.unsubscribe", args=["x"])


async def test_a_failed_job_takes_no_hooks(mesh: MeshData) -> None:
    async def broken() -> None:
        raise ValueError("no")

    await mesh.connect("broken", broken)
    with pytest.raises(JobFailed):
        await mesh.exec(entity="broken", id="b", ttl="1 minute")
    with pytest.raises(JobError):
        await mesh.hook(entity="broken", id="b", hook_entity="broken.hook")


async def test_a_hooks_arguments_are_checked_where_it_is_known(subscribed: MeshData) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await subscribed.hook(entity="greeting", id="jo", hook_entity="greeting.unsubscribe", args=["a", "b"])
    assert caught.value.argument == "args[1]"


# --- hooks and the ends of jobs ---------------------------------------------------------------------------------------


async def test_hooks_are_interrupted_with_their_job(mesh: MeshData) -> None:
    async def forever() -> Any:
        return await workflow.wait_for("never")

    await mesh.connect("job", forever)
    await mesh.connect("job.hook", forever)
    job = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    hooks = [await job.hook("job.hook") for _ in range(3)]
    await job.interrupt(reason="enough")
    for one in (job, *hooks):
        with pytest.raises(JobInterrupted, match="enough"):
            await one.result(timeout=5)
    info = await job.info()
    assert (info.status, info.hooks, info.waiting_for) == ("interrupted", 0, ())


async def test_hooks_are_flushed_with_their_job(
    mesh: MeshData, keys: Callable[[], set[str]], eventually: Eventually
) -> None:
    async def forever() -> Any:
        return await workflow.wait_for("never")

    async def quick() -> str:
        return "quick"

    await mesh.connect("job", forever)
    await mesh.connect("job.forever", forever)
    await mesh.connect("job.quick", quick)
    before = keys()
    job = await mesh.exec(entity="job", id="j", ttl="infinity", wait=False)
    assert await (await job.hook("job.quick")) == "quick"
    hook = await job.hook("job.forever")
    waiting = asyncio.create_task(hook.result())
    await asyncio.sleep(0)
    assert await job.flush()
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(waiting, 5)
    await eventually(lambda: all(key.endswith(("inseq", "outseq")) or ":wake:" in key for key in keys() - before))


async def test_hooks_of_a_job_begun_anew_know_nothing_of_those_before(mesh: MeshData) -> None:
    async def note(word: str) -> Any:
        await workflow.state.set(word=word)
        return word

    await mesh.connect("job", subscribe)
    await mesh.connect("job.note", note)
    for word in ("first", "second", "third"):
        await mesh.exec(entity="job", args=["x"], id="j", ttl="1 minute", flush=True)
        assert await (await mesh.hook(entity="job", id="j", hook_entity="job.note", args=[word])) == word
    assert await mesh.get("job", "j", "word") == {"word": "third"}


async def test_awaiting_a_hook_that_nobody_serves_times_out_and_goes_on(
    subscribed: MeshData, open_mesh: OpenMesh
) -> None:
    handle = await subscribed.hook(entity="greeting", id="jo", hook_entity="greeting.later", args=["now"])
    with pytest.raises(MeshTimeout):
        await handle.result(timeout=0.02)
    await (await open_mesh()).connect("greeting.later", unsubscribe)
    assert await handle.result(timeout=10) == "good bye: now"


async def test_a_hook_that_writes_state_leaves_the_status_of_a_job_that_is_over(subscribed: MeshData) -> None:
    await (await subscribed.handle("greeting", "jo").hook("greeting.unsubscribe", ["bored"]))
    record = await subscribed.raw("greeting", "jo")
    assert (record["_status"], record["reason"]) == (b"completed", b"bored")
