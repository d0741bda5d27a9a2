"""The functions whose recorded runs are kept in `recorded/`: what earlier versions recorded goes on under this one.

A function here changes as users must change theirs (`workflow.patched`); its runs are never recorded anew.
"""

import asyncio
from typing import Annotated, Any

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.search import Numeric, Record

attempts = 0


class Account(Record, entity="account"):
    id: str = ""
    credits: Annotated[int, Numeric()] = 0


@activity
async def double(n: int) -> int:
    return n * 2


@activity(retry=RetryPolicy(max_attempts=3, initial="1 ms"))
async def flaky() -> str:
    global attempts
    attempts += 1
    if attempts < 3:
        raise ValueError(f"failure {attempts}")
    return "at last"


async def child(n: int) -> int:
    await workflow.sleep_for("1 ms")
    return n + 1


async def order(n: int) -> dict[str, Any]:
    """Calls of most kinds, in turn and at once."""
    ids = [str(workflow.uuid()), workflow.random().randint(1, 100)]
    first, *rest = await asyncio.gather(
        double(n), double(0), workflow.exec_child("child", [n]), workflow.sleep_for("1 ms")
    )
    await workflow.state.set(n=n, note="grüße")
    read = await workflow.state.mget("n", "note", "none")
    count = await workflow.state.incr("n", 2.5)
    try:
        await workflow.wait_for("never", timeout="1 ms")
    except TimeoutError:
        rest.append("late")
    told = await workflow.wait_for(f"go-{n}")
    return {"ids": ids, "first": first, "rest": rest, "read": read, "count": count, "told": told, "x": await flaky()}


async def race(limit: str) -> list[Any]:
    """Tasks that race, a time limit, a group that fails."""
    slow = asyncio.create_task(_nap("10 s"))
    quick = asyncio.create_task(_nap("1 ms"))
    done, _ = await asyncio.wait([slow, quick], return_when=asyncio.FIRST_COMPLETED)
    slow.cancel()
    out: list[Any] = [task is quick for task in done]
    try:
        async with workflow.timeout(limit):
            await workflow.wait_for("never")
    except TimeoutError:
        out.append("limit")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_fails())
            group.create_task(_nap("10 s"))
    except* ValueError as errors:
        out.append(str(errors.exceptions[0]))
    for task in asyncio.as_completed([_nap("2 ms"), double(4)]):
        out.append(await task)
    return out


async def _nap(duration: str) -> float:
    return await workflow.sleep_for(duration)


async def _fails() -> None:
    await double(1)
    raise ValueError("in the group")


async def account(by: int) -> int:
    """A record with a model, worked on by a hook too."""
    await workflow.state.set(credits=by)
    await workflow.wait_for(f"account-{by}")
    return int(await workflow.state.get("credits"))


async def top_up(by: int) -> int:
    credits: int = await workflow.state.get("credits")
    return await workflow.state.incr("credits", by) - credits  # type: ignore[return-value]


async def patient(key: str) -> list[Any]:
    """Waits: its run was recorded before its end. Patched since."""
    if workflow.patched("greet-first"):
        await double(1)
    nap = asyncio.create_task(_nap("1 year"))
    told = await workflow.wait_for(key)
    nap.cancel()
    return [told, await double(2)]


async def patched(key: str) -> list[Any]:
    """Recorded with its patch."""
    await workflow.wait_for(key)
    return ["new" if workflow.patched("way") else "old", await double(3)]


async def failing() -> None:
    await double(5)
    raise KeyError("it fails for good")


def mesh() -> MeshData:
    """A mesh that knows all of them."""
    made = MeshData()
    for fn in (order, race, patient, patched, failing, child):
        made.connect(fn.__name__, fn)
    made.connect("account", account, model=Account).hook("top_up")(top_up)
    return made
