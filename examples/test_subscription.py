"""A test of a workflow that takes three months, in milliseconds and without a server.

    pytest examples/test_subscription.py      (or: python examples/test_subscription.py)

The fixtures come with meshdata: `mesh` is a mesh in this process, `mesh_clock` its clock, which stands still until it
is moved, and `mesh_run` lets everything be done that can be done without time or input.
"""

import subprocess
import sys
from typing import Any

import pytest

from meshdata import RetryPolicy, activity, workflow
from meshdata.errors import JobNotFound, MeshTimeout

pytestmark = pytest.mark.asyncio

charged: list[str] = []


@activity(retry=RetryPolicy(max_attempts=3, initial="1 hour"))
async def charge(user_id: str) -> None:
    """Stands for a payment service that fails at the second of February."""
    charged.append(user_id)
    if len(charged) == 2:
        raise ConnectionError("the bank is closed")


async def subscribe(user_id: str) -> str:
    months = 0
    while True:
        await charge(user_id)
        months = await workflow.state.incr("months")
        try:
            reason = await workflow.wait_for(f"cancel-{user_id}", timeout="1 month")
        except MeshTimeout:
            continue
        return f"cancelled after {months} months: {reason}"


async def test_every_month_is_charged_and_a_failed_charge_tried_again(
    mesh: Any, mesh_clock: Any, mesh_run: Any
) -> None:
    charged.clear()
    await mesh.connect("subscription", subscribe)
    handle = await mesh.exec(entity="subscription", args=["ada"], id="ada", ttl="1 day", wait=False)

    await mesh_run()
    assert await handle.state("months") == {"months": "1"}

    await mesh_clock.advance("1 month")  # the bank is closed
    assert (len(charged), await handle.state("months")) == (2, {"months": "1"})
    await mesh_clock.advance("1 hour")
    assert (len(charged), await handle.state("months")) == (3, {"months": "2"})

    await mesh.signal("cancel-ada", "too expensive")
    assert await handle.result() == "cancelled after 2 months: too expensive"


async def test_a_result_is_kept_for_its_ttl(mesh: Any, mesh_clock: Any) -> None:
    async def greet(name: str) -> str:
        return f"Hello, {name}!"

    await mesh.connect("greeting", greet)
    assert await mesh.exec(entity="greeting", args=["Ada"], id="ada", ttl="15 minutes") == "Hello, Ada!"
    await mesh_clock.advance("14 minutes")
    assert (await mesh.info("greeting", "ada")).status == "completed"
    await mesh_clock.advance("2 minutes")
    with pytest.raises(JobNotFound):
        await mesh.info("greeting", "ada")


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", __file__]))
