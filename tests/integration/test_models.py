"""Models: typed records, indexes and queries over records that workflows write."""

import asyncio
import enum
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pydantic
import pytest

from meshdata import MeshData, workflow
from meshdata.errors import IndexNotFound, InvalidOptions, JobFailed, QueryInvalid
from meshdata.search import Numeric, Record, Tag, Text, field
from tests.integration.conftest import Eventually, OpenMesh


class Plan(enum.Enum):
    FREE = "free"
    PRO = "pro"


class User(Record, entity="user"):
    id: str
    name: Annotated[str, Text(sortable=True)] = ""
    plan: Plan = Plan.FREE
    age: Annotated[int | None, Numeric(sortable=True)] = None
    joined: datetime | None = None
    balance: Decimal | None = None
    roles: Annotated[list[str], Tag()] = pydantic.Field(default_factory=list)


JOINED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


async def register(name: str, age: int) -> str:
    await workflow.state.set(
        name=name,
        age=age,
        plan=Plan.PRO if age > 30 else Plan.FREE,
        joined=JOINED,
        balance=Decimal("1.10"),
        roles=["a", "b"],
    )
    return f"{name} is in"


@pytest.fixture
async def users(mesh: MeshData) -> MeshData:
    """A mesh with nine users, written by a workflow, and their index."""
    await mesh.connect("user", register, model=User)
    await mesh.create_index(User)
    await asyncio.gather(
        *(mesh.exec(entity="user", args=[f"name{n} common", 20 + 3 * n], id=f"u{n}", ttl="1 minute") for n in range(9))
    )
    return mesh


async def test_a_record_has_the_types_of_its_model(users: MeshData) -> None:
    expected = {
        "name": "name0 common", "plan": Plan.FREE, "age": 20, "joined": JOINED, "balance": Decimal("1.10"),
        "roles": ["a", "b"],
    }  # fmt: skip
    got = await users.all("user", "u0")
    assert {name: got[name] for name in expected} == expected
    assert await users.get("user", "u0", "age", "plan") == {"age": 20, "plan": Plan.FREE}
    assert await users.handle("user", "u0").state("joined") == {"joined": JOINED}


async def test_state_inside_the_function_has_the_types_too(users: MeshData) -> None:
    seen: list[Any] = []

    async def look() -> None:
        seen.extend(await workflow.state.mget("age", "joined", "roles"))
        seen.append(await workflow.state.incr("age", 2))
        seen.append((await workflow.state.all())["age"])

    await users.connect("user.look", look)
    await (await users.hook(entity="user", id="u0", hook_entity="user.look"))
    # A hook is its own function but the record is the user's.
    assert seen == [20, JOINED, ["a", "b"], 22, 22]


async def test_what_a_workflow_writes_is_found_at_once(users: MeshData) -> None:
    found = await users.find(User).where(User.plan == Plan.PRO).sort(-User.age)
    assert [user.id for user in found] == ["u8", "u7", "u6", "u5", "u4"]
    assert found.total == 5
    assert isinstance(found[0], User)
    assert found[0].model_dump(exclude={"roles"}) == {
        "id": "u8", "name": "name8 common", "plan": Plan.PRO, "age": 44, "joined": JOINED, "balance": Decimal("1.10"),
    }  # fmt: skip


async def test_conditions_combine(users: MeshData) -> None:
    q = users.find(User).where(((User.age >= 26) & (User.age < 35)) | User.name.match("name8"))
    assert sorted(await q.ids()) == ["u2", "u3", "u4", "u8"]
    assert await users.find(User).where(~(User.plan == Plan.FREE)).count() == 5
    assert await users.find(User).where(User.name.match("name3")).ids() == ["u3"]
    assert await users.find(User).where(User.roles == "a").count() == 9


async def test_sort_limit_offset_count_and_first(users: MeshData) -> None:
    q = users.find(User).sort(User.age)
    assert [user.id for user in await q.limit(2, offset=3)] == ["u3", "u4"]
    assert (await q.first()).id == "u0"
    assert await q.count() == 9
    assert [user.id async for user in q] == [f"u{n}" for n in range(9)]
    assert await q.where(User.age > 100).first() is None


async def test_pages_follow_one_another(users: MeshData) -> None:
    page = await users.find(User).sort(-User.age).limit(4)
    ids = [user.id for user in page]
    while page.next is not None:
        page = await page.next
        ids += [user.id for user in page]
    assert ids == [f"u{n}" for n in reversed(range(9))]


@pytest.mark.parametrize(
    "value", ['x") | @plan:{pro', "*", "a|b", "-x", "a b", "{a}", "\\", "'", "@name:x", "(", "[1 2]", "$p", "%x%", ""]
)
async def test_no_value_widens_a_query(users: MeshData, value: str) -> None:
    assert await users.find(User).where(User.roles == value).count() == 0
    await users.set("user", "u0", {"roles": [value]})
    assert await users.find(User).where(User.roles == value).ids() == ["u0"]


async def test_the_index_is_made_once_and_follows_the_model(users: MeshData) -> None:
    assert await users.create_index(User) is False

    class Wider(Record, entity="user"):
        id: str
        age: Annotated[int | None, Numeric(sortable=True)] = None
        city: Annotated[str, Tag()] = ""

    await users.set("user", "u0", {"name": "renamed"})
    assert await users.create_index(Wider) is True
    await users.set("user", "u1", {"city": "Bern"})
    assert await users.find(Wider).where(Wider.city == "Bern").ids() == ["u1"]
    assert await users.find(Wider).count() == 9
    assert [(info.entity, info.current) for info in await users.list_indexes()] == [("user", True)]
    assert await users.drop_index(Wider) is True
    assert await users.drop_index("user") is False
    with pytest.raises(IndexNotFound):
        await users.find(Wider).count()
    assert (await users.get("user", "u1", "city")) == {"city": "Bern"}


async def test_records_written_before_the_index_are_in_it(mesh: MeshData) -> None:
    await mesh.connect("user", register, model=User)
    for n in range(5):
        await mesh.exec(entity="user", args=[f"n{n}", n], id=f"u{n}", ttl="1 minute")
    await mesh.create_index(User)
    assert await mesh.find(User).count() == 5


async def test_what_is_flushed_is_found_no_more(users: MeshData) -> None:
    await users.flush("user", "u3")
    assert await users.find(User).where(User.name.match("name3")).count() == 0
    assert await users.find(User).count() == 8


async def test_another_process_finds_by_name_without_the_model(users: MeshData, open_mesh: OpenMesh) -> None:
    other = await open_mesh()
    rows = await other.find("user").where(field("plan") == "pro").sort("-age").limit(2)
    assert [(row["id"], row["age"]) for row in rows] == [("u8", "44"), ("u7", "41")]
    by_dict = other.find("user").where([{"field": "plan", "is": "=", "value": "pro"}])
    assert await by_dict.count() == 5


async def test_status_and_errors_are_found(users: MeshData) -> None:
    async def broken() -> None:
        await workflow.state.set(name="broken", age=1)
        raise ValueError("no such luck")

    await users.connect("broken", broken, model=_for("broken"))
    model = _for("broken")
    await users.create_index(model, entity="broken")
    with pytest.raises(JobFailed):
        await users.exec(entity="broken", id="b", ttl="1 minute")
    assert await users.find("broken").where(User.meta.status == "failed").ids() == ["b"]
    assert await users.find(User).where(User.meta.status == "completed").count() == 9


def _for(entity: str) -> type[Record]:
    class Broken(Record, entity=entity):
        id: str
        name: str = ""
        age: int = 0

    return Broken


async def test_a_plain_pydantic_class_serves_as_model(mesh: MeshData) -> None:
    class Thing(pydantic.BaseModel):
        colour: str = ""
        size: int = 0

    async def make(colour: str, size: int) -> None:
        await workflow.state.set(colour=colour, size=size)

    await mesh.connect("thing", make, model=Thing)
    await mesh.create_index(Thing, entity="thing")
    await mesh.exec(entity="thing", args=["red", 3], id="t", ttl="1 minute")
    assert await mesh.get("thing", "t", "size") == {"size": 3}
    assert (await mesh.find("thing").where(field(Thing, "colour") == "red"))[0] == Thing(colour="red", size=3)
    assert await mesh.find(Thing).count() == 1  # its entity was named when it was connected


# --- what does not fit ------------------------------------------------------------------------------------------------


async def test_a_value_that_does_not_fit_the_model_is_refused_before_it_is_written(users: MeshData) -> None:
    with pytest.raises(InvalidOptions, match="age"):
        await users.set("user", "u0", {"age": "old"})
    with pytest.raises(InvalidOptions, match="nickname"):
        await users.set("user", "u0", {"nickname": "x"})
    with pytest.raises(InvalidOptions):
        await users.exec(entity="user", args=["x", 1], id="new", ttl="1 minute", state={"plan": "gold"})
    assert (await users.get("user", "u0", "age")) == {"age": 20}


async def test_inside_a_workflow_it_fails_the_job(users: MeshData) -> None:
    async def spoil() -> None:
        await workflow.state.set(age="old")

    await users.connect("user.spoil", spoil)
    hook = await users.hook(entity="user", id="u0", hook_entity="user.spoil")
    with pytest.raises(JobFailed) as caught:
        await hook.result(timeout=10)
    assert caught.value.type == "RecordInvalid"
    assert (await users.get("user", "u0", "age")) == {"age": 20}


async def test_queries_that_cannot_be_right_are_refused(users: MeshData) -> None:
    with pytest.raises(InvalidOptions):
        users.find(User).limit(-1)
    with pytest.raises(QueryInvalid):
        users.find(User).where([{"field": "nickname", "is": "=", "value": "x"}])
    with pytest.raises(QueryInvalid):
        users.find(User).where()
    with pytest.raises(AttributeError, match="User has no field 'nickname'; did you mean 'name'"):
        _ = User.nickname


async def test_reads_of_running_jobs_see_each_write(mesh: MeshData, eventually: Eventually) -> None:
    async def slow(name: str) -> None:
        await workflow.state.set(name=name, age=1)
        await workflow.wait_for(f"go {name}")
        await workflow.state.set(age=2)

    await mesh.connect("user", slow, model=User)
    await mesh.create_index(User)
    handle = await mesh.exec(entity="user", args=["x"], id="x", ttl="1 minute", wait=False)
    await eventually(lambda: mesh.find(User).where((User.age == 1) & (User.meta.status == "running")).count())
    await mesh.signal("go x")
    await handle.result(timeout=10)
    assert await mesh.find(User).where((User.age == 2) & (User.meta.status == "completed")).count() == 1
