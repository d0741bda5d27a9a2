"""Schedules: `{@cron.*}`."""

from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from meshdata.graph.pipes.family import Family
from meshdata.graph.pipes.values import UNDEFINED, text

cron = Family("cron", "Schedules.")

LEAST_S = 5
"""A delay shorter than this is raised to it."""


@cron("nextDelay")
def next_delay(expression: Any = UNDEFINED) -> int:
    """(expression) Whole seconds to the next run of a cron expression, in UTC; at least 5; -1 if it is none."""
    now = datetime.now(UTC)
    try:
        following = next(CronSim(text(expression), now))
    except (CronSimError, StopIteration):
        return -1
    return max(LEAST_S, round((following - now).total_seconds()))
