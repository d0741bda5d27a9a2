"""What was recorded, by this version and those before, still replays: offline, with the functions of `programs.py`."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meshdata import activity, workflow
from meshdata.cli import app
from meshdata.errors import InvalidOptions, MeshTimeout, ReplayError
from meshdata.testing import Replayed, replay
from meshdata.workflow.export import JobExport
from tests.replay import programs

FOLDER = Path(__file__).parent / "recorded"
FILES = sorted(FOLDER.glob("*.json"))
MODELS: dict[str, type[Any]] = {"account": programs.Account}


def recorded(name: str) -> JobExport:
    return JobExport.from_json((FOLDER / f"{name}.json").read_text())


def replayed(name: str, fn: Callable[..., Any] | None = None, **options: Any) -> Replayed:
    return replay(FOLDER / f"{name}.json", fn or getattr(programs, name), **options)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_recorded_run_comes_as_far_as_it_came(file: Path) -> None:
    export = JobExport.from_json(file.read_text())
    entity = export.entity
    found = replay(file, getattr(programs, entity), model=MODELS.get(entity))
    assert export.state is not None
    if export.state["data"]["done"] and "$error" not in export.state["data"]:
        assert (found.status, found.result) == ("completed", export.state["data"]["response"])
    elif export.state["data"]["done"]:
        assert found.status == "failed"
        assert type(found.error).__name__ == export.state["data"]["$error"]["type"]
    else:
        assert found.status == "waiting" and found.waiting_for


def test_no_activity_runs_and_nothing_is_written_on_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "attempts", 7)
    assert replayed("order").status == "completed"
    assert programs.attempts == 7


def test_a_run_that_waited_is_told_where_it_waits() -> None:
    found = replayed("patient")
    assert found.status == "waiting"
    [signal, nap] = found.waiting_for
    assert signal.startswith("wait q at 0:1, ") and signal.endswith("in patient")
    assert nap.startswith("sleep at 0.1:1, ") and "programs.py:" in nap and nap.endswith("in _nap")


def test_a_hook_is_replayed_by_its_dimension() -> None:
    found = replayed("account", programs.top_up, dimension=1, model=programs.Account)
    assert (found.status, found.result) == ("completed", 5)
    with pytest.raises(InvalidOptions, match="there are: 0, 1"):
        replayed("account", programs.top_up, dimension=2)


def test_an_entity_brings_its_models() -> None:
    mesh = programs.mesh()
    entity = mesh.connect("account", programs.account)
    assert replay(recorded("account"), entity).result == 15


async def test_in_a_coroutine_it_may_be_awaited() -> None:
    assert (await replay(recorded("failing"), programs.failing)).status == "failed"
    assert replay(json.loads(recorded("failing").to_json()), programs.failing).status == "failed"


# --- code that does not fit -------------------------------------------------------------------------------------------


@activity
async def triple(n: int) -> int:
    return n * 3


async def other_activity(n: int) -> Any:
    workflow.uuid()
    workflow.random()
    return await asyncio.gather(triple(n), programs.double(0))


async def too_short(n: int) -> None:
    await asyncio.sleep(0)


async def too_long(key: str) -> None:
    await workflow.wait_for(key)
    workflow.patched("way")
    await programs.double(3)
    await workflow.sleep_for("1 day")


async def breaks(key: str) -> None:
    await workflow.wait_for(key)
    workflow.patched("way")
    await programs.double(3)
    raise ValueError("new")


@pytest.mark.parametrize(
    ("name", "fn", "expected", "found"),
    [
        ("order", other_activity, "activity double", "activity triple"),
        ("order", too_short, "activity double", "its end"),
        ("patched", too_long, "the run's end", "sleep"),
        ("patched", breaks, "the run's end", "its failure by ValueError: new"),
    ],
)
def test_code_that_takes_another_way_is_told_with_its_line(
    name: str, fn: Callable[..., Any], expected: str, found: str
) -> None:
    with pytest.raises(ReplayError) as caught:
        replayed(name, fn)
    assert (caught.value.expected, caught.value.found) == (expected, found)
    if found.startswith(("activity", "sleep")):
        assert "test_recorded.py:" in caught.value.where and fn.__name__ in caught.value.where


def test_a_function_that_begins_anew_is_told_so() -> None:
    async def anew(n: int) -> None:
        workflow.continue_as_new(n + 1)

    found = replay(_only_started("order"), anew)
    assert (found.status, found.error) == ("renewed", None)


def test_a_patch_keeps_what_waits_beyond_it() -> None:
    """`patient` was recorded before its patch: without the record of what it waited for, it would take the new way."""
    export = recorded("patient")
    assert export.journal is not None
    assert replay(export, programs.patient).waiting_for[0].startswith("wait q")
    export.journal[0].waits = []
    assert replay(export, programs.patient).waiting_for[0].startswith("activity double")


def test_what_is_no_recorded_run_is_refused(tmp_path: Path) -> None:
    for source in (tmp_path / "none.json", tmp_path, {"format": 1}, json.dumps([1])):
        with pytest.raises(InvalidOptions):
            replay(source, programs.order)  # type: ignore[arg-type]
    without = recorded("order").model_copy(update={"journal": None})
    with pytest.raises(InvalidOptions, match="without its journal"):
        replay(without, programs.order)


def test_input_and_output_of_its_own_has_its_time() -> None:
    async def waits_forever(n: int) -> None:
        await asyncio.Event().wait()

    async def sleeps(n: int) -> None:
        await asyncio.sleep(3600)

    assert replay(_only_started("order"), waits_forever).status == "waiting"
    with pytest.raises(MeshTimeout, match="input and output of its own"):
        replay(_only_started("order"), sleeps, timeout="50 ms")


def _only_started(name: str) -> JobExport:
    export = recorded(name)
    assert export.journal is not None
    export.journal[0].entries = export.journal[0].entries[:1]
    export.journal[0].status = "running"
    return export


# --- meshdata check ---------------------------------------------------------------------------------------------------


def checked(*words: str) -> tuple[int, Any]:
    ran = CliRunner().invoke(app, ["check", *words, "--json"])
    text = ran.stdout if ran.exit_code in (0, 1) else ran.stderr
    return ran.exit_code, json.loads(text)


@pytest.mark.parametrize("target", ["tests.replay.programs:mesh", "tests.replay.programs"])
def test_check_replays_a_folder(target: str) -> None:
    code, verdicts = checked(target, "--against", str(FOLDER))
    assert code == 0
    assert "account.top_up (hook 1)" in [one["function"] for one in verdicts]
    assert len(verdicts) == len(FILES) + 1


def test_check_tells_what_does_not_fit(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "order.json", tmp_path)
    code, [verdict] = checked("tests.replay.changed", "--against", str(tmp_path))
    assert (code, verdict["verdict"]) == (1, "differs")
    assert "changed.py:" in verdict["what"]
    (tmp_path / "bad.json").write_text("{}")
    code, [first, _] = checked("tests.replay.programs:order", "--against", str(tmp_path))
    assert (code, first["verdict"]) == (1, "unknown")
    printed = CliRunner().invoke(app, ["check", "tests.replay.changed", "--against", str(tmp_path)])
    assert "0 of 2 recorded runs fit" in printed.stdout


def test_check_needs_code_and_recorded_runs(tmp_path: Path) -> None:
    assert checked("tests.replay.programs", "--against", str(tmp_path))[0] == 2
    assert checked("tests.replay.none", "--against", str(FOLDER))[0] == 2
    assert checked("tests.replay.programs:none", "--against", str(FOLDER))[0] == 2
    assert checked("tests.replay.programs:attempts", "--against", str(FOLDER))[0] == 2
