"""Parallel: a thousand activities in one gather, and a fan-out of children whose results are folded together.

python examples/meshflow/parallel.py
"""

import asyncio
import os

from meshdata import MeshData, MeshFlow, activity, workflow


@activity
async def word_count(line: str) -> int:
    return len(line.split())


async def count_page(lines: list[str]) -> int:
    return sum(await asyncio.gather(*map(word_count, lines)))


async def count_book(pages: list[list[str]]) -> int:
    return sum(await workflow.all_(*(workflow.exec_child(count_page, [page]) for page in pages)))


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="parallel") as mesh:
        async with MeshFlow.Worker(mesh, workflows=[count_page, count_book]):
            client = MeshFlow.Client(mesh)
            print(await client.execute(count_page, [["one two three"] * 1000]), "words on one page")
            print(await client.execute(count_book, [[["four words are here"] * 10] * 20]), "words in the book")


if __name__ == "__main__":
    asyncio.run(main())
