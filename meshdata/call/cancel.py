"""Asking a run to end itself, from outside."""

from meshdata.engine.engine import Engine
from meshdata.errors import JobNotFound
from meshdata.workflow.request import cancellation


async def cancel_run(engine: Engine, run: str, reason: str | None) -> bool:
    """Ask "<dim> <job>" to end itself; asked for a main function, its hooks are asked too.

    Returns:
        True if it was asked, now or before; False if it was over.

    Raises:
        JobNotFound: there is none. InvalidOptions: the reason is no text.
    """
    job = run.partition(" ")[2]
    payload, problem = cancellation(reason, job)
    word = await engine.store.cancel(run, payload=payload, problem=problem)
    if word == "NOTFOUND":
        raise JobNotFound(job_id=job)
    return word == "OK"
