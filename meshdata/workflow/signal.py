"""Signals: a payload for whoever waits on a key. One payload wakes one waiter, first come, first served on both sides.

A signal nobody waits for is kept (a week; docs/keyspace.md "sig"), so it may come before its waiter. Of several who
wait on one key, the one who came first gets the next payload; the others wait on.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from meshdata.errors import MeshTimeout
from meshdata.values import Duration, check_key, from_json, to_json
from meshdata.workflow.call import Call, durable
from meshdata.workflow.context import durable_ms
from meshdata.workflow.runner import Run


def wait_for(key: str, *, timeout: Duration | None = None) -> Coroutine[Any, Any, Any]:
    """Wait for a signal on a key.

    Returns:
        Its payload, as JSON gives it.

    Raises:
        MeshTimeout: `timeout` passed first; the wait is over, a later signal goes to the next who waits.
        InvalidOptions: no key, or no duration.
    """
    check_key(key)
    ms = "" if timeout is None else durable_ms(timeout, "timeout")

    def live(run: Run, call: Call) -> None:
        run.write("wait", call.position, key, run.host.store.keys.partition(key), ms)

    return durable("wait_for", "wait", key, live)


async def wait_for_all(*keys: str) -> list[Any]:
    """Wait for a signal on each key; the payloads in the order of the keys."""
    return list(await asyncio.gather(*(wait_for(key) for key in keys)))


async def condition(key: str, *, timeout: Duration) -> Any:
    """Wait for a signal on a key; False when `timeout` passed first."""
    try:
        return await wait_for(key, timeout=timeout)
    except MeshTimeout:
        return False


def signal(key: str, payload: Any = None) -> Coroutine[Any, Any, bool]:
    """Send a signal, once.

    Returns:
        True if one who waited took it, False if it is kept for one who will.
    """
    check_key(key)
    body = to_json(payload, argument="payload")

    def live(run: Run, call: Call) -> None:
        partition = run.host.store.keys.partition(key)
        run.write("ask", call.position, "signal", partition, key, "signal", key, body, "@")

    return durable("signal", "signal", key, live, decode=from_json)
