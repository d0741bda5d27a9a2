"""The control-plane bus: small messages for every process of a namespace that listens. News, not truth: one that is
published while nobody listens, or while a connection is down, is lost. What must arrive is a signal."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any

from meshdata.errors import InvalidOptions
from meshdata.store.store import Store
from meshdata.values import from_json, to_json

logger = logging.getLogger(__name__)

Callback = Callable[[dict[str, Any]], Awaitable[None] | None]


class Subscription:
    """A callback on the bus. `await` it to be sure that nothing published from now on is missed; `close` ends it."""

    def __init__(self, bus: "Bus", callback: Callback) -> None:
        self._bus = bus
        self.callback = callback

    def __await__(self) -> Generator[Any, None, "Subscription"]:
        return self._until_heard().__await__()

    async def _until_heard(self) -> "Subscription":
        await self._bus.listening()
        return self

    def close(self) -> None:
        """Hear no more."""
        self._bus.forget(self)


class Bus:
    """One process's ear on the bus; it listens from the first subscription on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscriptions: list[Subscription] = []
        self._listen: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    def subscribe(self, callback: Callback) -> Subscription:
        """Have a callback, sync or async, called with every message."""
        if not callable(callback):
            raise InvalidOptions(f"{type(callback).__name__} cannot be called", argument="callback")
        subscription = Subscription(self, callback)
        self._subscriptions.append(subscription)
        if self._listen is None:
            self._listen = asyncio.create_task(self._begin(), name="meshdata bus")
        return subscription

    async def _begin(self) -> None:
        channel = self._store.keys.bus
        await self._store.connections.lane(0).subscribe(channel, self._heard)

    async def listening(self) -> None:
        """Returns when the server has confirmed the subscription.

        Raises:
            StoreUnavailable: there is no connection.
        """
        if self._listen is not None:
            await asyncio.shield(self._listen)

    def forget(self, subscription: Subscription) -> None:
        """Call a callback no more."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def publish(self, message: Mapping[str, Any]) -> None:
        """Tell every process that listens, this one included.

        Raises:
            InvalidOptions: it is no mapping, or cannot be sent.
        """
        if not isinstance(message, Mapping):
            raise InvalidOptions(f"a message is a mapping; got {type(message).__name__}", argument="message")
        body = to_json(dict(message), argument="message")
        await self.listening()  # who has just subscribed here hears it too
        await self._store.command(0, "PUBLISH", self._store.keys.bus, body)

    def _heard(self, body: bytes) -> None:
        message = from_json(body)
        for subscription in list(self._subscriptions):
            try:
                said = subscription.callback(message)
            except Exception:
                logger.exception("a callback of the bus failed")
                continue
            if inspect.isawaitable(said):
                task = asyncio.ensure_future(_awaited(said))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Call nobody any more; what is under way is cancelled."""
        self._subscriptions.clear()
        tasks = [*self._running, *([self._listen] if self._listen is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _awaited(said: Awaitable[None]) -> None:
    try:
        await said
    except Exception:
        logger.exception("a callback of the bus failed")
