"""The door to graphs: deploy and activate models, start jobs, wait for them, signal them, look at them."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from meshdata.call.options import seconds
from meshdata.call.outcome import value_of
from meshdata.engine.bus import Subscription
from meshdata.errors import InvalidOptions, JobError, MeshTimeout
from meshdata.graph.asking import Broadcast, hook_key, start_of
from meshdata.graph.begin import Beginning, guid, identify
from meshdata.graph.compiled import App, Graph
from meshdata.graph.compiler import compile_app
from meshdata.graph.definitions import DELAY_S, Definitions
from meshdata.graph.effects import job_of, reply
from meshdata.graph.errors import interrupted
from meshdata.graph.figures import AppFigures, Listing
from meshdata.graph.place import instance_of, place_at
from meshdata.graph.replies import STATUSES
from meshdata.graph.steps import Steps, existing
from meshdata.graph.stream import JobOutput, WorkerCallback
from meshdata.hotmesh import jobs
from meshdata.hotmesh.figures import FigureVerbs
from meshdata.hotmesh.looking import LookVerbs
from meshdata.hotmesh.quorum import QuorumCallback, QuorumVerbs
from meshdata.hotmesh.results import ResultVerbs
from meshdata.hotmesh.subscriptions import Subscriptions, output_of
from meshdata.mesh import MeshData
from meshdata.opening import Address, Opening
from meshdata.store.messages import Outcome
from meshdata.values import Duration, duration_ms

logger = logging.getLogger(__name__)

APP_ID: Final = re.compile(r"[A-Za-z0-9-]+")
RESERVED: Final = "a"

Model = str | Path
"""A path of a YAML file, or the YAML itself."""

Status = Literal["success", "pending", "error"]


class HotMesh(LookVerbs, ResultVerbs, FigureVerbs, QuorumVerbs):
    """One app of graphs, as an engine, a worker, both, or neither. Made by `HotMesh.init`.

    Attributes:
        app_id: the app; guid: what this instance is called; mesh: the mesh it stands on.
    """

    def __init__(self, opening: Opening, app_id: str, definitions: Definitions) -> None:
        self._opening = opening
        self._definitions = definitions
        self.app_id = app_id
        self.guid = guid()
        self.mesh: MeshData = opening.mesh
        self._figures = AppFigures(self.mesh.store, app_id, definitions.active)
        self._steps = Steps(self.mesh.store, definitions, listed=self._listed)
        self._quorum: dict[QuorumCallback, Subscription] = {}
        self._subscriptions = Subscriptions(self.mesh.store, app_id)

    @classmethod
    async def init(
        cls,
        app_id: str,
        url: Address = None,
        *,
        workers: Sequence[tuple[str, WorkerCallback]] = (),
        readonly: bool = False,
        namespace: str | None = None,
        name: str | None = None,
        partitions: int | None = None,
        concurrency: int | None = None,
        life_sign: Duration | None = None,
    ) -> "HotMesh":
        """Open an app.

        Args:
            app_id: letters, digits and dashes; "a" is reserved.
            url: as for `MeshData`; or a MeshData to share its connection.
            workers: (topic, callback) each; a callback is sync or async, is given `StreamData`, and returns data, a
                `StreamReply`, or None to leave the activity open for a later `add`. What it raises is an error reply.
            readonly: carry out no jobs here: for processes that only start and look.
            namespace: by default "meshdata".
            name: what this process is called in lists and logs.
            partitions, concurrency, life_sign: see `MeshData`.

        Raises:
            InvalidOptions: the app's id, or a worker, is not what it has to be.
        """
        if not isinstance(app_id, str) or not APP_ID.fullmatch(app_id):
            raise InvalidOptions(f"config.appId [{app_id}] is invalid: letters, digits and dashes", argument="app_id")
        if app_id == RESERVED:
            raise InvalidOptions(f"config.appId [{app_id}] is reserved", argument="app_id")
        for worker in workers:
            _check_worker(worker)
        opening = Opening(
            url, namespace=namespace, name=name, partitions=partitions, concurrency=concurrency, life_sign=life_sign
        )
        mesh = await opening.opened()
        try:
            hot = cls(opening, app_id, Definitions(mesh.store, app_id, compile_app, bus=mesh.bus))
            mesh.before_close(hot._definitions.close)  # a mesh that is shared serves the app until its owner closes it
            await hot._definitions.open(as_engine=not readonly)
            if not readonly:
                await mesh.serve_graph(app_id, hot._steps)
            for topic, callback in workers:
                await mesh.serve_graph_worker(app_id, topic, callback)
        except BaseException:
            await opening.close(0)
            raise
        return hot

    async def __aenter__(self) -> "HotMesh":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self, drain: Duration = 10) -> None:
        """Take no more work, let what is under way end for at most `drain`, disconnect."""
        for callback in list(self._quorum):
            await self.unsub_quorum(callback)
        await self._subscriptions.close()
        await self._opening.close(drain)

    async def worker(self, topic: str, callback: WorkerCallback) -> None:
        """Be a worker of a topic, too."""
        _check_worker((topic, callback))
        await self.mesh.serve_graph_worker(self.app_id, topic, callback)

    # --- versions -----------------------------------------------------------------------------------------------------

    async def plan(self, model: Model) -> dict[str, Any]:
        """What a model is, everything it refers to taken in, without storing it.

        Raises:
            ModelError: it cannot be compiled; the error names graph, activity, field and line of each problem.
        """
        return dict(self._compiled(model).source)

    async def deploy(self, model: Model) -> dict[str, Any]:
        """Store a model as a version of the app. It runs once it is activated.

        What a model says without effect, such as keys that nothing knows, is logged as a warning.

        Returns:
            The model, everything it refers to taken in.

        Raises:
            ModelError: it cannot be compiled. InvalidOptions: it is another app's.
        """
        app = self._compiled(model)
        if app.warnings:
            facts = {"app": app.id, "version": app.version}
            logger.warning("a model may not mean what it says: %s", "; ".join(app.warnings), extra=facts)
        await self._definitions.deploy(app)
        return dict(app.source)

    def _compiled(self, model: Model) -> App:
        app = compile_app(model)
        if app.id != self.app_id:
            raise InvalidOptions(f"the model is of app {app.id!r}, this is {self.app_id!r}", argument="model")
        return app

    async def activate(self, version: str, delay: Duration = DELAY_S) -> bool:
        """Run a version from now on, in every process; jobs that run go on with it.

        Args:
            delay: how long to wait for the answers of engines, which load and compile it first; three more times twice
                as long as before.

        Raises:
            VersionNotFound: it was never deployed. QuorumNotReached: engines that live do not answer, or cannot run it.
        """
        return await self._definitions.activate(str(version), delay=delay)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def pub(
        self,
        topic: str,
        data: Any = None,
        *,
        context: Mapping[str, str] | None = None,
        search: Mapping[str, Any] | None = None,
        markers: Mapping[str, Any] | None = None,
        pending: Duration | None = None,
    ) -> str:
        """Start a job.

        Args:
            topic: what a graph of the app subscribes to.
            data: its payload, anything that JSON can hold.
            context: a trace to go on with: trc, spn.
            search: fields of the job's record; markers: names that begin with a dash, kept with its state.
            pending: only reserve the id, for so long: the job begins when it is resumed (`mesh.resume`).

        Returns:
            The job's id.

        Raises:
            InvalidOptions: no graph subscribes to the topic, or the payload does not fit. JobExists: the id is taken.
        """
        beginning, graph = await self._beginning(topic, data, context, search, markers)
        if pending is None:
            outcome = await self._steps.start(beginning)
        else:
            app, ms = await self._definitions.active(), duration_ms(pending, argument="pending")
            start = start_of(
                app, graph.publishes, beginning, policy="fail", token=guid(), pending="inf" if ms is None else str(ms)
            )
            outcome = await self.mesh.store.start_job(start)
        if outcome.word not in ("CREATED", "PENDING"):
            raise existing(beginning)
        return beginning.id

    async def pubsub(
        self, topic: str, data: Any = None, *, context: Mapping[str, str] | None = None, timeout: Duration = 1
    ) -> JobOutput:
        """Start a job, and wait for its end.

        Args:
            timeout: how long to wait; the job goes on after it.

        Raises:
            JobFailed: it ended with an error, whose message and code are the error's. JobInterrupted: it was
            interrupted. MeshTimeout: it did not end in time, code 504; `.job_id` is the job's.
            What `pub` raises.
        """
        timeout_s = seconds(timeout, argument="timeout")
        beginning, graph = await self._beginning(topic, data, context, None, None)
        app = await self._definitions.active()
        start = start_of(app, graph.publishes, beginning)

        async def send(waiter: str) -> Outcome:
            return await self._steps.start(beginning, waiter=waiter)

        try:
            outcome = await self.mesh.engine.run(start, timeout_s=timeout_s, send=send)
        except MeshTimeout as error:
            raise MeshTimeout(str(error), job_id=beginning.id, timeout_s=timeout_s) from None
        if outcome.word == "EXISTS":
            raise existing(beginning)
        output: JobOutput = value_of(outcome, beginning.id, output_of)
        return output

    async def _beginning(
        self,
        topic: str,
        data: Any,
        context: Mapping[str, str] | None,
        search: Mapping[str, Any] | None,
        markers: Mapping[str, Any] | None,
    ) -> tuple[Beginning, Graph]:
        app = await self._app_that(lambda app: topic in app.graphs)
        graph = app.graphs.get(topic)
        if graph is None:
            known = ", ".join(sorted(app.graphs)) or "none"
            raise InvalidOptions(
                f"no subscription found for topic {topic} in app {app.id} for app version {app.version}; "
                f"its graphs subscribe to {known}",
                argument="topic",
            )
        payload = jobs.payload_of(data)
        id, key = identify(app, graph, payload)
        fields = {name: jobs.text_of(value) for name, value in (search or {}).items()}
        marks = {name: jobs.text_of(value) for name, value in (markers or {}).items()}
        for name in marks:
            if not name.startswith("-"):
                raise InvalidOptions(f"a marker's name begins with a dash; {name!r} does not", argument="markers")
        return Beginning(topic, payload, id, key, None, dict(context or {}), fields, marks), graph

    async def add(
        self, metadata: Mapping[str, Any], data: Any = None, *, status: Status = "success", code: int | None = None
    ) -> bool:
        """A further reply for an activity that is open: one whose worker answered "pending", or not at all.

        Args:
            metadata: of the `StreamData` its worker was given; with a guid of its own, so that a reply that is sent
                again is no further reply.

        Returns:
            False if it came before, or nobody waits for it.
        """
        app = await self._definitions.active()
        id, aid, dad = (str(metadata.get(name, "")) for name in ("jid", "aid", "dad"))
        activity = app.activities.get(aid)
        if activity is None or not id:
            raise InvalidOptions("jid, aid and dad of a message of this app are needed", argument="metadata")
        _check_status(status)
        position = instance_of(aid, place_at((*activity.ancestors, aid), dad))
        packed = reply(jobs.payload_of(data), status=status, code=code)
        run = f"0 {job_of(self.app_id, id)}"
        word = await self.mesh.store.graphs.add(
            run, position, gid=str(metadata.get("gid", "")), guid=str(metadata.get("guid") or guid()), payload=packed
        )
        return word == "OK"

    async def hook(self, topic: str, data: Any, status: Status = "success", code: int = 200) -> str:
        """Wake the hook that waits for these data; kept for it if it does not wait yet.

        Args:
            code: 200 ends the wait; another one, as 202, leaves it standing for further signals.

        Returns:
            The signal's id.

        Raises:
            InvalidOptions: no graph of the app has a hook of the topic.
        """
        _check_status(status)
        app = await self._app_that(lambda app: topic in app.hooks)
        payload = jobs.payload_of(data)
        id = guid()
        packed = reply(payload, status=status, code=code)
        word = await self.mesh.store.signal(hook_key(app, topic, payload), packed, id=id)
        if word == "FULL":
            raise JobError(f"too many signals wait for a hook of {topic} already")
        return id

    async def interrupt(
        self,
        topic: str,
        job_id: str,
        *,
        reason: str | None = None,
        code: int = 410,
        throw: bool = True,
        descend: bool = False,
        suppress: bool = False,
        expire: Duration = 1,
        stack: str | None = None,
    ) -> bool:
        """End a job now.

        Args:
            throw: False: who waits for it gets its data as they stand, and no error.
            descend: the jobs it awaits or has started end with it.
            suppress: raise nothing if there is no such job, or it is over.
            expire: how long its remains stay.

        Raises:
            JobNotFound, JobError: there is no such job, it is over.
        """
        payload, problem = interrupted(job_id, reason=reason, code=code, stack=stack)
        ms = duration_ms(expire, argument="expire")
        word = await self.mesh.store.interrupt(
            job_of(self.app_id, job_id), payload=payload, problem=problem, descend=descend, throw=throw,
            ttl="inf" if ms is None else str(ms),
        )  # fmt: skip
        if word == "OK":
            return True
        if suppress:
            return False
        if word == "NOTFOUND":
            raise jobs.not_found(job_id)
        raise JobError(f"Job {job_id} already completed", job_id=job_id)

    async def scrub(self, job_id: str) -> bool:
        """Take a job away with everything it left, at once. False if there was none."""
        return await self.mesh.store.flush(job_of(self.app_id, job_id)) > 0

    async def _app_that(self, knows: Callable[[App], bool]) -> App:
        """The version that is carried out; where it lacks what is asked for, after one more look."""
        app = await self._definitions.active()
        if not knows(app):
            await self._definitions.refresh()
            app = await self._definitions.active()
        return app

    async def _listed(self, broadcast: Broadcast) -> Listing:
        return await self._figures.listing(broadcast.topic, broadcast.query, broadcast.facets)


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise InvalidOptions(f"a status is success, pending or error; got {status!r}", argument="status")


def _check_worker(worker: Any) -> None:
    if not isinstance(worker, tuple | list) or len(worker) != 2:
        raise InvalidOptions("a worker is (topic, callback)", argument="workers")
    topic, callback = worker
    if not isinstance(topic, str) or not topic:
        raise InvalidOptions("a worker's topic is a text with at least one character", argument="workers")
    if not callable(callback):
        raise InvalidOptions(f"the callback of {topic!r} cannot be called", argument="workers")
