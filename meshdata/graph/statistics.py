"""What is counted of jobs, and what a question about it comes to: buckets, measures, their sums over partitions. Pure.

A trigger with a key and measures counts each job it begins, in the bucket of time that the job's `ts` names. A bucket's
figures are fields of a hash, and every one of them can be added to those of another partition:

    count                    jobs
    count:<path>:<value>     jobs with this value
    sum:<path>               avg:<path>, avgn:<path>     a sum; a sum and how many it is of
    max:<path>, min:<path>   mdn:<path>:<number>         an extreme; how often each number was there
    index:<path>:<value>     there is a list of ids; gone:<…> how many were taken out of it
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from meshdata.errors import InvalidOptions
from meshdata.graph.begin import MINUTES, bucket, own_document, stats_of
from meshdata.graph.compiled import App, Graph, Stats
from meshdata.graph.mapping import Scope
from meshdata.graph.pipes.values import is_nothing, number, text, whole
from meshdata.store.messages import Argument

KEPT_SLICES: Final = 2_304
"""A bucket stays for as many slices after the last job counted in it: 8 days at 5m, 96 days at 1h."""

KEPT_ENDLESS_MS: Final = 366 * 86_400_000
"""The same of the one bucket of granularity infinity."""

MOST_BUCKETS: Final = 10_000
ENDLESS: Final = "infinity"
RANGE: Final = re.compile(r"(\d+)([mhd])")
RANGE_MINUTES: Final = {"m": 1, "h": 60, "d": 1440}

Figures = Mapping[str, str]
"""The fields of a bucket in one partition."""


# --- counting ---------------------------------------------------------------------------------------------------------


def recorded(stats: Stats, *, app: str, ts: str, key: str, id: str, scope: Scope) -> list[Argument]:
    """The operations that count a job, as lib/statistics.lua takes them; empty if there is nothing to count.

    A measure whose target is undefined or null, or no number where it takes one, is left out.

    Raises:
        PipeError: a target cannot be evaluated.
    """
    if not key or not stats.measures:
        return []
    operations: list[Argument] = ["add", "count", "1"]
    for measure in stats.measures:
        value = measure.target(scope)
        if is_nothing(value):
            continue
        kind, path = measure.kind, measure.path
        if kind == "count":
            operations += ("add", f"count:{path}:{text(value)}", "1")
        elif kind == "index":
            operations += ("index", f"{path}:{text(value)}", "")
        else:
            amount = number(value)
            if math.isfinite(amount):
                operations += _figures(kind, path, text(amount))
    return [app, ts, key, kept_ms(stats.granularity), id, *operations]


def _figures(kind: str, path: str, amount: str) -> tuple[str, ...]:
    if kind == "sum":
        return ("add", f"sum:{path}", amount)
    if kind == "avg":
        return ("add", f"avg:{path}", amount, "add", f"avgn:{path}", "1")
    if kind == "mdn":
        return ("add", f"mdn:{path}:{amount}", "1")
    return (kind, f"{kind}:{path}", amount)


def kept_ms(granularity: str) -> int:
    """How long a bucket stays after the last job counted in it."""
    minutes = MINUTES.get(granularity)
    return KEPT_ENDLESS_MS if minutes is None else minutes * 60_000 * KEPT_SLICES


# --- questions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """A question: the key and granularity of a graph, when, and the buckets that comes to, the earliest first."""

    key: str
    granularity: str
    start: str | None
    end: str | None
    range: str | None
    sparse: bool
    buckets: tuple[str, ...]

    def told(self, *names: str) -> dict[str, Any]:
        """Some of what it says, as answers repeat it."""
        return {name: getattr(self, name) for name in names}


def resolve(app: App, graph: Graph, query: Mapping[str, Any], now_ms: int) -> Query:
    """What a question is about.

    Args:
        query: data (a payload, of which the graph's trigger makes the key), start, end (ISO 8601, or NOW), range
            (5m, 2h, 7d), sparse. A time without a zone is UTC.

    Raises:
        InvalidOptions: what is wrong with the query.
    """
    if not isinstance(query, Mapping):
        raise InvalidOptions(f"a query is a mapping; got {type(query).__name__}", argument="query")
    stats = stats_of(app.activities[graph.trigger])
    if stats is None or stats.key is None:
        raise InvalidOptions(f"graph {graph.topic} counts nothing: its trigger has no stats.key", argument="topic")
    own = own_document(query.get("data"))
    key = stats.key({"$self": own, graph.trigger: own, "$app": {"settings": app.settings}})
    if is_nothing(key) or key == "":
        raise InvalidOptions(f"the data give no key of graph {graph.topic}", argument="query")
    granularity = stats.granularity
    start, end, span = query.get("start"), query.get("end"), query.get("range")
    if granularity == ENDLESS:
        buckets: tuple[str, ...] = (bucket(now_ms, ENDLESS),)
    elif granularity not in MINUTES:
        raise InvalidOptions("Invalid granularity value.", argument="query")
    else:
        buckets = _buckets(granularity, start, end, span, now_ms)
    return Query(text(key), granularity, start, end, span, query.get("sparse") is True, buckets)


def _buckets(granularity: str, start: Any, end: Any, span: Any, now_ms: int) -> tuple[str, ...]:
    if sum(part is not None for part in (start, end, span)) != 2:
        raise InvalidOptions(
            "Invalid combination of start, end, and range values. Provide either start+end, end+range, or start+range.",
            argument="query",
        )
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    length = timedelta(0) if span is None else _length(span)
    if start is None:
        last = _moment(end, "end", now)
        first = last - length
    else:
        first = _moment(start, "start", now)
        last = first + length if end is None else _moment(end, "end", now)
    slice_ms = MINUTES[granularity] * 60_000
    at, behind = (int(moment.timestamp() * 1000) // slice_ms for moment in (first, last))
    if behind < at:
        raise InvalidOptions("the end is before the start", argument="query")
    if behind - at >= MOST_BUCKETS:
        raise InvalidOptions(
            f"that is {behind - at + 1} buckets of {granularity}; ask for {MOST_BUCKETS} at most", argument="query"
        )
    return tuple(bucket(number * slice_ms, granularity) for number in range(at, behind + 1))


def _length(span: Any) -> timedelta:
    match = RANGE.fullmatch(span) if isinstance(span, str) else None
    if match is None:
        raise InvalidOptions("Invalid range value. Say 30m, 2h or 7d.", argument="query")
    try:
        return timedelta(minutes=int(match[1]) * RANGE_MINUTES[match[2]])
    except OverflowError:
        raise InvalidOptions("Invalid range value. It is too long.", argument="query") from None


def _moment(value: Any, name: str, now: datetime) -> datetime:
    if value == "NOW":
        return now
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise InvalidOptions(f"{name} is NOW or a time of ISO 8601; got {value!r}", argument="query") from None


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Figures added up, over partitions and buckets."""

    count: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    averages: dict[str, list[float]] = field(default_factory=dict)
    extremes: dict[tuple[str, str], float] = field(default_factory=dict)
    values: dict[str, dict[float, int]] = field(default_factory=dict)
    facets: set[str] = field(default_factory=set)

    def add(self, figures: Figures) -> None:
        """Take in the fields of a bucket in one partition."""
        for name, value in figures.items():
            kind, _, path = name.partition(":")
            if name == "count":
                self.count += int(value)
            elif kind == "count":
                self.counts[path] = self.counts.get(path, 0) + int(value)
            elif kind == "sum":
                self.sums[path] = self.sums.get(path, 0) + float(value)
            elif kind in ("avg", "avgn"):
                self.averages.setdefault(path, [0, 0])[kind == "avgn"] += float(value)
            elif kind in ("max", "min"):
                pick = max if kind == "max" else min
                found = float(value)
                self.extremes[kind, path] = pick(self.extremes.get((kind, path), found), found)
            elif kind == "mdn":
                path, _, amount = path.rpartition(":")
                values = self.values.setdefault(path, {})
                values[float(amount)] = values.get(float(amount), 0) + int(value)
            elif kind == "index":
                self.facets.add(path)

    def measures(self) -> list[dict[str, Any]]:
        """`{target, type, value}` each: counts first, then the others by target and type."""
        found = [{"target": target, "type": "count", "value": value} for target, value in sorted(self.counts.items())]
        others = [("sum", target, value) for target, value in self.sums.items()]
        others += [("avg", target, total / count) for target, (total, count) in self.averages.items() if count]
        others += [(kind, target, value) for (kind, target), value in self.extremes.items()]
        others += [("mdn", target, median(values)) for target, values in self.values.items()]
        for kind, target, value in sorted(others, key=lambda one: (one[1], one[0])):
            found.append({"target": target, "type": kind, "value": whole(value)})
        return found


def median(values: Mapping[float, int]) -> float:
    """The middle of numbers that were each there so often; of two in the middle, what lies halfway."""
    total = sum(values.values())
    middle = [(total - 1) // 2, total // 2]
    found = []
    seen = 0
    for value in sorted(values):
        seen += values[value]
        while middle and middle[0] < seen:
            found.append(value)
            middle.pop(0)
    return sum(found) / len(found)


def tallied(hashes: Iterable[Figures]) -> Tally:
    """Figures added up."""
    tally = Tally()
    for figures in hashes:
        tally.add(figures)
    return tally


def stats_answer(query: Query, figures: Sequence[Sequence[Figures]]) -> dict[str, Any]:
    """`{key, granularity, range, start, end, count, measures, segments}`; a segment, for each bucket, is `{time, count,
    measures}`. Without segments if the query is sparse.

    Args:
        figures: of each bucket of the query, from every partition.
    """
    whole_time = tallied(one for hashes in figures for one in hashes)
    answer = query.told("key", "granularity", "range", "start", "end")
    answer |= {"count": whole_time.count, "measures": whole_time.measures()}
    if not query.sparse:
        answer["segments"] = [
            {"time": time_of(name), "count": tally.count, "measures": tally.measures()}
            for name, tally in zip(query.buckets, map(tallied, figures), strict=True)
        ]
    return answer


def facets_of(figures: Sequence[Sequence[Figures]]) -> list[str]:
    """What to list ids by, where a query names nothing: all that was counted by its value, or listed."""
    tally = tallied(one for hashes in figures for one in hashes)
    return sorted({*tally.counts, *tally.facets})


def ids_answer(query: Query, facets: Sequence[str], ids: Mapping[tuple[str, str], Sequence[str]]) -> dict[str, Any]:
    """`{key, facets, granularity, range, start, end, counts, segments}`; counts are `{facet, count}`, segments `{time,
    measures}` with measures `{type: "ids", target, time, count, ids}`, one for each facet.

    Args:
        ids: by bucket and facet.
    """
    segments = []
    for name in query.buckets:
        time = time_of(name)
        measures = []
        for facet in facets:
            found = list(ids.get((name, facet), ()))
            measures.append({"type": "ids", "target": facet, "time": time, "count": len(found), "ids": found})
        segments.append({"time": time, "measures": measures})
    totals = {facet: sum(len(found) for (_, of), found in ids.items() if of == facet) for facet in facets}
    return {
        **query.told("key", "granularity", "range", "start", "end"),
        "facets": list(facets),
        "counts": [{"facet": facet, "count": totals[facet]} for facet in facets],
        "segments": segments,
    }


def time_of(name: str) -> str:
    """When a bucket begins, as answers show it: YYYY-MM-DDTHH:MMZ; "0" for the only one."""
    if len(name) != 12:
        return name
    return f"{name[:4]}-{name[4:6]}-{name[6:8]}T{name[8:10]}:{name[10:]}Z"


def index_name(app: str, key: str, bucket_name: str, facet: str) -> str:
    """What an index is called in answers."""
    return f"{app}:s:{key}:{bucket_name}:index:{facet}"
