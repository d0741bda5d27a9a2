"""A worker process for test_processes.py: `python process_worker.py url namespace`. Serves until SIGTERM.

`order` runs three activities, a sleep and a child; each activity counts in a Redis hash of the test's own that it ran.
"""

import sys

import redis.asyncio

from meshdata import MeshData, activity, workflow

URL, NAMESPACE = sys.argv[1:3]
mesh = MeshData(URL, namespace=NAMESPACE, life_sign=1, concurrency=20)
client = redis.asyncio.from_url(URL)


@activity
async def count(order: str, step: int) -> int:
    ran: int = await client.hincrby(f"{NAMESPACE}:ran", f"{order}/{step}", 1)
    return ran


@mesh.entity("child")
async def child(n: int) -> int:
    return n * 2


@mesh.entity("order")
async def order(n: int) -> int:
    id = workflow.info().id
    await count(id, 1)
    await workflow.sleep_for(0.02)
    double: int = await workflow.exec_child("child", [n])
    await count(id, 2)
    await workflow.state.incr("steps", 2)
    await count(id, 3)
    await workflow.state.incr("steps", 1)
    return double


@mesh.entity("approval")
async def approval(n: int) -> str:
    by = await workflow.wait_for(f"approve {n}")
    return f"{n} by {by}"


if __name__ == "__main__":
    mesh.serve(ready=lambda: print("serving", flush=True))
