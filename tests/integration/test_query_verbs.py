"""Verbs on what a query finds: each record once, each with its outcome, whatever the verb does to the query."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from meshdata import MeshData, workflow
from meshdata.errors import InvalidOptions, JobCancelled, JobInterrupted, QueryInvalid, ScriptFailed, UsageError
from meshdata.search import Find, Numeric, Record, Tag, match_all, schema_of
from tests.integration.conftest import Eventually


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    age: Annotated[int, Numeric(sortable=True)] = 0


COUNT = 30
PRO = User.plan == "pro"


@pytest.fixture
async def users(mesh: MeshData) -> Any:
    """Thirty records without jobs, ten of them pro."""
    await mesh.create_index(User)
    for n in range(COUNT):
        await mesh.set("user", f"u{n}", {"id": f"u{n}", "plan": "pro" if n % 3 == 0 else "free", "age": n})
    yield mesh
    await mesh.find(User).where(match_all()).flush()


IDS = {f"u{n}" for n in range(0, COUNT, 3)}


async def test_set_changes_each_record_found_once_though_it_leaves_the_query(users: MeshData) -> None:
    report = await users.find(User).where(PRO).set({"plan": "gone"})
    assert set(report.done) == IDS and len(report.done) == 10
    assert report and not report.skipped and not report.failed
    assert str(report) == "set: 10 done, 0 skipped, 0 failed"
    assert await users.find(User).where(PRO).count() == 0
    assert await users.find(User).where(User.plan == "gone").count() == 10


async def test_more_records_than_one_reading_takes(users: MeshData) -> None:
    await asyncio.gather(*(users.set("user", f"x{n}", {"id": f"x{n}", "plan": "many"}) for n in range(1_200)))
    report = await users.find(User).where(User.plan == "many").flush()
    assert sorted(report.done) == sorted(f"x{n}" for n in range(1_200))
    assert await users.find(User).count() == COUNT


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(users: MeshData) -> None:
    query = users.find(User).where(PRO)
    for report in [
        await query.flush(dry_run=True),
        await query.set({"plan": "x"}, dry_run=True),
        await query.signal("k", dry_run=True),
        await query.interrupt(dry_run=True),
        await query.cancel(dry_run=True),
        await query.hook("user.bill", dry_run=True),
    ]:
        assert report.dry_run and set(report.done) == IDS
        assert "would be done" in str(report)
    assert await query.count() == 10


async def test_limit_and_order_choose_whom(users: MeshData) -> None:
    report = await users.find(User).where(PRO).sort(-User.age).limit(2).flush()
    assert set(report.done) == {"u27", "u24"}


async def test_progress_is_told_after_each(users: MeshData) -> None:
    seen: list[tuple[int, int]] = []
    await users.find(User).where(PRO).set({"age": 1}, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 10) for n in range(1, 11)]


async def test_no_more_a_second_than_asked_for(users: MeshData) -> None:
    """Each begins its part of a second after the one before; how much later than that is the machine's affair."""
    now = asyncio.get_running_loop().time
    times = [now()]
    await users.find(User).where(PRO).set({"age": 1}, rate=50, progress=lambda done, total: times.append(now()))
    assert len(times) == 11 and times[-1] - times[0] > 8 / 50


async def test_an_empty_filter_is_refused(users: MeshData) -> None:
    with pytest.raises(QueryInvalid, match="match_all"):
        await users.find(User).flush()
    assert await users.find(User).count() == COUNT
    assert len(await users.find("user").where(match_all()).flush(dry_run=True)) == COUNT


async def test_bad_arguments_are_refused_before_anything_is_done(users: MeshData) -> None:
    query = users.find(User).where(PRO)
    for rate in (0, -1, True, "5"):
        with pytest.raises(InvalidOptions, match="rate"):
            await query.flush(rate=rate)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptions, match="key"):
        await query.signal(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptions, match="payload"):
        await query.signal("k", object())
    with pytest.raises(InvalidOptions, match="fields"):
        await query.set({})
    with pytest.raises(InvalidOptions, match="age"):
        await query.set({"age": "word"})
    with pytest.raises(InvalidOptions, match="no such field"):
        await query.set({"agee": 1})
    with pytest.raises(UsageError, match="only be asked"):
        await Find(users._store, "user", schema_of(User)).where(PRO).flush()
    assert await query.count() == 10


async def test_what_fails_is_reported_with_its_error_and_the_rest_is_done(users: MeshData) -> None:
    spoiled: list[str] = []

    def spoil(done: int, total: int) -> None:
        if done == 1:
            spoiled.extend(f"u{n}" for n in (24, 27))
            for id in spoiled:
                users._store.lane(0).call("SET", users._store.keys.record(f"user:{id}"), "no hash")

    report = await users.find(User).where(PRO).sort(User.age).set({"age": 1}, rate=100, progress=spoil)
    assert set(report.done) == IDS - set(spoiled) and not report
    assert sorted(report.failed) == spoiled and isinstance(report.failed["u24"], ScriptFailed)
    for id in spoiled:
        await users.flush("user", id)


async def test_errors_of_the_callers_own_functions_are_told(users: MeshData) -> None:
    query = users.find(User).where(PRO)
    report = await query.signal(lambda id: {"u0": "zero"}[id])
    assert (report.done, set(report.failed)) == (["u0"], IDS - {"u0"})
    assert isinstance(report.failed["u3"], KeyError)

    def broken(done: int, total: int) -> None:
        raise RuntimeError("no screen")

    with pytest.raises(RuntimeError, match="no screen"):
        await query.set({"age": 1}, progress=broken)


async def test_what_went_away_meanwhile_is_skipped(users: MeshData) -> None:
    def remove(done: int, total: int) -> None:
        if done == 1:
            for n in range(0, COUNT, 3):
                users._store.lane(0).call("DEL", users._store.keys.record(f"user:u{n}"))

    report = await users.find(User).where(PRO).set({"age": 1}, rate=100, progress=remove)
    assert len(report.done) == 1 and set(report.skipped.values()) == {"it is gone"}
    assert len(report) == 10 and report


async def test_signals_hooks_and_interrupts_reach_the_jobs(users: MeshData, eventually: Eventually) -> None:
    async def order(plan: str) -> str:
        await workflow.state.set(plan=plan)
        told: str = await workflow.wait_for(f"approve:{workflow.info().id}")
        return told

    async def bill(amount: int) -> None:
        await workflow.state.set(age=amount)

    await users.connect("user", order, model=User)
    await users.connect("user.bill", bill)
    handles = {
        id: await users.exec(entity="user", args=["job"], id=id, ttl="1 hour", wait=False)
        for id in ("j0", "j1", "j2", "j3")
    }
    query = users.find(User).where(User.plan == "job")
    await eventually(lambda: is_count(query, 4))

    report = await query.hook("user.bill", [7])
    assert set(report.done) == set(handles)
    await eventually(lambda: is_count(query.where(User.age == 7), 4))

    assert (await query.where(User.meta.id == "j0").interrupt(reason="enough")).done == ["j0"]
    with pytest.raises(JobInterrupted, match="enough"):
        await handles["j0"].result(timeout=5)

    assert (await query.where(User.meta.id == "j3").cancel("no need")).done == ["j3"]
    with pytest.raises(JobCancelled, match="no need"):
        await handles["j3"].result(timeout=5)

    report = await query.where(User.meta.status == "running").signal("approve:{id}", "yes")
    assert set(report.done) == {"j1", "j2"}
    assert [await handles[id].result(timeout=5) for id in ("j1", "j2")] == ["yes", "yes"]

    for report in (await query.interrupt(), await query.cancel()):
        assert set(report.skipped) == set(handles) and not report.done
    report = await query.signal(lambda id: f"other:{id[1:]}")
    assert len(report.done) == 4


async def is_count(query: Find[Any], count: int) -> bool:
    return await query.count() == count
