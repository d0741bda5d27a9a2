"""`meshdata demo meshflow`: a workflow started by an id, carried out by a worker that comes later."""

import random
import secrets
from functools import partial
from typing import Final

from rich.text import Text

from meshdata import meshflow as MeshFlow
from meshdata import workflow
from meshdata.cli.demo.cost import measured
from meshdata.cli.demo.telling import Teller, look_inside, stage
from meshdata.cli.output import Place
from meshdata.engine.policy import RetryPolicy
from meshdata.mesh import MeshData
from meshdata.workflow.activity import activity

QUEUE: Final = "default"
NAP: Final = "1 second"
PATIENT: Final = RetryPolicy(max_attempts=1_000, initial="200 ms", coefficient=2, max_interval="5 seconds")

_attempts: list[str] = []


# --- what the demonstration runs --------------------------------------------------------------------------------------


@activity(retry=PATIENT)
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity(retry=PATIENT)
async def saludar(name: str) -> str:
    if random.random() < 0.5:
        _attempts.append("failed")
        raise ConnectionError("no luck this time")
    _attempts.append("answered")
    return f"¡Hola, {name}!"


async def example(name: str, lang: str) -> str:
    await workflow.trace({"lang": lang})
    await workflow.sleep_for(NAP)
    if lang == "es":
        return await saludar(name)
    return await greet(name)


SOURCE = """\
@activity(retry=RetryPolicy(max_attempts=1_000, initial="200 ms"))
async def saludar(name: str) -> str:
    if random.random() < 0.5:                   # it fails half of the time
        raise ConnectionError("no luck this time")
    return f"¡Hola, {name}!"

async def example(name: str, lang: str) -> str:
    await workflow.trace({"lang": lang})
    await workflow.sleep_for("1 second")        # durable: it might as well be a month
    return await (saludar(name) if lang == "es" else greet(name))
"""

# --- the story --------------------------------------------------------------------------------------------------------


def demo(place: Place) -> int:
    """Tell what a workflow is: started before there is a worker, carried out, retried, recorded."""
    return stage(
        place, _story,
        tagline="Workflows that sleep, fail, go on, and survive their processes.",
        ending="Next: examples/meshflow/, and docs/guides/meshflow.md.",
    )  # fmt: skip


async def _story(tell: Teller, mesh: MeshData, ours: bool) -> None:
    id = f"default-{secrets.token_hex(3)}"
    client = MeshFlow.Client(mesh)
    seeds = {"$entity": "default", "id": id}
    start = partial(
        client.start, example, args=["HotMesh", "es"], id=id, queue=QUEUE, ttl="1 hour", state=seeds, retry=PATIENT
    )
    begun = await measured(mesh, start)
    handle = begun.value
    status = await handle.status()
    tell.step(
        "Started a workflow; no worker is there yet", begun.ms, str(begun), id=id, status=status, commands=begun.trips
    )
    tell.source(SOURCE)
    tell.say(Text.assemble(("status ", "dim"), (status, "yellow"), (f", on the queue {QUEUE!r}", "dim")))

    _attempts.clear()
    worker = MeshFlow.Worker(mesh, queue=QUEUE, workflows=[example], activities=[greet, saludar])
    tell.step("Started a worker, and waited for the result", queue=QUEUE)
    async with worker:
        done = await measured(mesh, lambda: handle.result(timeout=60))
        tell.value("RESPONSE", done, width=12)
        failed = _attempts.count("failed")
        tell.note(f"It slept {NAP}; the activity failed {failed} times before it answered.")
        await _told(tell, handle)
    kinds = {"r:": "the record", "j:": "the job: status, result", "l:": "the journal, as below"}
    await look_inside(tell, mesh, handle.job_id, kinds, "What Redis holds of it")
    if not ours:
        await handle.flush()
        tell.step("Removed what this made", namespace=mesh.namespace)


async def _told(tell: Teller, handle: "MeshFlow.WorkflowHandle[str]") -> None:
    exported = await handle.export(allow=["execution"])
    execution = exported.execution
    assert execution is not None
    spans = [
        {"kind": one.kind, "name": one.name, "ms": one.duration_ms, "attempts": len(one.attempts)}
        for one in execution.spans
    ]
    tell.step("The story of the job", spans=spans)
    for one in execution.spans:
        tries = f"  {len(one.attempts)} attempts" if len(one.attempts) > 1 else ""
        took = "" if one.duration_ms is None else f"{one.duration_ms} ms"
        tell.say(
            Text.assemble((f"{one.kind:<10}", "magenta"), f"{one.name:<24}", (f"{took:>9}", "green"), (tries, "yellow"))
        )
