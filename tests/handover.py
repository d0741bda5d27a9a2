"""How tests take a run away from the mesh that holds it, as a death and a take-over do, without killing a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from meshdata import MeshData
from meshdata.store.messages import Claim
from meshdata.workflow.runner import Run


def resident(meshes: Sequence[MeshData], job: str, *, dimension: str = "0") -> tuple[MeshData, Run] | None:
    """The mesh that holds a run in memory, and the run."""
    for mesh in meshes:
        run = mesh._host.runs.get(f"{dimension} {job}")
        if run is not None:
            return mesh, run
    return None


async def hand_over(mesh: MeshData, run: Run) -> None:
    """Drop a run in the middle of whatever it does and queue it: whoever reads its topic next replays it."""
    mesh._host.forget(run)
    await mesh._store.suspend(run.claim, seen=run.journal.length, how="queued")


async def suspend(mesh: MeshData, run: Run) -> bool:
    """Suspend a run that only waits, as the sweep does; True if it was."""
    await mesh._host.suspend(run)
    return mesh._host.runs.get(run.name) is not run


async def until_resident(
    meshes: Sequence[MeshData], job: str, *, dimension: str = "0", within: float = 10.0
) -> tuple[MeshData, Run]:
    """The mesh that holds a run, as soon as one does."""
    deadline = time.monotonic() + within
    while (found := resident(meshes, job, dimension=dimension)) is None:
        assert time.monotonic() < deadline, f"{job} became resident nowhere within {within} s"
        await asyncio.sleep(0.002)
    return found


async def journal_of(mesh: MeshData, job: str, *, dimension: str = "0") -> list[bytes]:
    """A run's journal as stored; its end, where that is kept in it, is no outcome of a call."""
    entries = await mesh._store.entries(f"{dimension} {job}", 0)
    return [entry for entry in entries if entry.split(b" ", 4)[2] != b"end"]


def positions(journal: Sequence[bytes]) -> list[str]:
    """The position and code of each entry, e.g. "0.1:2 ok"."""
    return [f"{words[1].decode()} {words[3].decode()}" for words in (entry.split(b" ", 4) for entry in journal)]


def count_steps(mesh: MeshData, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs of the steps a mesh writes from now on, one item each."""
    steps: list[str] = []
    write = mesh._store.step_soon

    def counted(claim: Claim, *args: Any, **kwargs: Any) -> None:
        steps.append(claim.run)
        write(claim, *args, **kwargs)

    monkeypatch.setattr(mesh._store, "step_soon", counted)
    return steps
