"""Patching: the code of a workflow changes while runs of it are under way. Old ones go the old way to their end.

python examples/meshflow/patching.py
"""

import asyncio
import os
import tempfile

from meshdata import MeshFlow, activity, workflow


@activity
async def invoice(order: str) -> str:
    return f"invoice for {order}"


@activity
async def check_fraud(order: str) -> str:
    return f"{order} is fine"


async def first_version(order: str) -> list[str]:
    done = [await invoice(order)]
    await workflow.wait_for(f"paid:{order}")
    return done


async def second_version(order: str) -> list[str]:
    done = []
    if workflow.patched("check-fraud"):  # False where a run passed this place before the check was deployed
        done.append(await check_fraud(order))
    done.append(await invoice(order))
    await workflow.wait_for(f"paid:{order}")
    return done


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("MESHDATA_URL", f"embedded://{folder}")
        async with MeshFlow.Client(url, namespace="patching") as client:
            async with MeshFlow.Worker(url, namespace="patching", workflows={"order": first_version}):
                old = await client.start("order", ["old"], id="old", ttl="1 minute", conflict="restart")
                while not (await old.info()).waiting_for:
                    await asyncio.sleep(0.01)
            # The new version is deployed: its worker goes on with the old run, and begins new ones.
            async with MeshFlow.Worker(url, namespace="patching", workflows={"order": second_version}):
                new = await client.start("order", ["new"], id="new", ttl="1 minute", conflict="restart")
                for order in ("old", "new"):
                    await client.signal(f"paid:{order}")
                print(await old)
                print(await new)


if __name__ == "__main__":
    asyncio.run(main())
