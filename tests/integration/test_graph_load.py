"""Many jobs of graphs at once, several processes."""

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from meshdata.hotmesh import StreamData
from tests.integration.conftest import Eventually
from tests.integration.test_graphs import OpenApp, open_app

__all__ = ["open_app"]  # a fixture

BACKLOG = """
    - subscribes: piece
      expire: 600
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        w1:
          type: worker
          topic: work
          input: {maps: {id: '{t1.output.data.id}'}}
          job: {maps: {by: '{$self.output.data.by}'}}
      transitions:
        t1: [{to: w1}]
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("partitions", [1], indirect=True)
async def test_a_backlog_of_ten_thousand_is_shared_and_nothing_is_run_twice(
    open_app: OpenApp, eventually: Eventually
) -> None:
    count = 10_000
    caller = await open_app(BACKLOG, readonly=True)
    for at in range(0, count, 500):
        await asyncio.gather(*(caller.pub("piece", {"id": f"p{n}"}) for n in range(at, at + 500)))
    runs: Counter[str] = Counter()
    share: Counter[str] = Counter()

    def worker(name: str) -> Any:
        async def work(asked: StreamData) -> dict[str, str]:
            runs[asked.data["id"]] += 1
            share[name] += 1
            await asyncio.sleep(0)
            return {"by": name}

        return work

    await open_app(workers=[("work", worker("one"))])
    await eventually(lambda: share["one"] > 100)
    await open_app(workers=[("work", worker("two"))])

    await eventually(lambda: len(runs) == count, within=120)
    assert set(runs.values()) == {1}
    assert min(share.values()) > count * 0.2, share

    async def left() -> int:
        found = await asyncio.gather(*(caller.get_status(f"p{n}") for n in range(count - 200, count)))
        return sum(status != 0 for status in found)

    async with asyncio.timeout(30):
        while await left():
            await asyncio.sleep(0.05)
    assert (await caller.get_state("piece", "p0")).metadata["js"] == 0


@pytest.mark.parametrize("partitions", [1], indirect=True)
async def test_plain_functions_work_side_by_side(open_app: OpenApp, eventually: Eventually) -> None:
    together = threading.Barrier(20, timeout=10)

    def wait_for_the_others(asked: StreamData) -> dict[str, str]:
        together.wait()
        return {"by": "all"}

    hot = await open_app(BACKLOG, workers=[("work", wait_for_the_others)])
    calls = (hot.pubsub("piece", {"id": f"p{n}"}, timeout=20) for n in range(20))
    assert {output.data["by"] for output in await asyncio.gather(*calls) if output.data} == {"all"}


@pytest.mark.parametrize("partitions", [1], indirect=True)
async def test_a_slow_worker_takes_no_more_than_it_has_room_for(open_app: OpenApp, eventually: Eventually) -> None:
    caller = await open_app(BACKLOG, readonly=True)
    busy = asyncio.Event()
    taken: list[str] = []

    async def slow(asked: StreamData) -> dict[str, str]:
        taken.append(asked.data["id"])
        await busy.wait()
        return {"by": "slow"}

    await open_app(workers=[("work", slow)])
    for n in range(150):
        await caller.pub("piece", {"id": f"p{n}"})
    await eventually(lambda: len(taken) >= 100)
    fast: list[str] = []

    def quick(asked: StreamData) -> dict[str, str]:
        fast.append(asked.data["id"])
        return {"by": "quick"}

    await open_app(workers=[("work", quick)])
    await eventually(lambda: len(fast) == 50)
    assert len(taken) == 100
    busy.set()
    async with asyncio.timeout(20):
        while await caller.get_status("p0"):
            await asyncio.sleep(0.01)
