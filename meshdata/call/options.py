"""What a caller may ask for, checked before anything is written."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions
from meshdata.values import Duration, check_entity, check_id, duration_ms, mint_id


def refuse_unknown(verb: str, unknown: Mapping[str, Any], known: Callable[..., Any]) -> None:
    """Refuse options a verb does not have.

    Raises:
        InvalidOptions: it names the first of them, and the nearest that exists.
    """
    for name in unknown:
        near = get_close_matches(name, inspect.signature(known).parameters, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidOptions(f"{verb} has no option {name!r}{hint}", argument=name)


def job_of(entity: str, id: str, *, argument: str = "entity") -> str:
    """The job's name from an entity and an id, both checked.

    Raises:
        InvalidOptions: one of them cannot be a name.
    """
    return f"{check_entity(entity, argument=argument)}:{check_id(id)}"


def job_and_ttl(entity: str, id: str | None, ttl: Duration | None) -> tuple[str, str]:
    """The job a call is for, and its ttl as the scripts take it: ms, 'inf', or '' for none.

    Raises:
        InvalidOptions: a ttl without an id: nobody could ask for that result again.
    """
    if id is None:
        if ttl is not None:
            raise InvalidOptions(
                "a ttl keeps the result of an id, and none was given; add id=..., or leave ttl out", argument="ttl"
            )
        return f"{check_entity(entity)}:{mint_id()}", ""
    job = job_of(entity, id)
    return job, "" if ttl is None else check_ttl(ttl)


def check_ttl(ttl: Duration) -> str:
    """A ttl as the scripts take it: ms or 'inf'.

    Raises:
        InvalidOptions: no duration, or none at all.
    """
    ms = duration_ms(ttl, argument="ttl", infinity=True)
    if ms == 0:
        raise InvalidOptions("a ttl of 0 keeps nothing; leave ttl out", argument="ttl")
    return "inf" if ms is None else str(ms)


def seconds(value: Duration | None, *, argument: str) -> float | None:
    """A time limit in seconds; None for none."""
    if value is None:
        return None
    ms = duration_ms(value, argument=argument, infinity=True)
    return None if ms is None else ms / 1000


def policy_name(*, flush: bool) -> str:
    """What to do about a job that is there already, where it is to be run anew: always, or if it failed."""
    return "flush" if flush else "retry"


def check_retry(retry: Any, *, argument: str = "retry") -> RetryPolicy | None:
    """A policy, or none."""
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise InvalidOptions(f"a RetryPolicy is needed; got {type(retry).__name__}", argument=argument)
    return retry


def check_args(args: Any) -> list[Any]:
    """Positional arguments come as a list or tuple; a bare text would be taken apart into letters."""
    if isinstance(args, list | tuple):
        return list(args)
    raise InvalidOptions(f"args is a list of positional arguments; got {type(args).__name__}", argument="args")
