"""The demonstrations of MeshCall, MeshFlow and HotMesh as a shell sees them; that of MeshData is in test_cli.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", "-c", "from meshdata.cli import main; main()", "demo"]

Demo = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def demo() -> Iterator[Demo]:
    """Runs one without any settings; fails if it leaves a file behind (the embedded Redis has its folder there)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHDATA_")}
    with tempfile.TemporaryDirectory(prefix="m") as folder:  # a short name: the path of a Unix socket has little room
        environment = kept | {"PYTHONPATH": str(ROOT), "TMPDIR": folder, "COLUMNS": "160"}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*COMMAND, *words], env=environment, capture_output=True, text=True, timeout=50)

        yield run
        assert list(Path(folder).iterdir()) == []


def told(ran: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (ran.returncode, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["meshcall"],
            ["'Welcome, CoolMesh.'", "called 1 × for CoolMesh", "called 1 × for CachedMesh", "1 command: EVALSHA",
             "e:my.function:mycached123", "by this process or a hundred others: False", "3 ×, each slot once"],
        ),
        (
            ["meshflow"],
            ["status queued", "'¡Hola, HotMesh!'", "activity  saludar", "sleep", "l:workflow:default-"],
        ),
        (["hotmesh", "bye"], ["version: '1'", "RESPONSE bye world", "open activities  0", "w1    ,0,0", "g:hotmesh:"]),
    ],
    ids=["meshcall", "meshflow", "hotmesh"],
)  # fmt: skip
def test_a_demonstration_tells_its_story_on_a_redis_of_its_own(demo: Demo, words: list[str], parts: list[str]) -> None:
    ran = demo(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [part for part in parts if part not in ran.stdout] == [], ran.stdout
    assert "Stopped everything this started, the Redis too" in ran.stdout
    assert "\x1b[" not in ran.stdout, "colours belong on a terminal"


def test_calls_as_json_tell_what_each_step_cost(demo: Demo) -> None:
    lines = told(demo("meshcall", "--json"))
    calls = [line for line in lines if "word" in line]
    assert [line["result"] for line in calls] == ["Welcome, CoolMesh."] + ["Welcome, CachedMesh."] * 4
    assert [line["commands"] for line in calls[2:]] == [{"EVALSHA": 1}] * 3
    assert [line["names"] for line in lines if "names" in line] == [["CoolMesh"], ["CachedMesh"]]
    (schedule,) = [line for line in lines if "again" in line]
    assert (schedule["new"], schedule["again"]) == (True, False)


def test_a_workflow_as_json_tells_its_calls(demo: Demo) -> None:
    lines = told(demo("meshflow", "--json"))
    (spans,) = [line["spans"] for line in lines if "spans" in line]
    assert [span["kind"] for span in spans] == ["workflow", "trace", "sleep", "activity"]
    (begun,) = [line for line in lines if line.get("status") == "queued"]
    assert begun["commands"] == {"EVALSHA": 1}


@pytest.mark.parametrize("word", ["hello", "", "[bold]", "{a.b}", "'", "Zoë→"])
def test_a_graph_is_given_any_word(demo: Demo, word: str) -> None:
    lines = told(demo("hotmesh", word, "--json"))
    assert {"response": f"{word} world"} in [line.get("result") for line in lines]
    (exported,) = [line for line in lines if "transitions" in line]
    assert [one["activity"] for one in exported["transitions"]] == ["t1", "w1"] and exported["status"] == 0
    (active,) = [line for line in lines if "activated" in line]
    assert active["activated"] is True


@pytest.mark.parametrize("words", [["meshcall"], ["meshflow"], ["hotmesh"]], ids=lambda words: str(words[0]))
def test_on_a_redis_that_is_given_it_can_be_told_again_and_leaves_nothing_of_its_jobs(
    demo: Demo, redis_url: str, namespace: str, redis_client: redis.Redis, words: list[str]
) -> None:
    for _ in range(2):
        lines = told(demo(*words, "--url", redis_url, "--namespace", namespace, "--json"))
        assert lines[-1]["title"] == "Stopped the worker"
    base = f"mesh:{{{namespace}}}:"
    left = {
        key.decode().removeprefix(base)
        for key in redis_client.scan_iter(f"{base}*")
        if redis_client.pttl(key) == -1  # what goes by itself soon is no remains
    }
    assert left - {"app:hotmesh"} == {"meta"}


@pytest.mark.parametrize("words", [["meshcall"], ["meshflow"], ["hotmesh"]], ids=lambda words: str(words[0]))
def test_without_a_redis_it_says_so(demo: Demo, words: list[str]) -> None:
    ran = demo(*words, "--url", "unix:///nowhere.sock")
    assert ran.returncode == 4 and "Traceback" not in ran.stderr
