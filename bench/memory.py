"""What stays in Redis after a job, and how often a job touches its index."""

import asyncio
from typing import Annotated, Any

from bench.harness import NAMESPACE, Bench, in_tasks
from bench.report import Line
from meshdata import MeshData, activity, workflow
from meshdata.search import Record, Tag
from meshdata.values import to_json

FINISHED_LIMIT = 1024
TEXT = "x" * 100


@activity()
async def fetch(number: int) -> str:
    """An outcome of a hundred bytes."""
    return TEXT


async def _plain(text: str) -> dict[str, str]:
    return {"text": text}


async def _of_three(text: str) -> dict[str, str]:
    for number in range(3):
        await fetch(number)
    return {"text": text}


async def finished(bench: Bench) -> list[Line]:
    """Jobs with a ttl that are over: bytes each beyond arguments, outcomes and result."""
    count = bench.size(5000, 1000)
    lines = []
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        for entity, target, outcomes in (("plain", _plain, 0), ("three", _of_three, 3)):
            await mesh.connect(entity, target)
            numbers = iter(range(10_000_000))

            async def run(entity: str = entity, numbers: Any = numbers) -> None:
                await mesh.exec(entity=entity, args=[TEXT], id=f"{next(numbers):08}", ttl="1 hour")

            await in_tasks(run, tasks=100, count=200)
            before = await used(bench)
            await in_tasks(run, tasks=100, count=count)
            each = (await used(bench) - before) / count
            size = (1 + outcomes) * len(to_json(TEXT, argument="text")) + len(to_json({"text": TEXT}, argument="text"))
            figures = {"bytes": each, "payload_bytes": size, "beyond_payload_bytes": each - size}
            name = f"finished job, {outcomes} activities"
            target_text = f"<= {FINISHED_LIMIT} bytes beyond its payload"
            lines.append(Line(name, figures, target_text, each - size <= FINISHED_LIMIT))
    return lines


async def used(bench: Bench) -> int:
    """Bytes the server uses."""
    info = await bench.redis.info("memory")
    return int(info["used_memory"])


class Item(Record, entity="item"):
    """A record with an index."""

    plan: Annotated[str, Tag()] = ""


async def _steps(steps: int, writes: int) -> None:
    for number in range(steps):
        await fetch(number)
        if number < writes:
            await workflow.state.set(plan=f"p{number}")


async def index_touches(bench: Bench) -> list[Line]:
    """The search module gives a hash a new document number each time it indexes it: the highest one counts."""
    touches = {}
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        await mesh.create_index(Item)
        await mesh.connect("item", _steps, model=Item)
        for name, steps, writes in (("none", 0, 0), ("quiet", 20, 0), ("loud", 20, 20)):
            before = await _documents(bench)
            await mesh.exec(entity="item", args=[steps, writes], id=name, ttl="1 hour")
            await asyncio.sleep(0.05)
            touches[name] = await _documents(bench) - before
    figures = {
        "touches_of_0_activities": touches["none"],
        "touches_of_20_activities": touches["quiet"],
        "touches_of_20_activities_and_20_writes": touches["loud"],
    }
    met = touches["quiet"] == touches["none"] and touches["loud"] == touches["none"] + 20
    return [Line("index touches", figures, "a step that writes no state touches none; a write touches one", met)]


async def _documents(bench: Bench) -> int:
    alias = f"mesh:{{{NAMESPACE}}}:idx:item"
    info = await bench.redis.execute_command("FT.INFO", alias)
    pairs = info if isinstance(info, dict) else dict(zip(info[::2], info[1::2], strict=False))
    return int(pairs.get(b"max_doc_id", pairs.get("max_doc_id", 0)))
