"""`python -m bench [workload ...] [--quick]`: measure, one JSON line each, a table on standard error at the end."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from bench.calls import cached_hit, plain_call
from bench.cpu import cpu_by_process
from bench.graph_jobs import graph_jobs
from bench.graphs import graphs
from bench.harness import Bench, served
from bench.lanes import lane_and_pool
from bench.memory import finished, index_touches
from bench.queries import queries
from bench.records import bulk, single_set
from bench.report import Line, show, summarise
from bench.rivals import rivals
from bench.rpc import kept_answers, remote_calls
from bench.schedules import schedules
from bench.sets import together
from bench.sleepers import asleep
from bench.workflows import at_once, inline_activities

WORKLOADS: dict[str, Callable[[Bench], Awaitable[list[Line]]]] = {
    "cached": cached_hit,
    "plain": plain_call,
    "remote": remote_calls,
    "kept": kept_answers,
    "workflow": inline_activities,
    "at_once": at_once,
    "together": together,
    "lane": lane_and_pool,
    "cpu": cpu_by_process,
    "finished": finished,
    "index": index_touches,
    "bulk": bulk,
    "set": single_set,
    "asleep": asleep,
    "schedules": schedules,
    "queries": queries,
    "graphs": graphs,
    "graph_jobs": graph_jobs,
    "rivals": rivals,
}


async def measure(names: Sequence[str], *, quick: bool) -> list[Line]:
    """Each workload on a fresh server."""
    lines = []
    for name in names:
        async with served(quick=quick) as bench:
            for line in await WORKLOADS[name](bench):
                show(line)
                lines.append(line)
    return lines


def main() -> None:
    """Parse, measure, summarise."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What meshdata costs. See bench/README.md.")
    parser.add_argument("workload", nargs="*", help=f"which: {', '.join(WORKLOADS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations: figures are rougher")
    options = parser.parse_args()
    unknown = [name for name in options.workload if name not in WORKLOADS]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are: {', '.join(WORKLOADS)}")
    summarise(asyncio.run(measure(options.workload or list(WORKLOADS), quick=options.quick)))


if __name__ == "__main__":
    sys.exit(main())
