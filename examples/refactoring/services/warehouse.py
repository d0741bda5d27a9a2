"""The warehouse: its stock and who reserved what, in SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

PRICES = {"tea": 400, "cup": 900}


class SoldOut(Exception):
    pass


@contextmanager
def database(path: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=10)) as opened, opened:
        yield opened


def open_warehouse(path: str) -> None:
    with database(path) as db:
        db.execute("CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INTEGER)")
        db.execute("CREATE TABLE reserved (order_id TEXT PRIMARY KEY, item TEXT, pieces INTEGER)")
        db.executemany("INSERT INTO stock VALUES (?, ?)", [("tea", 10), ("cup", 2)])


def reserve(path: str, order_id: str, item: str, pieces: int) -> int:
    """Put pieces aside for an order, once. The price in cents."""
    with database(path) as db:
        if db.execute("SELECT 1 FROM reserved WHERE order_id = ?", (order_id,)).fetchone() is None:
            taken = db.execute(
                "UPDATE stock SET pieces = pieces - ? WHERE item = ? AND pieces >= ?", (pieces, item, pieces)
            )
            if not taken.rowcount:
                raise SoldOut(f"not enough of {item}")
            db.execute("INSERT INTO reserved VALUES (?, ?, ?)", (order_id, item, pieces))
    return PRICES[item] * pieces


def release(path: str, order_id: str) -> None:
    """Put back what was reserved for an order, if anything was."""
    with database(path) as db:
        for item, pieces in db.execute(
            "DELETE FROM reserved WHERE order_id = ? RETURNING item, pieces", (order_id,)
        ).fetchall():
            db.execute("UPDATE stock SET pieces = pieces + ? WHERE item = ?", (pieces, item))


def stock(path: str) -> dict[str, int]:
    with database(path) as db:
        return dict(db.execute("SELECT item, pieces FROM stock ORDER BY item"))
