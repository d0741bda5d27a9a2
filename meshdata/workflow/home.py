"""Where a function lives: the entity its jobs belong to, and the topic its work arrives on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from meshdata.values import check_entity, from_json
from meshdata.workflow.function import Function

FLOW: Final = "workflow"
"""The entity of jobs that belong to no entity of their own (MeshFlow): their ids are one space, whatever they run."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where calls of a function go.

    Attributes:
        entity: the first half of its jobs' names; its own name, or FLOW.
        name: what the journal calls the function.
        topic: the stream its starts are written to.
        decode: makes its result of stored JSON.
        function: the function itself, where it is known in this process.
    """

    entity: str
    name: str
    topic: str
    decode: Callable[[bytes], Any] = from_json
    function: Function | None = None

    def of(self, entity: str) -> "Home":
        """The same function for jobs of another entity."""
        return replace(self, entity=entity)


def topic_of(name: str, queue: str | None) -> str:
    """The topic of a function: its name, under its queue if it has one of its own.

    Raises:
        InvalidOptions: the queue cannot be a name.
    """
    return name if queue is None or check_entity(queue, argument="queue") == name else f"{queue}/{name}"


def decoder_of(function: Function) -> Callable[[bytes], Any]:
    """How a stored result of a function is read, by its return annotation."""

    def decode(payload: bytes) -> Any:
        value = from_json(payload)
        # None is nothing to convert: an end without a value (`interrupt(throw=False)`) gives it, whatever is annotated.
        return None if value is None else function.result(value)

    return decode


class Homes:
    """The functions a process serves, and where calls of the others go."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Any], Home] = {}

    def add(self, home: Home, fn: Callable[..., Any]) -> None:
        """A function is served here."""
        kind = FLOW if home.entity == FLOW else ""
        self._known[kind, home.topic if kind else home.name] = self._known[kind, fn] = home

    def find(
        self, target: Any, *, caller: Home, caller_queue: str | None, queue: str | None, argument: str = "target"
    ) -> Home:
        """Where a call made by a running function goes.

        Args:
            target: the name of a function, something with an `entity_name`, or a function.
            caller: the home of the function that runs.
            caller_queue: the queue that one is served under; what a FLOW calls goes there if it is not told otherwise.
            queue: the queue the call names.
            argument: what the call names its target by.

        Raises:
            InvalidOptions: the target has no name, or the name cannot be one.
        """
        kind = FLOW if caller.entity == FLOW else ""
        named: Any = getattr(target, "entity_name", None)
        if isinstance(named, str):
            kind, target = "", named
        known = None
        if kind:  # the queue may have a function of that name of its own
            name = target if isinstance(target, str) else Function(target, argument=argument).name
            known = self._known.get((kind, topic_of(name, queue or caller_queue)))
        if known is None and _is_hashable(target):
            known = self._known.get((kind, target))
        if known is None:
            function = None if isinstance(target, str) else Function(target, argument=argument)
            name = check_entity(target if function is None else function.name, argument=argument)
            known = Home(
                kind or name, name, topic_of(name, caller_queue if kind else None),
                from_json if function is None else decoder_of(function), function,
            )  # fmt: skip
        if queue is None:
            return known
        return replace(known, topic=topic_of(known.name, queue))


def _is_hashable(target: Any) -> bool:
    try:
        hash(target)
    except TypeError:
        return False
    return True
