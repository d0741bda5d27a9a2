"""One seed: run it, and hold what came of it against the promises (docs/design.md, section 2) and the model."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import Any

import pytest

from meshdata.errors import StoreUnavailable, UsageError
from tests.simulation.programs import Author, Node, counted, fits, is_certain, leaves, tokens
from tests.simulation.world import World, current_process, simulated

DEADLINE_S = 900.0
"""Simulated seconds after which a job that has no result hangs."""

MAY_STAY = ("meta", "inseq", "outseq")


class Records(logging.Handler):
    """Errors that the library logs: none is expected."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        process = current_process.get(None)
        if process is not None and not process.alive:
            return  # what a dead process would say, nobody hears
        self.found.append(f"{record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


class Trial:
    """What a world's jobs are, who awaits them, and what they got."""

    def __init__(self, world: World) -> None:
        self.world = world
        dice = random.Random(f"trial {world.seed}")
        self.trees: dict[str, Node] = {f"j{n}": Author(dice).program() for n in range(dice.choice([1, 1, 2, 3]))}
        self.dice = dice
        self.results: dict[str, list[Any]] = {id: [] for id in self.trees}
        self.sent: dict[str, list[str]] = {id: [] for id in self.trees}

    async def run(self) -> None:
        """Start everything, send what is waited for, await all results."""
        await self.world.open()
        callers = [self._call(id, self.dice.random()) for id in self.trees for _ in range(self.dice.choice([1, 2]))]
        signals = [self._signal(id, 3 * self.dice.random()) for id, tree in self.trees.items() for _ in _waits(tree)]
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*callers, *signals)

    async def _call(self, id: str, delay: float) -> None:
        await asyncio.sleep(delay)
        self.results[id].append(await self._surely("exec", "program", [self.trees[id]], id=id, ttl="1 day"))

    async def _signal(self, id: str, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            token = f"{id}-{len(self.sent[id])}"
            self.sent[id].append(token)
            if await self._try("signal", f"key-{id}", token) is not _LOST:
                return  # else it may have arrived or not: another one, so that one does

    async def _surely(self, verb: str, *args: Any, **options: Any) -> Any:
        while (found := await self._try(verb, *args, **options)) is _LOST:
            pass
        return found

    async def _try(self, verb: str, *args: Any, **options: Any) -> Any:
        """What a program whose process is started again does: say it again in the next life."""
        client = self.world.client
        try:
            return await getattr(client.mesh, verb)(*args, **options)
        except (StoreUnavailable, UsageError):  # it cannot reach the store, or is closed
            self.world.log(f"{verb} failed in {client.name}")
            await asyncio.sleep(0.1)
        while not self.world.client.alive:
            await asyncio.sleep(0.1)
        return _LOST

    # --- what must hold -----------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Everything that was promised."""
        mesh = self.world.client.mesh
        store = mesh.store
        assert await store.parked_runs() == {}
        for id, tree in self.trees.items():
            await self._until_hooks_end(id)
            given = self.results[id] + [await mesh.exec("program", [tree], id=id, ttl="1 day")]
            assert all(one == given[0] for one in given), f"{id} has several results: {given}"
            assert fits(tree, given[0]), f"{id} gave {given[0]}"
            record = await mesh.all("program", id)
            count, most = int(record.get("count", 0)), counted(tree)
            assert count == most if is_certain(tree) else count <= most, f"{id} counted {count} of {most}"
            await self._check_signals(id, tree, tokens(given[0]))
            journal = [entry.split(b" ", 4) for entry in await store.entries(f"0 program:{id}", 0)]
            final = Counter(entry[1] for entry in journal if entry[3] not in (b"try", b"due") and entry[2] != b"end")
            assert [position for position, times in final.items() if times > 1] == [], journal

    async def _until_hooks_end(self, id: str) -> None:
        store = self.world.client.mesh.store
        async with asyncio.timeout(DEADLINE_S):
            while any(name.startswith("k:") for name in await store.header(f"0 program:{id}")):
                await asyncio.sleep(0.2)

    async def _check_signals(self, id: str, tree: Node, taken: list[str]) -> None:
        assert len(set(taken)) == len(taken), f"a signal of {id} was given twice: {taken}"
        assert set(taken) <= set(self.sent[id])
        kept = await self._kept(f"key-{id}")
        assert not set(kept) & set(taken), f"a signal of {id} was given and kept: {kept}, {taken}"
        told = await self._kept(f"told-{id}")
        most = [f"{id}-{leaf[1]}" for leaf in _own(tree) if leaf[0] == "tell"]
        assert sorted(told) == sorted(most) if is_certain(tree) else set(told) <= set(most), (
            f"{id} told {told} of {most}"
        )
        assert len(set(told)) == len(told)

    async def _kept(self, key: str) -> list[str]:
        store = self.world.client.mesh.store
        partition = store.keys.partition(key)
        line = f"{store.keys.base(partition)}sig:{key}"
        kept = await store.command(partition, "LRANGE", line, 0, -1)
        assert all(entry.startswith(b"p ") for entry in kept), f"somebody still waits on {key}: {kept}"
        await store.command(partition, "DEL", line)
        return [entry[3:-1].decode() for entry in kept]

    async def close(self) -> None:
        """Flush and close: nothing may be left."""
        world = self.world
        for id in self.trees:
            await world.client.mesh.flush("program", id)
        await asyncio.sleep(5)  # children that were started by the way end, and are forgotten
        for process in [*world.workers, world.client]:
            await process.mesh.close(drain=60)
        await asyncio.sleep(7 * 86400 + 3600)
        db = world.server.dbs[0]
        left = [key.decode() for key in list(db) if not key.decode().endswith(tuple(f":{name}" for name in MAY_STAY))]
        assert left == [], f"keys were left: {left}"


_LOST = object()


def _own(tree: Node) -> list[Node]:
    """Leaves that act under the program's own name."""
    kind = tree[0]
    if kind in ("child", "started"):
        return []
    if kind in ("seq", "gather", "race"):
        return [leaf for node in tree[1] for leaf in _own(node)]
    return _own(tree[2]) if kind == "limit" else [tree]


def _waits(tree: Node) -> list[Node]:
    return [leaf for leaf in leaves(tree) if leaf[0] == "wait"]


def run_seed(seed: int, monkeypatch: pytest.MonkeyPatch, *, keep_log: bool = False) -> World:
    """Run one seed to its end, and check it.

    Raises:
        AssertionError, TimeoutError: a promise was broken, or a job hangs.
    """
    errors = Records()
    problems: list[dict[str, Any]] = []
    logging.getLogger("meshdata").addHandler(errors)
    try:
        with simulated(seed, f"sim-{seed}", monkeypatch) as (loop, server):
            loop.set_exception_handler(lambda _, context: problems.append(context))
            world = World(seed, loop, server)
            world.keep_log = keep_log

            async def live() -> None:
                trial = Trial(world)
                try:
                    await trial.run()
                    await world.calm()
                    await trial.check()
                    await trial.close()
                finally:
                    await _end(world)

            loop.run_until_complete(live())
        assert errors.found == [], errors.found
        assert problems == [], problems
    except BaseException as error:
        error.world = world  # type: ignore[attr-defined]
        raise
    finally:
        logging.getLogger("meshdata").removeHandler(errors)
    return world


async def _end(world: World) -> None:
    """Leave nothing of a world that failed either."""
    world.faults.clear()
    world.chores.clear()
    mine = asyncio.current_task()
    for _ in range(20):
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        if not tasks:
            return
        for task in sorted(tasks, key=lambda task: task.get_name()):
            task.cancel()
        await asyncio.wait(tasks, timeout=1)
