"""What is to be done when a schedule is due, and what its options must be."""

from __future__ import annotations

from typing import Any

import pytest

from meshdata.call.schedule import MOST_IN_LINE, Decision, decide, policy_of, rule_json, run_id, schedule_of
from meshdata.call.timetable import timetable
from meshdata.errors import InvalidOptions
from meshdata.store.schedules import DueSchedule

START = 1_767_225_600_000  # 2026-01-01
MINUTE = 60_000
HOUR = 60 * MINUTE


def due(now: int, slot: int = START, *, catch_up: int = 0, interval: str = "1 hour", **options: Any) -> DueSchedule:
    rule = rule_json(timetable(interval, tz="UTC", now_ms=START, until=options.pop("until", None)), catch_up)
    return DueSchedule(**{"name": "a:b", "rev": 1, "line": 0, "waited": False, "overlap": "skip"} | options,
                       now=now, slot=slot, rule=rule)  # fmt: skip


def test_a_slot_in_time_is_started_and_the_next_is_an_interval_later() -> None:
    assert decide(due(START + 3)) == Decision(START, START + HOUR, 0)


def test_a_slot_less_than_a_minute_late_is_started() -> None:
    assert decide(due(START + MINUTE)).slot == START


def test_a_missed_slot_is_passed_by() -> None:
    assert decide(due(START + 2 * MINUTE)) == Decision(None, START + HOUR, 0)


def test_of_several_that_came_due_only_the_last_is_started_if_it_is_fresh() -> None:
    assert decide(due(START + 5 * HOUR + 1)) == Decision(START + 5 * HOUR, START + 6 * HOUR, 0)
    assert decide(due(START + 5 * HOUR + 2 * MINUTE)) == Decision(None, START + 6 * HOUR, 0)


def test_all_are_made_up_from_the_first_on() -> None:
    now = START + 5 * HOUR + 30 * MINUTE
    first = decide(due(now, catch_up=-1))
    assert first == Decision(START, START + HOUR, now), "the others are owed"
    assert decide(due(now + 1, START + HOUR, catch_up=-1, line=now)) == Decision(START + HOUR, START + 2 * HOUR, now)


def test_a_number_of_them_is_made_up() -> None:
    now = START + 5 * HOUR + 30 * MINUTE
    assert decide(due(now, catch_up=2)) == Decision(START + 4 * HOUR, START + 5 * HOUR, START + 5 * HOUR)
    assert decide(due(now, catch_up=9)) == Decision(START, START + HOUR, START + 5 * HOUR)
    assert decide(due(now, START + 5 * HOUR, catch_up=2)) == Decision(START + 5 * HOUR, START + 6 * HOUR, 0)


def test_an_owed_slot_is_started_however_late() -> None:
    assert decide(due(START + 9 * HOUR, line=START + HOUR)) == Decision(START, START + HOUR, START + HOUR)


def test_slots_that_came_due_during_a_run_queue() -> None:
    waited = due(START + 2 * HOUR + 1, waited=True, overlap="queue")
    assert decide(waited) == Decision(START, START + HOUR, START + 2 * HOUR)


def test_no_more_than_the_last_hundred_queue() -> None:
    now = START + 500 * HOUR
    found = decide(due(now, waited=True, overlap="queue"))
    assert found == Decision(now - (MOST_IN_LINE - 1) * HOUR, now - (MOST_IN_LINE - 2) * HOUR, now)


def test_after_its_last_slot_there_is_none() -> None:
    assert decide(due(START + HOUR, START + HOUR, until="1 hour")) == Decision(START + HOUR, None, 0)
    assert decide(due(START + 9 * HOUR, until="1 hour")) == Decision(None, None, 0)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("overlap", "maybe", "one of 'skip', 'queue', 'allow'"),
        ("overlap", None, "one of"),
        ("on_error", "ignore", "one of 'continue', 'stop', 'pause'"),
        ("catch_up", 0, "at least 1"),
        ("catch_up", "yes", "True, False, or"),
        ("max_cycles", 0, "at least 1"),
        ("max_cycles", True, "a whole number"),
        ("max_cycles", 1.5, "a whole number"),
    ],
)
def test_what_is_no_policy_is_refused(option: str, value: Any, words: str) -> None:
    options = {"overlap": "skip", "on_error": "stop", "catch_up": False, "max_cycles": None, option: value}
    with pytest.raises(InvalidOptions, match=words) as refused:
        policy_of(**options)
    assert refused.value.argument == option


@pytest.mark.parametrize(("catch_up", "stored"), [(False, 0), (True, -1), (3, 3)])
def test_a_schedule_tells_what_it_was_asked_for(catch_up: bool | int, stored: int) -> None:
    ruled = policy_of(overlap="queue", on_error="pause", catch_up=catch_up, max_cycles=7)
    assert ruled.catch_up == stored
    rule = rule_json(timetable("0 3 * * *", tz="Europe/Paris", now_ms=START, until="1 year"), ruled.catch_up)
    fields = {"rule": rule, "overlap": "queue", "on_error": "pause", "max": "7", "slot": str(START), "cycles": "2"}
    one = schedule_of("my.cron:x:y", fields)
    assert (one.topic, one.id, one.interval, one.tz) == ("my.cron", "x:y", "0 3 * * *", "Europe/Paris")
    assert (one.catch_up, one.overlap, one.on_error, one.max_cycles) == (catch_up, "queue", "pause", 7)
    assert one.next is not None and one.next.isoformat() == "2026-01-01T01:00:00+01:00"
    assert (one.last, one.cycles, one.running, one.error) == (None, 2, 0, None)


def test_a_run_is_named_by_its_slot() -> None:
    assert run_id("nightly", START) == "nightly@2026-01-01T00:00:00Z"
    assert run_id("often", START + 250) == "often@2026-01-01T00:00:00.250Z"
