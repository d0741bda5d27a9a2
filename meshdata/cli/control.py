"""The control plane from the command line: who serves, and how fast."""

from rich.console import Console
from rich.table import Table

from meshdata.cli.output import Place, plain, show, with_mesh
from meshdata.engine.profile import Profile, Throttle
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData

WORDS = {"pause": -1, "resume": 0, "off": 0}


def throttle(place: Place, ms: str | None, *, topic: str | None, process: str | None) -> int:
    """Set a rate, or print those that are kept."""

    async def body(mesh: MeshData) -> None:
        if ms is not None:
            await mesh.throttle(_ms(ms), topic=topic, process=process)
            if process is not None:
                told = {"throttle": _ms(ms), "process": process, "topic": topic}
                show(place, told if place.as_json else f"{process}: {_rate(_ms(ms))}")
                return
        kept = await mesh.throttles()
        show(place, plain(kept) if place.as_json else _kept(kept))

    return with_mesh(place, body)


def roll_call(place: Place, delay: str) -> int:
    """Print who serves."""

    async def body(mesh: MeshData) -> None:
        found = await mesh.roll_call(delay)
        if place.as_json:
            show(place, [plain(one) for one in found])
            return
        if not found:
            Console(stderr=True).print("no process serves anything", style="dim")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("process", "host", "topics (waiting)", "busy", "resident", "done", "failed", "rate", "since"):
            table.add_column(heading, overflow="fold", header_style="dim")
        for one in found:
            table.add_row(*_row(one))
        Console(highlight=False, markup=False).print(table)

    return with_mesh(place, body)


def _row(one: Profile) -> tuple[str, ...]:
    topics = ", ".join(f"{topic} ({one.depths.get(topic, 0)})" for topic in one.topics)
    failed = sum(count for code, count in one.counts.items() if code != 200)
    rates = [_rate(one.throttle), *(f"{topic}: {_rate(ms)}" for topic, ms in one.throttles.items())]
    return (
        one.process, f"{one.host}:{one.pid}", topics, f"{one.busy}/{one.concurrency}", str(one.resident),
        str(one.counts.get(200, 0)), str(failed), ", ".join(rates), f"{one.started:%Y-%m-%d %H:%M:%S}",
    )  # fmt: skip


def _ms(text: str) -> int:
    if text in WORDS:
        return WORDS[text]
    try:
        return int(text)
    except ValueError:
        raise InvalidOptions(
            f"milliseconds between two messages, -1 or 'pause' to hold, 0 or 'resume' to let go; got {text!r}",
            argument="ms",
        ) from None


def _rate(ms: int) -> str:
    return "paused" if ms < 0 else f"{ms} ms" if ms else "free"


def _kept(kept: Throttle) -> str:
    return "\n".join([f"all: {_rate(kept.all)}", *(f"{topic}: {_rate(ms)}" for topic, ms in kept.topics.items())])
