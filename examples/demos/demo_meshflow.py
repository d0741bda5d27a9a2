"""The life cycle of a workflow: started before there is a worker, it sleeps, fails, is tried again, and answers.

python examples/demos/demo_meshflow.py           # told in colour, with costs: meshdata demo meshflow
"""

import asyncio
import os
import random
import uuid

from meshdata import MeshData, MeshFlow, RetryPolicy, activity, workflow

PATIENT = RetryPolicy(max_attempts=1_000, initial="50 ms", coefficient=2, max_interval="1 second")


@activity(retry=PATIENT)
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity(retry=PATIENT)
async def saludar(name: str) -> str:
    if random.random() < 0.5:
        raise ConnectionError("no luck this time")
    return f"¡Hola, {name}!"


async def example(name: str, lang: str) -> str:
    await workflow.trace({"lang": lang})
    await workflow.sleep_for("1 second")
    return await (saludar(name) if lang == "es" else greet(name))


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="meshflow") as mesh:
        client = MeshFlow.Client(mesh)
        id = f"default-{uuid.uuid4()}"
        seeds = {"$entity": "default", "id": id}
        handle = await client.start(example, args=["HotMesh", "es"], id=id, queue="default", ttl=3600, state=seeds)
        print("status", await handle.status())
        async with MeshFlow.Worker(mesh, queue="default", workflows=[example], activities=[greet, saludar]):
            answer = await handle.result(timeout=60)
        execution = (await handle.export(allow=["execution"])).execution
        assert execution is not None
        print("calls", [span.kind for span in execution.spans])
        await handle.flush()
        print("RESPONSE", answer)


if __name__ == "__main__":
    asyncio.run(main())
