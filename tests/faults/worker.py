"""The process the fault tests kill, freeze and starve: `python worker.py '<json options>'` serves until SIGTERM.

It writes a trail, one line per event, in one write each, so that a `kill -9` cuts between lines and never inside one:
    ready <pid> <process>       it serves
    begin <pid> <key>           an activity begins; the key is the same for every run of one call
    end <pid> <key>             it returned; whether its outcome was recorded is another matter
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from typing import Any

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import MeshError
from meshdata.store.lane import Lane
from tests.faults import voyage

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
TRAIL = os.open(OPTIONS["trail"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
state = workflow.state


def note(event: str, *facts: object) -> None:
    """One line on the trail."""
    os.write(TRAIL, f"{event} {os.getpid()} {' '.join(map(str, facts))}\n".encode())


async def work(n: int, pause: float) -> int:
    """What every activity does: say so, take its time, say so."""
    key = activity.info().idempotency_key
    note("begin", key)
    await asyncio.sleep(pause)
    note("end", key)
    return n


@activity
async def first(n: int, pause: float) -> int:
    return await work(n, pause)


@activity
async def second(n: int, pause: float) -> int:
    return await work(n, pause) * 2


@activity
async def third(n: int, pause: float) -> int:
    return await work(n, pause) * 3


async def order(n: int, pause: float = 0.01) -> int:
    """Three activities, each followed by a count on the record: its value is 6 n, `steps` is 3."""
    total = 0
    for act in (first, second, third):
        total += await act(n, pause)
        await state.incr("steps", 1)
    return total


@activity(retry=RetryPolicy(max_attempts=3, initial=0.05))
async def flaky(n: int) -> int:
    if activity.info().attempt == 1:
        raise ValueError("the first attempt fails")
    return n


@activity(queue="far")
async def far(n: int) -> int:
    """Its workers are those of another queue."""
    return await work(n, 0.01)


async def leaf(n: int) -> int:
    await state.incr("leaves", 1)
    return await first(n, 0.01)


async def journey(n: int) -> int:
    """Every kind of durable call; fails once at its end. Its value is 5 n, `steps` is 5; wants a signal `go-<n>`."""
    total = await flaky(n)
    await state.incr("steps", 1)
    await workflow.sleep_for("250 ms")
    await state.incr("steps", 1)
    total += await workflow.wait_for(f"go-{n}")
    await state.incr("steps", 1)
    total += await workflow.exec_child("leaf", args=[n], ttl="1 minute")
    await state.incr("steps", 1)
    total += await far(n)
    await workflow.signal(f"came-{n}", n)
    total += await workflow.wait_for(f"came-{n}")
    await state.incr("steps", 1)
    if workflow.info().attempt == 1:
        raise RuntimeError("once more from the top")
    return total


async def mark(by: int) -> int:
    """A hook on a journey."""
    return int(await state.incr("marks", by))


async def rounds(n: int, left: int = 3, total: int = 0) -> int:
    """Goes on as a new run three times; its value is 4 n, `steps` is 4."""
    total += await first(n, 0.01)
    await state.incr("steps", 1)
    if left:
        workflow.continue_as_new(n, left - 1, total)
    return total


async def give_back(n: int) -> None:
    await second(n, 0.01)
    await state.incr("given_back", 1)


async def rental(n: int) -> None:
    """Goes on until it is cancelled, and undoes then what it did."""
    async with workflow.saga() as saga:
        saga.compensate(give_back, n)
        await first(n, 0.01)
        await state.incr("taken", 1)
        await workflow.wait_for(f"never go-{n}")


async def sleeper(n: int, seconds: float) -> int:
    """One long activity."""
    total = await first(n, seconds)
    await state.incr("steps", 1)
    return total


async def waits(key: str) -> int:
    """Nothing but a wait."""
    return int(await workflow.wait_for(key))


async def poison(n: int) -> None:
    """Takes its process with it: after a step, so that its lease is taken."""
    await state.set(n=n)
    os.kill(os.getpid(), signal.SIGKILL)


@activity
async def deadly(n: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def poison_at_once(n: int) -> None:
    """Takes its process with it before the first step."""
    await deadly(n)


@activity(queue="far")
async def poison_far(n: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def asks_for_poison(n: int) -> str:
    """Its activity kills whoever serves the queue."""
    try:
        await poison_far(n)
    except MeshError as error:
        return f"{type(error).__name__}: {error}"
    return "lived"


async def limited(n: int) -> int:
    """One of two at once."""
    note("inside", n)
    total = await first(n, 0.05)
    await state.incr("steps", 1)
    note("outside", n)
    return total


async def tick() -> None:
    """A slot of a schedule: says so, and counts itself on its record."""
    note("tick", workflow.info().id)
    await state.incr("ticks", 1)


async def plain(key: str, pause: float) -> str:
    """Called without a job."""
    note("begin", key)
    await asyncio.sleep(pause)
    note("end", key)
    return key


def make_deaf() -> None:
    """Lose every publication, as if Redis had none: news is only what somebody looks for."""
    pushed = Lane._pushed

    def deaf(lane: Lane, push: list[Any]) -> None:
        if push[0] != b"message":
            pushed(lane, push)

    Lane._pushed = deaf  # type: ignore[method-assign]


async def main() -> None:
    if OPTIONS["deaf"]:
        make_deaf()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    mesh = MeshData(OPTIONS["url"], namespace=OPTIONS["namespace"], **OPTIONS["mesh"])
    served = OPTIONS["serves"]
    for function in (
        order,
        leaf,
        journey,
        rounds,
        rental,
        sleeper,
        waits,
        poison,
        poison_at_once,
        asks_for_poison,
        tick,
        plain,
    ):
        if not served or function.__name__ in served:
            mesh.connect(function.__name__, function)
    if not served or "journey" in served:
        mesh.connect("journey.mark", mark)
    if "limited" in served:
        mesh.connect("limited", limited, limit=2)
    async with mesh:
        if not served or "far" in served:
            await mesh.serve_activities("far", far, poison_far)
        if "graphs" in served:
            await voyage.serve(mesh, note)
        note("ready", mesh.process)
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    asyncio.run(main())
