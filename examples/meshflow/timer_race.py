"""A race: an activity against a durable timer. Whoever comes second is given up; the race ends alike on every replay.

python examples/meshflow/timer_race.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, activity, workflow


@activity
async def process_order(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "processed"


@activity
async def send_delay_mail() -> str:
    return "we are sorry that it takes so long"


async def order(seconds: float) -> list[str]:
    told: list[str] = []
    processing = asyncio.create_task(process_order(seconds))
    patience = asyncio.create_task(workflow.sleep_for("100 ms"))
    first, _ = await asyncio.wait({processing, patience}, return_when=asyncio.FIRST_COMPLETED)
    if processing not in first:
        told.append(await send_delay_mail())
    told.append(await processing)
    patience.cancel()
    return told


async def with_limit(seconds: float) -> str:
    try:
        async with workflow.timeout("100 ms"):
            return await process_order(seconds)
    except TimeoutError:
        return "given up"


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="timer_race") as mesh:
        async with MeshFlow.Worker(mesh, workflows=[order, with_limit]):
            client = MeshFlow.Client(mesh)
            print(await client.execute(order, [0.001]))
            print(await client.execute(order, [0.4]))
            print(await client.execute(with_limit, [5]))


if __name__ == "__main__":
    asyncio.run(main())
