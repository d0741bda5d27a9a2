"""What the types promise: mypy and pyright, both strict, find the wrong uses in `tests/typing` and no others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "typing" / "wrong.py"


def mypy() -> set[int]:
    """The lines mypy refuses."""
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(CASES)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    found = [re.match(r"(.+?):(\d+): error: ", line) for line in ran.stdout.splitlines()]
    assert all(one is None or Path(one[1]).name == CASES.name for one in found), ran.stdout
    return {int(one[2]) for one in found if one}


def pyright() -> set[int]:
    """The lines pyright refuses; the wheel of basedpyright carries it, with what runs it."""
    ran = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--project", str(CASES.parent)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    told = json.loads(ran.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in told if one["severity"] == "error"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_checker_refuses_what_is_wrong_and_nothing_else(checker: Callable[[], set[int]]) -> None:
    lines = CASES.read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    found = checker()
    assert sorted(found - wrong) == [], [lines[number - 1] for number in found - wrong]
    assert sorted(wrong - found) == [], [lines[number - 1] for number in wrong - found]
