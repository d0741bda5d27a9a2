"""Children: what they are given, what becomes of them when their parent ends, and how their ends are told."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import (
    ChildFailed,
    Fatal,
    InvalidOptions,
    JobCancelled,
    JobError,
    JobExists,
    JobFailed,
    JobInterrupted,
    JobNotFound,
)
from tests.handover import hand_over, journal_of, until_resident
from tests.integration.conftest import Eventually, OpenMesh

POLICIES = ("terminate", "cancel", "abandon")
AT_ONCE = RetryPolicy(max_attempts=3, initial="1 ms")


async def patient(key: str) -> str:
    """Waits for a signal; asked to end, it says so in its record."""
    try:
        return str(await workflow.wait_for(key))
    except asyncio.CancelledError:
        await workflow.state.set(told="yes")
        raise


async def stands(mesh: MeshData, entity: str, id: str) -> str:
    """How a job stands: its status; waits; or gone."""
    try:
        info = await mesh.info(entity, id)
    except JobNotFound:
        return "gone"
    return "waits" if info.waiting_for and not info.is_ended else info.status


def all_stand(mesh: MeshData, entity: str, wanted: dict[str, str]) -> Callable[[], Any]:
    async def look() -> bool:
        return {id: await stands(mesh, entity, id) for id in wanted} == wanted

    return look


# --- when the parent ends ---------------------------------------------------------------------------------------------


async def parent(how: str) -> str:
    for policy in POLICIES:
        await workflow.start_child("patient", ["go"], id=policy, ttl="1 minute", parent_close=policy)  # type: ignore[arg-type]
    if await workflow.wait_for("the end of the parent") == "fail":
        raise ValueError("as it was told")
    return how


@pytest.fixture
async def family(mesh: MeshData, eventually: Eventually) -> MeshData:
    """A parent and its three children, one of each policy; all wait."""
    await mesh.connect("patient", patient)
    await mesh.connect("parent", parent)
    await mesh.exec(entity="parent", args=["done"], id="p", ttl="1 minute", wait=False)
    await eventually(all_stand(mesh, "parent", {"p": "waits"}))
    await eventually(all_stand(mesh, "patient", dict.fromkeys(POLICIES, "waits")))
    return mesh


@pytest.mark.parametrize("how", ["return", "fail", "cancel", "interrupt", "flush"])
async def test_a_parent_that_ends_does_with_each_child_what_its_policy_says(
    family: MeshData, eventually: Eventually, how: str
) -> None:
    mesh = family
    if how in ("return", "fail"):
        await mesh.signal("the end of the parent", how)
    elif how == "interrupt":
        await mesh.interrupt("parent", "p", descend=False)
        assert {id: await stands(mesh, "patient", id) for id in POLICIES} == dict.fromkeys(POLICIES, "waits")
        await mesh.flush("parent", "p")
    else:
        await getattr(mesh, how)("parent", "p")
    removed = how in ("flush", "interrupt")
    wanted = {"terminate": "gone" if removed else "interrupted", "cancel": "interrupted", "abandon": "waits"}
    await eventually(all_stand(mesh, "patient", wanted))
    if not removed:
        with pytest.raises(JobInterrupted, match="its parent ended"):
            await mesh.handle("patient", "terminate")
    with pytest.raises(JobCancelled, match="its parent ended"):
        await mesh.handle("patient", "cancel")
    assert await mesh.get("patient", "cancel", "told") == {"told": "yes"}
    await mesh.signal("go", "went on")
    assert await mesh.handle("patient", "abandon").result(5) == "went on"


async def test_by_default_an_awaited_child_ends_with_its_parent_and_a_started_one_goes_on(
    mesh: MeshData, eventually: Eventually
) -> None:
    async def impatient() -> str:
        await workflow.start_child("patient", ["go"], id="started", ttl="1 minute")
        try:
            async with workflow.timeout("20 ms"):
                await workflow.exec_child("patient", ["go"], id="awaited", ttl="1 minute")
        except TimeoutError:
            await workflow.wait_for("enough")
        return "over"

    await mesh.connect("patient", patient)
    await mesh.connect("impatient", impatient)
    handle = await mesh.exec(entity="impatient", id="i", ttl="1 minute", wait=False)
    await eventually(all_stand(mesh, "patient", {"started": "waits", "awaited": "waits"}))
    await mesh.signal("enough")
    assert await handle.result(5) == "over"
    await eventually(all_stand(mesh, "patient", {"started": "waits", "awaited": "interrupted"}))
    await mesh.signal("go", "by itself")
    assert await mesh.handle("patient", "started").result(5) == "by itself"


async def generation(depth: int) -> Any:
    """A job with a child of each policy, each with three of its own, and so on; all of them wait."""
    me = workflow.info().id
    if depth:
        for policy in POLICIES:
            id = f"{me}.{policy[0]}"
            await workflow.start_child("generation", [depth - 1], id=id, ttl="1 minute", parent_close=policy)  # type: ignore[arg-type]
    return await workflow.wait_for(f"to {me}")


async def test_through_generations_each_child_has_its_own_policy(mesh: MeshData, eventually: Eventually) -> None:
    await mesh.connect("generation", generation)
    await mesh.exec(entity="generation", args=[2], id="g", ttl="1 minute", wait=False)
    ids = ["g", *(f"g.{a}" for a in "tca"), *(f"g.{a}.{b}" for a in "tca" for b in "tca")]
    await eventually(all_stand(mesh, "generation", dict.fromkeys(ids, "waits")))
    await mesh.signal("to g")
    ended = {"g": "completed", "g.t": "interrupted", "g.c": "interrupted", "g.a": "waits"}
    for first in "tc":
        ended |= {f"g.{first}.{one}": "interrupted" if one in "tc" else "waits" for one in "tca"}
    await eventually(all_stand(mesh, "generation", ended | {f"g.a.{one}": "waits" for one in "tca"}))
    for id in ("g.a", "g.t.a", "g.c.a"):
        await mesh.interrupt("generation", id)


async def test_an_interrupt_that_descends_spares_no_generation(mesh: MeshData, eventually: Eventually) -> None:
    await mesh.connect("generation", generation)
    await mesh.exec(entity="generation", args=[2], id="g", ttl="1 minute", wait=False)
    ids = ["g", *(f"g.{a}" for a in "tca"), *(f"g.{a}.{b}" for a in "tca" for b in "tca")]
    await eventually(all_stand(mesh, "generation", dict.fromkeys(ids, "waits")))
    await mesh.interrupt("generation", "g", reason="all of you")
    await eventually(all_stand(mesh, "generation", dict.fromkeys(ids, "interrupted")))
    for id in ids:
        with pytest.raises(JobInterrupted, match="all of you"):
            await mesh.handle("generation", id)


async def test_a_hooks_children_are_the_jobs_and_end_with_it(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> Any:
        return await workflow.wait_for("end")

    async def hook() -> None:
        await workflow.start_child("patient", ["go"], id="h", ttl="1 minute", parent_close="terminate")

    await mesh.connect("patient", patient)
    await mesh.connect("job", job)
    await mesh.connect("job.hook", hook)
    handle = await mesh.exec(entity="job", id="j", ttl="1 minute", wait=False)
    await (await handle.hook("job.hook"))
    await eventually(all_stand(mesh, "patient", {"h": "waits"}))
    await mesh.signal("end")
    await handle.result(5)
    await eventually(all_stand(mesh, "patient", {"h": "interrupted"}))


async def test_a_hook_on_an_open_record_closes_its_children_itself(mesh: MeshData, eventually: Eventually) -> None:
    async def job() -> int:
        return 1

    async def hook() -> None:
        await workflow.start_child("patient", ["go"], id="h", ttl="1 minute", parent_close="cancel")

    await mesh.connect("patient", patient)
    await mesh.connect("job", job)
    await mesh.connect("job.hook", hook)
    await mesh.exec(entity="job", id="j", ttl="1 minute")
    await (await mesh.handle("job", "j").hook("job.hook"))
    await eventually(all_stand(mesh, "patient", {"h": "interrupted"}))


async def test_a_child_that_was_never_begun_ends_with_its_parent(mesh: MeshData, eventually: Eventually) -> None:
    async def start() -> None:
        for policy in ("terminate", "cancel"):
            await workflow.start_child("nobody", id=policy, ttl="1 minute", parent_close=policy)  # type: ignore[arg-type]

    await mesh.connect("start", start)
    await mesh.exec(entity="start", id="s", ttl="1 minute", timeout=5)
    await eventually(all_stand(mesh, "nobody", {"terminate": "interrupted", "cancel": "interrupted"}))


async def test_a_parent_that_changed_hands_knows_its_children(open_mesh: OpenMesh, eventually: Eventually) -> None:
    meshes = [await open_mesh(), await open_mesh()]
    for mesh in meshes:
        await mesh.connect("patient", patient)
        await mesh.connect("parent", parent)
    handle = await meshes[0].exec(entity="parent", args=["done"], id="p", ttl="1 minute", wait=False)
    await eventually(all_stand(meshes[0], "parent", {"p": "waits"}))
    await hand_over(*await until_resident(meshes, "parent:p"))
    await meshes[0].signal("the end of the parent", "return")
    assert await handle.result(5) == "done"
    wanted = {"terminate": "interrupted", "cancel": "interrupted", "abandon": "waits"}
    await eventually(all_stand(meshes[0], "patient", wanted))
    await meshes[0].interrupt("patient", "abandon")


async def test_what_is_left_of_children_goes_with_their_parent_but_for_abandoned_ones(
    mesh: MeshData, eventually: Eventually
) -> None:
    async def short() -> int:
        return 1

    async def parent() -> None:
        await workflow.exec_child("short", id="own", ttl="1 minute")
        await workflow.exec_child("short", id="free", ttl="1 minute", parent_close="abandon")

    await mesh.connect("short", short)
    await mesh.connect("parent", parent)
    await mesh.exec(entity="parent", id="p", ttl="1 minute", timeout=5)
    assert await stands(mesh, "short", "own") == "completed"
    await mesh.flush("parent", "p")
    await eventually(all_stand(mesh, "short", {"own": "gone", "free": "completed"}))


async def test_another_word_is_no_policy(mesh: MeshData) -> None:
    async def parent() -> None:
        await workflow.exec_child("patient", ["x"], parent_close="kill")  # type: ignore[arg-type]

    await mesh.connect("parent", parent)
    with pytest.raises(JobFailed, match=r"parent_close: 'terminate', 'cancel' or 'abandon' is needed; got 'kill'"):
        await mesh.exec(entity="parent", timeout=5)


# --- how they ended ---------------------------------------------------------------------------------------------------


class Late(JobFailed):
    code = 596


@pytest.mark.parametrize(
    ("error", "code", "attempts"),
    [(Late("too late"), 596, 1), (Fatal("no use"), 598, 1), (ValueError("why"), 500, 3)],
    ids=["596", "598", "other"],
)
async def test_the_kind_of_a_childs_failure_says_whether_its_parent_tries_again(
    mesh: MeshData, error: Exception, code: int, attempts: int
) -> None:
    told = []

    async def child() -> None:
        raise error

    async def parent() -> None:
        try:
            await workflow.exec_child("child")
        except ChildFailed as failure:
            told.append((failure.code, failure.message))
            raise

    await mesh.connect("child", child)
    await mesh.connect("parent", parent, retry=AT_ONCE)
    with pytest.raises(JobFailed):
        await mesh.exec(entity="parent", timeout=10)
    assert told == [(code, str(getattr(error, "message", error)))] * attempts


async def test_a_child_past_its_own_attempts_is_597_and_ends_its_parent(mesh: MeshData) -> None:
    tries = []

    async def child() -> None:
        raise ValueError("always")

    async def parent() -> None:
        tries.append(1)
        await workflow.exec_child("child", retry=AT_ONCE)

    await mesh.connect("child", child)
    await mesh.connect("parent", parent, retry=AT_ONCE)
    with pytest.raises(JobFailed, match="always") as caught:
        await mesh.exec(entity="parent", timeout=10)
    assert (caught.value.code, len(tries)) == (597, 1)


@pytest.mark.parametrize(
    ("how", "kind"), [("interrupt", JobInterrupted), ("cancel", JobCancelled), ("flush", JobNotFound)]
)
async def test_what_befell_a_child_is_told_by_its_type(
    mesh: MeshData, eventually: Eventually, how: str, kind: type[JobError]
) -> None:
    async def parent() -> str:
        try:
            await workflow.exec_child("patient", ["go"], id="c", ttl="1 minute")
        except JobError as error:
            return f"{type(error).__name__} {error.job_id}"
        return "?"

    await mesh.connect("patient", patient)
    await mesh.connect("parent", parent)
    handle = await mesh.exec(entity="parent", wait=False)
    await eventually(all_stand(mesh, "patient", {"c": "waits"}))
    await getattr(mesh, how)("patient", "c")
    assert await handle.result(5) == f"{kind.__name__} patient:c"


@pytest.mark.parametrize("verb", [workflow.exec_child, workflow.start_child])
async def test_an_id_that_is_taken_is_mended_by_the_next_attempt(mesh: MeshData, verb: Callable[..., Any]) -> None:
    async def child(n: int) -> int:
        return n

    async def parent() -> Any:
        attempt = workflow.info().attempt
        return await verb("child", [attempt], id="taken" if attempt == 1 else "free", ttl="1 minute")

    await mesh.connect("child", child)
    await mesh.connect("parent", parent, retry=AT_ONCE)
    await mesh.exec(entity="child", args=[0], id="taken", ttl="1 minute")
    assert await mesh.exec(entity="parent", id="p", ttl="1 minute", timeout=10) in (2, "free")
    assert (await mesh.info("parent", "p")).attempts == 2
    assert await mesh.handle("child", "taken") == 0
    await mesh.flush("parent", "p")
    assert await mesh.handle("child", "taken") == 0


async def test_an_id_that_stays_taken_fails_the_parent_with_what_it_was(mesh: MeshData) -> None:
    async def parent() -> None:
        await workflow.exec_child("patient", ["x"], id="taken")

    await mesh.exec(entity="patient", args=["x"], id="taken", ttl="1 minute", wait=False)
    await mesh.connect("parent", parent, retry=AT_ONCE)
    with pytest.raises(JobFailed, match="exists already") as caught:
        await mesh.exec(entity="parent", timeout=10)
    assert (caught.value.type, caught.value.code, caught.value.attempts) == (JobExists.__name__, 597, 3)
    await mesh.interrupt("patient", "taken")


# --- what they are given ----------------------------------------------------------------------------------------------


async def birthday(on: date, times: int = 1) -> str:
    return f"{on:%d %B} {times * 2}"


async def test_arguments_become_what_the_childs_function_expects(mesh: MeshData) -> None:
    async def parent() -> list[str]:
        return [
            await workflow.exec_child(birthday, [date(1990, 5, 17)], kwargs={"times": "4"}),
            await workflow.exec_child("birthday", ["1990-05-17"]),
        ]

    await mesh.connect("birthday", birthday)
    await mesh.connect("parent", parent)
    assert await mesh.exec(entity="parent", timeout=5) == ["17 May 8", "17 May 2"]


@pytest.mark.parametrize(
    ("args", "kwargs", "argument"),
    [(["no day"], None, "on"), (["1990-05-17", "often"], None, "times"), (["1990-05-17"], {"time": 1}, "kwargs.time")],
)
@pytest.mark.parametrize("verb", [workflow.exec_child, workflow.start_child])
async def test_arguments_that_do_not_fit_are_refused_at_the_call(
    mesh: MeshData, verb: Callable[..., Any], args: list[Any], kwargs: dict[str, Any] | None, argument: str
) -> None:
    async def parent() -> str:
        try:
            await verb("birthday", args, kwargs=kwargs)
        except InvalidOptions as error:
            return error.argument
        return "?"

    await mesh.connect("birthday", birthday)
    await mesh.connect("parent", parent)
    assert await mesh.exec(entity="parent", id="p", ttl="1 minute", timeout=5) == argument
    assert len(await journal_of(mesh, "parent:p")) == 1
