"""Each script by itself, on a real Redis, through the method of Store that calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import redis

from meshdata.engine.entry import Entry, parse
from meshdata.store.messages import Claim, Leased, StartJob
from meshdata.store.redis import Connections
from meshdata.store.store import Store

MakeStore = Callable[..., Awaitable[Store]]
TOPIC = "work"


class Bench:
    """One process's store, with what the tests do over and over; partitions and time are theirs to choose."""

    def __init__(self, store: Store, client: redis.Redis) -> None:
        self.store = store
        self.redis = client

    def base(self, job: str) -> str:
        return self.store.keys.base(self.store.keys.partition(job))

    async def start(self, job: str = "thing:1", **options: Any) -> Claim:
        """Create a job; the claim its message makes."""
        outcome = await self.store.start_job(StartJob(job, TOPIC, b'{"a":[]}', "thing", **options))
        assert outcome.word == "CREATED"
        return self.claims(job)[-1]

    async def take(self, job: str = "thing:1", **options: Any) -> Claim:
        """Create a job and hold its lease."""
        claim = await self.start(job, **options)
        assert (await self.store.lease(claim)).word == "OK"
        return Claim(claim.run, claim.fence)

    async def lease(self, claim: Claim) -> Leased:
        return await self.store.lease(claim)

    def claims(self, job: str, topic: str = TOPIC) -> list[Claim]:
        """A claim for every message in the streams of a topic."""
        found = []
        for kind in "qc":
            stream = f"{self.base(job)}{kind}:{topic}"
            for number, fields in self.redis.xrange(stream):
                if b"r" in fields:
                    found.append(Claim(fields[b"r"].decode(), fields[b"f"].decode(), stream, number))
        return found

    def read(self, job: str, topic: str = TOPIC) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Read what is new as this store's process, as the router does: it is pending for it from then on."""
        found: list[tuple[bytes, dict[bytes, bytes]]] = []
        for kind in "qc":
            stream = f"{self.base(job)}{kind}:{topic}"
            reply = self.redis.xreadgroup("g", self.store.process, {stream: ">"}, count=100)
            for [messages] in reply.values():
                found += messages
        return found

    def header(self, job: str, dim: str = "0") -> dict[str, str]:
        key = f"{self.base(job)}j:{job}" if dim == "0" else f"{self.base(job)}hj:{dim}:{job}"
        return {k.decode(): v.decode() for k, v in self.redis.hgetall(key).items()}

    def record(self, job: str) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.redis.hgetall(self.store.keys.record(job)).items()}

    def journal(self, job: str, dim: str = "0") -> list[Entry]:
        key = f"{self.base(job)}l:{job}" if dim == "0" else f"{self.base(job)}hl:{dim}:{job}"
        return [parse(at, raw) for at, raw in enumerate(self.redis.lrange(key, 0, -1))]

    def messages(self, job: str, topic: str = TOPIC) -> int:
        return sum(self.redis.xlen(f"{self.base(job)}{kind}:{topic}") for kind in "qc")

    def timers(self, job: str) -> dict[str, float]:
        return {m.decode(): s for m, s in self.redis.zrange(f"{self.base(job)}timers", 0, -1, withscores=True)}

    def owned(self, job: str) -> set[str]:
        return {m.decode() for m in self.redis.smembers(f"{self.base(job)}own:{self.store.process}")}

    def everything(self) -> dict[bytes, bytes]:
        """All that is stored in the namespace, to see that nothing changed."""
        pattern = f"mesh:{{{self.store.keys.namespace}*"
        return {key: self.redis.dump(key) for key in self.redis.scan_iter(match=pattern, count=1000)}


@pytest.fixture
async def make_bench(redis_url: str, namespace: str, redis_client: redis.Redis) -> AsyncIterator[Callable[..., Any]]:
    """Benches of several processes on one namespace."""
    stores: list[Store] = []

    async def make(process: str = "one", *, partitions: int = 1, clock: Callable[[], int] | None = None) -> Bench:
        connections = await Connections.open(redis_url, name=process)
        store = await Store.open(connections, namespace, process=process, partitions=partitions, clock=clock)
        stores.append(store)
        for partition in range(partitions):
            await store.join(partition, [TOPIC], ttl_ms=60_000)
        return Bench(store, redis_client)

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
async def bench(make_bench: Callable[..., Any]) -> Bench:
    made: Bench = await make_bench()
    return made


@pytest.fixture
async def other(make_bench: Callable[..., Any], bench: Bench) -> Bench:
    """The bench of a second process."""
    made: Bench = await make_bench("two")
    return made


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()
