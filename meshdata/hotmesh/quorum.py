"""Who serves an app, how fast, and what its processes tell each other: a part of the door.

It is the control plane of the namespace, as far as it is the app's: topics are the app's own, messages of other apps
are not heard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meshdata.engine.bus import Subscription
from meshdata.engine.profile import Profile, System, Throttle
from meshdata.errors import InvalidOptions, VersionNotFound
from meshdata.graph.definitions import ACTIVATE, ACTIVATED, PREPARE, PREPARED, Definitions
from meshdata.graph.effects import run_topic, work_topic
from meshdata.mesh import MeshData
from meshdata.values import Duration

OF_THE_MESH: Final = frozenset({"ping", "pong", "throttle", "rollcall"})
OF_VERSIONS: Final = frozenset({PREPARE, PREPARED, ACTIVATE, ACTIVATED})

QuorumCallback = Callable[[str, dict[str, Any]], Awaitable[None] | None]
"""Called with whom a message is for (a topic, a process, or "" for all) and the message."""


@dataclass(frozen=True, slots=True)
class QuorumProfile:
    """A part that a process has in an app: that of an engine, or of a worker.

    Attributes:
        engine_id: the process; worker_topic: what it is a worker of, None for an engine.
        stream: the topic of the mesh that carries its messages; stream_depth: messages nobody has consumed.
        counts: ends of what the process ran, by code; throttle: ms between two messages, -1 for a pause.
        inited: when the process began to serve; timestamp: when it answered; system: its machine.
        signature: the source of the callback, if that was asked for.
    """

    engine_id: str
    namespace: str
    app_id: str
    worker_topic: str | None
    stream: str
    stream_depth: int
    counts: dict[int, int]
    throttle: int
    inited: datetime
    timestamp: datetime
    system: System
    signature: str | None = None


class QuorumVerbs:
    """The verbs of `HotMesh` that are asked of all its processes."""

    _definitions: Definitions
    _quorum: dict[QuorumCallback, Subscription]
    app_id: str
    guid: str
    mesh: MeshData

    async def roll_call(self, delay: Duration = 1) -> list[QuorumProfile]:
        """Ask who serves the app.

        Args:
            delay: how long to wait for answers, at the most.

        Returns:
            A profile of each engine and each worker: a process that is both has two.
        """
        return [part for profile in await self.mesh.roll_call(delay) for part in self._parts(profile)]

    def _parts(self, profile: Profile) -> list[QuorumProfile]:
        engine = run_topic(self.app_id)
        found = []
        for stream in profile.topics:
            topic = self._own_topic(stream)
            if stream == engine or topic is not None:
                found.append(
                    QuorumProfile(
                        engine_id=profile.process, namespace=profile.namespace, app_id=self.app_id,
                        worker_topic=topic, stream=stream, stream_depth=profile.depths.get(stream, 0),
                        counts=profile.counts, throttle=profile.throttles.get(stream, profile.throttle),
                        inited=profile.started, timestamp=profile.timestamp, system=profile.system,
                        signature=(profile.signature or {}).get(stream),
                    )
                )  # fmt: skip
        return found

    def _own_topic(self, stream: Any) -> str | None:
        prefix = work_topic(self.app_id, "")
        return stream[len(prefix) :] if isinstance(stream, str) and stream.startswith(prefix) else None

    async def throttle(self, throttle: int, *, topic: str | None = None, guid: str | None = None) -> bool:
        """Slow down, hold or release the taking in of messages; what has begun goes on.

        Args:
            throttle: ms between two messages of a topic in each process; 0 for no limit, -1 to pause.
            topic: a worker's topic. Without it, all of the app: its engines and the workers there are.
            guid: this instance's, or a process by the `engine_id` of its profile: it alone, as long as it lives.

        Raises:
            InvalidOptions: it is no whole number from -1 to 2147483647.
        """
        process = self.mesh.process if guid == self.guid else guid
        if topic is not None:
            await self.mesh.throttle(throttle, topic=work_topic(self.app_id, topic), process=process)
            return True
        await self.mesh.throttle(throttle, topic=run_topic(self.app_id), process=process)
        await asyncio.gather(
            *(self.mesh.throttle(throttle, topic=one, process=process) for one in await self._worker_streams())
        )
        return True

    async def throttles(self) -> Throttle:
        """The rates that are kept: `.all`, the engines' and that of workers without one of their own; `.topics`."""
        kept = await self.mesh.throttles()
        own = {stream: self._own_topic(stream) for stream in kept.topics}
        return Throttle(
            kept.of(run_topic(self.app_id)),
            {topic: kept.topics[stream] for stream, topic in own.items() if topic is not None},
        )

    async def _worker_streams(self) -> set[str]:
        """Workers' topics: those that somebody serves or served, and those that the model names."""
        store = self.mesh.store
        served = await asyncio.gather(
            *(store.command(one, "SMEMBERS", f"{store.keys.base(one)}topics") for one in range(store.partitions))
        )
        found = {name.decode() for names in served for name in names}
        try:
            app = await self._definitions.active()
        except VersionNotFound:
            pass
        else:
            found |= {work_topic(self.app_id, topic) for topic in app.worker_topics}
        return {stream for stream in found if self._own_topic(stream) is not None}

    async def pub_quorum(self, message: Mapping[str, Any]) -> bool:
        """Tell the app's processes something, those that listen just now.

        A message whose `type` is ping, throttle or rollcall is carried out by them (see docs/guides/control-plane.md),
        with `topic` a worker's topic; one without topic and guid by every process of the namespace. Any other is for
        those who `sub_quorum`.
        """
        if not isinstance(message, Mapping) or not isinstance(message.get("type"), str):
            raise InvalidOptions("a message is a mapping with a type, which is a text", argument="message")
        told = dict(message)
        if told["type"] in OF_THE_MESH:
            if told.get("topic") is not None:
                told["topic"] = work_topic(self.app_id, str(told["topic"]))
            if told.get("guid") == self.guid:
                told["guid"] = self.mesh.process
        else:
            told["app"] = self.app_id
        await self.mesh.publish(told)
        return True

    async def sub_quorum(self, callback: QuorumCallback) -> None:
        """Have a callback, sync or async, called with what the app's processes are told and tell."""
        if not callable(callback):
            raise InvalidOptions(f"{type(callback).__name__} cannot be called", argument="callback")
        if callback in self._quorum:
            return

        def heard(message: dict[str, Any]) -> Awaitable[None] | None:
            told = self._translated(message)
            if told is None:
                return None
            return callback(str(told.get("topic") or told.get("guid") or ""), told)

        self._quorum[callback] = self.mesh.subscribe(heard)
        await self._quorum[callback]

    async def unsub_quorum(self, callback: QuorumCallback) -> None:
        """Call a callback no more."""
        subscription = self._quorum.pop(callback, None)
        if subscription is not None:
            subscription.close()

    def _translated(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """A message of the bus as the app's; None for one that is not."""
        told = dict(message)
        kind = told.get("type")
        if kind in OF_THE_MESH:
            if told.get("topic") is not None:
                topic = self._own_topic(told["topic"])
                if topic is None and told["topic"] != run_topic(self.app_id):
                    return None
                told["topic"] = topic
            return told
        if told.get("app") != self.app_id:
            return None
        if kind not in OF_VERSIONS:
            del told["app"]
        return told
