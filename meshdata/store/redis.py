"""From a URL or a ready client to connected lanes; Redis's ways to fail to connect become ours here.

| URL | what |
| --- | --- |
| `redis://[[user]:password@]host[:port][/db]`, `rediss://` | one server, the second over TLS (`?ssl_ca_certs=...` and
the like) |
| `unix://[[user]:password@]/path/to.sock[?db=0]` | the same on a unix socket |
| `redis+sentinel://[[user]:password@]host[:port][,host...]/service[?db=0]` | the master that the Sentinels name at each
connect |
| `embedded://[name]`, `embedded:///path` | a server of our own: in memory, shared in this process by name; or kept in a
folder |
| `fake://[name]` | fakeredis in this process, shared by name |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis.asyncio.connection as redis_connection
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from meshdata.errors import InvalidOptions, StoreUnavailable
from meshdata.store.clock import Clock, HeldClock
from meshdata.store.embedded import EmbeddedServer, SharedServer
from meshdata.store.lane import Lane, Opened, ReplyError

if TYPE_CHECKING:
    from meshdata.store.fake import SharedFake

SCHEMES = "redis://, rediss://, unix://, redis+sentinel://, embedded://, fake://"

LOADING_SECONDS = 60.0
"""How long `Connections.open` waits for a server that is still loading its data."""

# What of a ready client's settings makes a connection; the rest (retries, decoding, pooling) we do our own way.
_TAKEN = {"host", "port", "path", "db", "username", "password", "credential_provider", "socket_keepalive"}
_TAKEN |= {"socket_keepalive_options", "socket_type"}

_TLS = {
    "keyfile",
    "certfile",
    "cert_reqs",
    "ca_certs",
    "ca_data",
    "ca_path",
    "ciphers",
    "min_version",
    "check_hostname",
}
_TLS |= {"include_verify_flags", "exclude_verify_flags", "password"}

_QUERY: dict[str, Callable[[str], Any]] = {
    "db": int,
    "username": str,
    "password": str,
    "ssl_keyfile": str,
    "ssl_certfile": str,
    "ssl_cert_reqs": str,
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_ciphers": str,
    "ssl_check_hostname": redis_connection.to_bool,
}
"""What may stand after the '?' of a URL, and how its text is read."""


@dataclass(frozen=True, slots=True)
class Features:
    """What the server can do; asked of it at connect, never derived from its version."""

    search: bool
    """FT.* commands are there."""
    waitaof: bool
    """WAITAOF is there, hence `durability="fsync"`."""
    version: str
    """For people to read: what the server calls its version; "" where it does not say."""
    product: str
    """redis, valkey, or what else the server calls itself; for people to read."""

    @property
    def is_valkey(self) -> bool:
        """The server is Valkey, which calls itself Redis 7.2.4 for the sake of old clients."""
        return self.product == "valkey"


@dataclass(frozen=True, slots=True)
class Server:
    """How to reach one server."""

    kind: type[redis_connection.AbstractConnection]
    settings: dict[str, Any]
    sentinel: Sentinel | None = None
    service: str = ""

    async def open(self, *, timeout: float) -> asyncio.StreamWriter:
        """Open a socket on which the server speaks RESP3, logged in, database chosen. `timeout`: seconds for each step.

        Raises:
            StoreUnavailable: it cannot be reached or refuses us; caused by the redis-py error.
        """
        settings = dict(
            self.settings,
            protocol=3,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            if self.sentinel is not None:
                settings["host"], settings["port"] = await self.sentinel.discover_master(self.service)
            return await take_writer(self.kind(**settings), must_be_master=self.sentinel is not None)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis cannot be reached: {error}") from error

    async def aclose(self) -> None:
        """Close the clients that ask the Sentinels."""
        if self.sentinel is not None:
            await self.sentinel.aclose()


async def take_writer(
    connection: redis_connection.AbstractConnection, *, must_be_master: bool = False
) -> asyncio.StreamWriter:
    """Connect by redis-py and take the socket away from it; the only place that touches redis-py's private parts.

    Public ways to the transport do not exist. `tests/integration/test_connections.py` fails by name when redis-py
    changes these.
    """
    try:
        await connection.connect()
        if must_be_master:  # a Sentinel's news can be older than the failover
            await connection.send_command("ROLE")
            role = (await connection.read_response())[0]
            if role not in (b"master", "master"):
                raise StoreUnavailable(f"The Sentinels named a server that is a {role!r} now.")
    except BaseException:
        connection._close()
        raise
    reader, writer = connection._reader, connection._writer
    connection._reader = connection._writer = (
        None  # the connection object must not close the socket when it is collected
    )
    if reader is None or writer is None or reader.at_eof() or writer.transport.is_closing():
        raise StoreUnavailable("Redis closed the connection right after the handshake.")
    return writer


# --- URLs -------------------------------------------------------------------------------------------------------------


def _refuse(message: str) -> InvalidOptions:
    return InvalidOptions(message, argument="url")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refuse(f"it cannot be read: {error}.") from error
    if not parts.scheme or "://" not in url:
        raise _refuse(f"it needs a scheme; use one of {SCHEMES}.")
    return parts


def _query(parts: SplitResult, *extra: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, text in parse_qsl(parts.query, keep_blank_values=True):
        if key in extra:
            settings[key] = text
        elif key not in _QUERY:
            known = ", ".join(sorted({*_QUERY, *extra}))
            raise _refuse(f"{key!r} is not known after the '?'; known are {known}.")
        else:
            try:
                settings[key] = _QUERY[key](text)
            except ValueError as error:
                raise _refuse(f"{key}={text!r} is not a number.") from error
    return settings


def _login(parts: SplitResult) -> dict[str, Any]:
    settings = {}
    if parts.username:
        settings["username"] = unquote(parts.username)
    if parts.password:
        settings["password"] = unquote(parts.password)
    return settings


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise _refuse(f"{text!r} is not a port number.")
    return int(text)


def _hosts(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    """The comma-separated hosts of a URL; IPv6 addresses stand in brackets."""
    hosts = []
    for place in parts.netloc.rpartition("@")[2].split(","):
        if place.startswith("["):
            host, _, rest = place[1:].partition("]")
            port = rest.removeprefix(":")
        else:
            host, _, port = place.partition(":")
        hosts.append((unquote(host) or "localhost", _port(port, default_port)))
    return hosts


def _database(text: str) -> dict[str, Any]:
    text = text.strip("/")
    if not text:
        return {}
    if not text.isascii() or not text.isdigit():
        raise _refuse(f"the path of this URL is a database number, and {text!r} is none.")
    return {"db": int(text)}


def parse_url(url: str, *, timeout: float = 5.0) -> Server:
    """Read the URL of a server (not `embedded://` or `fake://`).

    Raises:
        InvalidOptions: it is not one we understand; the message says what is wrong. Passwords are not repeated in it.
    """
    parts = _split(url)
    if parts.scheme in ("redis", "rediss"):
        hosts = _hosts(parts, 6379)
        if len(hosts) > 1:
            raise _refuse("several hosts need redis+sentinel://host,host/service.")
        settings = {"host": hosts[0][0], "port": hosts[0][1], **_database(parts.path), **_login(parts), **_query(parts)}
        return Server(_tls(parts.scheme == "rediss", settings), settings)
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise _refuse("it needs the path of a socket, like unix:///run/redis.sock.")
        settings = {"path": unquote(parts.path), **_login(parts), **_query(parts)}
        _tls(False, settings)
        return Server(redis_connection.UnixDomainSocketConnection, settings)
    if parts.scheme == "redis+sentinel":
        return _parse_sentinel(parts, timeout)
    if parts.scheme.startswith("redis+cluster"):
        raise _refuse(f"a cluster is not supported yet; use one of {SCHEMES}.")
    raise _refuse(f"{parts.scheme}:// is not supported; use one of {SCHEMES}.")


def _tls(wanted: bool, settings: dict[str, Any]) -> type[redis_connection.Connection]:
    if wanted:
        return redis_connection.SSLConnection
    if any(key.startswith("ssl_") for key in settings):
        raise _refuse("ssl_ settings need rediss://.")
    return redis_connection.Connection


def _parse_sentinel(parts: SplitResult, timeout: float) -> Server:
    service = unquote(parts.path.strip("/"))
    if not service or "/" in service:
        raise _refuse("it needs the service's name, like redis+sentinel://host1,host2/mymaster.")
    settings = {**_login(parts), **_query(parts, "ssl", "sentinel_username", "sentinel_password")}
    asking = {name: settings.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    over_tls = bool(redis_connection.to_bool(settings.pop("ssl", "")))
    kind = _tls(over_tls, settings)
    tls = {"ssl": True} | {key: value for key, value in settings.items() if key.startswith("ssl_")} if over_tls else {}
    sentinel = _sentinel(_hosts(parts, 26379), {**asking, **tls}, timeout)
    return Server(kind, settings, sentinel, service)


def _sentinel(hosts: list[tuple[str, int]], settings: dict[str, Any], timeout: float) -> Sentinel:
    explicit = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
    return Sentinel(hosts, sentinel_kwargs={**settings, **explicit})


def read_client(client: Redis) -> Server:
    """Take the connection settings of a ready redis-py client; its pool, retries and decoding are not used."""
    pool = client.connection_pool
    settings = {
        key: value for key, value in pool.connection_kwargs.items() if key in _TAKEN or key.removeprefix("ssl_") in _TLS
    }
    if isinstance(pool, SentinelConnectionPool):
        tls = issubclass(pool.connection_class, redis_connection.SSLConnection)
        kind = redis_connection.SSLConnection if tls else redis_connection.Connection
        return Server(kind, settings, pool.sentinel_manager, pool.service_name)
    return Server(pool.connection_class, settings)


async def _start_embedded(parts: SplitResult) -> EmbeddedServer | SharedServer:
    if parts.query or parts.fragment:
        raise _refuse("embedded:// takes a name or a path, nothing else.")
    if parts.netloc and parts.path.strip("/"):
        raise _refuse(f"a path needs three slashes: embedded:///{parts.netloc}{parts.path}.")
    path = unquote(parts.path)
    server = EmbeddedServer(path) if path.strip("/") else SharedServer(unquote(parts.netloc))
    return await server.astart()


def _open_fake(parts: SplitResult, clock: Clock | None) -> SharedFake:
    if parts.query or parts.fragment or parts.path.strip("/"):
        raise _refuse("fake:// takes a name, nothing else.")
    from meshdata.store.fake import SharedFake  # fakeredis is an optional extra, and slow to import

    return SharedFake(unquote(parts.netloc), clock=clock if isinstance(clock, HeldClock) else None)


# --- connections ------------------------------------------------------------------------------------------------------


class Connections:
    """All connections one mesh has to its Redis. Made by `open`, ended by `aclose`."""

    def __init__(self) -> None:
        self.features = Features(search=False, waitaof=False, version="", product="")
        self._name = ""
        self._connect_timeout = 5.0
        self._reply_timeout: float | None = 10.0
        self._server: Server | None = None
        self._embedded: EmbeddedServer | SharedServer | None = None
        self._fake: SharedFake | None = None
        self._lane: Lane | None = None
        self._dedicated: set[Lane] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        source: str | Redis,
        *,
        name: str,
        connect_timeout: float = 5.0,
        reply_timeout: float = 10.0,
        clock: Clock | None = None,
    ) -> Connections:
        """Connect, and ask what the server can do.

        Args:
            source: a URL (see the module), or a redis.asyncio client whose settings are taken; it stays the caller's.
            name: what CLIENT LIST shows; dedicated connections add "-read".
            connect_timeout: seconds for one attempt to connect.
            reply_timeout: seconds of silence after which the shared connection is given up while commands wait.
            clock: what `fake://` goes by, if it is a held one.

        Raises:
            InvalidOptions: the URL.
            StoreUnavailable: the server.
        """
        connections = cls()
        connections._name = "".join(sign if "!" <= sign <= "~" else "-" for sign in name)
        connections._connect_timeout, connections._reply_timeout = connect_timeout, reply_timeout
        try:
            await connections._resolve(source, clock)
            connections._lane = connections._make_lane(connections._name, reply_timeout)
            await connections._connect_when_loaded(connections._lane)
            connections.features = await probe(connections._lane)
        except BaseException:
            await connections.aclose()
            raise
        return connections

    async def _resolve(self, source: str | Redis, clock: Clock | None) -> None:
        if isinstance(source, Redis):
            self._server = read_client(source)
            return
        if not isinstance(source, str):
            raise _refuse(f"a URL or a redis.asyncio.Redis client is needed, not {type(source).__name__}.")
        parts = _split(source)
        if parts.scheme == "embedded":
            self._embedded = await _start_embedded(parts)
            self._server = parse_url(self._embedded.url)
        elif parts.scheme == "fake":
            self._fake = _open_fake(parts, clock)
        else:
            self._server = parse_url(source, timeout=self._connect_timeout)

    def _make_lane(self, name: str, reply_timeout: float | None) -> Lane:
        server, fake, timeout = self._server, self._fake, self._connect_timeout

        async def open_socket() -> Opened:
            if fake is not None:
                return await fake.open()
            assert server is not None
            return await server.open(timeout=timeout)

        return Lane(open_socket, name=name, reply_timeout=reply_timeout, connect_timeout=timeout)

    async def _connect_when_loaded(self, lane: Lane) -> None:
        """Connect once; a server that is loading its data is waited for, one that cannot be reached is not."""
        deadline = asyncio.get_running_loop().time() + LOADING_SECONDS
        while True:
            try:
                return await lane.connect()
            except StoreUnavailable as error:
                cause = error.__cause__
                loading = isinstance(cause, ReplyError) and cause.code == "LOADING"
                if not loading or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.05)

    def lane(self, partition: int = 0) -> Lane:
        """The shared connection that carries the commands of a partition; never put a blocking command on it."""
        assert self._lane is not None
        return self._lane

    async def dedicated(self) -> Lane:
        """A new connection for blocking reads; the caller closes it, or `aclose` does.

        It has no reply timeout: use `Lane.call_within`, with a deadline somewhat after the BLOCK time.
        """
        if self._closed:
            raise StoreUnavailable("These connections were closed.")
        lane = self._make_lane(f"{self._name}-read", None)
        await lane.connect()
        self._dedicated = {known for known in self._dedicated if not known.closed} | {lane}
        return lane

    async def aclose(self) -> None:
        """Close every connection, and end the use of an embedded server. May be called twice."""
        self._closed = True
        lanes = [*self._dedicated, *([self._lane] if self._lane else [])]
        self._dedicated.clear()
        await asyncio.gather(*(lane.close() for lane in lanes))
        server, self._server = self._server, None
        embedded, self._embedded = self._embedded, None
        if self._fake is not None:
            self._fake.close()
        try:
            if server is not None:
                await server.aclose()
        finally:
            if embedded is not None:
                await embedded.astop()


async def probe(lane: Lane) -> Features:
    """Ask a server what it can do; what it does not let us ask counts as not there."""
    answers: tuple[Any, ...] = await asyncio.gather(
        lane.call("INFO", "server"),
        lane.call("COMMAND", "INFO", "WAITAOF"),
        lane.call("COMMAND", "INFO", "FT.SEARCH"),
        lane.call("FT._LIST"),
        return_exceptions=True,
    )
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, ReplyError):
            raise answer
    info, waitaof, search, listed = answers
    said = _read_info(info)
    version = said.get("valkey_version") or said.get("redis_version", "")
    product = "valkey" if "valkey_version" in said else said.get("server_name", "redis")
    # A user may be allowed to search and not to list indexes.
    can_search = isinstance(listed, list | set) or (_is_command(search) and listed.code == "NOPERM")
    return Features(search=can_search, waitaof=_is_command(waitaof), version=version, product=product)


def _is_command(answer: Any) -> bool:
    return isinstance(answer, list) and bool(answer) and answer[0] is not None


def _read_info(answer: Any) -> dict[str, str]:
    if not isinstance(answer, bytes):
        return {}
    lines = (line.partition(":") for line in answer.decode(errors="replace").splitlines())
    return {key: value for key, colon, value in lines if colon}
