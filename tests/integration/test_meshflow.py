"""MeshFlow: clients that start workflows by their function and a queue, workers that run them, handles."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from meshdata import MeshData, MeshFlow, RetryPolicy, activity, workflow
from meshdata.errors import InvalidOptions, JobExists, JobFailed, JobInterrupted, JobNotFound, MeshTimeout
from tests.integration.conftest import Eventually


@pytest.fixture
async def flow(redis_url: str, namespace: str, partitions: int, no_leaks: set[str]) -> AsyncIterator["Flow"]:
    no_leaks |= {"inseq", "outseq"}
    async with AsyncExitStack() as stack:
        yield Flow(stack, redis_url, namespace, partitions)


class Flow:
    """Clients and workers on the test's namespace, closed after it."""

    def __init__(self, stack: AsyncExitStack, url: str, namespace: str, partitions: int) -> None:
        self.stack = stack
        self.url = url
        self.options: dict[str, Any] = {"namespace": namespace, "partitions": partitions}

    def client(self) -> MeshFlow.Client:
        client = MeshFlow.Client(self.url, **self.options)
        self.stack.push_async_callback(client.close)
        return client

    async def worker(self, *workflows: Callable[..., Any], **options: Any) -> MeshFlow.Worker:
        worker = MeshFlow.Worker(self.url, workflows=workflows, **self.options, **options)
        return await self.stack.enter_async_context(worker)


@activity
async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def example(name: str, language: str = "en") -> dict[str, str]:
    return {"greeting": await greet(name), "language": language}


async def test_what_was_started_before_there_was_a_worker_is_run_when_there_is_one(flow: Flow) -> None:
    handle = await flow.client().start(example, args=["HotMesh", "es"], id="w-1", queue="greetings", ttl="1 minute")
    assert handle.id == "w-1"
    assert await handle.status() == "queued"
    await flow.worker(example, queue="greetings")
    assert await handle == await handle.result(timeout=10) == {"greeting": "Hello, HotMesh!", "language": "es"}


async def test_a_workflow_is_known_by_its_name_where_its_function_is_not(flow: Flow) -> None:
    await flow.worker(example)
    client = flow.client()
    assert await client.execute("example", ["x"]) == {"greeting": "Hello, x!", "language": "en"}
    assert await client.options(example, id="typed", ttl="1 minute").execute("y", language="fr") == {
        "greeting": "Hello, y!",
        "language": "fr",
    }
    assert (await client.handle("typed", workflow=example))["language"] == "fr"


async def test_an_id_is_one_workflow_whatever_it_runs(flow: Flow) -> None:
    async def other() -> None:
        await workflow.wait_for("never")

    client = flow.client()
    handle = await client.start(other, id="taken")
    with pytest.raises(JobExists, match="workflow:taken"):
        await client.start(example, args=["x"], id="taken")
    with pytest.raises(JobExists):
        await flow.client().start(other, id="taken", queue="another")
    assert await handle.flush()
    await flow.worker(example)
    assert (await client.execute(example, ["x"], id="taken"))["greeting"] == "Hello, x!"


async def test_an_unknown_id_is_said_at_once(flow: Flow) -> None:
    handle = flow.client().handle("nobody")
    for ask in (handle.result, handle.status, handle.info, handle.interrupt):
        with pytest.raises(JobNotFound, match="nobody"):
            await ask()
    assert await handle.flush() is False


async def test_a_client_needs_no_worker_and_says_when_none_answers(flow: Flow) -> None:
    handle = await flow.client().start(example, args=["x"], id="alone")
    with pytest.raises(MeshTimeout, match="no process serves it"):
        await handle.result(timeout="50 ms")
    await handle.flush()


async def test_a_worker_serves_each_of_its_queues_and_no_other(flow: Flow, eventually: Eventually) -> None:
    await flow.worker(example, queue=["fast", "slow"])
    client = flow.client()
    handles = [await client.start(example, args=[queue], queue=queue) for queue in ("fast", "slow")]
    elsewhere = await client.start(example, args=["x"], queue="other")
    assert [(await handle)["greeting"] for handle in handles] == ["Hello, fast!", "Hello, slow!"]
    assert await elsewhere.status() == "queued"
    await elsewhere.flush()


async def test_two_queues_may_have_different_functions_of_one_name(flow: Flow) -> None:
    def made(answer: int) -> Callable[..., Any]:
        async def work() -> int:
            return answer

        return work

    async def parent() -> int:
        return await workflow.exec_child("work")

    await flow.worker(made(1), parent, queue="one")
    await flow.worker(made(2), parent, queue="two")
    client = flow.client()
    assert [await client.execute("work", queue=queue) for queue in ("one", "two")] == [1, 2]
    # a child without a queue goes to its parent's
    assert [await client.execute("parent", queue=queue) for queue in ("one", "two")] == [1, 2]


async def test_children_are_workflows_of_their_own_to_hold_by_their_ids(flow: Flow) -> None:
    async def child(n: int) -> int:
        return n + 1

    async def parent() -> list[int]:
        started = await workflow.start_child(child, [10], id="started", ttl="1 minute")
        assert started == "started"
        return [await workflow.exec_child(child, [1]), await workflow.exec_child("child", [2], id="named", ttl=60)]

    await flow.worker(parent)
    await flow.worker(child)
    client = flow.client()
    assert await client.execute(parent) == [2, 3]
    assert await client.handle("named") == 3
    assert await client.handle("started").result(timeout=10) == 11


async def test_a_child_may_go_to_another_queue(flow: Flow) -> None:
    async def child() -> str:
        return workflow.info().id

    async def parent() -> str:
        return await workflow.exec_child(child, id="there", queue="elsewhere")

    await flow.worker(parent)
    await flow.worker(child, queue="elsewhere")
    assert await flow.client().execute(parent) == "there"


async def test_an_activity_only_worker_does_the_work_of_its_queue(flow: Flow) -> None:
    where: list[str] = []

    async def heavy(n: int) -> int:
        where.append("heavy")
        return n * 2

    async def calls(n: int) -> int:
        return await workflow.proxy_activities(heavy, queue="gpu").heavy(n)

    await flow.worker(calls)
    await flow.worker(activities=[heavy], queue="gpu")
    assert await flow.client().execute(calls, [21]) == 42
    assert where == ["heavy"]


async def test_hooks_and_signals_reach_a_workflow_by_its_id(flow: Flow) -> None:
    async def counted() -> list[Any]:
        await workflow.state.set(counter=1)
        payload = await workflow.wait_for("go")
        return [payload, int(await workflow.state.get("counter"))]

    async def add(by: int) -> float:
        total = await workflow.state.incr("counter", by)
        await workflow.signal("go", {"hello": "world"})
        return total

    await flow.worker(counted, queue="main")
    await flow.worker(add, queue="hooks")
    client = flow.client()
    handle = await client.start(counted, id="hooked", queue="main", ttl="1 minute", state={"fred": "flintstone"})
    await handle.status()
    hook = await client.hook(id="hooked", queue="hooks", workflow=add, args=[100])
    assert await hook in (101, 100)  # before or after the main function's own write
    assert (await handle.result(timeout=10))[0] == {"hello": "world"}
    assert (await handle.state("fred"))["fred"] == "flintstone"
    assert await (await handle.hook("add", [1], queue="hooks")) > 100


async def test_a_signal_may_come_through_any_handle_and_before_its_waiter(flow: Flow) -> None:
    async def both() -> list[Any]:
        return await workflow.wait_for_all("first", "second")

    client = flow.client()
    handle = await client.start(both)
    assert await handle.signal("first", 1) is False
    await flow.worker(both)
    await flow.client().signal("second", 2)
    assert await handle.result(timeout=10) == [1, 2]


async def test_a_failure_comes_with_what_is_known_of_it(flow: Flow) -> None:
    async def fails() -> None:
        raise LookupError("no such order")

    async def parent() -> None:
        await workflow.exec_child(fails)

    await flow.worker(fails, parent)
    client = flow.client()
    handle = await client.start(fails, id="f", ttl="1 minute")
    for _ in range(2):  # the second time it is read from what is kept
        with pytest.raises(JobFailed) as caught:
            await handle
        assert (caught.value.type, caught.value.message, caught.value.code) == ("LookupError", "no such order", 500)
        assert "no such order" in caught.value.remote_traceback
    with pytest.raises(JobFailed) as raised:
        await client.execute(parent)
    assert raised.value.type == "LookupError"  # a child's failure keeps its type


async def test_the_workers_policy_counts_where_the_start_says_nothing(flow: Flow) -> None:
    runs: list[str] = []

    async def flaky(name: str) -> int:
        runs.append(name)
        if runs.count(name) < 3:
            raise OSError("not yet")
        return runs.count(name)

    await flow.worker(flaky, retry=RetryPolicy(max_attempts=3, initial="1 ms"))
    client = flow.client()
    assert await client.execute(flaky, ["worker's"]) == 3
    with pytest.raises(JobFailed):
        await client.execute(flaky, ["own"], retry=RetryPolicy(max_attempts=2, initial="1 ms"))
    assert runs.count("own") == 2


async def test_an_interrupted_workflow_raises_with_its_id(flow: Flow, eventually: Eventually) -> None:
    async def sleeper() -> None:
        await workflow.sleep_for("1 month")

    await flow.worker(sleeper)
    handle = await flow.client().start(sleeper, id="z")

    async def waits() -> bool:
        return bool((await handle.info()).waiting_for)

    await eventually(waits)
    await handle.interrupt(reason="enough", ttl="1 minute")
    with pytest.raises(JobInterrupted) as caught:
        await handle
    assert (caught.value.job_id, caught.value.code, caught.value.reason) == ("workflow:z", 410, "enough")


async def test_a_mesh_may_be_shared(redis_url: str, namespace: str, no_leaks: set[str]) -> None:
    async def user(name: str) -> str:
        return name.title()

    async def flows(name: str) -> str:
        return await workflow.exec_child(entity, [name])

    async with MeshData(redis_url, namespace=namespace) as mesh:
        entity = await mesh.connect("user", user)
        client = MeshFlow.Client(mesh)
        async with MeshFlow.Worker(mesh, workflows={"renamed": flows}):
            assert await client.execute("renamed", ["ada"]) == "Ada"
        assert mesh.is_open
    with pytest.raises(InvalidOptions, match="namespace"):
        MeshFlow.Client(mesh, namespace="other")


async def test_workers_share_what_waits_and_take_over_from_each_other(flow: Flow) -> None:
    async def work(n: int) -> int:
        await workflow.sleep_for("1 ms")
        return n

    workers = [await flow.worker(work, name=f"w{n}", life_sign="300 ms") for n in range(2)]
    client = flow.client()
    handles = [await client.start(work, args=[n]) for n in range(50)]
    await workers[0].close()
    assert await asyncio.gather(*(handle.result(timeout=20) for handle in handles)) == list(range(50))


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"workflows": []}, "workflows"),
        ({"workflows": [example], "queue": []}, "queue"),
        ({"workflows": [example], "queue": "a b"}, "queue"),
        ({"workflows": [greet]}, "workflows"),
        ({"workflows": [example, lambda: None, lambda: 1]}, "workflows"),
    ],
)
def test_a_worker_refuses_what_it_cannot_serve(options: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        MeshFlow.Worker("redis://127.0.0.1:1", **options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda client: client.start(example, args="x"), "args"),
        (lambda client: client.start(example, args=[]), "name"),
        (lambda client: client.start(example, args=["x"], id=""), "id"),
        (lambda client: client.start(example, args=["x"], queue=1), "queue"),
        (lambda client: client.start(example, args=["x"], ttl="soon"), "ttl"),
        (lambda client: client.start(example, args=["x"], workflow_id="w"), "workflow_id"),
        (lambda client: client.start("", args=["x"]), "workflow"),
        (lambda client: client.hook(id="x", workflow=3), "workflow"),
    ],
)
async def test_a_client_refuses_what_is_wrong_before_anything_is_written(
    flow: Flow, call: Callable[[MeshFlow.Client], Any], argument: str, keys: Callable[[], set[str]]
) -> None:
    client = flow.client()
    with pytest.raises(InvalidOptions) as caught:
        await call(client)
    assert caught.value.argument == argument
    assert not [key for key in keys() if not key.endswith("meta")]


# --- when it begins, and when it must have ended ----------------------------------------------------------------------


async def counted() -> int:
    return int(await workflow.state.incr("runs"))


async def test_a_start_may_attach_to_what_is_there_or_begin_it_anew_when_it_is_over(flow: Flow) -> None:
    async def waits() -> str:
        return str(await workflow.wait_for("go"))

    client = flow.client()
    first = await client.start(waits, id="one", ttl="1 minute")
    attached = await client.start(waits, id="one", ttl="1 minute", conflict="attach")
    with pytest.raises(JobExists):
        await client.start(waits, id="one", ttl="1 minute", conflict="restart")
    await flow.worker(waits)
    await client.signal("go", "first")
    assert await first == await attached == "first"
    anew = await client.start(waits, id="one", ttl="1 minute", conflict="restart")
    await client.signal("go", "second")
    assert await anew.result(timeout=10) == "second"


async def test_a_reserved_id_begins_when_it_is_resumed(flow: Flow) -> None:
    await flow.worker(counted)
    client = flow.client()
    handle = await client.start(counted, id="later", ttl="1 minute", pending="1 minute", state={"runs": 41})
    assert await handle.status() == "pending"
    with pytest.raises(JobExists):
        await client.start(counted, id="later")
    assert await handle.resume()
    assert await handle.result(timeout=10) == 42


async def test_a_delayed_start_waits_for_its_time(flow: Flow) -> None:
    await flow.worker(counted)
    handle = await flow.client().start(counted, id="delayed", ttl="1 minute", delay="100 ms")
    assert await handle.status() == "delayed"
    assert await handle.result(timeout=10) == 1
    info = await handle.info()
    assert info.ended is not None and (info.ended - info.created).total_seconds() >= 0.1


async def test_a_workflow_that_does_not_end_in_its_time_fails_with_its_children(
    flow: Flow, eventually: Eventually
) -> None:
    async def child() -> None:
        await workflow.wait_for("never")

    async def parent() -> None:
        await workflow.exec_child(child, id="kid", ttl="1 minute")

    await flow.worker(parent, child)
    client = flow.client()
    handle = await client.start(parent, id="slow", ttl="1 minute", timeout="200 ms")
    with pytest.raises(JobFailed) as caught:
        await handle.result(timeout=10)
    assert (caught.value.code, caught.value.type) == (596, "MeshTimeout")
    assert "0.2 s" in caught.value.message
    assert await handle.status() == "failed"

    async def ended() -> bool:
        return (await client.handle("kid").info()).is_ended

    await eventually(ended)


async def test_a_workflow_that_ends_in_its_time_leaves_no_timer(
    flow: Flow, keys: Callable[[], set[str]], eventually: Eventually
) -> None:
    await flow.worker(counted)
    client = flow.client()
    assert await client.execute(counted, id="quick", ttl="1 minute", timeout="1 hour") == 1
    assert await client.execute(counted, id="delayed", ttl="1 minute", timeout="1 hour", delay="10 ms") == 1
    flushed = await client.start(counted, id="flushed", queue="nobody", timeout="1 hour")
    await flushed.flush()
    assert not [key for key in keys() if key.endswith(":timers")]


async def test_the_time_of_a_delayed_workflow_counts_from_its_begin(flow: Flow) -> None:
    async def sleeper() -> None:
        await workflow.sleep_for("1 hour")

    await flow.worker(sleeper)
    handle = await flow.client().start(sleeper, id="z", ttl="1 minute", delay="150 ms", timeout="50 ms")
    with pytest.raises(JobFailed, match=r"0\.05 s"):
        await handle.result(timeout=10)
    info = await handle.info()
    assert info.ended is not None and (info.ended - info.created).total_seconds() >= 0.2
