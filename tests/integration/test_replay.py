"""Replay: a run taken away at every point of its function goes on elsewhere as if nothing had happened.

No process is killed here (tests/faults/ does that). A run is lost by dropping it from its host and queueing it, or by
suspending it, or by closing the mesh that holds it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.engine.entry import Entry
from meshdata.errors import ActivityFailed, ChildFailed, JobFailed, JobInterrupted, JobNotFound, ReplayError
from meshdata.workflow import activity
from meshdata.workflow.context import running
from meshdata.workflow.runner import Run
from tests.handover import hand_over, journal_of, positions, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh

AT_ONCE = RetryPolicy(max_attempts=3, initial="1 ms")

Loser = Callable[[MeshData, Run], Awaitable[Any]]


class Diary:
    """What each run of a function did, and how often each activity ran."""

    def __init__(self) -> None:
        self.runs: defaultdict[str, list[list[str]]] = defaultdict(list)
        self.work: Counter[str] = Counter()

    def open(self) -> "Page":
        page: list[str] = []
        self.runs[workflow.info().job_id].append(page)
        return Page(page)


class Page:
    """What one run does, in order."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    async def note(self, name: str, call: Awaitable[Any]) -> Any:
        """Await a call; write down that it was made and what it gave."""
        self.lines.append(f"call {name}")
        value = await call
        self.lines.append(f"got {name} {value!r}")
        return value


@pytest.fixture
async def two(open_mesh: OpenMesh) -> list[MeshData]:
    """Two meshes that serve the same functions."""
    return [await open_mesh(name="one"), await open_mesh(name="two")]


async def connect(meshes: list[MeshData], **functions: Callable[..., Any]) -> None:
    for mesh in meshes:
        for name, fn in functions.items():
            await mesh.connect(name, fn)


@pytest.fixture
def lose_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int, Loser], None]]:
    """Lose a job's run once, right after the outcome at some place of its journal was delivered."""
    plans: dict[tuple[str, int], Loser] = {}
    losing: set[asyncio.Task[Any]] = set()
    deliver = Run._deliver

    def watched(run: Run, entry: Entry) -> bool:
        visible = deliver(run, entry)
        loser = plans.pop((run.job, entry.place), None)
        if loser is not None:
            mesh = run.host.mesh  # type: ignore[attr-defined]
            losing.add(asyncio.get_running_loop().create_task(loser(mesh, run), context=run.host.context))
        return visible

    monkeypatch.setattr(Run, "_deliver", watched)

    def plan(job: str, place: int, loser: Loser = hand_over) -> None:
        plans[job, place] = loser

    yield plan
    assert all(task.done() for task in losing)


def know_your_mesh(meshes: list[MeshData]) -> None:
    """Let `lose_at` find the mesh of a run's host."""
    for mesh in meshes:
        mesh._host.mesh = mesh  # type: ignore[attr-defined]


# --- a program with every verb ----------------------------------------------------------------------------------------


def every_verb(diary: Diary) -> Callable[[], Awaitable[Any]]:
    """A workflow that uses the verbs one after another."""

    @activity
    async def work(n: int) -> int:
        diary.work[f"{activity.info().job_id} work {n}"] += 1
        return n

    @activity
    def thread(n: int) -> int:
        return -n

    @activity(retry=AT_ONCE)
    async def flaky() -> int:
        if activity.info().attempt < 3:
            raise ValueError("not yet")
        return activity.info().attempt

    @activity
    async def fail() -> None:
        raise KeyError("always")

    async def failing() -> str:
        try:
            await fail()
        except ActivityFailed as error:
            return error.type
        return "?"

    async def limited() -> str:
        try:
            async with workflow.timeout("2 ms"):
                await workflow.wait_for("never")
        except TimeoutError:
            return "late"
        return "?"

    async def first() -> Any:
        tasks = [asyncio.create_task(one) for one in (workflow.wait_for("never"), work(7), workflow.sleep_for("1 ms"))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [tasks.index(task) for task in done]

    async def group() -> list[Any]:
        lock = asyncio.Lock()

        async def one(n: int) -> int:
            async with lock:
                return int(await work(n)) + int(await thread(n))

        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(one(n)) for n in (1, 2)]
        return [task.result() for task in made]

    async def either() -> Any:
        await workflow.signal(f"either {workflow.info().id}", 1, id="once")
        key, payload = await workflow.wait_for_any(f"neither {workflow.info().id}", f"either {workflow.info().id}")
        return [key.partition(" ")[0], payload]

    async def both() -> list[Any]:
        keys = [f"{n} of {workflow.info().id}" for n in range(2)]
        await asyncio.gather(*(workflow.signal(key, key[0]) for key in keys))
        return await workflow.wait_for_all(*keys, timeout="1 minute")

    async def patched() -> list[bool]:
        return [workflow.patched("a patch"), await workflow.trace({"n": 1}), await workflow.emit("topic", 1)]

    async def drawn() -> list[Any]:
        return [workflow.random().random(), str(workflow.uuid()), workflow.now().isoformat(), workflow.info().attempt]

    async def program() -> list[Any]:
        page = diary.open()
        own = workflow.info().id
        steps: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("work", lambda: work(0)),
            ("thread", lambda: thread(1)),
            ("flaky", flaky),
            ("failing", failing),
            ("drawn", drawn),
            ("sleep", lambda: workflow.sleep_for("1 ms")),
            ("set", lambda: workflow.state.set(n=1, text="x")),
            ("incr", lambda: workflow.state.incr("n", 2)),
            ("all", lambda: workflow.state.all()),
            ("signal", lambda: workflow.signal(f"to {own}", {"a": [1]})),
            ("wait", lambda: workflow.wait_for(f"to {own}")),
            ("condition", lambda: workflow.condition("never", timeout="1 ms")),
            ("once", lambda: workflow.once(str, 5)),
            ("child", lambda: workflow.exec_child("child", [4])),
            ("start", lambda: workflow.start_child("child", [5])),
            ("hook", lambda: workflow.hook("note", [own])),
            ("noted", lambda: workflow.wait_for(f"noted {own}")),
            ("interrupt", lambda: workflow.interrupt("child", "nobody", suppress=True)),
            ("limited", limited),
            ("first", first),
            ("group", group),
            ("gather", lambda: asyncio.gather(work(10), workflow.sleep_for("1 ms"), workflow.state.get("n"), drawn())),
            ("either", either),
            ("both", both),
            ("patched", patched),
            ("enrich", lambda: workflow.enrich({"rich": 1})),
            ("mget", lambda: workflow.state.mget("rich", "none")),
            ("mult", lambda: workflow.state.mult("rich", 3)),
            ("delete", lambda: workflow.state.delete("rich")),
            ("last", lambda: work(11)),
        ]
        return [await page.note(name, step()) for name, step in steps]

    return program


async def child(n: int) -> int:
    return n


async def note(key: str) -> None:
    await workflow.state.set(noted="yes")
    await workflow.signal(f"noted {key}", key)


def steady(results: list[Any]) -> list[Any]:
    """The results without what is another in every job: random numbers, ids, times, and who was first."""
    return [value for at, value in enumerate(results) if at not in (4, 14, 16, 19, 21)]


async def run_every_verb(
    meshes: list[MeshData], lose_at: Callable[..., None], loser: Loser
) -> tuple[Diary, dict[str, Any], dict[str, list[bytes]]]:
    """Run the program once undisturbed, and once for each place of its journal, lost there."""
    diary = Diary()
    know_your_mesh(meshes)
    await connect(meshes, child=child, note=note, program=every_verb(diary))
    mesh = meshes[0]
    straight = await mesh.exec(entity="program", id="straight", ttl="1 hour", timeout=20)
    length = len(await journal_of(mesh, "program:straight"))
    assert length > 30
    ids = [f"lost at {place}" for place in range(1, length)]
    for place, id in enumerate(ids, 1):
        lose_at(f"program:{id}", place, loser)
    calls = (mesh.exec(entity="program", id=id, ttl="1 hour", timeout=30) for id in ids)
    results = dict(zip(["straight", *ids], [straight, *await asyncio.gather(*calls)], strict=True))
    journals = {id: await journal_of(mesh, f"program:{id}") for id in results}
    for id in results:
        await mesh.flush("program", id)
    return diary, results, journals


def check(diary: Diary, results: dict[str, Any], journals: dict[str, list[bytes]]) -> int:
    """Equal results, journals and orders of calls; the number of runs that were in fact replayed."""
    replayed = 0
    for id, result in results.items():
        runs = diary.runs[f"program:{id}"]
        replayed += len(runs) > 1
        whole = runs[-1]
        for part in runs[:-1]:
            assert part == whole[: len(part)], id
        assert steady(result) == steady(results["straight"]), id
        ends = Counter(line.split()[0] for line in positions(journals[id]) if line.split()[1] not in ("try", "due"))
        assert max(ends.values()) == 1, f"{id}: an outcome was recorded twice: {ends}"
    straight = Counter(kinds(journals["straight"]))
    for id, journal in journals.items():
        missing = straight - Counter(kinds(journal))
        # Which of several outcomes is recorded before the others are given up is a race.
        in_race = ("0.1", "0.2", "0.3", "sleep")
        assert all(any(word in line for word in in_race) for line in missing), (id, missing)
    return replayed


def kinds(journal: list[bytes]) -> list[str]:
    """Position, kind and code of each entry."""
    return [" ".join(entry.split(b" ", 4)[i].decode() for i in (1, 2, 3)) for entry in journal]


@pytest.mark.timeout(90)
async def test_a_run_lost_at_any_point_goes_on_as_if_it_were_not(
    two: list[MeshData], lose_at: Callable[..., None]
) -> None:
    diary, results, journals = await run_every_verb(two, lose_at, hand_over)
    assert check(diary, results, journals) >= len(results) - 4  # a patch, for one, is no outcome to be lost at
    # At most the work in flight is done again.
    assert max(diary.work.values()) <= 2


async def suspend_soon(mesh: MeshData, run: Run) -> None:
    """Suspend a run as soon as it only waits, unless it is over before."""
    while not run.over and not run.dropped:
        if await suspend(mesh, run):
            return
        await asyncio.sleep(0)


@pytest.mark.timeout(90)
async def test_a_run_suspended_at_any_point_goes_on_as_if_it_were_not(
    two: list[MeshData], lose_at: Callable[..., None]
) -> None:
    diary, results, journals = await run_every_verb(two, lose_at, suspend_soon)
    assert check(diary, results, journals) >= len(results) // 3
    assert max(diary.work.values()) == 1, "a run that only waits has no work in flight"


async def test_recorded_work_is_never_done_again(two: list[MeshData], eventually: Eventually) -> None:
    work: Counter[int] = Counter()

    @activity
    async def act(n: int) -> int:
        work[n] += 1
        return n

    async def wf() -> int:
        total = 0
        for n in range(20):
            total += await act(n)
            await workflow.wait_for(f"go {n}")
        return total

    await connect(two, wf=wf)
    handle = await two[0].exec(entity="wf", id="a", wait=False)
    for n in range(20):
        mesh, run = await until_resident(two, "wf:a")
        await eventually(lambda run=run: run.is_waiting or run.dropped)
        await hand_over(mesh, run)
        await two[0].signal(f"go {n}")
    assert await handle.result(timeout=20) == sum(range(20))
    assert work == Counter(range(20))


async def test_work_in_flight_when_a_run_is_lost_is_done_again_and_recorded_once(two: list[MeshData]) -> None:
    begun: asyncio.Queue[str] = asyncio.Queue()
    release = asyncio.Event()

    @activity
    async def act() -> str:
        key = activity.info().idempotency_key
        await begun.put(key)
        await release.wait()
        return key

    async def wf() -> str:
        return await act()

    await connect(two, wf=wf)
    handle = await two[0].exec(entity="wf", id="a", ttl="1 minute", wait=False)
    first = await begun.get()
    await hand_over(*await until_resident(two, "wf:a"))
    assert await begun.get() == first == "wf:a/0/0:1"
    release.set()
    assert await handle.result(timeout=10) == first
    assert positions(await journal_of(two[0], "wf:a")) == ["0 ok", "0:1 ok"]
    await two[0].flush("wf", "a")


async def test_a_mesh_that_closes_hands_its_runs_to_the_next(open_mesh: OpenMesh, eventually: Eventually) -> None:
    diary = Diary()

    async def wf() -> list[Any]:
        page = diary.open()
        drawn = str(workflow.uuid())
        got = await asyncio.gather(*(page.note(key, workflow.wait_for(key)) for key in "ab"))
        return [drawn, got]

    first = await open_mesh()
    await first.connect("wf", wf)
    await first.exec(entity="wf", id="a", ttl="1 minute", wait=False)
    await until_resident([first], "wf:a")
    await eventually(lambda: _status(first, "wf", "a", "running"))
    await first.close()
    second = await open_mesh()
    await eventually(lambda: _status(second, "wf", "a", "waiting"))
    await second.signal("a", 1)
    await second.connect("wf", wf)
    await second.signal("b", 2)
    result = await second.handle("wf", "a").result(timeout=10)
    assert result[1] == [1, 2]
    assert len({tuple(page[:2]) for page in diary.runs["wf:a"]}) == 1
    await second.flush("wf", "a")


async def _status(mesh: MeshData, entity: str, id: str, wanted: str) -> bool:
    return (await mesh.info(entity, id)).status == wanted


async def test_a_hook_is_replayed_like_the_main_function(two: list[MeshData], eventually: Eventually) -> None:
    work: Counter[str] = Counter()

    @activity
    async def act() -> str:
        work[activity.info().idempotency_key] += 1
        return "done"

    async def hook() -> list[str]:
        first = await act()
        await workflow.wait_for("hook")
        return [first, await act(), workflow.info().dimension]

    async def wf() -> None:
        await workflow.wait_for("main")

    await connect(two, wf=wf, **{"wf.hook": hook})
    handle = await two[0].exec(entity="wf", id="a", wait=False)
    hooked = await two[0].hook(entity="wf", id="a", hook_entity="wf.hook")
    for _ in range(3):
        mesh, run = await until_resident(two, "wf:a", dimension="1")
        await eventually(lambda run=run: run.is_waiting or run.dropped)
        await hand_over(mesh, run)
    await two[0].signal("hook")
    assert await hooked.result(timeout=10) == ["done", "done", "1"]
    await two[0].signal("main")
    await handle.result(timeout=10)
    assert work == {"wf:a/1/0:1": 1, "wf:a/1/0:3": 1}


# --- suspension -------------------------------------------------------------------------------------------------------


async def _gather() -> list[Any]:
    return list(await asyncio.gather(workflow.wait_for("a"), workflow.wait_for("b")))


async def _group() -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(workflow.wait_for(key)) for key in "ab"]
    return [task.result() for task in tasks]


async def _wait() -> list[Any]:
    tasks = [asyncio.create_task(workflow.wait_for(key)) for key in "ab"]
    await asyncio.wait(tasks)
    return [task.result() for task in tasks]


async def _completed() -> list[Any]:
    return sorted([await one for one in asyncio.as_completed([workflow.wait_for("a"), workflow.wait_for("b")])])


async def _limit() -> list[Any]:
    async with workflow.timeout("1 hour"):
        return [await workflow.wait_for("a"), await workflow.wait_for("b")]


async def _queue() -> list[Any]:
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def put(key: str) -> None:
        await queue.put(await workflow.wait_for(key))

    async with asyncio.TaskGroup() as group:
        for key in "ab":
            group.create_task(put(key))
        return sorted([await queue.get(), await queue.get()])


async def _shield() -> list[Any]:
    first = await asyncio.shield(workflow.wait_for("a"))
    return [first, *await asyncio.shield(asyncio.gather(workflow.wait_for("b")))]


@pytest.mark.parametrize("fn", [_gather, _group, _wait, _completed, _limit, _queue, _shield])
async def test_a_run_that_waits_in_any_way_is_suspended_and_wakes(
    open_mesh: OpenMesh, eventually: Eventually, fn: Callable[[], Awaitable[Any]]
) -> None:
    mesh = await open_mesh(linger=0.01)
    await mesh.connect("wf", fn)
    handle = await mesh.exec(entity="wf", id="a", wait=False)
    for key in "ab":
        await eventually(lambda: _status(mesh, "wf", "a", "waiting"))
        assert not mesh._host.runs
        assert await mesh.signal(key, key) in (True, False)
    assert await handle.result(timeout=10) == ["a", "b"]


async def test_a_run_with_input_and_output_of_its_own_is_not_suspended(
    open_mesh: OpenMesh, eventually: Eventually
) -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    runs = 0

    async def wf() -> list[Any]:
        nonlocal runs
        runs += 1
        return list(await asyncio.gather(workflow.wait_for("a"), asyncio.shield(answer)))

    mesh = await open_mesh(linger=0.01)
    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", id="a", wait=False)
    _, run = await until_resident([mesh], "wf:a")
    await eventually(lambda: run.is_waiting)
    await mesh._host.sweep()
    assert mesh._host.runs == {"0 wf:a": run}
    answer.set_result("answer")
    await mesh.signal("a", 1)
    assert await handle.result(timeout=10) == [1, "answer"]
    assert runs == 1


async def test_beyond_the_resident_limit_those_idle_longest_are_suspended(
    open_mesh: OpenMesh, eventually: Eventually
) -> None:
    async def wf(n: int) -> int:
        return int(await workflow.wait_for(f"k{n}")) + n

    mesh = await open_mesh(resident_limit=5)
    await mesh.connect("wf", wf)
    handles = [await mesh.exec(entity="wf", args=[n], id=str(n), wait=False) for n in range(20)]

    async def swept() -> bool:
        await mesh._host.sweep()
        infos = [await mesh.info("wf", str(n)) for n in range(20)]
        return sum(info.status == "waiting" for info in infos) == 15

    await eventually(swept)
    assert len(mesh._host.runs) == 5
    for n in range(20):
        await mesh.signal(f"k{n}", n)
    assert [await handle.result(timeout=10) for handle in handles] == [2 * n for n in range(20)]


# --- code that changed ------------------------------------------------------------------------------------------------


async def start_and_lose(mesh: MeshData, eventually: Eventually) -> None:
    """Start wf:a with the first code, and close the mesh while it waits."""
    await mesh.exec(entity="wf", id="a", ttl="1 minute", wait=False)
    _, run = await until_resident([mesh], "wf:a")
    await eventually(lambda: run.is_waiting)
    await mesh.close()


@activity
async def old(n: int = 0) -> str:
    return "old"


@activity
async def new(n: int = 0) -> str:
    return "new"


async def first_code() -> list[Any]:
    return [await old(), await workflow.wait_for("go")]


async def other_activity() -> list[Any]:
    return [await new(), await workflow.wait_for("go")]


async def other_kind() -> list[Any]:
    return [await workflow.sleep_for(0), await workflow.wait_for("go")]


async def other_order() -> list[Any]:
    return [await workflow.wait_for("go"), await old()]


async def other_task() -> list[Any]:
    return [await asyncio.create_task(_own_task()), await workflow.wait_for("go")]


async def _own_task() -> str:
    return await old()


async def other_group() -> list[Any]:
    async with asyncio.TaskGroup() as group:
        group.create_task(_own_task())
    return [await workflow.wait_for("go")]


@pytest.mark.parametrize("changed", [other_activity, other_kind, other_order, other_task, other_group])
async def test_code_that_does_not_fit_parks_the_run_and_fitting_code_goes_on(
    open_mesh: OpenMesh, eventually: Eventually, changed: Callable[[], Awaitable[Any]]
) -> None:
    first = await open_mesh()
    await first.connect("wf", first_code)
    await start_and_lose(first, eventually)

    second = await open_mesh()
    await second.connect("wf", changed)
    await second.signal("go", "on")
    await eventually(lambda: _status(second, "wf", "a", "parked"))
    info = await second.info("wf", "a")
    assert info.error is not None
    assert "activity old" in info.error
    assert info.holder is None
    assert not info.is_ended
    await second.close()

    third = await open_mesh()
    await third.connect("wf", first_code)
    assert await third.handle("wf", "a").result(timeout=10) == ["old", "on"]
    assert (await third.info("wf", "a")).error is None
    await third.flush("wf", "a")


async def test_code_that_does_more_after_what_is_recorded_fits(open_mesh: OpenMesh, eventually: Eventually) -> None:
    async def longer() -> list[Any]:
        return [await old(), await workflow.wait_for("go"), await new()]

    first = await open_mesh()
    await first.connect("wf", first_code)
    await start_and_lose(first, eventually)
    second = await open_mesh()
    await second.connect("wf", longer)
    await second.signal("go", "on")
    assert await second.handle("wf", "a").result(timeout=10) == ["old", "on", "new"]
    await second.flush("wf", "a")


async def test_a_parked_run_can_be_interrupted(open_mesh: OpenMesh, eventually: Eventually) -> None:
    first = await open_mesh()
    await first.connect("wf", first_code)
    await start_and_lose(first, eventually)
    second = await open_mesh()
    await second.connect("wf", other_activity)
    await second.signal("go")
    await eventually(lambda: _status(second, "wf", "a", "parked"))
    assert await second.interrupt("wf", "a", reason="given up")
    with pytest.raises(JobInterrupted):
        await second.handle("wf", "a").result(timeout=10)
    await second.flush("wf", "a")
    with pytest.raises(JobNotFound):
        await second.info("wf", "a")


def test_a_replay_error_shows_both_sides() -> None:
    error = ReplayError("activity old", "activity new", "0:1")
    assert (error.expected, error.found, error.position) == ("activity old", "activity new", "0:1")
    assert "activity old" in str(error) and "activity new" in str(error) and "0:1" in str(error)


async def test_input_and_output_of_the_functions_own_runs_again_on_replay(
    two: list[MeshData], eventually: Eventually
) -> None:
    fetched = 0

    async def fetch() -> str:
        nonlocal fetched
        await asyncio.sleep(0.01)
        fetched += 1
        return "page"

    async def wf() -> list[Any]:
        page = await fetch()
        first = await old()
        both = await asyncio.gather(fetch(), old(), workflow.wait_for("go"))
        return [page, first, *both]

    await connect(two, wf=wf)
    handle = await two[0].exec(entity="wf", id="a", wait=False)
    mesh, run = await until_resident(two, "wf:a")
    await eventually(lambda: fetched == 2 and run.is_waiting)
    await hand_over(mesh, run)
    await two[0].signal("go", "on")
    assert await handle.result(timeout=10) == ["page", "old", "page", "old", "on"]
    assert fetched == 4


async def test_the_order_of_sets_of_tasks_is_the_same_on_replay(two: list[MeshData], eventually: Eventually) -> None:
    diary = Diary()

    async def wf() -> list[str]:
        page = diary.open()

        async def member(n: int) -> None:
            page.lines.append(f"begin {n}")
            try:
                await workflow.wait_for(f"m{n}")
            finally:
                page.lines.append(f"end {n}")

        async def fail() -> None:
            await workflow.wait_for("fail")
            raise ValueError("now")

        try:
            async with asyncio.TaskGroup() as group:
                for n in range(20):
                    group.create_task(member(n))
                group.create_task(fail())
        except* ValueError:
            pass
        waiting = [asyncio.create_task(member(n)) for n in range(20, 40)]
        done, pending = await asyncio.wait([*waiting, asyncio.create_task(fail())], return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(pending)
        page.lines += [str(task.exception()) for task in done]
        for one in asyncio.as_completed([member(n) for n in range(40, 60)]):
            await one
        page.lines.append("last")
        await workflow.wait_for("last")
        return page.lines

    await connect(two, wf=wf)
    handle = await two[0].exec(entity="wf", id="a", wait=False)
    for key in ("fail", "fail", *(f"m{n}" for n in range(40, 60))):
        await two[0].signal(key)
    for _ in range(4):
        mesh, run = await until_resident(two, "wf:a")
        await eventually(lambda: diary.runs["wf:a"][-1][-1:] == ["last"])
        await hand_over(mesh, run)
        while len(diary.runs["wf:a"]) < 2:
            await asyncio.sleep(0)
    await two[0].signal("last")
    await handle.result(timeout=10)
    ends = [page[: page.index("last")] for page in diary.runs["wf:a"] if "last" in page]
    assert len(ends) >= 2
    assert all(page == ends[0] for page in ends)


# --- a function that fails --------------------------------------------------------------------------------------------


async def test_a_retried_function_makes_the_failed_call_anew_and_no_other(two: list[MeshData]) -> None:
    work: Counter[str] = Counter()
    starts: list[list[str]] = []

    @activity
    async def act(name: str) -> str:
        work[name] += 1
        if name == "shaky" and work[name] < 3:
            raise ValueError(f"failure {work[name]}")
        return f"{name} {work[name]}"

    async def wf() -> list[Any]:
        told: list[str] = []
        starts.append(told)
        for name in ("first", "shaky", "last"):
            told.append(await act(name))
        return [*told, workflow.info().attempt]

    for mesh in two:
        await mesh.connect("wf", wf, retry=AT_ONCE)
    assert await two[0].exec(entity="wf", timeout=10) == ["first 1", "shaky 3", "last 1", 3]
    assert work == {"first": 1, "shaky": 3, "last": 1}
    assert starts == [["first 1"], ["first 1"], ["first 1", "shaky 3", "last 1"]]


async def test_what_was_done_after_the_failure_is_done_again(mesh: MeshData) -> None:
    work: Counter[str] = Counter()

    @activity
    async def charge() -> str:
        work["charge"] += 1
        if work["charge"] < 3:
            raise ValueError("declined")
        return "charged"

    @activity
    async def ship() -> str:
        work["ship"] += 1
        return "shipped"

    @activity
    async def tell() -> str:
        work["tell"] += 1
        return "told"

    async def wf() -> list[str]:
        shipped = asyncio.create_task(ship())
        try:
            charged = await charge()
        except ActivityFailed:
            await tell()
            await workflow.sleep_for("1 ms")
            raise
        return [charged, await shipped]

    await mesh.connect("wf", wf, retry=AT_ONCE)
    assert await mesh.exec(entity="wf", timeout=10) == ["charged", "shipped"]
    assert work == {"charge": 3, "ship": 1, "tell": 2}


async def test_a_failure_raised_from_an_outcome_makes_that_call_anew(mesh: MeshData) -> None:
    tries = 0

    @activity
    async def act() -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("again")
        return tries

    async def wf() -> int:
        try:
            return await act()
        except ActivityFailed as error:
            raise RuntimeError("told in other words") from error

    await mesh.connect("wf", wf, retry=AT_ONCE)
    assert await mesh.exec(entity="wf", timeout=10) == 3


async def test_an_activity_with_a_policy_of_its_own_begins_to_count_anew(mesh: MeshData) -> None:
    attempts: list[int] = []

    @activity(retry=RetryPolicy(max_attempts=5, initial="1 ms", non_retryable=(KeyError,)))
    async def act() -> int:
        attempts.append(activity.info().attempt)
        if len(attempts) < 4:
            raise ValueError("again") if len(attempts) % 2 else KeyError("for good")
        return len(attempts)

    async def wf() -> int:
        return await act()

    await mesh.connect("wf", wf, retry=AT_ONCE)
    assert await mesh.exec(entity="wf", timeout=10) == 4
    assert attempts == [1, 2, 1, 2]


async def test_failing_children_are_begun_anew(mesh: MeshData) -> None:
    tries: Counter[int] = Counter()

    async def child(n: int) -> int:
        tries[n] += 1
        if n == 2 and tries[n] < 3:
            raise ValueError("again")
        return n

    async def wf() -> list[int]:
        return [await workflow.exec_child("child", [n], ttl="1 minute") for n in (1, 2, 3)]

    await mesh.connect("child", child)
    await mesh.connect("wf", wf, retry=AT_ONCE)
    assert await mesh.exec(entity="wf", id="a", timeout=10) == [1, 2, 3]
    assert tries == {1: 1, 2: 3, 3: 1}
    for n in (1, 2, 3):
        await mesh.flush("child", f"wf.a/0:{n}")


async def test_a_child_that_lives_on_is_awaited_again(mesh: MeshData, eventually: Eventually) -> None:
    begun: list[int] = []
    tries = 0

    @activity
    async def shaky() -> None:
        nonlocal tries
        tries += 1
        if tries < 2:
            raise ValueError("again")

    async def child(n: int) -> int:
        begun.append(n)
        return int(await workflow.wait_for("child")) + n

    async def wf() -> Any:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(workflow.exec_child("child", [3]))
            group.create_task(shaky())
        return task.result()

    await mesh.connect("child", child)
    await mesh.connect("wf", wf, retry=AT_ONCE)
    handle = await mesh.exec(entity="wf", wait=False)
    await eventually(lambda: tries == 2 and begun)
    await mesh.signal("child", 4)
    assert await handle.result(timeout=10) == 7
    assert begun == [3]


async def test_a_child_made_otherwise_is_begun_anew(mesh: MeshData) -> None:
    async def child(n: int) -> int:
        if n < 3:
            raise ValueError("too small")
        return n

    async def wf() -> Any:
        return await workflow.exec_child("child", [workflow.info().attempt])

    await mesh.connect("child", child)
    await mesh.connect("wf", wf, retry=AT_ONCE)
    assert await mesh.exec(entity="wf", timeout=10) == 3


async def test_a_function_that_fails_by_itself_goes_its_way_again(mesh: MeshData) -> None:
    starts = 0
    work = 0

    @activity
    async def act() -> None:
        nonlocal work
        work += 1

    async def wf() -> int:
        nonlocal starts
        starts += 1
        await act()
        if starts < 3:
            raise ValueError("a fault of its own")
        return starts

    await mesh.connect("wf", wf, retry=AT_ONCE)
    assert await mesh.exec(entity="wf", timeout=10) == 3
    assert work == 1


async def test_a_function_past_its_attempts_fails_with_the_last_error(mesh: MeshData) -> None:
    async def wf() -> None:
        raise ValueError(f"attempt {workflow.info().attempt}")

    await mesh.connect("wf", wf, retry=AT_ONCE)
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="wf", timeout=10)
    assert (caught.value.message, caught.value.attempts, caught.value.code) == ("attempt 3", 3, 597)


async def test_retries_survive_the_loss_of_the_run(two: list[MeshData]) -> None:
    tries = 0
    begun: asyncio.Queue[int] = asyncio.Queue()
    release = asyncio.Event()

    @activity
    async def act() -> int:
        nonlocal tries
        tries += 1
        await begun.put(tries)
        await release.wait()
        if tries < 4:
            raise ValueError("again")
        return tries

    async def wf() -> list[int]:
        return [await act(), workflow.info().attempt]

    for mesh in two:
        await mesh.connect("wf", wf, retry=AT_ONCE)
    handle = await two[0].exec(entity="wf", id="a", wait=False)
    await begun.get()
    await hand_over(*await until_resident(two, "wf:a"))
    await begun.get()
    release.set()
    assert await handle.result(timeout=10) == [4, 3]


async def test_a_failed_child_is_told_again_on_replay(two: list[MeshData], eventually: Eventually) -> None:
    seen: list[list[Any]] = []

    async def broken() -> None:
        raise KeyError("k")

    async def wf() -> Any:
        try:
            await workflow.exec_child("broken")
        except ChildFailed as error:
            seen.append([running().claim.fence, error.type, error.message, error.job_id, error.code])
        return await workflow.wait_for("go")

    await connect(two, broken=broken, wf=wf)
    handle = await two[0].exec(entity="wf", id="a", wait=False)
    mesh, run = await until_resident(two, "wf:a")
    await eventually(lambda: seen and run.is_waiting)
    await hand_over(mesh, run)
    await eventually(lambda: len(seen) == 2)
    await two[0].signal("go", 1)
    assert await handle.result(timeout=10) == 1
    assert seen[0][1:] == seen[1][1:] == ["KeyError", "'k'", "broken:wf.a/0:1", 500]
    assert seen[0][0] != seen[1][0]


async def test_time_limits_that_are_up_together_take_the_same_way_on_replay(
    mesh: MeshData, eventually: Eventually
) -> None:
    ways: list[list[str]] = []

    @activity
    async def work() -> int:
        return 1

    async def limited() -> None:
        way: list[str] = []
        try:
            async with workflow.timeout("1 hour"):
                try:
                    async with workflow.timeout("1 hour"):
                        await workflow.wait_for("never")
                except TimeoutError:
                    way.append("inner")
                    await workflow.wait_for("never")
        except TimeoutError:
            way.append("outer")
        await work()
        ways.append(way)
        await workflow.wait_for("go")

    await mesh.connect("limited", limited)
    result = asyncio.create_task(mesh.exec(entity="limited", id="x", ttl="1 minute"))
    _, run = await until_resident([mesh], "limited:x")
    await eventually(lambda: len(run.calls) == 3 and run.is_waiting)
    # Both hints of one script are read in one tick of the loop.
    timers = mesh.store.keys.base(run.partition) + "timers"
    await mesh.store.command(run.partition, "ZADD", timers, 1, "d 0:2 0 limited:x", 2, "d 0:1 0 limited:x")
    await mesh.store.fire(run.partition)
    await eventually(lambda: len(ways) == 1)
    await hand_over(mesh, run)
    await eventually(lambda: len(ways) == 2)
    assert ways == [["inner", "outer"]] * 2
    await mesh.signal("go")
    await result


async def test_an_outcome_just_after_a_time_limit_is_not_seen_before_the_limit(
    mesh: MeshData, eventually: Eventually
) -> None:
    seen: list[list[str]] = []

    async def limited() -> None:
        way: list[str] = []
        try:
            async with workflow.timeout("1 hour"):
                await workflow.wait_for("key")
        except TimeoutError:
            way.append("too late")
        way.append(workflow.now().isoformat())
        seen.append(way)
        await workflow.wait_for("go")

    await mesh.connect("limited", limited)
    result = asyncio.create_task(mesh.exec(entity="limited", id="x", ttl="1 minute"))
    _, run = await until_resident([mesh], "limited:x")
    await eventually(lambda: len(run.calls) == 2 and run.is_waiting)
    hear, mesh._engine.on_run_hint = mesh._engine.on_run_hint, None
    timers = mesh.store.keys.base(run.partition) + "timers"
    await mesh.store.command(run.partition, "ZADD", timers, 1, "d 0:1 0 limited:x")
    await mesh.store.fire(run.partition)
    await asyncio.sleep(0.005)  # so that the two outcomes bear different times
    await mesh.signal("key", 1)

    async def both() -> bool:
        return len(await mesh.store.entries(run.name, 0)) == 3

    await eventually(both)
    mesh._engine.on_run_hint = hear
    _, limit, signal = await mesh.store.entries(run.name, 0)
    run.came(1, limit)
    # Right behind the look that hands the limit over, in the same tick of the loop.
    asyncio.get_running_loop().call_soon(run.came, 2, signal)
    await eventually(lambda: len(seen) == 1)
    await hand_over(mesh, run)
    await eventually(lambda: len(seen) == 2)
    assert seen[0] == seen[1]
    assert seen[0][0] == "too late"
    await mesh.signal("go")
    await result


async def test_news_whose_hint_went_with_a_connection_are_read_after_it(mesh: MeshData, eventually: Eventually) -> None:
    async def waiting() -> Any:
        return await workflow.wait_for("key")

    await mesh.connect("waiting", waiting)
    result = asyncio.create_task(mesh.exec(entity="waiting", id="x", ttl="1 minute"))
    _, run = await until_resident([mesh], "waiting:x")
    await eventually(lambda: run.is_waiting)
    mesh._engine.on_run_hint = None
    await mesh.signal("key", 5)

    async def has_come() -> bool:
        return len(await mesh.store.entries(run.name, 0)) == 2

    await eventually(has_come)
    await mesh.store.forget_news(run.partition, [run.name])  # as by a look that came just before
    await mesh._host.verify(run.partition)
    assert await asyncio.wait_for(result, 5) == 5


async def test_a_lease_that_came_too_late_does_not_cost_the_run_begun_anew(
    open_mesh: OpenMesh, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = await open_mesh(life_sign="5 minutes")
    begun: list[int] = []
    gate = asyncio.Event()

    async def waiting(n: int) -> int:
        begun.append(n)
        await gate.wait()
        return n

    await mesh.connect("waiting", waiting)
    old = asyncio.create_task(mesh.exec(entity="waiting", args=[1], id="x", ttl="1 minute"))
    _, run = await until_resident([mesh], "waiting:x")
    await eventually(lambda: begun == [1])
    run.began_at -= 10
    beat, held = mesh.store.beat, []
    monkeypatch.setattr(mesh._router, "_handlers", {"waiting": held.append})
    new = asyncio.create_task(mesh.exec(entity="waiting", args=[2], id="x", ttl="1 minute", flush=True))
    await eventually(lambda: held)

    async def slow(*args: Any, **options: Any) -> Any:
        answer = await beat(*args, **options)
        mesh._host.handle(held[0])  # the new run's message is read before the answer is
        await eventually(lambda: begun == [1, 2])
        return answer

    monkeypatch.setattr(mesh.store, "beat", slow)
    await mesh._leases.beat(run.partition)
    monkeypatch.undo()
    gate.set()
    assert await asyncio.wait_for(asyncio.gather(old, new), 5) == [2, 2]
