"""Jobs of graphs: commands and time from trigger to end, workers in a row, and what is left in Redis of each."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bench.harness import NAMESPACE, Bench, apart, compared, count_commands, in_tasks
from bench.memory import used
from bench.report import Line
from meshdata import HotMesh, MeshData
from meshdata.hotmesh import StreamData

APP = "bench"
FINISHED_LIMIT = 2048
OPERATIONS = 50


def model(workers: int) -> str:
    """An app with one graph: a trigger, so many workers in a row, a hook that maps what came of it."""
    lines = [
        f"app: {{id: {APP}, version: '{workers}', graphs: [{{",
        "  subscribes: row, publishes: row.over, expire: 3600,",
        "  activities: {",
        "    t: {type: trigger},",
    ]
    for number in range(workers):
        before = "t" if number == 0 else f"w{number - 1}"
        lines.append(
            f"    w{number}: {{type: worker, topic: work, "
            f"input: {{maps: {{x: '{{{before}.output.data.x}}'}}}}, job: {{maps: {{x: '{{$self.output.data.x}}'}}}}}},"
        )
    lines.append(f"    h: {{type: hook, job: {{maps: {{y: '{{w{workers - 1}.output.data.x}}'}}}}}}}},")
    steps = ["t", *(f"w{number}" for number in range(workers)), "h"]
    edges = ", ".join(f"{one}: [{{to: {other}}}]" for one, other in pairwise(steps))
    lines.append(f"  transitions: {{{edges}}} }}]}}")
    return "\n".join(lines)


async def _work(asked: StreamData) -> dict[str, Any]:
    return {"x": asked.data["x"]}


async def graph_jobs(bench: Bench) -> list[Line]:
    """A job with one worker, and one with five, seen by `pubsub`; one process is caller, engine and worker."""
    await apart(bench)
    lines = []
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        hot = await HotMesh.init(APP, mesh, workers=[("work", _work)])
        for workers, limit in ((1, 6), (5, 4 * 5 + 3)):
            await hot.deploy(model(workers))
            await hot.activate(str(workers))

            async def job() -> None:
                await hot.pubsub("row", {"x": 1}, timeout=30)

            await job()

            async def several(job: Any = job) -> None:
                for _ in range(OPERATIONS):
                    await job()

            commands = await count_commands(bench, several)
            found = await compared(mesh, job, trips=1 + 3 * workers, count=bench.size(1000, 100))
            figures = {**commands.figures(OPERATIONS), **found.figures()}
            name = f"graph job, {workers} worker{'s' * (workers > 1)}"
            met = commands.total <= limit * OPERATIONS
            lines.append(Line(name, figures, f"<= {limit} commands outside blocking reads", met))
        lines += await _left_over(bench, hot)
        await hot.stop()
    return lines


async def _left_over(bench: Bench, hot: HotMesh) -> Sequence[Line]:
    """Bytes of a finished job with one worker."""
    await hot.activate("1")
    count = bench.size(5000, 500)

    async def job() -> None:
        await hot.pubsub("row", {"x": 1}, timeout=60)

    seconds, _, _ = await in_tasks(job, tasks=100, count=200)
    before = await used(bench)
    seconds, _, _ = await in_tasks(job, tasks=100, count=count)
    each = (await used(bench) - before) / count
    figures = {"bytes": each, "per_second": count / seconds}
    return [Line("finished graph job, 1 worker", figures, f"<= {FINISHED_LIMIT} bytes", each <= FINISHED_LIMIT)]
