"""The life cycle of a call: connect a function to a topic, call it, keep its answer, forget it, call it by a schedule.

python examples/demos/demo_meshcall.py           # told in colour, with costs: meshdata demo meshcall
"""

import asyncio
import os

from meshdata import MeshCall


async def my_function(name: str) -> str:
    print("called", "ONCE for" if name == "CachedMesh" else "for", name)
    return f"Welcome, {name}."


async def main() -> None:
    async with MeshCall(os.environ.get("MESHDATA_URL", "embedded://"), namespace="meshcall") as call:
        await call.connect("my.function", my_function)
        print("RESPONSE", await call.exec("my.function", ["CoolMesh"]))

        await call.flush("my.function", id="mycached123")
        for _ in range(4):
            print("RESPONSE", await call.exec("my.function", ["CachedMesh"], id="mycached123", ttl="1 day"))
        await call.flush("my.function", id="mycached123")

        cycles: asyncio.Queue[int] = asyncio.Queue()
        begun = await call.cron("my.demo.cron", lambda: cycles.put_nowait(1), id="demo", interval="100 ms")
        again = await call.cron("my.demo.cron", id="demo", interval="100 ms")
        for _ in range(3):
            await cycles.get()
        stopped = await call.interrupt("my.demo.cron", id="demo")
        print("cron: new", begun, "and again", again, "stopped", stopped)


if __name__ == "__main__":
    asyncio.run(main())
