"""A job told whole: the sections, the calls with their times, and what it waits for, in words."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.call.why import why
from meshdata.errors import InvalidOptions, JobFailed, JobNotFound
from meshdata.workflow import activity
from meshdata.workflow.export import SECTIONS, JobExport, Span
from tests.handover import suspend, until_resident
from tests.integration.conftest import Eventually

STAMP = re.compile(r"^\d{14}\.\d{3}$")
failures = 0


@activity(retry=RetryPolicy(max_attempts=3, initial="1 ms"))
async def flaky() -> str:
    global failures
    failures += 1
    await asyncio.sleep(0.02)
    if failures < 3:
        raise ValueError(f"failure {failures}")
    return "done"


@activity
async def greet(name: str) -> str:
    return f"hello {name}"


async def child(n: int) -> int:
    await workflow.sleep_for("1 ms")
    return n * 2


async def bill(plan: str) -> str:
    await workflow.state.set(plan=plan)
    return plan


async def story(name: str) -> list[Any]:
    await workflow.state.set({"name": name, "address/city": "Ulm", "address/zip": "89073"})
    first = await flaky()
    both = await asyncio.gather(greet(name), workflow.exec_child("child", [21], id=f"of-{name}"))
    try:
        await workflow.exec_child("child", [1], id="taken")
    except Exception as error:
        first += f" {type(error).__name__}"
    return [first, *both, await workflow.wait_for(f"go-{name}"), await workflow.state.get("name")]


@pytest.fixture
async def told(mesh: MeshData, eventually: Eventually) -> JobExport:
    """The export of a finished `story`, which has been hooked."""
    global failures
    failures = 0
    for name, fn in (("story", story), ("child", child), ("story.bill", bill)):
        await mesh.connect(name, fn)
    await mesh.exec(entity="child", args=[0], id="taken", ttl="1 minute")
    handle = await mesh.exec(entity="story", args=["ann"], id="s1", ttl="1 minute", wait=False)
    assert await (await mesh.hook("story", "s1", "story.bill", args=["pro"])) == "pro"
    await mesh.signal("go-ann", {"at": 1})
    assert (await handle.result(timeout=10))[0] == "done JobExists"
    export = await mesh.export("story", "s1")
    assert isinstance(export, JobExport)
    return export


def span(export: JobExport, kind: str, name: str = "") -> Span:
    assert export.execution is not None
    return next(one for one in export.execution.spans if one.kind == kind and name in one.name)


async def test_an_export_has_the_sections_of_the_reference(told: JobExport) -> None:
    assert told.data == {"name": "ann", "address": {"city": "Ulm", "zip": "89073"}, "plan": "pro"}
    assert told.status == 0
    assert told.state is not None
    data, metadata = told.state["data"], told.state["metadata"]
    assert (data["done"], data["id"], data["response"][1:3]) == (True, "s1", ["hello ann", 42])
    assert (metadata["jid"], metadata["tpc"], metadata["status"]) == ("story:s1", "story", "completed")
    assert all(STAMP.match(part[name]) for part in (data, metadata) for name in ("jc", "ju"))
    assert data["jc"] <= data["ju"]


async def test_the_timeline_tells_every_outcome_in_its_thread_and_order(told: JobExport) -> None:
    assert told.timeline is not None
    told_as = [(one.key, one.index, one.dimension) for one in told.timeline]
    assert told_as == [
        ("state", 1, None), ("activity", 2, None), ("activity", 3, None), ("child", 4, None), ("child", 5, None),
        ("wait", 6, None), ("state", 7, None), ("state", 1, "1"),
    ]  # fmt: skip
    values = [one.value for one in told.timeline]
    assert [value["data"] for value in values if "data" in value] == [3, "done", "hello ann", 42, {"at": 1}, ["ann"], 1]
    assert values[4]["$error"]["type"] == "JobExists"
    assert values[3]["job_id"] == "child:of-ann"
    assert all(STAMP.match(value["ac"]) and value["ac"] <= value["au"] for value in values)
    assert told.transitions is not None
    created = [one.created for one in told.transitions]
    assert created == sorted(created) and len(created) == len(told.timeline)
    assert "activity flaky" in [one.activity for one in told.transitions]


async def test_the_execution_tells_when_every_call_began_and_ended(told: JobExport) -> None:
    run = told.execution
    assert run is not None
    assert (run.job, run.status, run.attempts, run.parent) == ("story:s1", "completed", 1, None)
    assert [one.started for one in run.spans] == sorted(one.started for one in run.spans)
    assert all(one.ended is not None and one.started <= one.ended for one in run.spans)
    main, hook = span(told, "workflow"), span(told, "hook")
    assert (main.name, main.status, hook.name, hook.dimension) == ("story", "completed", "story.bill", "1")
    assert all(main.started <= one.started for one in run.spans)
    assert {(one.job, one.living) for one in run.children} == {("child:of-ann", False)}


async def test_every_attempt_is_told_with_its_error_and_its_time(told: JobExport) -> None:
    call = span(told, "activity", "flaky")
    assert [(one.number, one.error.message if one.error else None) for one in call.attempts] == [
        (1, "failure 1"), (2, "failure 2"), (3, None),
    ]  # fmt: skip
    assert all(one.duration_ms >= 15 for one in call.attempts)
    assert (call.status, call.position) == ("completed", "0:2")


async def test_an_export_goes_to_json_and_back(told: JobExport) -> None:
    assert JobExport.from_json(told.to_json()) == told
    assert told.journal is not None
    assert [one.name for one in told.journal] == ["story", "story.bill"]
    with pytest.raises(InvalidOptions, match="no exported job"):
        JobExport.from_json("{}")
    with pytest.raises(InvalidOptions, match="format 99"):
        JobExport.from_json(told.model_copy(update={"format": 99}).to_json())


async def test_sections_are_chosen_and_values_left_out(mesh: MeshData, told: JobExport) -> None:
    some = await mesh.handle("story", "s1").export(allow=["data", "status"])
    assert [name for name in SECTIONS if getattr(some, name) is not None] == ["data", "status"]
    assert "timeline" not in some.to_json()
    rest = await mesh.export("story", "s1", block=["data", "journal"])
    assert (rest.data, rest.journal) == (None, None) and rest.timeline == told.timeline
    bare = await mesh.export("story", "s1", values=False)
    assert bare.timeline is not None
    assert all(one.value.get("data", {}) == {} and one.value.get("$error", {}) == {} for one in bare.timeline)
    assert bare.journal is None
    assert "hello" not in bare.to_json(), "a result was told"


@pytest.mark.parametrize(
    ("options", "argument"),
    [({"allow": ["date"]}, "allow"), ({"block": "data"}, "block"), ({"values": 0}, "values")],
)
async def test_a_section_there_is_not_is_refused(mesh: MeshData, options: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await mesh.export("story", "none", **options)
    assert caught.value.argument == argument


async def test_an_unknown_job_has_no_story(mesh: MeshData) -> None:
    with pytest.raises(JobNotFound):
        await mesh.export("story", "none")
    with pytest.raises(JobNotFound):
        await why(mesh.store, "story", "none")


async def test_a_job_that_lives_is_told_as_far_as_it_is(mesh: MeshData, eventually: Eventually) -> None:
    async def waits() -> None:
        await asyncio.gather(
            workflow.sleep_for("1 hour"), workflow.wait_for("go"), workflow.exec_child("kid", [], id="k")
        )

    async def kid() -> None:
        await workflow.wait_for("never")

    await mesh.connect("waits", waits)
    await mesh.connect("kid", kid)
    await mesh.exec(entity="waits", id="w", wait=False)
    await eventually(lambda: _waits_for(mesh, "waits", "w", 3))
    export = await mesh.export("waits", "w")
    assert export.status == 1
    assert export.execution is not None and export.execution.worker == mesh.process
    kinds = {(one.kind, one.status, one.ended) for one in export.execution.spans if one.position}
    assert kinds == {(kind, "waiting", None) for kind in ("sleep", "wait", "child")}
    assert [(one.job, one.living) for one in export.execution.children] == [("kid:k", True)]
    assert export.timeline == []
    its = await mesh.export("kid", "k")
    assert its.execution is not None and its.execution.parent is not None
    assert (its.execution.parent.job, its.execution.parent.position) == ("waits:w", "0:3")
    assert its.execution.origin == "waits:w"

    said = " ".join(await why(mesh.store, "waits", "w"))
    assert f"in memory of process {mesh.process}" in said
    for part in ("At 0:1 it sleeps until", "a signal on go", "the result of its child kid:k, which is running"):
        assert part in said
    await mesh.interrupt("waits", "w", reason="enough")
    export = await mesh.export("waits", "w", allow=["status", "state"])
    assert export.status is not None and export.status < -100_000_000
    assert export.state is not None and export.state["data"]["$error"]["message"] == "enough"


async def test_a_failure_is_told(mesh: MeshData) -> None:
    async def fails() -> None:
        raise ValueError("no good")

    await mesh.connect("fails", fails)
    with pytest.raises(JobFailed):
        await mesh.exec(entity="fails", id="f", ttl="1 minute")
    export = await mesh.export("fails", "f")
    assert export.state is not None and export.execution is not None
    assert export.state["data"]["$error"] == {"type": "ValueError", "message": "no good", "code": 500}
    assert export.execution.error is not None and export.execution.error.type == "ValueError"
    assert "The error: no good" in await why(mesh.store, "fails", "f")


# --- why --------------------------------------------------------------------------------------------------------------


async def _waits_for(mesh: MeshData, entity: str, id: str, count: int) -> bool:
    return len((await mesh.info(entity, id)).waiting_for) == count


async def _says(mesh: MeshData, entity: str, id: str, words: str) -> bool:
    return words in " ".join(await why(mesh.store, entity, id))


async def test_why_tells_what_nobody_serves(mesh: MeshData, eventually: Eventually) -> None:
    await mesh.exec(entity="nobody", id="n", wait=False)
    assert await _says(mesh, "nobody", "n", "No process serves 'nobody'")
    assert await mesh.interrupt("nobody", "n")

    @activity(queue="gpu")
    async def far() -> int:
        return 1

    async def wf() -> int:
        return int(await far())

    await mesh.connect("wf", wf)
    handle = await mesh.exec(entity="wf", id="w", wait=False)
    await eventually(lambda: _waits_for(mesh, "wf", "w", 1))
    assert await _says(mesh, "wf", "w", "activity far on another worker, and no process serves one of that name")
    await mesh.serve_activities("gpu", far)
    assert await handle.result(timeout=10) == 1


async def test_why_tells_pauses_with_the_last_error(mesh: MeshData, eventually: Eventually) -> None:
    @activity(retry=RetryPolicy(max_attempts=3, initial="1 hour"))
    async def breaks() -> None:
        raise ValueError("not yet")

    async def calls() -> None:
        await breaks()

    async def falls() -> None:
        raise ValueError("again")

    await mesh.connect("calls", calls)
    await mesh.connect("falls", falls, retry=RetryPolicy(max_attempts=3, initial="1 hour"))
    for entity in ("calls", "falls"):
        await mesh.exec(entity=entity, id="x", wait=False)
    await eventually(lambda: _says(mesh, "calls", "x", "the last failed with ValueError: not yet"))
    await eventually(lambda: _says(mesh, "falls", "x", "has failed once; it runs again"))
    for entity in ("calls", "falls"):
        await mesh.interrupt(entity, "x")


async def test_why_tells_of_hooks_and_of_suspension(mesh: MeshData, eventually: Eventually) -> None:
    async def main() -> str:
        return str(await workflow.wait_for("main"))

    async def hook() -> str:
        return str(await workflow.wait_for("hook"))

    await mesh.connect("open", main)
    await mesh.connect("open.hook", hook)
    handle = await mesh.exec(entity="open", id="o", wait=False)
    hooked = await mesh.hook("open", "o", "open.hook")
    _, run = await until_resident([mesh], "open:o")
    await eventually(lambda: run.is_waiting)
    await eventually(lambda: _says(mesh, "open", "o", "a signal on hook"))
    assert await suspend(mesh, run)
    assert await _says(mesh, "open", "o", "It is suspended")
    assert await _says(mesh, "open", "o", "Its hook open.hook (dimension 1) is running")
    for key in ("hook", "main"):
        await mesh.signal(key, key)
    assert [await hooked, await handle.result(timeout=10)] == ["hook", "main"]


async def test_why_tells_of_reservations_delays_and_requests_to_end(mesh: MeshData, eventually: Eventually) -> None:
    async def stubborn() -> str:
        try:
            await workflow.wait_for("never")
        except asyncio.CancelledError:
            return str(await workflow.wait_for("after"))
        return ""

    await mesh.connect("stubborn", stubborn)
    await mesh.exec(entity="stubborn", id="p", pending="1 hour", wait=False)
    assert await _says(mesh, "stubborn", "p", "Its id is reserved until")
    assert (await mesh.export("stubborn", "p")).status == -1
    await mesh.exec(entity="stubborn", id="d", delay="1 hour", wait=False)
    assert await _says(mesh, "stubborn", "d", "started with a delay: it begins")
    await mesh.exec(entity="stubborn", id="c", wait=False)
    await eventually(lambda: _waits_for(mesh, "stubborn", "c", 1))
    await mesh.cancel("stubborn", "c")
    await eventually(lambda: _says(mesh, "stubborn", "c", "a signal on after"))
    assert await _says(mesh, "stubborn", "c", "asked to cancel itself")
    export = await mesh.export("stubborn", "c")
    assert export.timeline == []
    for id in ("p", "d", "c"):
        await mesh.interrupt("stubborn", id, suppress=True)
        await mesh.flush("stubborn", id)
