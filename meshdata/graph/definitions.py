"""The versions of an app in a namespace: stored by `deploy`, run from `activate` on.

Truth is one hash; a process reads it when it opens the app, when it hears of a change, and at a slow interval. What is
compiled is kept by its content, so that a version that is deployed again in another form is seen.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from meshdata.errors import InvalidOptions, UsageError
from meshdata.graph.compiled import App
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

ACTIVE: Final = "active"

Compile = Callable[[Mapping[str, Any]], App]


class Definitions:
    """The versions of one app, as one process knows them.

    Args:
        compile: makes an app of an expanded model.
    """

    def __init__(self, store: Store, app: str, compile: Compile) -> None:
        self._store = store
        self._app = app
        self._compile = compile
        self._compiled: dict[bytes, App] = {}
        self._versions: dict[str, App] = {}
        self._active: App | None = None
        self._reading = asyncio.Lock()

    @property
    def _key(self) -> str:
        return self._store.keys.app(self._app)

    async def active(self) -> App:
        """The version that runs.

        Raises:
            UsageError: none was activated.
        """
        if self._active is None:
            await self.refresh()
        if self._active is None:
            raise UsageError(f"no version of app {self._app} is active; deploy one, then activate it")
        return self._active

    async def version(self, version: str) -> App | None:
        """A version that was deployed; None if there is none."""
        known = self._versions.get(version)
        if known is None:
            source = await self._store.command(0, "HGET", self._key, f"v:{version}")
            if source is None:
                return None
            known = self._versions[version] = self._made(source)
        return known

    def _made(self, source: bytes) -> App:
        digest = hashlib.sha256(source).digest()
        if digest not in self._compiled:
            self._compiled[digest] = self._compile(orjson.loads(source))
        return self._compiled[digest]

    async def refresh(self) -> None:
        """Read what is active now."""
        async with self._reading:
            version = await self._store.command(0, "HGET", self._key, ACTIVE)
            if version is None:
                return
            source = await self._store.command(0, "HGET", self._key, f"v:{version.decode()}")
            if source is not None:
                self._active = self._versions[version.decode()] = self._made(source)

    async def deploy(self, app: App) -> None:
        """Store a version. It runs nowhere before it is activated."""
        source = orjson.dumps(app.source)
        self._compiled[hashlib.sha256(source).digest()] = app
        deployed = f"deployed:{time.time_ns() // 1_000_000}"
        await self._store.command(
            0, "HSET", self._key, "id", self._app, f"v:{app.version}", source, f"s:{app.version}", deployed
        )
        self._versions[app.version] = app

    async def activate(self, version: str) -> bool:
        """Run a version from now on.

        Raises:
            InvalidOptions: it was never deployed.
        """
        if await self.version(version) is None:
            raise InvalidOptions(f"Version {version} does not exist for app {self._app}", argument="version")
        activated = f"activated:{time.time_ns() // 1_000_000}"
        await self._store.command(0, "HSET", self._key, ACTIVE, version, f"s:{version}", activated)
        await self.refresh()
        return True
