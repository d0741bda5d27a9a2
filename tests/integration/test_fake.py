"""fake:// answers as a real server does, in the shapes the lane gives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshdata.store.lane import ConnectionLost, Lane, ReplyError
from meshdata.store.redis import Connections

COMMANDS: list[tuple[str | int | float, ...]] = [
    ("SET", "k", "v"),
    ("GET", "k"),
    ("GET", "nothing"),
    ("INCRBY", "n", 5),
    ("HSET", "h", "a", 1, "b", "two"),
    ("HGETALL", "h"),
    ("HGETALL", "nothing"),
    ("HMGET", "h", "a", "c"),
    ("HINCRBYFLOAT", "h", "f", 1.5),
    ("RPUSH", "l", "x", "y"),
    ("LRANGE", "l", 0, -1),
    ("RPUSH", "message", "message", "c", "p"),
    ("LRANGE", "message", 0, -1),
    ("SADD", "s", "one"),
    ("SMEMBERS", "s"),
    ("ZADD", "z", 1.5, "m", 2, "n"),
    ("ZSCORE", "z", "m"),
    ("ZRANGE", "z", 0, -1, "WITHSCORES"),
    ("ZRANGEBYSCORE", "z", "-inf", 1.7, "LIMIT", 0, 10),
    ("XADD", "st", "1-1", "f", "v"),
    ("XGROUP", "CREATE", "st", "g", 0),
    ("XREADGROUP", "GROUP", "g", "me", "COUNT", 10, "STREAMS", "st", ">"),
    ("XREADGROUP", "GROUP", "g", "me", "COUNT", 10, "STREAMS", "st", ">"),
    ("XREADGROUP", "GROUP", "g", "me", "BLOCK", 10, "STREAMS", "st", ">"),
    ("XRANGE", "st", "-", "+"),
    ("XACK", "st", "g", "1-1"),
    ("XDEL", "st", "1-1"),
    ("XLEN", "st"),
    ("TYPE", "st"),
    ("EXISTS", "k", "nothing"),
    ("PTTL", "k"),
    ("EVAL", "return {1, 'two', false, {3.9, redis.status_reply('OK')}}", 0),
    ("EVAL", "return redis.call('HGETALL', KEYS[1])", 1, "h"),
    ("EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", 1, "k", "w"),
    ("EVAL", "return nil", 0),
    ("ECHO", ""),
]
ERRORS: list[tuple[str | int, ...]] = [
    ("EVALSHA", "0" * 40, 0),
    ("LPUSH", "k", 1),
    ("EVAL", "return redis.error_reply('MESH stale')", 0),
    ("XREADGROUP", "GROUP", "none", "me", "STREAMS", "st", ">"),
    ("XGROUP", "CREATE", "st", "g", 0),
]


@pytest.fixture
async def fake() -> AsyncIterator[Connections]:
    connections = await Connections.open("fake://", name="test")
    yield connections
    await connections.aclose()


async def answers(lane: Lane, commands: list[tuple[Any, ...]]) -> list[Any]:
    return await asyncio.gather(*(lane.call(*command) for command in commands), return_exceptions=True)


async def test_replies_have_the_shapes_of_a_real_server(fake: Connections, redis_url: str) -> None:
    real = await Connections.open(f"{redis_url}?db=9", name="real")
    try:
        await real.lane().call("FLUSHDB")
        expected = await answers(real.lane(), COMMANDS)
        got = await answers(fake.lane(), COMMANDS)
        assert list(zip(COMMANDS, got, strict=True)) == list(zip(COMMANDS, expected, strict=True))
        codes = [error.code for error in await answers(real.lane(), ERRORS)]
        assert [error.code for error in await answers(fake.lane(), ERRORS)] == codes
    finally:
        await real.lane().call("FLUSHDB")
        await real.aclose()


async def test_scripts_are_called_by_their_digest(fake: Connections) -> None:
    lane = fake.lane()
    digest = await lane.call("SCRIPT", "LOAD", "return ARGV[1]")
    assert await lane.call("EVALSHA", digest, 0, b"\x00\xff") == b"\x00\xff"
    await lane.call("SCRIPT", "FLUSH")
    with pytest.raises(ReplyError) as caught:
        await lane.call("EVALSHA", digest, 0)
    assert caught.value.code == "NOSCRIPT"


async def test_a_blocking_read_wakes_when_a_script_adds_an_entry(fake: Connections) -> None:
    reader = await fake.dedicated()
    await reader.call("XGROUP", "CREATE", "work", "g", 0, "MKSTREAM")
    reading = reader.call("XREADGROUP", "GROUP", "g", "me", "COUNT", 1, "BLOCK", 30_000, "STREAMS", "work", ">")
    await fake.lane().call("PING")
    assert not reading.done()
    await fake.lane().call("EVAL", "return redis.call('XADD', KEYS[1], '5-1', 'f', 'v')", 1, "work")
    assert await asyncio.wait_for(reading, 5) == {b"work": [[b"5-1", [b"f", b"v"]]]}
    assert await reader.call("PING") == b"PONG"


async def test_a_blocking_read_ends_with_nothing_when_its_time_is_over(fake: Connections) -> None:
    reader = await fake.dedicated()
    await reader.call("XGROUP", "CREATE", "work", "g", 0, "MKSTREAM")
    began = time.monotonic()
    reply = await reader.call("XREADGROUP", "GROUP", "g", "me", "BLOCK", 30, "STREAMS", "work", ">")
    assert reply is None
    assert time.monotonic() - began >= 0.03


async def test_closing_ends_a_blocking_read(fake: Connections) -> None:
    reader = await fake.dedicated()
    reading = reader.call("BLPOP", "nothing", 0)
    await asyncio.sleep(0)
    await reader.close()
    with pytest.raises(ConnectionLost):
        await reading


async def test_a_subscriber_hears_and_goes_on_calling(fake: Connections) -> None:
    lane = fake.lane()
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await lane.subscribe("c", heard.put_nowait)
    assert await lane.call("PUBLISH", "c", "one") == 1
    assert await lane.call("EVAL", "return redis.call('PUBLISH', KEYS[1], 'two')", 1, "c") == 1
    assert [await heard.get(), await heard.get()] == [b"one", b"two"]
    await lane.unsubscribe("c")
    assert await lane.call("PUBLISH", "c", "three") == 0


async def test_a_given_up_connection_is_made_again(fake: Connections) -> None:
    lane = fake.lane()
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await lane.subscribe("c", heard.put_nowait)
    lane.abort("for the test")
    await lane.ready(5)
    await lane.call("PUBLISH", "c", "after")
    assert await asyncio.wait_for(heard.get(), 5) == b"after"


async def test_one_name_is_one_server_as_long_as_somebody_uses_it() -> None:
    first = await Connections.open("fake://shop", name="a")
    second = await Connections.open("fake://shop", name="b")
    other = await Connections.open("fake://else", name="c")
    await first.lane().call("SET", "k", "v")
    assert await second.lane().call("GET", "k") == b"v"
    assert await other.lane().call("GET", "k") is None
    for connections in (first, second, other):
        await connections.aclose()
    third = await Connections.open("fake://shop", name="d")
    assert await third.lane().call("GET", "k") is None
    await third.aclose()


async def test_it_does_not_claim_to_search(fake: Connections) -> None:
    assert not fake.features.search
    assert not fake.features.waitaof
