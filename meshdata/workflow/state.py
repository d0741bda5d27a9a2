"""The record of the running job. Every change and its journal entry are one script; reads are journaled too, so that a
replay sees what the first run saw."""

from collections.abc import Callable, Coroutine
from typing import Any

from meshdata.errors import InvalidOptions
from meshdata.store.messages import Argument
from meshdata.workflow.call import Call, durable
from meshdata.workflow.context import current_run
from meshdata.workflow.runner import Run


def unpack(payload: bytes) -> list[bytes | None]:
    """Values as the step script packs them: `<length>:` and, per value, `-` for none or `+` and its bytes."""
    values: list[bytes | None] = []
    at = 0
    while at < len(payload):
        colon = payload.index(b":", at)
        end = colon + 1 + int(payload[at:colon])
        piece = payload[colon + 1 : end]
        values.append(piece[1:] if piece[:1] == b"+" else None)
        at = end
    return values


def number(payload: bytes) -> int | float:
    """A counted value: an int where it is whole."""
    value = float(payload)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _change(verb: str, operation: str, *args: Argument, decode: Any) -> Coroutine[Any, Any, Any]:
    def live(run: Run, call: Call) -> None:
        run.write("state", call.position, verb, operation, *args)

    return durable(f"state.{verb}", "state", verb, live, decode=decode)


def _here(verb: str) -> tuple[Run, str]:
    """The run, and the entity whose record it works on."""
    run: Run = current_run(verb)
    return run, run.job.partition(":")[0]


class State:
    """The record's fields by name. With a model they have its types; without, they are text."""

    def set(self, fields: dict[str, Any] | None = None, /, **named: Any) -> Coroutine[Any, Any, int]:
        """Set fields; None takes a field away. Returns the number of new fields."""
        run, entity = _here("state.set")
        changes, gone = run.host.to_hash(entity, {**(fields or {}), **named})
        flat = [part for pair in changes.items() for part in pair]
        return _change("set", "set", len(changes), *flat, *gone, decode=int)

    def get(self, name: str) -> Coroutine[Any, Any, Any]:
        """One field; None if it is not there."""
        return self._read("state.get", name, decode=lambda values: values[0])

    def mget(self, *names: str) -> Coroutine[Any, Any, list[Any]]:
        """Several fields, in the order asked for."""
        return self._read("state.mget", *names, decode=list)

    def _read(self, verb: str, *names: str, decode: Callable[[list[Any]], Any]) -> Coroutine[Any, Any, Any]:
        run, entity = _here(verb)
        if not names:
            raise InvalidOptions("name at least one field", argument="names")

        stored = run.host.stored_names(entity, names)

        def typed_values(payload: bytes) -> Any:
            found = dict(zip(stored, unpack(payload), strict=True))
            typed = run.host.named(entity, names, found)
            return decode([typed[name] for name in names])

        return _change("mget", "get", *stored, decode=typed_values)

    def all(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """Every user field."""
        run, entity = _here("state.all")

        def decode(payload: bytes) -> dict[str, Any]:
            flat = unpack(payload)
            pairs = zip(flat[::2], flat[1::2], strict=True)
            found = {(name or b"").decode(): value or b"" for name, value in pairs}
            return run.host.from_hash(entity, {k: v for k, v in found.items() if not k.startswith("_")})

        return _change("all", "all", decode=decode)

    def delete(self, *names: str) -> Coroutine[Any, Any, int]:
        """Take fields away. Returns how many there were."""
        if not names:
            raise InvalidOptions("name at least one field", argument="names")
        run, entity = _here("state.delete")
        stored = run.host.stored_names(entity, [checked_field(name) for name in names])
        return _change("delete", "delete", *stored, decode=int)

    def incr(self, name: str, by: float = 1) -> Coroutine[Any, Any, int | float]:
        """Add to a number; an absent field counts as 0. Returns the new value."""
        return _change("incr", "incr", checked_field(name), checked_number(by, "by"), decode=number)

    def mult(self, name: str, by: float) -> Coroutine[Any, Any, int | float]:
        """Multiply a number; an absent field counts as 1. Returns the new value."""
        return _change("mult", "mult", checked_field(name), checked_number(by, "by"), decode=number)

    def append(self, name: str, *values: Any) -> Coroutine[Any, Any, int]:
        """Add values to a list or set. Returns how many are new (of a list: all)."""
        run, entity = _here("state.append")
        return _change("append", "append", *run.host.elements(entity, checked_field(name), values), decode=int)

    def remove(self, name: str, *values: Any) -> Coroutine[Any, Any, int]:
        """Take values out of a list or set. Returns how many went."""
        run, entity = _here("state.remove")
        return _change("remove", "remove", *run.host.elements(entity, checked_field(name), values), decode=int)


def checked_field(name: str) -> str:
    """A name a user field may have."""
    if not isinstance(name, str) or not name or name.startswith("_"):
        raise InvalidOptions(
            f"{name!r} cannot be a field; names are text that does not begin with an underscore", argument="field"
        )
    return name


def checked_number(value: float, argument: str) -> str:
    """A finite number as text the scripts can count with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value in (_INF, -_INF):
        raise InvalidOptions(f"a finite number is needed; got {value!r}", argument=argument)
    return repr(value)


_INF = float("inf")

state = State()
"""The state of the running job."""


def search() -> State:
    """The state of the running job, by the name the reference family gives it."""
    return state
