"""How fast this process takes messages in: so many ms between two of a topic, or none at all.

The pace is per message, not per read. What a read brought before its time is held back here, still pending for this
process like anything it was given; what came of a topic that is paused by then goes back to its stream (`back`), so
that it does not wait for this process.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from meshdata.errors import InvalidOptions

T = TypeVar("T")

PAUSED: Final = -1
MOST_MS: Final = 2_147_483_647
"""So many ms, or more, is a pause too: it is what other clients write for one."""


def check_throttle(ms: object) -> int:
    """The ms between two messages; -1 for a pause.

    Raises:
        InvalidOptions: it is none of these.
    """
    if isinstance(ms, bool) or not isinstance(ms, int) or not (ms == PAUSED or 0 <= ms <= MOST_MS):
        raise InvalidOptions(
            f"Throttle must be a non-negative integer and not exceed {MOST_MS} ms; send -1 to throttle indefinitely; "
            f"got {ms!r}",
            argument="ms",
        )
    return PAUSED if ms == MOST_MS else ms


class Pace(Generic[T]):
    """The rates of one process, and what it holds back by them.

    Args:
        deliver: takes a message whose time has come.
        back: takes one of a topic that is paused; False if it cannot go back, and is to be held.
        opened: some topic may be read again.
    """

    def __init__(self, deliver: Callable[[T], None], back: Callable[[T], bool], opened: Callable[[], None]) -> None:
        self._deliver = deliver
        self._back = back
        self._opened = opened
        self.default = 0
        self.rates: dict[str, int] = {}
        self._last: dict[str, float] = {}
        self._held: dict[str, deque[T]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def rate(self, topic: str) -> int:
        """ms between two messages of a topic; -1: it is paused."""
        return self.rates.get(topic, self.default)

    @property
    def is_free(self) -> bool:
        """Nothing is throttled, and nothing held back."""
        return not (self.default or self.rates or self._held)

    def takes(self, topic: str) -> bool:
        """Whether a message of a topic would be handed on at once."""
        return self.is_free or (topic not in self._held and self._left(topic) == 0)

    def _left(self, topic: str) -> float | None:
        """Seconds until the next message of a topic may be handed on; None: it is paused."""
        ms = self.rate(topic)
        if ms <= 0:
            return 0.0 if ms == 0 else None
        last = self._last.get(topic)
        return 0.0 if last is None else max(0.0, last + ms / 1000 - asyncio.get_running_loop().time())

    def pass_on(self, topic: str, message: T) -> None:
        """Hand a message on, now or when its time comes."""
        if self.is_free:
            self._deliver(message)
        elif self.takes(topic):
            self._hand_on(topic, message)
            self._arm()
        elif self.rate(topic) != PAUSED or not self._back(message):
            self._held.setdefault(topic, deque()).append(message)
            self._arm()

    def _hand_on(self, topic: str, message: T) -> None:
        self._last[topic] = asyncio.get_running_loop().time()
        self._deliver(message)

    def holds(self, topic: str, is_it: Callable[[T], bool]) -> bool:
        """Whether a message of a topic is held back."""
        return any(map(is_it, self._held.get(topic, ())))

    def drop(self, is_it: Callable[[T], bool]) -> None:
        """Forget what is held back and is another's by now."""
        for topic, held in list(self._held.items()):
            self._keep(topic, deque(message for message in held if not is_it(message)))

    def _keep(self, topic: str, held: deque[T]) -> None:
        if held:
            self._held[topic] = held
        else:
            self._held.pop(topic, None)

    def set(self, ms: int, topic: str | None = None) -> None:
        """A topic's rate from now on; without one that of all, in place of every topic's own.

        Who waits for the next message's time waits for the new one.
        """
        if topic is None:
            self.replace(ms, {})
        else:
            self.replace(self.default, {**self.rates, topic: ms})

    def replace(self, default: int, rates: dict[str, int]) -> None:
        """All rates at once."""
        self.default, self.rates = default, {topic: ms for topic, ms in rates.items() if ms != default}
        for topic, held in list(self._held.items()):
            if self.rate(topic) == PAUSED:
                self._keep(topic, deque(message for message in held if not self._back(message)))
        self._go_on()

    def _go_on(self) -> None:
        """Hand on what is due, and have read what may be."""
        self._timer = None
        for topic, held in list(self._held.items()):
            while held and self._left(topic) == 0:
                self._hand_on(topic, held.popleft())
            self._keep(topic, held)
        self._arm()
        self._opened()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lefts = [left for topic in {*self._last, *self._held} if (left := self._left(topic))]
        if lefts:
            self._timer = asyncio.get_running_loop().call_later(min(lefts), self._go_on)

    def close(self) -> None:
        """Hand nothing on any more; what is held stays pending, for whoever takes over."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
