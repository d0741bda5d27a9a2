"""Makes schedules, changes them, and has their slots started when they are due.

A slot is decided about in Python, which alone reads timetables, and carried out by one script, which starts its job and
arms the next slot together, if nothing was done to the schedule since it was handed out. So any process may decide, and
one that dies over it loses nothing: another is handed the same slot a second later.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from meshdata.call.caller import Caller, Served
from meshdata.call.handle import Handle
from meshdata.call.options import job_of
from meshdata.call.schedule import Schedule, decide, policy_of, rule_json, rule_of, run_id, schedule_of
from meshdata.call.timetable import timetable
from meshdata.engine.engine import Engine
from meshdata.engine.policy import RetryPolicy
from meshdata.errors import JobExists, JobNotFound
from meshdata.store.messages import Argument
from meshdata.store.schedules import DueSchedule
from meshdata.values import Duration, check_entity, check_id, mint_id
from meshdata.workflow.child import ttl_text

logger = logging.getLogger(__name__)


class Schedules:
    """The schedules of a namespace."""

    def __init__(self, engine: Engine, caller: Caller) -> None:
        self._engine = engine
        self._store = engine.store
        self._caller = caller

    async def make(
        self,
        entity: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        served: Served,
        *,
        id: str,
        interval: Duration,
        tz: str,
        delay: Duration | None,
        until: datetime | Duration | None,
        retry: RetryPolicy | None,
        queue: str | None,
        timeout: Duration | None,
        ttl: Duration | None,
        **policy: Any,
    ) -> bool:
        """Make a schedule unless there is one of its name.

        Raises:
            InvalidOptions: an argument is wrong; nothing was written.
        """
        name = job_of(entity, id)
        check_id(f"{id}@now-{mint_id()}")  # the longest name of a run
        ruled = policy_of(**policy)
        start = self._caller.start_of(
            entity, args, kwargs, served, id=None, ttl=None, queue=queue, retry=retry, limit=timeout
        )
        kept = ttl_text(ttl)
        now = await self._store.time_ms(self._store.keys.partition(name))
        table = timetable(interval, tz=tz, now_ms=now, delay=delay, until=until)
        fields: dict[str, Argument] = {
            "rule": rule_json(table, ruled.catch_up), "overlap": ruled.overlap, "on_error": ruled.on_error,
            "max": ruled.max_cycles or "", "topic": start.topic, "body": start.body, "fn": start.name, "ttl": kept,
            "queue": start.queue, "limit": start.limit,
        }  # fmt: skip
        return await self._store.schedule(name, fields, slot=table.first(), token=mint_id()) == "OK"

    async def all(self, entity: str | None) -> list[Schedule]:
        """How they all stand, or those of one entity, by their names."""
        names = await self._store.schedule_names()
        if entity is not None:
            prefix = f"{check_entity(entity)}:"
            names = [name for name in names if name.startswith(prefix)]
        stored = await asyncio.gather(*map(self._store.read_schedule, names))
        return [schedule_of(name, fields) for name, fields in zip(names, stored, strict=True) if "rule" in fields]

    async def pause(self, entity: str, id: str) -> bool:
        """Start nothing more until it is resumed. False if there is none."""
        return await self._alter(job_of(entity, id), paused=True)

    async def resume(self, entity: str, id: str) -> bool:
        """Go on with the first slot from now. False if there is none."""
        return await self._alter(job_of(entity, id), paused=False)

    async def update(self, entity: str, id: str, **changes: Any) -> bool:
        """Change when it is due, or how it meets what is not as planned; None leaves an option as it is.

        Raises:
            InvalidOptions: an option is wrong; nothing was written.
        """
        return await self._alter(job_of(entity, id), **changes)

    async def _alter(self, name: str, *, paused: bool | None = None, **changes: Any) -> bool:
        while True:
            fields = await self._store.read_schedule(name)
            if "rule" not in fields:
                return False
            now = await self._store.time_ms(self._store.keys.partition(name))
            was_paused = fields.get("paused") == "1"
            stands = was_paused if paused is None else paused
            resumes = was_paused and not stands
            altered, slot = _altered(schedule_of(name, fields), fields, now, changes, resumes=resumes)
            word = await self._store.schedule(name, altered, slot=slot, rev=int(fields["rev"]), paused=stands)
            if word != "STALE":
                return word == "OK"

    async def drop(self, entity: str, id: str) -> bool:
        """Take it away; a run that is under way goes on. False if there is none."""
        return await self._store.unschedule(job_of(entity, id))

    async def trigger(self, mesh: Any, entity: str, id: str, served: Served) -> Handle[Any]:
        """Run it now, beside its slots.

        Raises:
            JobNotFound: there is no such schedule.
            JobExists: a run is under way, and runs of it may not overlap.
        """
        name = job_of(entity, id)
        partition, job = self._store.keys.partition(name), ""
        # In the schedule's own partition, where the job is there as soon as the script has ended.
        while not job or self._store.keys.partition(job) != partition:
            job = f"{name}@now-{mint_id()}"
        run = f"0 {job}"
        begun = self._engine.waiters.keep(run)
        try:
            word = await self._store.trigger(name, job)
            if word == "NOTFOUND":
                raise JobNotFound(f"there is no schedule {id!r} of {entity!r}", job_id=name)
            if word == "BUSY":
                raise JobExists(
                    f"a run of {name} is under way; await its end, or schedule with overlap='allow'", job_id=name
                )
        except BaseException:
            begun.cancel()
            raise
        return Handle(mesh, self._engine, entity, job.partition(":")[2], served.decode, begun=begun)

    async def due(self, due: DueSchedule) -> None:
        """A slot has come: have it started, or left out."""
        decision = decide(due)
        entity, _, id = due.name.partition(":")
        job = "" if decision.slot is None else f"{entity}:{run_id(id, decision.slot)}"
        word = await self._store.slot(
            due.name, rev=due.rev, slot=decision.slot, following=decision.next, line=decision.line, job=job
        )
        logger.debug("a schedule was due", extra={"schedule": due.name, "slot": decision.slot, "word": word})
        if word == "PASSED":
            logger.warning(
                "a schedule's slot is missed: nobody was there to start it",
                extra={"schedule": due.name, "slot": due.slot},
            )


def _altered(
    schedule: Schedule, fields: Mapping[str, str], now: int, changes: Mapping[str, Any], *, resumes: bool
) -> tuple[dict[str, Argument], int | None]:
    """The fields to write, and when it is due next: what came due in a pause is not made up."""
    table, _ = rule_of(fields["rule"])

    def wanted(option: str) -> Any:
        value = changes.get(option)
        return getattr(schedule, option) if value is None else value

    ruled = policy_of(**{name: wanted(name) for name in ("overlap", "on_error", "catch_up", "max_cycles")})
    timing = {name: changes[name] for name in ("interval", "tz", "until") if changes.get(name) is not None}
    if timing.keys() & {"interval", "tz"}:
        until = timing.get("until", schedule.until)
        table = timetable(wanted("interval"), tz=wanted("tz"), now_ms=now, until=until)
    elif timing:
        table = replace(
            table, until=timetable(schedule.interval, tz=schedule.tz, now_ms=now, until=timing["until"]).until
        )
    slot = int(fields["slot"]) if fields.get("slot") else None
    if timing or (resumes and slot is not None and slot < now):
        slot = table.after(now)
    altered: dict[str, Argument] = {
        "rule": rule_json(table, ruled.catch_up), "overlap": ruled.overlap, "on_error": ruled.on_error,
        "max": ruled.max_cycles or "",
    }  # fmt: skip
    return altered, slot
