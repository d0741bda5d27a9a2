"""The command line as a shell sees it: output, exit codes, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from meshdata import MeshData
from meshdata.cli import app
from meshdata.cli.output import exit_code
from meshdata.errors import EntityNotFound, InvalidOptions, JobFailed, JobNotFound, StoreUnavailable

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", "-m", "meshdata"]

SHOP = """
from typing import Annotated

from meshdata import MeshData, workflow
from meshdata.search import Numeric, Record, Tag


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    age: Annotated[int | None, Numeric(sortable=True)] = None


async def user(name: str, age: int) -> dict[str, object]:
    if age < 0:
        raise ValueError("too young")
    await workflow.state.set(age=age)
    return {"name": name, "age": age}


async def bill(plan: str) -> str:
    await workflow.state.set(plan=plan)
    return f"billed for {plan}"


async def patient(key: str) -> object:
    return await workflow.wait_for(key)


mesh = MeshData()
mesh.connect("user", user, model=User).hook("bill")(bill)
mesh.connect("patient", patient)
number = 3
"""


def environment(temporary: Path, **settings: str) -> dict[str, str]:
    """A shell's environment: no settings but these, and temporary files where the test can see what is left of them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHDATA_")}
    return kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)} | settings


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `holds` says once it says yes."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
    return found


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that name a folder; an embedded server and its keeper do."""
    if Path("/proc/self/cmdline").exists():
        lines = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(place.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:  # it ended while we looked
                continue
    else:
        lines = subprocess.run(
            ["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    return [line for line in lines if str(folder) in line]


def nothing_is_left(folder: Path) -> bool:
    return not processes_of(folder) and not list(folder.iterdir())


# --- the demonstration ------------------------------------------------------------------------------------------------


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files with a short name: the path of a Unix socket has little room."""
    with tempfile.TemporaryDirectory(prefix="m") as name:
        yield Path(name)


def demo(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "demo", "meshdata", *words]
    return subprocess.run(command, env=environment(place), capture_output=True, text=True, timeout=50)


def test_the_demonstration_finds_the_last_word_and_leaves_nothing_behind(place: Path) -> None:
    ran = demo(place, "cat", "dog", "mouse")
    assert (ran.returncode, ran.stderr) == (0, "")
    for word in ("cat", "dog", "mouse"):
        assert f"'Welcome, {word}.'" in ran.stdout
    assert "FT.SEARCH" in ran.stdout and "1 found" in ran.stdout and "the function did not run" in ran.stdout
    assert "\x1b[" not in ran.stdout, "colours belong on a terminal"
    assert nothing_is_left(place)


def test_the_demonstration_as_json_tells_what_each_step_cost(place: Path) -> None:
    ran = demo(place, "--json")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["result"] for line in lines if "word" in line] == ["Welcome, cat.", "Welcome, dog.", "Welcome, mouse."]
    again = next(line for line in lines if line.get("runs") == 0)
    assert again["commands"] == {"EVALSHA": 1}
    found = next(line for line in lines if "record" in line)
    assert found["total"] == 1 and found["commands"] == {"FT.SEARCH": 1}
    assert found["record"] == {"id": "mouse", "plan": "pro", "letters": 5, "active": True}


@pytest.mark.parametrize("word", ["two words", "o'brien {x}|y", "Zoë→", "a:b", "[bold]", "*", "cat cat"])
def test_any_word_can_be_demonstrated(place: Path, word: str) -> None:
    ran = demo(place, "--json", "cat", word)
    found = [json.loads(line) for line in ran.stdout.splitlines() if '"record"' in line]
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [one["record"]["id"] for one in found] == [word]


def test_markup_in_a_word_is_shown_as_it_is(place: Path) -> None:
    assert "'Welcome, [bold]x.'" in demo(place, "[bold]x").stdout


def test_a_word_that_can_be_no_id_is_wrong_usage(place: Path) -> None:
    ran = demo(place, "")
    assert ran.returncode == 2
    assert "error" in ran.stderr and "Traceback" not in ran.stderr
    assert nothing_is_left(place)


def test_the_demonstration_stops_what_it_started_when_it_is_interrupted(place: Path) -> None:
    command = [*COMMAND, "demo", "meshdata", "--json", *map(str, range(1000))]
    with subprocess.Popen(command, env=environment(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.readline()  # the Redis is up
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        errors = running.stderr.read()
        assert running.wait(20) == 130
    assert b"Traceback" not in errors
    until(lambda: nothing_is_left(place))


def test_the_demonstration_stops_what_it_started_when_nobody_reads_on(place: Path) -> None:
    command = [*COMMAND, "demo", "meshdata", "--json", *map(str, range(1000))]
    with subprocess.Popen(command, env=environment(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.readline()
        running.stdout.close()  # as `head -1` does
        errors = running.stderr.read()
        running.wait(20)
    assert b"Traceback" not in errors
    until(lambda: nothing_is_left(place))


def test_on_a_redis_that_is_given_the_demonstration_removes_what_it_made(
    place: Path, redis_url: str, namespace: str, redis_client: redis.Redis
) -> None:
    ran = demo(place, "--url", redis_url, "--namespace", namespace)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [key.decode() for key in redis_client.scan_iter(f"mesh:{{{namespace}}}*")] == [f"mesh:{{{namespace}}}:meta"]


# --- exit codes -------------------------------------------------------------------------------------------------------


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobFailed("no", job_id="a:b"), 1),
        (InvalidOptions("no"), 2),
        (EntityNotFound("a"), 3),
        (JobNotFound(job_id="a:b"), 3),
        (StoreUnavailable("no"), 4),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls", "--url", "redis://127.0.0.1:1"], 4),
        (["ls", "--url", "gopher://x"], 2),
        (["ls", "--nonsense"], 2),
        (["nonsense"], 2),
        (["serve", "no_such_module:mesh"], 2),
        (["serve", "json:no_such_thing"], 2),
        (["serve", "json:__name__"], 2),
        (["serve", "json"], 2),
        (["--version"], 0),
    ],
)
def test_a_command_that_cannot_work_says_why_without_a_traceback(words: list[str], code: int) -> None:
    ran = invoke(*words)
    assert ran.exit_code == code, ran.output
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    assert ran.output.strip()


def test_with_json_an_error_is_json_too() -> None:
    ran = invoke("ls", "--url", "gopher://x", "--json")
    assert json.loads(ran.stderr)["error"]["type"] == "InvalidOptions"
    assert ran.stdout == ""


# --- a worker, and commands from another process ----------------------------------------------------------------------


class Shell:
    """Runs commands against one namespace; each gives its exit code and what it printed as JSON."""

    def __init__(self, url: str, namespace: str, worker: subprocess.Popen[bytes]) -> None:
        self.worker = worker
        self._where = ["--url", url, "--namespace", namespace, "--json"]

    def __call__(self, *words: str) -> tuple[int, Any]:
        ran = invoke(*words, *self._where)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran.exit_code, json.loads(ran.stdout or ran.stderr)


@pytest.fixture
def shell(
    redis_url: str, namespace: str, no_leaks: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    """A worker that was started by `meshdata serve`, and a shell beside it in the same folder."""
    (tmp_path / "corner_shop.py").write_text(SHOP, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = [*COMMAND, "serve", "corner_shop:mesh", "--url", redis_url, "--namespace", namespace, "--json"]
    with subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        assert worker.stdout is not None and worker.stderr is not None
        try:
            serving = json.loads(worker.stdout.readline())
            assert serving["serving"] == ["user", "user.bill", "patient"]
            yield Shell(redis_url, namespace, worker)
        finally:
            worker.terminate()
            code = worker.wait(20)
        assert (code, worker.stderr.read()) == (0, b""), "SIGTERM is how a worker is told to stop"
    sys.modules.pop("corner_shop", None)


def test_exec_prints_the_result_and_gives_it_again_from_the_cache(shell: Shell) -> None:
    call = ("exec", "user", "ann", "33", "--id", "ann", "--ttl", "1 minute")
    assert shell(*call) == (0, {"name": "ann", "age": 33})
    assert shell("exec", "user", "another", "1", "--id", "ann", "--ttl", "1 minute") == (0, {"name": "ann", "age": 33})
    assert shell("exec", "user", "bo", "1", "--id", "ann", "--ttl", "1 minute", "--flush") == (
        0,
        {"name": "bo", "age": 1},
    )


def test_exec_tells_a_failure_by_its_type_and_ends_with_1(shell: Shell) -> None:
    code, told = shell("exec", "user", "ann", "--kwarg", "age=-3")
    assert code == 1
    assert (told["error"]["raised"], told["error"]["code"]) == ("ValueError", 500)
    assert "too young" in told["error"]["message"]


def test_exec_gives_up_after_its_timeout(shell: Shell) -> None:
    code, told = shell("exec", "patient", "never", "--id", "p", "--ttl", "1 minute", "--timeout", "100 ms")
    assert (code, told["error"]["type"]) == (1, "MeshTimeout")
    assert shell("interrupt", "patient", "p", "--reason", "enough")[0] == 0
    assert shell("show", "patient", "p")[1]["error"] == "enough"


def test_a_job_is_asked_to_end_once_it_is_over_there_is_nobody_to_ask(shell: Shell) -> None:
    shell("exec", "patient", "never", "--id", "c", "--ttl", "1 minute", "--no-wait")
    assert shell("cancel", "patient", "c", "--reason", "enough") == (0, {"cancelled": True})
    code, told = shell("exec", "patient", "never", "--id", "c", "--ttl", "1 minute")
    assert (code, told["error"]["type"]) == (1, "JobCancelled")
    assert shell("cancel", "patient", "c") == (1, {"cancelled": False})
    assert shell("cancel", "patient", "nobody")[0] == 3


def test_a_waiting_job_is_shown_signalled_and_done(shell: Shell) -> None:
    assert shell("exec", "patient", "go", "--id", "p", "--ttl", "1 minute", "--no-wait") == (
        0,
        {"entity": "patient", "id": "p"},
    )
    until(lambda: shell("show", "patient", "p")[1]["waiting_for"])
    assert shell("signal", "go", '{"a": [1, null]}') == (0, {"taken": True})
    until(lambda: shell("show", "patient", "p")[1]["status"] == "completed")
    assert shell("exec", "patient", "go", "--id", "p", "--ttl", "1 minute") == (0, {"a": [1, None]})


def test_a_job_is_told_and_exported(shell: Shell, place: Path) -> None:
    shell("exec", "patient", "go-on", "--id", "p/1", "--ttl", "1 minute", "--no-wait")
    until(lambda: shell("show", "patient", "p/1")[1]["waiting_for"])
    code, told = shell("why", "patient", "p/1")
    assert (code, told["job"]) == (0, "patient:p/1")
    assert "it waits for a signal on go-on" in " ".join(told["why"])
    code, export = shell("export", "patient", "p/1", "--allow", "status", "--allow", "execution")
    assert (code, export["status"], export["execution"]["job"]) == (0, 1, "patient:p/1")
    assert "data" not in export
    assert shell("signal", "go-on")[0] == 0
    assert shell("export", "patient", "p/1", "--out", str(place)) == (0, {"written": f"{place}/patient.p_1.json"})
    assert json.loads((place / "patient.p_1.json").read_text())["journal"][0]["name"] == "patient"
    (place / "patient.p_1.json").unlink()
    assert shell("export", "patient", "none")[0] == 3
    assert shell("why", "patient", "none")[0] == 3
    assert shell("export", "patient", "p/1", "--allow", "nonsense")[0] == 2
    assert shell("export", "patient", "p/1", "--out", "/none/of/these")[0] == 2


def test_schedules_are_listed_held_run_and_dropped(shell: Shell, redis_url: str, namespace: str) -> None:
    async def make() -> None:
        async with MeshData(redis_url, namespace=namespace) as mesh:
            await mesh.schedule("user", ["ann", 4], id="nightly", interval="0 2 * * *", tz="Europe/Paris")

    assert shell("schedules", "ls") == (0, [])
    asyncio.run(make())
    [one] = shell("schedules", "ls")[1]
    assert (one["entity"], one["id"], one["interval"], one["paused"]) == ("user", "nightly", "0 2 * * *", False)
    assert shell("schedules", "ls", "order") == (0, [])
    assert shell("schedules", "pause", "user", "nightly") == (0, {"paused": True})
    assert shell("schedules", "ls", "user")[1][0]["paused"] is True
    assert shell("schedules", "resume", "user", "nightly") == (0, {"resumed": True})
    ran = shell("schedules", "run", "user", "nightly", "--no-wait")
    assert ran[0] == 0
    assert ran[1]["id"].startswith("nightly@now-")
    until(lambda: shell("schedules", "ls")[1][0]["running"] == 0)
    assert shell("schedules", "run", "user", "nightly") == (0, {"name": "ann", "age": 4})
    assert shell("schedules", "drop", "user", "nightly") == (0, {"dropped": True})
    assert shell("schedules", "drop", "user", "nightly") == (3, {"dropped": False})
    assert shell("schedules", "pause", "user", "nightly")[0] == 3
    assert shell("schedules", "run", "user", "nightly")[0] == 3


def test_dead_letters_are_listed_put_back_and_dropped(shell: Shell, redis_client: redis.Redis, namespace: str) -> None:
    assert shell("dead", "ls") == (0, [])
    dead = f"mesh:{{{namespace}}}:dead"
    run = {"run": "0 user:ann", "error": "they died", "body": '{"a":["ann",33]}'}
    redis_client.xadd(dead, {**run, "topic": "user", "ttl": "60000", "hookable": "1", "name": "user"})
    redis_client.xadd(dead, {"run": "0 user:bob", "error": "it died", "position": "0:1", "body": "{}"})
    first, second = shell("dead", "ls")[1]
    assert (first["job"], first["what"], second["what"]) == ("user:ann", "workflow", "activity at 0:1")
    assert shell("dead", "show", first["number"])[1]["body"] == run["body"]

    assert shell("dead", "requeue", first["number"]) == (0, {"requeued": "user:ann"})
    until(lambda: shell("show", "user", "ann")[1]["status"] == "completed")
    assert shell("show", "user", "ann")[1]["ttl_ms"] == 60_000
    assert shell("dead", "requeue", first["number"])[0] == 3, "it was dropped when it was put back"
    assert shell("dead", "requeue", second["number"])[0] == 1, "its workflow was told long ago"
    assert shell("dead", "drop", second["number"]) == (0, {"dropped": True})
    assert shell("dead", "drop", second["number"]) == (3, {"dropped": False})
    assert shell("dead", "show", "nonsense")[0] == 2
    redis_client.delete(dead)


def test_a_hook_runs_on_the_job_and_changes_its_record(shell: Shell) -> None:
    shell("exec", "user", "ann", "33", "--id", "ann", "--ttl", "1 minute")
    assert shell("hook", "user", "ann", "bill", "pro") == (0, "billed for pro")
    assert shell("show", "user", "ann")[1]["record"]["plan"] == "pro"


def test_records_are_listed_found_and_flushed(shell: Shell) -> None:
    for name, age in (("ann", 33), ("bob", 20), ("cy", 40)):
        shell("exec", "user", name, str(age), "--id", name, "--ttl", "1 minute", "--state", f"id={name}")
    assert {one["id"] for one in shell("ls", "user")[1]["records"]} == {"ann", "bob", "cy"}
    assert shell("ls", "use")[1] == {"records": [], "more": False}
    assert (len(shell("ls", "--limit", "2")[1]["records"]), shell("ls", "--limit", "2")[1]["more"]) == (2, True)
    assert shell("search", "user", "age>20")[0] == 3, "there is no index yet"

    assert shell("index", "create", "corner_shop:User")[0] == 0
    assert [one["documents"] for one in shell("index", "ls")[1]] == [3]
    assert shell("index", "verify", "user") == (
        0,
        {"entity": "user", "records": 3, "documents": 3, "unindexed": [], "whole": True},
    )
    assert shell("index", "show", "user")[1]["current"]
    assert shell("index", "show", "nobody")[0] == 3
    assert shell("index", "swap", "corner_shop:User") == (0, {"swapped": False})
    assert shell("index", "build", "--hold", "corner_shop:User")[0] == 0
    code, page = shell("search", "user", "age>20", "--sort", "-age")
    assert (code, page["total"], [one["id"] for one in page["items"]]) == (0, 2, ["cy", "ann"])
    assert shell("search", "user", "nonsense=1")[0] == 2

    assert shell("flush", "user", "cy") == (0, {"flushed": True})
    assert shell("search", "user", "age>20", "--count") == (0, 1)
    assert shell("flush", "user", "cy") == (3, {"flushed": False})
    assert shell("show", "user", "cy")[0] == 3
    assert shell("index", "drop", "user") == (0, {"dropped": True})


def test_figures_changes_and_verbs_for_what_a_query_finds(shell: Shell, redis_url: str, namespace: str) -> None:
    for name, age in (("ann", 33), ("bob", 20), ("cy", 40)):
        shell("exec", "user", name, str(age), "--id", name, "--ttl", "1 minute", "--state", "plan=pro")
    assert shell("index", "create", "corner_shop:User")[0] == 0
    assert shell("each", "set", "user", "age>=33", "--field", "plan=old", "--dry-run")[1]["done"] == ["ann", "cy"]
    assert shell("each", "set", "user", "age>=33", "--field", "plan=old")[0] == 0
    figures = shell(
        "aggregate", "user", "--by", "plan", "--sort", "plan", "--reduce", "n=count", "--reduce", "a=avg:age"
    )
    assert figures == (0, [{"plan": "old", "n": 2, "a": 36.5}, {"plan": "pro", "n": 1, "a": 20.0}])
    assert shell("aggregate", "user", "plan=pro") == (0, [{"n": 1}])

    where = ("--url", redis_url, "--namespace", namespace)
    shown = invoke("watch", "user", "plan=old", "--limit", "2", "--json", *where)
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(one["kind"], one["id"], one["item"]["age"]) for one in lines] == [
        ("match", "ann", "33"),
        ("match", "cy", "40"),
    ]
    assert lines[1]["cursor"] and "match" in invoke("watch", "user", "--limit", "3", *where).stdout

    code, report = shell("each", "signal", "user", "plan=old", "--key", "wake:{id}", "--payload", "1", "--rate", "1000")
    assert (code, sorted(report["done"])) == (0, ["ann", "cy"])
    code, report = shell("each", "interrupt", "user", "plan=old", "--reason", "enough")
    assert (code, sorted(report["skipped"])) == (0, ["ann", "cy"]), "they are over"
    assert sorted(shell("each", "cancel", "user", "plan=old")[1]["skipped"]) == ["ann", "cy"]
    assert "2 done" in invoke("each", "hook", "user", "plan=old", "--hook", "user.bill", "--arg", "free", *where).stdout
    assert shell("each", "flush", "user")[0] == 2, "everything is meant by --all only"
    assert shell("each", "paint", "user", "plan=old")[0] == 2
    assert shell("each", "flush", "user", "plan=old", "--key", "x")[0] == 2
    assert shell("each", "signal", "user", "plan=old")[0] == 2
    assert shell("aggregate", "user", "--reduce", "n=paint:age")[0] == 2
    assert "3 done" in invoke("each", "flush", "user", "--all", *where).stdout
    assert shell("index", "drop", "user") == (0, {"dropped": True})


def test_people_are_shown_tables_and_no_markup_of_theirs_is_taken_for_ours(
    shell: Shell, redis_url: str, namespace: str
) -> None:
    where = ("--url", redis_url, "--namespace", namespace)
    shell("exec", "user", "ann", "33", "--id", "[red]", "--ttl", "1 minute", "--state", "plan=[bold]")
    shown = invoke("show", "user", "[red]", *where).stdout
    assert "user:[red]" in shown and "[bold]" in shown and "completed" in shown
    assert invoke("ls", *where).stdout == "user\t[red]\n"


def test_the_doctor_tells_a_server_that_keeps_nothing(shell: Shell) -> None:
    code, findings = shell("doctor")
    levels = {one["what"]: one["level"] for one in findings}
    assert code == 0, "a risk is no fault"
    assert levels["search"] == "ok" and levels["namespace"] == "ok"
    assert levels["persistence"] == "risk"


# --- a Redis in the foreground ----------------------------------------------------------------------------------------


def test_redis_runs_until_it_is_told_to_stop(place: Path) -> None:
    command = [*COMMAND, "redis", "--json"]
    with subprocess.Popen(command, env=environment(place), stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["url"]
        with redis.Redis.from_url(url) as client:
            assert client.ping()
        running.terminate()
        assert running.wait(20) == 0
    assert nothing_is_left(place)


def test_who_serves_is_listed_slowed_held_and_let_go(shell: Shell) -> None:
    code, found = shell("roll-call")
    assert code == 0 and sorted(found[0]["topics"]) == ["patient", "user", "user.bill"] and found[0]["throttle"] == 0
    assert shell("throttle") == (0, {"all": 0, "topics": {}})
    assert shell("throttle", "-1") == (0, {"all": -1, "topics": {}})
    assert shell("throttle", "20", "--topic", "user") == (0, {"all": -1, "topics": {"user": 20}})
    until(lambda: shell("roll-call")[1][0]["throttles"] == {"user": 20})
    process = found[0]["process"]
    assert shell("throttle", "pause", "--process", process)[1] == {"throttle": -1, "process": process, "topic": None}
    assert shell("throttle", "-7")[0] == 2
    assert shell("throttle", "fast")[0] == 2
    assert shell("throttle", "resume") == (0, {"all": 0, "topics": {}})
    assert shell("exec", "user", "ann", "3") == (0, {"name": "ann", "age": 3})
