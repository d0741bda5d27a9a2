"""`meshdata api` as a shell sees it: a process that serves, and stops when it is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from meshdata.api.serving import listening
from meshdata.errors import InvalidOptions

from .conftest import TOKEN

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", "-c", "from meshdata.cli import main; main()", "api", "--json"]
SHOP = """
from meshdata import MeshData

async def greet(name: str) -> str:
    return f"Hello, {name}!"

mesh = MeshData()
mesh.connect("greet", greet)
"""


@pytest.fixture
def environment(redis_url: str, namespace: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "shop.py").write_text(SHOP)
    return os.environ | {"PYTHONPATH": str(ROOT), "MESHDATA_URL": redis_url, "MESHDATA_NAMESPACE": namespace}


@pytest.fixture
def serving(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, "shop:mesh", "--port", "0", "--writes"],
        cwd=tmp_path, env=environment | {"MESHDATA_API_TOKEN": TOKEN}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(serving: subprocess.Popen[str], number: signal.Signals) -> None:
    assert serving.stdout is not None
    told = json.loads(serving.stdout.readline())
    assert told["writes"] is True
    with httpx.Client(base_url=told["serving"], headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        asked = {"data": {"entity": "greet", "args": ["Ada"]}}
        assert client.post("/rpc/exec", json=asked).json() == {"data": "Hello, Ada!"}
        assert httpx.get(f"{told['serving']}/entities").status_code == 401
    serving.send_signal(number)
    out, errors = serving.communicate(timeout=20)
    assert (serving.returncode, out, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--host", "0.0.0.0"], 2, "give a token"),
        (["--token", "short"], 2, "16 characters"),
        (["--host", "203.0.113.7", "--token", TOKEN], 2, "cannot listen"),
        (["nowhere:mesh"], 2, "no module"),
        (["--url", "unix:///nowhere.sock", "--port", "0"], 4, "nowhere.sock"),
    ],
)
def test_what_cannot_be_served_is_told_by_its_exit_code(
    environment: dict[str, str], tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    done = subprocess.run([*COMMAND, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert says in json.loads(done.stderr.splitlines()[-1])["error"]["message"]


def test_a_port_that_is_taken_is_told() -> None:
    with listening("127.0.0.1", 0) as first:
        taken = first.getsockname()[1]
        with pytest.raises(InvalidOptions, match="cannot listen") as caught, listening("127.0.0.1", taken):
            pass
    assert caught.value.argument == "port"


def test_the_library_does_without_the_extra_and_the_command_says_what_is_missing() -> None:
    hide = "import sys; sys.modules['starlette'] = None; sys.modules['uvicorn'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", hide + "import meshdata.cli, meshdata.mesh; meshdata.cli.app(['api'])"],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2 and 'pip install "meshdata[api]"' in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", hide + "import meshdata.api"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert 'install the extra: pip install "meshdata[api]"' in done.stderr
