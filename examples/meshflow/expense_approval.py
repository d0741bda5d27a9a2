"""Expenses: small ones are paid, large ones wait for a person, for days if need be, and lapse in the end.

python examples/meshflow/expense_approval.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, activity, workflow


@activity
async def ask_manager(expense: str, amount: float) -> None:
    print(f"  mail to the manager: {expense}, {amount:.2f}")


@activity
async def pay(expense: str, amount: float) -> str:
    return f"{expense}: paid {amount:.2f}"


async def reimburse(expense: str, amount: float, patience: str) -> str:
    await workflow.state.set(expense=expense, amount=amount, status="open")
    if amount > 100:
        await ask_manager(expense, amount)
        await workflow.state.set(status="waiting")
        decision = await workflow.condition(f"decision:{expense}", timeout=patience)
        if decision is False:
            await workflow.state.set(status="lapsed")
            return f"{expense}: nobody answered within {patience}"
        await workflow.state.set(status=decision["verdict"], by=decision["by"])
        if decision["verdict"] != "approved":
            return f"{expense}: {decision['verdict']} by {decision['by']}"
    return await pay(expense, amount)


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="expenses") as mesh:
        client = MeshFlow.Client(mesh)
        async with MeshFlow.Worker(mesh, queue="expenses", workflows=[reimburse]):
            claims = [
                ("taxi", 30, "1 week"),
                ("flight", 800, "1 week"),
                ("yacht", 9e5, "1 week"),
                ("tip", 500, "50 ms"),
            ]
            handles = [await client.start(reimburse, args=claim, queue="expenses", ttl="1 minute") for claim in claims]
            await client.signal("decision:flight", {"verdict": "approved", "by": "Ada"})
            await client.signal("decision:yacht", {"verdict": "refused", "by": "Grace"})
            for handle in handles:
                print(await handle, await handle.state("status"))


if __name__ == "__main__":
    asyncio.run(main())
