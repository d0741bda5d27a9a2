"""What is counted of jobs, which buckets a question is about, and what partitions' figures add up to."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdata.errors import InvalidOptions
from meshdata.graph import statistics
from meshdata.graph.compiled import App, Measure, Stats
from meshdata.graph.compiler import compile_app
from meshdata.graph.pipes.values import UNDEFINED
from meshdata.graph.statistics import Query, Tally, median, recorded, resolve, stats_answer, tallied

NOW = int(datetime(2024, 5, 6, 10, 47, 30, tzinfo=UTC).timestamp() * 1000)


def stats(*measures: tuple[str, Any], granularity: str = "5m") -> Stats:
    return Stats(
        key=lambda scope: "k",
        granularity=granularity,
        measures=tuple(Measure(kind, "a/b", lambda scope, value=value: value) for kind, value in measures),
    )


def counted(*measures: tuple[str, Any], key: str = "k") -> list[Any]:
    return recorded(stats(*measures), app="x", ts="202405061045", key=key, id="j1", scope={})


def app(granularity: str = "5m", key: str = "'{t1.input.data.kind}'") -> App:
    return compile_app(f"""app:
  id: x
  version: '1'
  graphs:
    - subscribes: x.run
      activities:
        t1:
          type: trigger
          stats:
            key: {key}
            granularity: {granularity}
            measures:
              - {{measure: count, target: '{{t1.output.data.kind}}'}}
    - subscribes: x.plain
      activities:
        t2: {{type: trigger}}
""")


def ask(query: Any, granularity: str = "5m", topic: str = "x.run") -> Query:
    found = app(granularity)
    if isinstance(query, dict):
        query = {"data": {"kind": "widget"}, **query}
    return resolve(found, found.graphs[topic], query, NOW)


# --- counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "operations"),
    [
        (("count", "red"), ["add", "count:a/b:red", "1"]),
        (("count", 5.0), ["add", "count:a/b:5", "1"]),
        (("count", True), ["add", "count:a/b:true", "1"]),
        (("sum", 2.5), ["add", "sum:a/b", "2.5"]),
        (("sum", "12"), ["add", "sum:a/b", "12"]),
        (("avg", 3), ["add", "avg:a/b", "3", "add", "avgn:a/b", "1"]),
        (("max", 3), ["max", "max:a/b", "3"]),
        (("min", -1), ["min", "min:a/b", "-1"]),
        (("mdn", 7), ["add", "mdn:a/b:7", "1"]),
        (("index", "p:1"), ["index", "a/b:p:1", ""]),
    ],
)
def test_each_measure_has_its_figures(measure: tuple[str, Any], operations: list[str]) -> None:
    ttl = 5 * 60_000 * statistics.KEPT_SLICES
    assert counted(measure) == ["x", "202405061045", "k", ttl, "j1", "add", "count", "1", *operations]


@pytest.mark.parametrize(
    "measure", [("count", UNDEFINED), ("sum", None), ("sum", "many"), ("avg", math.inf), ("max", {}), ("index", None)]
)
def test_what_is_nothing_or_no_number_is_left_out(measure: tuple[str, Any]) -> None:
    assert counted(measure)[5:] == ["add", "count", "1"]


def test_without_a_key_or_measures_nothing_is_counted() -> None:
    assert counted() == [] and counted(("count", 1), key="") == []


def test_buckets_stay_as_long_as_their_granularity_says() -> None:
    days = {name: statistics.kept_ms(name) / 86_400_000 for name in ("5m", "30m", "1h", "infinity")}
    assert days == {"5m": 8, "30m": 48, "1h": 96, "infinity": 366}


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "count", "first", "last"),
    [
        ({"end": "NOW", "range": "1h"}, 13, "202405060945", "202405061045"),
        ({"start": "2024-05-06T09:00:00Z", "range": "30m"}, 7, "202405060900", "202405060930"),
        ({"start": "2024-05-06T09:01", "end": "2024-05-06T09:09Z"}, 2, "202405060900", "202405060905"),
        ({"start": "2024-05-06T11:00:00+02:00", "range": "0m"}, 1, "202405060900", "202405060900"),
        ({"start": datetime(2024, 5, 5, tzinfo=UTC), "range": "1d"}, 289, "202405050000", "202405060000"),
    ],
)
def test_buckets_are_those_of_both_ends_and_all_between(
    query: dict[str, Any], count: int, first: str, last: str
) -> None:  # fmt: skip
    buckets = ask(query).buckets
    assert (len(buckets), len(set(buckets)), buckets[0], buckets[-1]) == (count, count, first, last)


@pytest.mark.parametrize(("granularity", "count"), [("10m", 7), ("15m", 5), ("30m", 3), ("1h", 2)])
def test_coarser_buckets_are_fewer(granularity: str, count: int) -> None:
    assert len(ask({"end": "NOW", "range": "1h"}, granularity).buckets) == count


@pytest.mark.parametrize("query", [{}, {"end": "NOW", "range": "1h"}, {"start": "x", "end": "y", "range": "z"}])
def test_one_endless_bucket_needs_no_time(query: dict[str, Any]) -> None:
    assert ask(query, "infinity").buckets == ("0",)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({}, "Invalid combination of start, end, and range values"),
        ({"end": "NOW"}, "Provide either start\\+end, end\\+range, or start\\+range"),
        ({"start": "2024-01-01", "end": "NOW", "range": "1h"}, "Invalid combination"),
        ({"end": "NOW", "range": "1y"}, "Invalid range value"),
        ({"end": "NOW", "range": 5}, "Invalid range value"),
        ({"end": "NOW", "range": "9" * 30 + "d"}, "Invalid range value"),
        ({"end": "tomorrow", "range": "1h"}, "end is NOW or a time of ISO 8601; got 'tomorrow'"),
        ({"start": "NOW", "end": "2024-01-01"}, "the end is before the start"),
        ({"end": "NOW", "range": "400d"}, "ask for 10000 at most"),
        ({"data": {}, "end": "NOW", "range": "1h"}, "the data give no key of graph x.run"),
        (["kind"], "a query is a mapping"),
    ],
)
def test_a_question_that_cannot_be_is_refused(query: Any, problem: str) -> None:
    with pytest.raises(InvalidOptions, match=problem) as caught:
        ask(query)
    assert caught.value.argument == "query"


def test_a_graph_without_a_key_counts_nothing() -> None:
    with pytest.raises(InvalidOptions, match=r"graph x\.plain counts nothing"):
        ask({}, topic="x.plain")


# --- answers ----------------------------------------------------------------------------------------------------------

FIGURES = {
    "count": "3", "count:color:red": "2", "count:color:blue": "1", "sum:price": "7.5", "avg:price": "7.5",
    "avgn:price": "3", "max:price": "5", "min:price": "-1", "mdn:price:5": "1", "mdn:price:-1": "1",
    "mdn:price:3.5": "1", "index:color:red": "1", "gone:color:red": "4",
}  # fmt: skip


def measures(*hashes: dict[str, str]) -> dict[tuple[str, str], Any]:
    return {(one["type"], one["target"]): one["value"] for one in tallied(hashes).measures()}


def test_every_measure_is_told() -> None:
    assert measures(FIGURES) == {
        ("count", "color:blue"): 1, ("count", "color:red"): 2, ("sum", "price"): 7.5, ("avg", "price"): 2.5,
        ("max", "price"): 5, ("min", "price"): -1, ("mdn", "price"): 3.5,
    }  # fmt: skip


def test_figures_of_partitions_add_up() -> None:
    other = {"count": "1", "count:color:red": "1", "avg:price": "0.5", "avgn:price": "1", "max:price": "9",
             "min:price": "0", "mdn:price:9": "1"}  # fmt: skip
    found = measures(FIGURES, other)
    assert found["count", "color:red"] == 3 and found["avg", "price"] == 2
    assert (found["max", "price"], found["min", "price"], found["mdn", "price"]) == (9, -1, 4.25)
    assert tallied([FIGURES, other]).count == 4


@given(st.lists(st.integers(-1000, 1000), min_size=1))
def test_the_median_is_that_of_all_numbers(numbers: list[int]) -> None:
    ordered = sorted(numbers)
    half = len(ordered) // 2
    expected = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    assert median({number: numbers.count(number) for number in numbers}) == expected


def test_an_answer_has_a_segment_for_each_bucket_unless_it_is_sparse() -> None:
    query = ask({"end": "NOW", "range": "5m"})
    answer = stats_answer(query, [[FIGURES], []])
    assert {name: answer[name] for name in ("key", "granularity", "range", "start", "end", "count")} == {
        "key": "widget", "granularity": "5m", "range": "5m", "start": None, "end": "NOW", "count": 3,
    }  # fmt: skip
    assert [segment["time"] for segment in answer["segments"]] == ["2024-05-06T10:40Z", "2024-05-06T10:45Z"]
    assert [segment["count"] for segment in answer["segments"]] == [3, 0]
    assert {"target": "color:red", "type": "count", "value": 2} in answer["segments"][0]["measures"]
    assert "segments" not in stats_answer(ask({"end": "NOW", "range": "5m", "sparse": True}), [[], []])


def test_nothing_counted_is_an_answer_too() -> None:
    assert Tally().measures() == [] and stats_answer(ask({}, "infinity"), [[]])["count"] == 0


def test_ids_are_told_by_bucket_and_facet() -> None:
    query = ask({}, "infinity")
    answer = statistics.ids_answer(query, ["c:red", "c:blue"], {("0", "c:red"): ["j1", "j2"]})
    assert answer["counts"] == [{"facet": "c:red", "count": 2}, {"facet": "c:blue", "count": 0}]
    [segment] = answer["segments"]
    assert segment["time"] == "0"
    assert segment["measures"][0] == {"type": "ids", "target": "c:red", "time": "0", "count": 2, "ids": ["j1", "j2"]}


def test_without_names_ids_are_asked_for_by_all_that_was_counted_or_listed() -> None:
    assert statistics.facets_of([[FIGURES], [{"index:size:5": "1"}]]) == ["color:blue", "color:red", "size:5"]
