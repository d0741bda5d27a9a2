"""The life cycle of a graph: deploy a model, activate it, run a job, look at what it left.

python examples/demos/demo_hotmesh.py [word]     # told in colour, with costs: meshdata demo hotmesh [word]
"""

import asyncio
import os
import sys

from meshdata import HotMesh
from meshdata.hotmesh import StreamData

MODEL = """
app:
  id: hotmesh
  version: '1'
  graphs:
    - subscribes: hotmesh.test
      expire: 3600
      input:
        schema: {type: object, properties: {payload: {type: string}}}
      output:
        schema: {type: object, properties: {response: {type: string}}}
      activities:
        t1:
          type: trigger
        w1:
          type: worker
          topic: work.do
          input: {maps: {workerInput: '{t1.output.data.payload}'}}
          job: {maps: {response: '{$self.output.data.workerOutput}'}}
      transitions:
        t1: [{to: w1}]
"""


async def work(asked: StreamData) -> dict[str, str]:
    return {"workerOutput": f"{asked.data['workerInput']} world"}


async def main(word: str) -> None:
    url = os.environ.get("MESHDATA_URL", "embedded://")
    async with await HotMesh.init("hotmesh", url, namespace="hotmesh", workers=[("work.do", work)]) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        job = await hot.pubsub("hotmesh.test", {"payload": word}, timeout=10)
        told = await hot.export(str(job.metadata["jid"]), flow=True)
        print("open activities", told["status"], "passed", [one["activity"] for one in told["transitions"]])
        print("RESPONSE", (job.data or {})["response"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "hello"))
