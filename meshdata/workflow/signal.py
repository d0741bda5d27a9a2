"""Signals: a payload for whoever waits on a key. One payload wakes one waiter, first come, first served on both sides.

A signal nobody waits for is kept (a week; docs/keyspace.md "sig"), so it may come before its waiter. Of several who
wait on one key, the one who came first gets the next payload; the others wait on.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from meshdata.errors import InvalidOptions, MeshTimeout
from meshdata.values import Duration, check_id, check_key, from_json, to_json
from meshdata.workflow.call import SEPARATOR, Call, durable
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


async def wait_for_all(*keys: str, timeout: Duration | None = None) -> list[Any]:
    """Wait for a signal on each key; the payloads in the order of the keys.

    Raises:
        MeshTimeout: `timeout` passed before all were there. Those that were are taken; the other keys are left alone.
    """
    waits = [wait_for(key, timeout=timeout) for key in list(map(check_key, keys))]
    tasks = list(map(asyncio.ensure_future, waits))
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


def wait_for_any(*keys: str, timeout: Duration | None = None) -> Coroutine[Any, Any, tuple[str, Any]]:
    """Wait for a signal on one of several keys. One payload is taken; what comes for the others is theirs.

    Returns:
        The key and its payload. Where several had payloads before, the first of them as they are named here.

    Raises:
        MeshTimeout: `timeout` passed first.
        InvalidOptions: no key at all, one that is none, or no duration.
    """
    if not keys:
        raise InvalidOptions("name at least one key", argument="keys")
    named = list(dict.fromkeys(check_key(key, argument="keys") for key in keys))
    ms = "" if timeout is None else durable_ms(timeout, "timeout")
    name = SEPARATOR.join(named)

    def live(run: Run, call: Call) -> None:
        places = [part for key in named for part in (run.host.store.keys.partition(key), key)]
        run.write("any", call.position, ms, name, *places)

    def decode(payload: bytes) -> tuple[str, Any]:
        number, value = from_json(payload)
        return named[number], value

    return durable("wait_for_any", "any", name, live, decode=decode)


async def condition(key: str, *, timeout: Duration) -> Any:
    """Wait for a signal on a key; False when `timeout` passed first."""
    try:
        return await wait_for(key, timeout=timeout)
    except MeshTimeout:
        return False


def signal(key: str, payload: Any = None, *, id: str | None = None) -> Coroutine[Any, Any, bool]:
    """Send a signal, once.

    Args:
        id: of signals of one key and one id only the first counts, whoever sends them (for a week).

    Returns:
        True if one who waited took it, False if it is kept for one who will.
    """
    check_key(key)
    body = to_json(payload, argument="payload")
    known_by = "" if id is None else check_id(id)

    def live(run: Run, call: Call) -> None:
        partition = run.host.store.keys.partition(key)
        run.write("ask", call.position, "signal", partition, key, "signal", key, body, "@", known_by)

    return durable("signal", "signal", key, live, decode=from_json)
