"""retry: an activity that fails half of the time, and is tried again until it succeeds."""

import random

from meshdata import MeshData, MeshOS, RetryPolicy, activity, workflow

PATIENT = RetryPolicy(max_attempts=50, initial="10 ms", coefficient=1)


class Retry(MeshOS, entity="retry", ttl="1 minute"):
    @workflow.run
    async def greet(self, name: str) -> str:
        return await self.hello(name)

    @activity(retry=PATIENT)
    async def hello(self, name: str) -> str:
        if random.random() < 0.5:
            raise ConnectionError("no luck this time")
        return f"Hello Retry {name}!"


async def run(mesh: MeshData) -> str:
    await mesh.register(Retry)
    return await Retry.on(mesh).of().greet("janice")
