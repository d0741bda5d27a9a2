"""What the README shows is true: its programs run and print what it says, its commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshdata.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")

# A program, and what it prints where the next block says so.
PROGRAMS = [
    pytest.param(found["code"], found["output"], id=f"line {README.count(chr(10), 0, found.start()) + 1}")
    for found in re.finditer(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```)?", README, re.DOTALL)
]
COMMANDS = sorted(set(re.findall(r"^meshdata ([a-z]+)", README, re.MULTILINE)))


def test_the_readme_shows_programs_and_commands() -> None:
    assert len(PROGRAMS) >= 4
    assert {"serve", "exec", "show", "doctor"} <= set(COMMANDS)


@pytest.mark.parametrize(("code", "output"), PROGRAMS)
def test_a_program_of_the_readme_prints_what_it_says(code: str, output: str | None, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(code, "utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", program],
        cwd=ROOT,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    if output is not None:
        assert ran.stdout == output


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_exists(command: str) -> None:
    told = CliRunner().invoke(app, [command, "--help"])
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))))
def test_a_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_a_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def plain_environment() -> dict[str, str]:
    """This process's environment without settings of ours, and with the package in sight from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHDATA_")}
    return kept | {"PYTHONPATH": str(ROOT)}
