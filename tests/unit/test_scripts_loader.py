"""Lua files become scripts: heads become locals, parts are joined once, and every mistake in a file is named."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshdata.store import scripts
from meshdata.store.apps import Apps
from meshdata.store.calls import CallScripts
from meshdata.store.graphs import Graphs
from meshdata.store.scripts import ScriptSource
from meshdata.store.statistics import Statistics
from meshdata.store.store import Store

HEAD = "-- verb: does it.\n-- KEYS\n--   base  prefix  the partition's\n"
Folder = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """A folder of Lua files in place of ours; called with names and texts, it writes them."""
    (tmp_path / "lua" / "lib").mkdir(parents=True)
    monkeypatch.setattr(scripts, "files", lambda package: tmp_path)
    scripts.load.cache_clear()

    def write(**texts: str) -> None:
        for name, text in texts.items():
            kind, _, stem = name.partition("_")
            (tmp_path / "lua" / ("lib" if kind == "lib" else "") / f"{stem if kind == 'lib' else name}.lua").write_text(
                text
            )

    yield write
    scripts.load.cache_clear()


def code(name: str) -> str:
    """A script's source without its comments."""
    lines = scripts.load(name).source.splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("--"))


# --- the head ---------------------------------------------------------------------------------------------------------


def test_the_head_becomes_locals_in_order(folder: Folder) -> None:
    folder(verb=HEAD + "-- ARGV\n--   now_ms  ms  the time\n--   job  text  a name\n-- RETURNS { x }\nreturn { job }\n")
    assert code("verb") == "local base = KEYS[1]\nlocal now_ms, job = ARGV[1], ARGV[2]\nreturn { job }"
    assert scripts.load("verb").arguments == ("now_ms", "job")


def test_dots_stand_for_whatever_follows(folder: Folder) -> None:
    folder(verb=HEAD + "-- ARGV\n--   job  text  a name\n--   ...  the rest\n-- COST  O(1)\n")
    assert code("verb") == "local base = KEYS[1]\nlocal job = ARGV[1]"


def test_what_a_line_says_may_go_on_in_the_next(folder: Folder) -> None:
    folder(
        verb=HEAD + "-- ARGV\n--   job  text  a name that\n--              takes two lines\n--   more  text  another\n"
    )
    assert scripts.load("verb").arguments == ("job", "more")


def test_words_and_rules_of_later_sections_are_no_arguments(folder: Folder) -> None:
    folder(
        verb=HEAD + "-- ARGV\n--   job  text  a name\n-- RETURNS { word }\n--   OK  done\n-- HOLDS\n--   (1) it holds\n"
    )
    assert scripts.load("verb").arguments == ("job",)


def test_a_head_without_keys_is_refused(folder: Folder) -> None:
    folder(verb="-- verb: does it.\nreturn 1\n")
    with pytest.raises(ScriptSource, match=r"lua/verb\.lua: the head names no KEYS"):
        scripts.load("verb")


def test_a_verb_without_a_file_is_named(folder: Folder) -> None:
    with pytest.raises(ScriptSource, match=r"lua/none\.lua does not exist"):
        scripts.load("none")


# --- parts ------------------------------------------------------------------------------------------------------------


def test_a_part_stands_after_what_it_includes_and_before_what_includes_it(folder: Folder) -> None:
    folder(verb=HEAD + "--- @include b\nuse(b)\n", lib_b="--- @include a\nlocal b = a\n", lib_a="local a = 1\n")
    assert code("verb").splitlines() == ["local base = KEYS[1]", "local a = 1", "local b = a", "use(b)"]


def test_a_part_included_twice_stands_there_once(folder: Folder) -> None:
    folder(
        verb=HEAD + "--- @include b\n--- @include a\n--- @include b\nuse(a, b)\n",
        lib_b="--- @include a\nlocal b = a\n",
        lib_a="local a = 1\n",
    )
    assert code("verb").count("local a = 1") == code("verb").count("local b = a") == 1


def test_a_missing_part_is_named(folder: Folder) -> None:
    folder(verb=HEAD + "--- @include none\n")
    with pytest.raises(ScriptSource, match=r"lua/lib/none\.lua does not exist"):
        scripts.load("verb")


def test_a_circle_is_named_with_its_members(folder: Folder) -> None:
    folder(verb=HEAD + "--- @include a\n", lib_a="--- @include b\n", lib_b="--- @include a\n")
    with pytest.raises(ScriptSource, match=r"lua/lib/b\.lua includes a, which includes itself: a > b > a"):
        scripts.load("verb")


def test_a_lazy_part_is_kept_for_when_it_is_used(folder: Folder) -> None:
    folder(
        verb=HEAD + "--- @include fx\n--- @lazy late\nreturn fx.late()\n",
        lib_fx="local fx = {}\n",
        lib_late="--- @include fx\nfunction fx.late() return 1 end\n",
    )
    source = code("verb")
    assert source.count("local fx = {}") == 1, "what stands there already is not defined again"
    assert source.index("__index") < source.index("function fx.late") < source.index("return fx.late()")


def test_the_digest_is_that_of_the_source_the_server_is_sent(folder: Folder) -> None:
    folder(verb=HEAD + "return 1\n")
    assert re.fullmatch(r"[0-9a-f]{40}", scripts.load("verb").sha)
    before = scripts.load("verb").sha
    scripts.load.cache_clear()
    folder(verb=HEAD + "return 2\n")
    assert scripts.load("verb").sha != before


# --- our own files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", scripts.names())
def test_each_script_takes_the_time_and_its_partition_first(name: str) -> None:
    assert scripts.load(name).arguments[:2] == ("now_ms", "here")


@pytest.mark.parametrize("name", scripts.names())
def test_each_head_says_what_is_promised(name: str) -> None:
    head = scripts._read(f"{name}.lua")
    assert head.startswith(f"-- {name}: ")
    for section in ("KEYS", "ARGV", "RETURNS", "COST"):
        assert f"\n-- {section}" in head, f"{name}.lua lacks {section}"


OF_A_PART = {"graph": Graphs, "app": Apps, "stat": Statistics}
"""Parts of the store with methods of their own, by what the names of their scripts begin with."""


def test_every_script_is_called_by_the_store_and_every_call_has_a_script() -> None:
    bases = [base for base in Store.__mro__ if base.__module__.startswith("meshdata.")]
    source = "".join(inspect.getsource(base) for base in [*bases, *OF_A_PART.values(), CallScripts])
    called = set(re.findall(r'_(?:script|soon)\(\s*"(\w+)"', source))
    assert called == set(scripts.names())


SAME_AS_METHOD = {"start": "start_job", "interrupt_job": "interrupt", "flush_job": "flush", "relayed": "relay"}


OF_CALLS = {
    "answer": "answer", "ask": "ask", "awaited": "awaited", "call": "call_again", "flush_tag": "flush_tag",
    "forget": "forget", "kept": "kept_soon", "overdue": "is_overdue", "withdraw": "withdraw",
}  # fmt: skip


@pytest.mark.parametrize("name", scripts.names())
def test_each_script_has_a_method_of_the_store(name: str) -> None:
    part, _, method = name.partition("_")
    if part in OF_A_PART:
        assert callable(getattr(OF_A_PART[part], method))
    elif name in OF_CALLS:
        assert callable(getattr(CallScripts, OF_CALLS[name]))
    else:
        assert callable(getattr(Store, SAME_AS_METHOD.get(name, name)))


def test_every_part_is_included_somewhere() -> None:
    folder = Path(scripts.__file__).parent / "lua"
    everything = "".join(path.read_text() for path in folder.rglob("*.lua"))
    for part in (folder / "lib").glob("*.lua"):
        assert re.search(rf"^--- @(include|lazy) {part.stem}$", everything, re.MULTILINE), (
            f"lib/{part.name} is not used"
        )
