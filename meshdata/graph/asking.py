"""Leg 1: whom an activity asks, by its type, and what it waits for. Pure.

`ask` says whether the activity waits: a worker, an await and a hook with a rule or a time do. Signals and interrupts
are sent and waited for by nobody. What is asked is an operation of the step's commit, so it is asked once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from meshdata.errors import InvalidOptions
from meshdata.graph.begin import TRACE, Beginning, Parent, guid, identify
from meshdata.graph.compiled import Activity, App, Await, Cycle, Graph, Hook, HookRule, Interrupt, Signal, Worker
from meshdata.graph.effects import RETRY_MARK, Effects, job_of, reply, run_topic, signal_key
from meshdata.graph.errors import interrupted
from meshdata.graph.mapped import Mapped, job_data
from meshdata.graph.mapping import Mapper, Scope
from meshdata.graph.pipes.values import UNDEFINED, is_nothing, is_number, text
from meshdata.graph.place import Place, address_of, instance_of
from meshdata.graph.replies import CODE_SUCCESS, STATUSES, Reply
from meshdata.graph.scope import Document, scope_of
from meshdata.graph.state import RETRY, State, to_text
from meshdata.graph.statistics import resolve
from meshdata.store.messages import StartJob

FIRST_PAUSE_MS: Final = 10
LONGEST_PAUSE_MS: Final = 10_000
"""The pauses before a retry: 10 ms, then ten times the last."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A signal for every job that an index lists: who they are is read before the step is committed."""

    topic: str
    payload: dict[str, Any]
    query: Mapping[str, Any]
    facets: tuple[str, ...]
    scrub: bool


class Step(Protocol):
    """What asking needs of the step it is part of."""

    app: App
    id: str
    state: State
    effects: Effects
    broadcasts: list[Broadcast]

    now_ms: int

    @property
    def updated(self) -> str: ...
    def interrupt_self(self, payload: bytes, problem: str, *, descend: bool, throw: bool, ttl: str) -> None: ...
    def apply(self, mapped: Mapped) -> None: ...
    def graph_of(self, activity: Activity) -> Graph: ...
    def expiry(self, activity: Activity, place: Place, document: Document) -> str: ...


def ask(step: Step, activity: Activity, place: Place, document: Document, *, tries: int = 0) -> bool:
    """Carry out an activity's first leg. True if it waits for an answer.

    Raises:
        PipeError: a map cannot be evaluated; InvalidOptions: what it comes to cannot be asked.
    """
    own = activity.own
    scope = scope_of(step.app, activity, place, step.state, document)
    if isinstance(own, Worker):
        _ask_worker(step, activity, own, place, scope, tries)
        return True
    if isinstance(own, Await):
        _ask_graph(step, activity, own, place, scope, tries)
        return True
    if isinstance(own, Hook):
        return _wait(step, activity, own, place, scope, document)
    if isinstance(own, Signal):
        _signal(step, activity, own, scope)
    elif isinstance(own, Interrupt):
        _interrupt(step, activity, own, place, scope, document)
    elif isinstance(own, Cycle):
        document["input"] = {"data": _input(activity, scope)}
    return False


def try_later(step: Step, activity: Activity, place: Place, failed: Reply) -> bool:
    """Ask again after a pause, if the activity's policy has a try left for this error."""
    limit = activity.retry.get(str(failed.code), 0) if failed.source in ("work", "await") else 0
    if not limit:
        return False
    instance = instance_of(activity.id, place)
    tries = int(step.state.raw(RETRY + instance) or 0)
    if tries >= limit:
        return False
    step.state.write_text(RETRY + instance, b"%d" % (tries + 1))
    if isinstance(activity.own, Await):
        step.effects.close(instance)  # the job that failed has no more to say
    step.effects.sleep(RETRY_MARK + instance, min(FIRST_PAUSE_MS * 10**tries, LONGEST_PAUSE_MS))
    return True


def validate(check: Callable[[Any], None] | None, data: Any, what: str) -> None:
    """Hold data against its schema, where the model asks for that.

    Raises:
        InvalidOptions: it does not fit; the message says where.
    """
    if check is not None:
        try:
            check(None if data is UNDEFINED else data)
        except InvalidOptions:
            raise
        except Exception as error:
            raise InvalidOptions(f"{what} does not fit its schema: {error}", argument="data") from error


def hook_key(app: App, topic: str, payload: Any) -> str:
    """The key of the signal that a payload is, by the rule of its topic.

    Raises:
        InvalidOptions: no graph of the app has a hook of that topic.
    """
    rule = rule_of(app, topic)
    document = {"data": payload}
    scope = {"$self": {"hook": document}, "$hook": document, "$app": {"settings": app.settings}}
    return signal_key(app.id, topic, text("" if rule.actual is None else rule.actual(scope)))


def rule_of(app: App, topic: str) -> HookRule:
    """The rule of a hook's topic.

    Raises:
        InvalidOptions: there is none.
    """
    rule = app.hooks.get(topic)
    if rule is None:
        known = ", ".join(sorted(app.hooks)) or "none"
        raise InvalidOptions(f"unable to find hook rule for topic {topic}; the app has {known}", argument="topic")
    return rule


def _value(mapper: Mapper | None, scope: Scope) -> Any:
    return UNDEFINED if mapper is None else mapper(scope)


def _input(activity: Activity, scope: Scope) -> Any:
    found = _value(activity.input_maps, scope)
    return {} if is_nothing(found) else found


def _ask_worker(step: Step, activity: Activity, own: Worker, place: Place, scope: Scope, tries: int) -> None:
    data = _input(activity, scope)
    validate(activity.input_schema, data, f"the input of {activity.id}")
    topic = text(own.topic(scope))
    metadata: dict[str, Any] = {
        "guid": guid(),
        "jid": step.id,
        "gid": step.state.metadata["gid"],
        "dad": address_of((*activity.ancestors, activity.id), place),
        "aid": activity.id,
        "topic": topic,
    }
    metadata |= _trace(step)
    if tries:
        metadata["try"] = tries
    step.effects.work(instance_of(activity.id, place), topic, to_text({"metadata": metadata, "data": data}))


def _ask_graph(step: Step, activity: Activity, own: Await, place: Place, scope: Scope, tries: int) -> None:
    data = _input(activity, scope)
    validate(activity.input_schema, data, f"the input of {activity.id}")
    topic = text(own.topic(scope))
    graph = step.app.graphs.get(topic)
    if graph is None:
        raise InvalidOptions(
            f"no subscription found for topic {topic} in app {step.app.id} for app version {step.app.version}",
            argument="topic",
        )
    waits = _value(own.wait, scope) is not False
    id, key = identify(step.app, graph, data)
    address = address_of((*activity.ancestors, activity.id), place)
    parent = Parent(step.id, step.state.metadata["gid"], address, activity.id, waits)
    beginning = Beginning(topic, data, id, key, parent, _trace(step))
    answer = {"data": {"job_id": id, "jc": step.updated, "ju": step.updated}}
    start = start_of(
        step.app, graph.publishes, beginning,
        parent="@", awaited=waits, answer=b"" if waits else to_text(answer),
        policy="restart" if tries else "fail",
    )  # fmt: skip
    step.effects.child(instance_of(activity.id, place), start)


def _trace(step: Step) -> dict[str, str]:
    return {name: step.state.metadata[name] for name in TRACE if name in step.state.metadata}


def start_of(app: App, publishes: str | None, beginning: Beginning, **options: Any) -> StartJob:
    """The start of a graph's job, as the kernel takes it."""
    seeds = [text for pair in beginning.search.items() for text in pair]
    return StartJob(
        job_of(app.id, beginning.id), run_topic(app.id), to_text(beginning.to_dict()), beginning.topic,
        ttl="1000", hookable=False, graph=publishes or "", seeds=seeds, **options,
    )  # fmt: skip


def _wait(step: Step, activity: Activity, own: Hook, place: Place, scope: Scope, document: Document) -> bool:
    instance = instance_of(activity.id, place)
    seconds = _value(own.sleep, scope)
    if own.rule is not None:
        key = signal_key(step.app.id, own.rule.topic, text(_value(own.rule.expected, scope)))
        step.effects.wait(instance, key)
    elif is_number(seconds) and seconds > 0:
        step.effects.sleep(instance, round(seconds * 1000))
    else:
        return False
    # A hook maps before it waits, and once more when what it waits for has come.
    if activity.output_maps is not None:
        document["output"]["data"] = activity.output_maps(scope)
    step.apply(job_data(step.graph_of(activity), activity, scope))
    return True


def _signal(step: Step, activity: Activity, own: Signal, scope: Scope) -> None:
    topic = text(own.topic(scope))
    rule = rule_of(step.app, topic)
    payload = _value(own.payload, scope)
    payload = {} if is_nothing(payload) else payload
    if own.kind == "all":
        facet = f"{text(_value(own.key_name, scope))}:{text(_value(own.key_value, scope))}"
        resolved = _value(own.resolver, scope)
        query = resolved if isinstance(resolved, Mapping) else {}
        scrub = _value(own.scrub, scope) is True or query.get("scrub") is True
        # Read for the commit; what is wrong with it is this activity's error, and is seen now.
        resolve(step.app, step.app.graphs[step.app.activities[rule.to].graph], query, step.now_ms)
        step.broadcasts.append(Broadcast(topic, payload, query, (facet,), scrub))
        return
    status, code = _value(own.status, scope), _value(own.code, scope)
    packed = reply(
        payload,
        status=status if status in STATUSES else "success",
        code=int(code) if is_number(code) else CODE_SUCCESS,
    )
    step.effects.signal(hook_key(step.app, topic, payload), packed)


def _interrupt(
    step: Step, activity: Activity, own: Interrupt, place: Place, scope: Scope, document: Document
) -> None:  # fmt: skip
    target, code = _value(own.target, scope), _value(own.code, scope)
    reason, stack = _value(own.reason, scope), _value(own.stack, scope)
    id = step.id if is_nothing(target) or target == "" else text(target)
    payload, problem = interrupted(
        id,
        reason=None if is_nothing(reason) else text(reason),
        code=int(code) if is_number(code) else None,
        stack=None if is_nothing(stack) else text(stack),
    )
    descend, throw = _value(own.descend, scope) is True, _value(own.throw, scope) is not False
    ttl = step.expiry(activity, place, document)
    if id == step.id:
        step.apply(job_data(step.graph_of(activity), activity, scope))
        step.interrupt_self(payload, problem, descend=descend, throw=throw, ttl=ttl)
    else:
        step.effects.interrupt(job_of(step.app.id, id), payload, problem, descend=descend, throw=throw, ttl=ttl)
