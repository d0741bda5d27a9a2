"""Two versions of a class side by side: each has its workers, the records are one entity's.

python examples/meshos/versions.py
"""

import asyncio
import os
from typing import Annotated

from meshdata import MeshData, MeshOS, workflow
from meshdata.search import Numeric, Tag


class Invoice(MeshOS, entity="invoice", version="v1", ttl="1 minute"):
    total: Annotated[int, Numeric()] = 0

    @workflow.run
    async def issue(self, total: int) -> str:
        await self.state.set(total=total)
        return f"{self.id} by v1, {await self.message()}"

    @workflow.run
    async def message(self) -> str:
        return "by post"


class Invoice2(Invoice, version="v2"):
    """A field more, and one method otherwise; `issue` is the same."""

    currency: Annotated[str, Tag()] = "EUR"

    @workflow.run
    async def message(self) -> str:
        return f"by mail instead of {await super().message()}"


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="versions") as mesh:
        await mesh.register(Invoice, Invoice2)  # or each in a process of its own
        print(await Invoice(id="i1").issue(10))
        print(await Invoice2(id="i2").issue(20))
        print(sorted([(one.id, one.total, one.currency) async for one in Invoice2.find(Invoice2.total > 0)]))
        for id in ("i1", "i2"):
            await Invoice.delete(id)


if __name__ == "__main__":
    asyncio.run(main())
