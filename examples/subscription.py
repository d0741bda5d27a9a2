"""A subscription that bills itself, until somebody cancels it: a durable loop of sleeps, a signal and a hook.

    python examples/subscription.py

A month lasts a tenth of a second here. With "1 month" it is the same program: what it waits for is kept in Redis, and
the process may be stopped, deployed and started again in between.
"""

import asyncio
import os

from pydantic import BaseModel

from meshdata import MeshData, activity, workflow
from meshdata.errors import MeshTimeout

MONTH = "100 ms"


class Subscription(BaseModel):
    """The fields of its record; with a model they come back with their types."""

    plan: str = "none"
    months: int = 0


@activity
async def charge(user_id: str, cents: int) -> str:
    """Stands for a payment service, told by its idempotency key that a repeated call is the same one."""
    return f"receipt {activity.info().idempotency_key}"


async def subscribe(user_id: str, cents: int) -> str:
    await workflow.state.set(plan="pro")
    while True:
        await charge(user_id, cents)
        months = await workflow.state.incr("months")
        try:
            reason = await workflow.wait_for(f"cancel-{user_id}", timeout=MONTH)
        except MeshTimeout:
            continue  # nobody cancelled: another month
        await workflow.state.set(plan="none")
        return f"cancelled after {months} months: {reason}"


async def upgrade(plan: str) -> str:
    """A hook: it runs on the living subscription and shares its record."""
    before = await workflow.state.get("plan")
    await workflow.sleep_for("10 ms")
    await workflow.state.set(plan=plan)
    return f"{before} → {plan}"


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="examples") as mesh:
        subscription = await mesh.connect("subscription", subscribe, model=Subscription)
        upgrades = await subscription.hook("upgrade")(upgrade)
        await mesh.flush("subscription", "jsmith")  # what an earlier run left

        handle = await mesh.exec(
            entity="subscription", args=["jsmith", 900], id="jsmith", ttl="1 hour", state={"months": 0}, wait=False
        )
        while (await handle.state("months"))["months"] < 3:
            await asyncio.sleep(0.02)
        print("three months were billed")

        upgraded = await upgrades.on("jsmith", "max")  # accepted; awaited once more, it gives what the hook returned
        print("upgrade:", await upgraded)
        print("record:", await handle.state("plan"))

        await mesh.signal("cancel-jsmith", "too expensive")
        print(await handle.result(timeout="10 seconds"))


if __name__ == "__main__":
    asyncio.run(main())
