"""Checks recorded runs against today's code, without a server: does the function still take the way it took?

    replay("recorded/order.o-1.json", order)       # raises ReplayError, with the line, if it does not

What is recorded is what `mesh.export` gives and `meshdata export` writes. `meshdata check` does it for a whole folder.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from meshdata.entity.entity import Entity
from meshdata.entity.registry import Registry
from meshdata.errors import ContinueAsNew, InvalidOptions, MeshTimeout, ReplayError
from meshdata.values import Duration, duration_ms
from meshdata.workflow.export import JobExport, Journal, entry_bytes
from meshdata.workflow.function import Function
from meshdata.workflow.home import Homes
from meshdata.workflow.method import Method
from meshdata.workflow.offline import Knows, Reached, Recorded, rerun

T = TypeVar("T")
Source = JobExport | Mapping[str, Any] | Path | str


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a recorded run came with today's code. (In a coroutine it may be awaited, which gives itself.)

    Attributes:
        status: completed, failed, renewed (by `continue_as_new`), or waiting: for what is not recorded.
        result: what it returned; error: what it raised.
        waiting_for: the calls it makes beyond what is recorded, with their lines.
        outcomes: how many recorded outcomes it was given.
    """

    job: str
    dimension: str
    status: str
    result: Any
    error: BaseException | None
    waiting_for: tuple[str, ...]
    outcomes: int

    def __await__(self) -> "Generator[Any, None, Replayed]":
        yield from ()
        return self


def replay(
    export: Source,
    fn: Callable[..., Any] | Entity[Any, Any],
    *,
    dimension: str | int = 0,
    model: type[Any] | None = None,
    timeout: Duration = 10,
) -> Replayed:
    """Run a recorded job's function from its journal; activities and other effects are not done again.

    Args:
        export: a JobExport, its JSON as a dict, or the path of a file.
        fn: today's function, the entity it is connected as, which knows the models too, or a method (`Order.create`).
        dimension: 0 for the main function, the hook's number for a hook.
        model: the class of the record, where the function reads state by its types.
        timeout: for functions with input and output of their own, which is done again.

    Returns:
        How far it came.

    Raises:
        ReplayError: it takes another way than it took, or does not come to the end it came to.
        InvalidOptions: there is no such file, or nothing to replay in it. MeshTimeout: `timeout` passed.
    """
    recorded = load(export)
    journal = _journal(recorded, str(dimension))
    registry = fn.registry if isinstance(fn, Entity) else Registry()
    if isinstance(fn, Method):
        function = fn.function
    else:
        function = fn.connected.function if isinstance(fn, Entity) else Function(fn)
    if model is not None:
        registry.learn(model, recorded.entity)
    return replay_journal(recorded, journal, function, registry, timeout=timeout)


def replay_journal(
    export: JobExport, journal: Journal, function: Function, registry: Registry, *, timeout: Duration = 10
) -> Replayed:
    """`replay` of one run, by what is known of entities and models; see there."""
    seconds = (duration_ms(timeout, argument="timeout") or 0) / 1000
    job = f"{export.entity}:{export.id}"
    homes = Homes()
    for one in registry.functions.values():
        homes.add(one.home, one.function.fn)
    knows = Knows(
        homes, registry.to_hash, registry.from_hash, registry.seeds,
        registry.stored_names, registry.named, registry.elements,
    )  # fmt: skip
    entries = [entry_bytes(entry) for entry in journal.entries]
    recorded = Recorded(export.namespace, job, journal.dimension, journal.name, journal.attempt, entries, journal.waits)

    async def run() -> Reached:
        try:
            async with asyncio.timeout(seconds):
                return await rerun(recorded, function, knows)
        except TimeoutError as error:
            raise MeshTimeout(
                f"{job} did not come to rest within {seconds:g} s: its function awaits input and output of its own",
                job_id=job,
            ) from error

    reached = _run(run())
    if journal.status == "completed":
        _check_end(reached)
    renewed = isinstance(reached.error, ContinueAsNew)
    status = "waiting" if not reached.ended else "renewed" if renewed else "failed" if reached.error else "completed"
    return Replayed(
        job,
        journal.dimension,
        status,
        reached.result,
        None if renewed else reached.error,
        tuple(str(one) for one in reached.pending),
        reached.delivered,
    )


def load(export: Source) -> JobExport:
    """An export from wherever it is.

    Raises:
        InvalidOptions: there is none, or it is no export.
    """
    if isinstance(export, JobExport):
        return export
    if isinstance(export, Mapping):
        try:
            return JobExport.model_validate(export)
        except ValueError as error:
            raise InvalidOptions(f"this is no exported job: {error}", argument="export") from error
    try:
        text = Path(export).read_bytes()
    except OSError as error:
        raise InvalidOptions(f"it cannot be read: {error}", argument="export") from error
    return JobExport.from_json(text)


def _journal(export: JobExport, dimension: str) -> Journal:
    if export.journal is None:
        raise InvalidOptions(
            "it was exported without its journal: leave values=True, and journal in", argument="export"
        )
    for journal in export.journal:
        if journal.dimension == dimension:
            return journal
    there = ", ".join(journal.dimension for journal in export.journal)
    raise InvalidOptions(f"no run of dimension {dimension} is in it; there are: {there}", argument="dimension")


def _check_end(reached: Reached) -> None:
    """What completed then must complete today."""
    if not reached.ended:
        found, position, where = "a wait for nothing that is durable", "", ""
        if reached.pending:
            first = reached.pending[0]
            found, position, where = first.call, first.position, first.where
        raise ReplayError("the run's end", found, position, where=where)
    if reached.error is not None:
        raised = f"{type(reached.error).__name__}: {reached.error}"
        raise ReplayError("the run's end", f"its failure by {raised}", "") from reached.error


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own: in a thread of its own where a loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    outcome: list[T] = []
    problem: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=work, name="meshdata-replay")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return outcome[0]
