"""exec and connect: plain calls, the cache and its single flight, handles, failures, odd values and large ones."""

import asyncio
import dataclasses
import enum
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pydantic
import pytest
import redis

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import (
    Fatal,
    InvalidOptions,
    JobFailed,
    JobInterrupted,
    JobNotFound,
    MeshTimeout,
    RecordNotFound,
    UsageError,
)
from meshdata.store.messages import StartJob
from tests.integration.conftest import Eventually, OpenMesh


class Counted:
    """A function that counts its runs."""

    def __init__(self, answer: Any = "answer") -> None:
        self.runs = 0
        self.answer = answer

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        return self.answer(*args, **kwargs) if callable(self.answer) else self.answer


# --- plain calls ------------------------------------------------------------------------------------------------------


async def test_an_async_function_is_executed(mesh: MeshData) -> None:
    async def greet(name: str) -> str:
        return f"hello {name}"

    await mesh.connect("greet", greet)
    assert await mesh.exec(entity="greet", args=["you"]) == "hello you"


async def test_a_plain_function_is_executed_in_a_thread(mesh: MeshData) -> None:
    def where() -> int:
        return threading.get_ident()

    await mesh.connect("where", where)
    assert await mesh.exec(entity="where") != threading.get_ident()


async def test_plain_functions_run_beside_one_another(mesh: MeshData) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet() -> bool:
        both.wait()
        return True

    meeting = await mesh.connect("meet", meet)
    assert await asyncio.gather(meeting(), meeting()) == [True, True]


async def test_an_entity_is_called_like_its_function(mesh: MeshData) -> None:
    async def join(a: str, *rest: str, sep: str = "-") -> str:
        return sep.join([a, *rest])

    join_up = await mesh.connect("join", join)
    assert await join_up("a", "b", "c", sep="+") == "a+b+c"
    assert await join_up.options(id="j", ttl="1 minute")("x", "y") == "x-y"
    assert await mesh.exec(entity="join", args=("a",), kwargs={"sep": "!"}) == "a"


async def test_the_decorator_form_connects_too(mesh: MeshData) -> None:
    @mesh.entity("double")
    async def double(n: int) -> int:
        return n * 2

    assert await double(21) == 42


async def test_what_was_connected_before_the_start_is_served(
    redis_url: str, namespace: str, no_leaks: set[str]
) -> None:
    mesh = MeshData(redis_url, namespace=namespace)
    mesh.connect("early", Counted("bird"))
    async with mesh:
        assert await mesh.exec(entity="early") == "bird"


async def test_a_call_waits_for_a_server_to_come(mesh: MeshData, open_mesh: OpenMesh, eventually: Eventually) -> None:
    handle = await mesh.exec(entity="later", args=[1], wait=False)
    assert await handle.status() == "queued"
    await (await open_mesh()).connect("later", Counted("came"))
    assert await handle.result(timeout=10) == "came"


async def test_a_plain_call_leaves_nothing(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis
) -> None:
    await mesh.connect("gone", Counted())
    before = keys()
    await mesh.exec(entity="gone")
    for key in keys() - before:
        kept_ms = 30_000 if ":a:" in key else 1000  # the answer by itself, for a caller whose connection is broken
        assert 0 < redis_client.pttl(key) <= kept_ms, key


async def test_two_plain_calls_are_two_runs(mesh: MeshData) -> None:
    target = Counted()
    entity = await mesh.connect("twice", target)
    await asyncio.gather(entity(), entity())
    assert target.runs == 2


async def test_many_calls_at_once_are_all_answered(mesh: MeshData) -> None:
    entity = await mesh.connect("many", Counted(lambda n: n))
    assert await asyncio.gather(*(entity(n) for n in range(500))) == list(range(500))


async def test_one_function_at_a_time_where_that_was_asked_for(open_mesh: OpenMesh) -> None:
    now, most = 0, 0

    async def count_guests() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1

    mesh = await open_mesh(concurrency=1)
    entity = await mesh.connect("guests", count_guests)
    await asyncio.gather(*(entity() for _ in range(20)))
    assert most == 1


async def test_one_free_slot_serves_many_entities(open_mesh: OpenMesh) -> None:
    mesh = await open_mesh(concurrency=1)
    entities = [await mesh.connect(f"e{n}", Counted(n)) for n in range(12)]
    async with asyncio.timeout(10):
        for n in (11, 0, 5, 3, 8):
            assert await entities[n]() == n
        assert await asyncio.gather(*(entity() for entity in entities * 5)) == [*range(12)] * 5


async def test_an_entity_of_its_own_concurrency_runs_no_more_than_that(mesh: MeshData) -> None:
    now, most = 0, 0

    async def count_guests() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1

    entity = await mesh.connect("guests", count_guests, concurrency=2)
    await asyncio.gather(*(entity() for _ in range(20)))
    assert 1 <= most <= 2


async def test_an_entity_that_was_full_is_read_again_at_once(mesh: MeshData) -> None:
    go = asyncio.Event()
    began = asyncio.Event()

    async def slow() -> str:
        began.set()
        await go.wait()
        return "slow"

    entity = await mesh.connect("one", slow, concurrency=1)
    other = await mesh.connect("other", Counted("other"))
    async with asyncio.timeout(10):
        for _ in range(5):
            first = asyncio.create_task(entity())
            await began.wait()
            assert await other() == "other"  # the reader has come round meanwhile, and waits for others only
            go.set()
            assert await first == "slow"
            assert await entity() == "slow"
            go.clear()
            began.clear()


async def test_a_queue_keeps_its_work_apart(mesh: MeshData, open_mesh: OpenMesh) -> None:
    fast, slow = Counted("fast"), Counted("slow")
    other = await open_mesh()
    await mesh.connect("work", fast, queue="fast")
    await other.connect("work", slow, queue="slow")
    client = await open_mesh()
    assert await client.exec(entity="work", queue="slow") == "slow"
    assert await client.exec(entity="work", queue="fast") == "fast"
    assert await mesh.exec(entity="work") == "fast"


async def test_one_name_stands_for_one_function(mesh: MeshData) -> None:
    first, second = Counted(), Counted()
    await mesh.connect("name", first)
    await mesh.connect("name", first)
    with pytest.raises(InvalidOptions):
        mesh.connect("name", second)


async def test_a_closed_mesh_says_so(redis_url: str, namespace: str) -> None:
    mesh = MeshData(redis_url, namespace=namespace)
    with pytest.raises(UsageError, match="not open"):
        await mesh.exec(entity="x")


# --- what goes in and comes out ---------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    id: UUID
    at: datetime
    price: Decimal
    colour: Colour
    where: Point
    blob: bytes


async def test_arguments_and_results_have_the_types_of_the_annotations(mesh: MeshData) -> None:
    order = Order(
        id=UUID(int=7),
        at=datetime(2024, 2, 29, 12, tzinfo=UTC),
        price=Decimal("1.10"),
        colour=Colour.RED,
        where=Point(1, 2),
        blob=b"\x00\xff",
    )
    seen: list[Any] = []

    async def place(order: Order, tags: set[str], until: timedelta, blob: bytes) -> Order:
        seen.extend([order, tags, until, blob])
        return order.model_copy(update={"price": order.price * 2})

    entity = await mesh.connect("place", place)
    answer = await entity(order, {"a", "b"}, timedelta(hours=1), b"\xfe")
    assert seen == [order, {"a", "b"}, timedelta(hours=1), b"\xfe"]
    assert answer == order.model_copy(update={"price": Decimal("2.20")})


async def test_the_door_needs_no_connect_and_gives_plain_values_then(mesh: MeshData, open_mesh: OpenMesh) -> None:
    async def when(day: datetime) -> datetime:
        return day + timedelta(days=1)

    await mesh.connect("when", when)
    client = await open_mesh()
    day = datetime(2024, 1, 1, tzinfo=UTC)
    assert await client.exec(entity="when", args=[day]) == "2024-01-02T00:00:00Z"
    assert await mesh.exec(entity="when", args=[day]) == datetime(2024, 1, 2, tzinfo=UTC)


async def test_an_argument_of_the_wrong_type_is_refused_where_the_function_is_known(mesh: MeshData) -> None:
    async def double(n: int) -> int:
        return n * 2

    await mesh.connect("double", double)
    with pytest.raises(InvalidOptions, match="n: Input should be a valid integer") as caught:
        await mesh.exec(entity="double", args=["many"], id="1", ttl="infinity")
    assert caught.value.argument == "n"
    assert await mesh.exec(entity="double", args=["2"], id="1", ttl="1 minute") == 4


async def test_an_argument_of_the_wrong_type_fails_the_job_by_name(open_mesh: OpenMesh) -> None:
    async def double(n: int) -> int:
        return n * 2

    worker, client = await open_mesh(), await open_mesh()
    await worker.connect("double", double)
    with pytest.raises(JobFailed) as caught:
        await client.exec(entity="double", args=["many"])
    assert caught.value.type == "InvalidOptions"
    assert "n" in caught.value.message


async def test_a_result_of_the_wrong_type_fails_the_job(mesh: MeshData) -> None:
    async def count() -> int:
        return "many"  # type: ignore[return-value]  # the mistake this is about

    await mesh.connect("count", count)
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="count", id="1", ttl="1 minute")
    assert (caught.value.type, (await mesh.info("count", "1")).status) == ("InvalidOptions", "failed")


async def test_a_time_limit_that_ends_a_job_has_the_code_of_one(mesh: MeshData) -> None:
    async def wait() -> None:
        await workflow.wait_for("never", timeout=0.01)

    await mesh.connect("wait", wait)
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="wait")
    assert caught.value.code == 504


async def test_a_result_that_is_no_json_fails_the_job(mesh: MeshData) -> None:
    await mesh.connect("raw", Counted(lambda: {"deep": [object()]}))
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="raw", timeout=10)
    assert caught.value.type == "InvalidOptions"
    assert "result.deep[0]" in caught.value.message


@pytest.mark.parametrize("value", [None, "", 0, 0.0, False, [], {}, "null", "ä€𝄞\x00\n"], ids=repr)
async def test_empty_and_falsy_results_are_cached_like_any_other(mesh: MeshData, value: Any) -> None:
    target = Counted(value)
    await mesh.connect("falsy", target)
    for _ in range(3):
        answer = await mesh.exec(entity="falsy", id="one", ttl="1 minute")
        assert answer == value
        assert type(answer) is type(value)
    assert target.runs == 1


@pytest.mark.parametrize(
    "id",
    [
        "a:b:c", "two words", " ", "ключ", "日本語", "{brace}", "}{", "a/b?c=d&e", "'\"`$(x)", "\\n", "*", "%s%d",
        "0", "-1", "0 other:job", "w 0 1", "👩‍👩‍👧", "x" * 512, "é" * 256,
    ],
    ids=lambda id: ascii(id)[:20],
)  # fmt: skip
async def test_ids_may_hold_odd_characters(mesh: MeshData, id: str) -> None:
    async def keep() -> str:
        from meshdata import workflow

        await workflow.state.set(seen="yes")
        return workflow.info().id

    await mesh.connect("odd", keep)
    assert await mesh.exec(entity="odd", id=id, ttl="infinity") == id
    assert await mesh.exec(entity="odd", id=id, ttl="infinity") == id
    assert await mesh.handle("odd", id).result() == id
    assert await mesh.get("odd", id, "seen") == {"seen": "yes"}
    assert (await mesh.info("odd", id)).id == id
    assert await mesh.flush("odd", id)
    with pytest.raises(JobNotFound):
        await mesh.info("odd", id)


@pytest.mark.parametrize("size", [70_000, 1_500_000, 5_000_000])
async def test_large_arguments_results_and_fields(mesh: MeshData, open_mesh: OpenMesh, size: int) -> None:
    text = os.urandom(size // 2).hex()

    async def echo(text: str) -> str:
        from meshdata import workflow

        await workflow.state.set(text=text)
        return text

    await mesh.connect("echo", echo)
    client = await open_mesh()
    assert await client.exec(entity="echo", args=[text], id="big", ttl="1 minute", timeout=20) == text
    assert await client.exec(entity="echo", args=["other"], id="big", ttl="1 minute") == text
    assert await client.get("echo", "big", "text") == {"text": text}


async def test_a_large_failure_is_cut_to_size(mesh: MeshData) -> None:
    async def complain() -> None:
        raise ValueError("x" * 1_000_000)

    await mesh.connect("complain", complain)
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="complain", id="c", ttl="1 minute", timeout=20)
    assert caught.value.type == "ValueError"
    assert 1000 < len(caught.value.message) < 10_000


# --- the cache --------------------------------------------------------------------------------------------------------


async def test_200_callers_at_once_are_one_run_and_200_equal_answers(mesh: MeshData, open_mesh: OpenMesh) -> None:
    go = asyncio.Event()
    runs = 0

    async def slow(n: int) -> dict[str, int]:
        nonlocal runs
        runs += 1
        await go.wait()
        return {"run": runs, "n": n}

    await mesh.connect("slow", slow)
    clients = [mesh, await open_mesh(), await open_mesh(), await open_mesh()]
    calls = [
        asyncio.create_task(clients[n % 4].exec(entity="slow", args=[n], id="one", ttl="1 minute")) for n in range(200)
    ]
    while runs == 0:
        await asyncio.sleep(0)
    go.set()
    answers = await asyncio.gather(*calls)
    assert runs == 1
    assert all(answer == answers[0] for answer in answers)
    assert len(answers) == 200


async def test_the_answer_is_kept_for_its_ttl(mesh: MeshData, redis_client: redis.Redis, namespace: str) -> None:
    await mesh.connect("kept", Counted())
    await mesh.exec(entity="kept", id="k", ttl="15 minutes")
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:j:kept:k", count=1000)
    assert 14 * 60_000 < redis_client.pttl(key) <= 15 * 60_000


async def test_a_calendar_ttl_is_counted_on_the_calendar(
    mesh: MeshData, redis_client: redis.Redis, namespace: str
) -> None:
    await mesh.connect("kept", Counted())
    await mesh.exec(entity="kept", id="k", ttl="6 months")
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:j:kept:k", count=1000)
    assert 181 * 86_400_000 - 60_000 < redis_client.pttl(key) <= 184 * 86_400_000


async def test_after_its_ttl_the_function_runs_again(mesh: MeshData, eventually: Eventually) -> None:
    target = Counted()
    await mesh.connect("short", target)
    await mesh.exec(entity="short", id="s", ttl=0.05)

    async def ran_again() -> bool:
        await mesh.exec(entity="short", id="s", ttl=0.05)
        return target.runs == 2

    await eventually(ran_again)


async def test_infinity_stays_until_it_is_flushed(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis
) -> None:
    target = Counted()
    await mesh.connect("ever", target)
    before = keys()
    for _ in range(2):
        await mesh.exec(entity="ever", id="e", ttl="infinity")
    assert target.runs == 1
    kept = keys() - before
    assert {redis_client.pttl(key) for key in kept} == {-1}
    assert await mesh.flush("ever", "e") is True
    assert keys() - before == set()
    assert await mesh.flush("ever", "e") is False
    await mesh.exec(entity="ever", id="e", ttl="1 minute")
    assert target.runs == 2


async def test_the_ttl_of_the_entity_holds_where_the_call_names_none(mesh: MeshData) -> None:
    target = Counted()
    entity = await mesh.connect("owned", target, ttl="1 minute")
    for _ in range(2):
        await entity.options(id="x")()
    assert target.runs == 1
    assert (await mesh.info("owned", "x")).ttl_ms == 60_000


async def test_flush_on_exec_runs_it_anew(mesh: MeshData) -> None:
    target = Counted(lambda word: word)
    await mesh.connect("fresh", target)
    call = mesh.connect("fresh", target).options
    assert await call(id="x", ttl="1 minute")("one") == "one"
    assert await call(id="x", ttl="1 minute")("two") == "one"
    assert await call(id="x", ttl="1 minute", flush=True)("three") == "three"
    assert await call(id="x", ttl="1 minute")("four") == "three"
    assert await mesh.flush("fresh", "x")
    assert await call(id="x", ttl="1 minute")("five") == "five"


async def test_flush_of_a_running_job_begins_anew_for_all_who_wait(mesh: MeshData, open_mesh: OpenMesh) -> None:
    go = asyncio.Event()
    began: list[int] = []

    async def slow(n: int) -> int:
        began.append(n)
        if n == 1:
            await go.wait()
        return n

    await mesh.connect("slow", slow)
    first = asyncio.create_task(mesh.exec(entity="slow", args=[1], id="x", ttl="1 minute"))
    while not began:
        await asyncio.sleep(0)
    other = asyncio.create_task((await open_mesh()).handle("slow", "x").result())
    assert await mesh.exec(entity="slow", args=[2], id="x", ttl="1 minute", flush=True) == 2
    assert await asyncio.wait_for(asyncio.gather(first, other), 5) == [2, 2]
    go.set()
    assert await mesh.exec(entity="slow", args=[3], id="x", ttl="1 minute") == 2


async def test_a_job_flushed_before_it_began_is_never_run(
    mesh: MeshData, keys: Callable[[], set[str]], eventually: Eventually
) -> None:
    before = keys()
    handle = await mesh.exec(entity="late", args=["flushed"], id="x", ttl="infinity", wait=False)
    await handle.flush()
    assert keys() == before
    target = Counted(lambda word: word)
    await mesh.connect("late", target)
    assert await mesh.exec(entity="late", args=["kept"]) == "kept"
    assert target.runs == 1


async def test_names_and_ids_do_not_run_into_one_another(mesh: MeshData) -> None:
    one = await mesh.connect("a", Counted("one"))
    two = await mesh.connect("a.b", Counted("two"))
    assert await one.options(id="b:c", ttl="1 minute")() == "one"
    assert await two.options(id="c", ttl="1 minute")() == "two"
    assert await one.options(id="b", ttl="1 minute")() == "one"


# --- handles ----------------------------------------------------------------------------------------------------------


async def test_a_handle_comes_at_once_and_is_awaited_later(mesh: MeshData) -> None:
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return "done"

    await mesh.connect("slow", slow)
    handle = await mesh.exec(entity="slow", id="h", ttl="1 minute", wait=False)
    assert (handle.entity, handle.id, handle.job_id) == ("slow", "h", "slow:h")
    waiting = asyncio.create_task(handle.result())
    go.set()
    assert await waiting == "done"
    assert await handle == "done"
    assert await handle.status() == "completed"
    assert (await handle.info()).is_ended


async def test_a_handle_of_another_process_awaits_the_same_job(mesh: MeshData, open_mesh: OpenMesh) -> None:
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return "done"

    await mesh.connect("slow", slow)
    await mesh.exec(entity="slow", id="h", ttl="1 minute", wait=False)
    other = (await open_mesh()).handle("slow", "h")
    waiting = asyncio.create_task(other.result())
    go.set()
    assert await waiting == "done"
    assert await other.flush()


async def test_a_handle_of_a_call_without_id_has_one(mesh: MeshData) -> None:
    await mesh.connect("quick", Counted("q"))
    handle = await mesh.exec(entity="quick", wait=False)
    assert len(handle.id) == 22
    assert await handle.result(timeout=10) == "q"


async def test_the_result_of_an_unknown_id_is_not_found_at_once(mesh: MeshData) -> None:
    async with asyncio.timeout(2):
        with pytest.raises(JobNotFound) as caught:
            await mesh.handle("no", "one").result()
    assert caught.value.job_id == "no:one"
    assert caught.value.code == 404
    with pytest.raises(JobNotFound):
        await mesh.info("no", "one")
    with pytest.raises(RecordNotFound):
        await mesh.handle("no", "one").state("x")


async def test_who_awaits_a_job_that_is_flushed_is_told(
    mesh: MeshData, redis_client: redis.Redis, eventually: Eventually
) -> None:
    handle = await mesh.exec(entity="unserved", id="f", ttl="1 minute", wait=False)
    (header,) = redis_client.scan_iter(match=f"mesh:{{{mesh.namespace}*:j:unserved:f", count=1000)
    waiting = asyncio.create_task(handle.result())
    await eventually(lambda: redis_client.hexists(header, "waiters"))
    assert await handle.flush()
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(waiting, 2)


async def test_a_timeout_leaves_the_job_running(mesh: MeshData) -> None:
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return "late"

    await mesh.connect("slow", slow)
    with pytest.raises(MeshTimeout) as caught:
        await mesh.exec(entity="slow", id="t", ttl="1 minute", timeout="50 ms")
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.job_id == "slow:t"
    with pytest.raises(MeshTimeout):
        await mesh.handle("slow", "t").result(timeout=0.02)
    go.set()
    assert await mesh.exec(entity="slow", id="t", ttl="1 minute", timeout="5 seconds") == "late"


async def test_a_caller_that_gives_up_does_not_stop_the_others(mesh: MeshData) -> None:
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return "done"

    await mesh.connect("slow", slow)
    calls = [asyncio.create_task(mesh.exec(entity="slow", id="t", ttl="1 minute")) for _ in range(3)]
    with pytest.raises(MeshTimeout):
        await mesh.exec(entity="slow", id="t", ttl="1 minute", timeout=0.02)
    calls[0].cancel()
    go.set()
    assert await asyncio.gather(*calls[1:]) == ["done", "done"]


# --- state seeds ------------------------------------------------------------------------------------------------------


async def test_a_record_begins_with_the_seeds(mesh: MeshData) -> None:
    async def look() -> Any:
        from meshdata import workflow

        return await workflow.state.mget("fred", "barney")

    await mesh.connect("look", look)
    seeds = {"fred": "flintstone", "barney": "rubble"}
    assert await mesh.exec(entity="look", id="s", ttl="1 minute", state=seeds) == ["flintstone", "rubble"]
    assert await mesh.all("look", "s") == seeds


async def test_seeds_of_a_later_caller_change_nothing(mesh: MeshData) -> None:
    await mesh.connect("look", Counted())
    await mesh.exec(entity="look", id="s", ttl="1 minute", state={"a": "1"})
    await mesh.exec(entity="look", id="s", ttl="1 minute", state={"a": "2", "b": "3"})
    assert await mesh.all("look", "s") == {"a": "1"}


# --- failures ---------------------------------------------------------------------------------------------------------


class OutOfStock(Exception):
    pass


async def test_a_failure_is_raised_with_type_message_and_remote_traceback(mesh: MeshData, open_mesh: OpenMesh) -> None:
    async def order_one() -> None:
        raise OutOfStock("no more apples")

    await mesh.connect("order", order_one)
    for one in (mesh, await open_mesh()):
        with pytest.raises(JobFailed) as caught:
            await one.exec(entity="order")
        failed = caught.value
        assert (failed.type, failed.message, failed.code, failed.attempts) == ("OutOfStock", "no more apples", 500, 1)
        assert "in order_one" in failed.remote_traceback
        assert 'raise OutOfStock("no more apples")' in failed.remote_traceback
        assert failed.job_id.startswith("order:")


async def test_a_failure_is_raised_again_from_the_cache(mesh: MeshData) -> None:
    async def broken() -> None:
        target.runs += 1
        raise OutOfStock("no more apples")

    target = Counted()
    await mesh.connect("broken", broken)
    raised = []
    for _ in range(3):
        with pytest.raises(JobFailed) as caught:
            await mesh.exec(entity="broken", id="b", ttl="1 minute")
        raised.append((caught.value.type, caught.value.message, caught.value.remote_traceback))
    with pytest.raises(JobFailed):
        await mesh.handle("broken", "b")
    assert target.runs == 1
    assert raised[0] == raised[1] == raised[2]
    info = await mesh.info("broken", "b")
    assert (info.status, info.error) == ("failed", "no more apples")


async def test_retry_failed_runs_a_failure_anew_and_leaves_a_success_alone(mesh: MeshData) -> None:
    runs = 0

    async def flaky() -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise OutOfStock("once")
        return runs

    await mesh.connect("flaky", flaky)
    with pytest.raises(JobFailed):
        await mesh.exec(entity="flaky", id="f", ttl="1 minute")
    for _ in range(2):
        assert await mesh.exec(entity="flaky", id="f", ttl="1 minute", retry_failed=True) == 2
    assert await mesh.exec(entity="flaky", id="f", ttl="1 minute") == 2


async def test_retry_failed_runs_what_was_interrupted_anew(mesh: MeshData) -> None:
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return "done"

    await mesh.connect("slow", slow)
    handle = await mesh.exec(entity="slow", id="f", ttl="1 minute", wait=False)
    await handle.interrupt()
    with pytest.raises(JobInterrupted):
        await mesh.exec(entity="slow", id="f", ttl="1 minute")
    go.set()
    assert await mesh.exec(entity="slow", id="f", ttl="1 minute", retry_failed=True) == "done"


async def test_callers_who_retry_a_failure_at_once_share_one_run(mesh: MeshData) -> None:
    go = asyncio.Event()
    runs = 0

    async def flaky() -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise OutOfStock("once")
        await go.wait()
        return runs

    await mesh.connect("flaky", flaky)
    with pytest.raises(JobFailed):
        await mesh.exec(entity="flaky", id="f", ttl="1 minute")
    calls = [
        asyncio.create_task(mesh.exec(entity="flaky", id="f", ttl="1 minute", retry_failed=True)) for _ in range(20)
    ]
    while runs < 2:
        await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*calls) == [2] * 20


async def test_a_failed_run_is_repeated_as_its_policy_says(mesh: MeshData) -> None:
    runs = 0

    async def third_time() -> int:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise OutOfStock("not yet")
        return runs

    await mesh.connect("third", third_time)
    policy = RetryPolicy(max_attempts=3, initial="5 ms")
    assert await mesh.exec(entity="third", id="t", ttl="1 minute", retry=policy) == 3
    assert (await mesh.info("third", "t")).attempts == 3


async def test_a_failure_says_how_often_it_was_tried(mesh: MeshData) -> None:
    async def never() -> None:
        raise OutOfStock("never")

    await mesh.connect("never", never, retry=RetryPolicy(max_attempts=2, initial="5 ms"))
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="never")
    assert (caught.value.attempts, caught.value.code) == (2, 597)


async def test_a_fatal_failure_is_not_repeated(mesh: MeshData) -> None:
    runs = 0

    async def hopeless() -> None:
        nonlocal runs
        runs += 1
        raise Fatal("give up")

    await mesh.connect("hopeless", hopeless, retry=RetryPolicy(max_attempts=5, initial="5 ms"))
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="hopeless")
    assert (caught.value.type, caught.value.code, runs) == ("Fatal", 598, 1)


async def test_even_an_exit_of_the_function_is_a_failure_of_the_job_only(mesh: MeshData) -> None:
    def leave() -> None:
        raise SystemExit(3)

    def stop() -> None:
        raise StopIteration

    await mesh.connect("stop", stop)
    with pytest.raises(JobFailed):
        await mesh.exec(entity="stop", timeout=10)
    await mesh.connect("leave", leave)
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="leave", timeout=10)
    assert caught.value.type == "SystemExit"


# --- another process --------------------------------------------------------------------------------------------------

CLIENT = """
import asyncio, sys
from meshdata import MeshData

async def main():
    async with MeshData(sys.argv[1], namespace=sys.argv[2]) as mesh:
        call = mesh.exec(entity="greet", args=["process"], kwargs={"mark": "!"}, id="p", ttl="1 minute", timeout=30)
        print(await call)

asyncio.run(main())
"""


async def test_a_process_that_connected_nothing_executes(
    mesh: MeshData, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    async def greet(name: str, mark: str = "") -> str:
        return f"hello {name}{mark}"

    await mesh.connect("greet", greet)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, redis_url, namespace, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 40)
    assert (out.decode().strip(), err.decode(), process.returncode) == ("hello process!", "", 0)
    assert await mesh.exec(entity="greet", args=["other"], id="p", ttl="1 minute") == "hello process!"


@pytest.mark.parametrize("wait", [True, False], ids=["exec", "handle"])
async def test_a_job_run_anew_does_not_answer_with_the_end_of_the_one_before(
    mesh: MeshData, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, wait: bool
) -> None:
    runs: list[int] = []

    async def waiting(n: int) -> int:
        runs.append(n)
        await workflow.wait_for(f"go{n}")
        return n

    await mesh.connect("waiting", waiting)
    start_job = mesh.store.start_job
    old = asyncio.create_task(mesh.exec(entity="waiting", args=[1], id="x", ttl="1 minute"))
    await eventually(lambda: runs == [1])

    async def late(*args: Any, **options: Any) -> Any:
        # The end of the old job is heard when the new one is awaited already and not yet begun.
        await mesh.signal("go1")
        assert await old == 1
        return await start_job(*args, **options)

    monkeypatch.setattr(mesh.store, "start_job", late)
    call = mesh.exec(entity="waiting", args=[2], id="x", ttl="1 minute", flush=True, wait=wait)
    new = asyncio.create_task(call)
    await eventually(lambda: runs == [1, 2])
    await mesh.signal("go2")
    assert (await new if wait else await (await new)) == 2


async def test_a_start_that_cannot_be_read_fails_and_stops_nobody(mesh: MeshData, eventually: Eventually) -> None:
    async def echo(n: int) -> int:
        return n

    await mesh.connect("echo", echo)
    await mesh.store.start_job(StartJob("echo:bad", "echo", b"no json", "echo", ttl="60000"))
    assert await mesh.exec(entity="echo", args=[1]) == 1

    async def has_failed() -> bool:
        return (await mesh.info("echo", "bad")).status == "failed"

    await eventually(has_failed)


async def test_nobody_listens_for_a_job_whose_answer_is_kept_or_whose_handle_is_gone(mesh: MeshData) -> None:
    go_on = asyncio.Event()
    await mesh.connect("slow", go_on.wait)
    listening = mesh._engine.waiters
    kept = await mesh.exec(entity="slow", id="1", ttl="1 minute", wait=False)
    assert len(listening) == 0
    handle = await mesh.exec(entity="slow", wait=False)
    assert len(listening) == 1
    del handle
    gc.collect()
    assert len(listening) == 0
    go_on.set()
    assert await kept.result(timeout=10) is True
