"""A dashboard of orders: write them, search them, sum them up, and watch them change.

python examples/orders_dashboard.py
"""

import asyncio
import os
from typing import Annotated

from meshdata import MeshData
from meshdata.search import Numeric, Record, Tag, Text, avg, count, match_all, sum_


class Order(Record, entity="order"):
    id: str
    status: Annotated[str, Tag(sortable=True)] = "open"
    total: Annotated[float, Numeric(sortable=True)] = 0
    note: Annotated[str, Text()] = ""


async def business(mesh: MeshData) -> None:
    """What goes on in the shop meanwhile."""
    await mesh.set("order", "o7", {"status": "paid"})
    await mesh.set("order", "o31", {"id": "o31", "status": "open", "total": 500.0, "note": "wrap it"})
    await mesh.incr("order", "o10", "total", 25)
    await mesh.flush("order", "o13")


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="examples-dashboard") as mesh:
        await mesh.create_index(Order)
        await mesh.find(Order).where(match_all()).flush()  # what an earlier run left
        for n in range(1, 31):
            status, note = "open" if n % 3 == 1 else "paid", "a gift for a friend" if n % 10 == 0 else ""
            await mesh.set("order", f"o{n}", {"id": f"o{n}", "status": status, "total": n * 10.0, "note": note})

        large = await mesh.find(Order).where((Order.status == "paid") & (Order.total > 100)).sort(-Order.total).limit(3)
        print(f"{large.total} large orders are paid; the largest:", ", ".join(one.id for one in large))
        print("gifts:", ", ".join(await mesh.find(Order).where(Order.note.match("gift")).sort(Order.total).ids()))

        figures = mesh.aggregate(Order).group_by(Order.status)
        for row in await figures.reduce(n=count(), sum=sum_(Order.total), mean=avg(Order.total)).sort("status"):
            print(f"{row['status']}: {row['n']} orders, {row['sum']:.0f} in all, {row['mean']:.0f} each")

        board: dict[str, float] = {}
        async for change in mesh.find(Order).where(Order.status == "open").watch():
            board.pop(change.id, None)
            if change.item is not None and change.kind != "leave":
                board[change.id] = change.item.total
            if change.kind != "match":
                print(f"{change.kind} {change.id}: {len(board)} open, {sum(board.values()):.0f}")
            elif change.cursor:  # the last of those there were: the board is drawn, the day begins
                day = asyncio.create_task(business(mesh))
            if change.kind == "leave" and change.item is None:
                break
        await day


if __name__ == "__main__":
    asyncio.run(main())
