"""Where in the user's code a run stands: what a ReplayError shows. Looked up when it is needed; nothing is kept for it.

A durable call is awaited by a chain of coroutines; the innermost frame of it that is the user's is where the call was
made. A call that `gather` or `create_task` made a task of has no such frame: then it is the line where the task stands
whose call it is, which is most often the `await` around it.
"""

import asyncio
import os
from collections.abc import Iterable
from types import FrameType
from typing import Any, Final

from meshdata.workflow.context import MAIN, path_of
from meshdata.workflow.settle import frames_of, waits_on

_OURS: Final = (os.path.dirname(os.path.dirname(__file__)) + os.sep, os.path.dirname(asyncio.__file__) + os.sep)


def line_of(tasks: "Iterable[asyncio.Task[Any]]", position: str, future: Any) -> str:
    """Where the call at a position was made, as "shop/orders.py:41 in charge"; '' where that cannot be told."""
    path = position.partition(":")[0]
    if "." not in path:  # the main task's, in whichever run of its job
        path = MAIN
    near = ""
    for task in tasks:
        line = _line(task)
        if line and waits_on(task) is future:
            return line
        if line and path_of(task) == path:
            near = line
    return near


def _line(task: "asyncio.Task[Any]") -> str:
    users = [frame for frame in frames_of(task) if not frame.f_code.co_filename.startswith(_OURS)]
    return _told(users[-1]) if users else ""


def _told(frame: FrameType) -> str:
    file = frame.f_code.co_filename
    here = os.getcwd() + os.sep
    return f"{file.removeprefix(here)}:{frame.f_lineno} in {frame.f_code.co_name}"
