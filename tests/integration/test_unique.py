"""Unique fields: no two records of an entity share a value, whoever writes, however one of them goes."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
import redis
from pydantic import Field

from meshdata import MeshData, workflow
from meshdata.errors import InvalidOptions, RecordInvalid, UniqueViolation
from meshdata.search import Record, Tag
from tests.handover import hand_over, until_resident
from tests.integration.conftest import OpenMesh


class Member(Record, entity="member"):
    id: str
    email: Annotated[str | None, Tag(unique=True)] = None
    nick: Annotated[str | None, Tag(unique=True, case_sensitive=False)] = None
    age: int = 0
    tags: list[str] = Field(default=[])


@pytest.fixture
def partitions() -> int:
    """A claim is made in one script, so there is one partition."""
    return 1


@pytest.fixture
async def members(mesh: MeshData, no_leaks: set[str]) -> MeshData:
    """A mesh that knows the model; its records stay."""
    no_leaks |= {"r:member:a", "r:member:b", "email:a@x", "email:b@x", "email:c@x"}
    await mesh.create(Member(id="a", email="a@x"))
    return mesh


def claims(keys: Callable[[], set[str]]) -> set[str]:
    return {key.split(":u:")[1] for key in keys() if ":u:" in key}


async def test_a_value_that_is_taken_is_refused(members: MeshData) -> None:
    await members.create(Member(id="b", email="b@x"))
    for write in (
        lambda: members.create(Member(id="c", email="a@x")),
        lambda: members.set(Member, "b", {"email": " a@x ", "age": 9}),
        lambda: members.update(Member(id="b", email="a@x")),
    ):
        with pytest.raises(UniqueViolation) as caught:
            await write()
        error = caught.value
        assert (error.entity, error.field, error.value, error.holder) == ("member", "email", "a@x", "a")
        assert error.code == 409
    assert not await members.exists(Member, "c")
    assert await members.get(Member, "b") == Member(id="b", email="b@x")


async def test_ones_own_value_is_free(members: MeshData) -> None:
    await members.set(Member, "a", {"email": "a@x", "age": 1})
    await members.update(Member(id="a", email="a@x"))
    assert (await members.get(Member, "a")).age == 1


async def test_a_value_is_free_again_once_it_is_changed_or_taken_away(
    members: MeshData, keys: Callable[[], set[str]]
) -> None:
    await members.set(Member, "a", {"email": "c@x"})
    assert claims(keys) == {"member:email:c@x"}
    await members.create(Member(id="b", email="a@x"))
    await members.set(Member, "b", {"email": None})
    assert claims(keys) == {"member:email:c@x"}
    await members.delete(Member, "a", "email", "age")
    assert claims(keys) == set()
    raw = await members.raw("member", "a")
    assert not {"email", "_claims"} & set(raw)
    await members.set(Member, "b", {"email": "c@x"})
    assert claims(keys) == {"member:email:c@x"}


async def test_a_value_goes_with_its_record(members: MeshData, keys: Callable[[], set[str]]) -> None:
    await members.delete(Member, "a")
    assert claims(keys) == set()
    await members.create(Member(id="a", email="a@x"))
    await members.flush("member", "a")
    assert claims(keys) == set()


async def test_a_value_expires_with_its_record(members: MeshData, redis_client: redis.Redis, eventually: Any) -> None:
    await members.create(Member(id="short", email="s@x"), ttl="50 ms")
    with pytest.raises(UniqueViolation):
        await members.create(Member(id="late", email="s@x"), ttl="1 minute")

    async def free() -> bool:
        return bool((await members.create_many(Member, [Member(id="late", email="s@x")], ttl="1 minute")).created)

    await eventually(free)
    await members.set(Member, "late", {"email": "t@x"})
    (key,) = redis_client.scan_iter(match="*:u:member:email:t@x", count=1000)
    assert 0 < redis_client.pttl(key) <= 60_000


async def test_a_jobs_value_lives_as_long_as_the_job(
    mesh: MeshData, redis_client: redis.Redis, namespace: str, keys: Callable[[], set[str]]
) -> None:
    async def job(email: str) -> None:
        await workflow.state.set(email=email)

    async def later() -> None:
        await workflow.state.set(email="h@x")

    await mesh.connect("member", job, model=Member)
    await mesh.connect("member.later", later)
    await mesh.exec(entity="member", args=["j@x"], id="j", ttl="1 minute")
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:u:member:email:j@x", count=1000)
    assert 50_000 < redis_client.pttl(key) <= 60_000
    await (await mesh.hook(entity="member", id="j", hook_entity="member.later")).result(timeout=10)
    assert claims(keys) == {"member:email:h@x"}
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:u:member:email:h@x", count=1000)
    assert 0 < redis_client.pttl(key) <= 60_000


async def test_in_a_workflow_the_refusal_is_an_outcome_like_any_other(members: MeshData) -> None:
    async def job() -> Any:
        try:
            await workflow.state.set(email="a@x", age=5)
        except UniqueViolation as error:
            assert await workflow.state.get("age") is None
            return [error.field, error.value, error.holder, error.id]

    await members.connect("member", job)
    assert await members.exec(entity="member", id="j") == ["email", "a@x", "a", "j"]


async def test_a_replay_is_told_what_the_first_run_was_told(members: MeshData, open_mesh: OpenMesh) -> None:
    async def job() -> Any:
        told = []
        for email in ("a@x", "b@x"):
            try:
                told.append(await workflow.state.set(email=email))
            except UniqueViolation as error:
                told.append([error.value, error.holder])
        told.append(await workflow.state.append("tags", "x", "x"))
        await workflow.wait_for("go")
        return [*told, await workflow.state.remove("tags", "x"), await workflow.state.mget("email", "tags")]

    other = await open_mesh()
    for mesh in (members, other):
        await mesh.connect("member", job, model=Member)
    handle = await members.exec(entity="member", id="j", wait=False)
    held, run = await until_resident([members, other], "member:j")
    deadline = asyncio.get_running_loop().time() + 10
    while not run.is_waiting:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.002)
    await hand_over(held, run)
    await members.set(Member, "a", {"email": "c@x"})  # by now it would be free
    await members.signal("go")
    assert await handle.result(timeout=10) == [["a@x", "a"], 1, 2, 2, ["b@x", []]]


async def test_of_many_who_want_a_value_at_once_one_gets_it(mesh: MeshData, open_mesh: OpenMesh) -> None:
    meshes = [mesh, await open_mesh(), await open_mesh()]
    made = await asyncio.gather(
        *(meshes[n % 3].create(Member(id=f"m{n}", email="one@x"), ttl="1 minute") for n in range(30)),
        return_exceptions=True,
    )
    winners = [one for one in made if isinstance(one, Member)]
    assert len(winners) == 1
    assert {one.holder for one in made if isinstance(one, UniqueViolation)} == {winners[0].id}


async def test_case_and_blanks_do_not_make_another_value_where_the_index_sees_none(mesh: MeshData) -> None:
    await mesh.create(Member(id="a", nick="Jo", email="E@x"), ttl="1 minute")
    with pytest.raises(UniqueViolation):
        await mesh.create(Member(id="b", nick=" jO "), ttl="1 minute")
    await mesh.create(Member(id="b", email="e@x"), ttl="1 minute")


async def test_a_claim_of_a_record_that_is_gone_stands_in_nobodys_way(
    members: MeshData, redis_client: redis.Redis, namespace: str
) -> None:
    redis_client.delete(f"mesh:{{{namespace}}}:r:member:a")
    await members.create(Member(id="b", email="a@x"))
    assert redis_client.get(f"mesh:{{{namespace}}}:u:member:email:a@x") == b"b"


async def test_who_does_not_know_the_model_cannot_get_around_the_claim(members: MeshData, open_mesh: OpenMesh) -> None:
    stranger = await open_mesh()
    for write in (
        lambda: stranger.set("member", "a", {"email": "free@x"}),
        lambda: stranger.incr("member", "a", "email"),
    ):
        with pytest.raises(InvalidOptions) as caught:
            await write()
        assert caught.value.argument == "email"
    await stranger.set("member", "a", {"age": 3})
    assert await members.get(Member, "a") == Member(id="a", email="a@x", age=3)
    assert await stranger.delete("member", "a", "email") == 1
    await members.create(Member(id="b", email="a@x"))


async def test_a_job_does_not_begin_with_a_unique_field(members: MeshData) -> None:
    async def job() -> None: ...

    await members.connect("member", job)
    with pytest.raises(InvalidOptions) as caught:
        await members.exec(entity="member", id="j", state={"email": "x@x"})
    assert caught.value.argument == "email"


def test_what_cannot_be_unique() -> None:
    class Wrong(Record, entity="wrong"):
        tags: Annotated[list[str], Tag(unique=True)]

    with pytest.raises(InvalidOptions) as caught:
        _ = Wrong.tags
    assert caught.value.argument == "tags"


async def test_several_partitions_are_refused_where_the_model_is_given(redis_url: str, namespace: str) -> None:
    async def job() -> None: ...

    mesh = MeshData(redis_url, namespace=namespace, partitions=4)
    mesh.connect("member", job, model=Member)
    with pytest.raises(InvalidOptions, match="one partition") as caught:
        await mesh.start()
    assert caught.value.argument == "model"
    async with MeshData(redis_url, namespace=namespace) as other:
        for use in (
            lambda: other.create_index(Member),
            lambda: other.create(Member(id="a")),
            lambda: other.get(Member, "a"),
        ):
            with pytest.raises(InvalidOptions, match="one partition"):
                await use()
        with pytest.raises(InvalidOptions, match="one partition"):
            other.connect("member", job, model=Member)


async def test_a_count_does_not_go_around_the_model(members: MeshData) -> None:
    with pytest.raises(RecordInvalid):
        await members.incr(Member, "a", "email")
