"""The part of the door that calls functions again and again; a mesh's schedules, in the words of calls."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, Never, Protocol

from meshdata.call.handle import Handle
from meshdata.call.options import refuse_unknown
from meshdata.call.schedule import OnError, Overlap, Schedule
from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions
from meshdata.opening import Opening
from meshdata.values import Duration


class _Door(Protocol):
    _opening: Opening

    @property
    def connect(self) -> Callable[..., Coroutine[Any, Any, object]]: ...


class CronVerbs:
    """Call a topic at the times of a cron expression, or at an interval."""

    async def cron(
        self: _Door,
        topic: str,
        fn: Callable[..., Any] | None = None,
        *,
        id: str,
        interval: Duration,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        delay: Duration | None = None,
        max_cycles: int | None = None,
        until: datetime | Duration | None = None,
        tz: str = "UTC",
        on_error: OnError = "continue",
        overlap: Overlap = "skip",
        catch_up: bool | int = False,
        retry: RetryPolicy | None = None,
        timeout: Duration | None = None,
        **unknown: Never,
    ) -> bool:
        """Call a topic again and again, each slot once, until it is interrupted or ends by itself.

        It is kept in the store, and needs this process no longer: whatever serves anything in the namespace keeps it
        going.

        Args:
            fn: serve this under the topic first, whether the schedule is there or not; without it another process
                does. One that runs already keeps the function that this process serves under its topic.
            id: its name. Of all who ask for one of that name, one makes it.
            interval, tz, delay, max_cycles, until, overlap, catch_up, on_error, retry, timeout: see
                `MeshData.schedule`.

        Returns:
            Whether this call made it; False if it runs already.

        Raises:
            InvalidOptions: an argument is wrong; no schedule was made.
        """
        if unknown:
            refuse_unknown("cron", unknown, CronVerbs.cron)
        mesh = await self._opening.opened()
        if fn is not None:
            try:
                await self.connect(topic, fn)
            except InvalidOptions:
                if any(one.id == id for one in await mesh.schedules(topic)):
                    return False
                raise
        return await mesh.schedule(
            topic, args, kwargs, id=id, interval=interval, tz=tz, delay=delay, max_cycles=max_cycles, until=until,
            overlap=overlap, catch_up=catch_up, on_error=on_error, retry=retry, timeout=timeout,
        )  # fmt: skip

    async def schedules(self: _Door, topic: str | None = None) -> list[Schedule]:
        """How all schedules stand, or those of one topic."""
        return await (await self._opening.opened()).schedules(topic)

    async def pause(self: _Door, topic: str, *, id: str) -> bool:
        """Start nothing more until it is resumed. False if there is no such schedule."""
        return await (await self._opening.opened()).pause_schedule(topic, id)

    async def resume(self: _Door, topic: str, *, id: str) -> bool:
        """Go on with the next slot; those of the pause are not made up. False if there is no such schedule."""
        return await (await self._opening.opened()).resume_schedule(topic, id)

    async def update(self: _Door, topic: str, *, id: str, **changes: Any) -> bool:
        """Change interval, tz, until, max_cycles, overlap, catch_up or on_error; see `MeshData.update_schedule`."""
        return await (await self._opening.opened()).update_schedule(topic, id, **changes)

    async def trigger(self: _Door, topic: str, *, id: str) -> Handle[Any]:
        """Run it now, beside its slots; await the handle for what the function returned.

        Raises:
            JobNotFound: there is no such schedule. JobExists: a run is under way, and its runs may not overlap.
        """
        return await (await self._opening.opened()).trigger(topic, id)
