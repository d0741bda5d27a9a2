"""The verbs of a workflow function, one by one and mixed, with one partition and with four."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pydantic
import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.engine.policy import RetryPolicy as Policy
from meshdata.errors import (
    ActivityFailed,
    ChildFailed,
    Fatal,
    InvalidOptions,
    JobError,
    JobExists,
    JobFailed,
    JobInterrupted,
    JobNotFound,
    MeshTimeout,
    NotInWorkflow,
    RetriesExhausted,
)
from meshdata.workflow import activity
from tests.handover import until_resident
from tests.integration.conftest import Eventually, OpenMesh

AT_ONCE = RetryPolicy(max_attempts=3, initial="1 ms")


class Runs:
    """Counts the runs of an activity and fails as many of them as it is told."""

    def __init__(self, failures: int = 0, error: type[Exception] = ValueError) -> None:
        self.count = 0
        self.failures = failures
        self.error = error

    def run(self) -> int:
        self.count += 1
        if self.count <= self.failures:
            raise self.error(f"failure {self.count}")
        return self.count


@pytest.fixture
def execute(mesh: MeshData) -> Callable[..., Awaitable[Any]]:
    """Connect a function as a workflow and execute it."""
    count = 0

    async def connect_and_execute(fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        name = f"wf{count}"
        model = options.pop("model", None)
        await mesh.connect(name, fn, model=model)
        return await mesh.exec(entity=name, args=list(args), timeout=20, **options)

    return connect_and_execute


Execute = Callable[..., Awaitable[Any]]


# --- activities -------------------------------------------------------------------------------------------------------


@activity
async def add(a: int, b: int) -> int:
    return a + b


@activity
def upper(text: str) -> str:
    return text.upper()


async def test_an_activity_is_recorded_and_gives_its_result(execute: Execute) -> None:
    async def wf() -> list[Any]:
        return [await add(1, 2), await add(a=3, b=4), await upper("x")]

    assert await execute(wf) == [3, 7, "X"]


async def test_outside_a_workflow_an_activity_is_a_plain_call() -> None:
    assert await add(1, 2) == 3
    assert upper("x") == "X"  # type: ignore[comparison-overlap]  # a plain function stays one


async def test_inside_an_activity_another_is_a_plain_call(execute: Execute) -> None:
    @activity
    async def outer(n: int) -> int:
        return await add(n, 1)

    async def wf() -> int:
        return await outer(1)

    assert await execute(wf) == 2


async def test_a_decorated_method_is_an_activity(execute: Execute) -> None:
    class Shop:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @activity
        async def price(self, amount: int) -> int:
            return amount * self.factor

    shop = Shop(3)

    async def wf() -> int:
        return await shop.price(5)

    assert await execute(wf) == 15
    assert await shop.price(6) == 18


async def test_plain_functions_are_proxied_with_common_options(execute: Execute) -> None:
    runs = Runs(failures=2)

    async def fetch(url: str) -> str:
        return f"{url} {runs.run()}"

    def double(n: int) -> int:
        return 2 * n

    async def wf() -> list[Any]:
        acts = workflow.proxy_activities(fetch, double, retry=AT_ONCE)
        return [await acts.fetch("u"), await acts.double(4)]

    assert await execute(wf) == ["u 3", 8]


async def test_a_proxy_wraps_decorated_activities_anew(execute: Execute) -> None:
    runs = Runs(failures=1)

    @activity
    async def once_only() -> int:
        return runs.run()

    async def wf() -> int:
        return int(await workflow.proxy_activities(once_only, retry=AT_ONCE).once_only())

    assert await execute(wf) == 2


def test_a_proxy_says_what_it_holds() -> None:
    acts = workflow.proxy_activities(add, upper)
    with pytest.raises(AttributeError, match="add, upper"):
        _ = acts.subtract


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: workflow.proxy_activities(), "functions"),
        (lambda: activity(retry=3), "retry"),
        (lambda: activity(timeout="soon"), "timeout"),
        (lambda: activity(queue="a:b"), "queue"),
        (lambda: activity(name="two\nlines"), "name"),
    ],
)
def test_wrong_options_are_refused(make: Callable[[], Any], argument: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        made = make()
        made(lambda: None)
    assert caught.value.argument == argument


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_written(
    mesh: MeshData, execute: Execute
) -> None:
    async def wf() -> str:
        try:
            await add(1)  # type: ignore[call-arg]
        except InvalidOptions:
            return "refused"
        return "taken"

    assert await execute(wf) == "refused"


async def test_a_result_that_is_no_json_fails_the_activity(execute: Execute) -> None:
    @activity
    async def socket() -> object:
        return object()

    async def wf() -> str:
        with pytest.raises(ActivityFailed) as caught:
            await socket()
        return caught.value.type

    assert await execute(wf) == "InvalidOptions"


async def test_results_have_the_types_of_the_annotations(execute: Execute) -> None:
    class Order(pydantic.BaseModel):
        id: UUID
        amount: int

    @activity
    async def make() -> Order:
        return Order(id=UUID(int=7), amount=3)

    async def wf() -> list[Any]:
        order = await make()
        return [isinstance(order, Order), order.amount, order.id == UUID(int=7)]

    assert await execute(wf) == [True, 3, True]


# --- retries ----------------------------------------------------------------------------------------------------------


async def test_a_failed_activity_is_not_repeated_unless_told(execute: Execute) -> None:
    runs = Runs(failures=1)

    @activity
    async def act() -> int:
        return runs.run()

    async def wf() -> list[Any]:
        with pytest.raises(ActivityFailed) as caught:
            await act()
        error = caught.value
        assert type(error) is ActivityFailed
        assert "failure 1" in error.remote_traceback
        return [error.type, error.message, error.code, error.attempts]

    assert await execute(wf) == ["ValueError", "failure 1", 500, 1]
    assert runs.count == 1


async def test_a_failed_activity_is_repeated_by_its_policy(mesh: MeshData, execute: Execute) -> None:
    runs = Runs(failures=2)
    attempts: list[tuple[int, str]] = []

    @activity(retry=AT_ONCE)
    async def act() -> int:
        about = activity.info()
        attempts.append((about.attempt, about.idempotency_key))
        return runs.run()

    async def wf() -> int:
        return await act()

    assert await execute(wf, id="x", ttl="1 minute") == 3
    assert attempts == [(n, "wf1:x/0/0:1") for n in (1, 2, 3)]
    await mesh.flush("wf1", "x")


async def test_attempts_used_up_are_told(execute: Execute) -> None:
    runs = Runs(failures=99)

    @activity(retry=AT_ONCE)
    async def act() -> int:
        return runs.run()

    async def wf() -> list[Any]:
        with pytest.raises(RetriesExhausted) as caught:
            await act()
        return [caught.value.message, caught.value.code, caught.value.attempts]

    assert await execute(wf) == ["failure 3", 597, 3]
    assert runs.count == 3


@pytest.mark.parametrize("named", [KeyError, "KeyError", LookupError])
async def test_what_is_not_retryable_is_not_repeated(execute: Execute, named: Any) -> None:
    runs = Runs(failures=99, error=KeyError)

    @activity(retry=RetryPolicy(max_attempts=5, initial="1 ms", non_retryable=(named,)))
    async def act() -> int:
        return runs.run()

    async def wf() -> list[Any]:
        with pytest.raises(ActivityFailed) as caught:
            await act()
        return [caught.value.type, caught.value.code]

    assert await execute(wf) == ["KeyError", 500]
    assert runs.count == 1


async def test_fatal_ends_an_activity_and_its_workflow_at_once(mesh: MeshData) -> None:
    runs = Runs(failures=99, error=Fatal)
    starts = Runs()

    @activity(retry=AT_ONCE)
    async def act() -> int:
        return runs.run()

    async def wf() -> int:
        starts.run()
        return await act()

    await mesh.connect("wf", wf, retry=AT_ONCE)
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="wf", timeout=10)
    assert (caught.value.type, caught.value.message, caught.value.code) == ("Fatal", "failure 1", 598)
    assert (runs.count, starts.count) == (1, 1)


async def test_pauses_grow_and_jitter_shortens_them() -> None:
    policy = Policy(max_attempts=None, initial=1, coefficient=3, max_interval=20, jitter=0.5)
    assert [policy.delay_ms(n) for n in (1, 2, 3, 4, 5, 200)] == [1000, 3000, 9000, 20000, 20000, 20000]
    assert [policy.delay_ms(2, dice=lambda at=at: at) for at in (0.0, 0.5, 1.0)] == [3000, 2250, 1500]


async def test_the_pause_between_attempts_is_kept(execute: Execute) -> None:
    moments: list[float] = []

    @activity(retry=RetryPolicy(max_attempts=3, initial="50 ms", coefficient=2))
    async def act() -> int:
        moments.append(time.monotonic())
        if len(moments) < 3:
            raise ValueError("again")
        return len(moments)

    async def wf() -> int:
        return await act()

    assert await execute(wf) == 3
    assert moments[1] - moments[0] >= 0.05
    assert moments[2] - moments[1] >= 0.1


async def test_a_time_limit_holds_for_each_attempt(execute: Execute) -> None:
    runs = Runs()

    @activity(timeout="20 ms", retry=AT_ONCE)
    async def act() -> int:
        if runs.run() < 3:
            await asyncio.Event().wait()
        return runs.count

    async def wf() -> int:
        return await act()

    assert await execute(wf) == 3


async def test_an_activity_past_its_time_fails(execute: Execute) -> None:
    @activity(timeout="10 ms")
    async def act() -> None:
        await asyncio.Event().wait()

    async def wf() -> str:
        with pytest.raises(ActivityFailed) as caught:
            await act()
        return f"{caught.value.type}: {caught.value.message}"

    assert await execute(wf) == "MeshTimeout: activity act took longer than 0.01 s"


async def test_a_timeout_of_its_own_is_an_ordinary_failure(execute: Execute) -> None:
    @activity(timeout="1 minute")
    async def act() -> None:
        raise TimeoutError("mine")

    async def wf() -> str:
        with pytest.raises(ActivityFailed) as caught:
            await act()
        return f"{caught.value.type}: {caught.value.message}"

    assert await execute(wf) == "TimeoutError: mine"


async def test_a_run_whose_activity_pauses_before_another_attempt_is_suspended(
    open_mesh: OpenMesh, eventually: Eventually
) -> None:
    runs = Runs(failures=1)

    @activity(retry=RetryPolicy(max_attempts=2, initial="500 ms"))
    async def act() -> int:
        return runs.run()

    async def wf() -> int:
        return await act()

    mesh = await open_mesh(linger=0.05)
    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", id="a", wait=False)
    await eventually(lambda: _status(mesh, "wf", "a", "waiting"))
    assert await handle.result(timeout=10) == 2


async def _status(mesh: MeshData, entity: str, id: str, wanted: str) -> bool:
    return (await mesh.info(entity, id)).status == wanted


# --- activities on another worker -------------------------------------------------------------------------------------


@pytest.fixture
async def two(open_mesh: OpenMesh) -> tuple[MeshData, MeshData]:
    """Two meshes on one namespace."""
    return await open_mesh(name="first"), await open_mesh(name="second")


async def test_an_activity_with_a_queue_is_done_by_a_worker_of_the_queue(two: tuple[MeshData, MeshData]) -> None:
    here, there = two
    seen: list[Any] = []

    @activity(queue="gpu")
    async def render(scene: str, *, size: int) -> str:
        seen.append(activity.info())
        return f"{scene} at {size}"

    async def wf() -> list[str]:
        return list(await asyncio.gather(*(render("s", size=n) for n in range(5))))

    await there.serve_activities("gpu", render)
    await here.connect("wf", wf)
    assert await here.exec(entity="wf", id="r", timeout=10) == [f"s at {n}" for n in range(5)]
    assert {about.job_id for about in seen} == {"wf:r"}
    assert len({about.idempotency_key for about in seen}) == 5


async def test_work_for_a_queue_waits_until_somebody_serves_it(
    two: tuple[MeshData, MeshData], eventually: Eventually
) -> None:
    here, there = two

    @activity(queue="late")
    async def act() -> str:
        return "done"

    async def wf() -> str:
        return await act()

    await here.connect("wf", wf)
    handle = await here.exec(entity="wf", id="w", wait=False)

    async def waits() -> bool:
        return [wait.kind for wait in (await here.info("wf", "w")).waiting_for] == ["activity"]

    await eventually(waits)
    await there.serve_activities("late", act)
    assert await handle.result(timeout=10) == "done"


async def test_an_activity_on_another_worker_is_repeated_by_its_policy(two: tuple[MeshData, MeshData]) -> None:
    here, there = two
    runs = Runs(failures=2)
    attempts: list[int] = []

    @activity(queue="q", retry=AT_ONCE)
    def act() -> int:
        attempts.append(activity.info().attempt)
        return runs.run()

    @activity(queue="q", retry=AT_ONCE, timeout="20 ms")
    async def slow() -> None:
        await asyncio.Event().wait()

    async def wf() -> list[Any]:
        with pytest.raises(RetriesExhausted) as caught:
            await slow()
        return [await act(), caught.value.type, caught.value.attempts]

    await there.serve_activities("q", act, slow)
    await here.connect("wf", wf)
    assert await here.exec(entity="wf", timeout=10) == [3, "MeshTimeout", 3]
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize(("error", "code"), [(Fatal, 598), (ValueError, 500)])
async def test_a_failure_on_another_worker_arrives_with_its_facts(
    two: tuple[MeshData, MeshData], error: type[Exception], code: int
) -> None:
    here, there = two

    @activity(queue="q")
    async def act() -> None:
        raise error("broken")

    async def wf() -> list[Any]:
        with pytest.raises(ActivityFailed) as caught:
            await act()
        assert "broken" in caught.value.remote_traceback
        return [caught.value.type, caught.value.message, caught.value.code]

    await there.serve_activities("q", act)
    await here.connect("wf", wf)
    assert await here.exec(entity="wf", timeout=10) == [error.__name__, "broken", code]


async def test_a_plain_function_can_serve_an_activity_of_its_name(two: tuple[MeshData, MeshData]) -> None:
    here, there = two

    async def charge(amount: int) -> str:
        raise AssertionError("this one is a signature only")

    proxy = workflow.proxy_activities(charge, queue="pay")

    async def wf() -> str:
        return str(await proxy.charge(5))

    def served() -> Callable[[int], str]:
        def charge(amount: int) -> str:
            return f"charged {amount}"

        return charge

    await there.serve_activities("pay", served())
    await here.connect("wf", wf)
    assert await here.exec(entity="wf", timeout=10) == "charged 5"


async def test_serving_activities_checks_its_arguments(mesh: MeshData) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await mesh.serve_activities("q")
    assert caught.value.argument == "functions"
    with pytest.raises(InvalidOptions) as caught:
        await mesh.serve_activities("a:b", add)
    assert caught.value.argument == "queue"


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_results_stand_where_their_calls_stood_whatever_they_are(execute: Execute) -> None:
    values: list[Any] = [0, None, "", [], {}, False, 0.0, "last"]

    @activity
    async def give(at: int) -> Any:
        for _ in range(len(values) - at):
            await asyncio.sleep(0)
        return values[at]

    async def wf() -> list[Any]:
        return list(await asyncio.gather(*(give(at) for at in range(len(values)))))

    assert await execute(wf) == values


async def test_a_failing_member_is_where_it_belongs(execute: Execute) -> None:
    @activity
    async def invert(n: int) -> float:
        return 1 / n

    async def wf() -> list[Any]:
        results = await asyncio.gather(*(invert(n) for n in (1, 0, 2)), return_exceptions=True)
        return [r.type if isinstance(r, ActivityFailed) else r for r in results]

    assert await execute(wf) == [1.0, "ZeroDivisionError", 0.5]


async def test_the_first_failure_of_a_gather_is_raised(execute: Execute) -> None:
    @activity
    async def invert(n: int) -> float:
        return 1 / n

    async def wf() -> str:
        with pytest.raises(ActivityFailed) as caught:
            await asyncio.gather(invert(1), invert(0), workflow.wait_for("never"))
        return caught.value.type

    assert await execute(wf) == "ZeroDivisionError"


async def test_a_thousand_activities_in_one_gather(execute: Execute) -> None:
    async def wf() -> int:
        return sum(await asyncio.gather(*(add(n, 1) for n in range(1000))))

    assert await execute(wf) == sum(range(1, 1001))


async def test_a_hundred_waits_of_each_kind_in_one_gather(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> list[int]:
        keys = [f"k{n}" for n in range(100)]
        waits = asyncio.gather(*(workflow.wait_for(key) for key in keys))
        sleeps = asyncio.gather(*(workflow.sleep_for(0.001) for _ in keys))
        signals = asyncio.gather(*(workflow.signal(key, n) for n, key in enumerate(keys)))
        await asyncio.gather(sleeps, signals)
        return list(await waits)

    assert await execute(wf) == list(range(100))


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ms", [0, 1, 2, 5, 20])
async def test_a_sleep_is_never_shorter_than_asked(execute: Execute, ms: int) -> None:
    async def wf() -> float:
        shortest = 1e9
        for _ in range(20):
            before = time.monotonic()
            assert await workflow.sleep_for(ms / 1000) == ms / 1000
            shortest = min(shortest, time.monotonic() - before)
        return shortest

    assert await execute(wf) >= ms / 1000


async def test_sleeps_at_once_end_in_the_order_of_their_times(execute: Execute) -> None:
    async def wf() -> list[int]:
        done: list[int] = []

        async def one(ms: int) -> None:
            await workflow.sleep_for(ms / 1000)
            done.append(ms)

        await asyncio.gather(*(one(ms) for ms in (50, 10, 30)))
        return done

    assert await execute(wf) == [10, 30, 50]


@pytest.mark.parametrize("bad", ["soon", -1, "10", float("nan"), True])
async def test_a_time_that_is_none_is_refused(execute: Execute, bad: Any) -> None:
    async def wf() -> list[str]:
        refused = []
        for call in (workflow.sleep_for, workflow.timeout):
            with pytest.raises(InvalidOptions) as caught:
                call(bad)
            refused.append(caught.value.argument)
        with pytest.raises(InvalidOptions) as caught:
            workflow.wait_for("k", timeout=bad)
        return [*refused, caught.value.argument]

    assert await execute(wf) == ["duration", "duration", "timeout"]


async def test_a_time_limit_ends_what_takes_longer(execute: Execute) -> None:
    async def wf() -> list[Any]:
        with pytest.raises(TimeoutError):
            async with workflow.timeout("10 ms") as limit:
                await workflow.wait_for("never")
        return [limit.expired, await add(1, 1)]

    assert await execute(wf) == [True, 2]


async def test_a_time_limit_does_not_touch_what_is_faster(execute: Execute) -> None:
    async def wf() -> list[Any]:
        async with workflow.timeout("1 hour") as limit:
            value = await add(1, 1)
        return [limit.expired, value]

    assert await execute(wf) == [False, 2]


async def test_time_limits_nest(execute: Execute) -> None:
    async def wf() -> list[str]:
        told = []
        try:
            async with workflow.timeout("20 ms"):
                try:
                    async with workflow.timeout("1 hour"):
                        await workflow.wait_for("never")
                except TimeoutError:
                    told.append("inner")
        except TimeoutError:
            told.append("outer")
        return told

    assert await execute(wf) == ["outer"]


async def test_an_inner_time_limit_leaves_the_outer_one_in_force(execute: Execute) -> None:
    async def wf() -> list[str]:
        told = []
        try:
            async with workflow.timeout("60 ms"):
                for _ in range(2):
                    try:
                        async with workflow.timeout("5 ms"):
                            await workflow.wait_for("never")
                    except TimeoutError:
                        told.append("inner")
                await workflow.wait_for("never")
        except TimeoutError:
            told.append("outer")
        return told

    assert await execute(wf) == ["inner", "inner", "outer"]


async def test_a_time_limit_around_a_group_cancels_its_tasks(execute: Execute) -> None:
    async def wf() -> list[str]:
        told: list[str] = []

        async def one(name: str) -> None:
            try:
                await workflow.wait_for(name)
            except asyncio.CancelledError:
                told.append(name)
                raise

        with pytest.raises(TimeoutError):
            async with workflow.timeout("10 ms"), asyncio.TaskGroup() as group:
                for name in "abc":
                    group.create_task(one(name))
        return sorted(told)

    assert await execute(wf) == ["a", "b", "c"]


# --- signals ----------------------------------------------------------------------------------------------------------


async def test_a_signal_wakes_who_waits(mesh: MeshData, eventually: Eventually) -> None:
    async def wf(key: str) -> Any:
        return await workflow.wait_for(key)

    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", args=["go"], id="a", wait=False)
    await eventually(lambda: _waits(mesh, "wf", "a", "wait", "go"))
    assert await mesh.signal("go", {"n": 1}) is True
    assert await handle.result(timeout=10) == {"n": 1}


async def _waits(mesh: MeshData, entity: str, id: str, kind: str, name: str) -> bool:
    info = await mesh.info(entity, id)
    if not any((wait.kind, wait.name) == (kind, name) for wait in info.waiting_for):
        return False
    # The wait stands in the job's header; with several partitions its place in the key's line takes a relay more.
    store = mesh._store
    partition = store.keys.partition(name)
    return kind != "wait" or bool(await store.command(partition, "EXISTS", f"{store.keys.base(partition)}sig:{name}"))


@pytest.mark.parametrize("payload", [None, 0, "", False, [], {"deep": [1, {"x": None}]}])
async def test_a_signal_that_comes_first_is_kept(mesh: MeshData, execute: Execute, payload: Any) -> None:
    async def wf() -> list[Any]:
        return [await workflow.wait_for("early")]

    assert await mesh.signal("early", payload) is False
    assert await execute(wf) == [payload]


async def test_kept_signals_come_in_the_order_they_were_sent(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> list[Any]:
        return [await workflow.wait_for("k") for _ in range(5)]

    for n in range(5):
        await mesh.signal("k", n)
    assert await execute(wf) == [0, 1, 2, 3, 4]


async def test_of_two_who_wait_on_one_key_the_first_is_served_first(mesh: MeshData, eventually: Eventually) -> None:
    async def wf() -> Any:
        return await workflow.wait_for("k")

    await mesh.connect("wf", wf)
    handles = []
    for at, id in enumerate("abc"):
        handles.append(await mesh.exec(entity="wf", id=id, wait=False))

        async def stands(count: int = at + 1) -> bool:
            store = mesh._store
            partition = store.keys.partition("k")
            return bool(await store.command(partition, "LLEN", f"{store.keys.base(partition)}sig:k") == count)

        await eventually(stands)
    for n in range(3):
        await mesh.signal("k", n)
    assert [await handle.result(timeout=10) for handle in handles] == [0, 1, 2]


async def test_two_waits_of_one_run_on_one_key_are_served_in_order(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> list[Any]:
        first, second = (asyncio.create_task(workflow.wait_for("k")) for _ in range(2))
        await workflow.signal("k", "one")
        await workflow.signal("k", "two")
        return [await second, await first]

    assert await execute(wf) == ["two", "one"]


async def test_a_wait_that_timed_out_leaves_the_signal_to_the_next(
    mesh: MeshData, execute: Execute, eventually: Eventually
) -> None:
    async def impatient() -> str:
        with pytest.raises(MeshTimeout):
            await workflow.wait_for("k", timeout="5 ms")
        return "gave up"

    async def patient() -> Any:
        return await workflow.wait_for("k", timeout="1 hour")

    await mesh.connect("patient", patient)
    assert await execute(impatient) == "gave up"
    handle = await mesh.exec(entity="patient", id="p", wait=False)
    await eventually(lambda: _waits(mesh, "patient", "p", "wait", "k"))
    assert await mesh.signal("k", "for you") is True
    assert await handle.result(timeout=10) == "for you"


async def test_a_wait_that_timed_out_ahead_of_another_is_passed_over(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> list[Any]:
        impatient = asyncio.create_task(workflow.condition("k", timeout="5 ms"))
        patient = asyncio.create_task(workflow.wait_for("k"))
        given_up = await impatient
        await workflow.signal("k", "for the patient")
        return [given_up, await patient]

    assert await execute(wf) == [False, "for the patient"]


async def test_a_wait_that_was_cancelled_leaves_the_signal_to_the_next(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> list[Any]:
        first = asyncio.create_task(workflow.wait_for("k"))
        await add(0, 0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(workflow.wait_for("k"))
        await add(0, 0)
        return [await workflow.signal("k", 5), await second]

    assert (await execute(wf))[1] == 5


async def test_a_signal_says_whether_it_was_taken(execute: Execute) -> None:
    async def wf() -> list[bool]:
        kept = await workflow.signal("k", 1)
        await workflow.wait_for("k")
        waiting = asyncio.create_task(workflow.wait_for("k"))
        await workflow.sleep_for("20 ms")
        taken = await workflow.signal("k", 2)
        await waiting
        return [kept, taken]

    assert await execute(wf) == [False, True]


async def test_several_keys_are_waited_for_together(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> list[Any]:
        return await workflow.wait_for_all("a", "b", "c")

    for key in "cab":
        await mesh.signal(key, key.upper())
    assert await execute(wf) == ["A", "B", "C"]


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 513, 5])
async def test_a_key_that_is_none_is_refused(execute: Execute, key: Any) -> None:
    async def wf() -> str:
        for call in (workflow.wait_for, workflow.signal):
            with pytest.raises(InvalidOptions) as caught:
                call(key)
            assert caught.value.argument == "key"
        return "refused"

    assert await execute(wf) == "refused"


# --- children ---------------------------------------------------------------------------------------------------------


async def test_a_childs_result_is_awaited(mesh: MeshData, execute: Execute) -> None:
    async def child(n: int, *, times: int = 1) -> int:
        return (await add(n, 1)) * times

    entity = await mesh.connect("child", child)

    async def wf() -> list[int]:
        return [
            await workflow.exec_child("child", [1]),
            await workflow.exec_child(entity, [2], kwargs={"times": 2}),
            await workflow.exec_child(child, [3]),
        ]

    assert await execute(wf) == [2, 6, 4]


async def test_children_at_once_have_ids_of_their_own(mesh: MeshData, execute: Execute) -> None:
    async def child(n: int) -> list[Any]:
        about = workflow.info()
        return [n, about.id, about.origin]

    await mesh.connect("child", child)

    async def wf() -> list[Any]:
        return list(await asyncio.gather(*(workflow.exec_child("child", [n]) for n in range(10))))

    told = await execute(wf, id="root")
    assert [n for n, _, _ in told] == list(range(10))
    assert [id for _, id, _ in told] == [f"wf1.root/0:{n}" for n in range(1, 11)]
    assert {origin for _, _, origin in told} == {"wf1:root"}


async def test_a_child_under_a_fixed_id_can_be_found_by_it(mesh: MeshData, execute: Execute) -> None:
    async def child() -> str:
        return workflow.info().job_id

    await mesh.connect("child", child)

    async def wf() -> str:
        return str(await workflow.exec_child("child", id="mine", ttl="1 minute"))

    assert await execute(wf) == "child:mine"
    assert await mesh.handle("child", "mine").result() == "child:mine"
    await mesh.flush("child", "mine")


@pytest.mark.parametrize("verb", ["exec_child", "start_child"])
async def test_an_id_that_is_taken_is_told(mesh: MeshData, execute: Execute, verb: str) -> None:
    async def child() -> None:
        await workflow.wait_for("done")

    await mesh.connect("child", child)
    handle = await mesh.exec(entity="child", id="taken", wait=False)

    async def wf() -> list[Any]:
        with pytest.raises(JobExists) as caught:
            await getattr(workflow, verb)("child", id="taken")
        return [caught.value.job_id, caught.value.code]

    assert await execute(wf) == ["child:taken", 409]
    await mesh.signal("done")
    await handle.result(timeout=10)


async def test_a_child_started_twice_is_still_the_parents(
    mesh: MeshData, execute: Execute, eventually: Eventually
) -> None:
    async def child() -> None:
        await workflow.wait_for("never")

    await mesh.connect("child", child)

    async def wf() -> None:
        await workflow.start_child("child", id="mine")
        with pytest.raises(JobExists):
            await workflow.start_child("child", id="mine")
        await workflow.wait_for("never")

    running = asyncio.ensure_future(execute(wf, id="p"))
    await eventually(lambda: _waits(mesh, "wf1", "p", "wait", "never") if _known(mesh, "wf1:p") else False)
    assert (await mesh.info("wf1", "p")).children == 1
    await mesh.interrupt("wf1", "p", reason="all of it")
    with pytest.raises(JobInterrupted):
        await running
    with pytest.raises((JobInterrupted, JobNotFound)):
        await mesh.handle("child", "mine").result(timeout=10)


def _known(mesh: MeshData, job: str) -> bool:
    return f"0 {job}" in mesh._host.runs


async def test_a_started_child_goes_on_by_itself(mesh: MeshData, execute: Execute) -> None:
    async def child() -> str:
        return str(await workflow.wait_for("done"))

    await mesh.connect("child", child)

    async def wf() -> list[str]:
        return [await workflow.start_child("child", ttl="1 minute"), await workflow.start_child("child", id="b")]

    default, fixed = await execute(wf, id="p")
    assert (default, fixed) == ("wf1.p/0:1", "b")
    await mesh.signal("done", "x")
    await mesh.signal("done", "y")
    assert await mesh.handle("child", default).result(timeout=10) in ("x", "y")
    await mesh.flush("child", default)


async def test_a_childs_failure_is_raised_where_it_is_awaited(mesh: MeshData, execute: Execute) -> None:
    async def child() -> None:
        raise KeyError("lost")

    await mesh.connect("child", child)

    async def wf() -> list[Any]:
        with pytest.raises(ChildFailed) as caught:
            await workflow.exec_child("child", id="c")
        error = caught.value
        assert "KeyError" in error.remote_traceback
        return [error.type, error.message, error.job_id, error.code]

    assert await execute(wf) == ["KeyError", "'lost'", "child:c", 500]


async def test_a_child_with_a_policy_is_repeated(mesh: MeshData, execute: Execute) -> None:
    runs = Runs(failures=2)

    async def child() -> int:
        return runs.run()

    await mesh.connect("child", child)

    async def wf() -> int:
        return int(await workflow.exec_child("child", retry=AT_ONCE))

    assert await execute(wf) == 3


async def test_an_interrupted_child_is_told(mesh: MeshData, execute: Execute, eventually: Eventually) -> None:
    async def child() -> None:
        await workflow.wait_for("never")

    await mesh.connect("child", child)

    async def wf() -> list[Any]:
        with pytest.raises(JobInterrupted) as caught:
            await workflow.exec_child("child", id="c")
        return [caught.value.job_id, caught.value.reason, caught.value.code]

    running = asyncio.ensure_future(execute(wf))
    await eventually(lambda: _exists(mesh, "child", "c"))
    await mesh.interrupt("child", "c", reason="enough", code=423)
    assert await running == ["child:c", "enough", 423]


async def _exists(mesh: MeshData, entity: str, id: str) -> bool:
    try:
        return bool(await mesh.info(entity, id))
    except JobNotFound:
        return False


async def test_a_childs_record_begins_with_its_state(mesh: MeshData, execute: Execute) -> None:
    async def child() -> Any:
        return await workflow.state.get("plan")

    await mesh.connect("child", child)

    async def wf() -> Any:
        return await workflow.exec_child("child", state={"plan": "pro"})

    assert await execute(wf) == "pro"


@pytest.mark.parametrize(
    ("options", "argument"),
    [({"id": ""}, "id"), ({"id": "a\0"}, "id"), ({"ttl": "soon"}, "ttl"), ({"args": [object()]}, "args[0]")],
)
async def test_a_child_that_cannot_be_is_refused_at_the_call(
    execute: Execute, options: dict[str, Any], argument: str
) -> None:
    async def wf() -> str:
        with pytest.raises(InvalidOptions) as caught:
            workflow.exec_child("child", **options)
        return caught.value.argument

    assert await execute(wf) == argument


# --- hooks, interrupts ------------------------------------------------------------------------------------------------


async def test_a_hook_runs_on_the_own_record(mesh: MeshData, execute: Execute) -> None:
    async def note(text: str) -> None:
        await workflow.state.set(note=text, dimension=workflow.info().dimension)
        await workflow.signal("noted")

    await mesh.connect("note", note)

    async def wf() -> dict[str, Any]:
        dimension = await workflow.hook("note", ["hello"])
        await workflow.wait_for("noted")
        return {**await workflow.state.all(), "told": dimension}

    assert await execute(wf) == {"note": "hello", "dimension": "1", "told": "1"}


async def test_a_hook_runs_on_the_record_of_another_job(mesh: MeshData, execute: Execute) -> None:
    async def note(text: str) -> None:
        await workflow.state.set(note=text)

    async def patient() -> Any:
        await workflow.wait_for("go on")
        return await workflow.state.get("note")

    await mesh.connect("note", note)
    await mesh.connect("patient", patient)
    handle = await mesh.exec(entity="patient", id="p", wait=False)

    async def wf() -> str:
        return str(await workflow.hook(note, ["from afar"], id="p", entity="patient"))

    assert await execute(wf) == "1"
    while not (await mesh.raw("patient", "p")).get("note"):
        await asyncio.sleep(0.005)
    await mesh.signal("go on")
    assert await handle.result(timeout=10) == "from afar"


async def test_a_hook_needs_a_job_that_takes_it(mesh: MeshData, execute: Execute) -> None:
    async def note() -> None: ...

    async def done() -> None: ...

    async def closed() -> None:
        await workflow.wait_for("end")

    for name, fn in (("note", note), ("done", done), ("closed", closed)):
        await mesh.connect(name, fn)
    await mesh.exec(entity="done", id="d")
    handle = await mesh.exec(entity="closed", id="c", hookable=False, wait=False)

    async def wf() -> list[str]:
        with pytest.raises(JobNotFound):
            await workflow.hook("note", id="nobody", entity="done")
        told = []
        for entity, id in (("done", "d"), ("closed", "c")):
            with pytest.raises(JobError) as caught:
                await workflow.hook("note", id=id, entity=entity)
            told.append(caught.value.job_id)
        return told

    assert await execute(wf) == ["done:d", "closed:c"]
    await mesh.signal("end")
    await handle.result(timeout=10)


async def test_a_workflow_interrupts_another_job(mesh: MeshData, execute: Execute) -> None:
    async def endless() -> None:
        await workflow.wait_for("never")

    await mesh.connect("endless", endless)
    handle = await mesh.exec(entity="endless", id="e", wait=False)

    async def wf() -> list[Any]:
        first = await workflow.interrupt("endless", "e", reason="enough")
        with pytest.raises(JobError):
            await workflow.interrupt("endless", "e")
        with pytest.raises(JobNotFound):
            await workflow.interrupt("endless", "nobody")
        return [first, await workflow.interrupt("endless", "e", suppress=True)]

    assert await execute(wf) == [True, False]
    with pytest.raises(JobInterrupted) as caught:
        await handle.result(timeout=10)
    assert caught.value.reason == "enough"


async def test_a_workflow_interrupts_itself(mesh: MeshData, execute: Execute) -> None:
    after = Runs()

    async def wf() -> None:
        about = workflow.info()
        await workflow.interrupt(about.entity, about.id, reason="mine")
        after.run()

    with pytest.raises(JobInterrupted) as caught:
        await execute(wf, id="self")
    assert caught.value.reason == "mine"
    assert after.count == 0


# --- the record -------------------------------------------------------------------------------------------------------


class User(pydantic.BaseModel):
    name: str = ""
    age: int | None = None
    credits: float = 0.0
    active: bool = True


async def test_state_has_the_models_types(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> list[Any]:
        new = await workflow.state.set(name="Ann", age=7, active=False)
        values = await workflow.state.mget("name", "age", "active", "credits")
        total = await workflow.state.incr("credits", 2.5)
        doubled = await workflow.state.mult("credits", 2)
        gone = await workflow.state.delete("age", "credits")
        return [new, values, total, doubled, gone, await workflow.state.get("age"), await workflow.state.all()]

    assert await execute(wf, model=User, id="u") == [
        3, ["Ann", 7, False, None], 2.5, 5, 2, None, {"name": "Ann", "active": False},
    ]  # fmt: skip


async def test_state_without_a_model_is_text(execute: Execute) -> None:
    async def wf() -> list[Any]:
        await workflow.state.set({"n": 5, "b": True, "t": "x"})
        await workflow.state.set(t=None)
        return [await workflow.state.all(), await workflow.state.mget("n", "t"), await workflow.search().get("b")]

    assert await execute(wf) == [{"n": "5", "b": "true"}, ["5", None], "true"]


async def test_counting_in_parallel_loses_nothing(execute: Execute) -> None:
    async def wf() -> Any:
        await asyncio.gather(*(workflow.state.incr("n") for _ in range(100)))
        return await workflow.state.incr("n", 0)

    assert await execute(wf) == 100


async def test_what_is_no_number_is_not_counted_with(execute: Execute) -> None:
    async def wf() -> list[str]:
        await workflow.state.set(word="x")
        told = []
        for call in (workflow.state.incr, workflow.state.mult):
            with pytest.raises(InvalidOptions) as caught:
                await call("word", 2)
            told.append(caught.value.argument)
        for bad in (float("nan"), float("inf"), True, "2"):
            with pytest.raises(InvalidOptions) as caught:
                workflow.state.incr("n", bad)  # type: ignore[arg-type]
            told.append(caught.value.argument)
        return told

    assert await execute(wf) == ["word", "word", "by", "by", "by", "by"]


async def test_a_record_is_seeded_and_then_changed_from_both_sides(mesh: MeshData, execute: Execute) -> None:
    async def wf() -> Any:
        before = await workflow.state.get("n")
        await workflow.wait_for("changed")
        return [before, await workflow.state.get("n")]

    running = asyncio.ensure_future(execute(wf, id="r", state={"n": 1}))
    await until_resident([mesh], "wf1:r")
    while not await _waits(mesh, "wf1", "r", "wait", "changed"):
        await asyncio.sleep(0.005)
    await mesh.incr("wf1", "r", "n", 4)
    await mesh.signal("changed")
    assert await running == ["1", "5"]


# --- once, random numbers, ids, time, info ----------------------------------------------------------------------------


async def test_once_records_what_a_function_gave(execute: Execute) -> None:
    async def slow(n: int) -> int:
        return n + 1

    def fast(n: int) -> int:
        return n + 2

    def fails() -> None:
        raise LookupError("no")

    async def wf() -> list[Any]:
        with pytest.raises(ActivityFailed) as caught:
            await workflow.once(fails)
        return [await workflow.once(slow, 1), await workflow.once(fast, n=1), caught.value.type]

    assert await execute(wf) == [2, 3, "LookupError"]


async def test_random_numbers_and_ids_differ_within_a_run_and_between_jobs(mesh: MeshData) -> None:
    async def wf() -> list[Any]:
        return [[workflow.random().random() for _ in range(3)], [str(workflow.uuid()) for _ in range(3)]]

    await mesh.connect("wf", wf)
    first, second = await asyncio.gather(*(mesh.exec(entity="wf", id=id, timeout=10) for id in "ab"))
    assert len({*first[0], *second[0]}) == 6
    assert len({*first[1], *second[1]}) == 6
    assert all(UUID(text).version == 4 for text in first[1])


async def test_now_goes_on_with_what_comes(execute: Execute) -> None:
    async def wf() -> list[float]:
        begun = workflow.now()
        assert workflow.now() == begun == workflow.info().started
        await workflow.sleep_for("30 ms")
        return [begun.timestamp(), workflow.now().timestamp()]

    before = time.time()
    begun, later = await execute(wf)
    assert before - 1 < begun < time.time() + 1
    assert later - begun >= 0.029


async def test_info_tells_who_runs(mesh: MeshData, namespace: str) -> None:
    async def wf() -> list[Any]:
        about = workflow.info()
        assert workflow.get_context() == about
        return [about.job_id, about.entity, about.id, about.dimension, about.attempt, about.origin, about.namespace]

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", id="a:b c") == ["wf:a:b c", "wf", "a:b c", "0", 1, "wf:a:b c", namespace]


# --- mixed ------------------------------------------------------------------------------------------------------------


@activity
async def after(turns: int, value: Any) -> Any:
    for _ in range(turns):
        await asyncio.sleep(0.001)
    return value


async def test_any_mix_in_a_gather(mesh: MeshData, execute: Execute) -> None:
    async def child(n: int) -> int:
        return n

    await mesh.connect("child", child)

    async def wf() -> list[Any]:
        return list(
            await asyncio.gather(
                add(1, 1),
                workflow.sleep_for("5 ms"),
                workflow.wait_for("k"),
                workflow.signal("k", "payload"),
                workflow.exec_child("child", [3]),
                workflow.state.set(a=1),
                workflow.once(int, "4"),
                asyncio.gather(add(2, 2), workflow.all_(upper("x"), add(0, 0))),
            )
        )

    results = await execute(wf)
    assert results[3] in (True, False)  # whether the wait or the signal came first
    assert [*results[:3], *results[4:]] == [2, 0.005, "payload", 3, 1, 4, [4, ["X", 0]]]


async def test_a_task_group(execute: Execute) -> None:
    async def wf() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(after(3 - n, n)) for n in range(3)]
        return [task.result() for task in tasks]

    assert await execute(wf) == [0, 1, 2]


async def test_a_failure_in_a_task_group_cancels_the_others(execute: Execute) -> None:
    async def wf() -> list[str]:
        told = []

        async def wait() -> None:
            try:
                await workflow.wait_for("never")
            except asyncio.CancelledError:
                told.append("cancelled")
                raise

        async def fail() -> None:
            await workflow.once(int, "x")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
                group.create_task(fail())
        except* ActivityFailed as errors:
            told += [error.type for error in errors.exceptions]  # type: ignore[attr-defined]
        return told

    assert await execute(wf) == ["cancelled", "ValueError"]


async def test_the_first_of_several(execute: Execute) -> None:
    async def wf() -> list[Any]:
        tasks = [asyncio.create_task(one) for one in (workflow.wait_for("never"), after(1, "first"), after(30, "late"))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [[task.result() for task in done], len(pending)]

    assert await execute(wf) == [["first"], 2]


@pytest.mark.parametrize("of", [list, tuple, iter])
async def test_as_they_are_completed(execute: Execute, of: Callable[[Any], Any]) -> None:
    async def wf() -> list[Any]:
        return [await one for one in asyncio.as_completed(of([after(n * 10, n) for n in (3, 0, 2, 1)]))]

    assert await execute(wf) == [0, 1, 2, 3]


async def test_coroutines_as_they_are_completed(execute: Execute) -> None:
    async def twice(n: int) -> int:
        return int(await after(n * 10, n)) + int(await after(0, n))

    async def wf() -> list[Any]:
        return [await one for one in asyncio.as_completed([twice(n) for n in (3, 0, 2, 1)])]

    assert await execute(wf) == [0, 2, 4, 6]


async def test_coroutines_whose_order_would_be_lost_are_refused(execute: Execute) -> None:
    async def own() -> None:
        await add(0, 0)

    async def wf() -> str:
        coroutine = own()
        with pytest.raises(InvalidOptions) as caught:
            for one in asyncio.as_completed(iter([coroutine])):
                await one
        coroutine.close()
        return caught.value.argument

    assert await execute(wf) == "fs"


async def test_a_loop_that_takes_what_comes_first(execute: Execute) -> None:
    async def wf() -> list[Any]:
        told: list[Any] = []
        open_calls = {asyncio.create_task(after(n * 10, n)) for n in (2, 0, 1)}
        while open_calls:
            done, open_calls = await asyncio.wait(open_calls, return_when=asyncio.FIRST_COMPLETED)
            told += sorted(task.result() for task in done)
        return told

    assert await execute(wf) == [0, 1, 2]


async def test_queues_locks_events_and_semaphores(execute: Execute) -> None:
    async def wf() -> list[Any]:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        lock, begin, few = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
        told: list[int] = []

        async def produce(n: int) -> None:
            await begin.wait()
            async with few:
                await queue.put(await add(n, 0))

        async def consume() -> None:
            n = await queue.get()
            async with lock:
                told.append(await add(n, 100))

        async with asyncio.TaskGroup() as group:
            for n in range(6):
                group.create_task(produce(n))
                group.create_task(consume())
            await workflow.sleep_for("1 ms")
            begin.set()
        return sorted(told)

    assert await execute(wf) == [100, 101, 102, 103, 104, 105]


async def test_tasks_left_over_end_with_the_function(mesh: MeshData, execute: Execute, eventually: Eventually) -> None:
    ended = asyncio.Event()

    async def left_over() -> None:
        try:
            await workflow.wait_for("never")
        finally:
            ended.set()

    async def wf() -> str:
        task = asyncio.create_task(left_over())
        await add(0, 0)
        return f"done {task.done()}"

    assert await execute(wf) == "done False"
    async with asyncio.timeout(5):
        await ended.wait()


# --- control flow -----------------------------------------------------------------------------------------------------


async def test_a_broad_except_does_not_see_a_suspension(open_mesh: OpenMesh, eventually: Eventually) -> None:
    swallowed: list[Exception] = []

    async def careful(key: str) -> Any:
        while True:
            try:
                return await workflow.wait_for(key)
            except Exception as error:
                swallowed.append(error)

    async def wf() -> list[Any]:
        return list(await asyncio.gather(*(careful(key) for key in "ab")))

    mesh = await open_mesh(linger=0.01)
    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", id="a", wait=False)
    for key in "ab":
        await eventually(lambda: _status(mesh, "wf", "a", "waiting"))
        await mesh.signal(key, key)
    assert await handle.result(timeout=10) == ["a", "b"]
    assert swallowed == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: workflow.sleep_for(1),
        lambda: workflow.wait_for("k"),
        lambda: workflow.signal("k"),
        lambda: workflow.exec_child("e"),
        lambda: workflow.start_child("e"),
        lambda: workflow.hook("e"),
        lambda: workflow.interrupt("e", "i"),
        lambda: workflow.once(int),
        lambda: workflow.state.set(a=1),
        lambda: workflow.state.get("a"),
        lambda: workflow.state.mget("a"),
        lambda: workflow.state.all(),
        lambda: workflow.state.delete("a"),
        lambda: workflow.state.incr("a"),
        lambda: workflow.state.mult("a", 2),
        workflow.random,
        workflow.uuid,
        workflow.now,
        workflow.info,
        workflow.get_context,
        activity.info,
    ],
)
def test_outside_a_workflow_a_verb_says_so(call: Callable[[], Any]) -> None:
    with pytest.raises(NotInWorkflow):
        call()


async def test_outside_a_workflow_waiting_verbs_say_so_when_awaited() -> None:
    with pytest.raises(NotInWorkflow):
        await workflow.wait_for_all("k")
    with pytest.raises(NotInWorkflow):
        await workflow.condition("k", timeout=1)
    with pytest.raises(NotInWorkflow):
        async with workflow.timeout(1):
            pass
