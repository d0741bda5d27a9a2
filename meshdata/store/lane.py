"""One RESP3 connection that carries many commands at once and reconnects by itself; where it leads is its opener's.

Commands called in the same tick of the event loop are written together, and replies are handed out in the order of the
commands. redis-py opens the socket (TLS, AUTH, SELECT, unix sockets), then this protocol takes it over: four
microseconds of client CPU per call where a connection pool needs fifty (docs/design.md "The lane").

What holds at all times:
(1) `_waiting` has one future per unanswered command, oldest first; the last `len(_out)` of them are not written yet.
(2) A cancelled caller's future stays in `_waiting` until its reply has come, so that the order is never lost.
(3) A subscription is confirmed by a push that stands in the order of replies, hence it waits there like a command.
(4) A new connection carries the subscriptions before any other command: what a command causes, its caller hears.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sized
from typing import Any, Protocol, cast

import hiredis

from meshdata.errors import StoreUnavailable

logger = logging.getLogger(__name__)

Argument = str | bytes | int | float
"""What a command is made of."""

BACKOFF_FIRST = 0.02
BACKOFF_LAST = 1.0
"""Seconds between attempts to reconnect, before jitter; the pause doubles from the first to the last."""

# A connection younger than this that meets a replica is not dropped: reconnecting again would find the same replica.
READONLY_PATIENCE = 1.0

_INCOMPLETE = object()
_CONFIRMATIONS = frozenset({b"subscribe", b"unsubscribe"})
_TRY_AGAIN = frozenset({"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN"})

# Its stub knows tuples of one element only.
pack_command = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)
PushNotification = hiredis.PushNotification


class ReplyError(Exception):
    """The server answered with an error; `.code` is its first word (NOSCRIPT, ERR, or what a script said)."""

    __slots__ = ("code",)

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.partition(" ")[0]

    @property
    def try_again(self) -> bool:
        """The server refused without any effect, for the state it is in: it loads, is busy, is a replica."""
        return self.code in _TRY_AGAIN


class ConnectionLost(StoreUnavailable):
    """The connection went away before the reply came.

    `.sent` False: the server never saw the command. True: it may have been executed, its outcome is unknown.
    """

    def __init__(self, message: str = "The connection to Redis was lost.", *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Opened(Protocol):
    """An open socket: a StreamWriter, or what stands for one."""

    @property
    def transport(self) -> asyncio.WriteTransport:
        """What the lane takes over."""


class _Then:
    """Stands where a future would wait, and passes on what it is set to."""

    __slots__ = ("set_exception", "set_result")

    def __init__(self, then: Callable[[Any], None]) -> None:
        self.set_result = self.set_exception = then

    def done(self) -> bool:
        """Never: there is no caller who could have given up."""
        return False


class Lane(asyncio.Protocol):
    """The shared connection to one server. Belongs to the event loop it was made in."""

    __slots__ = (
        "_call_soon",
        "_channels",
        "_closed",
        "_connect_timeout",
        "_connected_at",
        "_create_future",
        "_drained",
        "_established",
        "_failure",
        "_heard_at",
        "_loop",
        "_loop_queue",
        "_lost",
        "_open",
        "_opened",
        "_out",
        "_overdue",
        "_producers",
        "_reader",
        "_ready",
        "_reconnecting",
        "_reply_timeout",
        "_scheduled",
        "_time",
        "_transport",
        "_waiting",
        "_watch",
        "connected",
        "name",
        "on_connect",
        "on_lost",
        "on_push",
    )

    def __init__(
        self,
        opener: Callable[[], Awaitable[Opened]],
        *,
        name: str = "",
        reply_timeout: float | None = 10.0,
        connect_timeout: float = 5.0,
    ) -> None:
        """Make a lane that is not connected yet.

        Args:
            opener: opens a socket on which the server speaks RESP3 already; raises StoreUnavailable. Called for each
                (re)connect.
            name: what logs and errors call this connection.
            reply_timeout: seconds; when commands wait and nothing at all was received for so long, the connection is
                given up and made anew. None for connections that carry blocking reads: there the caller sets a deadline
                (`call_within`).
            connect_timeout: seconds that opening, handshake and the first PING may take together.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._call_soon = loop.call_soon
        self._create_future = loop.create_future
        self._time = loop.time
        self._open = opener
        self._reply_timeout = reply_timeout
        self._connect_timeout = connect_timeout
        self.name = name
        self.connected = False
        self.on_connect: list[Callable[[], Awaitable[None]]] = []
        self.on_lost: list[Callable[[], None]] = []
        self.on_push: Callable[[list[Any]], None] | None = None
        self._out: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._producers: list[Callable[[], None]] = []
        self._scheduled = False
        # Private to asyncio's own loops; others (uvloop) have none, and every write waits for its tick.
        self._loop_queue: Sized | None = getattr(loop, "_ready", None)
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._opened: Opened | None = None  # unused, but a collected StreamWriter closes its transport
        self._channels: dict[bytes, Callable[[bytes], None]] = {}
        self._ready = asyncio.Event()
        self._lost: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._connected_at = 0.0
        self._overdue = False
        self._established = False
        self._closed = False

    # --- the hot path -------------------------------------------------------------------------------------------------

    def call(self, *args: Argument) -> asyncio.Future[Any]:
        """Queue a command; it is written at the end of this tick of the loop.

        Returns:
            A future of the reply in native RESP3 shapes (bytes, int, float, bool, None, list, dict, set), nothing
            decoded. It fails with ReplyError (the server said no) or ConnectionLost. Cancelling it does not stop the
            command.
        """
        future = self._create_future()
        if not self.connected:
            future.set_exception(self._not_connected())
            return future
        self._out.append(pack_command(args))
        self._waiting.append(future)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._flush)
        return future

    def call_then(self, then: Callable[[Any], None], *args: Argument) -> None:
        """Queue a command like `call`; `then` is given the reply, or the error, in the moment it is read.

        Saves the tick of the loop that a future's callbacks wait. `then` must be quick, and must not raise.
        """
        if not self.connected:
            self._call_soon(then, self._not_connected())
            return
        self._out.append(pack_command(args))
        self._waiting.append(cast(asyncio.Future[Any], _Then(then)))
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._flush)

    def before_write(self, produce: Callable[[], None]) -> None:
        """Call `produce` just before the next write, when it may still add commands to it; it must not raise."""
        self._producers.append(produce)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._flush)

    def write_now(self) -> None:
        """Write what is queued at once if nothing else is ready to run; else it goes out with this tick's commands.

        For callers that wait for the reply next: the tick would gather commands of others, and there are none to come.
        """
        queue = self._loop_queue
        if queue is not None and self._scheduled and len(queue) <= 1:  # the one is our own _flush
            self._flush()

    def _flush(self) -> None:
        if self._producers:
            producers, self._producers = self._producers, []
            for produce in producers:
                produce()
        self._scheduled = False
        out = self._out
        if not out or not self.connected or self._transport is None:
            return
        if len(self._waiting) == len(out):  # nothing was in flight, so the silence before this moment means nothing
            self._heard_at = self._time()
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
        if self._watch is None and self._reply_timeout is not None:
            self._watch = self._loop.call_later(self._reply_timeout, self._check_progress)

    def data_received(self, data: bytes) -> None:
        """Hand each complete reply to the oldest waiting caller."""
        self._heard_at = self._time()
        reader = self._reader
        waiting = self._waiting
        try:
            reader.feed(data)
            gets = reader.gets
            while (reply := gets()) is not _INCOMPLETE:
                kind = type(reply)
                if kind is PushNotification:
                    self._pushed(reply)
                    continue
                future = waiting.popleft()
                if kind is ReplyError:
                    self._refused(future, reply)
                elif not future.done():
                    future.set_result(reply)
        except IndexError:
            self.abort("the server sent a reply that no command asked for")
        except hiredis.HiredisError as error:
            self.abort(f"the server's reply cannot be read: {error}")

    def _refused(self, future: asyncio.Future[Any], error: ReplyError) -> None:
        if not future.done():
            future.set_exception(error)
        # After a failover this address is a replica; the opener may lead to the new master.
        if error.code == "READONLY" and self._time() - self._connected_at > READONLY_PATIENCE:
            self.abort("the server became a replica")

    # --- publish and subscribe ----------------------------------------------------------------------------------------

    def _pushed(self, push: list[Any]) -> None:
        kind = push[0]
        callback: Callable[[Any], None] | None
        if kind == b"message":
            callback = self._channels.get(push[1])
            payload: Any = push[2]
        elif kind in _CONFIRMATIONS:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
            return
        else:
            callback, payload = self.on_push, push
        if callback is None:  # of a channel that was left a moment ago
            return
        try:
            callback(payload)
        except Exception:
            logger.exception("A push callback raised.", extra={"lane": self.name, "kind": kind})

    async def subscribe(
        self, channel: str | bytes, callback: Callable[[bytes], None], *, timeout: float = 30.0
    ) -> None:
        """Hear a channel from now on, over reconnects too; returns when the server has confirmed.

        Messages published while the connection is down are lost: an `on_connect` callback looks for what was missed.

        Args:
            channel: its name; a second subscription replaces the first one's callback.
            callback: is given each payload, in the loop's thread; it must not block.
            timeout: seconds to wait for a connection.

        Raises:
            StoreUnavailable: no connection within `timeout`; not subscribed.
            ReplyError: the server refuses (NOPERM); not subscribed.
        """
        name = channel.encode() if isinstance(channel, str) else channel
        self._channels[name] = callback
        try:
            async with asyncio.timeout(timeout):
                await self._confirm_until_heard(b"SUBSCRIBE", name)
        except TimeoutError as error:
            self._forget(name, callback)
            raise StoreUnavailable(f"Redis did not confirm a subscription within {timeout:g} s.") from error
        except BaseException:
            self._forget(name, callback)
            raise

    async def unsubscribe(self, channel: str | bytes) -> None:
        """Leave a channel; from now on its callback is not called any more. May be called twice."""
        name = channel.encode() if isinstance(channel, str) else channel
        if self._channels.pop(name, None) is None or not self.connected:
            return
        try:
            await self._confirmation(b"UNSUBSCRIBE", name)
        except ConnectionLost:
            logger.debug("The connection ended before a channel was left.", extra={"lane": self.name})

    async def _confirm_until_heard(self, verb: bytes, name: bytes) -> None:
        while True:
            await self.ready()
            try:
                await self._confirmation(verb, name)
                return
            except ConnectionLost:
                continue

    def _confirmation(self, verb: bytes, name: bytes) -> asyncio.Future[Any]:
        # One channel per command: each is answered by exactly one push, or by one error in the ordinary order.
        return self.call(verb, name)

    def _forget(self, name: bytes, callback: Callable[[bytes], None]) -> None:
        if self._channels.get(name) is callback:
            del self._channels[name]

    # --- connecting ---------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect for the first time; one attempt. From then on the lane reconnects by itself until it is closed.

        Raises:
            StoreUnavailable: the server cannot be reached, refuses, or still loads its data.
        """
        if self._closed:
            raise StoreUnavailable(f"The connection {self.name!r} was closed.")
        await self._establish()

    async def ready(self, timeout: float | None = None) -> None:
        """Wait until the lane is connected, its subscriptions stand and the `on_connect` callbacks have run.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            StoreUnavailable: not within `timeout`, or the lane was closed.
        """
        if not self._ready.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._ready.wait()
            except TimeoutError:
                message = f"No connection to Redis within {timeout:g} s: {self._failure or 'not connected'}"
                raise StoreUnavailable(message) from self._failure
        if self._closed:
            raise StoreUnavailable(f"The connection {self.name!r} was closed.")

    async def _establish(self) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout):
                self._adopt(await self._open())
                await self._greet()
            for callback in list(self.on_connect):
                await callback()
        except BaseException as error:
            self._failure = error
            self.abort(f"connecting failed: {error}")
            if (
                self._lost is not None
            ):  # this object serves the next connection only after it heard of the end of this one
                await asyncio.shield(self._lost)
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(
                    f"Redis did not answer within {self._connect_timeout:g} s of connecting."
                ) from error
            if isinstance(error, ReplyError):
                raise StoreUnavailable(f"Redis is not ready to serve: {error}") from error
            raise
        if not self.connected:
            raise ConnectionLost(sent=False)
        self._failure = None
        self._established = True
        self._ready.set()

    def _adopt(self, opened: Opened) -> None:
        """Make an open socket this lane's connection."""
        transport = cast(asyncio.Transport, opened.transport)  # a socket reads as well
        if self._closed:
            transport.abort()
            raise StoreUnavailable(f"The connection {self.name!r} was closed.")
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self._opened = opened
        self._transport = transport
        self._lost = self._create_future()
        self._connected_at = self._heard_at = self._time()
        transport.set_protocol(self)
        transport.resume_reading()
        self.connected = True

    async def _greet(self) -> None:
        """Subscribe again, say our name, ask whether the server serves: one that loads connects, and refuses work."""
        subscribed = [self._confirmation(b"SUBSCRIBE", name) for name in self._channels]
        named = self.call(b"CLIENT", b"SETNAME", self.name)
        served = self.call(b"PING")
        await asyncio.gather(*subscribed, named, served, return_exceptions=True)
        for confirmation in subscribed:
            confirmation.result()
        for courtesy in (named, served):
            error = courtesy.exception()
            # A user who may not say these is connected all the same.
            if error is not None and not (isinstance(error, ReplyError) and not error.try_again):
                raise error

    async def _reconnect(self) -> None:
        pause = BACKOFF_FIRST
        while not self._closed:
            # Jitter: the clients of one server that was restarted shall not all come in the same millisecond.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            try:
                await self._establish()
            except StoreUnavailable as error:
                logger.debug("Redis cannot be reached yet.", extra={"lane": self.name, "reason": str(error)})
            except Exception:
                logger.exception("A connection was given up because a callback raised.", extra={"lane": self.name})
            else:
                logger.info("Connected to Redis again.", extra={"lane": self.name})
                break
            pause = min(pause * 2, BACKOFF_LAST)
        self._reconnecting = None

    # --- losing the connection ----------------------------------------------------------------------------------------

    def abort(self, reason: str) -> None:
        """Give up the present connection, if there is one; callers waiting on it fail, and the lane reconnects."""
        if self._transport is None or not self.connected:
            return
        self.connected = False
        self._ready.clear()
        self._tell_lost()
        self._failure = self._failure or StoreUnavailable(f"The connection was given up: {reason}.")
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits and start to reconnect; called by the transport, once per connection."""
        self.connected = False
        self._ready.clear()
        self._tell_lost()
        self._transport = self._opened = None
        self._failure = self._failure or exc or StoreUnavailable("The server closed the connection.")
        self.resume_writing()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._fail_waiting()
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)
        if self._closed:
            self._ready.set()
        elif self._reconnecting is None and self._established:
            logger.warning("The connection to Redis was lost.", extra={"lane": self.name, "reason": str(self._failure)})
            self._reconnecting = self._loop.create_task(self._reconnect(), name=f"reconnect {self.name}")

    def _tell_lost(self) -> None:
        for callback in self.on_lost:
            callback()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        written = len(waiting) - len(self._out)
        self._out.clear()
        for position, future in enumerate(waiting):
            if not future.done():
                future.set_exception(ConnectionLost(sent=position < written))

    def _not_connected(self) -> ConnectionLost:
        reason = "it was closed" if self._closed else self._failure or "connect() was not called"
        return ConnectionLost(f"There is no connection to Redis: {reason}", sent=False)

    def _check_progress(self) -> None:
        """Give up a connection when commands wait and nothing was heard for `reply_timeout`: the peer may be gone."""
        self._watch = None
        timeout = self._reply_timeout
        if timeout is None or not self._waiting or not self.connected:
            self._overdue = False
            return
        remaining = self._heard_at + timeout - self._time()
        if remaining > 0:
            self._overdue = False
        elif not self._overdue:
            # This process may have stood still itself (a debugger, SIGSTOP): let the loop read what came meanwhile,
            # then decide.
            self._overdue = True
            remaining = min(0.05, timeout)
        else:
            self._overdue = False
            self.abort(f"no reply for {timeout:g} s")
            return
        self._watch = self._loop.call_later(remaining, self._check_progress)

    # --- back-pressure, deadlines, the end ----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Called by the transport when the server does not take in what was written."""
        if self._drained is None:
            self._drained = self._create_future()

    def resume_writing(self) -> None:
        """Called by the transport when there is room again."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def drained(self) -> None:
        """Wait until the socket takes more; for between large or many writes. At once when nothing is held back."""
        if self._drained is not None:
            await asyncio.shield(self._drained)

    async def call_within(self, seconds: float, *args: Argument) -> Any:
        """Call a command that blocks on the server, on a connection of its own, and give the connection up when no
        reply comes in time.

        Raises:
            ConnectionLost: no reply within `seconds`, or the connection went away.
            ReplyError: the server said no.
        """
        future = self.call(*args)
        late = self._loop.call_later(seconds, self._give_up, future, seconds)
        try:
            return await future
        finally:
            late.cancel()

    def _give_up(self, future: asyncio.Future[Any], seconds: float) -> None:
        if not future.done():  # a process that stood still reads first what came meanwhile
            self.abort(f"no reply to a blocking command for {seconds:g} s")

    @property
    def closed(self) -> bool:
        """`close` was called: the lane will not connect again."""
        return self._closed

    async def close(self) -> None:
        """Close the connection for good; callers still waiting fail with ConnectionLost. May be called twice."""
        self._closed = True
        task = self._reconnecting
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._reconnecting = None
        self._channels.clear()
        self.connected = False
        if self._transport is not None:
            self._transport.abort()
        if self._lost is not None:
            await asyncio.shield(self._lost)
        self._ready.set()  # whoever waits for a connection learns that none will come
