"""A person is asked, and a clock runs beside: the first of the two ends the job."""

import asyncio
import os
from pathlib import Path

from meshdata import HotMesh

URL = os.environ.get("MESHDATA_URL", "embedded://")
MODEL = Path(__file__).with_suffix(".yaml")


async def main() -> None:
    async with await HotMesh.init("desk", URL, namespace="human-task") as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        closed: asyncio.Queue[object] = asyncio.Queue()
        await hot.sub("task.closed", lambda topic, job: closed.put_nowait(job.data))

        task = await hot.pub("task.open", {"question": "May I?", "seconds": 600})
        await hot.hook("task.answer", {"id": task, "answer": "You may."})
        print(await closed.get())

        await hot.pub("task.open", {"question": "Anybody?", "seconds": 0.05})
        print(await closed.get())


if __name__ == "__main__":
    asyncio.run(main())
