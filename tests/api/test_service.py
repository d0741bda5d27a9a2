"""The sample service: two processes on one Redis, driven over HTTP; one is killed, and the other goes on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from meshdata import MeshData
from tests.integration.test_class_samples import ANSWERS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "service"

Start = Callable[[], "Instance"]


class Instance:
    """One process of the service."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "app.py"], cwd=FOLDER, env=environment, stdout=errors, stderr=errors
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def address(self) -> str:
        """Where it is served; waits until it is."""
        deadline = time.monotonic() + 30
        while not (found := re.search(r"running on (http://\S+)", self.said)):
            assert self.process.poll() is None and time.monotonic() < deadline, self.said
            time.sleep(0.02)
        return found[1]

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def start(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Start]:
    begun: list[Instance] = []
    settings = {"MESHDATA_URL": redis_url, "MESHDATA_NAMESPACE": namespace, "PORT": "0", "LIFE_SIGN": "1 second"}

    def one() -> Instance:
        begun.append(Instance(os.environ | {"PYTHONPATH": str(ROOT)} | settings, tmp_path / f"{len(begun)}.log"))
        return begun[-1]

    yield one
    for instance in begun:
        if instance.process.poll() is None:
            instance.process.kill()
            instance.process.wait()


async def ask(address: str, name: str) -> Any:
    async with httpx.AsyncClient(timeout=40) as client:
        return (await client.get(f"{address}/apis/v1/test/{name}")).json()


async def ran(address: str) -> int:
    async with httpx.AsyncClient() as client:
        return sum((await client.get(f"{address}/health")).json()["activities"].values())


async def test_two_instances_answer_every_sample_and_share_the_work(
    start: Start, redis_url: str, namespace: str
) -> None:
    both = [start(), start()]
    first, second = (one.address() for one in both)
    for address in (first, second):
        said = await asyncio.gather(*(ask(address, name) for name in ANSWERS))
        assert dict(zip(ANSWERS, said, strict=True)) == ANSWERS
        assert [line.split()[:3] for line in await ask(address, "loopy")] == [
            ["loopy", "cycle", str(number)] for number in range(1, 6)
        ]
        assert await ask(address, "nothing") == "nothing is unsupported"

    async with MeshData(redis_url, namespace=namespace) as mesh:
        for asked, other in ((first, second), (second, first)):
            await mesh.throttle(-1, process=await process(asked))  # busy: whoever is there does its work
            before = [await ran(asked), await ran(other)]
            assert await ask(asked, "family") == ANSWERS["family"]
            assert [await ran(asked), await ran(other)] == [before[0], before[1] + 1]
            await mesh.throttle(0, process=await process(asked))

    assert [one.stop(signal.SIGTERM) for one in both] == [-signal.SIGTERM] * 2  # uvicorn ends as it was told to
    assert all("Traceback" not in one.said and "shutdown complete" in one.said for one in both), both[0].said


@pytest.mark.slow
async def test_what_a_killed_instance_had_begun_the_other_carries_on(
    start: Start, redis_client: Any, redis_url: str, namespace: str
) -> None:
    kept, killed = start(), start()
    address, other = kept.address(), await process(killed.address())
    async with MeshData(redis_url, namespace=namespace) as mesh:
        await mesh.throttle(-1, process=await process(address))  # it takes in nothing: the other has to
        asked = [asyncio.create_task(ask(address, "signal")) for _ in range(5)]
        async with asyncio.timeout(30):
            while not holds(redis_client, namespace, other):
                await asyncio.sleep(0.01)
        killed.stop(signal.SIGKILL)
        await mesh.throttle(0, process=await process(address))
        assert await asyncio.gather(*asked) == [{"name": "fred"}] * 5
    assert await ask(address, "inventory") == ANSWERS["inventory"]


async def process(address: str) -> str:
    async with httpx.AsyncClient() as client:
        return str((await client.get(f"{address}/health")).json()["process"])


def holds(client: Any, namespace: str, process: str) -> bool:
    """Whether a process holds the lease of a job just now."""
    found = client.scan_iter(match=f"mesh:{{{namespace}*j:signal*", count=1000)
    return any((client.hget(key, "owner") or b"").decode() == process for key in found)


def test_the_compose_file_has_a_profile_with_two_instances_on_one_redis() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.redis-stack.yml").read_text())["services"]
    two = {name: one for name, one in services.items() if one.get("profiles") == ["service"]}
    assert len(two) == 2 and len({one["ports"][0] for one in two.values()}) == 2
    assert {one["environment"]["MESHDATA_URL"] for one in two.values()} == {
        "redis://:${REDIS_PASSWORD:?choose a password and set REDIS_PASSWORD}@redis:6379"
    }
    copied = re.findall(r"^COPY (.*) \S+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert all((ROOT / path).exists() for line in copied for path in line.split())
    assert "profiles" not in services["redis"]
