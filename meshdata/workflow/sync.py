"""The verbs for plain workflow functions: `from meshdata.workflow import sync`, then `sync.sleep_for("1 day")`.

They are the verbs of `meshdata.workflow` in blocking form: the same names, arguments and results. What has no verb
here, an activity or a typed child, is awaited by `run`, several at once by `all_`:

    @activity
    def charge(amount: int) -> str: ...

    def order(amount: int) -> str:
        receipt = sync.run(charge(amount))
        first, second = sync.all_(charge(1), charge(2))
        with sync.timeout("1 day"):
            sync.wait_for("approved")
        return receipt

A plain function runs in a thread, of which a process has a bounded number. One that waits may have to give its thread
up: its verb then raises `Suspended`, and the function is replayed later, as any run is. `Suspended` is no `Exception`;
let it pass.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from meshdata.values import Duration
from meshdata.workflow.activity import proxy
from meshdata.workflow.cancel import cancel as _cancel
from meshdata.workflow.cancel import shield as _shield
from meshdata.workflow.child import exec_child as _exec_child
from meshdata.workflow.child import hook as _hook
from meshdata.workflow.child import interrupt as _interrupt
from meshdata.workflow.child import start_child as _start_child
from meshdata.workflow.emit import emit as _emit
from meshdata.workflow.emit import enrich as _enrich
from meshdata.workflow.emit import trace as _trace
from meshdata.workflow.log import logger
from meshdata.workflow.once import get_context, info, now, random, uuid
from meshdata.workflow.once import once as _once
from meshdata.workflow.patch import deprecate_patch, patched
from meshdata.workflow.renewal import continue_as_new
from meshdata.workflow.signal import condition as _condition
from meshdata.workflow.signal import signal as _signal
from meshdata.workflow.signal import wait_for as _wait_for
from meshdata.workflow.signal import wait_for_all as _wait_for_all
from meshdata.workflow.signal import wait_for_any as _wait_for_any
from meshdata.workflow.state import state as _state
from meshdata.workflow.thread import ask
from meshdata.workflow.timer import sleep_for as _sleep_for
from meshdata.workflow.timer import timeout as _timeout

P = ParamSpec("P")
R = TypeVar("R")

__all__ = [
    "all_",
    "cancel",
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
    "proxy_activities",
    "random",
    "run",
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


def run(call: Coroutine[Any, Any, R]) -> R:
    """Wait for anything a workflow function may await: `sync.run(charge(5))`.

    Raises:
        NotInWorkflow: this is no workflow function; UsageError: it is an async one, which awaits.
    """
    return ask("run", call)


def all_(*calls: Awaitable[Any]) -> list[Any]:
    """The results of several calls made at once, in their order. The first failure is raised."""
    return ask("all_", _all(calls))


async def _all(calls: tuple[Awaitable[Any], ...]) -> list[Any]:
    return list(await asyncio.gather(*calls))


def _blocking(verb: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    name = verb.__name__

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return ask(name, verb(*args, **kwargs))

    call.__name__, call.__doc__ = name, verb.__doc__
    return call


sleep_for = _blocking(_sleep_for)
wait_for = _blocking(_wait_for)
wait_for_all = _blocking(_wait_for_all)
wait_for_any = _blocking(_wait_for_any)
condition = _blocking(_condition)
signal = _blocking(_signal)
hook = _blocking(_hook)
exec_child = _blocking(_exec_child)
start_child = _blocking(_start_child)
interrupt = _blocking(_interrupt)
cancel = _blocking(_cancel)
once = _blocking(_once)
emit = _blocking(_emit)
trace = _blocking(_trace)
enrich = _blocking(_enrich)


class _State:
    """The state of the running job; see `workflow.state`."""

    set = staticmethod(_blocking(_state.set))
    get = staticmethod(_blocking(_state.get))
    mget = staticmethod(_blocking(_state.mget))
    all = staticmethod(_blocking(_state.all))
    delete = staticmethod(_blocking(_state.delete))
    incr = staticmethod(_blocking(_state.incr))
    mult = staticmethod(_blocking(_state.mult))
    append = staticmethod(_blocking(_state.append))
    remove = staticmethod(_blocking(_state.remove))


state = _State()
"""The state of the running job."""


def search() -> _State:
    """The state of the running job, by the name the reference family gives it."""
    return state


class _Block:
    """An `async with` of the workflow, as a `with`."""

    def __init__(self, block: Any) -> None:
        self._block = block

    def __enter__(self) -> Any:
        return ask(type(self._block).__name__, self._block.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        result: bool | None = ask(type(self._block).__name__, self._block.__aexit__(kind, error, trace))
        return result


def timeout(duration: Duration) -> _Block:
    """`with sync.timeout("5 minutes"):` raises TimeoutError in its body when the time is up, durably."""
    return _Block(_timeout(duration))


def shield() -> _Block:
    """`with sync.shield():` a block that a request to cancel the job waits for."""
    return _Block(_shield())


class _Proxies:
    def __init__(self, **calls: Callable[..., Any]) -> None:
        self.__dict__.update(calls)


def proxy_activities(*functions: Callable[..., Any], **options: Any) -> Any:
    """Plain functions as blocking activities: `acts = sync.proxy_activities(greet)`, then `acts.greet("you")`."""
    made = [proxy(fn, **options) for fn in functions]
    return _Proxies(**{one.name: _blocking(one) for one in made})
