"""Retry: the policy is data. What may pass is tried again with growing pauses; what cannot pass ends at once.

python examples/meshflow/retry.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, RetryPolicy, activity
from meshdata.errors import ActivityFailed, Fatal, RetriesExhausted

POLICY = RetryPolicy(
    max_attempts=4, initial="20 ms", coefficient=2, max_interval="1 second", non_retryable=[ValueError]
)


@activity(retry=POLICY)
async def unstable(fails: int) -> str:
    attempt = activity.info().attempt
    if attempt <= fails:
        raise ConnectionError(f"attempt {attempt} did not get through")
    return f"through at attempt {attempt}"


@activity(retry=POLICY)
async def refused(amount: int) -> None:
    if amount < 0:
        raise ValueError("an amount is not negative")  # listed as not to be retried
    raise Fatal("the account is closed")  # never is


async def calls() -> list[str]:
    told = [await unstable(2)]
    try:
        await unstable(99)
    except RetriesExhausted as error:
        told.append(f"gave up after {error.attempts}: {error.message}")
    for amount in (-1, 1):
        try:
            await refused(amount)
        except ActivityFailed as error:
            told.append(f"{error.type} after {error.attempts}: {error.message}")
    return told


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="retry") as mesh:
        async with MeshFlow.Worker(mesh, workflows=[calls]):
            for line in await MeshFlow.Client(mesh).execute(calls):
                print(line)


if __name__ == "__main__":
    asyncio.run(main())
