"""A subscription: sleeps a month, bills, and begins again; hooks change it, or end it, while it lives.

python examples/meshflow/subscription_billing.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, activity, workflow

MONTH = "30 ms"  # "1 month" where time is not short


@activity
async def charge(customer: str, amount: float) -> str:
    return f"{customer} paid {amount:g}"


async def subscription(customer: str, amount: float, periods: int) -> list[str]:
    """Bills until it is told to stop, or its periods are over."""
    await workflow.state.set(amount=amount, active="yes")
    bills: list[str] = []
    for _ in range(periods):
        if await workflow.condition(f"cancel:{customer}", timeout=MONTH) is not False:
            await workflow.state.set(active="no")
            break
        bills.append(await charge(customer, float(await workflow.state.get("amount"))))
        if len(bills) == 2:
            await workflow.signal("two-billed", customer)
    return bills


async def change_plan(amount: float) -> str:
    """A hook: runs on the living subscription and shares its record."""
    await workflow.state.set(amount=amount)
    return f"{amount:g} from now on"


async def cancel(customer: str) -> None:
    """Another hook."""
    await workflow.signal(f"cancel:{customer}", "moved away")


async def tell() -> str:
    """Lets the program below know when two months are over."""
    return str(await workflow.wait_for("two-billed"))


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="billing") as mesh:
        client = MeshFlow.Client(mesh)
        async with MeshFlow.Worker(mesh, workflows=[subscription, change_plan, cancel, tell]):
            handle = await client.start(subscription, args=["Ada", 10, 100], ttl="1 minute")
            await client.execute(tell)
            print(await (await client.hook(id=handle.id, workflow=change_plan, args=[25])))
            await asyncio.sleep(0.1)
            await client.hook(id=handle.id, workflow=cancel, args=["Ada"])
            bills = await handle
            print(bills[0], "…", bills[-1], await handle.state("active"))


if __name__ == "__main__":
    asyncio.run(main())
