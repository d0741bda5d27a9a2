"""`meshdata demo hotmesh`: a graph in YAML, deployed and activated, that asks a worker and answers."""

from functools import partial
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from meshdata.cli.demo.cost import measured
from meshdata.cli.demo.telling import Teller, look_inside, stage
from meshdata.cli.output import Place
from meshdata.graph.stream import StreamData
from meshdata.hotmesh import HotMesh
from meshdata.mesh import MeshData

APP: Final = "hotmesh"
TOPIC: Final = "hotmesh.test"
WORK: Final = "work.do"
WORD: Final = "hello"

MODEL = """\
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


async def work(asked: StreamData) -> dict[str, Any]:
    return {"workerOutput": f"{asked.data['workerInput']} world"}


SOURCE = """\
async def work(asked: StreamData) -> dict[str, str]:    # does "work.do", in whatever process
    return {"workerOutput": f"{asked.data['workerInput']} world"}

hot = await HotMesh.init("hotmesh", workers=[("work.do", work)])
"""


def demo(place: Place, word: str) -> int:
    """Tell what a graph is: deploy a model, activate it, run a job, look at what it left.

    Args:
        word: the payload; the worker puts " world" behind it.
    """

    async def story(tell: Teller, mesh: MeshData, ours: bool) -> None:
        await _story(tell, mesh, word, ours)

    return stage(
        place, story,
        tagline="Processes as models: a graph of activities, carried out by whoever is there.",
        ending="Next: docs/guides/hotmesh.md, and docs/guides/graphs.md for what a model may say.",
    )  # fmt: skip


async def _story(tell: Teller, mesh: MeshData, word: str, ours: bool) -> None:
    opened = await measured(mesh, lambda: HotMesh.init(APP, mesh, workers=[(WORK, work)]))
    hot = opened.value
    async with hot:
        tell.step(f"Opened the app {APP!r}, with a worker for {WORK!r}", opened.ms, str(opened), commands=opened.trips)
        tell.source(SOURCE)
        deployed = await measured(mesh, partial(hot.deploy, MODEL))
        tell.step("Deployed a model, version 1", deployed.ms, str(deployed), commands=deployed.trips)
        tell.source(MODEL, "yaml")
        active = await measured(mesh, partial(hot.activate, "1"))
        tell.step("Activated it", active.ms, str(active), activated=active.value, commands=active.trips)
        tell.note("Every living engine of the app has said that it has made the version ready.")

        done = await measured(mesh, partial(hot.pubsub, TOPIC, {"payload": word}, timeout=10))
        job = done.value
        data = job.data or {}
        tell.step(f"Ran a job of {TOPIC!r}", done.ms, str(done), result=data, commands=done.trips)
        tell.note(f"await hot.pubsub({TOPIC!r}, {{'payload': {word!r}}})")
        tell.say(Text.assemble(("RESPONSE ", "dim"), (str(data.get("response")), "bold cyan")))

        id = str(job.metadata["jid"])
        await _exported(tell, mesh, hot, id)
        kinds = {"g:": "the state: what was mapped, the ledger", "j:": "the job: status, topic", "r:": "the record"}
        await look_inside(tell, mesh, f"{APP}:{id}", kinds, "What Redis holds of it")
        if not ours:
            await hot.scrub(id)
            tell.step("Removed the job", namespace=mesh.namespace)
            tell.note("The app stays deployed, as an app does; its keys are a few.")


async def _exported(tell: Teller, mesh: MeshData, hot: HotMesh, id: str) -> None:
    """The job as one document: how it stands, and each pass of its activities."""
    exported = await measured(mesh, partial(hot.export, id, flow=True))
    told = exported.value
    tell.step("Exported the job", exported.ms, str(exported), **told)
    facts = {"open activities": told["status"], **told["state"]["metadata"]}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, "dim"), Text(str(value), "cyan"))
    tell.say(table)
    tell.note("The passes of its activities, by their addresses:")
    for one in told["transitions"]:
        address, times = one["dimensions"], f"{one['created']} → {one['updated']}"
        tell.say(Text.assemble(("  · ", "dim"), (f"{one['activity']:<6}", "magenta"), f"{address:<8}", (times, "dim")))
