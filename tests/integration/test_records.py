"""Records from outside their functions: get, all, raw, set, incr, mult, delete."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from meshdata import MeshData, workflow
from meshdata.errors import InvalidOptions, RecordNotFound, RevisionConflict
from tests.integration.conftest import OpenMesh


@pytest.fixture
async def user(mesh: MeshData) -> MeshData:
    """A mesh with one record, user:jo, that has two fields."""

    async def register(name: str) -> None:
        await workflow.state.set(name=name, plan="free")

    await mesh.connect("user", register)
    await mesh.exec(entity="user", args=["Jo"], id="jo", ttl="1 minute")
    return mesh


async def test_get_gives_the_fields_asked_for(user: MeshData) -> None:
    assert await user.get("user", "jo", "plan", "missing") == {"plan": "free", "missing": None}
    assert await user.get("user", "jo") == {"name": "Jo", "plan": "free"}
    assert await user.get("user", "jo", "missing") == {"missing": None}


async def test_all_gives_no_system_fields_and_raw_gives_them(user: MeshData) -> None:
    assert await user.all("user", "jo") == {"name": "Jo", "plan": "free"}
    raw = await user.raw("user", "jo")
    assert (raw["_entity"], raw["_id"], raw["_status"]) == (b"user", b"jo", b"completed")
    assert {"_created", "_updated", "_ended", "_rev"} < set(raw)
    assert raw["name"] == b"Jo"


@pytest.mark.parametrize("read", ["get", "all", "raw"])
async def test_a_record_that_is_not_there(user: MeshData, read: str) -> None:
    with pytest.raises(RecordNotFound) as caught:
        await getattr(user, read)("user", "nobody")
    assert (caught.value.entity, caught.value.id) == ("user", "nobody")
    with pytest.raises(RecordNotFound):
        await user.get("user", "nobody", "name")


async def test_set_counts_the_new_fields(user: MeshData) -> None:
    assert await user.set("user", "jo", {"wilma": "pebbles", "bce": -1_000_000, "plan": "pro"}) == 2
    assert await user.all("user", "jo") == {"name": "Jo", "plan": "pro", "wilma": "pebbles", "bce": "-1000000"}


async def test_none_takes_a_field_away(user: MeshData) -> None:
    assert await user.set("user", "jo", {"plan": None, "missing": None}) == 0
    assert await user.all("user", "jo") == {"name": "Jo"}


async def test_delete_counts_what_was_there(user: MeshData) -> None:
    await user.set("user", "jo", {"wilma": "x", "bce": 1})
    assert await user.delete("user", "jo", "wilma", "bce", "emails") == 2
    assert await user.delete("user", "jo", "wilma") == 0
    assert await user.delete("user", "nobody", "wilma") == 0
    assert await user.all("user", "jo") == {"name": "Jo", "plan": "free"}


async def test_incr_and_mult_give_the_new_value(user: MeshData) -> None:
    await user.set("user", "jo", {"bce": -1_000_000})
    assert await user.incr("user", "jo", "bce") == -999_999
    assert await user.incr("user", "jo", "credits", 1.5) == 1.5
    assert await user.incr("user", "jo", "credits", -0.25) == 1.25
    assert await user.mult("user", "jo", "factor", 12) == 12
    assert await user.mult("user", "jo", "factor", 0.5) == 6
    assert await user.get("user", "jo", "bce", "credits", "factor") == {
        "bce": "-999999",
        "credits": "1.25",
        "factor": "6",
    }


async def test_whole_numbers_stay_whole_up_to_two_to_the_53(user: MeshData) -> None:
    assert await user.incr("user", "jo", "n", 2**53 - 1) == 2**53 - 1
    assert await user.mult("user", "jo", "m", 2**40) == 2**40
    assert (await user.get("user", "jo", "n", "m")) == {"n": str(2**53 - 1), "m": str(2**40)}


async def test_many_increments_at_once_are_all_counted(user: MeshData, open_mesh: OpenMesh) -> None:
    meshes = [user, await open_mesh(), await open_mesh()]
    await asyncio.gather(*(meshes[n % 3].incr("user", "jo", "n") for n in range(300)))
    assert await user.get("user", "jo", "n") == {"n": "300"}


async def test_what_is_no_number_is_not_counted_with(user: MeshData) -> None:
    for count in (user.incr, user.mult):
        with pytest.raises(InvalidOptions, match="holds no number") as caught:
            await count("user", "jo", "name", 2)
        assert caught.value.argument == "name"
    assert await user.get("user", "jo", "name") == {"name": "Jo"}


@pytest.mark.parametrize("by", ["1", None, float("nan"), float("inf"), True])
async def test_an_amount_is_a_finite_number(user: MeshData, by: Any) -> None:
    for count in (user.incr, user.mult):
        with pytest.raises(InvalidOptions) as caught:
            await count("user", "jo", "n", by)
        assert caught.value.argument == "by"


# --- revisions --------------------------------------------------------------------------------------------------------


async def test_every_change_is_one_revision(user: MeshData) -> None:
    async def rev() -> int:
        return int((await user.raw("user", "jo"))["_rev"])

    at = await rev()
    await user.set("user", "jo", {"a": 1, "b": 2, "plan": None})
    await user.incr("user", "jo", "a")
    await user.mult("user", "jo", "a", 2)
    await user.delete("user", "jo", "b")
    assert await rev() == at + 4


async def test_a_change_that_expects_another_revision_is_refused(user: MeshData) -> None:
    rev = int((await user.raw("user", "jo"))["_rev"])
    await user.set("user", "jo", {"plan": "pro"}, expected_rev=rev)
    with pytest.raises(RevisionConflict) as caught:
        await user.set("user", "jo", {"plan": "lost"}, expected_rev=rev)
    assert (caught.value.expected, caught.value.found) == (rev, rev + 1)
    assert await user.get("user", "jo", "plan") == {"plan": "pro"}


async def test_of_writers_who_saw_the_same_revision_one_wins(user: MeshData, open_mesh: OpenMesh) -> None:
    rev = int((await user.raw("user", "jo"))["_rev"])
    meshes = [user, await open_mesh()]
    answers = await asyncio.gather(
        *(meshes[n % 2].set("user", "jo", {"winner": n}, expected_rev=rev) for n in range(10)), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(RevisionConflict) == 9
    assert await user.get("user", "jo", "winner") == {"winner": str(answers.index(1))}


# --- records without a job --------------------------------------------------------------------------------------------


async def test_a_record_can_be_made_without_a_function(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis
) -> None:
    assert await mesh.set("thing", "a:b", {"n": 1}) == 1
    assert await mesh.all("thing", "a:b") == {"n": "1"}
    raw = await mesh.raw("thing", "a:b")
    assert (raw["_entity"], raw["_id"], raw["_rev"]) == (b"thing", b"a:b", b"1")
    assert await mesh.flush("thing", "a:b") is True
    with pytest.raises(RecordNotFound):
        await mesh.all("thing", "a:b")


async def test_create_false_makes_none(mesh: MeshData, keys: Callable[[], set[str]]) -> None:
    before = keys()
    with pytest.raises(RecordNotFound):
        await mesh.set("thing", "a", {"n": 1}, create=False)
    with pytest.raises(RevisionConflict):
        await mesh.set("thing", "a", {"n": 1}, expected_rev=3)
    assert keys() == before
    await mesh.set("thing", "a", {"n": 1}, expected_rev=0)
    await mesh.flush("thing", "a")


async def test_a_change_from_outside_is_seen_inside_and_the_other_way_round(mesh: MeshData) -> None:
    async def job() -> Any:
        await workflow.state.set(inside="yes")
        await workflow.wait_for("go")
        return await workflow.state.all()

    await mesh.connect("job", job)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False, state={"seed": "s"})
    await mesh.set("job", "j", {"outside": "too"})
    await mesh.signal("go")
    assert await handle.result(timeout=10) == {"seed": "s", "inside": "yes", "outside": "too"}
    assert await handle.state("inside", "outside") == {"inside": "yes", "outside": "too"}


async def test_a_record_outlives_its_call_only_with_a_ttl(
    user: MeshData, redis_client: redis.Redis, namespace: str
) -> None:
    await user.exec(entity="user", args=["Al"], id="al")
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:r:user:al", count=1000)
    assert 0 < redis_client.pttl(key) <= 1000
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:r:user:jo", count=1000)
    assert 50_000 < redis_client.pttl(key) <= 60_000


async def test_a_write_after_the_end_keeps_the_records_ttl(
    user: MeshData, redis_client: redis.Redis, namespace: str
) -> None:
    await user.set("user", "jo", {"late": "yes"})
    await user.delete("user", "jo", "late", "name", "plan")
    (key,) = redis_client.scan_iter(match=f"mesh:{{{namespace}*:r:user:jo", count=1000)
    assert 50_000 < redis_client.pttl(key) <= 60_000


@pytest.mark.parametrize(
    "fields",
    [{"_status": "x"}, {"": "x"}, {1: "x"}, {}, {"deep": object()}, {"ok": 1, "_rev": 2}],
    ids=["system", "empty", "number", "none", "object", "mixed"],
)
async def test_fields_that_cannot_be_written(mesh: MeshData, keys: Callable[[], set[str]], fields: Any) -> None:
    before = keys()
    with pytest.raises(InvalidOptions):
        await mesh.set("thing", "a", fields)
    assert keys() == before


async def test_a_large_record(mesh: MeshData) -> None:
    fields = {f"f{n}": f"value {n}" for n in range(10_000)}
    assert await mesh.set("thing", "large", fields) == 10_000
    assert await mesh.all("thing", "large") == fields
    assert await mesh.delete("thing", "large", *fields) == 10_000
    await mesh.flush("thing", "large")
