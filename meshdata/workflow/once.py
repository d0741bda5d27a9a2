"""What is done or drawn once: `once` records a value; random numbers, ids and the time follow from the run itself."""

import asyncio
import random as _random
import uuid as _uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from meshdata.errors import failure_payload
from meshdata.values import from_json, to_json
from meshdata.workflow.call import Call, durable
from meshdata.workflow.context import current_path, current_run
from meshdata.workflow.function import Function
from meshdata.workflow.runner import Run


def once(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
    """Call a function and record what it returned or raised; replays get that. A crash in between runs it again.

    Raises:
        ActivityFailed: it raised.
    """
    function = Function(fn)
    function.bind(args, kwargs)

    async def work(run: Run, call: Call) -> None:
        try:
            result = await function.run(run.host.in_thread, args, kwargs)
            run.record(call, "ok", to_json(result, argument="result"))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            run.record(call, "err", to_json(failure_payload(error), argument="error"))
        finally:
            run.end_inline()

    def live(run: Run, call: Call) -> None:
        run.begin_inline()
        call.task = run.host.spawn(work(run, call))

    def decode(payload: bytes) -> Any:
        return function.result(from_json(payload))

    return durable("once", "once", function.name, live, decode=decode, inline=True)


def _seed(verb: str) -> str:
    run = current_run(verb)
    return f"{run.job}/{run.dimension}/{run.started_ms}/{current_path().next_call()}"


def random() -> _random.Random:
    """A generator of random numbers, seeded by the job and the place of the call: the same on every replay."""
    return _random.Random(_seed("random"))


def uuid() -> _uuid.UUID:
    """A random UUID, the same on every replay."""
    return _uuid.UUID(int=_random.Random(_seed("uuid")).getrandbits(128), version=4)


def now() -> datetime:
    """The time of the last outcome the run was given (UTC): a clock that replays."""
    return datetime.fromtimestamp(current_run("now").now_ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class WorkflowInfo:
    """About the running workflow or hook.

    Attributes:
        job_id: "<entity>:<id>"; entity and id its parts.
        dimension: "0" for the main function, the hook's number in a hook.
        attempt: 1 for the first run of the function.
        runs: runs of the job so far; one more with each `continue_as_new`.
        entries: outcomes this run was told so far, the same on every replay: by it a function may decide that it is
            time for `continue_as_new`.
        started: when the run was created.
        origin: the job at the root of its tree; itself for a root.
        namespace: where it runs.
    """

    job_id: str
    entity: str
    id: str
    dimension: str
    attempt: int
    runs: int
    entries: int
    started: datetime
    origin: str
    namespace: str


def info() -> WorkflowInfo:
    """About the running workflow or hook."""
    run = current_run("info")
    entity, _, id = run.job.partition(":")
    return WorkflowInfo(
        job_id=run.job,
        entity=entity,
        id=id,
        dimension=run.dimension,
        attempt=run.attempt + 1,
        runs=run.round + 1,
        entries=run.told,
        started=datetime.fromtimestamp(run.started_ms / 1000, UTC),
        origin=run.origin,
        namespace=run.host.store.keys.namespace,
    )


get_context = info
