"""Records with a model: an index made from a pydantic class, and typed queries over it.

python examples/search.py
"""

import asyncio
import os
from typing import Annotated

from meshdata import MeshData, workflow
from meshdata.search import Numeric, Record, Tag, Text


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    age: Annotated[int | None, Numeric(sortable=True)] = None
    bio: Annotated[str, Text()] = ""


PEOPLE = [
    ("ada", "pro", 36, "wrote the first program, for a machine that was never built"),
    ("grace", "pro", 85, "made the first compiler, and found a moth in a machine"),
    ("alan", "free", 41, "asked whether a machine can think"),
]


async def sign_up(plan: str, age: int, bio: str) -> str:
    await workflow.state.set(plan=plan, age=age, bio=bio)
    return "welcome"


async def main() -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with MeshData(url, namespace="examples-search") as mesh:
        await mesh.connect("user", sign_up, model=User)
        await mesh.create_index(User)  # safe to repeat; a changed model builds a new index and swaps it in
        for id, *facts in PEOPLE:
            await mesh.exec(entity="user", args=facts, id=id, ttl="1 minute", state={"id": id})

        pros = await mesh.find(User).where((User.plan == "pro") & (User.age > 18)).sort(-User.age)
        for user in pros:
            print(f"{user.id} is {user.age} and on {user.plan}")

        print("moth:", await mesh.find(User).where(User.bio.match("moth")).ids())
        print("not pro:", await mesh.find(User).where(~(User.plan == "pro")).count())

        # Values are bound, never pasted into the query: nothing a user types can change what is asked.
        print("a hostile value:", await mesh.find(User).where(User.plan == "pro} | @plan:{free").count())


if __name__ == "__main__":
    asyncio.run(main())
