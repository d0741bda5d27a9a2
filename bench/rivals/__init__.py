"""Calls and kept answers beside other libraries, on the same Redis, by turns: each in a process of its own.

A library runs in this environment where it is installed, else in `.rivals/<library>`, which `make rivals` makes: arq
needs an older redis-py than we do.
"""

import asyncio
import importlib.util
import json
import os
import socket
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from bench.harness import Bench
from bench.report import Line

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("program.py")
LIBRARIES = ("meshdata", "arq", "taskiq", "cashews")
NEEDS = {"taskiq": "taskiq_redis"}
ROUNDS = 3
LEVEL = 1.1
"""So much slower still counts as level: two turns of one library differ by more."""

Figures = dict[str, float]


async def rivals(bench: Bench) -> list[Line]:
    """Medians of three turns."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    await bench.redis.config_set("port", port)  # not every library knows unix sockets
    url = f"redis://127.0.0.1:{port}/0"
    turns: dict[str, list[Figures]] = defaultdict(list)
    known = {library: python for library in LIBRARIES if (python := _python_of(library))}
    for _ in range(ROUNDS):
        for library, python in known.items():
            turns[library].append(await _turn(python, library, url, bench.size(3_000, 500)))
    medians = {
        library: {name: statistics.median(turn[name] for turn in found) for name in found[0]}
        for library, found in turns.items()
    }
    ours = medians["meshdata"]
    return [_line(library, figures, ours) for library, figures in medians.items()]


def _python_of(library: str) -> str:
    if importlib.util.find_spec(NEEDS.get(library, library)) is not None:
        return sys.executable
    python = ROOT / ".rivals" / library / "bin" / "python"
    if not python.exists():
        print(f"{library} is not installed; `make rivals` does that", file=sys.stderr)
        return ""
    return str(python)


async def _turn(python: str, library: str, url: str, count: int) -> Figures:
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if python == sys.executable else ""}
    process = await asyncio.create_subprocess_exec(
        python, str(PROGRAM), library, url, str(count), stdout=asyncio.subprocess.PIPE, env=environment
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{library} failed")
    figures: Figures = json.loads(said)
    return figures


def _line(library: str, figures: Figures, ours: Figures) -> Line:
    if library == "meshdata":
        return Line("rivals: meshdata", dict(figures))
    behind = []
    for name, theirs in figures.items():
        slower = ours[name] / theirs if name.endswith("_us") else theirs / ours[name]
        if slower > (LEVEL if name == "kept_us" else 1.0):
            behind.append(name)
    target = "ahead of it on calls, level or ahead on kept answers"
    return Line(f"rivals: {library}", {**figures, "behind_on": behind}, target, not behind)
