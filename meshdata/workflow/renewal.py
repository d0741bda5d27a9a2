"""Runs that go on as new ones: `continue_as_new` ends a run and begins the next of the same job, its journal empty.

A job that lives for years would gather a journal of years, which a process that takes it over has to read. Such a
function carries what it needs into its next run by its arguments and its record:

    async def subscription(customer: str, month: int = 0) -> None:
        await bill(customer, month)
        await workflow.sleep_for("1 month")
        workflow.continue_as_new(customer, month + 1)
"""

from collections.abc import Sequence
from typing import Any, NoReturn

from meshdata.errors import ContinueAsNew, UsageError
from meshdata.values import to_json
from meshdata.workflow.call import SIGNALS, partitions_of
from meshdata.workflow.context import current_run
from meshdata.workflow.runner import Run
from meshdata.workflow.settle import ended_untold


def continue_as_new(*args: Any, **kwargs: Any) -> NoReturn:
    """End this run here, and run the function of the job anew with these arguments and an empty journal.

    The id, the record, the ttl, running hooks and children stay; who awaits the result waits on and gets that of the
    last run. Signals that came and that nobody was told of are kept for the next who waits. Children are not ended by
    this: what is to become of them at their parent's end is asked when the job ends.

    It goes through `except Exception` and through `finally`, also from a task or a function called by the workflow.

    Raises:
        InvalidOptions: the function does not take such arguments. UsageError: called in a hook.
        ContinueAsNew: always; not for you to catch.
    """
    run: Run = current_run("continue_as_new")
    if run.dimension != "0":
        raise UsageError(
            "workflow.continue_as_new is for the workflow's own function: a hook that begins anew would be another "
            "hook; let it return, and have the workflow call workflow.hook again"
        )
    function = run.service.function
    function.bind(args, kwargs)
    body: dict[str, Any] = {"a": list(args), "n": run.round + 1, **run.terms}
    if kwargs:
        body["k"] = kwargs
    to_json(list(args), argument="args")
    said = to_json(body, argument="kwargs")
    function.check_arguments(said)
    raise ContinueAsNew(said)


def renewal_of(error: BaseException) -> bytes | None:
    """The start of the run that is to follow, if that is what an end means.

    Of several tasks that failed together, one whose failure is a true one makes the end a failure.
    """
    if isinstance(error, ContinueAsNew):
        return error.body
    if isinstance(error, BaseExceptionGroup):
        asked, failed = error.split(ContinueAsNew)
        if asked is not None and failed is None:
            return _first(asked.exceptions)
    return None


def _first(errors: Sequence[BaseException]) -> bytes | None:
    for one in errors:
        found = _first(one.exceptions) if isinstance(one, BaseExceptionGroup) else renewal_of(one)
        if found is not None:
            return found
    return None


def was_told(run: Run) -> bool:
    """Whether the function was told of a request to cancel it: of one a shield held, perhaps in its last moment."""
    return run.cancellation.is_told and not (run.main is not None and ended_untold(run.main))


def open_signals(run: Run) -> list[str]:
    """Position, and partitions of the keys (parted by commas), in turn, of the signals a run still waits for."""
    found: list[str] = []
    for call in run.calls.values():
        if call.kind in SIGNALS:
            found += [call.position, partitions_of(call, run.host.store.keys.partition)]
    return found
