"""Models, queries and aggregates over records: what `meshdata.search` promises."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meshdata.search.bucket import by_day, by_hour, by_minute, by_month, by_week
from meshdata.search.codec import untyped_to_hash
from meshdata.search.fields import Geo, Numeric, Point, Tag, Text, Vector
from meshdata.search.query import Field, Order, match_all, unsafe_raw
from meshdata.search.record import Record, field, meta
from meshdata.search.reducers import (
    Reducer,
    avg,
    count,
    count_distinct,
    count_distinctish,
    first,
    max_,
    min_,
    quantile,
    random_sample,
    stddev,
    sum_,
    tolist,
)
from meshdata.search.schema import Schema, schema_of
from meshdata.search.tree import Condition

if TYPE_CHECKING:
    from meshdata.search.aggregate import Aggregate
    from meshdata.search.find import Find, Page
    from meshdata.search.index import Index, IndexInfo
    from meshdata.search.table import Rows
    from meshdata.search.verbs import Report
    from meshdata.search.verify import Unindexed, Verification
    from meshdata.search.watch import Change, Watch

__all__ = [
    "Aggregate",
    "Change",
    "Condition",
    "Field",
    "Find",
    "Geo",
    "Index",
    "IndexInfo",
    "Numeric",
    "Order",
    "Page",
    "Point",
    "Record",
    "Reducer",
    "Report",
    "Rows",
    "Schema",
    "Tag",
    "Text",
    "Unindexed",
    "Vector",
    "Verification",
    "Watch",
    "avg",
    "by_day",
    "by_hour",
    "by_minute",
    "by_month",
    "by_week",
    "count",
    "count_distinct",
    "count_distinctish",
    "field",
    "first",
    "match_all",
    "max_",
    "meta",
    "min_",
    "quantile",
    "random_sample",
    "schema_of",
    "stddev",
    "sum_",
    "tolist",
    "unsafe_raw",
    "untyped_to_hash",
]

# What asks the server is imported when it is first asked for: to declare a model, or to connect, needs none of it.
_HOMES = {
    "Aggregate": "aggregate",
    "Change": "watch",
    "Find": "find",
    "Index": "index",
    "IndexInfo": "index",
    "Page": "find",
    "Report": "verbs",
    "Rows": "table",
    "Unindexed": "verify",
    "Verification": "verify",
    "Watch": "watch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'meshdata.search' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"meshdata.search.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
