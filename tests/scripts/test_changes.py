"""What the scripts write for those who watch: one entry for each change, complete, in a row."""

from __future__ import annotations

from typing import Any

import pytest

from meshdata.store.changes import ChangesLost, Entry, Follower
from tests.scripts.conftest import Bench

ID = "thing:1"


@pytest.fixture
async def follower(bench: Bench) -> Follower:
    made = await bench.store.changes.follow("thing", keep_ms=60_000)
    await made.begin()
    return made


def user(fields: dict[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in fields.items() if name[0] != "_"}


def told(entries: list[Entry]) -> list[tuple[dict[str, bytes], dict[str, bytes]]]:
    return [(user(one.before), user(one.after)) for one in entries]


async def test_an_entry_has_the_record_before_and_after(bench: Bench, follower: Follower) -> None:
    store = bench.store
    await store.change(ID, "set", 2, "a", "1", "b", "2")
    await store.change(ID, "set", 2, "a", "x", "c", "3", "b")
    await store.change(ID, "incr", "c", "2")
    await store.flush(ID)
    entries = await follower.read()
    assert told(entries) == [
        ({}, {"a": b"1", "b": b"2"}),
        ({"a": b"1", "b": b"2"}, {"a": b"x", "c": b"3"}),
        ({"a": b"x", "c": b"3"}, {"a": b"x", "c": b"5"}),
        ({"a": b"x", "c": b"5"}, {}),
    ]
    assert [one.before.get("_rev") for one in entries] == [None, b"1", b"2", b"3"]
    assert entries[-1].after == {} and entries[0].before == {}
    assert await follower.read() == []


async def test_what_changes_nothing_has_no_entry(bench: Bench, follower: Follower) -> None:
    store = bench.store
    await store.change(ID, "set", 1, "a", "word")
    await store.change(ID, "delete", "nothing")
    await store.change(ID, "incr", "a", "1")
    await store.change(ID, "set", 1, "a", "1", expected_rev=99)
    await store.change("thing:2", "set", 1, "a", "1", create=False)
    await store.flush("thing:2")
    await store.change("other:1", "set", 1, "a", "1")
    assert len(await follower.read()) == 1
    await store.flush(ID)
    await store.flush("other:1")


async def test_values_are_any_bytes(bench: Bench, follower: Follower) -> None:
    values: list[Any] = [b"", b"-", b"+", b"\x00\xff:3:", "é".encode(), b"5:+abcd"]
    for n, value in enumerate(values):
        await bench.store.change(ID, "set", 2, "a", value, f"f{n}:-+", value)
    entries = await follower.read()
    assert [one.after["a"] for one in entries] == values
    assert [one.before.get("a") for one in entries] == [None, *values[:-1]]
    await bench.store.flush(ID)


async def test_a_job_writes_entries_at_start_and_end(bench: Bench, follower: Follower) -> None:
    claim = await bench.take(record=True)
    assert await bench.store.finish(claim, seq=None, status="completed", code="ok", payload=b"1")
    assert [one.after["_status"] for one in await follower.read()] == [b"running", b"completed"]


async def test_an_epoch_ends_with_its_key(bench: Bench, follower: Follower) -> None:
    base = bench.base(ID)
    await bench.store.change(ID, "set", 1, "a", "1")
    assert 0 < bench.redis.pttl(f"{base}ch:thing") <= 60_000
    bench.redis.delete(f"{base}watch:thing")
    await bench.store.change(ID, "set", 1, "a", "2")
    assert len(await follower.read()) == 1
    again = await bench.store.watch(0, "thing", 60_000)
    assert again.epoch > follower.places[0].epoch and again.n == 0
    assert not bench.redis.exists(f"{base}ch:thing")
    await bench.store.change(ID, "set", 1, "a", "3")
    follower.renewed(0, follower.places[0], again)
    with pytest.raises(ChangesLost):
        await follower.read()
    await follower.begin()
    assert await follower.read() == []
    await bench.store.flush(ID)


async def test_registering_again_only_lengthens(bench: Bench) -> None:
    base = bench.base(ID)
    first = await bench.store.watch(0, "thing", 60_000)
    assert await bench.store.watch(0, "thing", 1_000) == first
    assert bench.redis.pttl(f"{base}watch:thing") > 1_000
    assert await bench.store.watch(0, "thing", 120_000) == first
    assert bench.redis.pttl(f"{base}watch:thing") > 60_000


async def test_the_stream_is_bounded_and_trimming_is_noticed(bench: Bench, follower: Follower) -> None:
    for n in range(10_400):
        bench.store.lane(0).call(
            "EVALSHA", bench.store._scripts["change"].sha, 1, bench.base(ID), "", 0, ID, "1", "", "", "set", 1, "a", n
        ) if n else await bench.store.change(ID, "set", 1, "a", "0")
    await bench.store.change(ID, "set", 1, "a", "last")
    assert 10_000 <= bench.redis.xlen(f"{bench.base(ID)}ch:thing") < 10_200
    with pytest.raises(ChangesLost, match="trimmed"):
        await follower.read()
    await bench.store.flush(ID)
