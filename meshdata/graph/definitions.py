"""The versions of apps: kept in Redis, compiled here, activated when every living engine has made the version ready.

What is active is one field in Redis, and that is the truth. A message on the bus tells engines to look; they look as
well when a connection comes back, and at a slow interval, with the sign that they live. An engine that comes later
loads what is active. Compiled graphs are kept by a digest of their model: a label may be deployed anew with another
model, and what is carried out changes only when that is activated.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from meshdata.engine.bus import Bus, Subscription
from meshdata.errors import InvalidOptions, MeshError, QuorumNotReached, StoreError, VersionNotFound
from meshdata.graph.compiled import App
from meshdata.store.apps import KeptVersion, Standing
from meshdata.store.store import Store
from meshdata.values import Duration, duration_ms

logger = logging.getLogger(__name__)

LOOK_S: Final = 2.0
SIGN_MS: Final = 6_000
"""How long the sign of an engine holds: it is given three times in that time."""

DELAY_S: Final = 0.25
RETRIES: Final = 3
"""How often engines are asked again that have not answered, each time with twice the patience."""

MOST_COMPILED: Final = 50
LABEL_LIMIT: Final = 200

PREPARE: Final = "prepare"
PREPARED: Final = "prepared"
ACTIVATE: Final = "activate"
ACTIVATED: Final = "activated"
"""Types of messages on the bus, each with `app`, `version` and `request`; answers with `engine`, and `problem`."""

NOTHING_ACTIVE: Final = Standing(0, "", "")

Compile = Callable[[Mapping[str, Any]], App]


@dataclass(slots=True)
class _Asked:
    """A question to the engines of an app, and who has answered it."""

    answered: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Definitions:
    """The versions of one app, as one process knows them.

    Args:
        compile: makes an app of a model; runs in a thread.
        bus: of the process: a second one would take the first one's place on the channel.
        look_s: what is active is looked up at least this often.
    """

    def __init__(self, store: Store, app: str, compile: Compile, *, bus: Bus, look_s: float = LOOK_S) -> None:
        self._store = store
        self._app = app
        self._compile = compile
        self._bus = bus
        self._look_s = look_s
        self._current: App | None = None
        self._standing = NOTHING_ACTIVE
        self._labels: dict[str, str] = {}
        self._compiled: dict[str, App] = {}
        self._asked: dict[str, _Asked] = {}
        self._requests = 0
        self._is_engine = False
        self._reading = asyncio.Lock()
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._soon = asyncio.Event()
        self.on_change: list[Callable[[App], None]] = []
        """Called with the app whenever another version or model of it is carried out here from now on."""

    # --- being an engine ----------------------------------------------------------------------------------------------

    async def open(self, *, as_engine: bool = True) -> None:
        """Know what is active from now on; as an engine of the app, have a say in what is to be.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        await self._listening()
        self._is_engine = as_engine
        await self.refresh()
        if self._task is None:
            self._store.connections.lane(0).on_connect.append(self._reconnected)
            self._task = asyncio.create_task(self._look_on(), name=f"meshdata versions of {self._app}")

    async def close(self) -> None:
        """Be an engine no more, hear nothing more."""
        was_engine, self._is_engine = self._is_engine, False
        tasks = [*self._tasks, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._task is not None:
            self._task = None
            self._store.connections.lane(0).on_connect.remove(self._reconnected)
        if was_engine:
            async with self._reading:  # a look under way must not sign behind this
                try:
                    await self._store.apps.leave(self._app)
                except StoreError:
                    logger.info("an engine's sign lapses by itself", exc_info=True, extra={"app": self._app})
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    async def _listening(self) -> None:
        if self._subscription is None:
            self._subscription = self._bus.subscribe(self._heard)
        await self._subscription

    async def _reconnected(self) -> None:
        self._soon.set()

    async def _look_on(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._look_s):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            try:
                await self.refresh()
            except MeshError:
                logger.warning("what is active could not be looked up", exc_info=True, extra={"app": self._app})

    # --- reading ------------------------------------------------------------------------------------------------------

    def current(self) -> App:
        """The version that is carried out, at once.

        Raises:
            VersionNotFound: none is active.
        """
        if self._current is None:
            raise VersionNotFound(
                f"app {self._app} has no active version; deploy a model and activate its version", app=self._app
            )
        return self._current

    async def active(self) -> App:
        """The version that is carried out; where this process knows of none, it looks before it says so.

        Raises:
            VersionNotFound: none is active. StoreUnavailable: Redis did not answer.
        """
        if self._current is None:
            await self.refresh()
        return self.current()

    async def version(self, version: str) -> App | None:
        """A version by its label: what was activated as it last, or else deployed. None if there is none.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        digest = self._labels.get(version)
        if digest is None:
            kept = await self._store.apps.kept(self._app, version)
            digest = kept.activated or kept.deployed
            if not digest:
                return None
            self._labels[version] = digest
        return await self._load(digest)

    async def versions(self) -> list[KeptVersion]:
        """All that were deployed."""
        return await self._store.apps.versions(self._app)

    async def refresh(self) -> None:
        """Look what is active now, and take it over. Of an engine it is a sign of life as well.

        Raises:
            StoreUnavailable: Redis did not answer. A version that cannot be compiled here is logged, and the one before
                it goes on to be carried out.
        """
        async with self._reading:
            if self._is_engine:
                standing = await self._store.apps.sign(self._app, ttl_ms=round(max(SIGN_MS, self._look_s * 3000)))
            else:
                standing = await self._store.apps.standing(self._app)
            if standing.rev != self._standing.rev:
                self._labels.clear()
            if standing.digest and (standing.digest != self._standing.digest or self._current is None):
                try:
                    found = await self._load(standing.digest)
                except StoreError:
                    raise
                except Exception:  # a newer house wrote it
                    logger.exception("the active version cannot be compiled", extra=self._facts(standing.version))
                    return
                if found is None:  # another was activated this moment: that is told, too
                    return
                self._current = found
                logger.info("a version of graphs is carried out", extra=self._facts(standing.version))
                for callback in list(self.on_change):
                    callback(found)
            self._standing = standing

    async def _load(self, digest: str) -> App | None:
        found = self._compiled.get(digest)
        if found is None:
            model = await self._store.apps.model(self._app, digest)
            if model is None:
                return None
            found = await asyncio.to_thread(self._compile, orjson.loads(model))
            self._keep(digest, found)
        return found

    def _keep(self, digest: str, app: App) -> None:
        self._compiled[digest] = app
        while len(self._compiled) > MOST_COMPILED:
            del self._compiled[next(iter(self._compiled))]

    def _facts(self, version: str) -> dict[str, str]:
        return {"app": self._app, "version": version}

    # --- writing ------------------------------------------------------------------------------------------------------

    async def deploy(self, app: App) -> bool:
        """Keep a compiled model as the version it says it is. Nothing is carried out of it before it is activated.

        Returns:
            False if it was kept before.

        Raises:
            InvalidOptions: it is another app's, or its version cannot be a label; StoreUnavailable.
        """
        check_label(app.version)
        if app.id != self._app:
            raise InvalidOptions(f"the model is of app {app.id!r}, this is {self._app!r}", argument="model")
        model = orjson.dumps(app.source)
        digest = digest_of(model)
        self._keep(digest, app)
        return await self._store.apps.deploy(self._app, app.version, digest=digest, model=model)

    async def activate(self, version: str, *, delay: Duration = DELAY_S) -> bool:
        """Have a version carried out by all engines of the app.

        Each living engine is asked to load and compile it; when all have, it is active. It returns when they have taken
        it over, or after `delay`.

        Args:
            delay: how long to wait for answers at first; three more times twice as long as before.

        Raises:
            VersionNotFound: it was never deployed. QuorumNotReached: engines that live do not answer, or cannot carry
                it out. InvalidOptions, StoreUnavailable.
        """
        check_label(version)
        pause = (duration_ms(delay, argument="delay") or 0) / 1000
        await self._listening()
        app, asked, digest = self._app, _Asked(), ""
        for attempt in range(1 + RETRIES):
            kept = await self._store.apps.kept(app, version)
            if not kept.deployed:
                raise VersionNotFound(f"Version {version} does not exist for app {app}", app=app, version=version)
            if kept.is_active and kept.activated == kept.deployed:
                await self.refresh()
                return True
            if kept.deployed != digest:
                asked, digest = _Asked(), kept.deployed
            missing = await self._ask(asked, PREPARE, version, digest, pause * 2**attempt)
            if asked.problems:
                break
            if not missing and await self._store.apps.activate(app, version, digest=digest) == "OK":
                await self._ask(_Asked(), ACTIVATE, version, digest, pause)
                await self.refresh()
                return True
        raise QuorumNotReached(
            f"Quorum not reached. Version {version} not activated.",
            app=app, version=version, missing=sorted(missing), problems=asked.problems,
        )  # fmt: skip

    async def _ask(
        self, asked: _Asked, type: str, version: str, digest: str, patience_s: float
    ) -> Sequence[str]:  # fmt: skip
        """Ask those engines that have not answered yet; the ones that live and do not answer."""
        self._requests += 1
        request = f"{self._store.process}/{self._requests}"
        self._asked[request] = asked
        try:
            engines = await self._store.apps.engines(self._app)
            if engines <= asked.answered:
                return ()
            body = {"type": type, "app": self._app, "version": version, "digest": digest, "request": request}
            await self._bus.publish(body)
            try:
                async with asyncio.timeout(patience_s):
                    while not (engines <= asked.answered or asked.problems):
                        await asked.news.wait()
                        asked.news.clear()
            except TimeoutError:
                engines = await self._store.apps.engines(self._app)  # less those whose sign has lapsed
            return sorted(engines - asked.answered)
        finally:
            del self._asked[request]

    # --- the bus ------------------------------------------------------------------------------------------------------

    def _heard(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if message.get("app") != self._app:
            return
        if kind in (PREPARE, ACTIVATE) and not self._is_engine:
            self._soon.set()
        elif kind in (PREPARE, ACTIVATE):
            task = asyncio.create_task(self._answer(message), name="meshdata versions answer")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif kind in (PREPARED, ACTIVATED):
            asked = self._asked.get(str(message.get("request")))
            if asked is not None:
                engine, problem = str(message.get("engine")), message.get("problem")
                if problem:
                    asked.problems[engine] = str(problem)
                asked.answered.add(engine)
                asked.news.set()

    async def _answer(self, message: dict[str, Any]) -> None:
        version, digest = str(message.get("version")), str(message.get("digest"))
        prepares = message["type"] == PREPARE
        problem = ""
        try:
            if not prepares:
                await self.refresh()
            elif await self._load(digest) is None:
                return  # it was deployed anew; whoever asks will see that
        except StoreError:
            logger.warning("a version of graphs could not be loaded", exc_info=True, extra=self._facts(version))
            return
        except Exception as error:
            logger.exception("a version of graphs cannot be compiled", extra=self._facts(version))
            problem = f"{type(error).__name__}: {error}"
        answer = {
            "type": PREPARED if prepares else ACTIVATED,
            "app": self._app,
            "version": version,
            "request": message.get("request"),
            "engine": self._store.process,
        }
        if problem:
            answer["problem"] = problem
        try:
            await self._bus.publish(answer)
        except StoreError:
            logger.warning("an answer to the quorum could not be sent", exc_info=True, extra=self._facts(version))


def check_label(version: Any) -> str:
    """A version's label as it may be used.

    Raises:
        InvalidOptions: it is no text, empty, too long, or has characters that no label has.
    """
    if not isinstance(version, str):
        raise InvalidOptions(f"a version is a text; got {type(version).__name__}", argument="version")
    if not version or len(version) > LABEL_LIMIT or not version.isprintable():
        raise InvalidOptions(
            f"a version is a text of 1 to {LABEL_LIMIT} printable characters; got {version!r}", argument="version"
        )
    return version


def digest_of(model: bytes) -> str:
    """What tells a model from any other."""
    return hashlib.sha256(model).hexdigest()[:32]
