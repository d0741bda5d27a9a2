"""What a run tells the outside once, and no replay tells again: messages on the bus, spans, fields of its record."""

from collections.abc import Coroutine, Mapping
from typing import Any

from meshdata import telemetry
from meshdata.errors import InvalidOptions
from meshdata.values import check_key, to_json
from meshdata.workflow.call import Call, durable
from meshdata.workflow.context import current_run
from meshdata.workflow.runner import Run
from meshdata.workflow.state import state


def emit(topic: str, payload: Any = None) -> Coroutine[Any, Any, bool]:
    """Publish a message on the control-plane bus, in the same step that records it: once, whatever happens.

    Who listens (`mesh.subscribe`) gets `{"topic": topic, "payload": payload, "job_id": "<entity>:<id>"}`. Who does not
    listen just then misses it.

    Returns:
        True.
    """
    run: Run = current_run("emit")
    check_key(topic, argument="topic")
    message = to_json({"topic": topic, "payload": payload, "job_id": run.job}, argument="payload")
    channel = run.host.store.keys.bus

    def live(run: Run, call: Call) -> None:
        run.write("emit", call.position, topic, channel, message)

    return durable("emit", "emit", topic, live, decode=lambda _: True)


def trace(attributes: Mapping[str, Any]) -> Coroutine[Any, Any, bool]:
    """Write a span with these attributes, if OpenTelemetry's API is installed; replays are silent. A crash between the
    span and its entry writes it once more.

    Returns:
        True.
    """
    current_run("trace")
    if not isinstance(attributes, Mapping):
        raise InvalidOptions(f"attributes are a mapping; got {type(attributes).__name__}", argument="attributes")
    told = {name: _attribute(name, value) for name, value in attributes.items()}

    def live(run: Run, call: Call) -> None:
        facts = {"meshdata.job_id": run.job, "meshdata.dimension": run.dimension, "meshdata.position": call.position}
        telemetry.mark("meshdata.trace", {**facts, **told})
        run.record(call, "ok", b"true")

    return durable("trace", "trace", "", live)


def _attribute(name: Any, value: Any) -> str | int | float | bool:
    if not isinstance(name, str) or not name:
        raise InvalidOptions(f"the name of an attribute is a text; got {name!r}", argument="attributes")
    if isinstance(value, str | int | float | bool):
        return value
    return to_json(value, argument=f"attributes[{name!r}]").decode()


def enrich(fields: Mapping[str, Any]) -> Coroutine[Any, Any, bool]:
    """Set fields of the job's record: `state.set` by the name the reference family gives it.

    Returns:
        True.
    """
    current_run("enrich")
    if not isinstance(fields, Mapping):
        raise InvalidOptions(f"fields are a mapping; got {type(fields).__name__}", argument="fields")
    return _true(state.set(dict(fields)))


async def _true(setting: Coroutine[Any, Any, int]) -> bool:
    await setting
    return True
