"""From a URL or a client to connected lanes: what is understood, what is refused, what the server is found to do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio
import redis.asyncio.connection as redis_connection
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from meshdata.errors import InvalidOptions, StoreUnavailable
from meshdata.store import embedded
from meshdata.store.embedded import EmbeddedServer
from meshdata.store.lane import Lane
from meshdata.store.redis import Connections, Features, parse_url, read_client, take_writer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def opened(source: str | redis.asyncio.Redis, **options: float) -> AsyncIterator[Connections]:
    connections = await Connections.open(source, name="test", **options)
    try:
        yield connections
    finally:
        await connections.aclose()


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[int]:
    """The port of a server that listens on the loopback, with the password "secret" for `default`."""
    with EmbeddedServer(search=False) as server, redis.Redis.from_url(server.url) as client:
        port = free_port()
        client.config_set("port", port)
        client.acl_setuser("someone", enabled=True, passwords=["+pass@ word"], keys=["*"], commands=["+@all"])
        client.config_set("requirepass", "secret")
        yield port


# --- the socket we take from redis-py ---------------------------------------------------------------------------------


async def test_redis_py_still_has_the_private_parts_we_take(redis_url: str) -> None:
    """When this fails, a new redis-py needs a new `take_writer` in meshdata/store/redis.py, then a new upper bound."""
    connection = parse_url(redis_url).kind(path=redis_url.removeprefix("unix://"), protocol=3)
    assert connection._reader is None
    assert connection._writer is None
    await connection.connect()
    assert isinstance(connection._reader, asyncio.StreamReader)
    assert isinstance(connection._writer, asyncio.StreamWriter)
    connection._close()
    assert connection._writer is None

    writer = await take_writer(connection)
    assert isinstance(writer.transport, asyncio.Transport)
    assert not connection.is_connected

    async def give() -> asyncio.StreamWriter:
        return writer

    lane = Lane(give)
    await lane.connect()
    del connection
    gc.collect()  # the collected connection must not take the socket with it, nor warn
    assert await lane.call("ECHO", "x") == b"x"
    await lane.close()


async def test_redis_py_repeats_nothing_of_its_own(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    async def refuse(self: object) -> None:
        nonlocal attempts
        attempts += 1
        raise OSError("refused")

    monkeypatch.setattr(redis_connection.UnixDomainSocketConnection, "_connect", refuse)
    with pytest.raises(StoreUnavailable) as caught:
        await Connections.open(redis_url, name="x")
    assert attempts == 1
    assert isinstance(caught.value.__cause__, redis.ConnectionError)


# --- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("redis://", {"host": "localhost", "port": 6379}),
        ("redis://example.org", {"host": "example.org", "port": 6379}),
        ("redis://[::1]:7000/3", {"host": "::1", "port": 7000, "db": 3}),
        ("redis://:p%40ss@h:1", {"host": "h", "port": 1, "password": "p@ss"}),
        ("redis://user:pass@h/0?db=2", {"host": "h", "port": 6379, "username": "user", "password": "pass", "db": 2}),
        ("unix:///run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}),
        ("unix://u:p@/run/a%20b.sock", {"path": "/run/a b.sock", "username": "u", "password": "p"}),
    ],
)
def test_what_a_url_says(url: str, settings: dict[str, object]) -> None:
    assert parse_url(url).settings == settings


def test_tls_settings_come_from_the_query() -> None:
    server = parse_url("rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=false")
    assert server.kind is redis_connection.SSLConnection
    assert server.settings["ssl_ca_certs"] == "/ca.pem"
    assert server.settings["ssl_check_hostname"] is False


async def test_a_sentinel_url_names_hosts_and_service() -> None:
    server = parse_url("redis+sentinel://u:p@h1,h2:1000,[::1]/mymaster?db=2&sentinel_password=s")
    assert server.sentinel is not None
    places = [sentinel.connection_pool.connection_kwargs for sentinel in server.sentinel.sentinels]
    assert [(place["host"], place["port"]) for place in places] == [("h1", 26379), ("h2", 1000), ("::1", 26379)]
    assert all(place["password"] == "s" for place in places)
    assert server.service == "mymaster"
    assert server.settings == {"username": "u", "password": "p", "db": 2}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "needs a scheme"),
        ("localhost:6379", "needs a scheme"),
        ("http://localhost", "http:// is not supported"),
        ("redis+cluster://a,b", "cluster is not supported yet"),
        ("redis://h:port", "'port' is not a port"),
        ("redis://h:70000", "'70000' is not a port"),
        ("redis://h:-1", "'-1' is not a port"),
        ("redis://h/name", "'name' is none"),
        ("redis://a,b", r"redis\+sentinel"),
        ("redis://[::1", "cannot be read"),
        ("redis://h?timeout=1", "'timeout' is not known"),
        ("redis://h?db=one", "not a number"),
        ("redis://h?ssl_ca_certs=/x", "need rediss"),
        ("unix://", "path of a socket"),
        ("unix:///s?ssl_ca_certs=/x", "need rediss"),
        ("redis+sentinel://h", "service's name"),
        ("redis+sentinel://h/a/b", "service's name"),
        ("redis+sentinel://h:x/a", "not a port"),
        ("embedded://relative/path", "embedded:///relative/path"),
        ("embedded:///path?x=1", "nothing else"),
        ("fake://name/path", "nothing else"),
    ],
)
async def test_a_bad_url_is_refused_by_name_before_anything_is_opened(url: str, said: str) -> None:
    with pytest.raises(InvalidOptions, match=said) as caught:
        await Connections.open(url, name="x")
    assert caught.value.argument == "url"


async def test_a_refused_url_does_not_repeat_its_password() -> None:
    with pytest.raises(InvalidOptions) as caught:
        parse_url("redis://user:hunter2@h:port/x")
    assert "hunter2" not in str(caught.value)


async def test_something_else_than_a_url_or_client_is_refused(redis_client: redis.Redis) -> None:
    for source in (None, 6379, redis_client):
        with pytest.raises(InvalidOptions, match="URL"):
            await Connections.open(source, name="x")  # type: ignore[arg-type]


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_a_real_server_is_found_to_search_and_to_wait_for_its_log(redis_url: str) -> None:
    async with opened(redis_url) as connections:
        features = connections.features
        assert features.search
        assert features.waitaof
        assert int(features.version.split(".")[0]) >= 7
        assert not features.is_valkey


async def test_a_server_without_the_module_is_found_not_to_search() -> None:
    with EmbeddedServer(search=False) as server:
        wheel = next(embedded.candidates())
        async with opened(server.url) as connections:
            assert connections.features.search == (wheel.module is not None)


async def test_features_are_asked_for_and_not_derived_from_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = next(embedded.candidates())
    monkeypatch.setattr(embedded, "candidates", lambda: iter([embedded.Candidate(wheel.server, None)]))
    with EmbeddedServer(search=False) as server, redis.Redis.from_url(server.url) as client:
        client.acl_setuser("poor", enabled=True, nopass=True, keys=["*"], commands=["+ping", "+get"])
        url = server.url.replace("unix://", "unix://poor:any@")
        async with opened(url) as connections:
            assert connections.features == Features(search=False, waitaof=False, version="", product="redis")


async def test_all_partitions_share_the_lane_and_dedicated_lanes_are_new(redis_url: str) -> None:
    async with opened(redis_url) as connections:
        assert connections.lane(0) is connections.lane(3)
        reader = await connections.dedicated()
        ids = {await lane.call("CLIENT", "ID") for lane in (connections.lane(), reader)}
        assert len(ids) == 2
        assert await reader.call("CLIENT", "GETNAME") == b"test-read"
        assert await connections.lane().call("CLIENT", "GETNAME") == b"test"


async def test_closing_closes_every_connection(redis_url: str, redis_client: redis.Redis) -> None:
    async with opened(redis_url) as connections:
        lanes = [connections.lane(), await connections.dedicated(), await connections.dedicated()]
        await lanes[2].close()
    await connections.aclose()
    assert all(lane.closed for lane in lanes)
    with pytest.raises(StoreUnavailable):
        await connections.dedicated()


async def test_a_name_the_server_would_refuse_is_made_fit(redis_url: str) -> None:
    connections = await Connections.open(redis_url, name="my app\n1")
    assert await connections.lane().call("CLIENT", "GETNAME") == b"my-app-1"
    await connections.aclose()


async def test_nobody_there_is_store_unavailable(tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path}/no.sock", f"redis://127.0.0.1:{free_port()}"):
        with pytest.raises(StoreUnavailable) as caught:
            await Connections.open(url, name="x")
        assert isinstance(caught.value.__cause__, redis.RedisError)


async def test_passwords_and_databases(tcp_server: int) -> None:
    async with opened(f"redis://:secret@127.0.0.1:{tcp_server}/4") as connections:
        assert b"db=4" in await connections.lane().call("CLIENT", "INFO")
    async with opened(f"redis://someone:pass%40%20word@localhost:{tcp_server}") as connections:
        assert await connections.lane().call("ACL", "WHOAMI") == b"someone"
    for login in ("", ":wrong@", "nobody:secret@"):
        with pytest.raises(StoreUnavailable):
            await Connections.open(f"redis://{login}127.0.0.1:{tcp_server}", name="x")


async def test_tls(tcp_server: int, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    proxies: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_connection("127.0.0.1", tcp_server)
        for pair in ((reader, to_server[1]), (to_server[0], writer)):
            proxies.add(asyncio.create_task(pump(*pair)))

    front = await asyncio.start_server(proxy, "127.0.0.1", 0, ssl=context)
    port = front.sockets[0].getsockname()[1]
    async with opened(f"rediss://:secret@localhost:{port}?ssl_ca_certs={certificate}") as connections:
        lane = connections.lane()
        payload = b"x" * 3_000_000
        replies = await asyncio.gather(*(lane.call("ECHO", payload) for _ in range(3)))
        assert replies == [payload] * 3
        lane.abort("for the test")
        await lane.ready(5)
        assert await lane.call("PING") == b"PONG"
    with pytest.raises(StoreUnavailable, match="certificate"):
        await Connections.open(f"rediss://:secret@localhost:{port}", name="x")
    front.close()
    await asyncio.gather(*proxies)


async def test_a_server_that_is_loading_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    with node(tmp_path / "n", port), redis.Redis(port=port) as client:
        while not await asyncio.to_thread(_answers, client):
            await asyncio.sleep(0.01)
        client.config_set("rdbcompression", "no")
        client.eval("for i = 1, 500 do redis.call('SET', 'k' .. i, string.rep('x', 1000)) end", 0)
        client.save()
    slowly = ("key-load-delay 2000", "loading-process-events-interval-bytes 1024")  # 500 times 2 ms, hearing us between
    with node(tmp_path / "n", port, *slowly), redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(_loads, client):
                await asyncio.sleep(0.002)
        async with opened(f"redis://127.0.0.1:{port}") as connections:
            assert await connections.lane().call("STRLEN", "k500") == 1000


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _loads(client: redis.Redis) -> bool:
    try:
        return bool(client.info("persistence")["loading"])
    except redis.ConnectionError:
        return False


# --- a ready client, Sentinels, servers of our own --------------------------------------------------------------------


async def test_a_ready_client_lends_its_settings_and_stays_its_owners(tcp_server: int) -> None:
    client = redis.asyncio.Redis(host="127.0.0.1", port=tcp_server, password="secret", db=5, decode_responses=True)
    async with opened(client) as connections:
        assert b"db=5" in await connections.lane().call("CLIENT", "INFO")
        assert await connections.lane().call("ECHO", "raw") == b"raw"
    assert await client.ping()
    await client.aclose()


async def test_a_client_of_a_unix_socket_and_of_a_url(redis_url: str) -> None:
    path = redis_url.removeprefix("unix://")
    for client in (redis.asyncio.Redis(unix_socket_path=path), redis.asyncio.Redis.from_url(redis_url)):
        async with opened(client) as connections:
            assert await connections.lane().call("PING") == b"PONG"
        await client.aclose()


def test_a_tls_client_keeps_its_tls() -> None:
    server = read_client(redis.asyncio.Redis(host="h", ssl=True, ssl_ca_certs="/ca.pem"))
    assert server.kind is redis_connection.SSLConnection
    assert server.settings["ssl_ca_certs"] == "/ca.pem"


@contextlib.contextmanager
def node(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis of the embedded binary on a loopback port."""
    folder.mkdir(exist_ok=True)
    (folder / "redis.conf").write_text(
        f'port {port}\nbind 127.0.0.1\nsave ""\nrepl-diskless-sync-delay 0\n' + "\n".join(options)
    )
    binary = next(embedded.candidates()).server
    mode = ["--sentinel"] if any(option.startswith("sentinel ") for option in options) else []
    process = subprocess.Popen([binary, "redis.conf", *mode], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
async def test_a_sentinel_leads_to_the_master_at_each_connect(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    watching = (
        f"sentinel monitor main 127.0.0.1 {ports[0]} 1",
        "sentinel down-after-milliseconds main 1500",
        "sentinel failover-timeout main 4000",
    )
    with contextlib.ExitStack() as nodes:
        master = nodes.enter_context(node(tmp_path / "a", ports[0]))
        nodes.enter_context(node(tmp_path / "b", ports[1], f"replicaof 127.0.0.1 {ports[0]}"))
        nodes.enter_context(node(tmp_path / "s", ports[2], *watching))
        with redis.Redis(port=ports[2]) as sentinel, redis.Redis(port=ports[1]) as replica:
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(_sees_replica, sentinel, replica):
                    await asyncio.sleep(0.05)
        async with opened(f"redis+sentinel://127.0.0.1:{ports[2]}/main", connect_timeout=2) as connections:
            lane = connections.lane()
            await lane.call("SET", "k", "v")
            await lane.call("WAIT", 1, 1000)
            assert (await lane.call("ROLE"))[0] == b"master"
            master.kill()
            async with asyncio.timeout(30):
                while True:
                    await lane.ready()
                    with contextlib.suppress(StoreUnavailable):
                        role, value = await asyncio.gather(lane.call("ROLE"), lane.call("GET", "k"))
                        break
            assert role[0] == b"master"
            assert value == b"v"
            client = Sentinel([("127.0.0.1", ports[2])]).master_for("main")
            async with opened(client) as others:
                assert await others.lane().call("GET", "k") == b"v"
            await client.aclose()
            await client.connection_pool.sentinel_manager.aclose()
        with pytest.raises(StoreUnavailable, match="no-such-service"):
            await Connections.open(f"redis+sentinel://127.0.0.1:{ports[2]}/no-such-service", name="x")


def _sees_replica(sentinel: redis.Redis, replica: redis.Redis) -> bool:
    try:
        synced = replica.info("replication")["master_link_status"] == "up"
        seen = sentinel.sentinel_master("main")
        return synced and not seen["is_sdown"] and len(sentinel.sentinel_slaves("main")) == 1
    except (redis.RedisError, KeyError):
        return False


async def test_an_embedded_server_is_started_shared_and_stopped() -> None:
    async with opened("embedded://") as first, opened("embedded://") as second, opened("embedded://b") as other:
        assert first.features.search
        await first.lane().call("SET", "k", "v")
        assert await second.lane().call("GET", "k") == b"v"
        assert await other.lane().call("GET", "k") is None
    async with opened("embedded://") as fresh:
        assert await fresh.lane().call("GET", "k") is None


async def test_an_embedded_server_with_a_path_keeps_its_data(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}/da%20ta"
    async with opened(url) as connections:
        await connections.lane().call("SET", "k", "v")
    assert (tmp_path / "da ta").is_dir()
    async with opened(url) as connections:
        assert await connections.lane().call("GET", "k") == b"v"


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "meshdata.store.fake", raising=False)
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(StoreUnavailable, match=r"meshdata\[fake\]"):
        await Connections.open("fake://", name="x")
