"""The verbs of the control plane that a mesh has: what is asked of `engine.control` and the bus, in words of users."""

from collections.abc import Mapping
from typing import Any, Protocol

from meshdata.call.options import seconds
from meshdata.engine.bus import Bus, Callback, Subscription
from meshdata.engine.control import Control
from meshdata.engine.profile import Profile, Throttle
from meshdata.errors import InvalidOptions
from meshdata.values import Duration


class _Door(Protocol):
    _bus: Bus
    _control: Control

    def _need_open(self) -> None: ...


class ControlVerbs:
    """See who serves a namespace, slow it down, hold it, and tell its processes things."""

    async def roll_call(self: _Door, delay: Duration = 1) -> list[Profile]:
        """Ask every process that serves something what it is and how it stands.

        Args:
            delay: how long to wait for answers, at the most; it is over as soon as all known ones have come.

        Returns:
            A Profile of each that answered, the longest-serving first.
        """
        self._need_open()
        delay_s = seconds(delay, argument="delay")
        if delay_s is None:
            raise InvalidOptions("it has to end; name how long to wait for answers", argument="delay")
        return await self._control.roll_call(delay_s)

    async def throttle(self: _Door, ms: int, *, topic: str | None = None, process: str | None = None) -> None:
        """Slow down, hold or release the taking in of messages, while everything runs.

        What was begun goes on. A rate is kept, and holds for processes that come later, until it is set to 0; that of
        one process is not kept.

        Args:
            ms: between two messages of a topic in each process; 0 for no limit, -1 to pause.
            topic: only this one; without it the rate is that of all, in place of every topic's own.
            process: only this process, by the id a roll call gives.

        Raises:
            InvalidOptions: `ms` is no whole number from -1 to 2147483647.
        """
        self._need_open()
        for argument, value in (("topic", topic), ("process", process)):
            if value is not None and not (isinstance(value, str) and value):
                raise InvalidOptions(f"a name is needed, or nothing for all; got {value!r}", argument=argument)
        await self._control.throttle(ms, topic=topic, process=process)

    async def throttles(self: _Door) -> Throttle:
        """The rates that are kept: `.all`, `.topics`, `.of("order")`."""
        self._need_open()
        return await self._control.throttles()

    async def publish(self: _Door, message: Mapping[str, Any]) -> None:
        """Tell every process of the namespace that listens just now; one that does not misses it.

        A message whose `type` is ping, pong, throttle or rollcall is one of the mesh itself: see `engine/control.py`.
        """
        self._need_open()
        await self._bus.publish(message)

    def subscribe(self: _Door, callback: Callback) -> Subscription:
        """Have a callback, sync or async, called with each message, a dict: what `publish` was given, of
        `workflow.emit` `{"topic", "payload", "job_id"}`, and the control plane's own, which have a `type`.

        Returns:
            The subscription: `await` it to be sure it is heard by now, `close()` it to hear no more.
        """
        self._need_open()
        return self._bus.subscribe(callback)
