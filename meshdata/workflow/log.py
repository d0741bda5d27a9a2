"""`workflow.logger`: what a workflow function says is said once, not again by every replay."""

import logging
from collections.abc import MutableMapping
from typing import Any

from meshdata.workflow.context import current_path, running


class WorkflowLogger(logging.LoggerAdapter[logging.Logger]):
    """Silent while a run is replayed; its records carry `job_id`, `entity`, `dimension`, `attempt` and `position`.

    Outside a workflow it is the plain logger "meshdata.workflow". A line that was written after the last recorded
    outcome, by a process that died then, is written again.
    """

    def isEnabledFor(self, level: int) -> bool:  # logging calls it so
        """Whether a record of this level would be written now."""
        run = running()
        return (run is None or not run.is_replaying) and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The record with the facts of the job."""
        run = running()
        facts: dict[str, Any] = {}
        if run is not None:
            facts = {
                "job_id": run.job,
                "entity": run.job.partition(":")[0],
                "dimension": run.dimension,
                "attempt": run.attempt + 1,
                "position": current_path().text,
            }
        return msg, {**kwargs, "extra": {**facts, **(kwargs.get("extra") or {})}}


logger = WorkflowLogger(logging.getLogger("meshdata.workflow"))
"""The logger of workflow functions."""
