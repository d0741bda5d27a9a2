"""A stored end as the value it stands for, or as the error."""

from collections.abc import Callable
from typing import Any

from meshdata.errors import JobExists, JobNotFound, end_from_payload
from meshdata.store.messages import Outcome
from meshdata.values import from_json


def value_of(outcome: Outcome, job: str, decode: Callable[[bytes], Any] = from_json) -> Any:
    """What a job returned.

    Raises:
        JobFailed: it raised; type, message, code, attempts and remote traceback are on the error.
        JobInterrupted: it was interrupted. JobNotFound: there is no such job. JobExists: the id is taken.
    """
    if outcome.code == "ok":
        return decode(outcome.payload)
    if outcome.word == "NOTFOUND":
        raise JobNotFound(job_id=job)
    if outcome.word == "EXISTS":
        raise JobExists(job_id=job)
    raise end_from_payload(from_json(outcome.payload), job_id=job)
