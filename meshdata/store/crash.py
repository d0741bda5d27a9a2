"""Named crash points: where a test may have this process die as if by `kill -9`.

There is one before and one after every script: "before step", "after finish", … These are all the moments at which the
store has one thing and the process another. MESHDATA_CRASH_POINT="after step:3" kills the process at its third pass of
that point. Without the variable nothing is checked.
"""

import os
import signal
from collections.abc import Callable

VARIABLE = "MESHDATA_CRASH_POINT"


def crash_points() -> Callable[[str], None] | None:
    """What to call at each point, or None when none is armed."""
    armed = os.environ.get(VARIABLE)
    if not armed:
        return None
    name, _, count = armed.partition(":")
    left = int(count or 1)

    def passed(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return passed
