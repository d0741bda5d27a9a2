"""What is written of a job that is counted, and indexes that are read and scrubbed while they grow."""

from __future__ import annotations

from typing import Any

from meshdata.store.graphs import End
from meshdata.store.messages import Mark, StartJob
from tests.scripts.conftest import Bench

PLACE = ("shop", "202405061045", "k")
OVER = End("completed", "ok", ttl="1000")


async def count(bench: Bench, id: str, *operations: str, end: End = OVER, ttl: int = 60_000) -> None:
    """Start a job with a trigger that counts it; by default it is over at once."""
    start = StartJob(f"shop:{id}", "graph:shop", b"{}", "t", graph="", held=True, policy="fail", token=id)
    what = [*PLACE, ttl, id, *operations]
    outcome = await bench.store.graphs.start(start, end, ["set", 2, ":", "1", "stat", len(what), *what])
    assert outcome.word == "CREATED"


def figures(bench: Bench, partition: int = 0) -> dict[str, str]:
    key = bench.store.keys.statistics(partition, *PLACE)
    return {name.decode(): value.decode() for name, value in bench.redis.hgetall(key).items()}


async def ids(bench: Bench, *, living: bool = False) -> tuple[list[str], list[Mark]]:
    app, bucket, key = PLACE
    return await bench.store.statistics.ids(app, key, bucket, "p:1", living=living)


async def test_figures_are_added_to(bench: Bench) -> None:
    await count(bench, "a", "add", "count", "1", "add", "sum:x", "2.5")
    await count(bench, "b", "add", "count", "1", "add", "sum:x", "0.25")
    assert figures(bench) == {"count": "2", "sum:x": "2.75"}


async def test_extremes_are_kept(bench: Bench) -> None:
    for id, value in (("a", "5"), ("b", "-2"), ("c", "10"), ("d", "3")):
        await count(bench, id, "max", "max:x", value, "min", "min:x", value)
    assert figures(bench) == {"max:x": "10", "min:x": "-2"}


async def test_what_is_counted_ends_some_time_after_the_last_job(bench: Bench) -> None:
    await count(bench, "a", "add", "count", "1", "index", "p:1", "", ttl=5_000)
    await count(bench, "b", "add", "count", "1", "index", "p:1", "", ttl=50_000)
    keys = [key for kind in (b"st:", b"ix:") for key in bench.everything() if kind in key]
    assert len(keys) == 2 and all(5_000 < bench.redis.pttl(key) <= 50_000 for key in keys)


async def test_a_start_that_is_sent_again_counts_once(bench: Bench) -> None:
    await count(bench, "a", "add", "count", "1")
    start = StartJob("shop:a", "graph:shop", b"{}", "t", graph="", held=True, policy="fail", token="other")
    what = [*PLACE, 1_000, "a", "add", "count", "1"]
    outcome = await bench.store.graphs.start(start, OVER, ["stat", len(what), *what])
    assert (outcome.word, figures(bench)) == ("EXISTS", {"count": "1"})


async def test_an_index_lists_jobs_in_the_order_of_their_starts(bench: Bench) -> None:
    for id in "abc":
        await count(bench, id, "index", "p:1", "")
    assert (await ids(bench))[0] == ["a", "b", "c"]
    assert figures(bench) == {"index:p:1": "1"}


async def test_jobs_that_are_over_are_left_out_where_living_ones_are_wanted(bench: Bench) -> None:
    await count(bench, "a", "index", "p:1", "")
    await count(bench, "b", "index", "p:1", "", end=End("waiting"))
    found, marks = await ids(bench, living=True)
    assert (found, [mark.upto for mark in marks]) == (["b"], [2])


async def test_what_was_added_after_a_reading_is_not_scrubbed(bench: Bench) -> None:
    await count(bench, "a", "index", "p:1", "")
    await count(bench, "b", "index", "p:1", "")
    _, [mark] = await ids(bench)
    await count(bench, "c", "index", "p:1", "")
    assert [await bench.store.statistics.scrub("shop", mark) for _ in range(2)] == [2, 0]
    assert (await ids(bench))[0] == ["c"]


async def test_two_who_read_the_same_and_scrub_both_lose_nothing(bench: Bench, other: Bench) -> None:
    await count(bench, "a", "index", "p:1", "")
    (_, [first]), (_, [second]) = await ids(bench), await ids(other)
    await bench.store.statistics.scrub("shop", first)
    await count(bench, "b", "index", "p:1", "")
    assert await other.store.statistics.scrub("shop", second) == 0
    assert (await ids(bench))[0] == ["b"]


async def test_an_index_that_is_empty_is_told_of_no_more_until_it_lists_a_job_again(bench: Bench) -> None:
    await count(bench, "a", "index", "p:1", "")
    _, [mark] = await ids(bench)
    await bench.store.statistics.scrub("shop", mark)
    assert figures(bench) == {"gone:p:1": "1"} and (await ids(bench))[0] == []
    await count(bench, "b", "index", "p:1", "")
    assert figures(bench)["index:p:1"] == "1" and (await ids(bench))[0] == ["b"]


async def test_a_long_index_is_read_in_pieces(bench: Bench, monkeypatch: Any) -> None:
    monkeypatch.setattr("meshdata.store.statistics.PIECE", 3)
    for number in range(10):
        await count(bench, f"j{number}", "index", "p:1", "")
    found, [mark] = await ids(bench)
    assert (found, mark.upto) == ([f"j{number}" for number in range(10)], 10)


async def test_indexes_of_every_partition_are_read_and_scrubbed_from_anywhere(make_bench: Any) -> None:
    bench: Bench = await make_bench(partitions=4)
    names = [f"job{number}" for number in range(20)]
    for id in names:
        await count(bench, id, "add", "count", "1", "index", "p:1", "")
    found, marks = await ids(bench)
    assert sorted(found) == sorted(names) and len(marks) == 4
    assert sum([await bench.store.statistics.scrub("shop", mark) for mark in marks]) == 20
    read = await bench.store.statistics.figures("shop", "k", ["202405061045", "0"])
    assert (sum(int(one["count"]) for one in read[0]), read[1]) == (20, [])


async def test_a_step_scrubs_an_index_of_another_partition(make_bench: Any) -> None:
    bench: Bench = await make_bench(partitions=4)
    jobs = {bench.store.keys.partition(f"shop:j{n}"): f"j{n}" for n in range(40)}
    await count(bench, jobs[1], "index", "p:1", "")
    _, [mark] = await ids(bench)
    start = StartJob(f"shop:{jobs[2]}", "graph:shop", b"{}", "t", graph="", held=True, policy="fail", token="x")
    what = [mark.partition, "unindex", "shop", mark.bucket, mark.key, mark.facet, mark.upto]
    await bench.store.graphs.start(start, OVER, ["send", len(what), *what])
    [message] = await bench.store.outgoing(2, 1, 10)
    await bench.store.carry(2, 1, [message])
    assert (await ids(bench))[0] == []
