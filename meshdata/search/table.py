"""Answers as tables: for Arrow, Polars and pandas, in batches where there are many, and as HTML in a notebook.

The libraries are extras, imported when one is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import BaseModel

from meshdata.errors import InvalidOptions, UsageError
from meshdata.search.schema import Schema

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

T = TypeVar("T")

BATCH: Final = 1_000
"""Items of a batch, where nothing else was asked for."""

_SHOWN_ROWS, _SHOWN_SIGNS = 50, 200


def _library(name: str) -> Any:
    """A library of an extra, or of what it stands on.

    Raises:
        UsageError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        extra = {"pyarrow": "arrow"}.get(name, name)
        raise UsageError(f'this needs {name}: pip install "meshdata[{extra}]"') from missing


def _arrow() -> Any:
    _library("pyarrow")
    return importlib.import_module("meshdata.search.arrow")


def _to_polars(table: pyarrow.Table) -> polars.DataFrame:
    frame: polars.DataFrame = _library("polars").from_arrow(table)
    return frame


def _to_pandas(table: pyarrow.Table) -> pandas.DataFrame:
    # With Arrow's own types: by itself pandas makes floats of whole numbers where one is missing.
    frame: pandas.DataFrame = table.to_pandas(types_mapper=_library("pandas").ArrowDtype)
    return frame


def html_table(names: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> str:
    """Rows as an HTML table; every text escaped, long ones cut, at most the first fifty."""

    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        return escape(text if len(text) <= _SHOWN_SIGNS else text[:_SHOWN_SIGNS] + "…")

    head = "".join(f"<th>{cell(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows[:_SHOWN_ROWS])
    if len(rows) > _SHOWN_ROWS:
        body += f'<tr><td colspan="{max(1, len(names))}">… {len(rows) - _SHOWN_ROWS} more</td></tr>'
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_of_items(items: Sequence[Any], caption: str) -> str:
    """Instances, or dicts, as an HTML table."""
    dicts = [_fields(item) for item in items[: _SHOWN_ROWS + 1]]
    names = list(dict.fromkeys(name for one in dicts for name in one))
    rows = [[one.get(name) for name in names] for one in dicts]
    return html_table(names, rows + [[]] * (len(items) - len(rows)), caption)


def _fields(item: Any) -> dict[str, Any]:
    if isinstance(item, BaseModel):  # not model_dump: a record may lack required fields
        return {name: getattr(item, name, None) for name in type(item).model_fields}
    return dict(item)


class Rows(list[dict[str, Any]]):
    """The rows of an aggregate: a list of dicts that is a table as well.

    Attributes:
        names: the columns, also where there are no rows.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
        super().__init__(rows)
        self.names = tuple(names)

    def to_arrow(self) -> pyarrow.Table:
        """As a pyarrow.Table. Raises UsageError where that is not installed."""
        return _arrow().table_of_rows(self.names, self)

    def to_polars(self) -> polars.DataFrame:
        """As a polars.DataFrame."""
        _library("polars")
        return _to_polars(self.to_arrow())

    def to_pandas(self) -> pandas.DataFrame:
        """As a pandas.DataFrame with Arrow's types."""
        _library("pandas")
        return _to_pandas(self.to_arrow())

    def _repr_html_(self) -> str:
        rows = [[row.get(name) for name in self.names] for row in self]
        return html_table(self.names, rows, f"{len(self)} rows")


class Tables(Generic[T]):
    """What makes tables of all that a query finds, up to its limit."""

    _schema: Schema[Any] | None

    def __aiter__(self) -> AsyncIterator[T]:
        """Everything it finds."""
        raise NotImplementedError

    def _selected(self) -> tuple[str, ...]:
        """The fields that were selected; none for all."""
        raise NotImplementedError

    async def batches(self, size: int = BATCH) -> AsyncIterator[list[T]]:
        """All it finds, in lists of so many; the last may be shorter."""
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidOptions("a whole number from 1 on", argument="size")
        some: list[T] = []
        async for item in self:
            some.append(item)
            if len(some) == size:
                yield some
                some = []
        if some:
            yield some

    async def to_arrow_batches(self, size: int = BATCH) -> AsyncIterator[pyarrow.RecordBatch]:
        """All it finds, as record batches of one schema, made while it reads.

        Raises:
            UsageError: pyarrow is not installed, or there is neither a model nor a selection that says which columns
                there are.
        """
        arrow = _arrow()
        columns = self._columns(arrow)
        if columns is None:
            raise UsageError(
                "without a model the columns are not known before the end; select() them, or use to_arrow()"
            )
        async for items in self.batches(size):
            yield arrow.batch_of(columns, items)

    async def to_arrow(self) -> pyarrow.Table:
        """All it finds as one pyarrow.Table, typed by the model; without one, every field is text.

        Raises:
            UsageError: pyarrow is not installed.
        """
        arrow = _arrow()
        columns = self._columns(arrow)
        if columns is None:
            items = [item async for item in self]
            columns = arrow.text_columns(items)
            made = [arrow.batch_of(columns, items)]
        else:
            made = [batch async for batch in self.to_arrow_batches()]
        table: pyarrow.Table = _library("pyarrow").Table.from_batches(made, schema=arrow.schema_of(columns))
        return table

    async def to_polars(self) -> polars.DataFrame:
        """All it finds as a polars.DataFrame; see `to_arrow`."""
        _library("polars")
        return _to_polars(await self.to_arrow())

    async def to_pandas(self) -> pandas.DataFrame:
        """All it finds as a pandas.DataFrame with Arrow's types; see `to_arrow`."""
        _library("pandas")
        return _to_pandas(await self.to_arrow())

    def _columns(self, arrow: Any) -> Any:
        schema, names = self._schema, self._selected()
        if schema is not None and schema.model is not None:
            return arrow.columns_of(schema.model, names)
        return arrow.text_columns([dict.fromkeys(names)]) if names else None
