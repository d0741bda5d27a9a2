"""The life stories of workflows as code, told from outside: a client and workers on one Redis, as a team has them.

Source: the scenarios of the reference family, in our spelling; where that has a defect, the right outcome is asked for.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from meshdata import MeshData, MeshFlow, RetryPolicy, activity, workflow
from meshdata.errors import JobInterrupted, JobNotFound, MeshError
from meshdata.search import Numeric, Record, Text
from meshdata.workflow.runner import Run
from tests.handover import hand_over, until_resident


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
async def mesh(
    redis_url: str, namespace: str, no_leaks: set[str], request: pytest.FixtureRequest
) -> AsyncIterator[MeshData]:
    no_leaks |= {"inseq", "outseq"}
    async with MeshData(redis_url, namespace=namespace, partitions=request.param) as opened:
        yield opened


@pytest.fixture
def client(mesh: MeshData) -> MeshFlow.Client:
    return MeshFlow.Client(mesh)


async def waits_for(mesh: MeshData, job: str, *keys: str) -> Run:
    """The run, once it waits for these signals."""
    _, run = await until_resident([mesh], job)
    async with asyncio.timeout(10):
        while not set(keys) <= {call.name for call in run.calls.values()} or not run.is_waiting:
            await asyncio.sleep(0.005)
    return run


# --- basic ------------------------------------------------------------------------------------------------------------


@activity
async def basic_greet(name: str) -> dict[str, str]:
    await asyncio.sleep(0.01)
    return {"complex": f"Basic, {name}!"}


async def basic_child() -> None:
    """Returns nothing."""


async def basic(name: str) -> dict[str, Any]:
    first = workflow.random().random()
    greeting = await basic_greet(name)
    await basic_greet(f"{name}2")
    second = workflow.random().random()
    once = await workflow.once(basic_greet.function.fn, name)
    slept = await workflow.sleep_for("50 ms")
    nothing = await workflow.exec_child(basic_child)
    await workflow.start_child(basic_child)
    payload = await workflow.wait_for("abcdefg")
    third, fourth = await asyncio.gather(basic_greet(f"{name}3"), basic_greet(f"{name}4"))
    job_id, _ = await asyncio.gather(
        workflow.start_child(basic_child, id="MyWorkflowId123"), workflow.exec_child(basic_child)
    )
    return {
        "random1": first,
        "random2": second,
        "proxyGreeting": greeting["complex"],
        "oneTimeGreeting": once["complex"],
        "payload": payload,
        "proxyGreeting3": third["complex"],
        "proxyGreeting4": fourth["complex"],
        "jobId": job_id,
        "nothing": nothing,
        "slept": slept,
    }


@pytest.mark.parametrize("lost", [False, True], ids=["resident", "lost"])
async def test_basic(mesh: MeshData, client: MeshFlow.Client, lost: bool) -> None:
    handle = await client.start(basic, args=["HotMesh"], queue="basic-world", ttl="10 minutes")
    assert handle.id
    async with MeshFlow.Worker(mesh, queue="basic-world", workflows=[basic, basic_child]):
        run = await waits_for(mesh, handle.job_id, "abcdefg")
        if lost:
            await hand_over(mesh, run)
        payload = {"id": handle.id, "data": {"hello": "world", "id": handle.id}}
        await handle.signal("abcdefg", payload)
        result = await handle.result(timeout=15)
    assert result.pop("payload") == payload
    randoms = {result.pop("random1"), result.pop("random2")}
    assert len(randoms) == 2 and all(0 <= one < 1 for one in randoms)
    assert result == {
        "proxyGreeting": "Basic, HotMesh!",
        "oneTimeGreeting": "Basic, HotMesh!",
        "proxyGreeting3": "Basic, HotMesh3!",
        "proxyGreeting4": "Basic, HotMesh4!",
        "jobId": "MyWorkflowId123",
        "nothing": None,
        "slept": 0.05,
    }


# --- goodbye ----------------------------------------------------------------------------------------------------------


@activity
async def hello(name: str) -> str:
    return f"Hello, {name}!"


@activity
async def goodbye(name: str) -> str:
    return f"Goodbye, {name}!"


class ByeBye(Record, entity="workflow"):
    """Some of what workflows of this kind keep: to search them by."""

    id: str
    custom1: Annotated[str, Text(sortable=True)] = ""
    custom2: Annotated[int | None, Numeric(sortable=True)] = None


async def bye_hook(by: int) -> None:
    await workflow.state.incr("counter", by)
    await workflow.sleep_for("20 ms")
    await workflow.signal("abcdefg", {"data": "done"})


async def bye(name: str) -> dict[str, Any]:
    state = workflow.search()
    await state.set(custom1="meshflow", custom2=55, jimbo="jambo")
    greetings = await workflow.all_(hello(name), goodbye(name))
    got = await state.get("jimbo")
    ten = await state.incr("counter", 10)
    again = await state.get("jimbo")
    several = await state.mget("jimbo", "custom1", "unset")
    eleven = await state.incr("counter", 1)
    twelve = await state.mult("product", 12)
    product = await state.mult("product", 10)
    await workflow.wait_for("abcdefg")
    return {
        "text": " - ".join(greetings),
        "got": [got, again, *several],
        "counted": [ten, eleven],
        "multiplied": [twelve, product],
    }


async def test_goodbye(mesh: MeshData, client: MeshFlow.Client) -> None:
    id = "bye-world-1"
    handle = await client.start(
        bye, args=["HotMesh"], id=id, queue="goodbye-world", ttl="2 minutes",
        state={"fred": "flintstone", "barney": "rubble"},
    )  # fmt: skip
    async with (
        MeshFlow.Worker(mesh, queue="goodbye-world", workflows=[bye]),
        MeshFlow.Worker(mesh, queue="goodbye-world", workflows=[bye_hook]),
    ):
        await waits_for(mesh, handle.job_id, "abcdefg")
        await client.hook(id=id, queue="goodbye-world", workflow=bye_hook, args=[100])
        result = await handle.result(timeout=7.5)
    assert result["text"] == "Hello, HotMesh! - Goodbye, HotMesh!"
    assert result["got"] == ["jambo", "jambo", "jambo", "meshflow", None]
    assert result["counted"] == [10, 11]
    assert result["multiplied"] == [12, pytest.approx(120)]
    state = await handle.state()
    assert (state["counter"], state["fred"], state["barney"]) == ("111", "flintstone", "rubble")
    await mesh.create_index(ByeBye)
    found = await mesh.find(ByeBye).where(ByeBye.custom1.match("meshflow"))
    assert [(one.id, one.custom2) for one in found.items] == [(id, 55)]


# --- helloworld, loopactivity, retry ----------------------------------------------------------------------------------


async def helloworld(name: str) -> str:
    first = workflow.random().random()
    greeting = await hello(name)
    second = workflow.random().random()
    return f"{first} {greeting} {second} {await workflow.once(hello.function.fn, name)}"


async def test_helloworld(mesh: MeshData, client: MeshFlow.Client) -> None:
    async with MeshFlow.Worker(mesh, queue="hello-world", workflows=[helloworld]):
        text = await client.execute(helloworld, ["HotMesh"], queue="hello-world", ttl="3 minutes", hookable=False)
    words = text.split(" ")
    assert words[1:3] == words[4:6] == ["Hello,", "HotMesh!"]
    assert 0 <= float(words[0]) < 1 and 0 <= float(words[3]) < 1 and words[0] != words[3]


async def test_loopactivity(mesh: MeshData, client: MeshFlow.Client) -> None:
    async def loop() -> list[Any]:
        greetings = (hello(str(n)) for n in range(1, 4))
        return await workflow.all_(*greetings, workflow.sleep_for("50 ms"))

    async with MeshFlow.Worker(mesh, queue="loop-world", workflows=[loop]):
        assert await client.execute(loop, queue="loop-world") == ["Hello, 1!", "Hello, 2!", "Hello, 3!", 0.05]


async def test_retry(mesh: MeshData, client: MeshFlow.Client) -> None:
    count = 0

    @activity(retry=RetryPolicy(max_attempts=3, initial="10 ms", coefficient=1))
    async def counted(amount: int) -> int:
        nonlocal count
        count += 1
        if count < amount:
            raise ValueError(f"only {count}")
        return count

    async def retried(amount: int) -> int:
        return await counted(amount)

    async with MeshFlow.Worker(mesh, workflows=[retried]):
        assert await client.execute(retried, [3]) == 3
    assert count == 3


# --- signal -----------------------------------------------------------------------------------------------------------


async def test_signal(mesh: MeshData, client: MeshFlow.Client) -> None:
    async def signalled(name: str) -> list[Any]:
        stranger = await hello("stranger")
        payloads = await workflow.wait_for_all("abcdefg", "hijklmnop")
        return [stranger, *payloads, await hello(name)]

    async with MeshFlow.Worker(mesh, queue="hello-world", workflows=[signalled]):
        handle = await client.start(signalled, args=["ColdMush"], queue="hello-world")
        await waits_for(mesh, handle.job_id, "abcdefg", "hijklmnop")
        await handle.signal("abcdefg", {"name": "WarmMash"})
        async with MeshFlow.Client(mesh.url, namespace=mesh.namespace) as other:
            await other.signal("hijklmnop", {"name": "WarnCrash"})
        result = await handle.result(timeout=10)
    assert result == ["Hello, stranger!", {"name": "WarmMash"}, {"name": "WarnCrash"}, "Hello, ColdMush!"]


# --- interrupt, sleep -------------------------------------------------------------------------------------------------


async def test_interrupt(mesh: MeshData, client: MeshFlow.Client) -> None:
    async def child(name: str) -> str:
        return f"interrupt childActivity, {name} to CHILD!"

    async def patient() -> None:
        await workflow.sleep_for("1 hour")

    async def parent(name: str) -> dict[str, str]:
        output = await workflow.exec_child(child, [name], id="jimbo1")
        cancelled = await workflow.start_child(patient, id="jimbo2", ttl="10 minutes")
        await workflow.interrupt(patient, cancelled, throw=False, ttl="10 minutes")
        return {"childWorkflowOutput": output, "cancelledWorkflowId": cancelled}

    async with MeshFlow.Worker(mesh, workflows=[child, patient, parent]):
        assert await client.execute(parent, ["PARENT"], ttl="10 minutes") == {
            "childWorkflowOutput": "interrupt childActivity, PARENT to CHILD!",
            "cancelledWorkflowId": "jimbo2",
        }
        handle = client.handle("jimbo2")
        assert await handle.status() == "interrupted"
        assert await handle.result(timeout=5) is None


async def test_sleep(mesh: MeshData, client: MeshFlow.Client) -> None:
    gate = asyncio.Event()

    @activity
    async def slow(name: str) -> str:
        await gate.wait()
        return f"Hello, {name}!"

    async def sleeper(name: str) -> str:
        greeting = await slow(name)
        await workflow.sleep_for("10 ms")
        await workflow.sleep_for("20 ms")
        return greeting

    async with MeshFlow.Worker(mesh, workflows=[sleeper]):
        ended = await client.start(sleeper, args=["ColdMush"], id="ended", ttl="1 minute")
        await client.start(sleeper, args=["ColdMush"], id="let-be", ttl="1 minute")
        await until_resident([mesh], ended.job_id)
        await ended.interrupt(descend=True, ttl="10 seconds")
        with pytest.raises(JobInterrupted) as caught:
            await ended
        assert (caught.value.job_id, caught.value.code) == (ended.job_id, 410)
        gate.set()
        async with MeshFlow.Client(mesh.url, namespace=mesh.namespace) as fresh:
            assert await fresh.handle("let-be").result(timeout=10) == "Hello, ColdMush!"


# --- what the reference gets wrong ------------------------------------------------------------------------------------


async def test_a_signal_before_its_wait_is_kept(mesh: MeshData, client: MeshFlow.Client) -> None:
    async def waits() -> Any:
        return await workflow.wait_for("early")

    await client.signal("early", "bird")
    async with MeshFlow.Worker(mesh, workflows=[waits]):
        assert await client.execute(waits) == "bird"


async def test_of_two_who_wait_on_one_key_the_first_is_served_first(mesh: MeshData, client: MeshFlow.Client) -> None:
    async def waits() -> Any:
        return await workflow.wait_for("shared")

    async with MeshFlow.Worker(mesh, workflows=[waits]):
        handles = []
        for name in ("one", "two"):
            handles.append(await client.start(waits, id=name, ttl="1 minute"))
            await waits_for(mesh, handles[-1].job_id, "shared")
        await client.signal("shared", 1)
        assert await handles[0].result(timeout=10) == 1
        assert (await handles[1].info()).status != "completed"
        await client.signal("shared", 2)
        assert await handles[1].result(timeout=10) == 2


async def test_a_parallel_set_of_200_activities_comes_back_in_order(mesh: MeshData, client: MeshFlow.Client) -> None:
    @activity
    async def square(n: int) -> int:
        return n * n

    async def squares(count: int) -> list[int]:
        return await workflow.all_(*(square(n) for n in range(count)))

    async with MeshFlow.Worker(mesh, workflows=[squares]):
        assert await client.execute(squares, [200]) == [n * n for n in range(200)]


async def test_falsy_results_come_back_as_they_are(mesh: MeshData, client: MeshFlow.Client) -> None:
    @activity
    async def same(value: Any) -> Any:
        return value

    falsy = [0, "", False, None, [], {}]

    async def several() -> list[Any]:
        return await asyncio.gather(*map(same, falsy))

    async with MeshFlow.Worker(mesh, workflows=[several]):
        assert await client.execute(several) == falsy


async def test_one_failure_in_a_set_reaches_the_caller_and_loses_no_sibling(
    mesh: MeshData, client: MeshFlow.Client
) -> None:
    @activity
    async def tried(n: int) -> int:
        if n == 2:
            raise KeyError("two")
        return n

    async def several() -> list[Any]:
        results = await asyncio.gather(*map(tried, range(4)), return_exceptions=True)
        return [one if isinstance(one, int) else getattr(one, "type", repr(one)) for one in results]

    async with MeshFlow.Worker(mesh, workflows=[several]):
        assert await client.execute(several) == [0, 1, "KeyError", 3]


async def test_a_broad_handler_does_not_see_a_wait(mesh: MeshData, client: MeshFlow.Client) -> None:
    caught: list[BaseException] = []

    async def careful() -> Any:
        try:
            return await workflow.wait_for("careful")
        except Exception as error:
            caught.append(error)
            return "caught"

    async with MeshFlow.Worker(mesh, workflows=[careful]):
        handle = await client.start(careful)
        run = await waits_for(mesh, handle.job_id, "careful")
        await hand_over(mesh, run)
        await client.signal("careful", "signalled")
        assert await handle.result(timeout=10) == "signalled"
    assert not caught


async def test_branches_of_unequal_length_draw_the_same_on_replay(mesh: MeshData, client: MeshFlow.Client) -> None:
    drawn: list[list[float]] = []

    async def branch(page: list[float], steps: int) -> list[float]:
        for n in range(steps):
            page.append(workflow.random().random())
            await hello(str(n))
        return page

    async def branches() -> list[list[float]]:
        pages: list[list[float]] = [[] for _ in range(4)]
        result = await asyncio.gather(*(branch(page, 1 + 2 * n) for n, page in enumerate(pages)))
        drawn.append([one for page in pages for one in page])
        await workflow.wait_for("branches")
        return result

    async with MeshFlow.Worker(mesh, workflows=[branches]):
        handle = await client.start(branches)
        await hand_over(mesh, await waits_for(mesh, handle.job_id, "branches"))
        await client.signal("branches")
        result = await handle.result(timeout=10)
    assert [one for page in result for one in page] == drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 16 and all(math.isfinite(one) for one in drawn[0])


async def test_an_exhausted_activity_raises(mesh: MeshData, client: MeshFlow.Client) -> None:
    @activity(retry=RetryPolicy(max_attempts=2, initial="1 ms"))
    async def hopeless() -> None:
        raise OSError("down")

    async def tries() -> str:
        try:
            await hopeless()
        except MeshError as error:
            return f"{type(error).__name__} {error.type} {error.attempts}"  # type: ignore[attr-defined]  # of JobFailed
        return "no error"

    async with MeshFlow.Worker(mesh, workflows=[tries]):
        assert await client.execute(tries) == "RetriesExhausted OSError 2"


async def test_a_long_sleep_is_put_down(mesh: MeshData, client: MeshFlow.Client) -> None:
    async def sleeper() -> float:
        return await workflow.sleep_for("6 months")

    async with MeshFlow.Worker(mesh, workflows=[sleeper]):
        handle = await client.start(sleeper, id="long", ttl="6 months")
        await waits_for(mesh, handle.job_id, "")
        assert (await handle.info()).waiting_for
        assert await handle.flush()
        with pytest.raises(JobNotFound):
            await handle.status()


async def test_a_hook_on_a_job_that_is_not_there_is_an_error(client: MeshFlow.Client) -> None:
    with pytest.raises(JobNotFound, match="nobody"):
        await client.hook(id="nobody", workflow="any", args=[])


async def test_the_time_of_an_activity_does_not_grow_with_the_history(mesh: MeshData, client: MeshFlow.Client) -> None:
    """Not a time, which another process may take from us, but what time would be spent on: commands to the store."""

    async def sequence(count: int) -> int:
        for n in range(count):
            await hello(str(n))
        return count

    async def commands(count: int) -> float:
        before = await statistics(mesh)
        assert await client.execute(sequence, [count]) == count
        after = await statistics(mesh)
        after.subtract(before)
        return (after["evalsha"] + after["lrange"]) / count

    async with MeshFlow.Worker(mesh, workflows=[sequence]):
        await client.execute(sequence, [1])
        assert await commands(1000) < 1.2 * await commands(50) + 0.5


async def statistics(mesh: MeshData) -> Counter[str]:
    counts: Counter[str] = Counter()
    told = await mesh.store.command(0, "INFO", "commandstats")
    text = told.decode() if isinstance(told, bytes) else str(told)
    for line in text.splitlines():
        if line.startswith("cmdstat_"):
            name, _, rest = line.removeprefix("cmdstat_").partition(":")
            counts[name.partition("|")[0]] += int(rest.partition("calls=")[2].partition(",")[0])
    return counts
