"""Change a model while it is in use: old code goes on writing and counting, and never sees a wrong count.

The new model has a field more and indexes another one differently. Its index is built beside the old one, and queries
go over to it in the moment it is full; then the records that lack the new field are given it, a few at a time.

python examples/migrate_model.py
"""

import asyncio
import os
from typing import Annotated

from meshdata import MeshData
from meshdata.search import Numeric, Record, Tag, count, match_all

COUNT = 2_000


class OldUser(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    spent: Annotated[float, Numeric()] = 0


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag(sortable=True)] = "free"
    spent: Annotated[float, Numeric(sortable=True)] = 0
    level: Annotated[str, Tag(sortable=True)] = ""


async def old_code(mesh: MeshData, stop: asyncio.Event) -> tuple[int, int]:
    """Move users between two plans and count them all the while: there are always as many on one of the two."""
    users = mesh.find(OldUser).where(OldUser.plan.in_(["free", "pro"]) & (OldUser.spent >= 0))
    counted = wrong = 0

    async def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await mesh.set("user", f"u{n * 7 % COUNT}", {"plan": "pro" if n % 2 else "free", "spent": float(n)})

    writing = asyncio.create_task(write())
    while not stop.is_set():
        counted += 1
        wrong += await users.count() != COUNT
    await writing
    return counted, wrong


async def main() -> None:
    url, namespace = os.environ.get("MESHDATA_URL", "embedded://migrate"), "examples-migrate"
    async with MeshData(url, namespace=namespace) as old, MeshData(url, namespace=namespace) as new:
        await old.create_index(OldUser)
        await old.find(OldUser).where(match_all()).flush()  # what an earlier run left
        await asyncio.gather(
            *(old.set("user", f"u{n}", {"id": f"u{n}", "plan": "free", "spent": 0}) for n in range(COUNT))
        )

        stop = asyncio.Event()
        running = asyncio.create_task(old_code(old, stop))
        await new.create_index(User)
        done = 0
        for plan, level in (("pro", "gold"), ("free", "blue"), ("pro", "gold")):  # some go back while we are at it
            missing = new.find(User).where(User.level.is_missing() & (User.plan == plan))
            done += len((await missing.set({"level": level})).done)
        await new.find(User).where(User.level.is_missing()).set({"level": "blue"})
        stop.set()
        counted, wrong = await running

        levels = await new.aggregate(User).group_by(User.level).reduce(n=count()).sort("level")
        print("levels:", ", ".join(row["level"] for row in levels), "of", sum(row["n"] for row in levels), "users")
        print(f"{done} records were given the new field one by one" if done > COUNT / 2 else "too few were migrated")
        print(f"counted {'often' if counted > 20 else 'too seldom'} meanwhile, wrong {wrong} times")


if __name__ == "__main__":
    asyncio.run(main())
