"""When to try again: the retry policy as data. Pure: no clock, no I/O; the dice are handed in."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from meshdata.errors import FINAL_CODES, Fatal, InvalidOptions, MeshError
from meshdata.values import Duration, duration_ms


def _zero() -> float:
    return 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _class_names(given: Any) -> tuple[str, ...]:
    # a text by itself would be taken letter by letter
    if not isinstance(given, (tuple, list, set, frozenset)) or not all(
        isinstance(one, str) or (isinstance(one, type) and issubclass(one, BaseException)) for one in given
    ):
        raise InvalidOptions(
            f"a tuple of exception classes, or of their names, is needed; got {given!r}", argument="non_retryable"
        )
    return tuple(one if isinstance(one, str) else one.__name__ for one in given)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and at what pace a failed function is run again.

    Args:
        max_attempts: runs in all, the first one included; None tries for ever.
        initial: pause before the second run.
        coefficient: each further pause is this many times the last one.
        max_interval: no pause is longer.
        jitter: each pause is shortened by up to this share of it, at random (0 to 1).
        non_retryable: names of exception classes that end it at once (a class is taken by its name).
        throw_on_error: False has the failure of an activity or a child returned to the workflow, as a dict of type,
            message, code, attempts and stack, instead of raised.
    """

    max_attempts: int | None = 3
    initial: Duration = 1.0
    coefficient: float = 2.0
    max_interval: Duration = 120.0
    jitter: float = 0.0
    non_retryable: tuple[str | type[BaseException], ...] = ()
    throw_on_error: bool = True

    def __post_init__(self) -> None:
        attempts = self.max_attempts
        if attempts is not None and (not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1):
            raise InvalidOptions(
                f"max_attempts is the number of runs in all: at least 1, or None for no limit; got {attempts!r}",
                argument="max_attempts",
            )
        if not (_is_number(self.coefficient) and 1 <= self.coefficient < inf):
            raise InvalidOptions(f"coefficient is a number from 1 on; got {self.coefficient!r}", argument="coefficient")
        if not (_is_number(self.jitter) and 0 <= self.jitter <= 1):
            raise InvalidOptions(f"jitter is a number from 0 to 1; got {self.jitter!r}", argument="jitter")
        if not isinstance(self.throw_on_error, bool):
            raise InvalidOptions(f"True or False; got {self.throw_on_error!r}", argument="throw_on_error")
        duration_ms(self.initial, argument="initial")
        duration_ms(self.max_interval, argument="max_interval")
        object.__setattr__(self, "non_retryable", _class_names(self.non_retryable))

    def delay_ms(self, attempts: int, *, dice: Callable[[], float] = _zero) -> int:
        """The pause after `attempts` failed runs, in ms. `dice` gives a number from 0 to 1 for the jitter."""
        initial = duration_ms(self.initial, argument="initial") or 0
        ceiling = duration_ms(self.max_interval, argument="max_interval") or 0
        pause = min(initial * self.coefficient ** min(attempts - 1, 64), ceiling)
        return int(pause * (1 - self.jitter * dice()))

    def pause_ms(self, attempts: int, error: BaseException, *, dice: Callable[[], float] = _zero) -> int | None:
        """The pause before a function that failed `attempts` times, now with `error`, is run again, in ms.

        An error that names a pause itself (`RetryAfter`) gets that one.

        Returns:
            None if it is not run again.
        """
        if not self.grants(attempts, error):
            return None
        asked = asked_ms(error)
        return self.delay_ms(attempts, dice=dice) if asked is None else asked

    def grants(self, attempts: int, error: BaseException) -> bool:
        """Whether a function that failed `attempts` times, now with `error`, is run again."""
        limit = self._limit(error)
        return (limit is None or attempts < limit) and self._is_retryable(error)

    def is_used_up(self, attempts: int, error: BaseException) -> bool:
        """Whether the function would be run again if only it had not failed so often."""
        limit = self._limit(error)
        asked_for = self is not ONCE or asked_ms(error) is not None
        return asked_for and limit is not None and attempts >= limit and self._is_retryable(error)

    def _limit(self, error: BaseException) -> int | None:
        # Nobody asked for retries but the function itself: it gets as many as who asks and does not say how many.
        return DEFAULT.max_attempts if self is ONCE and asked_ms(error) is not None else self.max_attempts

    def _is_retryable(self, error: BaseException) -> bool:
        if is_final(error) or not isinstance(error, Exception):
            return False
        names = {cls.__name__ for cls in type(error).__mro__} | {getattr(error, "type", "")}
        return names.isdisjoint(self.non_retryable)

    def to_data(self) -> list[Any]:
        """The policy as JSON values, for the job's start entry."""
        return [
            self.max_attempts,
            duration_ms(self.initial, argument="initial"),
            self.coefficient,
            duration_ms(self.max_interval, argument="max_interval"),
            self.jitter,
            list(self.non_retryable),
        ]

    @classmethod
    def from_data(cls, data: list[Any] | None) -> "RetryPolicy":
        """The policy a start entry holds; without one, a single attempt."""
        if data is None:
            return ONCE
        attempts, initial, coefficient, ceiling, jitter, names = data
        return cls(attempts, initial / 1000, coefficient, ceiling / 1000, jitter, tuple(names))


ONCE = RetryPolicy(max_attempts=1)
"""No second attempt: what holds where nobody asked for retries."""


DEFAULT = RetryPolicy()
"""What holds where retries are asked for and nothing more is said."""


def is_final(error: BaseException) -> bool:
    """Fatal errors and the codes 596, 597, 598 end a function at once, whatever its policy."""
    return isinstance(error, Fatal) or (isinstance(error, MeshError) and getattr(error, "code", None) in FINAL_CODES)


def asked_ms(error: BaseException) -> int | None:
    """The pause an error asks for by its attribute `retry_after`, in ms; None if it asks for none that can be read."""
    asked: Any = getattr(error, "retry_after", None)
    if asked is None or isinstance(asked, bool):
        return None
    try:
        return duration_ms(int(asked) if isinstance(asked, str) and asked.isdecimal() else asked, argument="delay")
    except InvalidOptions:
        return None
