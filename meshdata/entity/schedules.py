"""The verbs on schedules that a mesh has: what is asked of `call.schedules`, in the words of users."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Never, Protocol

from meshdata.call.handle import Handle
from meshdata.call.options import refuse_unknown
from meshdata.call.schedule import OnError, Overlap, Schedule
from meshdata.call.schedules import Schedules
from meshdata.engine.policy import RetryPolicy
from meshdata.entity.registry import Registry
from meshdata.values import Duration


class _Door(Protocol):
    _schedules: Schedules
    _registry: Registry

    def _need_open(self) -> None: ...


class ScheduleVerbs:
    """Run an entity's function again and again: at the times of a cron expression, or at an interval."""

    async def schedule(
        self: _Door,
        entity: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        id: str,
        interval: Duration,
        tz: str = "UTC",
        delay: Duration | None = None,
        max_cycles: int | None = None,
        until: datetime | Duration | None = None,
        overlap: Overlap = "skip",
        catch_up: bool | int = False,
        on_error: OnError = "continue",
        retry: RetryPolicy | None = None,
        timeout: Duration | None = None,
        ttl: Duration | None = None,
        queue: str | None = None,
        **unknown: Never,
    ) -> bool:
        """Run an entity's function again and again, each slot once, in whatever process serves it.

        A schedule lives in the store until it is ended; it needs no process of its own, and any that serves something
        keeps it going. The run of a slot is a job with an id of its own: "<id>@2026-11-23T02:30:00Z".

        Args:
            args, kwargs: of every run.
            id: its name. Of all who ask for one of that name, one makes it.
            interval: a cron expression (five fields, or six with seconds first), "@daily" and the like, or a duration:
                "15 minutes", "1 month". An interval begins now, an expression at its next time.
            tz: the zone whose clock and calendar it goes by.
            delay: begin so much later.
            max_cycles: end after so many runs.
            until: end at this moment (without a zone of its own: in `tz`), or so long from now.
            overlap: a slot that finds the run before it under way is left out ("skip"), waits for it ("queue"), or is
                started beside it ("allow").
            catch_up: of the slots that came due while no process was there, False makes up none, unless the last is
                less than a minute late; True all, and a number the last so many.
            on_error: after a run that failed, its retries too: "continue", "stop" (end it), "pause" (until resumed).
            retry: how often a failed run is repeated.
            timeout: a run fails that has not ended after so long.
            ttl: how long the result of each run is kept; by default it is forgotten when it is over.
            queue: where the function is served, if not under its own name.

        Returns:
            Whether this call made it; False if one of that name is there, which is left as it is.

        Raises:
            InvalidOptions: an argument is wrong; nothing was written.
        """
        self._need_open()
        if unknown:
            refuse_unknown("schedule", unknown, ScheduleVerbs.schedule)
        return await self._schedules.make(
            entity, args, kwargs, self._registry.served(entity), id=id, interval=interval, tz=tz, delay=delay,
            max_cycles=max_cycles, until=until, overlap=overlap, catch_up=catch_up, on_error=on_error, retry=retry,
            timeout=timeout, ttl=ttl, queue=queue,
        )  # fmt: skip

    async def schedules(self: _Door, entity: str | None = None) -> list[Schedule]:
        """How all schedules stand, or those of one entity."""
        self._need_open()
        return await self._schedules.all(entity)

    async def unschedule(self: _Door, entity: str, id: str) -> bool:
        """End a schedule; a run that is under way goes on. False if there is none."""
        self._need_open()
        return await self._schedules.drop(entity, id)

    async def pause_schedule(self: _Door, entity: str, id: str) -> bool:
        """Start nothing more until it is resumed. False if there is none."""
        self._need_open()
        return await self._schedules.pause(entity, id)

    async def resume_schedule(self: _Door, entity: str, id: str) -> bool:
        """Go on with the next slot; those of the pause are not made up. False if there is none."""
        self._need_open()
        return await self._schedules.resume(entity, id)

    async def update_schedule(
        self: _Door,
        entity: str,
        id: str,
        *,
        interval: Duration | None = None,
        tz: str | None = None,
        until: datetime | Duration | None = None,
        max_cycles: int | None = None,
        overlap: Overlap | None = None,
        catch_up: bool | int | None = None,
        on_error: OnError | None = None,
    ) -> bool:
        """Change options of a schedule; the others stay, and what it has done counts. False if there is none.

        A new interval is counted from now: its first slot is one interval from now.

        Raises:
            InvalidOptions: an option is wrong; nothing was written.
        """
        self._need_open()
        return await self._schedules.update(
            entity, id, interval=interval, tz=tz, until=until, max_cycles=max_cycles, overlap=overlap,
            catch_up=catch_up, on_error=on_error,
        )  # fmt: skip

    async def trigger(self: _Door, entity: str, id: str) -> Handle[Any]:
        """Run a schedule's function now, with its arguments, beside its slots.

        Returns:
            A handle on the run; await it for what the function returned.

        Raises:
            JobNotFound: there is no such schedule.
            JobExists: a run is under way, and runs of it may not overlap.
        """
        self._need_open()
        return await self._schedules.trigger(self, entity, id, self._registry.served(entity))
