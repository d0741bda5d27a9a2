"""How a start stands to what is there already, and when it begins: the options of `exec`, `start` and of children."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypedDict

from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions
from meshdata.values import Duration, duration_ms

Conflict = Literal["attach", "fail", "restart"]
"""What a start does when the id is taken: join the job there; JobExists; run it anew if it is over, else JobExists."""

CONFLICTS: Final = ("attach", "fail", "restart")
CHILD_CONFLICTS: Final = ("fail", "restart")
"""A child has one parent, which waits for it: another's job cannot be joined."""

ParentClose = Literal["terminate", "cancel", "abandon"]
"""What becomes of a child when its parent ends: it is interrupted, asked to end, or goes on."""


class ChildOptions(TypedDict, total=False):
    """What the start of a child may say.

    Attributes:
        id: the child's; by default one made of its parent and the call's place in it.
        queue: where it is served, if not where its parent is, or under its own name.
        ttl: how long its result is kept and hooks are accepted after its end.
        retry: how often a failed run of it is repeated.
        state: fields its record begins with.
        conflict: when the id is taken: "fail", the default, raises JobExists; "restart" runs it anew if it is over.
        delay: start it so much later.
        parent_close: what becomes of it if its parent ends first, however: "terminate" interrupts it, "cancel" asks it
            to end, "abandon" lets it go on. A child that is awaited is terminated by default, others are abandoned.
    """

    id: str | None
    queue: str | None
    ttl: Duration | None
    retry: RetryPolicy | None
    state: Mapping[str, Any] | None
    conflict: Conflict | None
    delay: Duration | None
    parent_close: ParentClose


def check_child_options(verb: str, options: Mapping[str, Any]) -> None:
    """Refuse options a child does not have.

    Raises:
        InvalidOptions: it names one of them.
    """
    for name in options:
        if name not in ChildOptions.__annotations__:
            known = ", ".join(ChildOptions.__annotations__)
            raise InvalidOptions(f"{verb} has no option {name!r}; it has kwargs, {known}", argument=name)


def check_parent_close(parent_close: Any) -> None:
    """Only these words are policies.

    Raises:
        InvalidOptions: it is none of them.
    """
    if parent_close not in ("terminate", "cancel", "abandon"):
        raise InvalidOptions(
            f"'terminate', 'cancel' or 'abandon' is needed; got {parent_close!r}", argument="parent_close"
        )


def check_conflict(conflict: Any, allowed: tuple[str, ...] = CONFLICTS) -> str:
    """Only these words are policies.

    Raises:
        InvalidOptions: it is none of them.
    """
    if conflict in allowed:
        return str(conflict)
    words = " or ".join(repr(word) for word in allowed)
    raise InvalidOptions(f"{words} is needed; got {conflict!r}", argument="conflict")


def delay_of(delay: Duration | None) -> int | None:
    """The ms until a start begins; None for at once.

    Raises:
        InvalidOptions: no duration.
    """
    return None if delay is None else duration_ms(delay, argument="delay") or None


def pending_of(pending: Duration | None, delay: Duration | None) -> str:
    """For how long an id is reserved, as the scripts take it: ms, 'inf', or '' where it is started.

    Raises:
        InvalidOptions: no duration, or one of nothing; a start that is reserved and delayed.
    """
    if pending is None:
        return ""
    if delay is not None:
        raise InvalidOptions(
            "what is reserved begins when it is resumed, and not after a delay; leave one of the two out",
            argument="pending",
        )
    ms = duration_ms(pending, argument="pending", infinity=True)
    if ms == 0:
        raise InvalidOptions("a reservation for 0 reserves nothing; leave pending out", argument="pending")
    return "inf" if ms is None else str(ms)


def limit_of(limit: Duration | None) -> str:
    """After how long a job fails that has not ended, as the scripts take it: ms, or '' for never.

    Raises:
        InvalidOptions: no duration, or one of nothing.
    """
    ms = None if limit is None else duration_ms(limit, argument="timeout", infinity=True)
    if ms == 0:
        raise InvalidOptions("within 0 nothing ends; leave timeout out", argument="timeout")
    return "" if ms is None else str(ms)
