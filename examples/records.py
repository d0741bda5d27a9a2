"""Records without a job: make, read, change and find them, a few and many at once.

python examples/records.py
"""

import asyncio
import os
from typing import Annotated

from pydantic import BaseModel, Field

from meshdata import MeshData
from meshdata.errors import RevisionConflict, UniqueViolation
from meshdata.search import Numeric, Record, Tag, match_all


class Address(BaseModel):
    city: str
    street: str = ""


class Member(Record, entity="member"):
    id: str
    email: Annotated[str, Tag(unique=True)]
    age: Annotated[int | None, Numeric(sortable=True)] = None
    tags: set[str] = Field(default=set())
    address: Address | None = None


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="examples") as mesh:
        await mesh.create_index(Member)
        for old in await mesh.find(Member).where(match_all()).limit(10_000).ids():
            await mesh.delete(Member, old)  # what an earlier run left

        await mesh.create(Member(id="ada", email="ada@example.org", age=36, address=Address(city="London")))
        try:
            await mesh.create(Member(id="bob", email="ada@example.org"))
        except UniqueViolation as taken:
            print(f"{taken.field} is {taken.holder}'s")

        # Two people have the same record before them, and change different fields of it.
        mine, yours = await mesh.get(Member, "ada"), await mesh.get(Member, "ada")
        mine.age = 37
        assert yours.address is not None
        yours.address.city = "Paris"
        await mesh.update(mine)
        await mesh.update(yours)
        print(await mesh.get(Member, "ada", "age", "address.city"))

        yours.age = 99
        await mesh.append(Member, "ada", "tags", "math", "poetry")  # atomic, whoever else appends
        try:
            await mesh.update(yours, if_unchanged=True)
        except RevisionConflict as conflict:
            print(f"read at revision {conflict.expected}, by now it is at {conflict.found}")

        many = (Member(id=f"m{n}", email=f"m{n % 998}@example.org", age=n % 90) for n in range(1_000))
        report = await mesh.create_many(Member, many)
        print(f"{report.created} created, {len(report.failed)} refused: {report.failed[0].error}")
        print(await mesh.find(Member).where((Member.age > 80) | (Member.address.city == "Paris")).count(), "found")


if __name__ == "__main__":
    asyncio.run(main())
