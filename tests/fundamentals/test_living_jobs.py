"""A job is alive while its function runs, and open for as long as its answer is kept: talk to it, add to it, end it."""

import pytest

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import JobFailed, JobInterrupted


async def test_state_is_a_record_that_the_function_writes(mesh: MeshData) -> None:
    @mesh.entity("user")
    async def sign_up(name: str) -> None:
        await workflow.state.set(name=name, plan="free")
        await workflow.state.incr("visits")

    await sign_up.options(id="jo", ttl="1 hour")("Jo")

    assert await mesh.get("user", "jo", "name", "plan") == {"name": "Jo", "plan": "free"}
    await mesh.set("user", "jo", {"plan": "pro"})
    assert await mesh.all("user", "jo") == {"name": "Jo", "plan": "pro", "visits": "1"}


async def test_a_workflow_waits_for_a_signal(mesh: MeshData) -> None:
    @mesh.entity("order")
    async def order(id: str) -> str:
        payment = await workflow.wait_for(f"paid {id}", timeout="3 days")
        return f"{id} was paid by {payment['by']}"

    handle = await mesh.exec(entity="order", args=["o1"], id="o1", ttl="1 hour", wait=False)
    await mesh.signal("paid o1", {"by": "card"})  # a signal that comes before its waiter is kept for it

    assert await handle == "o1 was paid by card"


async def test_a_hook_works_on_an_open_record(mesh: MeshData) -> None:
    @mesh.entity("user")
    async def sign_up(name: str) -> None:
        await workflow.state.set(name=name, owed=0)

    @sign_up.hook("bill")
    async def bill(amount: float) -> float:
        return float(await workflow.state.incr("owed", amount))

    await sign_up.options(id="jo", ttl="infinity")("Jo")  # the function is over, the job stays open

    assert await (await bill.on("jo", 10)) == 10
    assert await (await bill.on("jo", 2.5)) == 12.5
    await mesh.flush("user", "jo")


async def test_interrupt_ends_a_job_from_outside(mesh: MeshData) -> None:
    @mesh.entity("reminder")
    async def remind() -> None:
        await workflow.sleep_for("1 year")

    handle = await mesh.exec(entity="reminder", id="r", ttl="1 hour", wait=False)
    await mesh.interrupt("reminder", "r", reason="no longer needed")

    with pytest.raises(JobInterrupted, match="no longer needed"):
        await handle


async def test_a_failure_comes_home_with_its_type_and_traceback(mesh: MeshData) -> None:
    @mesh.entity("divide")
    async def divide(a: int, b: int) -> float:
        return a / b

    with pytest.raises(JobFailed) as caught:
        await divide(1, 0)

    assert caught.value.type == "ZeroDivisionError"
    assert "return a / b" in caught.value.remote_traceback


async def test_an_activity_is_tried_again_and_recorded_once(mesh: MeshData) -> None:
    calls = 0

    @activity(retry=RetryPolicy(max_attempts=3, initial="1 ms"))
    async def charge(amount: int) -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConnectionError("try again")
        return f"charged {amount}"

    @mesh.entity("checkout")
    async def checkout(amount: int) -> str:
        return await charge(amount)

    assert await checkout(7) == "charged 7"
    assert calls == 3


async def test_a_workflow_runs_children(mesh: MeshData) -> None:
    @mesh.entity("square")
    async def square(n: int) -> int:
        return n * n

    @mesh.entity("sum")
    async def total(count: int) -> int:
        squares = await workflow.all_(*(workflow.exec_child(square, [n]) for n in range(count)))
        return sum(squares)

    assert await total(5) == 30
