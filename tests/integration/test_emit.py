"""What runs tell the outside once: emit, trace, enrich; and the control-plane bus that meshes share."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from typing import Any

import pytest

from meshdata import MeshData, telemetry, workflow
from meshdata.errors import InvalidOptions, JobFailed, NotInWorkflow, UsageError
from tests.handover import hand_over, suspend, until_resident
from tests.integration.conftest import Eventually, OpenMesh


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What an OpenTelemetry would have been told by `trace`."""
    told: list[tuple[str, dict[str, Any]]] = []

    def start(name: str, attributes: Any) -> Any:
        if name == "meshdata.trace":
            told.append((name, dict(attributes)))
        return nullcontext()

    monkeypatch.setattr(telemetry, "_start_span", start)
    return told


async def tells() -> list[Any]:
    out: list[Any] = [await workflow.emit("started", {"n": 1}), await workflow.trace({"plan": "pro", "tags": ["a"]})]
    out.append(await workflow.enrich({"plan": "pro"}))
    await workflow.wait_for("go")
    out += await asyncio.gather(workflow.emit("ended"), workflow.emit("ended", 2), workflow.trace({"n": 2}))
    await workflow.wait_for("end")
    return out


@pytest.mark.parametrize("how", ["kept", "suspended", "lost"])
async def test_a_run_tells_once_wherever_it_goes_on(
    open_mesh: OpenMesh, eventually: Eventually, spans: list[tuple[str, dict[str, Any]]], how: str
) -> None:
    meshes = [await open_mesh(), await open_mesh()]
    heard: list[dict[str, Any]] = []
    await meshes[1].subscribe(heard.append)
    for one in meshes:
        await one.connect("tells", tells)
    handle = await meshes[0].exec(entity="tells", id="t", ttl="1 minute", wait=False)
    for key in ("go", "end"):
        mesh, run = await until_resident(meshes, "tells:t")
        await eventually(lambda run=run: run.is_waiting)
        if how == "lost":
            await hand_over(mesh, run)
        elif how == "suspended":
            assert await suspend(mesh, run)
        await meshes[0].signal(key)
    assert await handle.result(timeout=10) == [True] * 6
    await eventually(lambda: len(heard) == 3)
    assert heard[0] == {"topic": "started", "payload": {"n": 1}, "job_id": "tells:t"}
    assert [(one["topic"], one["payload"]) for one in heard[1:]] == [("ended", None), ("ended", 2)]
    assert [attributes.get("plan") for _, attributes in spans] == ["pro", None]
    assert spans[0][1]["tags"] == '["a"]' and spans[0][1]["meshdata.job_id"] == "tells:t"
    assert await meshes[0].get("tells", "t", "plan") == {"plan": "pro"}


async def test_what_is_published_is_heard_by_every_process(open_mesh: OpenMesh, eventually: Eventually) -> None:
    meshes = [await open_mesh() for _ in range(3)]
    heard: list[list[Any]] = [[], [], []]

    async def later(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        heard[1].append(message)

    subscription = meshes[0].subscribe(heard[0].append)
    await meshes[1].subscribe(later)
    message = {"what": "deploy", "versions": [1, None]}
    await meshes[0].publish(message)
    await meshes[2].publish({"from": "two"})
    await eventually(lambda: [len(one) for one in heard] == [2, 2, 0])
    assert heard[0] == heard[1] == [message, {"from": "two"}]
    subscription.close()
    subscription.close()
    await meshes[0].publish({"more": 1})
    await eventually(lambda: len(heard[1]) == 3)
    assert len(heard[0]) == 2


async def test_a_callback_that_fails_harms_nobody(
    mesh: MeshData, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    def breaks(message: dict[str, Any]) -> None:
        raise ValueError("no")

    async def breaks_later(message: dict[str, Any]) -> None:
        raise ValueError("no, either")

    for callback in (breaks, breaks_later, heard.append):
        await mesh.subscribe(callback)
    with caplog.at_level(logging.ERROR):
        await mesh.publish({"n": 1})
        await eventually(lambda: heard and caplog.text.count("a callback of the bus failed") == 2)


@pytest.mark.parametrize("message", ["text", [1], {"x": object()}, None])
async def test_a_message_is_a_mapping_that_can_be_sent(mesh: MeshData, message: Any) -> None:
    with pytest.raises(InvalidOptions):
        await mesh.publish(message)


async def test_the_bus_needs_an_open_mesh_and_a_callback(mesh: MeshData) -> None:
    with pytest.raises(InvalidOptions):
        mesh.subscribe("text")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        MeshData().subscribe(print)


async def test_what_cannot_be_told_is_refused(mesh: MeshData) -> None:
    async def bad(which: int) -> None:
        if which == 0:
            await workflow.emit("")
        elif which == 1:
            await workflow.emit("topic", object())
        elif which == 2:
            await workflow.trace(["no mapping"])  # type: ignore[arg-type]
        elif which == 3:
            await workflow.trace({"": 1})
        else:
            await workflow.enrich("no mapping")  # type: ignore[arg-type]

    await mesh.connect("bad", bad)
    for which in range(5):
        with pytest.raises(JobFailed) as caught:
            await mesh.exec(entity="bad", args=[which], timeout=10)
        assert caught.value.type == "InvalidOptions", which


def test_outside_a_workflow_nothing_is_told() -> None:
    for call in (lambda: workflow.emit("t"), lambda: workflow.trace({}), lambda: workflow.enrich({})):
        with pytest.raises(NotInWorkflow):
            call()
