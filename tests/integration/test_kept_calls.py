"""Answers of calls, kept by id: one run for all who ask, fresh and stale, failures, groups, and what breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from meshdata import MeshCall, MeshData
from meshdata.errors import InvalidOptions, JobFailed, JobInterrupted, NotConnected
from meshdata.testing import Clock, run_until_idle
from tests.integration.conftest import Eventually, OpenCall
from tests.integration.test_meshcall import commands

Keys = Callable[[], set[str]]


class Work:
    """A function that counts its runs; it answers with their number, waits where it is told to, fails where it is."""

    def __init__(self) -> None:
        self.runs = 0
        self.free = asyncio.Event()
        self.free.set()
        self.fails = False

    async def __call__(self, *args: Any) -> Any:
        self.runs += 1
        run = self.runs
        await self.free.wait()
        if self.fails:
            raise LookupError(f"run {run}")
        return run


@pytest.fixture
async def work() -> Work:
    return Work()


async def test_an_answer_is_kept_by_its_id_until_it_is_flushed(open_call: OpenCall, work: Work) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    kept = {"id": "k", "ttl": "1 minute"}
    assert [await call.exec("work", args=[n], **kept) for n in range(3)] == [1, 1, 1]
    assert await call.flush("work", id="k") is True
    assert await call.flush("work", id="k") is False
    assert [await call.exec("work", **kept), await call.exec("work", **kept)] == [2, 2]
    assert [await call.exec("work", **kept, flush=True), await call.exec("work", **kept)] == [3, 3]
    assert await call.exec("work", id="other", ttl="infinity") == 4
    assert await call.flush("work", id="k") and await call.flush("work", id="other")


async def test_ids_of_different_topics_are_different(open_call: OpenCall) -> None:
    call = await open_call()
    await call.connect("one", lambda: 1)
    await call.connect("two", lambda: 2)
    assert [await call.exec(topic, id="k", ttl=60) for topic in ("one", "two")] == [1, 2]


async def test_a_kept_answer_costs_one_command(open_call: OpenCall, work: Work, redis_client: redis.Redis) -> None:
    call = await open_call()
    await call.connect("work", work)
    await call.exec("work", id="k", ttl=60)
    before = commands(redis_client)
    for _ in range(10):
        await call.exec("work", id="k", ttl=60)
    after = commands(redis_client)
    assert (after["evalsha"] - before["evalsha"], after["eval"]) == (10, before["eval"])


async def test_callers_of_one_id_at_once_share_one_run(open_call: OpenCall, work: Work, eventually: Eventually) -> None:
    server = await open_call()
    callers = [await open_call() for _ in range(3)]
    await server.connect("work", work)
    work.free.clear()
    tasks = [asyncio.create_task(one.exec("work", id="k", ttl=60)) for one in callers for _ in range(20)]
    await eventually(lambda: work.runs == 1)
    late = asyncio.create_task(callers[0].exec("work", id="k"))
    work.free.set()
    assert await asyncio.gather(*tasks, late) == [1] * 61
    assert work.runs == 1


async def test_an_id_without_a_ttl_shares_a_run_and_keeps_nothing(
    open_call: OpenCall, work: Work, eventually: Eventually, keys: Keys
) -> None:
    call = await open_call()
    await call.connect("work", work)
    work.free.clear()
    tasks = [asyncio.create_task(call.exec("work", id="k")) for _ in range(5)]
    await eventually(lambda: work.runs == 1)
    work.free.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert await call.exec("work", id="k") == 2, "a repeat at once is a new run, not a duplicate"
    assert not [key for key in keys() if ":e:" in key]


async def test_nothing_as_an_answer_is_kept_like_any_other(open_call: OpenCall) -> None:
    call = await open_call()
    runs: list[int] = []
    await call.connect("note", runs.append)
    assert [await call.exec("note", args=[n], id="k", ttl=60) for n in range(3)] == [None] * 3
    assert runs == [0]


async def test_an_answer_lapses_with_its_ttl(
    open_call: OpenCall, work: Work, eventually: Eventually, keys: Keys
) -> None:
    call = await open_call()
    await call.connect("work", work)
    assert await call.exec("work", id="k", ttl="50 ms") == 1

    async def is_new() -> bool:
        return bool(await call.exec("work", id="k", ttl="50 ms") == 2)

    await eventually(is_new)
    await eventually(lambda: not [key for key in keys() if ":e:" in key])


async def test_kept_answers_go_by_the_clock_that_a_test_moves(work: Work) -> None:
    pytest.importorskip("fakeredis")
    clock = Clock()
    async with MeshData("fake://kept", namespace="kept", clock=clock) as mesh:
        call = MeshCall(mesh)
        await call.connect("work", work)
        kept = {"id": "k", "ttl": "1 month", "stale": "7 days"}
        answers = [await call.exec("work", **kept)]
        for later in ("27 days", "5 days"):
            await clock.advance(later)
            answers.append(await call.exec("work", **kept))
        await run_until_idle(mesh)
        answers.append(await call.exec("work", **kept))
        await clock.advance("2 months")
        answers.append(await call.exec("work", **kept))
        assert answers == [1, 1, 1, 2, 3]


# --- failures ---------------------------------------------------------------------------------------------------------


async def failure(call: MeshCall, **options: Any) -> str:
    with pytest.raises(JobFailed) as failed:
        await call.exec("work", id="k", **options)
    assert (failed.value.type, failed.value.job_id) == ("LookupError", "work:k")
    return failed.value.message


async def test_a_failure_is_kept_like_an_answer_and_raises_again(open_call: OpenCall, work: Work) -> None:
    call = await open_call()
    await call.connect("work", work)
    work.fails = True
    assert [await failure(call, ttl=60) for _ in range(3)] == ["run 1"] * 3
    work.fails = False
    assert await call.exec("work", id="k", ttl=60, retry_failed=True) == 2
    assert await call.exec("work", id="k", ttl=60, retry_failed=True) == 2, "what is no failure is kept"


async def test_a_failure_is_kept_as_long_as_its_own_ttl_says(
    open_call: OpenCall, work: Work, eventually: Eventually
) -> None:
    call = await open_call()
    await call.connect("work", work)
    work.fails = True
    assert [await failure(call, ttl=60, failure_ttl=0) for _ in range(2)] == ["run 1", "run 2"]
    assert await failure(call, ttl=60, failure_ttl="50 ms") == "run 3"

    async def is_new() -> bool:
        return await failure(call, ttl=60, failure_ttl=60) == "run 4"

    await eventually(is_new)
    work.fails = False
    assert await call.exec("work", id="k", ttl=60, flush=True) == 5


# --- stale answers ----------------------------------------------------------------------------------------------------


async def test_a_stale_answer_is_given_at_once_while_one_run_brings_a_newer_one(
    open_call: OpenCall, work: Work, eventually: Eventually
) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    kept = {"id": "k", "ttl": "40 ms", "stale": "1 minute"}
    assert await call.exec("work", **kept) == 1
    work.free.clear()

    async def is_refreshing() -> bool:
        assert await call.exec("work", **kept) == 1
        return work.runs == 2

    await eventually(is_refreshing)
    assert await asyncio.gather(*(call.exec("work", **kept) for _ in range(20))) == [1] * 20
    assert work.runs == 2
    work.free.set()

    async def is_new() -> bool:
        return bool(await call.exec("work", **(kept | {"ttl": "1 minute"})) >= 2)

    await eventually(is_new)


async def test_a_refresh_that_fails_leaves_the_stale_answer(
    open_call: OpenCall, work: Work, eventually: Eventually
) -> None:
    call = await open_call()
    await call.connect("work", work)
    kept = {"id": "k", "ttl": "20 ms", "stale": "1 minute"}
    assert await call.exec("work", **kept) == 1
    work.fails = True

    async def is_refreshed() -> bool:
        assert await call.exec("work", **kept) == 1
        return work.runs >= 2

    await eventually(is_refreshed)
    assert await call.exec("work", **kept) == 1


# --- ids of arguments -------------------------------------------------------------------------------------------------


async def test_an_id_of_the_arguments_is_the_same_for_equal_ones(open_call: OpenCall, work: Work) -> None:
    call, other = await open_call(), await open_call()
    await call.connect("work", work)
    auto = {"id": "auto", "ttl": 60}
    assert await call.exec("work", args=[{"a": 1, "b": [2, None]}], **auto) == 1
    assert await other.exec("work", args=({"b": (2, None), "a": 1},), **auto) == 1
    assert await other.exec("work", args=[{"a": 1, "b": [2, 0]}], **auto) == 2
    assert await call.flush("work", id=call.id_of("work", [{"b": [2, None], "a": 1}]))
    assert await call.exec("work", args=[{"a": 1, "b": [2, None]}], **auto) == 3


def test_an_id_of_arguments_stays_the_same_from_version_to_version() -> None:
    assert MeshCall.id_of("math.add", [1, "ä"], {"b": 2.5}) == "auto:d8f30f4f1c1160fb45c53432e596262c"
    assert MeshCall.id_of("math.add", [1]) != MeshCall.id_of("math.mul", [1])


# --- groups -----------------------------------------------------------------------------------------------------------


async def test_a_tag_flushes_its_group_and_nothing_else(open_call: OpenCall, work: Work, keys: Keys) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    for n in range(8):
        await call.exec("work", id=f"k{n}", ttl=60, tags=["even" if n % 2 == 0 else "odd", "all"])
    assert await server.flush(tag="even") is True
    assert await server.flush(tag="even") is False
    assert [await call.exec("work", id=f"k{n}", ttl=60) for n in (1, 3, 5, 7)] == [2, 4, 6, 8]
    assert [await call.exec("work", id=f"k{n}", ttl=60) for n in (0, 2, 4, 6)] == [9, 10, 11, 12]
    assert await call.flush(tag="all") is True
    assert await call.exec("work", id="k1", ttl=60) == 13
    assert await call.exec("work", id="k0", ttl=60) == 9, "it was asked for anew, and without its tags"


async def test_an_answer_whose_run_began_before_its_group_was_flushed_is_not_kept(
    open_call: OpenCall, work: Work, eventually: Eventually
) -> None:
    call = await open_call()
    await call.connect("work", work)
    kept = {"id": "k", "ttl": 60, "tags": ["group"]}
    work.free.clear()
    before = asyncio.create_task(call.exec("work", **kept))
    await eventually(lambda: work.runs == 1)
    await call.flush(tag="group")
    after = asyncio.create_task(call.exec("work", **kept))
    await eventually(lambda: work.runs == 2)
    work.free.set()
    assert [await before, await after] == [1, 2]
    assert await call.exec("work", **kept) == 2


async def test_a_large_group_is_flushed_whole(open_call: OpenCall, monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("meshdata.store.calls.PAGE", 10)
    call = await open_call()
    await call.connect("work", work)
    ids = [f"k{n}" for n in range(55)]
    await asyncio.gather(*(call.exec("work", id=id, ttl="infinity", tags=["group"]) for id in ids))
    assert await call.flush(tag="group")
    assert min(await asyncio.gather(*(call.exec("work", id=id, ttl=60) for id in ids))) == 56


async def test_what_is_kept_of_tags_ends_with_their_answers(
    open_call: OpenCall, work: Work, keys: Keys, redis_client: redis.Redis
) -> None:
    call = await open_call()
    await call.connect("work", work)
    await call.exec("work", id="a", ttl=60, tags=["t"])
    await call.exec("work", id="b", ttl="infinity", tags=["for ever"])
    tags = {key.rpartition(":")[2]: redis_client.pttl(key) for key in keys() if ":tag:" in key}
    assert tags["t"] > 0 and tags["for ever"] == -1
    await call.flush("work", id="b")
    assert all(redis_client.pttl(key) > 0 for key in keys() if ":tag:" in key)


async def test_flush_names_an_answer_or_a_group(open_call: OpenCall) -> None:
    call = await open_call()
    for wrong in ({"topic": "a"}, {"id": "k"}, {}, {"topic": "a", "id": "k", "tag": "t"}, {"tag": ""}):
        with pytest.raises(InvalidOptions):
            await call.flush(**wrong)


# --- what happens meanwhile -------------------------------------------------------------------------------------------


async def test_an_answer_flushed_while_its_run_is_under_way_is_given_and_not_kept(
    open_call: OpenCall, work: Work, eventually: Eventually
) -> None:
    call = await open_call()
    await call.connect("work", work)
    work.free.clear()
    before = asyncio.create_task(call.exec("work", id="k", ttl=60))
    await eventually(lambda: work.runs == 1)
    assert await call.flush("work", id="k")
    after = asyncio.create_task(call.exec("work", id="k", ttl=60))
    await eventually(lambda: work.runs == 2)
    work.free.set()
    assert [await before, await after] == [1, 2]
    assert await call.exec("work", id="k", ttl=60) == 2


async def test_who_awaits_a_call_that_is_interrupted_is_told(
    open_call: OpenCall, work: Work, eventually: Eventually
) -> None:
    server, call = await open_call(), await open_call()
    await server.connect("work", work)
    assert await call.interrupt("work", id="k") is False
    work.free.clear()
    task = asyncio.create_task(call.exec("work", id="k", ttl=60))
    await eventually(lambda: work.runs == 1)
    assert await server.interrupt("work", id="k", reason="enough") is True
    assert await server.interrupt("work", id="k") is False
    with pytest.raises(JobInterrupted) as ended:
        await task
    assert (ended.value.reason, ended.value.code) == ("enough", 410)
    work.free.set()
    assert await call.exec("work", id="k", ttl=60) == 2


async def test_a_function_whose_call_is_interrupted_is_cancelled_and_not_run_again(
    open_call: OpenCall, eventually: Eventually, keys: Keys
) -> None:
    server, call = await open_call(concurrency=1), await open_call()
    told: list[str] = []

    async def endless() -> None:
        told.append("began")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    await server.connect("work", endless)
    await server.connect("free", lambda: "free")
    task = asyncio.create_task(call.exec("work", id="k", ttl=60))
    await eventually(lambda: told == ["began"])
    assert await call.interrupt("work", id="k")
    await eventually(lambda: told == ["began", "cancelled"])
    assert await call.exec("free") == "free", "its slot is free again"
    with pytest.raises(JobInterrupted):
        await task
    await server.mesh.close()
    assert not [key for key in keys() if ":q:work" in key], "its message was consumed"
    assert told == ["began", "cancelled"]


async def test_a_call_nobody_has_begun_is_interrupted_and_never_begun(
    open_call: OpenCall, eventually: Eventually, keys: Keys
) -> None:
    call = await open_call()
    task = asyncio.create_task(call.exec("work", args=[1], id="k", ttl=60))
    await eventually(lambda: [key for key in keys() if ":q:" in key])
    assert await call.interrupt("work", id="k")
    with pytest.raises(JobInterrupted):
        await task
    assert not [key for key in keys() if ":q:" in key]


async def test_who_gives_up_does_not_take_the_call_from_others(
    open_call: OpenCall, work: Work, eventually: Eventually, keys: Keys
) -> None:
    hasty, hastier, patient = [await open_call() for _ in range(3)]
    waits = asyncio.create_task(hasty.exec("work", id="k", ttl=60, timeout=0.2))
    await eventually(lambda: [key for key in keys() if ":q:" in key])
    stays = asyncio.create_task(patient.exec("work", id="k", ttl=60))
    with pytest.raises(NotConnected):
        await hastier.exec("work", id="k", ttl=60, timeout=0.05)
    with pytest.raises(NotConnected):
        await waits
    await (await open_call()).connect("work", work)
    assert await stays == 1


async def test_a_kept_call_nobody_serves_is_taken_back_by_the_last_who_waits(
    open_call: OpenCall, work: Work, keys: Keys
) -> None:
    call = await open_call()
    ends = await asyncio.gather(
        *(call.exec("work", id="k", ttl=60, timeout=0.05) for _ in range(3)), return_exceptions=True
    )
    assert [type(end) for end in ends] == [NotConnected] * 3
    assert not [key for key in keys() if ":q:" in key or ":e:" in key]
    await call.connect("work", work)
    assert await call.exec("work", id="k", ttl=60) == 1


async def test_a_run_whose_message_is_lost_is_begun_anew(
    open_call: OpenCall, work: Work, redis_client: redis.Redis, eventually: Eventually, keys: Keys
) -> None:
    call = await open_call(life_sign=0.5)
    lost = asyncio.create_task(call.exec("work", id="k", ttl=60))
    (stream,) = await eventually(lambda: [key for key in keys() if ":q:" in key])
    redis_client.delete(stream)  # as Redis may lose its last second
    await call.connect("work", work)
    assert await call.exec("work", id="k", ttl=60) == 1
    assert await lost == 1


async def test_one_who_missed_the_announcement_finds_the_answer(
    open_call: OpenCall, work: Work, redis_client: redis.Redis, eventually: Eventually
) -> None:
    server, call = await open_call(life_sign=1), await open_call(life_sign=1)
    await server.connect("work", work)
    work.free.clear()
    tasks = [asyncio.create_task(call.exec("work", id=f"k{n}", ttl=ttl)) for n, ttl in enumerate((60, None))]
    await eventually(lambda: work.runs == 2)
    (mine,) = [one for one in redis_client.client_list() if f"meshdata-{call.mesh.process}" == one["name"]]
    redis_client.client_kill_filter(_id=mine["id"])
    work.free.set()
    assert sorted(await asyncio.gather(*tasks)) == [1, 2]


async def test_a_kept_call_of_a_process_that_leaves_is_done_by_another(
    open_call: OpenCall, work: Work, eventually: Eventually
) -> None:
    first, call = await open_call(), await open_call()
    await first.connect("work", work)
    work.free.clear()
    task = asyncio.create_task(call.exec("work", id="k", ttl=60))
    await eventually(lambda: work.runs == 1)
    await (await open_call()).connect("work", lambda: "done")
    joined = asyncio.create_task(call.exec("work", id="k", ttl=60))
    await first.mesh.close(drain=0)
    assert await asyncio.gather(task, joined) == ["done", "done"]
