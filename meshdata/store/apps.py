"""What is asked of Redis about apps of graphs: their versions, which one is active, and which engines live.

An app is kept in partition 0. Source: docs/keyspace.md "Apps"; lua/lib/apps.lua.
"""

from typing import Any, NamedTuple, Protocol

from meshdata.store.keys import Keys
from meshdata.store.messages import Argument

HOME = 0
"""The partition of everything that is an app's as a whole."""


class Scripts(Protocol):
    """What is asked of the store."""

    @property
    def keys(self) -> Keys: ...
    @property
    def process(self) -> str: ...
    async def _script(self, name: str, partition: int, *args: Argument) -> list[Any]: ...
    async def command(self, partition: int, *args: Argument) -> Any: ...


class Standing(NamedTuple):
    """What is active: `rev` changes with the app's versions; version and digest are "" while none is."""

    rev: int
    version: str
    digest: str


class KeptVersion(NamedTuple):
    """One version of an app, as it is kept.

    Attributes:
        deployed, activated: digests of the model that was deployed as it last, and activated as it last ("" if never).
        deployed_ms, activated_ms: when; 0 for never.
        is_active: whether jobs are carried out by it.
    """

    version: str
    deployed: str
    deployed_ms: int
    activated: str
    activated_ms: int
    is_active: bool


class Apps:
    """The part of the store that knows apps."""

    def __init__(self, store: Scripts) -> None:
        self._store = store

    async def deploy(self, app: str, version: str, *, digest: str, model: bytes) -> bool:
        """Keep a model as a version. False: it was kept before."""
        [word] = await self._store._script("app_deploy", HOME, app, version, digest, model)
        return bool(word == b"NEW")

    async def activate(self, app: str, version: str, *, digest: str) -> str:
        """Have a version carried out: OK, CHANGED or NOTFOUND."""
        [word] = await self._store._script("app_activate", HOME, app, version, digest)
        found: str = word.decode()
        return found

    async def sign(self, app: str, *, ttl_ms: int) -> Standing:
        """Say that this process is an engine of an app, and learn what is active."""
        rev, version, digest = await self._store._script("app_sign", HOME, app, self._store.process, ttl_ms)
        return Standing(rev, version.decode(), digest.decode())

    async def standing(self, app: str) -> Standing:
        """What is active, for who is no engine."""
        key = self._store.keys.app(app)
        while True:
            rev, version = await self._store.command(HOME, "HMGET", key, "rev", "active")
            if version is None:
                return Standing(int(rev or 0), "", "")
            again, activated = await self._store.command(HOME, "HMGET", key, "rev", f"a:{version.decode()}")
            if again == rev:
                return Standing(int(rev), version.decode(), (activated or b"").decode().partition(" ")[0])

    async def leave(self, app: str) -> None:
        """This process is an engine of an app no more."""
        await self._store.command(HOME, "ZREM", self._store.keys.engines(app), self._store.process)

    async def engines(self, app: str) -> set[str]:
        """The living engines of an app. Signs are told in real time, whatever time a test has set."""
        seconds, micros = await self._store.command(HOME, "TIME")
        now = int(seconds) * 1000 + int(micros) // 1000
        found = await self._store.command(HOME, "ZRANGEBYSCORE", self._store.keys.engines(app), f"({now}", "+inf")
        return {process.decode() for process in found}

    async def kept(self, app: str, version: str) -> KeptVersion:
        """One version; one that was never deployed has no digests."""
        wanted = ("active", f"d:{version}", f"a:{version}")
        active, *states = await self._store.command(HOME, "HMGET", self._store.keys.app(app), *wanted)
        return _version(version, *states, is_active=active == version.encode())

    async def model(self, app: str, digest: str) -> bytes | None:
        """A model; None if no version refers to it any more."""
        found: bytes | None = await self._store.command(HOME, "HGET", self._store.keys.app(app), f"m:{digest}")
        return found

    async def versions(self, app: str) -> list[KeptVersion]:
        """The versions there are, in the order of their labels."""
        key = self._store.keys.app(app)
        names = [name.decode() for name in await self._store.command(HOME, "HKEYS", key)]
        labels = sorted(name[2:] for name in names if name.startswith("d:"))
        wanted = [f"{kind}:{label}" for label in labels for kind in "da"]
        active, *states = await self._store.command(HOME, "HMGET", key, "active", *wanted)
        return [
            _version(label, states[2 * at], states[2 * at + 1], is_active=active == label.encode())
            for at, label in enumerate(labels)
        ]


def _version(label: str, deployed: bytes | None, activated: bytes | None, *, is_active: bool) -> KeptVersion:
    (digest, _, since), (ready, _, start) = ((text or b"").decode().partition(" ") for text in (deployed, activated))
    return KeptVersion(label, digest, int(since or 0), ready, int(start or 0), is_active)
