"""After: a model says what an order is. Its records are typed and indexed, and the questions are queries on them.

python examples/refactoring/after.py
"""

import asyncio
import os
import tempfile
from typing import Annotated

from before import ORDERS
from services import people, warehouse
from step_2 import place_order

from meshdata import MeshData
from meshdata.search import Numeric, Record, Tag, sum_


class Order(Record, entity="order"):
    id: str
    customer: Annotated[str, Tag()]
    status: Annotated[str, Tag()] = "open"
    cents: Annotated[int, Numeric()] = 0


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/shop.sqlite"
        warehouse.open_warehouse(path)
        url = os.environ.get("MESHDATA_URL", "embedded://")
        async with MeshData(url, namespace=f"shop{os.getpid()}") as mesh:
            order = await mesh.connect("order", place_order, model=Order)
            await mesh.create_index(Order)

            for id, customer, item, pieces in [*ORDERS, ORDERS[0]]:
                print(id, await order.options(id=id, ttl="1 minute")(path, id, customer, item, pieces))

            of_ann = await mesh.find(Order).where(Order.customer == "ann").sort(Order.id).ids()
            rows = await mesh.aggregate(Order).group_by(Order.status).reduce(cents=sum_(Order.cents)).sort("status")
            print("ann:", of_ann, "turnover:", {row["status"]: int(row["cents"]) for row in rows})
            await mesh.drop_index(Order)
        print("stock:", warehouse.stock(path), "customers looked up:", people.lookups)


if __name__ == "__main__":
    asyncio.run(main())
