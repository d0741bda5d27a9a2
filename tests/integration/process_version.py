"""A worker process for test_processes.py: `process_version.py url namespace which` serves one version of a function."""

import sys

from meshdata import MeshData, activity, workflow

URL, NAMESPACE, WHICH = sys.argv[1:4]
mesh = MeshData(URL, namespace=NAMESPACE, life_sign=1)


@activity
async def old() -> str:
    return "old"


@activity
async def new() -> str:
    return "new"


async def version(key: str) -> list[str]:
    """Waits after an activity; `changed` does another one there, `patched` knows both ways."""
    if WHICH == "changed" or (WHICH == "patched" and workflow.patched("new-first")):
        first = await new()
    else:
        first = await old()
    return [first, str(await workflow.wait_for(key)), WHICH]


mesh.connect("version", version)

if __name__ == "__main__":
    mesh.serve(ready=lambda: print("serving", flush=True))
