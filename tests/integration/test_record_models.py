"""Records as instances of their models, without a job: create, get, update, delete, exists; lists and sets."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
import redis
from pydantic import BaseModel, ConfigDict, Field

from meshdata import MeshData, workflow
from meshdata.errors import (
    InvalidOptions,
    RecordExists,
    RecordInvalid,
    RecordNotFound,
    RevisionConflict,
    UsageError,
)
from meshdata.search import Numeric, Record, Tag, Text
from tests.integration.conftest import OpenMesh

JOINED = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    bio: Annotated[str | None, Text()] = None
    age: Annotated[int | None, Numeric(sortable=True)] = Field(None, ge=0)
    tags: list[str] = Field(default=[])
    groups: set[str] = Field(default=set())
    scores: list[int] = Field(default=[])
    joined: datetime = JOINED


class Plain(BaseModel):
    name: str


@pytest.fixture
async def jo(mesh: MeshData, no_leaks: set[str]) -> User:
    no_leaks.add("r:user:jo")
    return await mesh.create(User(id="jo", plan="pro", age=30, tags=["a", "b"]))


# --- create, get, exists, delete --------------------------------------------------------------------------------------


async def test_what_is_created_is_read_back(mesh: MeshData, jo: User) -> None:
    read = await mesh.get(User, "jo")
    assert read == jo
    assert type(read) is User
    assert await mesh.exists(User, "jo")
    assert await mesh.exists("user", "jo")
    assert not await mesh.exists(User, "al")
    assert (await mesh.raw("user", "jo"))["_rev"] == b"1"


async def test_a_record_is_created_once(mesh: MeshData, jo: User, open_mesh: OpenMesh) -> None:
    with pytest.raises(RecordExists) as caught:
        await mesh.create(User(id="jo"))
    assert (caught.value.entity, caught.value.id, caught.value.code) == ("user", "jo", 409)
    assert (await mesh.get(User, "jo")).plan == "pro"
    meshes = [mesh, await open_mesh()]
    made = await asyncio.gather(
        *(meshes[n % 2].create(User(id="al", age=n)) for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, User) for one in made) == 1
    assert sum(isinstance(one, RecordExists) for one in made) == 9
    await mesh.delete(User, "al")


async def test_fields_serve_as_well_as_an_instance(mesh: MeshData) -> None:
    assert await mesh.create(User, "al", {"plan": "pro"}) == 5  # the defaults too, but None
    assert (await mesh.get(User, "al")) == User(id="al", plan="pro")
    assert await mesh.update("user", "al", {"age": "7", "bio": "x"}) == 2
    assert await mesh.get(User, "al", "age", "bio") == {"age": 7, "bio": "x"}
    with pytest.raises(RecordNotFound):
        await mesh.update(User, "nobody", {"age": 7})
    assert await mesh.delete(User, "al") == 1
    assert await mesh.create("thing", "t", {"a": 1}) == 1
    assert await mesh.get("thing", "t") == {"a": "1"}
    assert await mesh.delete("thing", "t") == 1


async def test_delete_without_names_removes_a_record(mesh: MeshData, jo: User, keys: Callable[[], set[str]]) -> None:
    assert await mesh.delete(User, "jo", "bio", "age") == 1
    assert await mesh.delete(jo) == 1
    assert await mesh.delete(jo) == 0
    with pytest.raises(RecordNotFound):
        await mesh.get(User, "jo")
    assert not [key for key in keys() if ":r:" in key]


async def test_the_record_of_a_job_is_not_deleted_from_under_it(mesh: MeshData) -> None:
    async def job() -> None:
        await workflow.state.set(plan="pro")

    await mesh.connect("user", job, model=User)
    await mesh.exec(entity="user", id="j", ttl="1 minute")
    with pytest.raises(UsageError, match="flush"):
        await mesh.delete(User, "j")
    assert await mesh.exists(User, "j")
    await mesh.flush("user", "j")


async def test_a_record_may_have_a_time_to_live(
    mesh: MeshData, redis_client: redis.Redis, namespace: str, eventually: Any
) -> None:
    await mesh.create(User(id="short"), ttl="50 ms")
    await mesh.create(User(id="long"), ttl="1 hour")
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:r:user:long", count=1000)
    assert 3_500_000 < redis_client.pttl(key) <= 3_600_000

    async def gone() -> bool:
        return not await mesh.exists(User, "short")

    await eventually(gone)
    for ttl in (0, "soon", -1):
        with pytest.raises(InvalidOptions) as caught:
            await mesh.create(User(id="x"), ttl=ttl)
        assert caught.value.argument == "ttl"


async def test_a_job_that_begins_on_a_record_takes_its_time_to_live_over(
    mesh: MeshData, redis_client: redis.Redis, namespace: str
) -> None:
    async def job() -> Any:
        return await workflow.state.get("plan")

    await mesh.connect("user", job, model=User)
    await mesh.create(User(id="j", plan="pro"), ttl="1 minute")
    assert await mesh.exec(entity="user", id="j", ttl="infinity") == "pro"
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:r:user:j", count=1000)
    assert redis_client.pttl(key) == -1
    await mesh.flush("user", "j")


async def test_a_plain_class_needs_its_entity_once(mesh: MeshData) -> None:
    with pytest.raises(InvalidOptions, match="which entity"):
        await mesh.create(Plain(name="x"), id="p")

    async def job() -> None: ...

    await mesh.connect("plain", job, model=Plain)
    with pytest.raises(InvalidOptions) as caught:
        await mesh.create(Plain(name="x"))
    assert caught.value.argument == "id"
    made = await mesh.create(Plain(name="x"), id="p")
    made.name = "y"
    assert await mesh.update(made) == 1
    assert await mesh.get(Plain, "p") == Plain(name="y")
    assert await mesh.delete(made) == 1


# --- only what changed ------------------------------------------------------------------------------------------------


async def test_only_fields_that_changed_are_written(mesh: MeshData, jo: User) -> None:
    mine, theirs = await mesh.get(User, "jo"), await mesh.get(User, "jo")
    mine.plan = "team"
    theirs.age = 31
    theirs.tags.append("c")
    assert await mesh.update(mine) == 1
    assert await mesh.update(theirs) == 2
    assert await mesh.get(User, "jo") == User(id="jo", plan="team", age=31, tags=["a", "b", "c"])
    assert await mesh.update(theirs) == 0
    assert (await mesh.raw("user", "jo"))["_rev"] == b"3"
    theirs.age = None
    assert await mesh.update(theirs) == 1
    assert b"age" not in (await mesh.raw("user", "jo"))


async def test_what_was_found_by_a_query_is_updated_the_same_way(mesh: MeshData, jo: User) -> None:
    await mesh.create_index(User)
    found = await mesh.find(User).where(User.plan == "pro").first()
    assert found is not None
    await mesh.set(User, "jo", {"age": 99})
    found.plan = "team"
    assert await mesh.update(found) == 1
    assert await mesh.get(User, "jo", "plan", "age") == {"plan": "team", "age": 99}


async def test_an_instance_made_by_hand_writes_what_it_was_made_with(mesh: MeshData, jo: User) -> None:
    assert await mesh.update(User(id="jo", plan="team", bio=None)) == 2
    assert await mesh.get(User, "jo") == User(id="jo", plan="team", age=30, tags=["a", "b"])


async def test_a_copy_knows_what_it_was_read_from(mesh: MeshData) -> None:
    class Frozen(Record, entity="frozen"):
        model_config = ConfigDict(frozen=True)
        id: str
        n: int = 1
        m: int = 1

    made = await mesh.create(Frozen(id="f"))
    await mesh.incr(Frozen, "f", "m", 5)
    assert await mesh.update(made.model_copy(update={"n": 2})) == 1
    assert await mesh.get(Frozen, "f") == Frozen(id="f", n=2, m=6)
    await mesh.delete(Frozen, "f")


async def test_where_an_instance_came_from_shows_nowhere(mesh: MeshData, jo: User) -> None:
    read = await mesh.get(User, "jo")
    same = User(id="jo", plan="pro", age=30, tags=["a", "b"])
    assert read == same
    assert (repr(read), read.model_dump(), read.model_dump_json()) == (
        repr(same), same.model_dump(), same.model_dump_json(),
    )  # fmt: skip


async def test_what_others_counted_is_not_written_back(mesh: MeshData, jo: User) -> None:
    read = await mesh.get(User, "jo")
    await mesh.mult(User, "jo", "age", 2.0)
    read.plan = "team"
    assert await mesh.update(read) == 1
    assert await mesh.get(User, "jo", "age") == {"age": 60}


async def test_a_change_may_ask_that_nobody_else_made_one(mesh: MeshData, jo: User) -> None:
    first, second = await mesh.get(User, "jo"), await mesh.get(User, "jo")
    first.plan, second.plan = "team", "lost"
    await mesh.update(first, if_unchanged=True)
    with pytest.raises(RevisionConflict) as caught:
        await mesh.update(second, if_unchanged=True)
    assert (caught.value.expected, caught.value.found) == (1, 2)
    first.plan = "again"
    await mesh.update(first, if_unchanged=True)
    assert (await mesh.get(User, "jo")).plan == "again"
    with pytest.raises(RevisionConflict):
        await mesh.update(User, "jo", {"plan": "x"}, expected_rev=1)
    with pytest.raises(InvalidOptions) as wrong:
        await mesh.update(User(id="jo", plan="x"), if_unchanged=True)
    assert wrong.value.argument == "if_unchanged"


async def test_an_instance_that_was_spoilt_is_refused_by_model_record_and_field(mesh: MeshData, jo: User) -> None:
    read = await mesh.get(User, "jo")
    read.age = -5  # an assignment is not checked by pydantic's default
    with pytest.raises(RecordInvalid) as caught:
        await mesh.update(read)
    assert (caught.value.model, caught.value.id, caught.value.field) == ("User", "jo", "age")
    with pytest.raises(RecordInvalid) as caught:
        await mesh.update(User, "jo", {"plam": "x"})
    assert (caught.value.model, caught.value.id, caught.value.field) == ("User", "jo", "plam")
    with pytest.raises(RecordInvalid) as caught:
        await mesh.set(User, "jo", {"id": "other"})
    assert caught.value.field == "id"
    assert (await mesh.raw("user", "jo"))["_rev"] == b"1"


async def test_an_empty_text_is_a_value_and_none_is_none(mesh: MeshData, jo: User) -> None:
    await mesh.set(User, "jo", {"plan": "", "bio": ""})
    assert await mesh.get(User, "jo", "plan", "bio") == {"plan": "", "bio": ""}
    await mesh.set(User, "jo", {"plan": None, "bio": None})
    assert await mesh.get(User, "jo", "plan", "bio") == {"plan": None, "bio": None}
    assert not {b"plan", b"bio"} & set(await mesh.raw("user", "jo"))


# --- counting, lists and sets -----------------------------------------------------------------------------------------


async def test_counting_is_for_numbers_of_the_model(mesh: MeshData, jo: User) -> None:
    assert await mesh.incr(User, "jo", "age") == 31
    for field, by in (("plan", 1), ("tags", 1), ("age", 1.5), ("nothing", 1)):
        with pytest.raises(RecordInvalid) as caught:
            await mesh.incr(User, "jo", field, by)
        assert caught.value.field == field
    assert await mesh.get(User, "jo", "age") == {"age": 31}


async def test_values_are_appended_and_removed(mesh: MeshData, jo: User) -> None:
    assert await mesh.append(User, "jo", "tags", "b", "c") == 2
    assert await mesh.get(User, "jo", "tags") == {"tags": ["a", "b", "b", "c"]}
    assert await mesh.remove(User, "jo", "tags", "b", "x") == 2
    assert await mesh.append("user", "jo", "groups", "z", "é", "a", "z") == 3
    assert await mesh.append("user", "jo", "groups", "a") == 0
    assert await mesh.remove("user", "jo", "groups", "z") == 1
    assert await mesh.append(User, "jo", "scores", 3, "4") == 2
    read = await mesh.get(User, "jo")
    assert (read.tags, read.groups, read.scores) == (["a", "c"], {"a", "é"}, [3, 4])


async def test_empty_lists_and_empty_values_are_told_apart(mesh: MeshData, jo: User) -> None:
    assert await mesh.remove(User, "jo", "tags", "a", "b") == 2
    assert (await mesh.get(User, "jo")).tags == []
    for wanted in ([""], ["", ""], ["", "", "x"], ["", "", "x", ""]):
        assert await mesh.append(User, "jo", "tags", wanted[-1]) == 1
        assert (await mesh.get(User, "jo")).tags == wanted
    assert await mesh.remove(User, "jo", "tags", "") == 3
    assert (await mesh.get(User, "jo")).tags == ["x"]


async def test_a_set_changed_by_the_store_is_the_text_the_codec_writes(mesh: MeshData, jo: User) -> None:
    values = ["b", "é", "Z", "a", "", "ß", "ab", "\U0001f600", "_"]
    await mesh.append(User, "jo", "groups", *values)
    appended = (await mesh.raw("user", "jo"))["groups"]
    await mesh.set(User, "jo", {"groups": set(values)})
    assert (await mesh.raw("user", "jo"))["groups"] == appended


async def test_appends_at_once_are_all_kept(mesh: MeshData, jo: User, open_mesh: OpenMesh) -> None:
    meshes = [mesh, await open_mesh(), await open_mesh()]
    await asyncio.gather(*(meshes[n % 3].append(User, "jo", "groups", f"g{n}") for n in range(200)))
    assert (await mesh.get(User, "jo")).groups == {f"g{n}" for n in range(200)}


async def test_the_index_sees_what_was_appended(mesh: MeshData, jo: User) -> None:
    await mesh.create_index(User)
    await mesh.append(User, "jo", "tags", "new one")
    assert await mesh.find(User).where(User.tags.contains("new one")).count() == 1
    await mesh.remove(User, "jo", "tags", "new one")
    assert await mesh.find(User).where(User.tags.contains("new one")).count() == 0


async def test_what_cannot_be_appended(mesh: MeshData, jo: User) -> None:
    for field, value in (("plan", "x"), ("scores", "x"), ("scores", 1.5), ("tags", 3), ("tags", "a\x1fb"), ("no", "x")):
        with pytest.raises(RecordInvalid) as caught:
            await mesh.append(User, "jo", field, value)
        assert (caught.value.model, caught.value.id) == ("User", "jo")
        assert caught.value.field.partition(".")[0] == field
    with pytest.raises(InvalidOptions) as none:
        await mesh.append(User, "jo", "tags")
    assert none.value.argument == "values"
    with pytest.raises(InvalidOptions, match="no model"):
        await mesh.append("other", "jo", "tags", "x")


async def test_a_workflow_appends_to_its_record(mesh: MeshData) -> None:
    async def job() -> Any:
        came = await workflow.state.append("tags", "x", "y")
        went = await workflow.state.remove("tags", "x")
        return came, went, await workflow.state.mget("tags", "tags")

    await mesh.connect("user", job, model=User)
    assert await mesh.exec(entity="user") == [2, 1, [["y"], ["y"]]]
