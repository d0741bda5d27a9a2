"""Schedules as values: what one is asked to be, how it stands, and what is to be done when a slot is due. Pure.

The rules, which `decide` applies (docs/guides/schedules.md tells them to users):

    Of slots that have come due together, because no process was there to start them, `catch_up` says which are made up:
    none but the last, and that only within a minute of its time; all; or the last n. The others are missed.
    Those that are made up, and those that queue, are owed: the store starts each when the run before it has ended.
    A slot that finds the run before it under way is left out (skip), waits (queue; of the slots of one run's time the
    last 100), or is started beside it (allow).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from meshdata.call.timetable import Timetable, zone
from meshdata.errors import InvalidOptions
from meshdata.store.schedules import DueSchedule

Overlap = Literal["skip", "queue", "allow"]
"""What becomes of a slot that finds the run before it under way."""

OnError = Literal["continue", "stop", "pause"]
"""What becomes of a schedule when a run has failed, its retries too."""

LATE_MS: Final = 60_000
"""Without catching up, a slot that nobody could start for so long is missed: two life signs are far less."""

MOST_IN_LINE: Final = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """How a schedule meets what is not as planned. catch_up: how many slots are made up; 0 none, -1 all."""

    overlap: str = "skip"
    on_error: str = "continue"
    catch_up: int = 0
    max_cycles: int | None = None


def policy_of(*, overlap: Any, on_error: Any, catch_up: Any, max_cycles: Any) -> Policy:
    """The options of a schedule, checked.

    Raises:
        InvalidOptions: it names the first that is wrong.
    """
    for argument, value, words in (
        ("overlap", overlap, ("skip", "queue", "allow")), ("on_error", on_error, ("continue", "stop", "pause")),
    ):  # fmt: skip
        if value not in words:
            raise InvalidOptions(f"one of {', '.join(map(repr, words))}; got {value!r}", argument=argument)
    if isinstance(catch_up, bool):
        catch_up = -1 if catch_up else 0
    elif not isinstance(catch_up, int) or catch_up < 1:
        raise InvalidOptions(f"True, False, or how many to make up, at least 1; got {catch_up!r}", argument="catch_up")
    if max_cycles is not None and (isinstance(max_cycles, bool) or not isinstance(max_cycles, int) or max_cycles < 1):
        raise InvalidOptions(f"a whole number, at least 1; got {max_cycles!r}", argument="max_cycles")
    return Policy(overlap, on_error, catch_up, max_cycles)


def rule_json(table: Timetable, catch_up: int) -> str:
    """What only Python reads of a schedule, as it is stored."""
    return json.dumps({**table.as_json(), "catch_up": catch_up})


def rule_of(stored: str) -> tuple[Timetable, int]:
    """The timetable and how many slots are made up, of what `rule_json` wrote."""
    rule = json.loads(stored)
    catch_up: int = rule.pop("catch_up")
    return Timetable(**rule), catch_up


class Decision(NamedTuple):
    """What is to be done: start `slot` (None: only pass by), be due next at `next` (None: never), owe up to `line`."""

    slot: int | None
    next: int | None
    line: int


def decide(due: DueSchedule) -> Decision:
    """What is to be done about a schedule that is due; whether its slot overlaps is the store's to see."""
    table, catch_up = rule_of(due.rule)
    slot, line = due.slot, due.line
    if due.waited and due.overlap == "queue":
        owed = table.latest(MOST_IN_LINE, since=slot, until=due.now)
        slot, line = max(slot, owed[0]), max(line, owed[-1])
    elif slot > line and catch_up >= 0:
        kept = table.latest(max(catch_up, 1), since=slot, until=due.now)
        if catch_up == 0 and due.now - kept[-1] > LATE_MS:
            return Decision(None, table.after(due.now), line)
        slot = kept[0]
        line = kept[-1] if len(kept) > 1 else line
    elif slot > line and (following := table.after(slot)) is not None and following <= due.now:
        line = due.now
    return Decision(slot, table.after(slot), line)


def run_id(id: str, slot: int) -> str:
    """The id of the job that runs a slot: "nightly@2026-11-23T02:30:00Z", with milliseconds where there are any."""
    moment = datetime.fromtimestamp(slot // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{id}@{moment}{f'.{slot % 1000:03}' if slot % 1000 else ''}Z"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a schedule stands.

    Attributes:
        entity, id: what it runs, and its own name.
        interval, tz: when, as it was asked for.
        next: the slot to come; None if none is left and the last run is under way. A paused one has it too: it is what
            comes first if it is resumed by then.
        last: the slot that was started last.
        cycles: slots started. skipped: left out because the run before them was under way.
        failures: runs that failed. error: what the last run failed with, None if it did not.
        running: runs under way.
        paused: nothing is started until it is resumed.
        until, max_cycles: when it ends; None: when it is interrupted.
    """

    entity: str
    id: str
    interval: str
    tz: str
    next: datetime | None
    last: datetime | None
    cycles: int
    paused: bool
    running: int
    skipped: int
    failures: int
    error: str | None
    until: datetime | None
    max_cycles: int | None
    overlap: str
    on_error: str
    catch_up: bool | int

    @property
    def topic(self) -> str:
        """The entity, as calls name it."""
        return self.entity


def schedule_of(name: str, stored: Mapping[str, str]) -> Schedule:
    """A schedule of the hash that keeps it; times are in its own zone."""
    table, catch_up = rule_of(stored["rule"])
    where = zone(table.tz)

    def moment(ms: str | int | None) -> datetime | None:
        if not ms:
            return None
        return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(ms))).astimezone(where)

    def count(field: str) -> int:
        return int(stored.get(field) or 0)

    entity, _, id = name.partition(":")
    return Schedule(
        entity=entity, id=id, interval=table.text, tz=table.tz, next=moment(stored.get("slot")),
        last=moment(stored.get("last")), cycles=count("cycles"), paused=stored.get("paused") == "1",
        running=count("running"), skipped=count("skipped"), failures=count("failures"), error=stored.get("error"),
        until=moment(table.until), max_cycles=count("max") or None, overlap=stored["overlap"],
        on_error=stored["on_error"], catch_up=catch_up if catch_up > 0 else catch_up < 0,
    )  # fmt: skip
