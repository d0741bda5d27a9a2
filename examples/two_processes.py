"""A worker and a client in two processes. The worker is killed in the middle of a job; another one finishes it.

    python examples/two_processes.py

Both sides meet on one Redis: the one of MESHDATA_URL, else an embedded one in a folder that both name. In earnest the
worker is started by `meshdata serve examples.two_processes:mesh`, as many times as you like.
"""

import asyncio
import os
import signal
import sys
import tempfile

from meshdata import MeshData, activity, workflow


@activity
async def step(number: int) -> str:
    return f"step {number} done by process {os.getpid()}"


async def journey(steps: int) -> list[str]:
    done = []
    for number in range(steps):
        done.append(await step(number))
        await workflow.state.set(steps=number + 1)
        await workflow.sleep_for("200 ms")
    return done


# A short life sign, so that the take-over does not keep you waiting; the default is 5 seconds.
mesh = MeshData(life_sign=1)
mesh.connect("journey", journey)


async def start_worker() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, __file__, "worker")


async def client() -> None:
    async with MeshData() as door:  # connects nothing: a client only
        await door.flush("journey", "j1")  # what an earlier run left
        first = await start_worker()
        handle = await door.exec(entity="journey", args=[6], id="j1", ttl="1 minute", wait=False)
        while int((await handle.state("steps"))["steps"] or 0) < 3:
            await asyncio.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        print("the worker was killed after step 2")

        second = await start_worker()
        result = await handle.result(timeout="30 seconds")
        second.terminate()
        await second.wait()

    for line in result:
        print(line.replace(str(first.pid), "one").replace(str(second.pid), "two"))


def main() -> None:
    if sys.argv[1:] == ["worker"]:
        mesh.serve()
        return
    with tempfile.TemporaryDirectory(prefix="meshdata-example-") as folder:
        # Set before any process opens its mesh: this is how they find each other.
        os.environ.setdefault("MESHDATA_URL", f"embedded://{folder}")
        asyncio.run(client())


if __name__ == "__main__":
    main()
