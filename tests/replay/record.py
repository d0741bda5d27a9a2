"""`python -m tests.replay.record [folder]`: run the programs and keep their exports. For new ones: what is kept stays.

`patient` is recorded without its patch, as it was before.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from meshdata import MeshData, workflow
from tests.replay import programs

FOLDER = Path(__file__).parent / "recorded"


async def patient(key: str) -> list[Any]:
    """`programs.patient` before it was patched."""
    nap = asyncio.create_task(programs._nap("1 year"))
    told = await workflow.wait_for(key)
    nap.cancel()
    return [told, await programs.double(2)]


async def record(mesh: MeshData, folder: Path) -> None:
    """Run each program and write its export, unless there is one."""
    mesh.connect("account", programs.account, model=programs.Account).hook("top_up")(programs.top_up)
    for fn in (programs.order, programs.race, programs.patched, programs.failing, programs.child, patient):
        mesh.connect(fn.__name__, fn)
    calls: dict[str, list[Any]] = {
        "order": [4], "race": ["5 ms"], "account": [10], "patched": ["p"], "failing": [], "patient": ["q"],
    }  # fmt: skip
    handles = {
        entity: await mesh.exec(entity=entity, args=args, id="r/1", ttl="1 hour", wait=False)
        for entity, args in calls.items()
    }
    await (await mesh.hook("account", "r/1", "account.top_up", args=[5]))
    for key in ("go-4", "account-10", "p"):
        await mesh.signal(key, {"told": key})
    for entity, handle in handles.items():
        if entity != "patient":
            await asyncio.gather(handle.result(timeout=20), return_exceptions=True)
    while len((await mesh.info("patient", "r/1")).waiting_for) < 2:
        await asyncio.sleep(0.01)
    for entity, handle in handles.items():
        path = folder / f"{entity}.json"
        if not path.exists():
            path.write_text((await handle.export()).to_json(indent=1) + "\n", encoding="utf-8")
    await mesh.interrupt("patient", "r/1")


async def main(folder: Path) -> None:
    with patch.object(programs, "attempts", 0):
        async with MeshData("embedded://", namespace="recorded") as mesh:
            await record(mesh, folder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
