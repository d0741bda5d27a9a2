"""`meshdata.testing`: a mesh without a server, whose time stands still until it is moved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import InvalidOptions, JobFailed, JobNotFound, MeshTimeout, RecordNotFound, UsageError
from meshdata.testing import Clock, run_until_idle

pytest_plugins = ["pytester"]

START = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
async def held(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[MeshData]:
    """A mesh whose time stands still."""
    async with MeshData("fake://held", namespace="held", partitions=request.param, clock=clock) as mesh:
        yield mesh


async def test_a_sleep_ends_when_its_time_has_come_and_not_before(held: MeshData, clock: Clock) -> None:
    async def nap() -> str:
        await workflow.sleep_for("1 month")
        return workflow.now().isoformat()

    await held.connect("nap", nap)
    handle = await held.exec("nap", id="one", ttl="1 hour", wait=False)
    await clock.advance(timedelta(days=28) - timedelta(milliseconds=1))
    assert await handle.status() != "completed"
    await clock.advance(timedelta(milliseconds=1))
    assert await handle.result(timeout=30) == "2030-02-28T12:00:00+00:00"
    assert clock.now == datetime(2030, 2, 28, 12, tzinfo=UTC)


async def test_what_is_due_fires_in_order_and_each_at_its_own_time(held: MeshData, clock: Clock) -> None:
    seen: list[tuple[str, datetime]] = []

    async def nap(name: str, days: int) -> None:
        for _ in range(3):
            await workflow.sleep_for(timedelta(days=days))
            seen.append((name, clock.now))

    await held.connect("nap", nap)
    for name, days in (("two", 2), ("five", 5)):
        await held.exec("nap", [name, days], id=name, ttl="1 year", wait=False)
    await clock.advance("30 days")
    at = [(name, (when - START).days) for name, when in seen]
    assert at == [("two", 2), ("two", 4), ("five", 5), ("two", 6), ("five", 10), ("five", 15)]


async def test_the_pauses_between_attempts_are_the_clocks(held: MeshData, clock: Clock) -> None:
    runs: list[datetime] = []

    @activity(retry=RetryPolicy(max_attempts=4, initial="1 hour", coefficient=3, max_interval="1 day"))
    async def flaky() -> int:
        runs.append(clock.now)
        if len(runs) < 4:
            raise ValueError("not yet")
        return len(runs)

    async def work() -> Any:
        return await flaky()

    await held.connect("work", work)
    assert await clock.run(held.exec("work")) == 4
    assert [(when - START) // timedelta(hours=1) for when in runs] == [0, 1, 4, 13]


async def test_time_limits_are_the_clocks(held: MeshData, clock: Clock) -> None:
    @activity(timeout="10 minutes")
    async def slow(minutes: int) -> int:
        await asyncio.sleep(minutes * 60)
        return minutes

    async def work() -> list[Any]:
        found: list[Any] = [await slow(9)]
        try:
            await slow(11)
        except Exception as error:
            found.append(type(error).__name__)
        try:
            async with workflow.timeout("1 day"):
                await workflow.wait_for("never")
        except TimeoutError:
            found.append("late")
        return [*found, await workflow.condition("never", timeout="1 week")]

    await held.connect("work", work)
    assert await clock.run(held.exec("work")) == [9, "ActivityFailed", "late", False]
    assert clock.now - START == timedelta(minutes=19) + timedelta(days=8)


async def test_a_failed_function_is_run_again_when_its_pause_is_over(held: MeshData, clock: Clock) -> None:
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("no")
        return runs

    await held.connect("work", work, retry=RetryPolicy(max_attempts=3, initial="1 day", max_interval="1 day"))
    handle = await held.exec("work", id="one", ttl="1 hour", wait=False)
    await run_until_idle(held)
    assert runs == 1
    await clock.advance("1 day")
    assert runs == 2
    await clock.advance("1 day")
    assert await handle.result(timeout=30) == 3


async def test_results_records_and_hooks_expire_by_the_clock(held: MeshData, clock: Clock) -> None:
    async def greet(name: str) -> str:
        await workflow.state.set(name=name)
        return name

    async def wave() -> str:
        return "waved"

    user = await held.connect("user", greet)
    await user.hook("wave")(wave)
    await held.exec("user", ["Ada"], id="ada", ttl="15 minutes")
    await clock.advance("14 minutes")
    assert await held.all("user", "ada") == {"name": "Ada"}
    hook = await held.hook("user", "ada", "user.wave")
    assert await clock.run(hook.result()) == "waved"
    await clock.advance("61 seconds")
    with pytest.raises(JobNotFound):
        await held.info("user", "ada")
    with pytest.raises(RecordNotFound):
        await held.all("user", "ada")
    assert await held.exec("user", ["Bea"], id="ada", ttl="1 minute") == "Bea"  # nothing is left of the first


async def test_nothing_waits_a_week_for_a_signal_that_was_kept(held: MeshData, clock: Clock) -> None:
    async def wait() -> Any:
        return await workflow.condition("news", timeout="1 hour")

    await held.connect("wait", wait)
    assert await held.signal("news", "old") is False
    await clock.advance("6 days")
    assert await clock.run(held.exec("wait")) == "old"
    assert await held.signal("news", "old") is False
    await clock.advance("8 days")
    assert await clock.run(held.exec("wait")) is False


async def test_idle_means_that_threads_are_done_too(held: MeshData, clock: Clock) -> None:
    gate = threading.Event()

    @activity
    def in_a_thread() -> str:
        assert gate.wait(10)
        return "done"

    async def work() -> Any:
        return [await in_a_thread(), await asyncio.to_thread(gate.is_set)]

    await held.connect("work", work)
    handle = await held.exec("work", id="one", ttl="1 minute", wait=False)
    threading.Timer(0.05, gate.set).start()
    await run_until_idle(held)
    assert await handle.status() == "completed"
    assert await handle.result() == ["done", True]


async def test_the_tests_own_time_is_real(held: MeshData, clock: Clock) -> None:
    async def nap() -> None:
        await workflow.sleep_for("1 day")

    await held.connect("nap", nap)
    handle = await held.exec("nap", id="one", wait=False)
    with pytest.raises(MeshTimeout):
        await handle.result(timeout="20 ms")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await handle.result()
    loop_time = asyncio.get_running_loop().time()
    await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() > loop_time
    assert clock.now == START


async def test_several_meshes_go_by_one_clock(clock: Clock) -> None:
    seen: set[str] = set()

    async def nap(mesh: str) -> None: ...

    async with (
        MeshData("fake://shared", namespace="n", clock=clock) as client,
        MeshData("fake://shared", namespace="n", clock=clock, concurrency=1) as one,
        MeshData("fake://shared", namespace="n", clock=clock, concurrency=1) as two,
    ):
        for name, mesh in (("one", one), ("two", two)):

            async def nap_here(where: str = name) -> str:
                await workflow.sleep_for("1 week")
                seen.add(where)
                return where

            await mesh.connect("nap", nap_here)
        handles = [await client.exec("nap", id=str(n), ttl="1 day", wait=False) for n in range(20)]
        await clock.advance("1 week")
        assert {await handle.result(timeout=30) for handle in handles} == seen
    assert "time" not in vars(asyncio.get_running_loop())


async def test_a_run_that_lingers_longer_than_it_may_is_replayed(clock: Clock) -> None:
    bodies = 0

    async def nap() -> int:
        nonlocal bodies
        bodies += 1
        await workflow.sleep_for("1 hour")
        await workflow.sleep_for("1 hour")
        return bodies

    async with MeshData("fake://linger", namespace="n", clock=clock, linger="1 minute") as mesh:
        await mesh.connect("nap", nap)
        assert await clock.run(mesh.exec("nap")) == 3


async def test_what_is_connected_later_is_served_without_time(held: MeshData, clock: Clock) -> None:
    async def echo(text: str) -> str:
        return text

    for name in ("one", "two", "three"):
        await held.connect(name, echo)
        assert await held.exec(name, [name], timeout=10) == name
    await run_until_idle(held)
    for name in ("four", "five"):
        await held.connect(name, echo)
    for name in ("five", "four"):
        assert await held.exec(name, [name], timeout=10) == name
    assert clock.now == START


async def test_moving_back_and_times_without_a_zone_are_refused(held: MeshData, clock: Clock) -> None:
    with pytest.raises(InvalidOptions, match="has passed"):
        await clock.advance_to(START - timedelta(seconds=1))
    with pytest.raises(InvalidOptions, match="time zone"):
        await clock.advance_to(datetime(2031, 1, 1))
    with pytest.raises(InvalidOptions, match="time zone"):
        Clock(datetime(2031, 1, 1))
    await clock.advance_to(START + timedelta(seconds=1))
    assert clock() == int(START.timestamp() * 1000) + 1000


async def test_what_never_ends_by_time_is_told_to_whoever_runs_it(held: MeshData, clock: Clock) -> None:
    async def wait() -> Any:
        return await workflow.wait_for("news")

    await held.connect("wait", wait)
    with pytest.raises(MeshTimeout, match="waits for input"):
        await clock.run(held.exec("wait", id="one", ttl="1 hour"))
    await held.signal("news", "good")
    assert await clock.run(held.exec("wait", id="one")) == "good"


async def test_a_failure_comes_as_it_is(held: MeshData, clock: Clock) -> None:
    async def fail() -> None:
        await workflow.sleep_for("1 day")
        raise KeyError("gone")

    await held.connect("fail", fail)
    with pytest.raises(JobFailed, match="gone"):
        await clock.run(held.exec("fail"))


async def test_a_mesh_with_real_time_is_never_idle(mesh: MeshData) -> None:
    with pytest.raises(UsageError, match="Clock"):
        await run_until_idle(mesh)


# --- the plugin -------------------------------------------------------------------------------------------------------


USERS_TEST = """
import pytest
from meshdata import workflow

pytestmark = pytest.mark.asyncio
names = set()


async def nap(days):
    await workflow.sleep_for(f"{days} days")
    return days


async def test_time(mesh, mesh_clock, mesh_run):
    names.add(mesh.namespace)
    await mesh.connect("nap", nap)
    handle = await mesh.exec(entity="nap", args=[40], id="one", ttl="1 hour", wait=False)
    await mesh_run()
    assert await handle.status() != "completed"
    before = mesh_clock.now
    await mesh_clock.advance("2 months")
    assert (mesh_clock.now - before).days in (59, 60, 61, 62)


async def test_no_clock(mesh):
    names.add(mesh.namespace)
    await mesh.connect("nap", nap)
    assert await mesh.exec(entity="nap", args=[0], id="one") == 0


async def test_namespaces_are_private():
    assert len(names) == 2


async def test_parked(mesh, mesh_run):
    calls = []

    async def unsteady():
        calls.append(1)
        if len(calls) == 1:
            await workflow.once(int)
            await workflow.wait_for("news")
        else:
            await workflow.sleep_for(1)

    await mesh.connect("unsteady", unsteady)
    await mesh.exec("unsteady", id="one", wait=False)
    await mesh_run()
    for run in list(mesh._host.runs.values()):
        await mesh._host.suspend(run)
    await mesh.signal("news")
    await mesh_run()
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def run_pytest(pytester: pytest.Pytester) -> pytest.RunResult:
    installed = any(found.name == "meshdata" for found in entry_points(group="pytest11"))
    plugins = [] if installed else ["-p", "meshdata.testing.plugin"]
    return pytester.runpytest_subprocess(*plugins, "-p", "no:randomly", "-p", "no:cacheprovider", "-q")


def test_the_fixtures_serve_a_users_test_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n")
    pytester.makepyfile(USERS_TEST)
    ran = run_pytest(pytester)
    ran.assert_outcomes(passed=4, errors=1)
    ran.stdout.fnmatch_lines(["*runs were parked*unsteady:one*"])


def test_a_users_own_fixture_of_the_name_wins(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef mesh(): return 'mine'\n")
    pytester.makepyfile("def test(mesh): assert mesh == 'mine'\n")
    run_pytest(pytester).assert_outcomes(passed=1)
