"""The programs of the guides that are whole programs run, and do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.test_readme import ROOT, plain_environment

GUIDES = ROOT / "docs" / "guides"


def program(guide: str) -> str:
    """The Python of a guide, one block after another."""
    text = (GUIDES / f"{guide}.md").read_text("utf-8")
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


def ran(code: str, folder: Path) -> str:
    path = folder / "program.py"
    path.write_text(code, "utf-8")
    command = [sys.executable, "-W", "error", path]
    done = subprocess.run(command, cwd=ROOT, env=plain_environment(), capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_verbs_do_what_their_guide_says(tmp_path: Path) -> None:
    said = ran(program("workflows"), tmp_path)
    for part in (
        "'receipt for ann: 9.5'",
        "'too late', True",
        "'key': 'discard d1'",
        "'ValueError', 'part-7 is there'",
    ):
        assert part in said


def test_the_limits_of_the_guide_hold(tmp_path: Path) -> None:
    assert ran(program("limits"), tmp_path) == "20 {'ann': 2, 'bob': 2}\n"


def test_the_control_plane_shows_and_holds_what_its_guide_says(tmp_path: Path) -> None:
    assert ran(program("control-plane"), tmp_path).splitlines() == [
        "mailer ('mail',) {200: 1} {'mail': 0}", "{'mail': -1} {'mail': 1}", "sent to bob",
    ]  # fmt: skip


def test_the_patches_of_the_guide_go_with_runs_of_all_ages(tmp_path: Path) -> None:
    code = program("versioning") + RECORD
    assert ran(code, tmp_path).splitlines() == [
        "charged o", "charged o once", "completed charged o once ()", "completed charged o ()", "it differs",
    ]  # fmt: skip


QUIET = "import logging; logging.disable(logging.WARNING)\n"  # that the fake server has no search
RECORD = """
import asyncio
import tempfile

from meshdata import MeshData
from meshdata.errors import ReplayError


async def before(order: str) -> str:
    return await charge(order)


async def record(folder: Path) -> None:
    async with MeshData("embedded://", namespace="versions") as mesh:
        for name, fn in (("before", before), ("after", checkout)):
            await mesh.connect(name, fn)
            print(await mesh.exec(entity=name, args=["o"], id="o", ttl="1 minute"))
            (folder / f"{len(name)}{name}.json").write_text((await mesh.export(name, "o")).to_json())


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(record(Path(folder)))
    for name in ("5after", "6before"):
        reached = replay(f"{folder}/{name}.json", checkout)
        print(reached.status, reached.result, reached.waiting_for)
    try:
        replay(f"{folder}/6before.json", checkout_without_the_old_way)
    except ReplayError:
        print("it differs")
"""


def test_calls_are_answered_and_kept_as_their_guide_says(tmp_path: Path) -> None:
    assert ran(program("calls"), tmp_path).splitlines() == [
        "19.0", "19.0", "shop.stock is served by nobody", "1 run for a hundred callers", "2 runs", "True False",
        "LookupError no unicorn", "LookupError no unicorn",
    ]  # fmt: skip


@pytest.mark.parametrize("guide", sorted(path.stem for path in GUIDES.glob("*.md")))
def test_links_between_guides_lead_somewhere(guide: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (GUIDES / f"{guide}.md").read_text("utf-8"))
    assert [link for link in links if not (GUIDES / link).exists()] == []


def test_a_month_of_nights_goes_by_as_the_guide_to_schedules_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / "schedules.md").read_text("utf-8"), re.DOTALL)
    assert [line.split(" ")[0] for line in ran(QUIET + blocks[-1], tmp_path).splitlines()] == [
        "31", "nightly@2026-03-28T01:30:00Z", "nightly@2026-03-29T01:00:00Z", "nightly@2026-03-30T00:30:00Z",
    ]  # fmt: skip


def test_the_app_of_the_guide_to_rest_answers_as_it_says(tmp_path: Path) -> None:
    text = (GUIDES / "rest.md").read_text("utf-8")
    said = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert [ran(program("rest"), tmp_path)] == said


def test_a_class_does_what_its_guide_says(tmp_path: Path) -> None:
    assert ran(program("classes"), tmp_path).splitlines() == [
        "o1 paid 28.5, in a box",
        "completed 0",
        "o1 0 depleted",
        "[{'status': 'depleted', 'n': 1, 'left': 0}]",
    ]


def test_graphs_are_carried_out_as_their_guide_says(tmp_path: Path) -> None:
    assert ran(program("hotmesh"), tmp_path).splitlines() == [
        "o-1 {'receipt': '12 paid', 'approved_by': 'ann'} status 0"
    ]
