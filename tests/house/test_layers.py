"""Imports point downwards, rules are pure, only the store speaks Redis: the contracts of pyproject.toml as a test."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in CONFIG["contracts"]}

# A contract may only name modules that exist, so its list grows with the house; these say what belongs in it then.
PURE = [
    "engine.job",
    "engine.policy",
    "graph.ledger",
    "graph.pipes",
    "graph.transition",
    "search.query",
    "search.schema",
    "store.codec",
    "store.keys",
    "workflow.journal",
]
INNER = ["store.lane", "store.redis", "store.scripts"]


def existing(names: list[str]) -> set[str]:
    paths = {name: ROOT / "meshdata" / name.replace(".", "/") for name in names}
    return {f"meshdata.{name}" for name, path in paths.items() if path.with_suffix(".py").exists() or path.is_dir()}


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter: what has been imported here would hide what it imports."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)


def test_every_import_contract_is_kept() -> None:
    done = run("from importlinter import cli; raise SystemExit(cli.lint_imports(no_cache=True, no_logo=True))")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("contract", "key", "names"),
    [
        ("Rules are pure", "source_modules", PURE),
        ("The floors above know the store by its protocol", "protected_modules", INNER),
    ],
)
def test_a_contract_names_every_module_it_is_about(contract: str, key: str, names: list[str]) -> None:
    assert existing(names) <= set(CONTRACTS[contract][key])


def test_importing_the_library_adds_no_log_handler_and_prints_nothing() -> None:
    handlers = "logging.root.handlers + logging.getLogger('meshdata').handlers"
    done = run(f"import logging; from meshdata import *; assert not {handlers}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_the_library_imports_neither_its_command_line_nor_its_test_server() -> None:
    done = run("import sys; from meshdata import *; assert not {'typer', 'rich', 'fakeredis'} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


def test_importing_the_library_imports_none_of_what_only_some_of_it_needs() -> None:
    program = "import sys; from meshdata import *; import meshdata.search; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    unwanted = {"pyarrow", "polars", "pandas", "numpy", "rich", "typer", "starlette", "fakeredis"}
    assert unwanted.isdisjoint(ran.stdout.split())


def test_importing_the_mesh_imports_neither_redis_nor_what_asks_the_search_module_nor_what_tells_stories() -> None:
    done = run("import sys; from meshdata import MeshData, activity, workflow; print(*sorted(sys.modules))")
    assert (done.returncode, done.stderr) == (0, "")
    unwanted = {"redis", "redis.cluster", "meshdata.store.embedded", "meshdata.store.fake", "meshdata.graph"}
    unwanted |= {f"meshdata.search.{name}" for name in ("aggregate", "find", "index", "merge", "verify", "watch")}
    unwanted |= {"meshdata.workflow.export", "meshdata.testing", "meshdata.meshos", "meshdata.meshflow"}
    assert unwanted.isdisjoint(done.stdout.split())


def test_every_name_of_search_can_be_had_and_no_other() -> None:
    done = run("from meshdata.search import *; from meshdata import search; assert {*search.__all__} <= {*globals()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert run("from meshdata import search; search.nothing").stderr.endswith("has no attribute 'nothing'\n")


def test_a_name_of_the_library_is_imported_when_it_is_asked_for() -> None:
    program = """if True:
        import sys, meshdata
        print({"redis", "pydantic", "asyncio"} & set(sys.modules))
        meshdata.MeshData, meshdata.workflow.sleep_for
    """
    done = run(program)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "set()", "")
    assert run("import meshdata; meshdata.nothing").stderr.endswith("module 'meshdata' has no attribute 'nothing'\n")
