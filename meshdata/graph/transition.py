"""The steps of a graph job: what a reply, a signal, a time or a beginning leads to. Pure: no I/O, no clock of its own.

A step is given what arrived, and goes on from there through every activity that needs nobody else: pass-through hooks,
signals, cycles, interrupts, the first legs of workers, awaits and waiting hooks. What it changes is in `state`, what it
causes in `effects`; one commit writes both. A state field that was not loaded raises `NotLoaded`: the step is made anew
with it.

    enter      leg 1: an activity begins. It asks somebody and waits, or it is carried out at once
    reply      leg 2: what it waited for arrived; also a further time, and when a cycle comes back to it
    conclude   either way: conditions, maps, the ledger, the semaphore, the activities that follow

The semaphore is the number of obligations that are open; the job is over when it is 0.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from meshdata.engine.entry import Entry
from meshdata.errors import InvalidOptions
from meshdata.graph import asking
from meshdata.graph.begin import Beginning, metadata, own_document, stamp, stats_of
from meshdata.graph.compiled import Activity, App, Await, Cycle, Edge, Graph, Worker
from meshdata.graph.conditions import taken
from meshdata.graph.effects import RETRY_MARK, Effects, job_of, reply
from meshdata.graph.errors import error_text, of_failure, unhandled
from meshdata.graph.ledger import Ledger
from meshdata.graph.mapped import Mapped, job_data
from meshdata.graph.pipes.json import plain
from meshdata.graph.pipes.values import UNDEFINED, is_number
from meshdata.graph.place import Place, instance_of, parse_instance, pass_of, within
from meshdata.graph.replies import Reply, reply_of, told
from meshdata.graph.scope import Document, begun_document, document_of, job_scope, kept_of, scope_of
from meshdata.graph.state import ACTIVITY, LEDGER, QUEUE, RETRY, NotLoaded, State
from meshdata.graph.statistics import recorded

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 100
"""Activities carried out in one commit; a loop of activities that wait for nobody goes on in the next."""

DEFAULT_EXPIRE_MS: Final = "1000"
ENDINGS: Final = ("completed", "failed", "interrupted")

How = Literal["running", "waiting", "completed", "failed"]


class NotKnown(Exception):
    """A step needs an activity or a graph that no version at hand has: look for a newer one, and make the step anew."""


@dataclass(slots=True)
class Evaluated:
    """What an activity's conditions and maps come to, before anything is changed."""

    edges: list[Edge]
    mapped: Mapped
    emits: bool
    persists: bool


@dataclass(slots=True)
class Visit:
    """An activity that is to begin, or to go on with a reply."""

    activity: str
    place: Place
    reply: Reply | None = None

    def packed(self) -> list[Any]:
        """As it is kept between two commits."""
        reply = self.reply
        told = None if reply is None else [reply.status, reply.code, plain(reply.data, None), reply.source, reply.key]
        return [instance_of(self.activity, self.place), told]


def _unpacked(packed: list[Any]) -> Visit:
    instance, told = packed
    return Visit(*parse_instance(instance), None if told is None else Reply(*told))


def _held(reply: Reply, activity: Activity) -> Reply:
    """A reply; or the failure that it is where it does not fit the activity's schema."""
    if reply.status == "error" or reply.source not in ("work", "await"):
        return reply
    try:
        asking.validate(activity.output_schema, reply.data, f"the reply of {activity.id}")
    except InvalidOptions as error:
        return of_failure(error)
    return reply


class Transition:
    """One step of one job.

    Args:
        app: the graphs, of the version that is carried out.
        older: the same of the version the job began with, for activities that this one has no more.
        now_ms: when the step is made.
        partition: of a job's name or a signal's key.
        is_newest: no newer version is active; what is not known now is not known at all.
    """

    def __init__(
        self, app: App, id: str, state: State, *, now_ms: int, partition: Callable[[str], int],
        older: App | None = None, is_newest: bool = True,
    ) -> None:  # fmt: skip
        self.app = app
        self.id = id
        self.state = state
        self.effects = Effects(app.id, partition)
        self.ends: str | None = None
        self._shows = False
        self.ttl = DEFAULT_EXPIRE_MS
        self.steps: list[tuple[Activity, Place, int]] = []
        self._older = older
        self._is_newest = is_newest
        self.now_ms = now_ms
        self._now = stamp(now_ms)
        self.broadcasts: list[asking.Broadcast] = []
        self._queue: deque[Visit] = deque(_unpacked(one) for one in state.read(QUEUE) or ())

    # --- what arrives -------------------------------------------------------------------------------------------------

    def begin(self, beginning: Beginning) -> None:
        """The job begins: its trigger is carried out."""
        if beginning.topic not in self.app.graphs and not self._is_newest:
            raise NotKnown(beginning.topic)
        graph = self.app.graphs[beginning.topic]
        trigger = self.app.activities[graph.trigger]
        self.state.begin(metadata(self.app, graph, beginning, self.now_ms), 1)
        self.state.updated = self._now
        for name, value in beginning.markers.items():
            self.state.write_text(name, value.encode())
        asking.validate(trigger.output_schema, beginning.data, f"the payload of {graph.topic}")
        document = own_document(beginning.data)
        begun = begun_document(trigger, (), created_ms=self.now_ms, updated_ms=self.now_ms)
        document["output"] |= begun["output"]
        self._ledger(trigger.id, (), Ledger.of_trigger())
        self._conclude(trigger, (), 0, document, Reply("success", 200, UNDEFINED), leg=2, is_first=True)
        self._count(trigger, beginning, document)

    def _count(self, trigger: Activity, beginning: Beginning, document: Document) -> None:
        stats = stats_of(trigger)
        if stats is not None:
            scope = scope_of(self.app, trigger, (), self.state, document)
            ts = self.state.metadata["ts"]
            counted = recorded(stats, app=self.app.id, ts=ts, key=beginning.key, id=beginning.id, scope=scope)
            if counted:
                self.effects.statistics(counted)

    def receive(self, entry: Entry) -> None:
        """An entry of the job's inbox."""
        position = entry.position
        if entry.kind == "cancel":  # a graph has nothing to clean up: what is asked of it is done at once
            problem = str(orjson.loads(entry.payload).get("message", ""))
            self.interrupt_self(entry.payload, problem, descend=True, throw=True, ttl=DEFAULT_EXPIRE_MS)
            return
        if position.startswith(RETRY_MARK):
            self._try_again(position.removeprefix(RETRY_MARK))
            return
        activity, place = parse_instance(position)
        found = self._find(activity)
        if found is None:
            logger.error("a reply for an activity that no version has", extra={"job_id": self.id, "activity": activity})
            return
        self._queue.append(Visit(activity, place, reply_of(found, entry)))

    def run(self) -> None:
        """Go on through everything that needs nobody else, as far as one commit goes; `how` says if there is more."""
        for _ in range(MOST_AT_ONCE):
            if not self._queue or self.ends is not None or self._shows:
                break
            visit = self._queue.popleft()
            if visit.reply is None:
                self._enter(visit.activity, visit.place)
            else:
                self._reply(visit.activity, visit.place, visit.reply)
        if self._queue and self.ends is None:
            self.state.write(QUEUE, [visit.packed() for visit in self._queue])
        elif self.state.raw(QUEUE) is not None:
            self.state.remove(QUEUE)

    def broadcast(self, broadcast: asking.Broadcast, ids: Sequence[str]) -> None:
        """Send a broadcast to the jobs it is for."""
        for id in ids:
            payload = {**broadcast.payload, "id": id}
            self.effects.signal(asking.hook_key(self.app, broadcast.topic, payload), reply(payload))

    @property
    def how(self) -> str:
        """How the job stands behind this step, as the commit takes it."""
        if self.ends is not None and self.ends != "interrupted":  # which one of the operations does
            return self.ends
        return "running" if self._queue and self.ends is None else "waiting"

    @property
    def updated(self) -> str:
        """When the step was made, as metadata shows it."""
        return self._now

    # --- leg 1 --------------------------------------------------------------------------------------------------------

    def _find(self, id: str) -> Activity | None:
        found = self.app.activities.get(id)
        if found is None and self._older is not None:
            found = self._older.activities.get(id)
        if found is None and not self._is_newest:
            raise NotKnown(id)
        return found

    def _enter(self, id: str, place: Place) -> None:
        activity = self._find(id)
        if activity is None:
            self.state.fail(unhandled(told(f"no version of the app has an activity {id!r}")))
            self._settle(-1)
            return
        ledger = self._known_ledger(id, place).enter_leg_1()
        if not ledger.is_entered_once:
            logger.info("an activity was entered before", extra={"job_id": self.id, "activity": id})
            return
        if self.state.status <= 0:
            return
        self._ledger(id, place, ledger)
        self.steps.append((activity, place, 1))
        document = self._document(activity, place)
        try:
            if self._is_below_threshold(activity, place, document):
                return
            waits = asking.ask(self, activity, place, document)
        except NotLoaded:
            raise
        except Exception as error:
            self._close_leg_1(activity, place, document, of_failure(error))
            return
        if waits:
            self._ledger(id, place, ledger.leave_leg_1())
            self._keep(activity, place, document)
        elif isinstance(activity.own, Cycle):
            self._ledger(id, place, ledger.leave_cycle())
            self._keep(activity, place, document)
            self._go_back(activity, activity.own, place, document)
        elif self.ends is None:
            self._close_leg_1(activity, place, document, Reply("success", 200, UNDEFINED))

    def _is_below_threshold(self, activity: Activity, place: Place, document: Document) -> bool:
        if activity.threshold is None:
            return False
        threshold = activity.threshold(scope_of(self.app, activity, place, self.state, document))
        if not is_number(threshold) or threshold <= 0 or self.state.status > threshold:
            return False
        if self.state.status == threshold:  # only side branches are left
            self._settle(-int(threshold), activity, place, document)
        return True

    def _close_leg_1(self, activity: Activity, place: Place, document: Document, reply: Reply) -> None:
        """An activity that waits for nobody is done, or has failed before it could ask."""
        ledger = self._known_ledger(activity.id, place).pass_through(stays_open=activity.is_cycled)
        self._ledger(activity.id, place, ledger)
        self._conclude(activity, place, 0, document, reply, leg=1)

    def _go_back(self, activity: Activity, own: Cycle, place: Place, document: Document) -> None:
        target = self._find(own.ancestor)
        assert target is not None  # the compiler saw to it
        data = document.get("input", {}).get("data", {})
        self._queue.append(Visit(target.id, within(place, target.ancestors), Reply("success", 200, data, "cycle")))

    # --- leg 2 --------------------------------------------------------------------------------------------------------

    def _reply(self, id: str, place: Place, reply: Reply) -> None:
        activity = self._find(id)
        assert activity is not None  # receive, or the cycle, found it
        if self.state.status <= 0:
            return
        ledger = self._known_ledger(id, place).enter_leg_2()
        if ledger.is_forbidden or ledger.is_closed:
            logger.info("a reply came for an activity that is over", extra={"job_id": self.id, "activity": id})
            return
        if reply.status == "error" and asking.try_later(self, activity, place, reply):
            return
        index = ledger.index
        here = pass_of(id, place, index)
        document = self._document(activity, here)
        bound = "hook" if reply.source in ("hook", "time") else "output"
        reply = _held(reply, activity)
        if reply.status != "error" and reply.data is not UNDEFINED:
            document.setdefault(bound, {})["data"] = reply.data
        stays = reply.status == "pending" or activity.is_cycled
        self._ledger(id, place, ledger.leave_leg_2(closes=not stays))
        self.steps.append((activity, here, 2))
        if reply.source == "hook" and stays and reply.code != 200:
            self.effects.wait(instance_of(id, place), reply.key)
        if not stays:
            self._close(activity, place)
        self._conclude(activity, place, index, document, reply, leg=2)

    def _close(self, activity: Activity, place: Place) -> None:
        instance = instance_of(activity.id, place)
        if isinstance(activity.own, Worker | Await):
            self.effects.close(instance)
            if activity.retry:
                self.state.remove(RETRY + instance)

    def _try_again(self, instance: str) -> None:
        """The pause before another try of an activity is over."""
        id, place = parse_instance(instance)
        activity = self._find(id)
        tries = self.state.raw(RETRY + instance)
        if activity is None or tries is None or self.state.status <= 0:
            return
        try:
            asking.ask(self, activity, place, self._document(activity, place), tries=int(tries))
        except NotLoaded:
            raise
        except Exception as error:
            self._queue.append(Visit(id, place, of_failure(error)))

    def interrupt_self(self, payload: bytes, problem: str, *, descend: bool, throw: bool, ttl: str) -> None:
        """The job ends itself, with the last operation of this step."""
        job = job_of(self.app.id, self.id)
        self.effects.interrupt_self(job, payload, problem, descend=descend, throw=throw, ttl=ttl)
        self.ends = "interrupted"

    # --- what follows -------------------------------------------------------------------------------------------------

    def _conclude(
        self, activity: Activity, place: Place, index: int, document: Document, reply: Reply, *, leg: int,
        is_first: bool = False,
    ) -> None:  # fmt: skip
        here = pass_of(activity.id, place, index)
        if reply.status == "error":
            self._note_error(document, reply)
        try:
            evaluated = self._evaluate(activity, here, document, reply, leg)
        except NotLoaded:
            raise
        except Exception as error:
            if is_first:
                raise  # whoever begins a job is told at once
            if reply.status != "error":
                self._conclude(activity, place, index, document, of_failure(error), leg=leg)
                return
            logger.warning("an activity failed and could not say so", exc_info=True, extra={"job_id": self.id})
            reply = of_failure(error)
            evaluated = Evaluated([], Mapped(None, [], [], []), False, False)
        if reply.status == "error" and not evaluated.edges:
            self.state.fail(unhandled(reply.data))
        self.apply(evaluated.mapped)
        self._keep(activity, here, document)
        for edge in evaluated.edges:
            self._ledger(edge.to, here, Ledger.seeded())
            self._queue.append(Visit(edge.to, here))
        change = len(evaluated.edges) - (0 if reply.status == "pending" else 1)
        self._settle(change, activity, here, document)
        if self.ends is None:
            self._show(activity, evaluated)

    def _evaluate(
        self, activity: Activity, here: Place, document: Document, reply: Reply, leg: int
    ) -> Evaluated:  # fmt: skip
        scope = scope_of(self.app, activity, here, self.state, document)
        graph = self.graph_of(activity)
        mapped = Mapped(None, [], [], [])
        if leg == 2 and not activity.ancestors:
            # A trigger maps first: its conditions see the job's data.
            mapped = job_data(graph, activity, scope)
            self.apply(mapped)
            scope["$job"] = job_scope(self.state)
            mapped = Mapped(mapped.data, [], [], [])
        edges = taken(activity, scope, reply.code)
        if leg == 1 and activity.output_maps is not None and reply.status != "error":
            document["output"]["data"] = activity.output_maps(scope)
        if activity.ancestors:
            mapped = job_data(graph, activity, scope)
        if mapped.data is not None:
            scope["$job"] = job_scope(self.state, mapped.data)
        emits = activity.emit is not None and activity.emit(scope) is True
        persists = activity.persist is not None and activity.persist(scope) is True
        return Evaluated(edges, mapped, emits, persists)

    def graph_of(self, activity: Activity) -> Graph:
        """The graph an activity belongs to."""
        found = self.app.graphs.get(activity.graph)
        if found is None:
            assert self._older is not None
            found = self._older.graphs[activity.graph]
        return found

    def apply(self, mapped: Mapped) -> None:
        """Set what job maps came to."""
        self.state.merge(mapped.parts)
        for name, text in mapped.markers:
            self.state.write_text(name, text)
        if mapped.fields:
            self.effects.record(mapped.fields)

    def _settle(
        self, change: int, activity: Activity | None = None, here: Place = (), document: Document | None = None
    ) -> None:
        """Change the number of open obligations; with none left, the job is over."""
        self.state.status += change
        if self.state.status > 0:
            return
        self.state.status = 0
        if activity is not None and document is not None:
            self._check_result(self.graph_of(activity))
            self.ttl = self.expiry(activity, here, document)
        self.ends = "completed" if self.state.error is None else "failed"

    def _check_result(self, graph: Graph) -> None:
        """Hold what the job comes to against its graph's schema, where the model asks for that."""
        if graph.output_schema is None or self.state.error is not None:
            return
        try:
            asking.validate(graph.output_schema, self.state.data or {}, f"the result of {graph.topic}")
        except InvalidOptions as error:
            self.state.fail(unhandled(of_failure(error).data))

    def expiry(self, activity: Activity, place: Place, document: Document) -> str:
        """How long the job stays that ends with this activity: ms, or inf."""
        expire = self.graph_of(activity).expire
        if expire is None:
            return DEFAULT_EXPIRE_MS
        try:
            seconds = expire(scope_of(self.app, activity, place, self.state, document))
        except NotLoaded:
            raise
        except Exception:
            logger.warning("expire of a graph failed; its default holds", exc_info=True, extra={"job_id": self.id})
            return DEFAULT_EXPIRE_MS
        if not is_number(seconds):
            return DEFAULT_EXPIRE_MS
        return "inf" if seconds <= 0 else str(max(1, round(seconds * 1000)))

    def _show(self, activity: Activity, evaluated: Evaluated) -> None:
        """The job's data as it stands, to those who look: with `persist` as if it were over."""
        if not (evaluated.emits or evaluated.persists):
            return
        self._shows = True  # as it stands now: what follows is another commit's
        publishes = self.graph_of(activity).publishes
        if publishes:
            self.effects.publish(publishes)
        self.effects.tell("ok" if evaluated.persists else "pending")
        if evaluated.persists or activity.ancestors:
            # Who awaits the job takes an interim state for its answer; but not that of the trigger: it is told before
            # `pub` returns, so that a caller in the family never hears of it.
            self.effects.answer()

    def _note_error(self, document: Document, reply: Reply) -> None:
        metadata = document["output"]["metadata"]
        metadata["err"] = error_text(reply.data)
        metadata["$error"] = {**reply.data, "is_stream_error": True}

    # --- the state ----------------------------------------------------------------------------------------------------

    def _document(self, activity: Activity, here: Place) -> Document:
        """A pass of an activity, as far as it has come before."""
        known = self.state.read(ACTIVITY + instance_of(activity.id, here))
        if known is None:
            return begun_document(activity, here, created_ms=self.now_ms, updated_ms=self.now_ms)
        created = known["t"][0]
        return document_of(activity, here, {**known, "t": [created, self.now_ms - created]})

    def _keep(self, activity: Activity, here: Place, document: Document) -> None:
        field = ACTIVITY + instance_of(activity.id, here)
        known = self.state.read(field)
        created = self.now_ms if known is None else known["t"][0]
        self.state.write(field, kept_of(activity, document, created_ms=created, updated_ms=self.now_ms))

    def _known_ledger(self, id: str, place: Place) -> Ledger:
        raw = self.state.raw(LEDGER + instance_of(id, place))
        return Ledger.seeded() if raw is None else Ledger(int(raw))

    def _ledger(self, id: str, place: Place, ledger: Ledger) -> None:
        self.state.write_text(LEDGER + instance_of(id, place), b"%d" % ledger)
