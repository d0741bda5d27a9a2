"""`meshdata demo meshdata`: the main job on a real Redis, told step by step, with what each step cost and left."""

from functools import partial
from typing import Annotated, Any

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from meshdata import workflow
from meshdata.cli.demo.cost import measured
from meshdata.cli.demo.telling import MOST_SHOWN, Teller, look_inside, stage
from meshdata.cli.output import Place
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData
from meshdata.search import Page, Record, Tag
from meshdata.values import check_id
from meshdata.workflow.activity import activity

WORDS = ("cat", "dog", "mouse")
TTL = "45 minutes"
MOST_WORDS = 1_000


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

# --- the story --------------------------------------------------------------------------------------------------------


def demo(place: Place, words: list[str], *, keep: bool) -> int:
    """Tell the main job: connect, exec, cache, search.

    Args:
        words: the ids to use; each gets a job. keep: on a Redis that is not ours, leave what was made.
    """
    chosen = words or list(WORDS)

    async def story(tell: Teller, mesh: MeshData, ours: bool) -> None:
        if not ours:
            for word in chosen:  # what an earlier run with --keep left would be answered from the cache
                await mesh.flush("word", word)
        await _connect(tell, mesh)
        await _execute(tell, mesh, chosen)
        await _ask_again(tell, mesh, chosen[-1])
        kinds = {"r:": "the record: your fields", "j:": "the job: status, result", "l:": "the journal, as below"}
        await look_inside(tell, mesh, f"word:{chosen[-1]}", kinds, f"What Redis holds of {chosen[-1]!r}")
        await _search(tell, mesh, chosen[-1])
        if not ours and not keep:
            await _clean_up(tell, mesh, chosen)

    return stage(
        place, story, check=lambda: _check(words),
        tagline="Python functions as a durable, cached, searchable data layer on Redis.",
        ending="Next: the README's first program, and the folder examples/.",
    )  # fmt: skip


def _check(words: list[str]) -> None:
    for word in words:
        check_id(word, argument="words")
    if len(words) > MOST_WORDS:
        raise InvalidOptions(f"at most {MOST_WORDS}; got {len(words)}", argument="words")


async def _connect(tell: Teller, mesh: MeshData) -> None:
    async def connect() -> None:
        await mesh.connect("word", welcome, model=Word)

    cost = await measured(mesh, connect)
    tell.step('Connected a function as the entity "word"', cost.ms, entity="word", function=welcome.__name__)
    tell.source(SOURCE)


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
        tell.value(word, cost, width=width, shown=number)
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
