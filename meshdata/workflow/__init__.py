"""The verbs a workflow function may use: `from meshdata import workflow`, then `await workflow.sleep_for("1 day")`.

A workflow function is an ordinary coroutine on the ordinary event loop. What it awaits from here is durable: recorded
in the job's journal, and given back from there when another process has to go on with the job. Verbs may be mixed
freely in `asyncio.gather`, `asyncio.TaskGroup`, `asyncio.wait` and `workflow.timeout`.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from meshdata.workflow.activity import activity, proxy, proxy_activities
from meshdata.workflow.cancel import cancel, shield
from meshdata.workflow.child import exec_child, interrupt, start_child
from meshdata.workflow.emit import emit, enrich, trace
from meshdata.workflow.interceptor import Execution, Interceptor, Outbound
from meshdata.workflow.log import logger
from meshdata.workflow.method import hook, run
from meshdata.workflow.once import get_context, info, now, once, random, uuid
from meshdata.workflow.patch import deprecate_patch, patched
from meshdata.workflow.renewal import continue_as_new
from meshdata.workflow.saga import saga
from meshdata.workflow.signal import condition, signal, wait_for, wait_for_all, wait_for_any
from meshdata.workflow.state import search, state
from meshdata.workflow.timer import sleep_for, timeout
from meshdata.workflow.typed import child

__all__ = [
    "Execution",
    "Interceptor",
    "Outbound",
    "activity",
    "all_",
    "cancel",
    "child",
    "condition",
    "continue_as_new",
    "deprecate_patch",
    "emit",
    "enrich",
    "exec_child",
    "get_context",
    "hook",
    "info",
    "interrupt",
    "logger",
    "now",
    "once",
    "patched",
    "proxy",
    "proxy_activities",
    "random",
    "run",
    "saga",
    "search",
    "shield",
    "signal",
    "sleep_for",
    "start_child",
    "state",
    "timeout",
    "trace",
    "uuid",
    "wait_for",
    "wait_for_all",
    "wait_for_any",
]


async def all_(*awaitables: Awaitable[Any]) -> list[Any]:
    """The results of several awaitables, in their order; as many as you like. The first failure is raised."""
    return list(await asyncio.gather(*awaitables))
