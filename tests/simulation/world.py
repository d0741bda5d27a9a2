"""A world of processes around one fake server, all in one loop, and what goes wrong in it.

Faults are set for the moment before or after the server carries out the k-th command: the process that sent it dies
there, loses its connections, or stands still. So every moment between two steps is one at which something may happen.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

import pytest
from fakeredis.model import _stream

from meshdata import MeshData
from meshdata.store import fake, scripts
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Link, words
from tests.simulation.programs import add, program

EPOCH_S = 1_900_000_000
LIFE_SIGN_S = 2.0

current_process: ContextVar[Process] = ContextVar("process")


@dataclass
class Pace:
    """How a world's network is: mean delays in seconds, and shares of 1."""

    usual_s: float
    slow_s: float
    slow_share: float
    lost_hints: float


@dataclass
class Fault:
    """What happens once the server has carried out `at` commands, before the next or after it: kill, cut or stall."""

    at: int
    kind: str
    before: bool
    seconds: float


class Clock:
    """The server's time is the loop's."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop

    def __call__(self) -> int:
        return self.micros() // 1000

    def micros(self) -> int:
        return EPOCH_S * 1_000_000 + round(self.loop.time() * 1e6)


class Process:
    """One process: a mesh, and the connections it has."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.stalled_until = 0.0
        self.links: list[Link] = []
        self.opened = 0

    async def start(self, *, serve: bool) -> None:
        """Open the mesh; a worker serves the program."""
        self.mesh = MeshData(
            f"fake://{self.world.name}", namespace="sim", partitions=self.world.partitions, name=self.name,
            life_sign=LIFE_SIGN_S, linger=self.world.linger,
        )  # fmt: skip
        await self.mesh.start()
        if serve:
            entity = await self.mesh.connect("program", program)
            await entity.hook("add")(add)

    def goes_in(self, link: Link, command: bytes) -> bool:
        """A command has come to the server; False if it is lost with its connection."""
        fault = self.world.due(before=True)
        if fault is not None:
            self.suffer(fault)
        return fault is None or fault.kind == "stall"

    def went_in(self, link: Link, command: bytes) -> None:
        """The server has carried it out; the reply is on its way."""
        self.world.told(self, command)
        fault = self.world.due(before=False)
        if fault is not None:
            self.suffer(fault)

    def suffer(self, fault: Fault) -> None:
        self.world.log(f"{fault.kind} {self.name} {fault.seconds:.1f}")
        if fault.kind == "stall":
            self.stalled_until = self.world.loop.time() + fault.seconds
            return
        if fault.kind == "kill":
            self.world.kill(self, fault.seconds)
        for link in list(self.links):
            link.abort()


class World:
    """One seed's worth of processes. What it does is the same on every run."""

    def __init__(self, seed: int, loop: SimulatedLoop, server: Any) -> None:
        self.seed = seed
        self.loop = loop
        self.server = server
        self.dice = random.Random(f"world {seed}")
        self.name = f"sim-{seed}"
        dice = self.dice
        self.partitions = dice.choice([1, 1, 2])
        self.linger = dice.choice([0.5, 60])
        self.pace = Pace(
            usual_s=dice.choice([0.0002, 0.002]), slow_s=dice.choice([0.02, 0.3]),
            slow_share=dice.choice([0, 0.02, 0.1]), lost_hints=dice.choice([0, 0, 0.05, 0.5]),
        )  # fmt: skip
        self.faults: list[Fault] = []
        self.carried_out = 0
        self.workers: list[Process] = []
        self.client: Process
        self.count = 0
        self.lines: list[str] = []
        self.chores: set[asyncio.Task[Any]] = set()
        self.graves: list[asyncio.Task[Any]] = []
        self.keep_log = False

    def _faults(self) -> Iterator[Fault]:
        dice = self.dice
        kinds = dice.choice([["kill"], ["cut"], ["stall"], ["kill", "cut", "stall"]])
        for _ in range(dice.choice([0, 1, 2, 3, 5])):
            seconds = dice.choice([0.1, 1.5 * LIFE_SIGN_S, 3 * LIFE_SIGN_S])
            yield Fault(dice.randint(0, 150), dice.choice(kinds), dice.random() < 0.5, seconds)

    # --- processes ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Two workers and a client."""
        self.client = await self.spawn("client", serve=False)
        self.workers = [await self.spawn("worker", serve=True) for _ in range(2)]
        self.carried_out = 0
        self.faults = sorted(self._faults(), key=lambda fault: fault.at)

    async def spawn(self, kind: str, *, serve: bool) -> Process:
        """One more process."""
        while True:
            self.count += 1
            process = Process(self, f"{kind}{self.count}")
            context = copy_context()
            context.run(current_process.set, process)
            process.starting = self.loop.create_task(process.start(serve=serve), context=context)
            try:
                await process.starting
                return process
            except (
                Exception,
                asyncio.CancelledError,
            ) as error:  # it lost its connections, or died, on the way: its supervisor starts it again
                self.log(f"{process.name} did not start: {error!r}")
                process.alive = False
                self._bury(process)

    def kill(self, process: Process, seconds: float) -> None:
        """A process is gone; another comes after a while."""
        process.alive = False
        if not process.starting.done():
            process.starting.cancel()
            return
        self._do(self._replace(process, seconds))

    async def _replace(self, process: Process, seconds: float) -> None:
        self._bury(process)
        await asyncio.sleep(seconds)
        if process is self.client:
            self.client = await self.spawn("client", serve=False)
        else:
            at = self.workers.index(process)
            self.workers[at] = await self.spawn("worker", serve=True)

    def _bury(self, process: Process) -> None:
        """Nothing it still does comes out of it any more; let its tasks end."""
        if hasattr(process, "mesh"):
            self.graves.append(self.loop.create_task(process.mesh.close(drain=0)))

    def _do(self, coroutine: Any) -> None:
        task = self.loop.create_task(coroutine)
        self.chores.add(task)
        task.add_done_callback(self.chores.discard)

    # --- faults -------------------------------------------------------------------------------------------------------

    def due(self, *, before: bool) -> Fault | None:
        """The fault that is to happen now, if any."""
        if self.faults and self.faults[0].at <= self.carried_out and self.faults[0].before is before:
            return self.faults.pop(0)
        return None

    def told(self, process: Process, command: bytes) -> None:
        """A command was carried out."""
        self.carried_out += 1
        if self.keep_log:
            self.log(f"{process.name} {spoken(command)}")

    def log(self, line: str) -> None:
        """What happened, with its time: the same on every run of the seed."""
        if self.keep_log:
            self.lines.append(f"{self.loop.time():.6f} {line}")

    async def calm(self) -> None:
        """Let the last dead be replaced."""
        self.faults.clear()
        self.pace.lost_hints = 0
        while self.chores:
            await asyncio.wait(list(self.chores))


_lua: dict[str, Any] = {}
"""What a fake server has of Lua: the interpreter, with what is compiled in it."""


@contextmanager
def simulated(seed: int, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SimulatedLoop, Any]]:
    """A loop and a server whose chances all come from the seed."""
    loop = SimulatedLoop()
    clock = Clock(loop)
    server = fake._HeldServer(clock)
    dice = random.Random(f"secrets {seed}")
    for attribute, part in _lua.items():  # one interpreter for all seeds, and each script compiled once
        setattr(server, attribute, part)
    if dice.random() < 0.8:  # else it has to be told each script, as after a restart
        loaded = map(scripts.load, scripts.names())
        server.script_cache.update({script.sha.encode(): script.source.encode() for script in loaded})
    links: dict[str, int] = {}

    def connect(server: Any) -> Link:
        process = current_process.get()
        links[process.name] = links.get(process.name, 0) + 1
        return Link(server, process, links[process.name])

    with monkeypatch.context() as patched:
        patched.setattr(fake, "FakeTransport", connect)
        patched.setattr(secrets, "token_hex", lambda size=16: f"{dice.getrandbits(8 * size):0{2 * size}x}")
        patched.setattr(secrets, "token_urlsafe", lambda size=16: f"{dice.getrandbits(128):032x}"[:22])
        patched.setattr(_stream, "time", _Time(clock))
        fake.SharedFake._running[name] = (server, 1)
        random.seed(seed)
        try:
            yield loop, server
        finally:
            _lua.update({key: value for key, value in vars(server).items() if key.startswith(("_lua_", "meshdata_"))})
            fake.SharedFake._running.pop(name, None)
            loop.close()


def spoken(command: bytes) -> str:
    """A command as a line of the log: scripts by their names, long parts cut."""
    parts = words(command)
    if parts[0] in (b"EVALSHA", b"EVAL"):
        called = parts[1].decode() if parts[0] == b"EVALSHA" else hashlib.sha1(parts[1]).hexdigest()
        parts = [_SCRIPTS.get(called, called).encode(), *parts[5:]]
    return " ".join(part.decode(errors="replace")[:60] or "''" for part in parts)


_SCRIPTS = {scripts.load(name).sha: name for name in scripts.names()}


class _Time:
    """The `time` module as fakeredis' streams use it."""

    def __init__(self, clock: Clock) -> None:
        self.time: Callable[[], float] = lambda: clock.micros() / 1e6
