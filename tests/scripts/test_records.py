"""change.lua and change_many.lua: every word they answer with, and that nothing is written unless it is OK."""

from typing import Any

import pytest

from meshdata.store.messages import texts
from tests.scripts.conftest import Bench


def plain(bench: Bench, job: str) -> dict[str, str]:
    return {name: value for name, value in bench.record(job).items() if not name.startswith("_")}


def claims(bench: Bench) -> dict[str, str]:
    base = bench.base("thing:1")
    return {
        key.decode().removeprefix(f"{base}u:"): bench.redis.get(key).decode()  # type: ignore[union-attr]
        for key in bench.redis.scan_iter(match=f"{base}u:*", count=1000)
    }


def claim(value: str) -> tuple[Any, ...]:
    """The arguments of a set of a unique field."""
    return (2, "email", value, "_!email", value)


async def test_create_makes_what_must_not_be_there(bench: Bench) -> None:
    store = bench.store
    assert await store.change("thing:1", "set", 1, "a", "1", new=True, ttl_ms=60_000) == ("OK", "1", 1)
    assert 0 < bench.redis.pttl(f"{bench.base('thing:1')}r:thing:1") <= 60_000
    assert await store.change("thing:1", "set", 1, "a", "2", new=True) == ("EXISTS", "", None)
    assert plain(bench, "thing:1") == {"a": "1"}


async def test_drop_leaves_a_jobs_record(bench: Bench) -> None:
    store = bench.store
    assert await store.change("thing:1", "drop") == ("OK", "0", None)
    await store.change("thing:1", "set", *claim("x"))
    assert await store.change("thing:1", "drop", expected_rev=2) == ("CONFLICT", "1", None)
    assert await store.change("thing:1", "drop") == ("OK", "1", None)
    assert bench.record("thing:1") == claims(bench) == {}
    await bench.start("thing:1", record=True)
    assert await store.change("thing:1", "drop") == ("JOB", "", None)
    await store.flush("thing:1")


async def test_elements_come_and_go(bench: Bench) -> None:
    change = bench.store.change
    assert await change("thing:1", "append", "l", ",", "list", "b", "a", "") == ("OK", "3", 1)
    assert plain(bench, "thing:1") == {"l": "b,a,,"}
    assert await change("thing:1", "append", "l", ",", "set", "a", "c") == ("OK", "1", 2)
    assert plain(bench, "thing:1") == {"l": ",a,b,c"}
    assert await change("thing:1", "remove", "l", ",", "list", "none") == ("OK", "0", None)
    assert await change("thing:1", "remove", "l", ",", "list", "", "a", "b", "c") == ("OK", "4", 3)
    assert plain(bench, "thing:1") == {"l": ""}
    await bench.store.flush("thing:1")


async def test_a_claim_is_the_records_that_lists_it(bench: Bench) -> None:
    change = bench.store.change
    assert (await change("thing:1", "set", *claim("x"))).word == "OK"
    assert claims(bench) == {"thing:email:x": "1"}
    refused = await change("thing:2", "set", *claim("x"))
    assert (refused.word, texts(refused.text.encode())) == ("TAKEN", ["email", "x", "1"])
    assert bench.record("thing:2") == {}
    assert await change("thing:1", "set", 1, "email", "y") == ("CLAIM", "email", None)
    assert await change("thing:1", "incr", "email", "1") == ("NOTNUMBER", "email", None)
    assert plain(bench, "thing:1") == {"email": "x"}
    assert (await change("thing:1", "set", *claim("x"))).word == "OK"  # its own
    assert (await change("thing:1", "set", *claim("y"))).word == "OK"
    assert claims(bench) == {"thing:email:y": "1"}
    # left behind by a record that is gone, and by one that has another value by now
    bench.redis.set(f"{bench.base('thing:1')}u:thing:email:z", "gone")
    bench.redis.set(f"{bench.base('thing:1')}u:thing:email:x", "1")
    assert (await change("thing:2", "set", *claim("x"))).word == "OK"
    assert (await change("thing:3", "set", *claim("z"))).word == "OK"
    assert claims(bench) == {"thing:email:y": "1", "thing:email:x": "2", "thing:email:z": "3"}
    for id in "123":
        await bench.store.flush(f"thing:{id}")
    assert claims(bench) == {}


@pytest.mark.parametrize("watched", [False, True])
async def test_many_are_answered_one_by_one(bench: Bench, watched: bool) -> None:
    store = bench.store
    if watched:  # then each goes the long way, and is told of
        await store.watch(0, "thing", 60_000)
    many = [("thing:1", (2, "a", "1", "b", "2")), ("thing:2", claim("x")), ("thing:3", claim("x")), ("thing:1", (0,))]
    answers = await store.change_many(0, "thing", many, new=True, ttl_ms=60_000)
    assert [word for word, _ in answers] == ["CREATED", "CREATED", "TAKEN", "EXISTS"]
    record = bench.record("thing:1")
    assert {name: record[name] for name in ("a", "b", "_id", "_entity", "_rev")} == {
        "a": "1", "b": "2", "_id": "1", "_entity": "thing", "_rev": "1",
    }  # fmt: skip
    assert record["_created"] == record["_updated"]
    bench.redis.set(f"{bench.base('thing:4')}r:thing:4", "no hash", px=60_000)
    wide = tuple(part for n in range(5_000) for part in (f"f{n}", n))
    changes = [
        ("thing:1", (1, "a", "9", "b", "none")),
        ("thing:2", (1, "email", "y")),
        ("thing:3", (1, "a", "1")),
        ("thing:4", (1, "a", "1")),
        ("thing:1", (5_000, *wide)),
    ]
    answers = await store.change_many(0, "thing", changes, create=False)
    assert [word for word, _ in answers] == ["UPDATED", "CLAIM", "NOTFOUND", "ERROR", "UPDATED"]
    assert "WRONGTYPE" in answers[3][1]
    record = bench.record("thing:1")
    assert (record["a"], record.get("b"), record["f4999"], record["_rev"]) == ("9", None, "4999", "3")
    assert (await store.change_many(0, "thing", [("thing:3", (1, "a", "1"))]))[0][0] == "CREATED"
    bench.redis.delete(f"{bench.base('thing:4')}r:thing:4")
    for id in "123":
        await store.flush(f"thing:{id}")
