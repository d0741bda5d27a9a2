"""The control plane of a namespace: who serves, how fast, and the messages by which that is asked and said.

Messages of the bus that have one of these as `type` are for the mesh itself; all others are the users'. Who subscribes
hears both.

    ping      originator, details?               each serving process answers with a pong; with its profile if asked
    pong      guid, originator, profile?         of a ping, to its originator; of a roll call, to all (originator null)
    throttle  throttle, guid?, topic?            take messages in at this rate: of a topic, in one process, everywhere
    rollcall  interval, max?, guid?, topic?, signature?  answer with a profile, again and again

What a rate is kept as is read at the start and after a lost connection; the message only tells of it at once. A rate of
one process is told and not kept: it ends with the process.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from meshdata.engine.bus import Bus, Subscription
from meshdata.engine.pace import Pace, check_throttle
from meshdata.engine.profile import Profile, Throttle
from meshdata.errors import InvalidOptions, MeshError
from meshdata.store.store import Store
from meshdata.values import to_json

logger = logging.getLogger(__name__)

MOST_ANSWERS: Final = 12
"""How often a process answers one roll call."""

FIRST_ANSWER_S: Final = 1.0
"""Answers to a roll call come spread over so long."""


class Control:
    """One process's part in the control plane.

    Args:
        pace: the rates of its reader.
        profile: what it says of itself; given whether sources are asked for.
    """

    def __init__(
        self, store: Store, bus: Bus, pace: Callable[[], Pace[Any]], profile: Callable[[bool], Profile]
    ) -> None:
        self._store = store
        self._bus = bus
        self._pace = pace
        self._profile = profile
        self._serves = False
        self._subscription: Subscription | None = None
        self._kept: tuple[int, dict[str, int]] = (0, {})
        self._answering: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: list[tuple[dict[str, Profile], asyncio.Event]] = []

    # --- serving ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take part: go by the rates that are kept, answer when called. First listen, then read."""
        self._serves = True
        await self._listen()
        self._store.connections.lane(0).on_connect.append(self._reconnected)
        await self._read()

    async def _listen(self) -> None:
        if self._subscription is None:
            self._subscription = self._bus.subscribe(self._heard)
        await self._subscription

    async def _reconnected(self) -> None:
        self._spawn(self._read_again())

    async def _read_again(self) -> None:
        try:
            await self._store.connections.lane(0).ready()
            await self._read()
        except MeshError:
            logger.warning("the rates could not be read; those known hold", exc_info=True)

    async def _read(self) -> None:
        kept = await self._store.throttles()
        if kept != self._kept:  # else a rate of this process alone goes on
            self._kept = kept
            self._pace().replace(*kept)

    async def close(self) -> None:
        """Take part no more."""
        self._serves = False
        tasks = [*self._tasks, *([self._answering] if self._answering is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine, name="meshdata control")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- hearing ------------------------------------------------------------------------------------------------------

    def _heard(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "pong":
            self._count(message)
        elif self._serves and kind in ("ping", "throttle", "rollcall") and self._is_meant(message):
            try:
                {"ping": self._ping, "throttle": self._throttle, "rollcall": self._roll_call}[kind](message)
            except (InvalidOptions, TypeError, ValueError):
                logger.warning("a message of the control plane cannot be read", extra={"type": kind})

    def _is_meant(self, message: Mapping[str, Any]) -> bool:
        guid, topic = message.get("guid"), message.get("topic")
        if guid is not None and guid != self._store.process:
            return False
        return topic is None or message["type"] == "throttle" or topic in self._profile(False).topics

    def _throttle(self, message: Mapping[str, Any]) -> None:
        ms, topic = check_throttle(message.get("throttle")), message.get("topic")
        self._pace().set(ms, topic)
        if message.get("guid") is None:
            default, rates = self._kept
            if topic is None:
                self._kept = (ms, {})
            elif ms == 0 and default == 0:
                self._kept = (default, {name: rate for name, rate in rates.items() if name != topic})
            else:
                self._kept = (default, {**rates, topic: ms})

    def _ping(self, message: Mapping[str, Any]) -> None:
        self._spawn(self._pong(message.get("originator"), details=bool(message.get("details"))))

    async def _pong(self, originator: str | None, *, details: bool = True, signature: bool = False) -> None:
        answer: dict[str, Any] = {"type": "pong", "guid": self._store.process, "originator": originator}
        if details:
            answer["profile"] = self._profile(signature).to_message()
        try:
            await self._bus.publish(answer)
        except MeshError:
            logger.warning("a roll call could not be answered", exc_info=True)

    def _roll_call(self, message: Mapping[str, Any]) -> None:
        """A new roll call takes the place of the one that is answered."""
        if self._answering is not None:
            self._answering.cancel()
        interval = float(message.get("interval") or 0)
        most = min(int(message.get("max") or MOST_ANSWERS), MOST_ANSWERS) if interval > 0 else 1
        answers = self._answer(interval, most, signature=bool(message.get("signature")))
        self._answering = asyncio.create_task(answers, name="meshdata roll call")

    async def _answer(self, interval: float, most: int, *, signature: bool) -> None:
        await asyncio.sleep(random.uniform(0, FIRST_ANSWER_S))
        for at in range(most):
            if at:
                await asyncio.sleep(interval * random.uniform(0.5, 1.0))
            await self._pong(None, signature=signature)

    def _count(self, message: Mapping[str, Any]) -> None:
        if message.get("originator") != self._store.process or "profile" not in message:
            return
        try:
            profile = Profile.of_message(message["profile"])
        except (KeyError, TypeError, ValueError, AttributeError):
            logger.warning("a profile cannot be read; another version made it", extra={"guid": message.get("guid")})
            return
        for found, news in self._asked:
            found[profile.process] = profile
            news.set()

    # --- asking -------------------------------------------------------------------------------------------------------

    async def throttle(self, ms: int, *, topic: str | None, process: str | None) -> None:
        """Set a rate; see `MeshData.throttle`.

        Raises:
            InvalidOptions: it is no rate.
        """
        rate = check_throttle(ms)
        message: dict[str, Any] = {"type": "throttle", "throttle": rate}
        targets = {name: value for name, value in (("guid", process), ("topic", topic)) if value is not None}
        if process is not None:
            await self._bus.publish({**message, **targets})
            return
        if self._subscription is not None:
            await self._subscription
        body = to_json({**message, **targets}, argument="ms")
        await self._store.throttle(rate, topic=topic, message=body)

    async def throttles(self) -> Throttle:
        """The rates that are kept."""
        return Throttle(*await self._store.throttles())

    async def roll_call(self, delay_s: float) -> list[Profile]:
        """The profiles of the serving processes; as soon as all have answered that are known, at the latest after
        `delay_s`."""
        await self._listen()
        found: dict[str, Profile] = {}
        news = asyncio.Event()
        asked = (found, news)
        self._asked.append(asked)
        try:
            known = await self._store.processes()
            await self._bus.publish({"type": "ping", "originator": self._store.process, "details": True})
            async with asyncio.timeout(delay_s):
                while not known or not found.keys() >= set(known):
                    news.clear()
                    await news.wait()
        except TimeoutError:
            pass
        finally:
            self._asked.remove(asked)
        return await self._with_depths(found.values())

    async def _with_depths(self, profiles: Iterable[Profile]) -> list[Profile]:
        profiles = sorted(profiles, key=lambda one: (one.started, one.process))
        depths = await self._store.depths(sorted({topic for one in profiles for topic in one.topics}))
        return [replace(one, depths={topic: depths[topic] for topic in one.topics}) for one in profiles]
