"""MeshData: opens the house, wires its floors together, serves what is connected, closes it.

What a mesh can be asked for stands with its topic: `entity/jobs.py`, `verbs.py` (records), `queries.py`,
`schedules.py`, `control.py`.
"""

import asyncio
import logging
import os
import secrets
import signal as unix_signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, ParamSpec, TypeAlias, TypeVar, overload

from meshdata import search
from meshdata.call.caller import Caller
from meshdata.call.kept import KeptCalls
from meshdata.call.options import check_flags, refuse_unknown
from meshdata.call.schedules import Schedules
from meshdata.engine.bus import Bus
from meshdata.engine.control import Control
from meshdata.engine.engine import Engine
from meshdata.engine.info import Health
from meshdata.engine.leases import Leases
from meshdata.engine.limits import RateLimit, check_limits
from meshdata.engine.near import Near
from meshdata.engine.policy import RetryPolicy
from meshdata.engine.profile import Profile, System
from meshdata.engine.router import Router
from meshdata.engine.scheduler import Scheduler
from meshdata.entity.classes import Classes, Registration, ServableClass
from meshdata.entity.control import ControlVerbs
from meshdata.entity.entity import Entity
from meshdata.entity.queries import QueryVerbs
from meshdata.entity.record import Records
from meshdata.entity.registry import Connected, Registry
from meshdata.entity.schedules import ScheduleVerbs
from meshdata.errors import InvalidOptions, MeshError, UsageError
from meshdata.store.clock import Clock, HeldClock, held
from meshdata.store.large import LARGE_VALUE
from meshdata.store.store import Store
from meshdata.values import Duration, check_entity, duration_ms
from meshdata.workflow.activity import Activity, activity_topic
from meshdata.workflow.child import (
    check_retry,
    ttl_text,
)
from meshdata.workflow.context import follow_tasks
from meshdata.workflow.function import Function
from meshdata.workflow.home import FLOW, Home, decoder_of, topic_of
from meshdata.workflow.interceptor import Interceptor, check_interceptors
from meshdata.workflow.long import LONG_JOURNAL
from meshdata.workflow.worker import Host, Service

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from meshdata.graph.host import GraphHost
    from meshdata.graph.steps import Steps
    from meshdata.graph.stream import WorkerCallback

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

Url: TypeAlias = "str | Redis | None"
"""Where a mesh finds its Redis; None takes the environment's."""

DEFAULT_URL = "redis://localhost:6379"
SLOW_INTERVAL_S = 5.0
"""At the latest after so long a process looks for what a lost hint would have told it."""

LIFE_SIGN = "5 seconds"
LINGER = "1 minute"
HELD_BACK = "1000 days"
"""Both under a held clock: nobody's death is to be noticed, and a month is to pass without a million life signs."""

MOST_PARTITIONS = 1024
LEAST_LARGE_VALUE, MOST_LARGE_VALUE = 64, 512_000_000
LEAST_LIFE_SIGN_MS = 100


class MeshData(QueryVerbs, ScheduleVerbs, ControlVerbs):
    """Functions as a durable, cached, searchable data layer on one Redis.

    Args:
        url: redis://, rediss://, unix://, redis+sentinel://h1,h2/service, embedded://[/path], fake://, or a ready
            redis.asyncio client. By default MESHDATA_URL, else a Redis on this machine.
        namespace: everything of one namespace shares its keys and nothing else. By default MESHDATA_NAMESPACE.
        partitions: how many parts its keys are spread over; fixed when the namespace is created; None takes what is
            there, or 1.
        concurrency: how many functions this process works on at once. By default MESHDATA_CONCURRENCY, else 100.
        clock: milliseconds since 1970, or a `meshdata.testing.Clock`; for tests that move time.
        name: what this process is called in lists and logs.
        life_sign: how long a life sign of this process holds; another takes over at most two of these after its death.
            Also how often it looks for what hints did not tell, if that is less than 5 seconds. By default 5 seconds.
        linger: how long a waiting run stays in memory before it is suspended. By default a minute. (Under a
            `meshdata.testing.Clock`, which may be moved by months in a moment, both are years by default.)
        resident_limit: how many runs stay in memory.
        interceptors: code around every workflow, hook, activity and durable call of this process.
        long_journal: entries of a journal above which the log warns of it.
        large_value: bytes of an argument, a result or another outcome above which it is kept beside its journal.
    """

    def __init__(
        self,
        url: Url = None,
        *,
        namespace: str | None = None,
        partitions: int | None = None,
        concurrency: int | None = None,
        clock: Clock | None = None,
        name: str | None = None,
        life_sign: Duration | None = None,
        linger: Duration | None = None,
        resident_limit: int = 10_000,
        interceptors: Sequence[Interceptor] = (),
        long_journal: int = LONG_JOURNAL,
        large_value: int = LARGE_VALUE,
    ) -> None:
        environment = os.environ
        self.url = url if url is not None else environment.get("MESHDATA_URL", DEFAULT_URL)
        self.namespace = check_entity(
            namespace if namespace is not None else environment.get("MESHDATA_NAMESPACE", "meshdata"),
            argument="namespace",
        )
        self._partitions = _whole(partitions, "partitions", 1, MOST_PARTITIONS)
        wanted: Any = concurrency
        if wanted is None:
            wanted = environment.get("MESHDATA_CONCURRENCY", "100")
            wanted = int(wanted) if wanted.isdecimal() else wanted
        self._concurrency = _whole(wanted, "concurrency", 1, 100_000) or 100
        self._interceptors = check_interceptors(interceptors)
        self._resident_limit = _whole(resident_limit, "resident_limit", 1, 10_000_000) or 1
        self._long_journal = _whole(long_journal, "long_journal", 1, 10_000_000) or LONG_JOURNAL
        self._large_value = _whole(large_value, "large_value", LEAST_LARGE_VALUE, MOST_LARGE_VALUE) or LARGE_VALUE
        is_held = isinstance(clock, HeldClock)
        life_sign, linger = _or_default(life_sign, LIFE_SIGN, is_held), _or_default(linger, LINGER, is_held)
        life_sign_ms = duration_ms(life_sign, argument="life_sign") or 0
        if life_sign_ms < LEAST_LIFE_SIGN_MS:
            raise InvalidOptions(f"at least {LEAST_LIFE_SIGN_MS} ms, not {life_sign!r}", argument="life_sign")
        self._life_sign_s = life_sign_ms / 1000
        self._linger_s = (duration_ms(linger, argument="linger") or 0) / 1000
        self._clock = clock
        self.process = f"{check_entity(name, argument='name') if name else 'p'}-{secrets.token_hex(5)}"
        self._is_named = bool(name)
        self._registry = Registry()
        self._classes = Classes(self._registry)
        self._joined: dict[str, asyncio.Task[None]] = {}
        self._serving = False
        self._serving_since = datetime.now(UTC)
        self._open = False
        self._graphs: GraphHost | None = None
        self._leaving: list[Callable[[], Awaitable[None]]] = []

    # --- life ---------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> "MeshData":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect, and begin to serve what is connected already.

        Raises:
            StoreUnavailable: Redis cannot be reached.
            InvalidOptions: the url cannot be read, or the namespace has another number of partitions.
        """
        if self._open:
            return
        with held(self._clock):
            await self._start()

    async def _start(self) -> None:
        from meshdata.store.redis import Connections  # here: redis-py takes a third of the time to import all this

        connections = await Connections.open(self.url, name=f"meshdata {self.process}", clock=self._clock)
        try:
            self._store = await Store.open(
                connections, self.namespace, process=self.process, partitions=self._partitions, clock=self._clock,
                large_value=self._large_value,
            )  # fmt: skip
        except BaseException:
            await connections.aclose()
            raise
        try:
            self._registry.spread_over(self._store.partitions)
        except BaseException:
            await self._store.close()
            raise
        if not self._store.has_search:
            logger.warning("this Redis has no search module; everything but search works")
        look_s = self._life_sign_s if isinstance(self._clock, HeldClock) else min(self._life_sign_s, SLOW_INTERVAL_S)
        self._engine = Engine(self._store, reconcile_s=look_s)
        self._host = Host(
            self._store,
            linger_s=self._linger_s,
            resident_limit=self._resident_limit,
            interceptors=self._interceptors,
            long_journal=self._long_journal,
        )
        self._leases = Leases(self._store, self._host, period_s=self._life_sign_s, topics=lambda: self._router.topics)
        self._graphs = None
        self._router = Router(
            self._store, concurrency=self._concurrency, rejoin=self._rejoin,
            # A process that stands still must not be given messages after its sign has lapsed and others have looked.
            # That is two thirds of a life sign after it stopped at the soonest; a read under way ends before.
            block_ms=max(1, int(look_s * 500)),
        )  # fmt: skip
        self._near = Near(self._store)
        self._caller = Caller(self._engine, self._registry.seeds, self._near)
        self._calls = KeptCalls(self._engine, self._caller, self._near)
        self._schedules = Schedules(self._engine, self._caller)
        self._scheduler = Scheduler(self._store, look_s=look_s, on_due=self._schedules.due)
        self._records = Records(self._store, self._registry)
        self._bus = Bus(self._store)
        self._control = Control(self._store, self._bus, lambda: self._router.pace, self._profile)
        self._engine.on_run_hint = self._host.hint
        host, registry = self._host, self._registry
        host.to_hash, host.from_hash = registry.to_hash, registry.from_hash
        host.seeds, host.stored_names = registry.seeds, registry.stored_names
        host.named, host.elements = registry.named, registry.elements
        await self._engine.open()
        self._stop_following = follow_tasks(asyncio.get_running_loop())
        if isinstance(self._clock, HeldClock):
            self._clock.attach(self)
        self._open = True
        self._serve_lock = asyncio.Lock()
        for connected in list(self._registry.functions.values()):
            await self._serve(connected)
        for key in list(self._classes.served):
            await self._serve_class(key)

    async def close(self, drain: Duration = 10) -> None:
        """Stop taking work, let what is under way end for at most `drain`, hand the rest over, disconnect."""
        if not self._open:
            return
        self._open = False
        seconds = (duration_ms(drain, argument="drain") or 0) / 1000
        await asyncio.gather(*self._joined.values(), return_exceptions=True)
        self._joined.clear()
        await self._control.close()
        if self._serving:
            await self._router.close()
            await asyncio.gather(*(host.drain(seconds) for host in (self._host, self._graphs) if host is not None))
            await self._scheduler.close()
            await self._leases.close()
            try:
                async with asyncio.timeout(max(1.0, seconds)):
                    await self._leases.leave()
            except (MeshError, TimeoutError):
                logger.warning("leaving failed; others take over when the life sign lapses", exc_info=True)
            self._serving = False
        for leave in self._leaving:
            await leave()
        self._leaving.clear()
        await self._bus.close()
        await self._near.close()
        await self._engine.close()
        await self._host.close()
        self._stop_following()
        await self._store.close()
        if isinstance(self._clock, HeldClock):
            self._clock.detach(self)

    def serve(self, *, ready: Callable[[], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT; for a process that does nothing else. Opens and closes the mesh itself.

        Args:
            ready: called once everything connected is served.
        """
        asyncio.run(self._serve_until_told(ready))

    async def _serve_until_told(self, ready: Callable[[], None] | None) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (unix_signal.SIGTERM, unix_signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with self:
            if ready is not None:
                ready()
            await stop.wait()

    @property
    def entities(self) -> list[str]:
        """The names connected in this process, hooks included."""
        return list(dict.fromkeys(one.name for one in self._registry.functions.values()))

    @property
    def is_open(self) -> bool:
        """Whether it was started, and not closed since."""
        return self._open

    @property
    def caller(self) -> Caller:
        """What starts jobs, for the other doors of the house; no promise to users."""
        self._need_open()
        return self._caller

    @property
    def engine(self) -> Engine:
        """What jobs are awaited by, for the other doors of the house; no promise to users."""
        self._need_open()
        return self._engine

    @property
    def calls(self) -> KeptCalls:
        """What calls without a job, for the door of calls; no promise to users."""
        self._need_open()
        return self._calls

    @property
    def registry(self) -> Registry:
        """The functions and models it knows, for tools (`meshdata check`); no promise to users."""
        return self._registry

    def before_close(self, leave: Callable[[], Awaitable[None]]) -> None:
        """Have something done when it closes, once nothing is served any more, for the other doors of the house."""
        self._leaving.append(leave)

    @property
    def bus(self) -> Bus:
        """Its ear on the control plane, for the other doors of the house; no promise to users."""
        self._need_open()
        return self._bus

    @property
    def clock(self) -> Clock | None:
        """What it goes by in place of the server's time, if a test gave it something."""
        return self._clock

    @property
    def is_busy(self) -> bool:
        """Whether a function is at work here, rather than all wait for what is recorded."""
        return self._serving and self._router.busy > 0

    @property
    def store(self) -> Store:
        """The floor below, for tools that look at the server itself (`meshdata doctor`); no promise to users."""
        self._need_open()
        return self._store

    def _need_open(self) -> None:
        if not self._open:
            raise UsageError("the mesh is not open; use `async with MeshData(...) as mesh:` or `await mesh.start()`")

    # --- serving ------------------------------------------------------------------------------------------------------

    @overload
    def connect(
        self, entity: str, target: Callable[P, Coroutine[Any, Any, R]], *, model: type[Any] | None = None,
        ttl: Duration | None = None, queue: str | None = None, retry: RetryPolicy | None = None,
        concurrency: int | None = None, rate: str | RateLimit | None = None, limit: int | None = None,
        key: Callable[P, Any] | None = None,
    ) -> Entity[P, R]: ...  # fmt: skip
    @overload
    def connect(
        self, entity: str, target: Callable[P, R], *, model: type[Any] | None = None, ttl: Duration | None = None,
        queue: str | None = None, retry: RetryPolicy | None = None, concurrency: int | None = None,
        rate: str | RateLimit | None = None, limit: int | None = None, key: Callable[P, Any] | None = None,
    ) -> Entity[P, R]: ...  # fmt: skip
    def connect(
        self,
        entity: str,
        target: Callable[..., Any],
        *,
        model: type[Any] | None = None,
        ttl: Duration | None = None,
        queue: str | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int | None = None,
        rate: str | RateLimit | None = None,
        limit: int | None = None,
        key: Callable[..., Any] | None = None,
        **unknown: Never,
    ) -> Entity[Any, Any]:
        """Serve a function under a name: any process on the same Redis can execute it from now on.

        Args:
            target: sync or async; arguments and result are converted by its annotations.
            model: a pydantic class for the fields of its records.
            ttl: for calls with an id that name none themselves.
            queue: serve it under a queue of its own; callers name it too.
            retry: how often a failed run is repeated; by default it is not.
            concurrency: how many runs of it this process works on at once; by default as many as of all.
            rate: how many runs of it begin within a time, in all processes together: "100/minute".
            limit: how many runs of it there are at once, in all processes together, each from its begin to its end.
            key: makes of a call's arguments what its limits are kept apart by: each key has limits of its own.

        Returns:
            The entity; `await` it to be sure that it is served.
        """
        if unknown:
            refuse_unknown("connect", unknown, self.connect)
        if ttl is not None:
            ttl_text(ttl)
        if queue is not None:
            check_entity(queue, argument="queue")
        connected = self._registry.connect(
            entity, target, model=model, queue=queue, ttl=ttl, retry=None if retry is None else check_retry(retry),
            concurrency=_whole(concurrency, "concurrency", 1, 100_000), limits=check_limits(rate, limit, key), key=key,
        )  # fmt: skip
        if self._open:
            self._joined[entity] = asyncio.get_running_loop().create_task(self._serve(connected))
        return Entity(self, connected)

    def entity(self, name: str, **options: Any) -> Callable[[Callable[P, Any]], Entity[P, Any]]:
        """The decorator form of `connect`: `@mesh.entity("user", model=User)`."""

        def connect(target: Callable[P, Any]) -> Entity[P, Any]:
            return self.connect(name, target, **options)

        return connect

    def register(self, *classes: ServableClass, serve: bool = True) -> Registration:
        """Take in `MeshOS` classes: serve their methods, keep the index of their records, answer their verbs.

        Args:
            serve: False only answers their verbs: what is called is done by processes that serve them.

        Returns:
            What may be awaited, to be sure that they are served.

        Raises:
            InvalidOptions: something of a class is another's here, see `meshdata.meshos`.
        """
        check_flags(serve=serve)
        keys = [self._classes.take(one.__mesh_kind__(self), serve=serve) for one in classes]
        for one in classes:
            one.__mesh_bind__(self)
        for key in keys if self._open and serve else ():
            known = self._joined.get(key)
            if known is None or (known.done() and (known.cancelled() or known.exception())):
                self._joined[key] = asyncio.get_running_loop().create_task(self._serve_class(key))
        return Registration(self.served, keys)

    async def _serve_class(self, key: str) -> None:
        kind = self._classes.served[key]
        # An index that is not there is made at once, and before the first record. One that is to be changed may take
        # as long as there are records, and work does not wait for it.
        has_index = not self._store.has_search or await search.Index(self._store).exists(kind.entity)
        if not has_index:
            await search.Index(self._store).follow(self._registry.schemas[kind.entity])
        for connected in kind.functions:
            await self._serve(connected)
        if has_index and self._store.has_search:
            await search.Index(self._store).follow(self._registry.schemas[kind.entity])

    async def served(self, name: str) -> None:
        """Wait until this process serves an entity it has connected."""
        self._need_open()
        task = self._joined.get(name)
        if task is not None:
            await asyncio.shield(task)

    async def _serve(self, connected: Connected) -> None:
        home = connected.home
        self._host.homes.add(home, connected.function.fn)
        service = Service(connected.function, connected.concurrency, home, connected.queue)
        limits = connected.limits
        await self._store.set_limits(connected.topic, limits.text(self._store.partitions) if limits else "")
        await self._serve_topic(connected.topic, service)

    async def serve_activities(
        self, queue: str, *functions: Callable[..., Any], concurrency: int | None = None
    ) -> None:
        """Run activities here for the workflows of any process that name this queue: `@activity(queue="gpu")`.

        Args:
            functions: plain functions, or activities; each is known by the name of its function, which a workflow's own
                process need not have more of than the signature.
            concurrency: how many runs of each this process works on at once; by default as many as of all.
        """
        self._need_open()
        check_entity(queue, argument="queue")
        limit = _whole(concurrency, "concurrency", 1, 100_000)
        if not functions:
            raise InvalidOptions("name at least one function", argument="functions")
        for fn in functions:
            function = fn.function if isinstance(fn, Activity) else Function(fn)
            await self._serve_topic(activity_topic(queue, function.name), Service(function, limit))

    async def serve_workflows(
        self, queue: str, functions: Mapping[str, Callable[..., Any]], *, retry: RetryPolicy | None = None,
        concurrency: int | None = None,
    ) -> None:  # fmt: skip
        """Run workflow and hook functions here that belong to no entity: `MeshFlow.Worker` does it with this.

        Args:
            queue: the one that callers name.
            functions: by the names that callers know them by.
            retry: how often a failed run is repeated where its start does not say.
            concurrency: how many runs of each this process works on at once.
        """
        self._need_open()
        check_entity(queue, argument="queue")
        limit = _whole(concurrency, "concurrency", 1, 100_000)
        for name, fn in functions.items():
            function = Function(fn, check_entity(name, argument="workflows"))
            home = Home(FLOW, name, topic_of(name, queue), decoder_of(function), function)
            self._host.homes.add(home, fn)
            policy = None if retry is None else check_retry(retry)
            await self._serve_topic(home.topic, Service(function, limit, home, queue, retry=policy))

    async def serve_graph(self, app: str, steps: "Steps") -> None:
        """Carry out the jobs of an app of graphs here: `HotMesh` does it with this."""
        self._need_open()
        host = self._graph_host()
        await self._begin_to_serve(host.serve_runs(app, steps), host)

    async def serve_graph_worker(self, app: str, topic: str, callback: "WorkerCallback") -> None:
        """Be a worker of an app of graphs: `HotMesh` does it with this."""
        self._need_open()
        host = self._graph_host()
        await self._begin_to_serve(host.serve_work(app, topic, callback), host)

    def _graph_host(self) -> "GraphHost":
        if self._graphs is None:
            from meshdata.graph.host import GraphHost  # most processes serve none

            self._graphs = GraphHost(self._store, self._router)
            self._host.elsewhere = self._graphs.holds
        return self._graphs

    async def _serve_topic(self, topic: str, service: Service) -> None:
        self._host.services[topic] = service
        await self._begin_to_serve(topic, self._host)

    async def _begin_to_serve(self, topic: str, host: "Host | GraphHost") -> None:
        with held(self._clock):
            await self._join_and_serve(topic, host)

    async def _join_and_serve(self, topic: str, host: "Host | GraphHost") -> None:
        async with self._serve_lock:
            for partition in range(self._store.partitions):
                await self._leases.join(partition, [topic])
            await self._router.serve(topic, host.handle, host.has_room)
            if not self._serving:
                await self._control.open()
                self._serving, self._serving_since = True, datetime.now(UTC)
                self._router.open()
                self._host.open(self._router)
                self._leases.open()
                await self._scheduler.open()

    def _profile(self, signature: bool) -> Profile:
        """What this process says of itself in a roll call."""
        pace = self._router.pace
        return Profile(
            process=self.process,
            name=self.process.rpartition("-")[0] if self._is_named else "",
            namespace=self.namespace,
            host=socket.gethostname(),
            pid=os.getpid(),
            topics=tuple(self._router.topics),
            counts=dict(self._host.counts),
            throttle=pace.default,
            throttles=dict(pace.rates),
            busy=self._router.busy,
            concurrency=self._router.concurrency,
            resident=len(self._host.runs),
            started=self._serving_since,
            timestamp=datetime.now(UTC),
            system=System.here(),
            signature=self._sources() if signature else None,
        )

    def _sources(self) -> dict[str, str]:
        graphs = {} if self._graphs is None else self._graphs.sources()
        return {topic: service.function.source for topic, service in self._host.services.items()} | graphs

    async def _rejoin(self, partition: int) -> None:
        await self._leases.join(partition, self._router.topics)

    # --- health -------------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """Whether this process does its part: reaches Redis, reads its streams, gives its life sign. Never raises."""
        self._need_open()
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(2.0):
                await self._store.command(0, "PING")
                parked = await self._store.parked(self._router.topics)
            reachable = True
        except (MeshError, TimeoutError):
            reachable, parked = False, 0
        beat_age = now - self._leases.last_beat if self._serving and self._leases.last_beat else None
        return Health(
            reachable=reachable,
            serving=self._serving,
            reading=not self._serving or self._router.reads,
            alive=not self._serving or beat_age is None or beat_age < self._life_sign_s,
            has_search=self._store.has_search,
            resident=len(self._host.runs),
            busy=self._router.busy,
            parked=parked,
        )


def _or_default(value: Duration | None, default: Duration, is_held: bool) -> Duration:
    if value is not None:
        return value
    return HELD_BACK if is_held else default


def _whole(value: int | None, argument: str, least: int, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidOptions(f"a whole number from {least} to {most} is needed; got {value!r}", argument=argument)
    return value


__all__ = ["MeshData", "Url"]
