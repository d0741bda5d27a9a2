"""Step 2: what has effects becomes an activity, what joins them a workflow, which goes on where it stood after a crash.

The retries by hand are a policy, the cache is the journal, what to undo is said where it is done, and the table of
orders is the record of each job.

python examples/refactoring/step_2.py
"""

import asyncio
import os
import tempfile

from before import ORDERS
from services import bank, people, warehouse

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import ActivityFailed

PATIENT = RetryPolicy(max_attempts=5, initial="20 ms", non_retryable=(bank.Refused, warehouse.SoldOut))

reserve = activity(retry=PATIENT)(warehouse.reserve)
release = activity(retry=PATIENT)(warehouse.release)
charge = activity(retry=PATIENT)(bank.charge)
look_up = activity(retry=PATIENT)(people.look_up)
ANSWERS = {"SoldOut": "sold out", "Refused": "refused"}


async def place_order(path: str, order_id: str, customer: str, item: str, pieces: int) -> str:
    await workflow.state.set(customer=customer, status="open", cents=0)
    try:
        async with workflow.saga() as saga:
            saga.compensate(release, path, order_id)
            cents = await reserve(path, order_id, item, pieces)
            await charge(order_id, (await look_up(customer)).card, cents)
    except ActivityFailed as problem:
        status = ANSWERS.get(problem.type)
        if status is None:
            raise
        await workflow.state.set(status=status)
        return status
    await workflow.state.set(status="paid", cents=cents)
    return "paid"


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/shop.sqlite"
        warehouse.open_warehouse(path)
        url = os.environ.get("MESHDATA_URL", "embedded://")
        async with MeshData(url, namespace=f"shop{os.getpid()}") as mesh:
            order = await mesh.connect("order", place_order)

            for id, customer, item, pieces in [*ORDERS, ORDERS[0]]:
                print(id, await order.options(id=id, ttl="1 minute")(path, id, customer, item, pieces))

            records = {id: await mesh.get("order", id) for id, *_ in ORDERS}
            of_ann = [id for id, record in records.items() if record["customer"] == "ann"]
            turnover: dict[str, int] = {}
            for record in sorted(records.values(), key=lambda one: one["status"]):
                turnover[record["status"]] = turnover.get(record["status"], 0) + int(record["cents"])
        print("ann:", of_ann, "turnover:", turnover)
        print("stock:", warehouse.stock(path), "customers looked up:", people.lookups)


if __name__ == "__main__":
    asyncio.run(main())
