"""Records are searchable as they are written: a model says how, a query reads like Python."""

from typing import Annotated

import pytest

from meshdata import MeshData, workflow
from meshdata.search import Numeric, Record, Tag, Text


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    bio: Annotated[str, Text()] = ""
    age: Annotated[int, Numeric(sortable=True)] = 0


@pytest.fixture
async def users(mesh: MeshData) -> MeshData:
    """Three users, each written by a run of one workflow."""

    @mesh.entity("user", model=User)
    async def sign_up(plan: str, bio: str, age: int) -> None:
        await workflow.state.set(plan=plan, bio=bio, age=age)

    await mesh.create_index(User)
    await sign_up.options(id="ann", ttl="1 hour")("pro", "climbs mountains", 61)
    await sign_up.options(id="bob", ttl="1 hour")("pro", "sails around the world", 35)
    await sign_up.options(id="cyd", ttl="1 hour")("free", "climbs trees", 8)
    return mesh


async def test_find_records_by_what_they_hold(users: MeshData) -> None:
    pros = await users.find(User).where(User.plan == "pro").sort(User.age)

    assert [(user.id, user.age) for user in pros] == [("bob", 35), ("ann", 61)]


async def test_conditions_combine_like_in_python(users: MeshData) -> None:
    q = users.find(User).where(User.bio.match("climbs") & (User.age < 18))

    assert await q.ids() == ["cyd"]
    assert await q.count() == 1


async def test_a_page_knows_the_next_one(users: MeshData) -> None:
    page = await users.find(User).sort(-User.age).limit(2)
    assert ([user.id for user in page], page.total) == (["ann", "bob"], 3)

    assert page.next is not None
    assert [user.id for user in await page.next] == ["cyd"]


async def test_a_change_is_found_at_once(users: MeshData) -> None:
    await users.set("user", "cyd", {"plan": "pro"})

    assert await users.find(User).where(User.plan == "pro").count() == 3


async def test_records_read_have_the_types_of_the_model(users: MeshData) -> None:
    assert await users.get("user", "bob", "age", "plan") == {"age": 35, "plan": "pro"}
