"""Continue as new: a workflow without an end whose journal stays short. Id, record, signals and waiters go with it.

python examples/meshflow/continue_as_new.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, activity, workflow

PER_RUN = 25


@activity
async def measure(number: int) -> int:
    return number * number


async def meter(number: int = 0, total: int = 0) -> int:
    """Takes a measurement at a time; every 25 it begins anew with an empty journal and what it has found so far."""
    for _ in range(PER_RUN):
        if await workflow.condition("stop", timeout="1 ms") is not False:
            await workflow.state.set(measured=number)
            return total
        total += await measure(number)
        number += 1
        if number == 60:
            await workflow.signal("sixty")
    workflow.continue_as_new(number, total)


async def sixty() -> None:
    """Lets the program below know when sixty measurements are taken."""
    await workflow.wait_for("sixty")


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="meter") as mesh:
        client = MeshFlow.Client(mesh)
        async with MeshFlow.Worker(mesh, workflows=[meter, sixty]):
            handle = await client.start(meter, ttl="1 minute")
            await client.execute(sixty)
            await client.signal("stop", "enough")
            total = await handle
            measured = int((await handle.state("measured"))["measured"])
            runs = (await handle.info()).runs
            print(
                "nothing lost, nothing twice:",
                total == sum(n * n for n in range(measured)),
                "in several runs:",
                runs > 2,
            )


if __name__ == "__main__":
    asyncio.run(main())
