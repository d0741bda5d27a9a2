"""Random small workflows, and what may come of them, worked out without any of the machinery."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

from meshdata import RetryPolicy, activity, workflow

Node = list[Any]

LEAVES = ["act", "act", "flaky", "fail", "incr", "incr", "sleep", "wait", "tell", "once", "child", "started", "hook"]
BRANCHES = ["seq", "gather", "gather", "limit", "race"]


class Author:
    """Writes programs; the same dice, the same program."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.number = self.in_child = 0

    def program(self) -> Node:
        return ["seq", [self.node(2) for _ in range(self.dice.randint(1, 3))]]

    def node(self, depth: int) -> Node:
        if depth == 0 or self.dice.random() < 0.45:
            return self.leaf(depth)
        kind = self.dice.choice(BRANCHES)
        if kind == "limit":
            return [kind, self.dice.choice([1, 10, 100, 3000]), self.node(depth - 1)]
        return [kind, [self.node(depth - 1) for _ in range(self.dice.randint(2, 3))]]

    def leaf(self, depth: int) -> Node:
        self.number += 1
        kind = self.dice.choice(LEAVES)
        if kind in ("child", "started"):
            number, self.in_child = self.number, self.in_child + 1
            tree: Node = ["seq", [self.leaf(0) for _ in range(2)]] if self.in_child == 1 else ["act", number, 0]
            self.in_child -= 1
            return [kind, number, tree]
        if kind == "wait" and self.in_child:
            kind = "act"  # nobody outside knows a child's key
        return [kind, self.number, self.dice.choice([0, 0, 3, 20, 400, 2000])]


def leaves(node: Node) -> list[Node]:
    """Every leaf of a program and of the children it makes."""
    kind = node[0]
    if kind in ("seq", "gather", "race"):
        return [leaf for inner in node[1] for leaf in leaves(inner)]
    if kind == "limit":
        return leaves(node[2])
    if kind in ("child", "started"):
        return [node, *leaves(node[2])]
    return [node]


def is_certain(node: Node) -> bool:
    """Whether everything in it happens, whatever wins."""
    kind = node[0]
    if kind in ("race", "limit"):
        return False
    return all(map(is_certain, node[1])) if kind in ("seq", "gather") else True


def counted(node: Node) -> int:
    """How much a program adds to its own record if all of it happens."""
    kind = node[0]
    if kind in ("seq", "gather", "race"):
        return sum(map(counted, node[1]))
    if kind == "limit":
        return counted(node[2])
    return int(node[1]) if kind in ("incr", "hook") else 0


def fits(node: Node, value: Any) -> bool:
    """Whether a value is one that a program may give."""
    kind = node[0]
    if kind in ("seq", "gather"):
        return isinstance(value, list) and len(value) == len(node[1]) and all(map(fits, node[1], value))
    if kind == "limit":
        return value == "late" or fits(node[2], value)
    if kind == "race":
        return isinstance(value, list) and len(value) == 2 and fits(node[1][value[0]], value[1])
    number = node[1]
    if kind == "wait":
        return isinstance(value, dict) and list(value) == ["token"]
    if kind == "child":
        return fits(node[2], value)
    wanted = {
        "act": number * 7, "flaky": number % 3 + 1, "fail": f"failed {number}", "incr": "counted", "sleep": "slept",
        "tell": "told", "once": number + 1, "started": "started", "hook": "hooked",
    }  # fmt: skip
    return bool(value == wanted[kind])


def tokens(value: Any) -> list[str]:
    """The payloads a value holds."""
    if isinstance(value, dict):
        return list(value.values())
    return [token for inner in value for token in tokens(inner)] if isinstance(value, list) else []


# --- the functions under test -----------------------------------------------------------------------------------------


@activity
async def act(number: int, ms: int) -> int:
    if ms:
        await asyncio.sleep(ms / 1000)
    return number * 7


@activity(retry=RetryPolicy(max_attempts=4, initial="20 ms"))
async def flaky(number: int) -> int:
    attempt = activity.info().attempt
    if attempt <= number % 3:
        raise ValueError(f"not yet {number}")
    return attempt


@activity
async def fail(number: int) -> None:
    raise ValueError(f"no {number}")


async def add(number: int) -> int:
    """A hook."""
    await workflow.state.incr("count", number)
    return number


async def program(tree: Node) -> Any:
    """A workflow that does what its argument says."""
    return await run(tree)


async def run(node: Node) -> Any:
    kind, *rest = node
    return await (VERBS[kind])(*rest)


async def _seq(nodes: list[Node]) -> Any:
    return [await run(node) for node in nodes]


async def _gather(nodes: list[Node]) -> Any:
    return await asyncio.gather(*map(run, nodes))


async def _limit(ms: int, node: Node) -> Any:
    try:
        async with workflow.timeout(ms / 1000):
            return await run(node)
    except TimeoutError:
        return "late"


async def _race(nodes: list[Node]) -> Any:
    tasks = [asyncio.create_task(run(node)) for node in nodes]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    first = min(map(tasks.index, done))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [first, tasks[first].result()]


async def _act(number: int, ms: int) -> Any:
    return await act(number, ms)


async def _flaky(number: int, ms: int) -> Any:
    return await flaky(number)


async def _fail(number: int, ms: int) -> Any:
    try:
        await fail(number)
    except Exception:
        return f"failed {number}"


async def _incr(number: int, ms: int) -> Any:
    await workflow.state.incr("count", number)
    return "counted"


async def _sleep(number: int, ms: int) -> Any:
    before = workflow.now()
    await workflow.sleep_for(ms / 1000)
    took = workflow.now() - before
    return "slept" if took >= timedelta(milliseconds=ms) else f"slept {took} of {ms} ms"


async def _wait(number: int, ms: int) -> Any:
    return {"token": await workflow.wait_for(f"key-{_job()}")}


async def _tell(number: int, ms: int) -> Any:
    await workflow.signal(f"told-{_job()}", f"{_job()}-{number}")
    return "told"


async def _once(number: int, ms: int) -> Any:
    return await workflow.once(_next, number)


async def _next(number: int) -> int:  # a coroutine: a plain function would run in a thread, whose time is nobody's
    return number + 1


async def _child(number: int, tree: Node) -> Any:
    return await workflow.exec_child("program", [tree])


async def _started(number: int, tree: Node) -> Any:
    await workflow.start_child("program", [tree])
    return "started"


async def _hook(number: int, ms: int) -> Any:
    await workflow.hook("program.add", [number])
    return "hooked"


def _job() -> str:
    return str(workflow.info().job_id.partition(":")[2])


VERBS = {
    "seq": _seq, "gather": _gather, "limit": _limit, "race": _race, "act": _act, "flaky": _flaky, "fail": _fail,
    "incr": _incr, "sleep": _sleep, "wait": _wait, "tell": _tell, "once": _once, "child": _child, "started": _started,
    "hook": _hook,
}  # fmt: skip
