"""Before: orders as plain functions. Retries, the cache, what to undo and the table of orders are all by hand.

python examples/refactoring/before.py
"""

import tempfile
import time
from collections.abc import Callable
from typing import Any

from services import bank, people, warehouse

ORDERS = [("o1", "ann", "tea", 3), ("o2", "eve", "tea", 2), ("o3", "ann", "cup", 5), ("o4", "bob", "cup", 1)]

_customers: dict[str, tuple[float, people.Customer]] = {}


def get_customer(name: str) -> people.Customer:
    """From a cache of this process, if it is not older than a minute."""
    found = _customers.get(name)
    if found is None or time.monotonic() - found[0] > 60:
        found = _customers[name] = (time.monotonic(), people.look_up(name))
    return found[1]


def with_retries(fn: Callable[..., Any], *args: Any, attempts: int = 5) -> Any:
    for attempt in range(1, attempts + 1):
        try:
            return fn(*args)
        except ConnectionError:
            if attempt == attempts:
                raise
            time.sleep(0.01 * 2**attempt)


def open_orders(path: str) -> None:
    with warehouse.database(path) as db:
        db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT, cents INTEGER, status TEXT)")


def place_order(path: str, order_id: str, customer: str, item: str, pieces: int) -> str:
    """Reserve, charge, note. If this process dies in between, the order stays "open" and nobody goes on with it."""
    with warehouse.database(path) as db:
        known = db.execute("SELECT status FROM orders WHERE id = ?", (order_id,)).fetchone()
        if known is not None:
            return str(known[0])  # placed before: somebody pressed the button twice
        db.execute("INSERT INTO orders VALUES (?, ?, 0, 'open')", (order_id, customer))
    try:
        cents = warehouse.reserve(path, order_id, item, pieces)
    except warehouse.SoldOut:
        return _note(path, order_id, "sold out", 0)
    try:
        with_retries(bank.charge, order_id, get_customer(customer).card, cents)
    except bank.Refused:
        warehouse.release(path, order_id)
        return _note(path, order_id, "refused", 0)
    return _note(path, order_id, "paid", cents)


def _note(path: str, order_id: str, status: str, cents: int) -> str:
    with warehouse.database(path) as db:
        db.execute("UPDATE orders SET status = ?, cents = ? WHERE id = ?", (status, cents, order_id))
    return status


def orders_of(path: str, customer: str) -> list[str]:
    with warehouse.database(path) as db:
        return [id for (id,) in db.execute("SELECT id FROM orders WHERE customer = ? ORDER BY id", (customer,))]


def turnover(path: str) -> dict[str, int]:
    with warehouse.database(path) as db:
        return dict(db.execute("SELECT status, sum(cents) FROM orders GROUP BY status ORDER BY status"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/shop.sqlite"
        warehouse.open_warehouse(path)
        open_orders(path)
        for order in [*ORDERS, ORDERS[0]]:
            print(order[0], place_order(path, *order))
        print("ann:", orders_of(path, "ann"), "turnover:", turnover(path))
        print("stock:", warehouse.stock(path), "customers looked up:", people.lookups)


if __name__ == "__main__":
    main()
