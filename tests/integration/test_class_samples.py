"""The classes of `examples/service/samples`: each gives the answer it is known for, any number of them at once."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meshdata import MeshData

FOLDER = Path(__file__).parents[2] / "examples" / "service"
ANSWERS = {
    "howdy": "Hello world!",
    "family": "Hi, Activity world! - Hi, Workflow world!",
    "sleepy": "Hi, Sleepy world!",
    "signal": {"name": "fred"},
    "retry": "Hello Retry janice!",
    "inventory": {"quantity": 0, "status": "depleted"},
}


@pytest.fixture
def sample(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module(f"samples.{request.param}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "samples"]:
        del sys.modules[name]


@pytest.mark.parametrize(("sample", "answer"), ANSWERS.items(), indirect=["sample"], ids=list(ANSWERS))
async def test_a_sample_answers_as_it_always_did(sample: ModuleType, answer: Any, mesh: MeshData) -> None:
    assert await asyncio.gather(*(sample.run(mesh) for _ in range(3))) == [answer] * 3


@pytest.mark.parametrize("sample", ["loopy"], indirect=True)
async def test_the_sample_of_a_loop_draws_other_numbers_in_each_cycle(sample: ModuleType, mesh: MeshData) -> None:
    said = [line.split() for line in await sample.run(mesh)]
    assert [line[:3] for line in said] == [["loopy", "cycle", str(number)] for number in range(1, 6)]
    assert len({float(line[3]) for line in said}) == 5


def test_every_sample_is_tried() -> None:
    assert {path.stem for path in FOLDER.glob("samples/*.py")} == {*ANSWERS, "loopy", "__init__"}
