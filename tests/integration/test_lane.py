"""The lane on a real server: order, errors, pushes, and every way to lose a connection."""

from __future__ import annotations

import asyncio
import gc
import pickle
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import redis

from meshdata.errors import StoreUnavailable
from meshdata.store.embedded import EmbeddedServer
from meshdata.store.lane import ConnectionLost, Lane, ReplyError
from meshdata.store.redis import parse_url

MakeLane = Callable[..., Awaitable[Lane]]


async def until(claim: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until a claim holds."""
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.002)


@pytest.fixture
async def make_lane(redis_url: str) -> AsyncIterator[MakeLane]:
    """Connected lanes that are closed afterwards."""
    lanes = []

    async def make(url: str = redis_url, *, reply_timeout: float | None = 10.0, connect_timeout: float = 5.0) -> Lane:
        server = parse_url(url)
        lane = Lane(
            lambda: server.open(timeout=connect_timeout),
            name="lane-test",
            reply_timeout=reply_timeout,
            connect_timeout=connect_timeout,
        )
        lanes.append(lane)
        await lane.connect()
        return lane

    yield make
    for lane in lanes:
        await lane.close()


@pytest.fixture
async def lane(make_lane: MakeLane) -> Lane:
    return await make_lane()


async def own_id(lane: Lane) -> int:
    identifier: int = await lane.call("CLIENT", "ID")
    return identifier


async def cut(lane: Lane, client: redis.Redis) -> None:
    """Let the server close the lane's connection."""
    client.execute_command("CLIENT", "KILL", "ID", await own_id(lane))


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_a_call_returns_a_future_and_is_written_at_the_end_of_the_tick(lane: Lane, namespace: str) -> None:
    key = f"mesh:{{{namespace}}}:n"
    futures = [lane.call("INCR", key) for _ in range(5)]
    assert not any(future.done() for future in futures)
    assert await asyncio.gather(*futures) == [1, 2, 3, 4, 5]
    await lane.call("DEL", key)


async def test_replies_are_raw_resp3(lane: Lane, namespace: str) -> None:
    key = f"mesh:{{{namespace}}}:h"
    await lane.call("HSET", key, "field", b"\x00\xff", "n", 1.5)
    assert await lane.call("HGETALL", key) == {b"field": b"\x00\xff", b"n": b"1.5"}
    assert await lane.call("GET", "nothing-here") is None
    assert await lane.call("SMEMBERS", "nothing-here") in (set(), [])
    assert await lane.call("EVAL", "redis.setresp(3) return {true, {double=1.5}, false}", 0) == [True, 1.5, False]


async def test_a_false_reply_is_a_reply(lane: Lane) -> None:
    assert await lane.call("EVAL", "redis.setresp(3) return false", 0) is False
    assert await lane.call("ECHO", "next") == b"next"


async def test_a_server_error_carries_its_first_word(lane: Lane) -> None:
    with pytest.raises(ReplyError) as caught:
        await lane.call("EVALSHA", "0" * 40, 0)
    assert caught.value.code == "NOSCRIPT"
    assert not caught.value.try_again
    with pytest.raises(ReplyError, match="MESH stale"):
        await lane.call("EVAL", "return redis.error_reply('MESH stale')", 0)
    assert ReplyError("LOADING Redis is loading the dataset in memory").try_again


async def test_an_error_concerns_its_own_caller_only(lane: Lane) -> None:
    replies = await asyncio.gather(
        lane.call("ECHO", "a"), lane.call("NONSENSE"), lane.call("ECHO", "b"), return_exceptions=True
    )
    assert replies[0] == b"a"
    assert replies[2] == b"b"
    assert isinstance(replies[1], ReplyError)


async def test_an_argument_that_cannot_be_sent_fails_at_the_call(lane: Lane) -> None:
    with pytest.raises(TypeError):
        lane.call("SET", "k", None)  # type: ignore[arg-type]
    assert await lane.call("ECHO", "still here") == b"still here"


async def test_fifty_thousand_commands_in_one_tick_keep_their_order(lane: Lane) -> None:
    replies = await asyncio.gather(*(lane.call("ECHO", number) for number in range(50_000)))
    assert replies == [b"%d" % number for number in range(50_000)]


async def test_large_values_pass_in_both_directions(lane: Lane) -> None:
    payloads = [bytes([n]) * 5_000_000 for n in range(8)]
    futures = [lane.call("ECHO", payload) for payload in payloads]
    await asyncio.sleep(0)
    await lane.drained()
    assert await asyncio.gather(*futures) == payloads


async def test_drained_waits_while_the_server_does_not_read(make_lane: MakeLane) -> None:
    with DeafServer() as server:
        lane = await make_lane(server.url)
        server.deaf.set()
        waiting = lane.call("SET", "k", b"x" * 50_000_000)
        await until(lambda: lane._drained is not None)
        held = asyncio.ensure_future(lane.drained())
        await asyncio.sleep(0)
        assert not held.done()
        await lane.close()
        await held
        with pytest.raises(ConnectionLost):
            await waiting


async def test_a_cancelled_caller_keeps_its_place(lane: Lane, namespace: str) -> None:
    key = f"mesh:{{{namespace}}}:n"

    async def increment() -> int:
        value: int = await lane.call("INCR", key)
        return value

    tasks = [asyncio.create_task(increment()) for _ in range(300)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == list(range(2, 301, 2))
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert await lane.call("GETDEL", key) == b"300"


# --- losing the connection --------------------------------------------------------------------------------------------


async def test_a_cut_connection_fails_its_callers_and_comes_back(lane: Lane, redis_client: redis.Redis) -> None:
    identifier = await own_id(lane)
    blocked = [lane.call("BLPOP", "nothing-here", 0), lane.call("ECHO", "behind")]
    await until(lambda: b"cmd=blpop" in redis_client.execute_command("CLIENT", "LIST", "ID", identifier))
    redis_client.execute_command("CLIENT", "KILL", "ID", identifier)
    for lost in await asyncio.gather(*blocked, return_exceptions=True):
        assert isinstance(lost, ConnectionLost)
        assert isinstance(lost, StoreUnavailable)
        assert lost.sent
    await lane.ready(5)
    assert await own_id(lane) != identifier


async def test_a_command_that_was_never_written_says_so(lane: Lane) -> None:
    written = lane.call("BLPOP", "nothing-here", 0)
    await asyncio.sleep(0)
    unwritten = lane.call("ECHO", "x")
    lane.abort("for the test")
    lost = await asyncio.gather(written, unwritten, return_exceptions=True)
    assert [error.sent for error in lost if isinstance(error, ConnectionLost)] == [True, False]


async def test_a_call_without_a_connection_fails_at_once(lane: Lane) -> None:
    lane.abort("for the test")
    future = lane.call("PING")
    assert future.done()
    with pytest.raises(ConnectionLost, match="for the test") as caught:
        await future
    assert not caught.value.sent
    await lane.ready(5)
    assert await lane.call("PING") == b"PONG"


async def test_connection_lost_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ConnectionLost("gone", sent=False)))
    assert (str(error), error.sent) == ("gone", False)


async def test_cut_a_hundred_times_under_load_no_caller_hangs_or_gets_anothers_reply(
    lane: Lane, redis_client: redis.Redis
) -> None:
    done = False
    answered = 0

    async def caller(name: int) -> None:
        nonlocal answered
        count = 0
        while not done:
            count += 1
            try:
                assert await lane.call("ECHO", f"{name}-{count}") == b"%d-%d" % (name, count)
                answered += 1
            except ConnectionLost:
                await lane.ready(10)

    callers = [asyncio.create_task(caller(name)) for name in range(50)]
    for _ in range(100):
        before = answered
        redis_client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: answered > before)  # noqa: B023
    done = True
    await asyncio.wait_for(asyncio.gather(*callers), 10)


async def test_a_restarted_server_is_found_again_with_its_data(make_lane: MakeLane, tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "r", search=False) as server:
        lane = await make_lane(server.url)
        await lane.call("SET", "k", "v")
        server.stop()
        await until(lambda: not lane.connected)
        with pytest.raises(StoreUnavailable, match=r"No connection to Redis within 0\.05 s"):
            await lane.ready(0.05)
        server.start()
        await lane.ready(10)
        assert await lane.call("GET", "k") == b"v"


async def test_callbacks_run_before_the_lane_is_ready_again(lane: Lane, redis_client: redis.Redis) -> None:
    seen: list[bytes] = []

    async def reconcile() -> None:
        assert not lane._ready.is_set()
        seen.append(await lane.call("ECHO", "again"))

    lane.on_connect.append(reconcile)
    await cut(lane, redis_client)
    await until(lambda: not lane.connected)
    await lane.ready(5)
    assert seen == [b"again"]


async def test_a_callback_that_fails_is_logged_and_tried_again(
    lane: Lane, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def reconcile() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ValueError("not yet")

    lane.on_connect.append(reconcile)
    await cut(lane, redis_client)
    await until(lambda: calls == 3)
    await lane.ready(5)
    assert "A connection was given up because a callback raised." in caplog.text


# --- silence ----------------------------------------------------------------------------------------------------------


class DeafServer:
    """Answers a handshake and PING like a Redis; from `deaf` on it reads nothing and says nothing."""

    def __init__(self) -> None:
        self.deaf = threading.Event()
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self.accepted += 1
            self._connections.append(connection)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            while not self.deaf.is_set() and (data := connection.recv(65536)):
                for word in data.upper().split(b"\r\n"):
                    if word == b"HELLO":
                        connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                    elif word in (b"CLIENT", b"PING"):
                        connection.sendall(b"+OK\r\n")
        except OSError:
            return

    def __enter__(self) -> DeafServer:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()


async def test_a_peer_that_went_silent_is_given_up(make_lane: MakeLane) -> None:
    with DeafServer() as server:
        lane = await make_lane(server.url, reply_timeout=0.2)
        server.deaf.set()
        await lane.call("PING")  # the one its reader was waiting for
        began = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionLost) as caught:
            await lane.call("GET", "k")
        assert caught.value.sent
        assert 0.2 <= asyncio.get_running_loop().time() - began < 2
        server.deaf.clear()
        await lane.ready(5)
        assert server.accepted >= 2


async def test_a_slow_command_is_not_silence_while_other_replies_come(make_lane: MakeLane) -> None:
    lane = await make_lane(reply_timeout=0.3)
    identifier = await own_id(lane)
    for _ in range(60):
        await lane.call("PING")
        await asyncio.sleep(0.01)
    assert await own_id(lane) == identifier


async def test_an_idle_lane_is_left_alone(make_lane: MakeLane) -> None:
    lane = await make_lane(reply_timeout=0.05)
    identifier = await own_id(lane)
    await asyncio.sleep(0.3)
    assert await own_id(lane) == identifier


async def test_a_process_that_stood_still_itself_blames_nobody(make_lane: MakeLane) -> None:
    lane = await make_lane(reply_timeout=0.05)
    future = lane.call("ECHO", "a")
    await asyncio.sleep(0)
    threading.Event().wait(0.2)
    assert await future == b"a"


async def test_a_blocking_call_past_its_deadline_costs_the_connection(make_lane: MakeLane) -> None:
    lane = await make_lane(reply_timeout=None)
    identifier = await own_id(lane)
    assert await lane.call_within(5, "BLPOP", "nothing-here", 0.01) is None
    with pytest.raises(ConnectionLost):
        await lane.call_within(0.05, "BLPOP", "nothing-here", 0)
    await lane.ready(5)
    assert await own_id(lane) != identifier


# --- publish and subscribe --------------------------------------------------------------------------------------------


async def test_a_subscription_lives_on_over_reconnects(lane: Lane, redis_client: redis.Redis, namespace: str) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await lane.subscribe(namespace, heard.put_nowait)
    assert redis_client.publish(namespace, "before") == 1
    assert await heard.get() == b"before"
    for number in range(5):
        await cut(lane, redis_client)
        await until(lambda: not lane.connected)
        await lane.ready(5)
        assert redis_client.publish(namespace, f"after {number}") == 1
        assert await heard.get() == b"after %d" % number


async def test_commands_and_pushes_share_the_connection_in_order(lane: Lane, namespace: str) -> None:
    heard: list[bytes] = []
    await lane.subscribe(namespace, heard.append)
    results = await asyncio.gather(*(lane.call("PUBLISH", namespace, n) for n in range(500)))
    assert results == [1] * 500
    assert heard == [b"%d" % n for n in range(500)]


async def test_leaving_a_channel(lane: Lane, redis_client: redis.Redis, namespace: str) -> None:
    heard: list[bytes] = []
    await lane.subscribe(namespace, heard.append)
    await lane.unsubscribe(namespace)
    await lane.unsubscribe(namespace)
    assert redis_client.publish(namespace, "x") == 0
    await cut(lane, redis_client)
    await until(lambda: not lane.connected)
    await lane.ready(5)
    assert redis_client.publish(namespace, "x") == 0
    assert heard == []


async def test_subscribing_while_disconnected_waits_for_the_connection(lane: Lane, namespace: str) -> None:
    lane.abort("for the test")
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await lane.subscribe(namespace, heard.put_nowait)
    assert await lane.call("PUBLISH", namespace, "x") == 1
    assert await heard.get() == b"x"


async def test_many_subscriptions_at_once_with_commands_between(lane: Lane, namespace: str) -> None:
    heard: list[bytes] = []
    subscribing = [lane.subscribe(f"{namespace}-{n}", heard.append) for n in range(100)]
    echoes = [lane.call("ECHO", n) for n in range(100)]
    await asyncio.gather(*subscribing)
    assert await asyncio.gather(*echoes) == [b"%d" % n for n in range(100)]
    await asyncio.gather(*(lane.call("PUBLISH", f"{namespace}-{n}", n) for n in range(100)))
    assert heard == [b"%d" % n for n in range(100)]


async def test_a_refused_subscription_raises_and_leaves_the_order_intact(
    make_lane: MakeLane, redis_url: str, redis_client: redis.Redis, namespace: str
) -> None:
    redis_client.execute_command("ACL", "SETUSER", namespace, "on", ">secret", "+@all", "~*", "resetchannels")
    try:
        lane = await make_lane(redis_url.replace("unix://", f"unix://{namespace}:secret@"))
        with pytest.raises(ReplyError) as caught:
            await lane.subscribe("forbidden", lambda _: None)
        assert caught.value.code == "NOPERM"
        assert await lane.call("ECHO", "x") == b"x"
        lane.abort("for the test")
        await lane.ready(5)
    finally:
        redis_client.execute_command("ACL", "DELUSER", namespace)


async def test_a_callback_that_raises_is_logged_and_harms_nobody(
    lane: Lane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(_: bytes) -> None:
        raise ValueError("bad callback")

    await lane.subscribe(namespace, bad)
    assert await lane.call("PUBLISH", namespace, "x") == 1
    assert await lane.call("ECHO", "x") == b"x"
    assert "A push callback raised." in caplog.text


async def test_other_pushes_go_to_on_push(lane: Lane, namespace: str, redis_client: redis.Redis) -> None:
    pushes: asyncio.Queue[list[object]] = asyncio.Queue()
    lane.on_push = pushes.put_nowait
    key = f"mesh:{{{namespace}}}:k"
    await lane.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", f"mesh:{{{namespace}}}:")
    redis_client.set(key, "v", ex=60)
    assert await asyncio.wait_for(pushes.get(), 5) == [b"invalidate", [key.encode()]]


# --- the beginning and the end ----------------------------------------------------------------------------------------


async def test_connecting_to_nothing_fails_and_starts_no_background_work(tmp_path: Path) -> None:
    server = parse_url(f"unix://{tmp_path}/nothing.sock")
    lane = Lane(lambda: server.open(timeout=1))
    with pytest.raises(StoreUnavailable):
        await lane.connect()
    assert lane._reconnecting is None
    await lane.close()


async def test_a_server_that_never_greets_is_not_waited_for_long() -> None:
    with DeafServer() as server:
        server.deaf.set()
        target = parse_url(server.url)
        lane = Lane(lambda: target.open(timeout=30), connect_timeout=0.1)
        with pytest.raises(StoreUnavailable, match=r"within 0\.1 s"):
            await lane.connect()
        await lane.close()


async def test_closing_fails_who_waits_and_stays_closed(make_lane: MakeLane) -> None:
    lane = await make_lane()
    waiting = lane.call("BLPOP", "nothing-here", 0)
    await lane.close()
    await lane.close()
    with pytest.raises(ConnectionLost):
        await waiting
    with pytest.raises(ConnectionLost, match="closed"):
        await lane.call("PING")
    with pytest.raises(StoreUnavailable, match="closed"):
        await lane.ready(5)
    with pytest.raises(StoreUnavailable, match="closed"):
        await lane.connect()


async def test_closing_while_reconnecting_ends_the_attempts(make_lane: MakeLane, tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "r", search=False) as server:
        lane = await make_lane(server.url)
        server.stop()
        await until(lambda: lane._reconnecting is not None)
        waiting = asyncio.create_task(lane.ready())
        await asyncio.sleep(0)
        await lane.close()
        with pytest.raises(StoreUnavailable):
            await waiting
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert "reconnect lane-test" not in names


async def test_a_closed_lane_leaves_no_open_socket_behind(make_lane: MakeLane, redis_client: redis.Redis) -> None:
    lane = await make_lane()
    identifier = await own_id(lane)
    await lane.close()
    del lane
    gc.collect()  # an unclosed transport warns, and a warning is an error here
    await until(lambda: not redis_client.execute_command("CLIENT", "LIST", "ID", identifier))
