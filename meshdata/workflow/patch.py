"""Changing a function while runs of it live: `patched` tells a run which way to take, the same on every replay.

    if workflow.patched("charge-once"):
        await charge_once(order)      # runs that come here for the first time
    else:
        await charge(order)           # runs that passed here under the code before

A True is recorded together with whatever the run records next, so it costs no command of its own. A False is not
recorded: that a run was here before, and has no record of the patch, says so. `deprecate_patch` stands where the other
way was, once no run takes it any more; see docs/guides/versioning.md.
"""

from meshdata.errors import ReplayError, Suspended
from meshdata.values import check_key
from meshdata.workflow.context import current_path, current_run
from meshdata.workflow.runner import Run


def patched(id: str) -> bool:
    """Whether this run takes the new way: True unless it passed here before the patch was deployed.

    Args:
        id: the patch's name, one for each change of a function. Every call of it in a run answers alike.

    Raises:
        NotInWorkflow, InvalidOptions.
    """
    run: Run = current_run("patched")
    return run.patched(check_key(id, argument="id"))


def deprecate_patch(id: str) -> None:
    """Say that only the new way is left in the code.

    A run that passed here before the patch is parked, until code that has both ways is served.
    """
    run: Run = current_run("deprecate_patch")
    if not run.patched(check_key(id, argument="id")):
        before = f"a run that passed here before patch {id!r}"
        run.host.park(run, ReplayError(before, f"only the way after it (deprecate_patch {id!r})", current_path().text))
        raise Suspended
