"""What a script refuses for good is not tried for ever: the run fails, or a dead letter says why it cannot."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.engine import dead
from meshdata.errors import JobFailed, ScriptFailed
from meshdata.store.messages import Claim
from meshdata.values import from_json
from meshdata.workflow import ending
from tests.handover import suspend, until_resident
from tests.integration.conftest import Eventually


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def letters_may_stay(no_leaks: set[str]) -> None:
    no_leaks.add("dead")


def refusing(times: int, write: Callable[..., Any]) -> Callable[..., Any]:
    """A script that is refused so many times, and then does its work."""
    left = times

    async def refused(*args: Any, **options: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise ScriptFailed("ERR no such thing", script="again.lua")
        return await write(*args, **options)

    return refused


async def hurried(number: int) -> int:
    if number == 0:
        raise ValueError("not yet")
    return number


async def waiter(key: str) -> Any:
    return await workflow.wait_for(key)


async def test_a_run_that_cannot_be_tried_again_fails_and_its_caller_hears_of_it(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mesh.connect("hurried", hurried, retry=RetryPolicy(max_attempts=3, initial="1 hour"))
    monkeypatch.setattr(mesh.store, "again", refusing(1_000, mesh.store.again))
    with pytest.raises(JobFailed, match="no such thing"):
        await mesh.exec(entity="hurried", args=[0])
    assert mesh._host.runs == {}
    assert await dead.letters(mesh.store, limit=10) == []


async def test_a_write_that_is_refused_at_first_is_done_when_it_is_not_any_more(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mesh.connect("hurried", hurried, retry=RetryPolicy(max_attempts=2, initial="1 ms"))
    monkeypatch.setattr(mesh.store, "again", refusing(ending.MOST_REFUSALS - 1, mesh.store.again))
    with pytest.raises(JobFailed, match="not yet"):
        await mesh.exec(entity="hurried", args=[0])


async def test_a_run_whose_end_no_script_writes_is_a_dead_letter_and_leaves_the_memory(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    await mesh.connect("hurried", hurried)
    with monkeypatch.context() as patched:
        patched.setattr(mesh.store, "finish", refusing(1_000, mesh.store.finish))
        await mesh.exec(entity="hurried", args=[0], id="h", ttl="1 minute", wait=False)
        (letter,) = await eventually(lambda: dead.letters(mesh.store, limit=10))
    assert (letter.job, letter.dimension, letter.topic, letter.ttl) == ("hurried:h", "0", "hurried", "60000")
    assert "no such thing" in letter.error
    assert from_json(letter.body)["a"] == [0]
    await eventually(lambda: mesh._host.runs == {})
    await mesh.flush("hurried", "h")
    assert await dead.requeue(mesh.store, letter.number) == "0 hurried:h"
    with pytest.raises(JobFailed, match="not yet"):
        await mesh.handle("hurried", "h")


async def test_a_run_that_cannot_be_leased_is_a_dead_letter_and_its_message_is_consumed(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis, eventually: Eventually
) -> None:
    await mesh.connect("waiter", waiter)
    await mesh.exec(entity="waiter", args=["go"], id="w", ttl="1 minute", wait=False)
    _, run = await until_resident([mesh], "waiter:w")
    await eventually(lambda: run.is_waiting)
    assert await suspend(mesh, run)
    monkeypatch.setattr(mesh.store, "lease", refusing(1_000, mesh.store.lease))
    await mesh.signal("go", 1)  # it is queued, and read by the only worker there is
    (letter,) = await eventually(lambda: dead.letters(mesh.store, limit=10))
    assert (letter.job, letter.topic) == ("waiter:w", "waiter")
    stream = mesh.store.keys.continuations(mesh.store.keys.partition("waiter:w"), "waiter")
    await eventually(lambda: redis_client.xlen(stream) == 0)
    await mesh.flush("waiter", "w")


async def test_an_outcome_no_script_takes_is_a_dead_letter_of_its_activity(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    @activity(queue="elsewhere")
    async def work(number: int) -> int:
        return number

    async def asks(number: int) -> int:
        return await work(number)

    monkeypatch.setattr(mesh.store, "reply", refusing(1_000, mesh.store.reply))
    await mesh.serve_activities("elsewhere", work)
    await mesh.connect("asks", asks)
    await mesh.exec(entity="asks", args=[1], id="a", ttl="1 minute", wait=False)
    (letter,) = await eventually(lambda: dead.letters(mesh.store, limit=10))
    assert letter.job == "asks:a"
    assert letter.position
    assert "elsewhere" in letter.topic
    await eventually(lambda: not mesh.is_busy)
    await mesh.flush("asks", "a")


async def test_a_dead_letter_is_written_though_the_keys_of_its_run_cannot_be_read(
    mesh: MeshData, redis_client: redis.Redis
) -> None:
    redis_client.set(mesh.store.keys.header("waiter:w"), "no hash any more", ex=60)
    await dead.bury(mesh.store, mesh.store.keys.partition("waiter:w"), Claim("0 waiter:w", "1"), "why")
    (letter,) = await dead.letters(mesh.store, limit=10)
    assert (letter.job, letter.error, letter.body) == ("waiter:w", "why", b"")
