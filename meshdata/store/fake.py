"""`fake://`: fakeredis in this process, spoken to by the same lane as a real server; for unit tests of user code.

The lane writes commands to a transport that is no socket: it feeds them to a fakeredis connection and hands the replies
back as RESP3, in a later tick of the loop as a socket would. So calls, subscriptions, blocking reads and lost
connections take the same way through the code as with a server. There is no search, and it is slow: about 3,000 steps a
second. With a held clock (`meshdata.testing.Clock`) keys expire, and TIME passes, by that.

Source: written against fakeredis 2.40; `tests/integration/test_fake.py` compares the replies with those of a real
server.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, ClassVar, cast

from meshdata.errors import StoreUnavailable

try:
    from fakeredis import FakeServer
    from fakeredis._core import Database
    from fakeredis.aioredis import AsyncFakeSocket

    if importlib.util.find_spec("lupa") is None:  # fakeredis runs Lua by it, and misses it only at the first script
        raise ImportError("lupa")
except ImportError as error:  # an optional extra
    raise StoreUnavailable('fake:// needs fakeredis with Lua: pip install "meshdata[fake]"') from error

from redis.asyncio import Redis

from meshdata.store.clock import HeldClock
from meshdata.store.fake_scripts import QuickScripts

logger = logging.getLogger(__name__)

VERSION = (7, 4)

OTHER_WORDS = {
    "ERR BUSYGROUP": "BUSYGROUP",
    "ERR The XGROUP subcommand requires the key to exist": "NOGROUP No such key",  # said of XREADGROUP
}
"""Errors that begin with other words than a server's, which is how errors are told apart."""


def encode(value: Any) -> bytes:
    """Write a reply of fakeredis as RESP3. Errors are written where they stand, as fakeredis' SimpleError."""
    if value is None:
        return b"_\r\n"
    if isinstance(value, bool):
        return b"#t\r\n" if value else b"#f\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, float):
        return b",%s\r\n" % repr(value).encode()
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if isinstance(value, dict):
        return b"%%%d\r\n" % len(value) + b"".join(encode(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return b"*%d\r\n" % len(value) + b"".join(map(encode, value))
    if isinstance(value, set | frozenset):
        return b"~%d\r\n" % len(value) + b"".join(map(encode, value))
    if isinstance(value, Exception):
        text = str(getattr(value, "value", value)).replace("\r", " ").replace("\n", " ")
        for wrong, right in OTHER_WORDS.items():
            text = text.replace(wrong, right, 1)
        return b"-%s\r\n" % text.encode()
    raise TypeError(f"fakeredis replied with a {type(value).__name__}, which RESP3 does not know")


class _InOrder(dict[Any, None]):
    """Where fakeredis has a set, whose order is that of addresses: under a held clock all goes one way each time."""

    def add(self, one: Any) -> None:
        self[one] = None

    def discard(self, one: Any) -> None:
        self.pop(one, None)

    remove = discard


class _HeldDatabase(Database):  # type: ignore[misc, unused-ignore]
    """Keys that expire by a held clock."""

    def __init__(self, server: FakeServer, clock: HeldClock) -> None:
        self._clock = clock
        super().__init__(server.lock)
        self._change_callbacks = cast(Any, _InOrder())

    # fakeredis sets the time before each command.
    @property
    def time(self) -> float:
        return self._clock.micros() / 1e6

    @time.setter
    def time(self, seconds: float) -> None:
        pass


class _HeldServer(FakeServer):  # type: ignore[misc, unused-ignore]
    """A server whose time is a held clock's."""

    def __init__(self, clock: HeldClock) -> None:
        super().__init__(version=VERSION)
        self.dbs = defaultdict(lambda: _HeldDatabase(self, clock))
        self.subscribers = cast(Any, defaultdict(_InOrder))
        self._clock = clock
        self._told = 0

    def micros(self) -> int:
        """The time, never the same twice: the fences of runs are made of it, and each is above the last."""
        self._told = max(self._told + 1, self._clock.micros())
        return self._told


class _FakeConnection(QuickScripts, AsyncFakeSocket):  # type: ignore[misc, unused-ignore]
    """One client's connection inside fakeredis, which hands each reply to a transport."""

    def __init__(self, server: FakeServer, deliver: Callable[[bytes], None]) -> None:
        self._deliver: Callable[[bytes], None] | None = deliver
        self._reply: Any = None
        self._waiting: asyncio.Task[None] | None = None
        self._context = copy_context()
        super().__init__(server, 0, client_class=Redis, client_info={"resp": 3})

    # fakeredis counts subscriptions to refuse other commands meanwhile, which RESP3 allows; so it never sees any.
    @property
    def _pubsub(self) -> int:
        return 0

    @_pubsub.setter
    def _pubsub(self, count: int) -> None:
        pass

    def _decode_error(self, error: Any) -> Any:
        return error  # redis-py's exceptions have lost the first word, by which we tell errors apart

    def _decode_result(self, result: Any) -> Any:
        self._reply = super()._decode_result(result)
        return self._reply

    def put_response(self, msg: Any) -> None:
        """Every reply was the last one decoded; a list that was not is a push."""
        deliver = self._deliver
        if deliver is None:
            return
        encoded = encode(msg)
        deliver(b">" + encoded[1:] if isinstance(msg, list) and msg is not self._reply else encoded)

    def time(self) -> list[bytes]:
        """TIME."""
        if not isinstance(self._server, _HeldServer):
            return cast(list[bytes], super().time())
        seconds, micros = divmod(self._server.micros(), 1_000_000)
        return [b"%d" % seconds, b"%d" % micros]

    def _xreadgroup(self, *args: Any) -> Any:
        # Its first pass, the last argument, reads entries and drops them, and "nothing" is an empty map that ends the
        # waiting.
        read: Any = super()._xreadgroup
        return read(*args[:-1], False) or None

    def _empty_stream_read_reply(self, res: Any) -> Any:
        return res or None  # as a server answers

    def _blocking(
        self,
        timeout: float | None,
        func: Callable[[bool], Any],
        shape: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Answer a blocking command at once, or when a key changed so that it can be, or with nothing after `timeout`
        seconds.

        In place of fakeredis' own, whose waiting task cannot be ended with the connection. CLIENT UNBLOCK ends it too.
        """

        def shaped(result: Any) -> Any:
            return result if shape is None else shape(result)

        found = func(True)
        if found is not None or self._in_transaction:
            return shaped(found)
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        self._blocked, self._unblock_reason = True, None
        self.pause()
        # Not the context of whoever wrote to the connection just now: it may go by another clock, or be a run's.
        self._waiting = loop.create_task(self._wait(timeout or None, func, shaped, changed), context=self._context)
        database = self._db

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        database.add_change_callback(wake)
        self._waiting.add_done_callback(lambda _: database.remove_change_callback(wake))
        return self._no_response()

    @staticmethod
    def _no_response() -> Any:
        from fakeredis._helpers import NoResponse

        return NoResponse()

    async def _wait(
        self, timeout: float | None, func: Callable[[bool], Any], shaped: Callable[[Any], Any], changed: asyncio.Event
    ) -> None:
        found: Any = None
        try:
            async with asyncio.timeout(timeout):
                while found is None:
                    await changed.wait()
                    changed.clear()
                    if self._unblock_reason is not None:
                        break
                    with self._server.lock:
                        found = func(False)
        except TimeoutError:
            pass
        with self._server.lock:
            reply = self._decode_result(shaped(found))
        self._waiting = None
        self._blocked = False
        self.put_response(reply)
        self.resume()

    def end(self) -> None:
        """Leave fakeredis; what waits is not answered any more."""
        self._deliver = None
        if self._waiting is not None:
            self._waiting.cancel()
        self.close()


class FakeTransport(asyncio.Transport):
    """What a lane writes to in place of a socket."""

    def __init__(self, server: FakeServer) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()  # replies are heard in the context of who connected, as from a socket
        self._thread = threading.get_ident()
        self._protocol: asyncio.Protocol | None = None
        self._replies: list[bytes] = []
        self._scheduled = False
        self._lock = threading.Lock()  # a publisher may live in another thread's loop
        self._connection: _FakeConnection | None = _FakeConnection(server, self._queue)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on `protocol` hears the replies."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def resume_reading(self) -> None:
        """Nothing was ever paused."""

    def is_closing(self) -> bool:
        """Whether the connection has ended."""
        return self._connection is None

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Run commands; their replies come in the next tick."""
        if self._connection is None:
            return
        try:
            self._connection.sendall(bytes(data))
        except Exception:
            # A defect of fakeredis. The connection ends as a server's would; silence would leave the callers waiting.
            logger.exception("fakeredis failed.")
            self.abort()

    def _queue(self, reply: bytes) -> None:
        with self._lock:
            self._replies.append(reply)
            if self._scheduled:
                return
            self._scheduled = True
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._deliver, context=self._context)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, context=self._context)

    def _deliver(self) -> None:
        with self._lock:
            data = b"".join(self._replies)
            self._replies.clear()
            self._scheduled = False
        if self._connection is not None and self._protocol is not None:
            self._protocol.data_received(data)

    def abort(self) -> None:
        """End the connection; the protocol hears of it in the next tick."""
        if self._connection is None:
            return
        self._connection.end()
        self._connection = None
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, None, context=self._context)

    close = abort


class _Opened:
    """What an opener returns to a lane: something that has a transport."""

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport


class SharedFake:
    """One use of the fake server of a name; its data goes with the last user in this process.

    Args:
        clock: what the server goes by; the first user of a name decides.
    """

    _lock = threading.Lock()
    _running: ClassVar[dict[str, tuple[FakeServer, int]]] = {}

    def __init__(self, name: str = "", *, clock: HeldClock | None = None) -> None:
        self._name = name
        with self._lock:
            server, uses = self._running.get(name) or (None, 0)
            if server is None:
                server = FakeServer(version=VERSION) if clock is None else _HeldServer(clock)
            self._server = server
            self._running[name] = (self._server, uses + 1)
        self._used = True

    async def open(self) -> _Opened:
        """Connect; what a lane calls for each (re)connect."""
        if not self._used:
            raise StoreUnavailable("The fake Redis was closed.")
        return _Opened(FakeTransport(self._server))

    def close(self) -> None:
        """End this use. May be called twice."""
        with self._lock:
            if not self._used:
                return
            self._used = False
            server, uses = self._running.pop(self._name)
            if uses > 1:
                self._running[self._name] = (server, uses - 1)
