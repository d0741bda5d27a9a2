"""Put the answers of several commands together, or reduce records here, and finish: having, apply, sort, limit; pure.

Counts, sums, extremes and lists are merged exactly; a mean from sums, a deviation from counts, means and deviations. A
quantile is taken as it is where one answer alone has values of the group; otherwise it is made of how often each value
is there, which `aggregate.py` asks for in a second round.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from meshdata.errors import QueryInvalid
from meshdata.search.bucket import Bucket
from meshdata.search.expression import compile_expression
from meshdata.search.fetch import id_of
from meshdata.search.predicate import text_of
from meshdata.search.reducers import OF_NOTHING, OF_NUMBERS, Reducer, merged_stddev, reduce_numbers, weighted_quantile
from meshdata.search.reply import Row
from meshdata.search.steps import COMPARISONS, Pass, Steps
from meshdata.search.tree import And, Condition, Not, Or, Unbound

Key = tuple[Any, ...]
Part = tuple[Pass, Mapping[str, Any]]
Histogram = Mapping[Key, Sequence[tuple[float, int]]]
"""For each group, its values and how often each is there."""


def key_of(steps: Steps, which: Pass, fields: Mapping[str, Any]) -> Key:
    """The group a row of the module is about: its values as they came, None where there is none."""
    return tuple(None if name in which.absent else fields.get(steps.at(name)[1:]) for name in steps.groups)


def by_group(steps: Steps, answers: Iterable[tuple[Pass, list[Row]]]) -> dict[Key, list[Part]]:
    """The rows of all answers, those of one group side by side."""
    groups: dict[Key, list[Part]] = {}
    for which, rows in answers:
        for row in rows:
            groups.setdefault(key_of(steps, which, row.fields), []).append((which, row.fields))
    return groups


def split_quantiles(steps: Steps, groups: Mapping[Key, list[Part]]) -> list[str]:
    """The fields of quantiles that more than one answer has values for."""
    fields = dict.fromkeys(one.field for _, one in steps.request.reducers if one.function == "QUANTILE")
    return [field for field in fields if any(len(_having(steps, field, parts)) > 1 for parts in groups.values())]


def merged(steps: Steps, groups: Mapping[Key, list[Part]], histograms: Mapping[str, Histogram]) -> list[dict[str, Any]]:
    """One row for each group."""
    rows = []
    for key, parts in groups.items():
        row = {name: steps.key(name, value) for name, value in zip(steps.groups, key, strict=True)}
        for at, (name, one) in enumerate(steps.request.reducers):
            some = _having(steps, one.field, parts) if one.field else [fields for _, fields in parts]
            if one.function == "QUANTILE" and len(some) > 1:
                row[name] = weighted_quantile(float(one.arguments[0]), histograms[one.field].get(key, ()))
            elif one.function == "FIRST_VALUE":
                row[name] = steps.reduced(one, _first(at, name, one, parts))
            else:
                row[name] = steps.reduced(one, _merged_value(steps, at, name, one, some))
        rows.append(row)
    return rows


def _having(steps: Steps, field: str, parts: Sequence[Part]) -> list[Mapping[str, Any]]:
    """The parts in which some record has the field."""
    return [f for which, f in parts if field not in which.absent and float(f.get(steps.counts[field]) or 0)]


def _merged_value(steps: Steps, at: int, name: str, one: Reducer, parts: Sequence[Mapping[str, Any]]) -> Any:
    if not parts:
        return 0 if one.function in OF_NOTHING and one.function not in ("TOLIST", "RANDOM_SAMPLE") else None
    values = [part[name] for part in parts]
    counts = [float(part[steps.counts[one.field]]) for part in parts] if one.field else []
    match one.function:
        case "COUNT" | "SUM":
            return sum(float(value) for value in values)
        case "MIN" | "MAX":
            return (min if one.function == "MIN" else max)(values, key=float)
        case "AVG":
            return sum(float(value) for value in values) / sum(counts)
        case "STDDEV":
            return merged_stddev(
                [(n, float(part[f"__m{at}"]) / n, float(part[name])) for n, part in zip(counts, parts, strict=True)]
            )
        case "COUNT_DISTINCT" | "COUNT_DISTINCTISH":
            return len({part for value in values for part in value if part is not None})
        case "TOLIST":
            return list(dict.fromkeys(part for value in values for part in value if part is not None))
        case "RANDOM_SAMPLE":
            return _sampled(values, [int(count) for count in counts], int(one.arguments[0]))
    return values[0]  # a quantile that one answer alone has values for


def _sampled(samples: Sequence[list[Any]], counts: list[int], size: int) -> list[Any]:
    """A sample of all, drawn from samples of its parts: each draw takes a part by how many records it still has."""
    left = [random.sample(sample, len(sample)) for sample in ([v for v in s if v is not None] for s in samples)]
    counts = [count if some else 0 for count, some in zip(counts, left, strict=True)]
    found: list[Any] = []
    while len(found) < size and any(counts):
        (at,) = random.choices(range(len(left)), weights=counts)
        found.append(left[at].pop())
        counts[at] = counts[at] - 1 if left[at] else 0
    return found


def _first(at: int, name: str, one: Reducer, parts: Sequence[Part]) -> Any:
    by = one.by
    ranked = [f for which, f in parts if by and by.name not in which.absent and f.get(f"__b{at}") is not None]
    if by is not None and ranked:
        values = [_comparable(fields[f"__b{at}"]) for fields in ranked]
        best = (max if by.descending else min)(values)
        return ranked[values.index(best)].get(name)
    return next((fields[name] for _, fields in parts if fields.get(name) is not None), None)


def _comparable(value: Any) -> tuple[float, bytes]:
    try:
        return float(value), b""
    except ValueError:
        return 0.0, value if isinstance(value, bytes) else str(value).encode()


# --- records reduced here ---------------------------------------------------------------------------------------------


def reduced_here(steps: Steps, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Group and reduce records, for servers without the module."""
    computing = {
        name: step if isinstance(step, Bucket) else compile_expression(step) for name, step in steps.computed.items()
    }
    groups: dict[Key, list[tuple[Mapping[str, Any], dict[str, Any]]]] = {}
    for record in records:
        values: dict[str, Any] = {}
        for name, step in computing.items():
            if isinstance(step, Bucket):
                moment = _value(steps, record, step.field)
                values[name] = None if moment is None else step.start(float(moment))
            else:
                values[name] = step(_Fields(steps, record, values))
        key = tuple(values[name] if name in values else _text(steps, record, name) for name in steps.groups)
        groups.setdefault(key, []).append((record, values))
    if not groups and not steps.groups:
        return []
    rows = []
    for key, members in groups.items():
        row = {name: steps.key(name, value) for name, value in zip(steps.groups, key, strict=True)}
        for name, one in steps.request.reducers:
            row[name] = _reduced(steps, one, members)
        rows.append(row)
    return rows


def _reduced(steps: Steps, one: Reducer, members: Sequence[tuple[Mapping[str, Any], dict[str, Any]]]) -> Any:
    if one.function == "COUNT":
        return len(members)
    if one.function in OF_NUMBERS:
        numbers = [n for record, values in members if (n := _value(steps, record, one.field, values)) is not None]
        found = reduce_numbers(one, [float(n) for n in numbers if isinstance(n, int | float)])
        return steps.reduced(one, None if found is None else repr(found).removesuffix(".0"))
    if one.by is not None:
        members = _ordered(steps, one, members)
    texts = [_text(steps, record, one.field, values) for record, values in members]
    match one.function:
        case "FIRST_VALUE" if one.by is not None:
            return steps.reduced(one, texts[0])
        case "FIRST_VALUE":
            return steps.reduced(one, next((text for text in texts if text is not None), None))
        case "RANDOM_SAMPLE":
            there = [text for text in texts if text is not None]
            return steps.reduced(one, random.sample(there, min(len(there), int(one.arguments[0]))))
    distinct = list(dict.fromkeys(text for text in texts if text is not None))
    return steps.reduced(one, distinct) if one.function == "TOLIST" else len(distinct)


def _ordered(
    steps: Steps, one: Reducer, members: Sequence[tuple[Mapping[str, Any], dict[str, Any]]]
) -> Sequence[tuple[Mapping[str, Any], dict[str, Any]]]:
    assert one.by is not None
    name, down = one.by.name, one.by.descending
    there = [(value, pair) for pair in members if (value := _value(steps, pair[0], name, pair[1])) is not None]
    there.sort(key=lambda found: found[0], reverse=down)
    return [pair for _, pair in there] or members


class _Fields(Mapping[str, Any]):
    """A record's fields and what was computed of them, as an expression reads them."""

    def __init__(self, steps: Steps, record: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._steps, self._record, self._values = steps, record, values

    def __getitem__(self, name: str) -> Any:
        return _value(self._steps, self._record, name, self._values)

    def __contains__(self, name: object) -> bool:
        return True  # a field that no record has is None, as it is to the module

    def __iter__(self) -> Any:
        return iter((*self._record, *self._values))

    def __len__(self) -> int:
        return len(self._record) + len(self._values)


def _value(steps: Steps, record: Mapping[str, Any], name: str, values: Mapping[str, Any] | None = None) -> Any:
    """A field as a number where it is one, else its text."""
    text = _text(steps, record, name, values)
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _text(steps: Steps, record: Mapping[str, Any], name: str, values: Mapping[str, Any] | None = None) -> Any:
    if values is not None and name in values:
        return values[name]
    column = steps.schema.columns.get(name) if steps.schema is not None else None
    if column is not None:
        return text_of(record, column)
    if name == "id":
        return id_of(Row("", dict(record))) or None
    stored = record.get(name)
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored


# --- finishing --------------------------------------------------------------------------------------------------------


def finished(steps: Steps, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows after having, apply, sort and limit, which the module could not do on its part of them."""
    request = steps.request
    for name, step in request.after:
        if name:
            value = compile_expression(step)
            rows = [{**row, name: value(row)} for row in rows]
        else:
            holds = compile_expression(step) if isinstance(step, str) else _holds(step)
            rows = [row for row in rows if holds(row)]
    for key in reversed(request.order):
        if rows and key.name not in rows[0]:
            raise QueryInvalid(f"{key.name!r} is no column of this aggregate; there are {', '.join(rows[0])}")
        there = [row for row in rows if row[key.name] is not None]
        there.sort(key=lambda row: _rank(row[key.name]), reverse=key.descending)
        rows = there + [row for row in rows if row[key.name] is None]
    end = None if request.limit is None else request.offset + request.limit
    return rows[request.offset : end]


def _rank(value: Any) -> Any:
    # two moments of one zone are compared by the clock on the wall, which shows some hours twice
    return value.astimezone(UTC) if isinstance(value, datetime) else value


_PYTHON: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


def _holds(tree: Condition) -> Callable[[dict[str, Any]], bool]:
    match tree:
        case And(parts):
            every = [_holds(part) for part in parts]
            return lambda row: all(one(row) for one in every)
        case Or(parts):
            some = [_holds(part) for part in parts]
            return lambda row: any(one(row) for one in some)
        case Not(part):
            inner = _holds(part)
            return lambda row: not inner(row)
        case Unbound(name, op, values) if op in COMPARISONS:
            compare = _PYTHON[COMPARISONS[op]]
            return lambda row: row.get(name) is not None and any(compare(row[name], value) for value in values)
    raise QueryInvalid('having() takes conditions on the row: field("n") > 2')
