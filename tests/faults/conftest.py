"""A fleet of real worker processes to kill, and what to hold against what they leave behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from meshdata import MeshData
from meshdata.engine.entry import Entry, parse
from meshdata.store.crash import VARIABLE
from meshdata.store.keys import Keys

ROOT = Path(__file__).parents[2]
LIFE_SIGN = 0.6
"""Seconds: short, so that tests of take-over are."""


async def until(claim: Callable[[], Any], seconds: float = 20.0, *, what: str = "") -> Any:
    """Poll a claim, plain or async, until it holds; its value."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        value = claim()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert loop.time() < deadline, f"not within {seconds:g} s: {what or claim}"
        await asyncio.sleep(0.01)


class Worker:
    """One worker process."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.log = log
        self.process = ""

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """Dead at once, as by a power cut."""
        self.popen.kill()
        self.popen.wait(10)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def died(self, seconds: float = 20.0) -> None:
        """Wait until it was killed, by its crash point or by what it ran."""
        await until(lambda: not self.alive, seconds, what=f"worker {self.pid} dies; its log: {self.words()}")
        assert self.popen.returncode == -signal.SIGKILL, self.words()

    def words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]


class Trail:
    """What the workers wrote down about what they did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self, event: str) -> list[tuple[int, str]]:
        """(pid, fact) of each event, in order."""
        found = []
        for line in self.path.read_text().splitlines():
            name, pid, fact = line.split(" ", 2)
            if name == event:
                found.append((int(pid), fact))
        return found

    def runs(self) -> Counter[str]:
        """How often each activity call began."""
        return Counter(key for _, key in self.lines("begin"))


class Fleet:
    """Workers on one namespace, and a plain client to look at what they wrote."""

    until = staticmethod(until)

    def __init__(self, url: str, namespace: str, partitions: int, folder: Path, client: redis.Redis) -> None:
        self.url = url
        self.namespace = namespace
        self.partitions = partitions
        self.keys = Keys(namespace, partitions)
        self.redis = client
        self.trail = Trail(folder / "trail")
        self.workers: list[Worker] = []
        self.dead: list[str] = []
        self._folder = folder

    def launch(self, *, crash: str = "", serves: tuple[str, ...] = (), deaf: bool = False, **mesh: Any) -> Worker:
        """Start a worker; it may not serve yet."""
        number = len(self.workers)
        options = {
            "url": self.url,
            "namespace": self.namespace,
            "trail": str(self.trail.path),
            "serves": serves,
            "deaf": deaf,
            "mesh": {"partitions": self.partitions, "life_sign": LIFE_SIGN, "linger": 0.05, **mesh},
        }
        log = self._folder / f"worker-{number}.log"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop(VARIABLE, None)
        if crash:
            environment[VARIABLE] = crash
        with open(log, "wb") as stderr:
            popen = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("worker.py")), json.dumps(options)],
                stdout=subprocess.DEVNULL, stderr=stderr, env=environment, cwd=self._folder,
            )  # fmt: skip
        worker = Worker(popen, log)
        self.workers.append(worker)
        return worker

    async def ready(self, *workers: Worker) -> None:
        """Wait until they serve."""

        def all_serve() -> bool:
            told = dict(self.trail.lines("ready"))
            for worker in workers:
                worker.process = told.get(worker.pid, "")
                assert worker.alive, worker.words()
            return all(worker.process for worker in workers)

        await until(all_serve, 30, what="workers serve")

    async def start(self, count: int = 1, **options: Any) -> list[Worker]:
        """Start workers and wait until they serve."""
        workers = [self.launch(**options) for _ in range(count)]
        await self.ready(*workers)
        return workers

    def client(self, **options: Any) -> MeshData:
        """A mesh that only calls."""
        return MeshData(self.url, namespace=self.namespace, partitions=self.partitions, **options)

    # --- what is there ------------------------------------------------------------------------------------------------

    def base(self, job: str) -> str:
        return self.keys.base(self.keys.partition(job))

    def journal(self, job: str, dim: str = "0") -> list[Entry]:
        kind = f"l:{job}" if dim == "0" else f"hl:{dim}:{job}"
        return [parse(at, raw) for at, raw in enumerate(self.redis.lrange(self.base(job) + kind, 0, -1))]

    def header(self, job: str) -> dict[str, str]:
        raw = self.redis.hgetall(f"{self.base(job)}j:{job}")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def record(self, job: str) -> dict[str, str]:
        raw = self.redis.hgetall(self.keys.record(job))
        return {name.decode(): value.decode() for name, value in raw.items()}

    def unrecorded(self, pid: int) -> set[str]:
        """Activity calls a process began whose outcome the store does not have: what was in flight in it."""
        found = set()
        for key in {key for by, key in self.trail.lines("begin") if by == pid}:
            job, dim, position = key.rsplit("/", 2)
            if not any(entry.position == position and entry.is_final for entry in self.journal(job, dim)):
                found.add(key)
        return found

    def signs(self) -> set[str]:
        """Processes that have a life sign, fresh or lapsed."""
        found: set[str] = set()
        for partition in range(self.partitions):
            found |= {m.decode() for m in self.redis.zrange(f"{self.keys.base(partition)}procs", 0, -1)}
        return found

    def assert_outcomes_once(self, job: str, dim: str = "0") -> None:
        """No call of a run has two ends in its journal."""
        ends = Counter(entry.position for entry in self.journal(job, dim) if entry.is_final)
        twice = {position: count for position, count in ends.items() if count > 1}
        assert not twice, f"{job}: recorded more than once: {twice}"

    def assert_order_is_right(self, n: int, pause: float | None = None) -> None:
        """An `order` that was given n did all it should, once."""
        job = f"order:{n}"
        header, record = self.header(job), self.record(job)
        assert (header["status"], header["result"]) == ("completed", str(6 * n)), (job, header)
        assert (record["steps"], record["_status"]) == ("3", "completed"), (job, record)
        self.assert_outcomes_once(job)
        assert len(self.journal(job)) == 7, job

    async def ended(self, calls: Sequence[asyncio.Task[Any]], jobs: Sequence[str], seconds: float = 60.0) -> list[Any]:
        """The values of all calls; if some do not come, the failure shows how their jobs stand."""
        await asyncio.wait(calls, timeout=seconds)
        stuck = {job: self.header(job) for call, job in zip(calls, jobs, strict=True) if not call.done()}
        assert not stuck, f"{len(stuck)} did not end: {dict(list(stuck.items())[:3])}\n{self.workers[-1].words()}"
        return await asyncio.gather(*calls)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def only_the_living(self) -> None:
        """Wait until nobody keeps a place for processes that died."""

        def cleared() -> bool:
            pids = {worker.pid for worker in self.workers if worker.alive}
            return self.signs() <= {process for pid, process in self.trail.lines("ready") if pid in pids}

        await until(cleared, what=f"{self.signs()} are cleared away")

    async def stop(self) -> None:
        """End every worker by SIGTERM; each has to follow, and to leave nothing."""
        living = [worker for worker in self.workers if worker.alive]
        for worker in living:
            os.kill(worker.pid, signal.SIGCONT)
            worker.popen.terminate()
        for worker in living:
            await until(lambda worker=worker: not worker.alive, 20, what=f"worker {worker.pid} ends")
            assert worker.popen.returncode == 0, worker.words()

    def end(self) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.popen.kill()
                worker.popen.wait(10)


@pytest.fixture(params=[1, 4], ids=["1 partition", "4 partitions"])
def partitions(request: pytest.FixtureRequest) -> int:
    """Every fault test runs on one partition, and on four."""
    count: int = request.param
    return count


@pytest.fixture
async def fleet(
    redis_url: str, namespace: str, no_leaks: set[str], partitions: int, tmp_path: Path, redis_client: redis.Redis
) -> AsyncIterator[Fleet]:
    """An empty fleet; afterwards every process is gone, and no key is left but those with a TTL."""
    # What partitions know of one another's messages: a few numbers that stay, like `meta`.
    no_leaks |= {"outseq", "inseq"}
    fleet = Fleet(redis_url, namespace, partitions, tmp_path, redis_client)
    try:
        yield fleet
        if any(worker.alive for worker in fleet.workers):
            await fleet.only_the_living()
        await fleet.stop()
    finally:
        fleet.end()
