"""An `order` that its recorded run does not fit, for `meshdata check`."""

from meshdata import workflow


async def order(n: int) -> None:
    await workflow.sleep_for("1 day")
