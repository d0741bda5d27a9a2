"""How demonstrations are told: a stage on a Redis, numbered steps with times and costs, what Redis holds at the end."""

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from meshdata.cli.demo.cost import Cost
from meshdata.cli.output import Place, duration_text, run_async, show
from meshdata.engine.entry import parse
from meshdata.mesh import MeshData

NAMESPACE = "demo"
EMBEDDED = "embedded://"
MOST_SHOWN = 12
"""Lines of one table; the rest is counted."""


class Teller:
    """Prints the story: for people with colours where there is a terminal, as JSON lines with --json."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.console = Console(highlight=False)
        self._step = 0

    def step(self, title: str, ms: float | None = None, cost: str = "", **facts: Any) -> None:
        """A numbered headline, its time and cost at its end; the facts are what --json prints."""
        self._step += 1
        if self.place.as_json:
            rounded = {} if ms is None else {"ms": round(ms, 2)}
            show(self.place, {"step": self._step, "title": title, **rounded, **facts})
            return
        line = Text.assemble((f" {self._step} ", "bold black on cyan"), "  ", (title, "bold"))
        if ms is not None:
            line.append(f"  {duration_text(ms)}", "green")
        beside = Text(f"  {cost}", "dim")
        fits = line.cell_len + beside.cell_len <= self.console.width
        self.console.print()
        self.console.print(line + beside if cost and fits else line)
        if cost and not fits:
            self.note(cost)

    def say(self, words: Any, style: str = "") -> None:
        """Anything rich can print, under the headline; nothing with --json."""
        if not self.place.as_json:
            body = Text(words, style) if isinstance(words, str) else words
            self.console.print(Padding(body, (0, 0, 0, 5), expand=False))

    def note(self, words: str) -> None:
        """An explanation."""
        self.say(words, "dim")

    def frame(self, title: str, words: str) -> None:
        """The head of the whole, or its end."""
        if not self.place.as_json:
            self.console.print(
                Panel.fit(Text(words), title=Text(title, "bold cyan"), border_style="cyan", padding=(0, 2))
            )

    def source(self, code: str, language: str = "python") -> None:
        """A program, in colours; nothing with --json."""
        if not self.place.as_json:
            self.say(Syntax(code.strip("\n"), language, theme="ansi_dark", background_color="default"))

    def value(self, name: str, cost: Cost[Any], *, width: int, shown: int | None = None) -> None:
        """A line of a table: what was asked for, what came of it, its time and cost; `shown`: its place there."""
        if self.place.as_json:
            facts = {"word": name, "result": cost.value, "ms": round(cost.ms, 2), "commands": cost.trips}
            show(self.place, facts | {"operations_in_scripts": cost.inside})
        elif shown is None or shown < MOST_SHOWN:
            line = Text.assemble(
                ("✓ ", "green"), (f"{name:<{width}}  ", "bold"), (f"{cost.value!r:<{width + 13}}", "cyan")
            )
            line.append(f"{duration_text(cost.ms):>8}", "green").append(f"  {cost}", "dim")
            self.say(line)


Story = Callable[[Teller, MeshData, bool], Awaitable[None]]
"""Tells what happens on an open mesh; True: the Redis is ours, and gone at the end."""


def stage(place: Place, story: Story, *, tagline: str, ending: str, check: Callable[[], None] | None = None) -> int:
    """Open a mesh, tell a story on it, close it. Starts a Redis of its own unless it is given one.

    Args:
        tagline: the sentence in the frame above; ending: the one in the frame below.
        check: refuses what the command was given, before anything is started.
    """

    async def body() -> None:
        if check is not None:
            check()
        url = place.url or os.environ.get("MESHDATA_URL") or EMBEDDED
        namespace = place.namespace or os.environ.get("MESHDATA_NAMESPACE") or NAMESPACE
        await _perform(Teller(place), MeshData(url, namespace=namespace), story, tagline, ending)

    return run_async(place, body)


async def _perform(tell: Teller, mesh: MeshData, story: Story, tagline: str, ending: str) -> None:
    began = time.perf_counter()
    ours = isinstance(mesh.url, str) and mesh.url.startswith("embedded:")
    tell.frame("meshdata", tagline)
    async with mesh:
        _opened(tell, mesh, _since(began), ours)
        await story(tell, mesh, ours)
        closing = time.perf_counter()
    stopped = "everything this started, the Redis too" if ours else "the worker"
    tell.step(f"Stopped {stopped}", (time.perf_counter() - closing) * 1000, total_ms=_since(began))
    if not tell.place.as_json:
        tell.console.print()
    tell.frame(f"done in {duration_text(_since(began))}", ending)


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def _opened(tell: Teller, mesh: MeshData, ms: float, ours: bool) -> None:
    features = mesh.store.connections.features
    product = f"{(features.product or 'redis').capitalize()} {features.version}".strip()
    search = "with search" if features.search else "without search"
    title = f"{'Started' if ours else 'Reached'} a Redis{' of our own' if ours else ''}"
    tell.step(title, ms, server=product, search=features.search, url=None if ours else _without_password(mesh.url))
    where = "a child process on a Unix socket, gone at the end" if ours else _without_password(mesh.url)
    tell.say(Text.assemble((product, "cyan"), f" {search}; ", (where, "dim")))


def _without_password(url: Any) -> str:
    scheme, _, rest = str(url).partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


# --- what Redis holds -------------------------------------------------------------------------------------------------


async def look_inside(tell: Teller, mesh: MeshData, job: str, kinds: dict[str, str], title: str) -> None:
    """The keys of a job, with their types, lifetimes and sizes, and its journal if it has one.

    Args:
        job: "<entity>:<id>".
        kinds: what the name of a key begins with → what the key is, in words.
    """
    store = mesh.store
    partition = store.keys.partition(job)
    base = store.keys.base(partition)
    facts, table = [], Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for prefix, meaning in kinds.items():
        key = f"{base}{prefix}{job}"
        kind, left, size = await _key_facts(mesh, partition, key)
        if kind == "none":
            continue
        facts.append({"key": key, "type": kind, "ttl_ms": left, "bytes": size})
        life = f"{duration_text(left)}" if left > 0 else "stays"
        table.add_row(Text(key, "cyan", overflow="fold"), kind, life, f"{size} B", Text(meaning, "dim"))
    entries = await store.command(partition, "LRANGE", f"{base}l:{job}", 0, MOST_SHOWN)
    journal = [parse(place, raw) for place, raw in enumerate(entries)]
    told = [{"kind": one.kind, "name": one.name, "payload": one.payload.decode("utf-8", "replace")} for one in journal]
    tell.step(title, keys=facts, journal=told)
    tell.say(table)
    if told:
        tell.note("After a crash another process reads the journal, and goes on where it ends:")
    for one in told:
        tell.say(
            Text.assemble(("  · ", "dim"), (f"{one['kind']} ", "magenta"), one["name"], ("  → ", "dim"), one["payload"])
        )


async def _key_facts(mesh: MeshData, partition: int, key: str) -> tuple[str, int, int]:
    store = mesh.store
    kind = (await store.command(partition, "TYPE", key)).decode()
    left = await store.command(partition, "PTTL", key)
    return kind, left, await store.command(partition, "MEMORY", "USAGE", key) or 0
