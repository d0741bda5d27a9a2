"""Fixtures for all tests: one real Redis with search per test process, a namespace per test, nothing left behind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import redis

from meshdata.store.embedded import EmbeddedServer

MAY_STAY = {"meta"}
"""Keys without a TTL that may be left of a namespace: the last part of their name."""


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """A real Redis with search; with xdist each worker process has its own."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedServer) -> str:
    """The server's URL, unix:///..."""
    return redis_server.url


@pytest.fixture(scope="session")
def redis_client(redis_server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A plain synchronous client beside the code under test, to look at and to disturb the server."""
    with redis.Redis.from_url(redis_server.url, protocol=3) as client:
        yield client


def _pattern(namespace: str) -> str:
    # "{ns}" with one partition, "{ns.3}" with several. A namespace is random letters, so no other one begins with it.
    return f"mesh:{{{namespace}*"


@pytest.fixture
def namespace(redis_client: redis.Redis) -> Iterator[str]:
    """A name of its own for each test; its indexes and keys are deleted afterwards."""
    name = f"t{secrets.token_hex(6)}"
    yield name
    prefix = f"mesh:{{{name}"
    for index in redis_client.execute_command("FT._LIST"):
        text = index.decode() if isinstance(index, bytes) else index
        if text.startswith(prefix):
            redis_client.execute_command("FT.DROPINDEX", text)
    keys = list(redis_client.scan_iter(match=_pattern(name), count=1000))
    if keys:
        redis_client.unlink(*keys)


@pytest.fixture
def no_leaks(namespace: str, redis_client: redis.Redis) -> Iterator[set[str]]:
    """Fail a test that leaves keys without a TTL in its namespace; it may add to the set the endings that may stay."""
    may_stay = set(MAY_STAY)
    yield may_stay
    left = []
    for key in redis_client.scan_iter(match=_pattern(namespace), count=1000):
        text = key.decode()
        if redis_client.pttl(key) == -1 and not text.endswith(tuple(f":{name}" for name in may_stay)):
            left.append(text)
    assert not left, f"keys without a TTL were left: {sorted(left)}"
