"""Cancelling: a workflow is asked to end. It stops what it does, finishes what must not be left half done, cleans up.

python examples/meshflow/cancellation.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, activity, workflow
from meshdata.errors import JobCancelled


@activity
async def charge(cents: int) -> str:
    return f"charged {cents}"


@activity
async def remove_files(folder: str) -> None:
    print(f"{folder} is empty")


async def report(folder: str) -> None:
    try:
        async with workflow.shield():  # whoever pays gets a receipt, come what may
            paid = await charge(500)
            await workflow.wait_for("the bank has confirmed")
            await workflow.state.set(receipt=paid)
        await workflow.sleep_for("30 days")
    finally:
        await remove_files(folder)


async def newsletter() -> str:
    sent = 0
    try:
        while True:
            await workflow.sleep_for("50 ms")
            sent += 1
    except asyncio.CancelledError:
        return f"sent {sent > 0}, then no more"  # it may as well end of its own accord


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="cancellation") as mesh:
        async with MeshFlow.Worker(mesh, workflows=[report, newsletter]):
            client = MeshFlow.Client(mesh)

            handle = await client.start(report, args=["/tmp/report"], ttl="1 minute")
            while not (await handle.info()).waiting_for:
                await asyncio.sleep(0.01)
            await handle.cancel("not needed")
            await client.signal("the bank has confirmed")
            try:
                await handle
            except JobCancelled as error:
                print(error)
            print(await handle.state())

            letters = await client.start(newsletter, ttl="1 minute")
            await asyncio.sleep(0.2)
            await letters.cancel()
            print(await letters)


if __name__ == "__main__":
    asyncio.run(main())
