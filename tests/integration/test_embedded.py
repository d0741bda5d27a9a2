"""The embedded server: found, started, shared, stopped with its users however they end, explained where none fits."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
import redis

from meshdata.errors import StoreUnavailable
from meshdata.store import embedded
from meshdata.store.embedded import Candidate, EmbeddedServer, SharedServer

# Starts a server (of a path, if one is given), says its URL, and holds it until a line comes in.
USER = """
import sys
from meshdata.store.embedded import EmbeddedServer
server = EmbeddedServer(sys.argv[1] or None).start()
print(server.url, flush=True)
sys.stdin.readline()
server.stop()
print("stopped", flush=True)
"""


def until(claim: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until a claim holds."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "the claim did not come true in time"
        time.sleep(0.005)


class User:
    """Another process that uses a server."""

    def __init__(self, path: Path | str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._line()

    def _line(self) -> str:
        out: IO[str] | None = self.process.stdout
        assert out is not None
        return out.readline().strip()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self._line() == "stopped"
        self.end()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, protocol=3)


def processes_of(url: str) -> set[int]:
    """The server's process id and its supervisor's."""
    with connect(url) as client:
        server = int(client.info("server")["process_id"])
    status = Path(f"/proc/{server}/status").read_text()
    parent = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    return {server, parent}


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


# --- what it is -------------------------------------------------------------------------------------------------------


def test_it_serves_redis_with_search_and_our_limits() -> None:
    with EmbeddedServer() as server, connect(server.url) as client:
        assert client.ping()
        assert not client.execute_command("FT._LIST")
        assert client.config_get("appendonly") == {"appendonly": "no"}
        assert client.execute_command("FT.CONFIG", "GET", "ON_TIMEOUT") == {b"ON_TIMEOUT": b"fail"}


def test_nobody_else_can_reach_it() -> None:
    with EmbeddedServer() as server, connect(server.url) as client:
        path = Path(server.url.removeprefix("unix://"))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert client.config_get("port") == {"port": "0"}


def test_a_temporary_folder_is_removed_when_it_stops() -> None:
    server = EmbeddedServer().start()
    folder = Path(server.url.removeprefix("unix://")).parent
    server.stop()
    assert not folder.exists()
    with pytest.raises(StoreUnavailable, match="not started"):
        _ = server.url


def test_starting_and_stopping_twice_is_harmless() -> None:
    server = EmbeddedServer()
    server.stop()
    assert server.start() is server.start()
    server.stop()
    server.stop()
    with server:
        assert server.url


async def test_it_can_be_started_without_blocking_the_loop(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path / "data") as server:
        assert server.url.startswith("unix:///")


async def test_a_shared_server_lives_as_long_as_one_of_its_users() -> None:
    first, second, other = (SharedServer(name) for name in ("shop", "shop", "other"))
    await asyncio.gather(first.astart(), second.astart(), other.astart())
    assert first.url == second.url != other.url
    await first.astop()
    await first.astop()
    with connect(second.url) as client:
        assert client.ping()
    folder = Path(second.url.removeprefix("unix://")).parent
    await asyncio.gather(second.astop(), other.astop())
    assert not folder.exists()


# --- data -------------------------------------------------------------------------------------------------------------


def test_with_a_path_data_and_indexes_survive(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "data") as server, connect(server.url) as client:
        client.execute_command("FT.CREATE", "idx", "PREFIX", 1, "user:", "SCHEMA", "plan", "TAG")
        client.hset("user:1", mapping={"plan": "pro"})
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
    with EmbeddedServer(tmp_path / "data") as server, connect(server.url) as client:
        assert client.hget("user:1", "plan") == b"pro"
        until(lambda: client.execute_command("FT.SEARCH", "idx", "@plan:{pro}")[b"total_results"] == 1)


def test_it_writes_into_its_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with EmbeddedServer(tmp_path / "data") as server, connect(server.url) as client:
        client.set("k", "v")
        client.execute_command("BGREWRITEAOF")
    assert list(here.iterdir()) == []
    assert {file.name for file in (tmp_path / "data").iterdir()} == {"alive.lock", "appendonly", "lock", "redis.log"}


@linux
def test_data_survives_a_server_that_is_killed_and_the_next_start_serves(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data").start()
    with connect(server.url) as client:
        for number in range(1000):
            client.set(f"k{number}", number)
    for pid in processes_of(server.url):
        os.kill(pid, signal.SIGKILL)
    server.stop()
    with EmbeddedServer(tmp_path / "data") as again, connect(again.url) as client:
        assert client.dbsize() == 1000


def test_a_path_too_long_for_a_socket_works_and_leaves_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 20) / ("longer-" * 20)
    with EmbeddedServer(folder) as server, connect(server.url) as client:
        client.set("k", "v")
        spare = Path(server.url.removeprefix("unix://")).parent
        assert len(server.url) < 100
        user = User(folder)
        assert user.url == server.url
        user.stop()
    assert not spare.exists()
    with EmbeddedServer(folder) as server, connect(server.url) as client:
        assert client.get("k") == b"v"


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StoreUnavailable, match="file/data"):
        EmbeddedServer(file / "data").start()


# --- sharing ----------------------------------------------------------------------------------------------------------


def test_two_uses_of_a_path_share_a_server_until_the_last_one_ends(tmp_path: Path) -> None:
    user = User(tmp_path / "data")
    server = EmbeddedServer(tmp_path / "data").start()
    assert server.url == user.url
    user.stop()
    with connect(server.url) as client:
        assert client.ping()
        server.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_the_server_outlives_the_killed_process_that_started_it(tmp_path: Path) -> None:
    user = User(tmp_path / "data")
    with EmbeddedServer(tmp_path / "data") as server, connect(server.url) as client:
        client.set("k", "v")
        user.kill()
        assert client.get("k") == b"v"


def test_many_processes_may_start_and_stop_on_one_path_at_once(tmp_path: Path) -> None:
    script = """
import sys, redis
from meshdata.store.embedded import EmbeddedServer
for _ in range(10):
    with EmbeddedServer(sys.argv[1], search=False) as server:
        with redis.Redis.from_url(server.url) as client:
            client.incr("n")
"""
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "data")]) for _ in range(4)]
    assert [process.wait(50) for process in processes] == [0] * 4
    with EmbeddedServer(tmp_path / "data") as server, connect(server.url) as client:
        assert client.get("n") == b"40"


# --- ends -------------------------------------------------------------------------------------------------------------


@linux
def test_nothing_is_left_when_the_user_is_killed() -> None:
    user = User()
    folder = Path(user.url.removeprefix("unix://")).parent
    processes = processes_of(user.url)
    user.kill()
    until(lambda: not any(lives(pid) for pid in processes))
    until(lambda: not folder.exists())


@linux
def test_nothing_is_left_when_the_user_is_killed_at_any_moment_of_starting() -> None:
    def ours() -> set[int]:
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
        return {pid for pid in found if lives(pid)}

    for delay_ms in range(0, 200, 10):
        marker = f"/tmp/meshdata-kill-{os.getpid()}-{delay_ms}"
        code = f"import os, tempfile; os.mkdir({marker!r}); tempfile.tempdir = {marker!r}\n" + USER
        process = subprocess.Popen(
            [sys.executable, "-c", code, ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: Path(marker).exists())  # noqa: B023
        time.sleep(delay_ms / 1000)
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
        until(lambda: not ours())
        subprocess.run(["rm", "-r", marker], check=True)


@linux
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    user = User(tmp_path / "data")
    server, supervisor = sorted(processes_of(user.url), reverse=True)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not lives(server))
    with EmbeddedServer(tmp_path / "data") as again, connect(again.url) as client:
        assert client.ping()
    user.stop()


@linux
def test_a_user_that_forgets_to_stop_leaves_nothing() -> None:
    code = "from meshdata.store.embedded import EmbeddedServer; s = EmbeddedServer().start(); print(s.url)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    folder = Path(done.stdout.strip().removeprefix("unix://")).parent
    until(lambda: not folder.exists())


@linux
def test_ctrl_c_on_the_terminal_does_not_reach_the_server() -> None:
    with EmbeddedServer() as server:
        for pid in processes_of(server.url):
            assert os.getpgid(pid) != os.getpgid(0)


@linux
def test_the_supervisor_is_small() -> None:
    with EmbeddedServer() as server:
        supervisor = min(processes_of(server.url))
        kilobytes = next(
            int(line.split()[1])
            for line in Path(f"/proc/{supervisor}/status").read_text().splitlines()
            if line.startswith("VmRSS:")
        )
        assert kilobytes < 20_000


# --- where nothing fits -----------------------------------------------------------------------------------------------


def test_without_any_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "candidates", lambda: iter(()))
    with pytest.raises(StoreUnavailable) as caught:
        EmbeddedServer().start()
    assert 'pip install "meshdata[embedded]"' in str(caught.value)
    assert "docker-compose.redis-stack.yml" in str(caught.value)


def test_a_server_without_search_is_refused_unless_search_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = next(embedded.candidates())
    plain = Candidate(wheel.server, None)
    monkeypatch.setattr(embedded, "candidates", lambda: iter([plain]))
    with pytest.raises(StoreUnavailable, match="has no search"):
        EmbeddedServer().start()
    with EmbeddedServer(search=False) as server, connect(server.url) as client:
        assert client.ping()


def test_the_next_candidate_is_tried_when_one_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = next(embedded.candidates())
    broken = Candidate("/bin/false", wheel.module)
    missing = Candidate("/does/not/exist", wheel.module)
    monkeypatch.setattr(embedded, "candidates", lambda: iter([missing, broken, wheel]))
    with EmbeddedServer() as server:
        assert server.url
    monkeypatch.setattr(embedded, "candidates", lambda: iter([broken]))
    with pytest.raises(StoreUnavailable, match="/bin/false ended at once"):
        EmbeddedServer().start()


def test_a_server_on_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = next(embedded.candidates())
    (tmp_path / "redis-server").symlink_to(wheel.server)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "_package_file", lambda *parts: None)
    assert [candidate.server for candidate in embedded.candidates()] == [str(tmp_path / "redis-server")]
    with EmbeddedServer(search=False) as server:
        assert server.url


def test_a_stack_installation_on_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = next(embedded.candidates())
    assert wheel.module is not None
    for folder in ("bin", "lib"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin" / "redis-stack-server").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "redis-stack-server").chmod(0o755)
    (tmp_path / "bin" / "redis-server").symlink_to(wheel.server)
    (tmp_path / "lib" / "redisearch.so").symlink_to(wheel.module)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(embedded, "_package_file", lambda *parts: None)
    with EmbeddedServer() as server, connect(server.url) as client:
        assert not client.execute_command("FT._LIST")


def test_windows_is_pointed_to_the_compose_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(StoreUnavailable, match=r"docker-compose\.redis-stack\.yml"):
        EmbeddedServer().start()
