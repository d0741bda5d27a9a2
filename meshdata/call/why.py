"""What a job waits for and why, in words: for people who look at one that does not go on."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from meshdata.call.options import job_of
from meshdata.engine.entry import parse
from meshdata.engine.info import JobInfo, Wait, job_info
from meshdata.errors import JobNotFound, ScriptFailed
from meshdata.store.store import Store
from meshdata.values import from_json

LAST_ENTRIES: Final = 100
"""How far back the journal is looked through for the failure an activity pauses after."""


async def why(store: Store, entity: str, id: str) -> list[str]:
    """Sentences on how a job stands and what it needs to go on.

    Raises:
        JobNotFound: there is none.
    """
    job = job_of(entity, id)
    header = await store.header(f"0 {job}")
    if not header:
        raise JobNotFound(job_id=job)
    info = job_info(entity, id, header)
    look = _Look(store, job, info.topic)
    in_line = info.status == "queued" and "gate" in header and "message" not in header
    said = [look.line(info, header["gate"].decode())] if in_line else await look.stands(info)
    if "cancel" in header and not info.is_ended:
        said.append("It was asked to cancel itself, and is still at it.")
    if not info.is_ended:
        said += await look.waits("0", info.waiting_for, runs=info.status == "running")
    for dimension in sorted((name[2:] for name in header if name.startswith("k:")), key=int):
        said += await look.hook(dimension, header[f"k:{dimension}"].decode())
    return said


class _Look:
    """Asks about one job."""

    def __init__(self, store: Store, job: str, topic: str) -> None:
        self.store = store
        self.job = job
        self.topic = topic
        self.partition = store.keys.partition(job)
        self.base = store.keys.base(self.partition)
        now = store.now_ms()
        self.now = _time(time.time() * 1000 if now is None else now)

    async def command(self, *words: Any) -> Any:
        return await self.store.command(self.partition, *words)

    async def due(self, timer: str) -> datetime | None:
        score = await self.command("ZSCORE", f"{self.base}timers", timer)
        return None if score is None else _time(float(score))

    def at(self, when: datetime) -> str:
        """A moment, and how far away it is."""
        away = round(abs(when - self.now) / timedelta(milliseconds=1))
        apart = f"in {_span(away)}" if when >= self.now else f"{_span(away)} ago"
        return f"{when:%Y-%m-%d %H:%M:%S} UTC ({apart})"

    # --- the job as a whole -------------------------------------------------------------------------------------------

    async def stands(self, info: JobInfo) -> list[str]:
        tries = (
            f"Its function has failed {info.attempts} times" if info.attempts > 1 else "Its function has failed once"
        )
        if info.ended is not None:
            said = [f"It is over: {info.status}, {self.at(info.ended)}."]
            if info.error:
                said.append(f"The error: {info.error}")
            if info.is_open and info.status == "completed":
                said.append("It is still open for hooks.")
            return said
        if info.status == "parked":
            return [
                f"It is parked, because the code that is served does not fit its journal: {info.error}",
                f"It goes on by itself when a process joins that serves fitting code as {self.topic!r}; "
                "`meshdata check` tells beforehand whether code fits. To give it up: `meshdata interrupt`.",
            ]
        if info.status == "running":
            return [f"It is in memory of process {info.holder}."]
        if info.status == "waiting":
            return ["It is suspended: in nobody's memory until what it waits for comes."]
        if info.status == "backoff":
            due = await self.due(f"q 0 {self.job}")
            again = "" if due is None else f"; it runs again {self.at(due)}"
            return [f"{tries}{again}."]
        if info.status == "delayed" and info.due is not None:
            return [f"It was started with a delay: it begins {self.at(info.due)}."]
        if info.status == "pending":
            until = "" if info.due is None else f" until {self.at(info.due)}"
            return [f"Its id is reserved{until}; it begins when it is resumed."]
        return [await self.queue(info)]

    def line(self, info: JobInfo, gate: str) -> str:
        key = gate.split(" ", 3)[3].partition(":")[2]
        of = f" for the key {key!r}" if key else ""
        return f"It stands in line since {self.at(info.created)}: {self.topic!r} has limits, and there is no room{of}."

    async def queue(self, info: JobInfo) -> str:
        ahead = sum([int(await self.command("XLEN", f"{self.base}{kind}:{self.topic}")) for kind in "qc"])
        others = f", with {ahead - 1} others" if ahead > 1 else ""
        queued = f"It is queued for {self.topic!r} since {self.at(info.created)}{others}."
        if await self.workers(self.topic):
            return f"{queued} Processes that serve it are there; they have no free slot, or stand still."
        return f"{queued} No process serves {self.topic!r}: start one, for example by `meshdata serve`."

    async def workers(self, topic: str) -> list[str]:
        """Living processes that read a topic."""
        try:
            consumers = await self.command("XINFO", "CONSUMERS", f"{self.base}q:{topic}", "g")
        except ScriptFailed:  # no such stream
            return []
        now = round(time.time() * 1000)  # life signs are in real time, whatever clock is set
        living = {name.decode() for name in await self.command("ZRANGEBYSCORE", f"{self.base}procs", now, "+inf")}
        names = [_fields(consumer)["name"].decode() for consumer in consumers]
        return [name for name in names if name in living]

    async def hook(self, dimension: str, name: str) -> list[str]:
        header = await self.store.header(f"{dimension} {self.job}")
        if not header:
            return []
        status = header["status"].decode()
        waiting = job_info("", "", {**header, "ttl": b""}).waiting_for
        said = [f"Its hook {name} (dimension {dimension}) is {status}."]
        return said + await self.waits(dimension, waiting, runs=status == "running")

    # --- its calls ----------------------------------------------------------------------------------------------------

    async def waits(self, dimension: str, waits: tuple[Wait, ...], *, runs: bool) -> list[str]:
        if not waits and runs:
            return ["Nothing from outside is waited for: an activity, or the function itself, is at work there."]
        return list(await asyncio.gather(*(self.wait(f"{dimension} {self.job}", wait) for wait in waits)))

    async def wait(self, run: str, wait: Wait) -> str:
        due = await self.due(f"d {wait.position} {run}")
        since = "" if wait.since is None else f", since {self.at(wait.since)}"
        advice = ""
        if wait.kind == "sleep":
            what = "it sleeps" + ("" if due is None else f" until {self.at(due)}")
        elif wait.kind == "timeout":
            what = "a time limit runs" + ("" if due is None else f" until {self.at(due)}")
        elif wait.kind in ("wait", "any"):
            until = "" if due is None else f", until {self.at(due)}"
            one_of = "one of " if wait.kind == "any" else ""
            what = f"it waits for a signal on {one_of}{wait.name}{until}"
            advice = "; `meshdata signal` sends one"
        elif wait.kind in ("child", "start", "hook", "interrupt"):
            what = await self.other(wait)
        elif wait.kind == "activity":
            what = await self.activity(run, wait, due)
        else:
            what = f"it waits for {wait.kind} {wait.name}".rstrip()
        return f"At {wait.position} {what}{since}{advice}."

    async def other(self, wait: Wait) -> str:
        header = await self.store.header(f"0 {wait.name}")
        entity, _, id = wait.name.partition(":")
        status = header["status"].decode() if header else "not there yet"
        verb = "the result of its child" if wait.kind == "child" else f"an answer to its {wait.kind} of"
        return f"it waits for {verb} {wait.name}, which is {status} (`meshdata why {entity} {id}`)"

    async def activity(self, run: str, wait: Wait, due: datetime | None) -> str:
        if due is not None:
            failed = [
                entry
                for at, raw in enumerate(await self.store.entries(run, -LAST_ENTRIES))
                if (entry := parse(at, raw)).position == wait.position and entry.code == "try"
            ]
            error = from_json(failed[-1].payload) if failed else {}
            last = f"; the last failed with {error.get('type')}: {error.get('message')}" if error else ""
            return f"activity {wait.name} pauses before another attempt, {self.at(due)}{last}"
        topics = [topic.decode() for topic in await self.command("SMEMBERS", f"{self.base}topics")]
        served = [topic for topic in topics if topic.endswith(f"/{wait.name}") and await self.workers(topic)]
        if served:
            return f"it waits for activity {wait.name} on another worker"
        return f"it waits for activity {wait.name} on another worker, and no process serves one of that name"


def _fields(reply: Any) -> dict[str, Any]:
    """One consumer as XINFO tells it: a map, or a flat list of names and values."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value for name, value in pairs}


def _time(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _span(ms: float) -> str:
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms:.0f} ms"
