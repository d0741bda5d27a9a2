"""Attempts of activities: how often, at what pace, within what time, and what one tells the next."""

import asyncio
import threading
from importlib import import_module
from typing import Any

import pytest

from meshdata import MeshData, RetryAfter, RetryPolicy, workflow
from meshdata.errors import (
    ActivityFailed,
    ChildFailed,
    Fatal,
    FatalFailure,
    InvalidOptions,
    JobFailed,
    RetriesExhausted,
    TimedOut,
)
from meshdata.workflow import activity
from meshdata.workflow.activity import activity_topic
from tests.handover import count_steps, hand_over, journal_of, positions, until_resident
from tests.integration.conftest import Eventually, OpenMesh

AT_ONCE = RetryPolicy(max_attempts=3, initial="1 ms")
activities = import_module("meshdata.workflow.activity")  # the package calls its decorator so
FOR_EVER = RetryPolicy(max_attempts=None, initial="1 ms", coefficient=1)
QUEUES = pytest.mark.parametrize("queue", [None, "away"], ids=["inline", "queued"])


@pytest.fixture
async def two(open_mesh: OpenMesh) -> list[MeshData]:
    """Two meshes that serve the same functions."""
    return [await open_mesh(name="one"), await open_mesh(name="two")]


async def serve(mesh: MeshData, fn: Any, *activities: Any) -> None:
    await mesh.connect("wf", fn)
    queued = [one for one in activities if one.queue is not None]
    if queued:
        await mesh.serve_activities("away", *queued)


# --- pauses and ends --------------------------------------------------------------------------------------------------


@QUEUES
async def test_a_function_says_itself_when_it_wants_to_be_tried_again(mesh: MeshData, queue: str | None) -> None:
    attempts: list[int] = []

    @activity(retry=RetryPolicy(max_attempts=5, initial="1 hour"), queue=queue)
    async def busy() -> str:
        attempts.append(activity.info().attempt)
        if len(attempts) < 3:
            raise RetryAfter("5 ms", "come back later")
        return "done"

    async def wf() -> str:
        return await busy()

    await serve(mesh, wf, busy)
    assert await mesh.exec(entity="wf", timeout=20) == "done"
    assert attempts == [1, 2, 3]


async def test_without_a_policy_a_function_that_asks_again_is_tried_as_often_as_the_default_says(
    mesh: MeshData,
) -> None:
    @activity
    async def busy() -> None:
        raise RetryAfter("1 ms", "not yet")

    async def wf() -> list[Any]:
        with pytest.raises(RetriesExhausted) as caught:
            await busy()
        return [caught.value.type, caught.value.message, caught.value.attempts]

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == ["RetryAfter", "not yet", 3]


async def test_a_workflow_function_says_itself_when_it_wants_to_be_tried_again(mesh: MeshData) -> None:
    runs = 0

    async def wf() -> int:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise RetryAfter("1 ms")
        return workflow.info().attempt

    await mesh.connect("wf", wf, retry=RetryPolicy(max_attempts=3, initial="1 hour"))
    assert await mesh.exec(entity="wf", timeout=20) == 3


@QUEUES
async def test_attempts_used_up_are_raised_with_their_number_and_the_last_cause(
    mesh: MeshData, queue: str | None
) -> None:
    @activity(retry=AT_ONCE, queue=queue)
    async def fails() -> None:
        raise ValueError(f"attempt {activity.info().attempt}")

    async def wf() -> list[Any]:
        with pytest.raises(RetriesExhausted) as caught:
            await fails()
        error = caught.value
        assert isinstance(error, ActivityFailed)
        cause = error.__cause__
        assert isinstance(cause, ActivityFailed)
        return [error.type, error.message, error.attempts, error.code, cause.type, cause.message, cause.code]

    await serve(mesh, wf, fails)
    assert await mesh.exec(entity="wf", timeout=20) == [
        "ValueError", "attempt 3", 3, 597, "ValueError", "attempt 3", 500,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (Fatal("no"), FatalFailure, 598),
        (RetriesExhausted("no"), RetriesExhausted, 597),
        (TimedOut("no"), TimedOut, 596),
    ],
)
async def test_what_ends_at_once_is_typed_at_every_caller(
    mesh: MeshData, error: Exception, kind: type[JobFailed], code: int
) -> None:
    runs = {"act": 0, "child": 0, "wf": 0}

    @activity(retry=AT_ONCE)
    async def act() -> None:
        runs["act"] += 1
        raise error

    async def child() -> None:
        runs["child"] += 1
        with pytest.raises(kind) as caught:
            await act()
        assert isinstance(caught.value, ActivityFailed)
        raise caught.value

    async def wf() -> None:
        runs["wf"] += 1
        with pytest.raises(kind) as caught:
            await workflow.exec_child("child", id="c")
        assert isinstance(caught.value, ChildFailed)
        raise caught.value

    await mesh.connect("child", child, retry=AT_ONCE)
    await mesh.connect("wf", wf, retry=AT_ONCE)
    with pytest.raises(kind) as caught:
        await mesh.exec(entity="wf", timeout=20)
    assert caught.value.code == code
    assert runs == {"act": 1, "child": 1, "wf": 1}
    assert isinstance(caught.value, Fatal) is (kind is FatalFailure)
    assert isinstance(caught.value, TimeoutError) is (kind is TimedOut)


async def test_a_function_past_its_attempts_is_typed_at_its_caller(mesh: MeshData) -> None:
    async def wf() -> None:
        raise ValueError("no")

    await mesh.connect("wf", wf, retry=AT_ONCE)
    with pytest.raises(RetriesExhausted) as caught:
        await mesh.exec(entity="wf", timeout=20)
    assert (caught.value.type, caught.value.message, caught.value.attempts) == ("ValueError", "no", 3)
    assert isinstance(caught.value.__cause__, JobFailed)


@QUEUES
async def test_a_failure_may_be_asked_for_as_a_value(mesh: MeshData, queue: str | None) -> None:
    quiet = RetryPolicy(max_attempts=1, throw_on_error=False)

    @activity(retry=quiet, queue=queue)
    async def fails() -> None:
        raise ValueError("no")

    async def child() -> None:
        raise KeyError("k")

    async def wf() -> list[Any]:
        found = [await fails(), await workflow.exec_child("child", retry=quiet)]
        assert all("Traceback" in one["stack"] for one in found)
        return [[one["type"], one["message"], one["attempts"]] for one in found]

    await mesh.connect("child", child)
    await serve(mesh, wf, fails)
    assert await mesh.exec(entity="wf", timeout=20) == [["ValueError", "no", 1], ["KeyError", "'k'", 1]]


# --- deadlines --------------------------------------------------------------------------------------------------------


@QUEUES
async def test_a_deadline_ends_the_attempts_together(mesh: MeshData, queue: str | None) -> None:
    @activity(retry=FOR_EVER, deadline="150 ms", queue=queue)
    async def fails() -> None:
        raise ValueError("again")

    async def wf() -> int:
        with pytest.raises(TimedOut) as caught:
            await fails()
        assert isinstance(caught.value, ActivityFailed)
        return caught.value.code

    await serve(mesh, wf, fails)
    assert await mesh.exec(entity="wf", timeout=20) == 596


async def test_a_deadline_ends_an_attempt_that_hangs(mesh: MeshData) -> None:
    @activity(deadline="50 ms")
    async def hangs() -> None:
        await asyncio.Event().wait()

    async def wf() -> str:
        with pytest.raises(TimedOut) as caught:
            await hangs()
        return caught.value.type

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == "TimedOut"


async def test_a_deadline_comes_though_nobody_serves_the_queue_and_who_does_later_leaves_it_be(
    mesh: MeshData, eventually: Eventually
) -> None:
    ran: list[str] = []

    @activity(deadline="50 ms", queue="away")
    async def act(name: str) -> str:
        ran.append(name)
        return name

    async def wf(name: str) -> str:
        try:
            return await act(name)
        except TimedOut as error:
            return error.type

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", args=["first"], timeout=20) == "TimedOut"
    await mesh.serve_activities("away", act)

    async def is_served() -> bool:
        return bool(await mesh.exec(entity="wf", args=["next"], timeout=20) == "next")

    await eventually(is_served)
    assert "first" not in ran


async def test_an_activity_that_lay_in_its_queue_is_not_run_for_a_job_that_is_over(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    ran: list[str] = []

    @activity(queue="away")
    async def act(name: str) -> str:
        ran.append(name)
        return name

    async def wf(name: str) -> str:
        return await act(name)

    monkeypatch.setattr(activities, "LONG_QUEUED_MS", 0)
    await mesh.connect("wf", wf)
    await mesh.exec(entity="wf", args=["over"], id="w", ttl="1 minute", wait=False)
    queue = mesh.store.keys.work(mesh.store.keys.partition("wf:w"), activity_topic("away", "act"))
    await eventually(lambda: mesh.store.command(mesh.store.keys.partition("wf:w"), "XLEN", queue))
    await mesh.interrupt("wf", "w")
    await mesh.serve_activities("away", act)
    assert await mesh.exec(entity="wf", args=["next"], timeout=20) == "next"

    async def is_consumed() -> bool:
        return not await mesh.store.command(mesh.store.keys.partition("wf:w"), "XLEN", queue)

    await eventually(is_consumed)
    assert ran == ["next"]


async def test_an_activity_that_is_read_at_once_is_run_without_asking_first(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(run: str, position: str) -> bool:
        raise AssertionError("it was asked whether the outcome is awaited")

    @activity(queue="away")
    async def act() -> int:
        return 1

    async def wf() -> int:
        return await act()

    monkeypatch.setattr(activities, "LONG_QUEUED_MS", 60_000)
    monkeypatch.setattr(mesh.store, "is_awaited", asked)
    await serve(mesh, wf, act)
    assert await mesh.exec(entity="wf", timeout=20) == 1


async def test_a_pause_that_would_go_past_the_deadline_is_not_waited_for(mesh: MeshData) -> None:
    @activity(retry=RetryPolicy(max_attempts=None, initial="1 hour", max_interval="1 hour"), deadline="30 minutes")
    async def fails() -> None:
        raise ValueError("the cause")

    async def wf() -> list[Any]:
        with pytest.raises(TimedOut) as caught:
            await fails()
        cause = caught.value.__cause__
        assert isinstance(cause, ActivityFailed)
        return [cause.type, cause.message]

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == ["ValueError", "the cause"]


@QUEUES
async def test_what_ends_before_its_deadline_leaves_no_timer(
    mesh: MeshData, queue: str | None, eventually: Eventually
) -> None:
    attempts = 0

    @activity(retry=AT_ONCE, deadline="1 hour", queue=queue)
    async def act() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ValueError
        return "in time"

    async def wf() -> str:
        return await act()

    await serve(mesh, wf, act)
    assert await mesh.exec(entity="wf", timeout=20) == "in time"  # the fixture looks for keys left behind


async def test_a_deadline_goes_on_counting_when_another_takes_over(two: list[MeshData], eventually: Eventually) -> None:
    began: list[int] = []

    @activity(deadline="400 ms")
    async def hangs() -> None:
        began.append(1)
        await asyncio.Event().wait()

    async def wf() -> int:
        with pytest.raises(TimedOut) as caught:
            await hangs()
        return caught.value.code

    for mesh in two:
        await mesh.connect("wf", wf)
    handle = await two[0].exec(entity="wf", id="w", wait=False)
    holder, run = await until_resident(two, "wf:w")
    await eventually(lambda: run.journal.consumed > 1)  # the beginning is written
    first = run.calls["0:1"].first_ms
    await hand_over(holder, run)
    _, run = await until_resident(two, "wf:w")
    await eventually(lambda: len(began) == 2 or run.over)
    if not run.over:
        assert run.calls["0:1"].first_ms == first
    assert await handle.result(timeout=10) == 596
    assert first is not None


async def test_an_activity_given_up_leaves_its_beginning_in_the_journal_and_replays(two: list[MeshData]) -> None:
    @activity(deadline="1 hour")
    async def hangs() -> None:
        await asyncio.Event().wait()

    async def wf() -> list[str]:
        took = []
        for _ in range(3):
            try:
                async with workflow.timeout("5 ms"):
                    await hangs()
            except TimeoutError:
                took.append("gave up")
        await workflow.wait_for("go")
        return took

    for mesh in two:
        await mesh.connect("wf", wf)
    handle = await two[0].exec(entity="wf", id="w", wait=False, ttl="1 minute")
    for _ in range(3):
        holder, run = await until_resident(two, "wf:w")
        await hand_over(holder, run)
    await two[0].signal("go")
    assert await handle.result(timeout=10) == ["gave up"] * 3
    await two[0].flush("wf", "w")


# --- heartbeats -------------------------------------------------------------------------------------------------------


@QUEUES
@pytest.mark.parametrize("in_thread", [False, True], ids=["coroutine", "thread"])
async def test_the_next_attempt_finds_what_the_last_told(mesh: MeshData, queue: str | None, in_thread: bool) -> None:
    seen: list[Any] = []

    def step() -> str:
        about = activity.info()
        seen.append(about.details)
        if about.attempt < 3:
            for part in range(50):
                about.heartbeat({"attempt": about.attempt, "part": part})
            raise ValueError("half way")
        return "done"

    async def on_the_loop() -> str:
        return step()

    act: Any = activity(retry=AT_ONCE, queue=queue, heartbeat="30 s", name="act")(step if in_thread else on_the_loop)

    async def wf() -> str:
        result: str = await act()
        return result

    await serve(mesh, wf, act)
    assert await mesh.exec(entity="wf", timeout=20) == "done"
    assert seen == [None, {"attempt": 1, "part": 49}, {"attempt": 2, "part": 49}]


@QUEUES
async def test_silence_fails_an_attempt_and_heartbeats_keep_it(mesh: MeshData, queue: str | None) -> None:
    attempts: list[int] = []

    @activity(retry=AT_ONCE, queue=queue, heartbeat="100 ms")
    async def act() -> str:
        about = activity.info()
        attempts.append(about.attempt)
        if about.attempt == 1:
            await asyncio.Event().wait()
        for _ in range(20):
            about.heartbeat()
            await asyncio.sleep(0.01)
        return "alive"

    async def wf() -> str:
        return await act()

    await serve(mesh, wf, act)
    assert await mesh.exec(entity="wf", timeout=20) == "alive"
    assert attempts == [1, 2]


async def test_a_silent_attempt_says_what_it_failed_of(mesh: MeshData) -> None:
    @activity(heartbeat="20 ms")
    async def act() -> None:
        await asyncio.Event().wait()

    async def wf() -> str:
        with pytest.raises(ActivityFailed) as caught:
            await act()
        return f"{caught.value.type}: {caught.value.message}"

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == "MeshTimeout: activity act gave no heartbeat for 0.02 s"


async def test_a_thread_nobody_waits_for_hears_of_it_at_its_next_heartbeat(
    mesh: MeshData, eventually: Eventually
) -> None:
    go, heard = threading.Event(), threading.Event()

    @activity(timeout="20 ms")
    def act() -> None:
        about = activity.info()
        go.wait(10)
        try:
            about.heartbeat("too late")
        except asyncio.CancelledError:
            heard.set()
            raise

    async def wf() -> str:
        with pytest.raises(ActivityFailed):
            await act()
        return "gave up"

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == "gave up"
    go.set()
    await eventually(heard.is_set)


async def test_heartbeats_survive_a_take_over(two: list[MeshData], eventually: Eventually) -> None:
    seen: list[Any] = []

    @activity
    async def act() -> Any:
        about = activity.info()
        seen.append(about.details)
        if about.details is None:
            about.heartbeat(["page", 7])
            await asyncio.Event().wait()
        return about.details

    async def wf() -> Any:
        return await act()

    for mesh in two:
        await mesh.connect("wf", wf)
    handle = await two[0].exec(entity="wf", id="w", wait=False)
    holder, run = await until_resident(two, "wf:w")
    await eventually(lambda: run.seq > 0 and not run._writing)
    await hand_over(holder, run)
    assert await handle.result(timeout=10) == ["page", 7]
    assert seen == [None, ["page", 7]]


async def test_heartbeats_cost_one_command_however_many_they_are(
    mesh: MeshData, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(mesh, monkeypatch)

    @activity
    async def act() -> int:
        for n in range(10_000):
            activity.info().heartbeat(n)
        return 1

    async def wf() -> int:
        return await act()

    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", id="w", wait=False, ttl="1 minute")
    assert await handle.result(timeout=20) == 1
    assert positions(await journal_of(mesh, "wf:w"))[1:] == ["0:1 ok"]
    header = await mesh.store.header("0 wf:w")
    assert 1 <= len(steps) <= 2
    assert not [name for name in header if name.startswith("b:")]
    await mesh.flush("wf", "w")


async def test_an_activity_on_another_worker_whose_job_is_gone_is_ended(mesh: MeshData, eventually: Eventually) -> None:
    ended: list[str] = []

    @activity(queue="away", heartbeat="30 s")
    async def act() -> None:
        try:
            for n in range(10_000):
                activity.info().heartbeat(n)
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def wf() -> None:
        await act()

    await serve(mesh, wf, act)
    handle = await mesh.exec(entity="wf", id="w", wait=False)
    await eventually(lambda: mesh._host._at_work)
    await mesh.interrupt("wf", "w")
    await eventually(lambda: ended, within=15)
    await eventually(lambda: not mesh._host._at_work)
    with pytest.raises(Exception, match="interrupted"):
        await handle.result(timeout=5)


async def test_details_that_are_no_json_are_refused_where_they_are_told(mesh: MeshData) -> None:
    @activity
    async def act() -> str:
        with pytest.raises(InvalidOptions) as caught:
            activity.info().heartbeat(object())
        return caught.value.argument

    async def wf() -> str:
        return await act()

    await mesh.connect("wf", wf)
    assert (await mesh.exec(entity="wf", timeout=20)).startswith("details")


@pytest.mark.parametrize("option", ["timeout", "deadline", "heartbeat"])
def test_a_time_that_is_none_is_refused(option: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        activity(**{option: "soon"})(lambda: None)  # type: ignore[call-overload,arg-type]
    assert caught.value.argument == option
