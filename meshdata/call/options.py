"""What a caller may ask for, checked before anything is written."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

from meshdata.errors import InvalidOptions
from meshdata.values import Duration, check_entity, check_id, duration_ms, mint_id
from meshdata.workflow.child import ttl_text

OTHER_WORDS: Final = {
    "await": "wait", "expire": "ttl", "search": "state", "signal_in": "hookable", "task_queue": "queue",
    "workflow_id": "id", "hook_name": "hook_entity",
}  # fmt: skip
"""What others call an option; capitals are written as in snake_case here."""


def refuse_unknown(verb: str, unknown: Mapping[str, Any], known: Callable[..., Any] | Collection[str]) -> None:
    """Refuse options a verb does not have.

    Raises:
        InvalidOptions: it names the first of them, and the nearest that exists.
    """
    for name in unknown:
        options: Collection[str] = inspect.signature(known).parameters if callable(known) else known
        snake = re.sub("([A-Z])", r"_\1", name).lower().strip("_")
        word = OTHER_WORDS.get(snake, snake)
        near = [word] if word in options else get_close_matches(word, options, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidOptions(f"{verb} has no option {name!r}{hint}", argument=name)


def check_flags(**flags: bool | None) -> None:
    """Refuse what is no truth value: "no" would count as true.

    Raises:
        InvalidOptions: it names the first of them.
    """
    for name, value in flags.items():
        if value is not None and value is not True and value is not False:
            raise InvalidOptions(f"True or False is needed; got {value!r}", argument=name)


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
    return job, ttl_text(ttl)


def seconds(value: Duration | None, *, argument: str) -> float | None:
    """A time limit in seconds; None for none."""
    if value is None:
        return None
    ms = duration_ms(value, argument=argument, infinity=True)
    return None if ms is None else ms / 1000


def policy_name(*, flush: bool) -> str:
    """What to do about a job that is there already, where it is to be run anew: always, or if it failed."""
    return "flush" if flush else "retry"
