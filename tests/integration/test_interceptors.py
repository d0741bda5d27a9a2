"""Code around workflows, hooks, activities and durable calls; the logger of workflows; context that is kept."""

import asyncio
import logging
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import InvalidOptions, UsageError
from meshdata.workflow import Execution, Interceptor, Outbound, activity, sync
from meshdata.workflow.interceptor import Proceed, ProceedOutbound
from tests.handover import hand_over, until_resident
from tests.integration.conftest import Eventually, OpenMesh


class Diary(Interceptor):
    """Writes down what it is around."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self.lines = lines

    async def workflow(self, call: Execution, proceed: Proceed) -> Any:
        return await self._around(f"workflow {call.job_id} {call.args}", proceed(call))

    async def hook(self, call: Execution, proceed: Proceed) -> Any:
        return await self._around(f"hook {call.name} {call.dimension}", proceed(call))

    async def activity(self, call: Execution, proceed: Proceed) -> Any:
        return await self._around(f"activity {call.name} {call.attempt}", proceed(call))

    async def outbound(self, call: Outbound, proceed: ProceedOutbound) -> Any:
        return await self._around(f"{call.verb} {call.position}", proceed(call))

    async def _around(self, what: str, going_on: Any) -> Any:
        self.lines.append(f"{self.name} > {what}")
        try:
            return await going_on
        finally:
            self.lines.append(f"{self.name} < {what}")


async def test_each_is_around_the_next_and_the_first_is_outermost(open_mesh: OpenMesh) -> None:
    lines: list[str] = []
    mesh = await open_mesh(interceptors=[Diary("a", lines), Diary("b", lines)])

    @activity
    async def act(n: int) -> int:
        return n + 1

    async def wf(n: int) -> int:
        return await act(n)

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", id="w", args=[1], timeout=20) == 2
    around = ["workflow wf:w [1]", "act 0:1", "activity act 1"]
    inward = [f"{name} > {what}" for what in around for name in "ab"]
    assert lines == [*inward, *(line.replace(">", "<") for line in reversed(inward))]


async def test_arguments_and_results_may_be_changed(open_mesh: OpenMesh) -> None:
    class Change(Interceptor):
        async def workflow(self, call: Execution, proceed: Proceed) -> Any:
            return await proceed(replace(call, args=[*call.args[:-1], call.args[-1] + 1])) * 2

        async def activity(self, call: Execution, proceed: Proceed) -> Any:
            return f"{await proceed(replace(call, kwargs={'by': 10}))}!"

        async def outbound(self, call: Outbound, proceed: ProceedOutbound) -> Any:
            return "skipped" if call.kind == "sleep" else await proceed(call)

    mesh = await open_mesh(interceptors=[Change()])

    @activity
    def act(n: int, by: int = 1) -> str:
        return str(n + by)

    def wf(n: int) -> list[Any]:
        return [n, sync.run(act(n)), sync.sleep_for("1 hour")]

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", args=[1], timeout=20) == [2, "12!", "skipped"] * 2


async def test_hooks_queued_activities_and_every_attempt_are_intercepted(open_mesh: OpenMesh) -> None:
    lines: list[str] = []
    mesh = await open_mesh(interceptors=[Diary("i", lines)])

    @activity(queue="away", retry=RetryPolicy(max_attempts=2, initial="1 ms"))
    async def act() -> str:
        if activity.info().attempt == 1:
            raise ValueError
        return "done"

    async def note() -> str:
        return await act()

    async def wf() -> None:
        await workflow.hook("wf.note")

    await mesh.serve_activities("away", act)
    await mesh.connect("wf.note", note)
    await mesh.connect("wf", wf)
    await mesh.exec(entity="wf", id="w", ttl="1 minute", timeout=20)
    hook = await mesh.hook(entity="wf", id="w", hook_entity="wf.note")
    assert await hook == "done"
    assert "i > hook note 2" in lines and "i > activity act 1" in lines and "i < activity act 2" in lines
    await mesh.flush("wf", "w")


async def test_an_interceptor_replays_with_its_function(open_mesh: OpenMesh) -> None:
    class Audit(Interceptor):
        async def workflow(self, call: Execution, proceed: Proceed) -> Any:
            await workflow.state.set(begun=True)
            result = await proceed(call)
            return [result, await workflow.state.get("begun")]

    meshes = [await open_mesh(interceptors=[Audit()]) for _ in range(2)]

    async def wf() -> Any:
        return await workflow.wait_for("go")

    for mesh in meshes:
        await mesh.connect("wf", wf)
    handle = await meshes[0].exec(entity="wf", id="w", wait=False)
    holder, run = await until_resident(meshes, "wf:w")
    await hand_over(holder, run)
    await meshes[0].signal("go", 1)
    assert (await handle.result(timeout=10))[0] == 1


async def test_a_gather_of_intercepted_calls_keeps_its_order(open_mesh: OpenMesh) -> None:
    lines: list[str] = []
    mesh = await open_mesh(interceptors=[Diary("i", lines)])

    @activity
    async def act(n: int) -> int:
        return n

    async def wf() -> list[int]:
        found = list(await asyncio.gather(*(act(n) for n in range(50))))
        return found + [await one for one in asyncio.as_completed([act(n) for n in range(5)])]

    await mesh.connect("wf", wf)
    assert (await mesh.exec(entity="wf", timeout=20))[:50] == list(range(50))


async def test_a_durable_call_is_made_once(open_mesh: OpenMesh) -> None:
    class Twice(Interceptor):
        async def outbound(self, call: Outbound, proceed: ProceedOutbound) -> Any:
            await proceed(call)
            with pytest.raises(UsageError, match="proceeds once"):
                await proceed(call)
            return "once"

    mesh = await open_mesh(interceptors=[Twice()])

    async def wf() -> Any:
        return await workflow.sleep_for("1 ms")

    await mesh.connect("wf", wf)
    assert await mesh.exec(entity="wf", timeout=20) == "once"


@pytest.mark.parametrize("bad", [Interceptor, [Interceptor], [object()], "x"])
def test_what_is_no_interceptor_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidOptions) as caught:
        MeshData("fake://", interceptors=bad)
    assert caught.value.argument == "interceptors"


# --- the logger -------------------------------------------------------------------------------------------------------


async def test_what_a_workflow_says_is_said_once(
    open_mesh: OpenMesh, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    meshes = [await open_mesh() for _ in range(2)]

    @activity
    async def act() -> int:
        return 1

    async def wf() -> None:
        workflow.logger.info("begun")
        await act()
        workflow.logger.info("worked", extra={"more": 1})
        await workflow.wait_for("go")
        workflow.logger.info("told")

    for mesh in meshes:
        await mesh.connect("wf", wf)
    with caplog.at_level(logging.INFO, logger="meshdata.workflow"):
        handle = await meshes[0].exec(entity="wf", id="w", wait=False)
        for _ in range(3):
            holder, run = await until_resident(meshes, "wf:w")
            await eventually(partial(getattr, run, "can_suspend"))
            await hand_over(holder, run)
        await meshes[0].signal("go")
        await handle.result(timeout=10)
    said = [record for record in caplog.records if record.name == "meshdata.workflow"]
    assert [record.getMessage() for record in said] == ["begun", "worked", "told"]
    facts = said[1].__dict__
    assert (facts["job_id"], facts["entity"], facts["attempt"], facts["more"]) == ("wf:w", "wf", 1, 1)


def test_outside_a_workflow_it_is_a_plain_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="meshdata.workflow"):
        workflow.logger.info("hello %s", "you")
    assert [record.getMessage() for record in caplog.records] == ["hello you"]


# --- context ----------------------------------------------------------------------------------------------------------


async def test_context_of_the_caller_is_not_sent_and_context_of_an_interceptor_is_kept(open_mesh: OpenMesh) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")

    class Tenant(Interceptor):
        async def workflow(self, call: Execution, proceed: Proceed) -> Any:
            seen = tenant.get()
            tenant.set(str(call.kwargs["who"]))
            return [seen, *await proceed(call)]

    mesh = await open_mesh(interceptors=[Tenant()])

    @activity
    def act() -> str:
        return tenant.get()

    async def wf(who: str) -> list[str]:
        return [tenant.get(), await act()]

    await mesh.connect("wf", wf)
    tenant.set("caller")
    assert await mesh.exec(entity="wf", kwargs={"who": "acme"}, timeout=20) == ["nobody", "acme", "acme"]
