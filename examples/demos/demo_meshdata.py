"""The life cycle of an entity: connect a function, execute it by id, read its record, find it.

python examples/demos/demo_meshdata.py [words…]  # told in colour, with costs: meshdata demo meshdata [words…]
"""

import asyncio
import os
import sys
from typing import Annotated

from meshdata import MeshData, workflow
from meshdata.search import Record, Tag


class Default(Record, entity="default"):
    id: Annotated[str, Tag(sortable=True)]
    plan: Annotated[str, Tag(sortable=True)]
    active: str = "no"


async def welcome(name: str) -> str:
    await workflow.state.set(active="yes")
    return f"Welcome, {name}."


async def main(words: list[str]) -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="meshdata-demo") as mesh:
        await mesh.connect("default", welcome, model=Default)
        for word in words:
            seeds = {"id": word, "plan": "pro"}
            response = await mesh.exec(
                entity="default", args=[word], id=word, ttl="45 minutes", state=seeds, flush=True
            )
            print(word, response, await mesh.get("default", word, "plan", "id", "active"))
        if mesh.store.has_search:
            await mesh.create_index(Default)
        page = await mesh.find(Default).where(Default.id == words[-1])
        for word in words:
            await mesh.flush("default", word)
        if mesh.store.has_search:
            await mesh.drop_index(Default)
        print("count", page.total, "found", page[0].model_dump())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["bronze", "silver", "gold"]))
