"""Calls through `MeshCall`: from one process to another, without a job; what is kept of them is in test_kept_calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import redis
from pydantic import BaseModel

from meshdata import MeshCall
from meshdata.errors import InvalidOptions, JobFailed, MeshTimeout, NotConnected
from tests.integration.conftest import Eventually, OpenCall

Keys = Callable[[], set[str]]


class Person(BaseModel):
    name: str
    born: date


def echo(value: Any) -> Any:
    return value


def commands(client: redis.Redis) -> dict[str, int]:
    """How often each command was sent to the server, those of scripts not counted; the look itself is `info`."""
    stats = client.info("commandstats")
    found = {name.removeprefix("cmdstat_"): said["calls"] for name, said in stats.items()}
    return {name: found.get(name, 0) for name in ("evalsha", "eval", "xreadgroup", "client|caching")}


async def test_a_call_is_answered_by_another_process(open_call: OpenCall) -> None:
    server, client = await open_call(), await open_call()
    await server.connect("math.add", lambda a, b: a + b)
    assert await client.exec("math.add", args=[1, 2]) == 3
    assert await client.exec("math.add", kwargs={"a": 1, "b": 2}) == 3


async def test_what_connect_gives_is_called_like_the_function(open_call: OpenCall) -> None:
    async def add(a: int, b: int = 1) -> int:
        return a + b

    topic = await (await open_call()).connect("math.add", add)
    assert await topic(1) == 2
    assert await topic.options(timeout=10)(a=1, b=3) == 4


async def test_arguments_and_results_have_the_types_the_function_says(open_call: OpenCall) -> None:
    call = await open_call()

    @call.function("people.older")
    def older(person: Person, by: int) -> Person:
        return person.model_copy(update={"born": person.born.replace(year=person.born.year - by)})

    ada = Person(name="Ada", born=date(1815, 12, 10))
    assert await call.exec("people.older", args=[ada, 5]) == Person(name="Ada", born=date(1810, 12, 10))


async def test_a_plain_call_costs_the_caller_one_command_and_the_worker_one_besides_its_read(
    open_call: OpenCall, redis_client: redis.Redis
) -> None:
    server, client = await open_call(), await open_call()
    await server.connect("echo", echo)
    await client.exec("echo", args=[1])
    before = commands(redis_client)
    for n in range(10):
        await client.exec("echo", args=[n])
    after = commands(redis_client)
    assert (after["evalsha"] - before["evalsha"], after["eval"] - before["eval"]) == (20, 0)


async def test_a_plain_call_leaves_no_job_record_or_journal_behind(open_call: OpenCall, keys: Keys) -> None:
    server, client = await open_call(), await open_call()
    await server.connect("echo", echo)
    before = keys()
    await client.exec("echo", args=[1])
    left = {key.partition("}:")[2] for key in keys() - before}
    assert all(key.startswith("a:x ") for key in left)  # the answer, for a moment, in case its announcement was lost


async def test_a_function_that_raises_fails_the_call_with_what_it_raised(open_call: OpenCall) -> None:
    server, client = await open_call(), await open_call()

    def refuse(name: str) -> None:
        raise LookupError(f"no {name}")

    await server.connect("refuse", refuse)
    with pytest.raises(JobFailed) as failed:
        await client.exec("refuse", args=["bob"])
    assert (failed.value.type, failed.value.message, failed.value.code) == ("LookupError", "no bob", 500)
    assert "in refuse" in failed.value.remote_traceback


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(open_call: OpenCall, keys: Keys) -> None:
    call = await open_call()

    def half(n: int) -> float:
        return n / 2

    await call.connect("half", half)
    before = keys()
    for args, kwargs in (([1, 2], None), (["x"], None), ([], {"m": 1}), ([object()], None)):
        with pytest.raises(InvalidOptions):
            await call.exec("half", args=args, kwargs=kwargs)
    with pytest.raises(InvalidOptions):
        await call.exec("half", args="1")
    assert keys() == before


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"ttl": "1 minute"}, "ttl"),
        ({"flush": True}, "flush"),
        ({"tags": ["a"]}, "tags"),
        ({"near_cache": True}, "near_cache"),
        ({"id": "k", "stale": "1 minute"}, "stale"),
        ({"id": "k", "ttl": "infinity", "stale": 1}, "stale"),
        ({"id": "k", "failure_ttl": 1}, "failure_ttl"),
        ({"id": "k", "ttl": 0}, "ttl"),
        ({"id": "k", "ttl": "soon"}, "ttl"),
        ({"id": "", "ttl": 1}, "id"),
        ({"id": "k", "ttl": 1, "tags": "abc"}, "tags"),
        ({"id": "k", "flush": "yes"}, "flush"),
        ({"timeout": "soon"}, "timeout"),
        ({"expire": 1}, "expire"),
    ],
)
async def test_options_that_do_not_fit_are_refused_by_name(
    open_call: OpenCall, options: dict[str, Any], argument: str
) -> None:
    call = await open_call()
    with pytest.raises(InvalidOptions) as refused:
        await call.exec("echo", args=[1], **options)
    assert refused.value.argument == argument


async def test_large_arguments_and_answers_arrive(open_call: OpenCall) -> None:
    server, client = await open_call(), await open_call()
    await server.connect("echo", echo)
    text = "x" * 300_000
    assert await client.exec("echo", args=[text]) == text


async def test_many_calls_at_once_are_each_answered_with_their_own(open_call: OpenCall) -> None:
    servers = [await open_call(concurrency=3) for _ in range(2)]
    for server in servers:
        await server.connect("echo", echo)
    client = await open_call()
    assert await asyncio.gather(*(client.exec("echo", args=[n]) for n in range(200))) == list(range(200))


async def test_a_function_that_mesh_data_connected_can_be_called(open_call: OpenCall) -> None:
    server, client = await open_call(), await open_call()
    await server.mesh.connect("user", echo)
    assert await client.exec("user", args=["jsmith"]) == "jsmith"


# --- nobody answers ---------------------------------------------------------------------------------------------------


async def test_a_call_nobody_serves_says_so_and_is_not_run_later(open_call: OpenCall, keys: Keys) -> None:
    client = await open_call()
    with pytest.raises(NotConnected, match=r"Nobody serves 'my\.topic': no process was connected") as refused:
        await client.exec("my.topic", args=[1], timeout=0.05)
    assert isinstance(refused.value, MeshTimeout)
    assert refused.value.topic == "my.topic"
    assert not [key for key in keys() if ":q:" in key]
    ran = []
    await client.connect("my.topic", ran.append)
    await client.exec("my.topic", args=[2])
    assert ran == [2]


async def test_a_call_that_stays_is_run_when_somebody_serves_it(open_call: OpenCall, eventually: Eventually) -> None:
    client = await open_call()
    with pytest.raises(NotConnected, match="it is done when one can"):
        await client.exec("my.topic", args=[1], timeout=0.05, stay=True)
    ran: list[int] = []
    await client.connect("my.topic", ran.append)
    await eventually(lambda: ran == [1])


async def test_a_call_all_are_too_busy_for_says_so_and_is_not_run_later(open_call: OpenCall) -> None:
    server, client = await open_call(concurrency=1), await open_call()
    free, ran = asyncio.Event(), []

    async def work(n: int) -> None:
        ran.append(n)
        await free.wait()

    await server.connect("work", work)
    first = asyncio.create_task(client.exec("work", args=[1]))
    while not ran:
        await asyncio.sleep(0.002)
    with pytest.raises(MeshTimeout) as late:
        await client.exec("work", args=[2], timeout=0.05)
    assert not isinstance(late.value, NotConnected)
    free.set()
    await first
    await client.exec("work", args=[3])
    assert ran == [1, 3]


async def test_a_call_that_takes_too_long_says_that_it_is_at_work(open_call: OpenCall) -> None:
    call = await open_call()
    free = asyncio.Event()
    await call.connect("wait", free.wait)
    with pytest.raises(MeshTimeout, match="its function is still at work"):
        await call.exec("wait", timeout=0.1)
    free.set()


async def test_a_caller_that_is_cancelled_takes_its_call_back(
    open_call: OpenCall, eventually: Eventually, keys: Keys
) -> None:
    client = await open_call()
    task = asyncio.create_task(client.exec("my.topic", args=[1]))
    await eventually(lambda: [key for key in keys() if ":q:" in key])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: not [key for key in keys() if ":q:" in key])


async def test_a_call_whose_caller_died_is_dropped_when_its_time_is_over(
    open_call: OpenCall, eventually: Eventually, keys: Keys
) -> None:
    client, server = await open_call(), await open_call()
    partition = client.mesh.store.keys.partition("dead.1")
    client.mesh.store.calls.call_soon(lambda reply: None, "my.topic", "dead.1", b'{"a":[1]}', 1)
    await eventually(lambda: [key for key in keys() if ":q:" in key])
    begun = await client.mesh.store.time_ms(partition)
    while await client.mesh.store.time_ms(partition) < begun + 3:
        await asyncio.sleep(0.001)
    ran: list[int] = []
    await server.connect("my.topic", ran.append)
    for n in range(2, 20):
        await client.exec("my.topic", args=[n])
    assert ran == list(range(2, 20))


# --- what breaks ------------------------------------------------------------------------------------------------------


async def test_a_caller_whose_connection_breaks_gets_its_answer(
    open_call: OpenCall, redis_client: redis.Redis, eventually: Eventually
) -> None:
    server, client = await open_call(life_sign=1), await open_call(life_sign=1, name="caller")
    free, ran = asyncio.Event(), []

    async def work(n: int) -> int:
        ran.append(n)
        await free.wait()
        return n

    await server.connect("work", work)
    calls = [asyncio.create_task(client.exec("work", args=[n])) for n in range(3)]
    await eventually(lambda: len(ran) == 3)
    (mine,) = [one for one in redis_client.client_list() if f"meshdata-{client.mesh.process}" == one["name"]]
    redis_client.client_kill_filter(_id=mine["id"])
    free.set()
    assert await asyncio.gather(*calls) == [0, 1, 2]
    assert sorted(ran) == [0, 1, 2]


async def test_a_call_sent_twice_is_queued_once(open_call: OpenCall) -> None:
    server, client = await open_call(), await open_call()
    scripts = client.mesh.store.calls
    words = []
    for _ in range(2):
        outcome, message = await scripts.call_again("echo", "one.1", b'{"a":[1]}', "")
        words.append((outcome.word, bool(message)))
    assert words == [("CREATED", True), ("PENDING", True)]
    ran: list[int] = []
    await server.connect("echo", ran.append)
    while not ran:
        await asyncio.sleep(0.002)
    assert await client.exec("echo", args=[2]) is None
    outcome, _ = await scripts.call_again("echo", "one.1", b'{"a":[1]}', "")
    assert (outcome.word, outcome.payload) == ("DONE", b"null")
    assert ran == [1, 2]


async def test_a_server_that_forgets_its_scripts_is_taught_them_again(
    open_call: OpenCall, redis_client: redis.Redis
) -> None:
    call = await open_call()
    await call.connect("echo", echo)
    for n in range(3):
        redis_client.script_flush()
        assert await call.exec("echo", args=[n]) == n
        assert await call.exec("echo", args=[n], id=f"k{n}", ttl=60) == n


async def test_work_in_hand_is_handed_on_when_its_process_leaves(open_call: OpenCall, eventually: Eventually) -> None:
    first, client = await open_call(), await open_call()
    began: list[str] = []
    never = asyncio.Event()

    async def slow() -> str:
        began.append("slow")
        await never.wait()
        return "slow"

    await first.connect("work", slow)
    task = asyncio.create_task(client.exec("work"))
    await eventually(lambda: began == ["slow"])
    second = await open_call()
    await second.connect("work", lambda: "quick")
    await first.mesh.close(drain=0)
    assert await task == "quick"


async def test_a_door_of_its_own_opens_at_first_use_and_closes(redis_url: str, namespace: str) -> None:
    async with MeshCall(redis_url, namespace=namespace) as call:
        await call.connect("echo", echo)
        assert await call.exec("echo", args=[1]) == 1
    assert not call.mesh.is_open
