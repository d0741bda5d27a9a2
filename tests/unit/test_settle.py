"""When a run is settled, and the private parts of asyncio that tell: each is named here, its loss is a failed test."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from typing import Any

import pytest

from meshdata.workflow import settle
from meshdata.workflow.context import entered, follow_tasks
from meshdata.workflow.settle import Settler, is_woken_within, waits, waits_on


class Running:
    """As much of a run as the settler sees: tasks, futures that stand for durable calls, and when it was settled."""

    name = "0 test:run"
    root = "0"

    def __init__(self, settler: Settler) -> None:
        self.settler = settler
        self.tasks: set[asyncio.Task[Any]] = set()
        self.calls: list[asyncio.Future[Any]] = []
        self.settlements = 0
        self.is_settled = asyncio.Event()
        self.log: list[str] = []

    def follow(self, task: "asyncio.Task[Any]", /) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def settled(self) -> None:
        self.settlements += 1
        self.log.append("settled")
        self.is_settled.set()

    def call(self) -> "asyncio.Future[Any]":
        """A durable call: what the test ends by setting its result."""
        future = asyncio.get_running_loop().create_future()
        self.calls.append(future)
        return future

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), context=copy_context().run(entered, self))
        self.follow(task)
        return task

    async def until_settled(self) -> None:
        self.is_settled.clear()
        self.settler.ask(self)
        async with asyncio.timeout(5):
            await self.is_settled.wait()

    def is_ours(self, future: Any) -> bool:
        return future in self.calls or future in self.tasks

    def rests(self) -> bool:
        return all(is_woken_within(task, self.is_ours) for task in self.tasks)


@pytest.fixture
async def run() -> Any:
    """A run on this loop, its tasks followed, nothing left over."""
    stop = follow_tasks(asyncio.get_running_loop())
    running = Running(Settler(asyncio.get_running_loop()))
    yield running
    for task in list(running.tasks):
        task.cancel()
    await asyncio.gather(*running.tasks, return_exceptions=True)
    stop()


# --- asyncio's private parts ------------------------------------------------------------------------------------------


async def test_a_task_tells_what_future_it_waits_on() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await future

    task = asyncio.create_task(wait())
    assert waits_on(task) is None and not waits(task)  # not started
    await asyncio.sleep(0)
    assert waits_on(task) is future and waits(task)
    future.set_result(None)
    assert not waits(task)  # it can go on
    await task


async def test_the_loop_shows_its_ready_queue_and_the_context_of_what_stands_in_it() -> None:
    loop = asyncio.get_running_loop()
    context = Context()
    loop.call_soon(lambda: None, context=context)
    handles = [handle for handle in loop._ready if handle._context is context]  # type: ignore[attr-defined]
    assert len(handles) == 1
    assert handles[0]._cancelled is False


async def test_a_gather_shows_its_children() -> None:
    futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
    gathered = asyncio.gather(*futures)
    assert gathered._children == futures  # type: ignore[attr-defined]
    gathered.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gathered


def test_asyncio_wait_keeps_its_arguments_where_they_are_looked_for() -> None:
    names = settle._WAIT.co_varnames
    assert "fs" in names and "timeout" in names


# --- settled ----------------------------------------------------------------------------------------------------------


async def test_a_run_whose_only_task_waits_is_settled(run: Running) -> None:
    future = run.call()

    async def main() -> None:
        await future

    run.begin(main())
    await run.until_settled()
    assert run.settlements == 1


async def test_it_is_not_settled_while_a_task_goes_on_by_itself(run: Running) -> None:
    future = run.call()

    async def main() -> None:
        for turn in range(50):
            await asyncio.sleep(0)
            run.log.append(f"turn {turn}")
        await future

    run.begin(main())
    await run.until_settled()
    assert run.log[-2:] == ["turn 49", "settled"]


async def test_one_run_is_settled_while_another_is_busy(run: Running) -> None:
    other = Running(run.settler)
    stop = False

    async def busy() -> None:
        while not stop:
            await asyncio.sleep(0)

    async def main() -> None:
        await run.call()

    other.begin(busy())
    run.begin(main())
    other.settler.ask(other)
    await run.until_settled()
    assert other.settlements == 0
    stop = True
    await asyncio.gather(*other.tasks)


def nested(depth: int, leaf: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
    """A gather of gathers, `depth` deep, around one awaitable."""
    if depth == 0:
        return leaf()
    return asyncio.gather(nested(depth - 1, leaf))


@pytest.mark.parametrize("depth", [1, 2, 17, 100])
async def test_gathers_nested_deep_are_waited_for(run: Running, depth: int) -> None:
    first, second = run.call(), run.call()

    async def leaf() -> None:
        await first
        run.log.append("leaf")

    async def main() -> None:
        await nested(depth, leaf)
        run.log.append("main")
        await second

    run.begin(main())
    await run.until_settled()
    first.set_result(None)
    await run.until_settled()
    # Each level takes a tick in which every task waits on a future that is not done.
    assert run.log == ["settled", "leaf", "main", "settled"]


async def test_a_run_with_many_tasks_is_settled_when_the_last_one_waits(run: Running) -> None:
    gate = run.call()
    late = run.call()

    async def one(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        run.log.append("one")
        await late

    async def main() -> None:
        await gate
        async with asyncio.TaskGroup() as group:
            for turns in range(100):
                group.create_task(one(turns))

    run.begin(main())
    await run.until_settled()
    gate.set_result(None)
    await run.until_settled()
    assert run.log == ["settled", *["one"] * 100, "settled"]
    late.set_result(None)


async def test_a_run_that_is_forgotten_is_not_called(run: Running) -> None:
    async def main() -> None:
        await run.call()

    run.begin(main())
    run.settler.ask(run)
    run.settler.forget(run)
    for _ in range(5):
        await asyncio.sleep(0)
    assert run.settlements == 0


async def test_where_the_queue_is_out_of_sight_quiet_ticks_are_counted(run: Running) -> None:
    run.settler._sees_queue = False
    future = run.call()

    async def main() -> None:
        for _ in range(30):
            await asyncio.sleep(0)
        run.log.append("main")
        await nested(5, lambda: future)

    run.begin(main())
    await run.until_settled()
    assert run.log == ["main", "settled"]
    future.set_result(None)


# --- who can wake it --------------------------------------------------------------------------------------------------


async def _direct(run: Running) -> None:
    await run.call()


async def _gathered(run: Running) -> None:
    await asyncio.gather(run.call(), asyncio.gather(run.call(), _direct(run)))


async def _waited(run: Running) -> None:
    await asyncio.wait([asyncio.create_task(_direct(run)), asyncio.create_task(_direct(run))])


async def _first(run: Running) -> None:
    tasks = [asyncio.create_task(_direct(run)), asyncio.create_task(_direct(run))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def _completed(run: Running) -> None:
    for one in asyncio.as_completed([_direct(run), _direct(run)]):
        await one


async def _group(run: Running) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_direct(run))
        group.create_task(_direct(run))


async def _locked(run: Running) -> None:
    lock = asyncio.Lock()

    async def one() -> None:
        async with lock:
            await run.call()

    await asyncio.gather(one(), one())


async def _queued(run: Running) -> None:
    queue: asyncio.Queue[None] = asyncio.Queue(1)

    async def put() -> None:
        await run.call()
        await queue.put(None)

    await asyncio.gather(put(), queue.get())


async def _evented(run: Running) -> None:
    event = asyncio.Event()

    async def tell() -> None:
        await run.call()
        event.set()

    await asyncio.gather(tell(), event.wait(), event.wait())


async def _task(run: Running) -> None:
    await asyncio.create_task(_direct(run))


async def _shielded(run: Running) -> None:
    await asyncio.gather(asyncio.shield(_direct(run)), asyncio.shield(run.call()))


@pytest.mark.parametrize(
    "program", [_direct, _gathered, _waited, _first, _completed, _group, _locked, _queued, _evented, _task, _shielded]
)
async def test_a_run_that_waits_on_durable_calls_rests(
    run: Running, program: Callable[[Running], Coroutine[Any, Any, None]]
) -> None:
    task = run.begin(program(run))
    await run.until_settled()
    assert run.rests()
    for call in run.calls:
        if not call.done():
            call.set_result(None)
    while not task.done():
        for call in run.calls:
            if not call.done():
                call.set_result(None)
        await asyncio.sleep(0)


async def _sleeping(run: Running) -> None:
    await asyncio.sleep(3600)


async def _foreign(run: Running) -> None:
    await asyncio.get_running_loop().create_future()


async def _one_of_two(run: Running) -> None:
    await asyncio.gather(run.call(), asyncio.sleep(3600))


async def _timed_wait(run: Running) -> None:
    await asyncio.wait([asyncio.create_task(_direct(run))], timeout=3600)


async def _shielded_foreign(run: Running) -> None:
    await asyncio.shield(asyncio.get_running_loop().create_future())


async def _timed_call(run: Running) -> None:
    await asyncio.wait_for(_timed_wait(run), 3600)


async def _waited_foreign(run: Running) -> None:
    await asyncio.wait([asyncio.get_running_loop().create_future()])


async def _behind_a_generator(run: Running) -> None:
    async def numbers() -> Any:
        yield 1
        await asyncio.sleep(3600)
        yield 2

    async for _ in numbers():
        pass


@pytest.mark.parametrize(
    "program",
    [
        _sleeping,
        _foreign,
        _one_of_two,
        _timed_wait,
        _waited_foreign,
        _behind_a_generator,
        _shielded_foreign,
        _timed_call,
    ],
)
async def test_a_run_with_input_and_output_of_its_own_does_not(
    run: Running, program: Callable[[Running], Coroutine[Any, Any, None]]
) -> None:
    run.begin(program(run))
    await run.until_settled()
    assert not run.rests()


def test_a_queue_that_a_thread_adds_to_is_looked_at_again() -> None:
    class Ready:
        looks = 0

        def __iter__(self) -> Iterator[Any]:
            self.looks += 1
            if self.looks < 3:
                raise RuntimeError("deque mutated during iteration")
            return iter(())

    class Loop:
        _ready = Ready()

    assert settle.queued(Loop()) == []  # type: ignore[arg-type]
    assert Loop._ready.looks == 3
