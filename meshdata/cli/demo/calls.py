"""`meshdata demo meshcall`: functions called by topic, their answers kept, called again and again by a schedule."""

import asyncio
from functools import partial
from typing import Final

from rich.table import Table
from rich.text import Text

from meshdata.cli.demo.cost import measured
from meshdata.cli.demo.telling import Teller, stage
from meshdata.cli.output import Place
from meshdata.mesh import MeshData
from meshdata.meshcall import MeshCall

TOPIC: Final = "my.function"
CRON: Final = "my.demo.cron"
ID: Final = "mycached123"
TIMES: Final = 4
CYCLES: Final = 3

SOURCE = """\
async def my_function(name: str) -> str:        # in whatever process serves the topic
    print("called for", name)
    return f"Welcome, {name}."

await call.connect("my.function", my_function)
await call.exec("my.function", ["CoolMesh"])    # from any process
"""


def demo(place: Place) -> int:
    """Tell what calls are: connect, call, keep the answer, forget it, call by a schedule."""
    return stage(
        place, _story,
        tagline="Call a function wherever it runs, and keep its answer.",
        ending="Next: examples/cron.py, and docs/guides/schedules.md.",
    )  # fmt: skip


async def _story(tell: Teller, mesh: MeshData, ours: bool) -> None:
    called: list[str] = []

    async def my_function(name: str) -> str:
        called.append(name)
        return f"Welcome, {name}."

    call = MeshCall(mesh)
    await call.flush(TOPIC, id=ID)  # what an earlier run left on a Redis that stays
    connected = await measured(mesh, lambda: call.connect(TOPIC, my_function))
    tell.step(f"Connected a function to the topic {TOPIC!r}", connected.ms, topic=TOPIC)
    tell.source(SOURCE)

    tell.step("Called it", topic=TOPIC)
    tell.value("CoolMesh", await measured(mesh, lambda: call.exec(TOPIC, ["CoolMesh"])), width=12)
    _heard(tell, called)

    tell.step(f"Called it {TIMES} times with an id", id=ID, ttl="1 day")
    tell.note(f"call.exec({TOPIC!r}, ['CachedMesh'], id={ID!r}, ttl='1 day')")
    for _ in range(TIMES):
        ask = partial(call.exec, TOPIC, ["CachedMesh"], id=ID, ttl="1 day")
        tell.value("CachedMesh", await measured(mesh, ask), width=12)
    _heard(tell, called)

    await _kept(tell, mesh)
    gone = await measured(mesh, partial(call.flush, TOPIC, id=ID))
    tell.step("Forgot the answer", gone.ms, str(gone), flushed=gone.value, commands=gone.trips)
    await _schedule(tell, mesh, call)


def _heard(tell: Teller, called: list[str]) -> None:
    """Say how often the function itself ran since the last time."""
    if tell.place.as_json:
        tell.step("The function ran", runs=len(called), names=list(called))
    else:
        names = ", ".join(called)
        tell.say(Text.assemble(("called ", "dim"), (f"{len(called)} ×", "bold"), f" for {names}"))
    called.clear()


async def _kept(tell: Teller, mesh: MeshData) -> None:
    store = mesh.store
    name = f"{TOPIC}:{ID}"
    key = store.keys.entry(name)
    partition = store.keys.partition(name)
    stored = await store.command(partition, "HGETALL", key)
    pairs = stored.items() if isinstance(stored, dict) else zip(stored[::2], stored[1::2], strict=True)
    fields = {one.decode(): value.decode("utf-8", "replace") for one, value in pairs}
    tell.step("What Redis holds of the answer", key=key, fields=fields)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for one, value in fields.items():
        table.add_row(Text(one, "dim"), Text(value, "cyan"))
    tell.say(Text(key, "cyan"))
    tell.say(table)


async def _schedule(tell: Teller, mesh: MeshData, call: MeshCall) -> None:
    ticks: list[int] = []
    enough = asyncio.Event()

    def tick() -> int:
        ticks.append(len(ticks))
        if len(ticks) == CYCLES:
            loop.call_soon_threadsafe(enough.set)
        return len(ticks)

    loop = asyncio.get_running_loop()

    async def start() -> bool:
        return await call.cron(CRON, tick, id="demo", interval="300 ms", max_cycles=CYCLES, delay="100 ms")

    await call.interrupt(CRON, id="demo")  # what a demonstration that was stopped left
    first = await measured(mesh, start)
    again = await measured(mesh, start)
    tell.step(
        f"Scheduled a function: every 300 ms, {CYCLES} times", first.ms, str(first), new=first.value, again=again.value
    )
    tell.note(f"call.cron({CRON!r}, tick, id='demo', interval='300 ms', max_cycles={CYCLES})")
    tell.say(f"it is new: {first.value}; asked for again, by this process or a hundred others: {again.value}")
    async with asyncio.timeout(30):
        await enough.wait()
    tell.step("It ran", cycles=len(ticks))
    tell.say(Text.assemble((f"{len(ticks)} ×", "bold"), ", each slot once, whatever processes come and go"))
