"""Step 1: the function is called through the mesh, unchanged. Any process may order, any worker carries it out.

python examples/refactoring/step_1.py
"""

import asyncio
import os
import tempfile
from functools import partial

import before
from services import people, warehouse

from meshdata import MeshData


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/shop.sqlite"
        warehouse.open_warehouse(path)
        before.open_orders(path)
        url = os.environ.get("MESHDATA_URL", "embedded://")
        async with MeshData(url, namespace=f"shop{os.getpid()}") as mesh:
            # `meshdata adopt before:place_order` proposes this line. The path is the worker's own: it is bound here.
            order = await mesh.connect("order", partial(before.place_order, path))

            for id, customer, item, pieces in [*before.ORDERS, before.ORDERS[0]]:
                # Two who press the button at once share one run; its answer is kept, in every process.
                print(id, await order.options(id=id, ttl="1 minute")(id, customer, item, pieces))

        print("ann:", before.orders_of(path, "ann"), "turnover:", before.turnover(path))
        print("stock:", warehouse.stock(path), "customers looked up:", people.lookups)


if __name__ == "__main__":
    asyncio.run(main())
