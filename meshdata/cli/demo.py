"""`meshdata demo meshdata`: the main job on a real Redis, told step by step, with what each step cost and left."""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from meshdata import workflow
from meshdata.cli.output import Place, duration_text, run_async, show
from meshdata.engine.entry import parse
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData
from meshdata.search import Page, Record, Tag
from meshdata.values import check_id
from meshdata.workflow.activity import activity

T = TypeVar("T")

WORDS = ("cat", "dog", "mouse")
TTL = "45 minutes"
NAMESPACE = "demo"
EMBEDDED = "embedded://"
MOST_WORDS = 1_000
MOST_SHOWN = 12
"""Lines of one table; the rest is counted."""


# --- what the demonstration runs --------------------------------------------------------------------------------------


class Word(Record, entity="word"):
    """What is known of a word; the index is made from it."""

    id: Annotated[str, Tag(sortable=True)]
    plan: Annotated[str, Tag(sortable=True)]
    letters: int = 0
    active: bool = False


_runs = 0


@activity
async def count_letters(word: str) -> int:
    global _runs
    _runs += 1  # so that the demonstration can tell that a cached answer ran nothing
    return len(word)


async def welcome(word: str) -> str:
    letters = await count_letters(word)
    await workflow.state.set(letters=letters, active=True)
    return f"Welcome, {word}."


SOURCE = """\
@activity                              # its outcome is recorded once
async def count_letters(word: str) -> int:
    return len(word)

async def welcome(word: str) -> str:   # an ordinary coroutine
    letters = await count_letters(word)
    await workflow.state.set(letters=letters, active=True)
    return f"Welcome, {word}."
"""

# --- what a step cost -------------------------------------------------------------------------------------------------

# What opening a connection asks, and our own question.
_NOT_WORK = {"info", "hello", "ping", "subscribe"}


@dataclass(frozen=True, slots=True)
class Cost(Generic[T]):
    """A step's value, its time, and what Redis counted meanwhile.

    Attributes:
        trips: commands sent, by name: what crossed the wire. inside: operations that scripts did in the server.
        learned: scripts that were sent in full, because this server had not seen them yet.
    """

    value: T
    ms: float
    trips: dict[str, int]
    inside: int
    learned: int

    def __str__(self) -> str:
        if not self.trips:
            return ""
        total = sum(self.trips.values())
        if len(self.trips) == 1 and total == 1:
            return f"1 command: {next(iter(self.trips))}"
        return f"{total} commands: {' + '.join(f'{count} {name}' for name, count in self.trips.items())}"


async def measured(mesh: MeshData, work: Callable[[], Awaitable[T]]) -> Cost[T]:
    """Do some work and see what it cost, by the server's own command statistics."""
    before = await _statistics(mesh)
    began = time.perf_counter()
    value = await work()
    ms = (time.perf_counter() - began) * 1000
    after = await _statistics(mesh)
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    done = {name: n for name, n in grown.items() if n > 0 and name not in _NOT_WORK and not name.startswith("client|")}
    scripts, learned = done.pop("evalsha", 0), done.pop("eval", 0)
    if not scripts:
        return Cost(value, ms, {name.upper(): count for name, count in done.items()}, 0, 0)
    # Reading a stream blocks, so no script does it: it crossed the wire. The other commands ran inside the scripts.
    reads = done.pop("xreadgroup", 0)
    trips = {"EVALSHA": scripts} | ({"XREADGROUP": reads} if reads else {})
    return Cost(value, ms, trips, sum(done.values()), learned)


async def _statistics(mesh: MeshData) -> dict[str, int]:
    reply = (await mesh.store.command(0, "INFO", "commandstats")).decode()
    lines = (line.removeprefix("cmdstat_").partition(":") for line in reply.splitlines() if line.startswith("cmdstat_"))
    return {name: int(facts.partition("calls=")[2].partition(",")[0]) for name, _, facts in lines}


# --- how it is told ---------------------------------------------------------------------------------------------------


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


# --- the story --------------------------------------------------------------------------------------------------------


def demo(place: Place, words: list[str], *, keep: bool) -> int:
    """Tell the main job: connect, exec, cache, search. Starts a Redis of its own unless it is given one.

    Args:
        words: the ids to use; each gets a job. keep: on a Redis that is not ours, leave what was made.
    """

    async def body() -> None:
        _check(words)
        url = place.url or os.environ.get("MESHDATA_URL") or EMBEDDED
        namespace = place.namespace or os.environ.get("MESHDATA_NAMESPACE") or NAMESPACE
        await _tell(Teller(place), MeshData(url, namespace=namespace), words or list(WORDS), keep=keep)

    return run_async(place, body)


def _check(words: list[str]) -> None:
    for word in words:
        check_id(word, argument="words")
    if len(words) > MOST_WORDS:
        raise InvalidOptions(f"at most {MOST_WORDS}; got {len(words)}", argument="words")


async def _tell(tell: Teller, mesh: MeshData, words: list[str], *, keep: bool) -> None:
    began = time.perf_counter()
    last = words[-1]
    ours = isinstance(mesh.url, str) and mesh.url.startswith("embedded:")
    tell.frame("meshdata", "Python functions as a durable, cached, searchable data layer on Redis.")
    opening = time.perf_counter()
    async with mesh:
        _opened(tell, mesh, (time.perf_counter() - opening) * 1000, ours)
        if not ours:
            for word in words:  # what an earlier run with --keep left would be answered from the cache
                await mesh.flush("word", word)
        await _connect(tell, mesh)
        await _execute(tell, mesh, words)
        await _ask_again(tell, mesh, last)
        await _look_inside(tell, mesh, last)
        await _search(tell, mesh, last)
        if not ours and not keep:
            await _clean_up(tell, mesh, words)
        closing = time.perf_counter()
    stopped = "everything this started, the Redis too" if ours else "the worker"
    tell.step(f"Stopped {stopped}", (time.perf_counter() - closing) * 1000, total_ms=_since(began))
    if not tell.place.as_json:
        tell.console.print()
    tell.frame(f"done in {duration_text(_since(began))}", "Next: the README's first program, and the folder examples/.")


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


async def _connect(tell: Teller, mesh: MeshData) -> None:
    async def connect() -> None:
        await mesh.connect("word", welcome, model=Word)

    cost = await measured(mesh, connect)
    tell.step('Connected a function as the entity "word"', cost.ms, entity="word", function=welcome.__name__)
    if not tell.place.as_json:
        tell.say(Syntax(SOURCE.rstrip(), "python", theme="ansi_dark", background_color="default"))


async def _execute(tell: Teller, mesh: MeshData, words: list[str]) -> None:
    tell.step("Executed one durable workflow per word", words=words, ttl=TTL)
    tell.note(f"mesh.exec(entity='word', args=[word], id=word, ttl={TTL!r}, state=…)")
    width = min(max(len(word) for word in words), 24)
    learned = False
    for number, word in enumerate(words):
        seeds = {"id": word, "plan": "pro"}
        execute = partial(mesh.exec, entity="word", args=[word], id=word, ttl=TTL, state=seeds)
        cost = await measured(mesh, execute)
        learned = learned or cost.learned > 0
        if tell.place.as_json:
            facts = {"word": word, "result": cost.value, "ms": round(cost.ms, 2), "commands": cost.trips}
            show(tell.place, facts | {"operations_in_scripts": cost.inside})
        elif number < MOST_SHOWN:
            line = Text.assemble(
                ("✓ ", "green"), (f"{word:<{width}}  ", "bold"), (f"{cost.value!r:<{width + 13}}", "cyan")
            )
            line.append(f"{duration_text(cost.ms):>8}", "green").append(f"  {cost}", "dim")
            tell.say(line)
    if len(words) > MOST_SHOWN:
        tell.note(f"… and {len(words) - MOST_SHOWN} more")
    if learned:
        tell.note("The first is slower: it opens connections, and Redis is taught the scripts.")


async def _ask_again(tell: Teller, mesh: MeshData, word: str) -> None:
    ran = _runs
    cost = await measured(mesh, lambda: mesh.exec(entity="word", args=[word], id=word, ttl=TTL))
    tell.step(f"Asked for {word!r} again", cost.ms, str(cost), result=cost.value, runs=_runs - ran, commands=cost.trips)
    times = "did not run" if _runs == ran else "ran again"
    tell.say(Text.assemble((f"{cost.value!r}", "cyan"), f" from the cache: the function {times}."))


async def _look_inside(tell: Teller, mesh: MeshData, word: str) -> None:
    kinds = {
        "r:": "the record: your fields",
        "j:": "the job: status, result",
        "l:": "the journal, as below",
    }
    store, job = mesh.store, f"word:{word}"
    base = store.keys.base(store.keys.partition(job))
    keys = [(f"{base}{kind}{job}", meaning) for kind, meaning in kinds.items()]
    facts, table = [], Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for key, meaning in keys:
        kind, left, size = await _key_facts(mesh, key)
        facts.append({"key": key, "type": kind, "ttl_ms": left, "bytes": size})
        life = f"{duration_text(left)}" if left > 0 else "stays"
        table.add_row(Text(key, "cyan"), kind, life, f"{size} B", Text(meaning, "dim"))
    entries = await store.command(store.keys.partition(job), "LRANGE", keys[2][0], 0, MOST_SHOWN)
    journal = [parse(place, raw) for place, raw in enumerate(entries)]
    told = [{"kind": one.kind, "name": one.name, "payload": one.payload.decode("utf-8", "replace")} for one in journal]
    tell.step(f"What Redis holds of {word!r}", keys=facts, journal=told)
    tell.say(table)
    tell.note("After a crash another process reads the journal, and goes on where it ends:")
    for one in told:
        tell.say(
            Text.assemble(("  · ", "dim"), (f"{one['kind']} ", "magenta"), one["name"], ("  → ", "dim"), one["payload"])
        )


async def _key_facts(mesh: MeshData, key: str) -> tuple[str, int, int]:
    store = mesh.store
    partition = next(p for p in range(store.partitions) if key.startswith(store.keys.base(p)))
    kind = (await store.command(partition, "TYPE", key)).decode()
    left = await store.command(partition, "PTTL", key)
    return kind, left, await store.command(partition, "MEMORY", "USAGE", key) or 0


async def _search(tell: Teller, mesh: MeshData, word: str) -> None:
    query = mesh.find(Word).where(Word.id == word)

    async def ask() -> Page[Word]:
        return await query

    if mesh.store.has_search:
        cost = await measured(mesh, lambda: mesh.create_index(Word))
        tell.step("Indexed the pydantic model", cost.ms, str(cost), commands=cost.trips)
        fields = ", ".join(f"{name}: {_annotation(one.annotation)}" for name, one in Word.model_fields.items())
        tell.say(Text.assemble(("class ", "magenta"), 'Word(Record, entity="word")', ("  " + fields, "dim")))
    else:
        tell.step("Left out the index: this Redis has no search module", search=False)
        tell.note("Everything else works; small sets of records are found by reading them one by one.")
    page = await measured(mesh, ask)
    found = page.value.items[0] if page.value.items else None
    facts = {"total": page.value.total, "record": found, "commands": page.trips, "query": query.explain()}
    tell.step(f"Found {word!r} by {'FT.SEARCH' if mesh.store.has_search else 'reading'}", page.ms, str(page), **facts)
    tell.say(Text.assemble("mesh.find(Word).where(Word.id == ", (repr(word), "green"), ")"))
    if mesh.store.has_search:
        tell.note(query.explain())
    body = Group(*(Text.assemble((f"{name:<8}", "dim"), (repr(value), "cyan")) for name, value in found or ()))
    tell.say(Panel.fit(body, title=f"{page.value.total} found", title_align="left", border_style="green"))


def _annotation(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


async def _clean_up(tell: Teller, mesh: MeshData, words: list[str]) -> None:
    for word in words:
        await mesh.flush("word", word)
    if mesh.store.has_search:
        await mesh.drop_index(Word)
    tell.step("Removed what this made", namespace=mesh.namespace)
    tell.note("With --keep it stays, for redis-cli or RedisInsight to look at.")
