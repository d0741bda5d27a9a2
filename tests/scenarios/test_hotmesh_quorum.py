"""Scenarios of the reference: who serves an app, how fast, and what its processes tell each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from meshdata import HotMesh, MeshData
from meshdata.errors import InvalidOptions
from meshdata.hotmesh import StreamData

Eventually = Callable[..., Awaitable[Any]]
T = "work.do"
MODEL = """app:
  id: quorum
  version: '1'
  graphs:
    - subscribes: run
      activities:
        t1: {type: trigger}
        w1: {type: worker, topic: work.do}
      transitions:
        t1: [{to: w1}]
"""


async def work(asked: StreamData) -> dict[str, Any]:
    return {}


@pytest.fixture
async def hot(redis_url: str, namespace: str, no_leaks: set[str]) -> AsyncIterator[HotMesh]:
    """One instance: an engine and a worker."""
    no_leaks |= {"app:quorum", "throttle"}
    async with AsyncExitStack() as stack:
        found = await HotMesh.init("quorum", redis_url, namespace=namespace, workers=[(T, work)])
        yield await stack.enter_async_context(found)


class Heard:
    """What a subscriber hears."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, channel: str, message: dict[str, Any]) -> None:
        self.all.append((channel, message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.all if message.get("type") == kind]


@pytest.fixture
async def heard(hot: HotMesh) -> Heard:
    found = Heard()
    await hot.sub_quorum(found)
    return found


async def test_a_version_is_activated(hot: HotMesh) -> None:
    await hot.deploy(MODEL)
    assert await hot.activate("1") is True


async def test_an_instance_with_an_engine_and_a_worker_is_two(hot: HotMesh) -> None:
    profiles = await hot.roll_call()
    assert sorted(profile.worker_topic or "" for profile in profiles) == ["", T]
    assert {(one.engine_id, one.app_id) for one in profiles} == {(hot.mesh.process, "quorum")}
    assert all(one.stream_depth == 0 and one.inited <= one.timestamp for one in profiles)


async def test_other_apps_and_entities_are_none_of_its_processes(hot: HotMesh, redis_url: str, namespace: str) -> None:
    async with MeshData(redis_url, namespace=namespace) as mesh:

        async def greet() -> None: ...

        await mesh.connect("greet", greet)
        assert len(await hot.roll_call()) == 2


async def test_a_rate_of_a_topic_is_kept(hot: HotMesh, heard: Heard, eventually: Eventually) -> None:
    assert await hot.throttle(1000, topic=T) is True
    assert (await hot.throttles()).of(T) == 1000
    await eventually(lambda: heard.of("throttle"))
    assert heard.of("throttle") == [{"type": "throttle", "throttle": 1000, "topic": T}]
    assert heard.all[-1][0] == T


async def test_a_rate_of_all_takes_the_place_of_a_topics_own(hot: HotMesh) -> None:
    await hot.throttle(1000, topic=T)
    await hot.throttle(5000)
    kept = await hot.throttles()
    assert (kept.all, kept.of(T)) == (5000, 5000)
    [engine, worker] = sorted(await hot.roll_call(), key=lambda one: one.worker_topic or "")
    assert (engine.throttle, worker.throttle) == (5000, 5000)
    await hot.throttle(0)
    assert {one.throttle for one in await hot.roll_call()} == {0}


async def test_a_rate_leaves_what_is_not_the_apps_alone(hot: HotMesh) -> None:
    await hot.throttle(-1)
    assert (await hot.mesh.throttles()).of("greet") == 0
    await hot.throttle(0)


async def test_a_rate_of_one_process_is_told_and_not_kept(hot: HotMesh, heard: Heard, eventually: Eventually) -> None:
    await hot.throttle(700, guid=hot.guid)
    await eventually(lambda: len(heard.of("throttle")) == 2)
    assert {message["guid"] for message in heard.of("throttle")} == {hot.mesh.process}
    assert (await hot.throttles()).of(T) == 0
    assert {one.throttle for one in await hot.roll_call()} == {700}


async def test_a_raw_rate_for_all_has_no_target(hot: HotMesh, heard: Heard, eventually: Eventually) -> None:
    await hot.pub_quorum({"type": "throttle", "throttle": 500})
    await eventually(lambda: heard.of("throttle"))
    [message] = heard.of("throttle")
    assert message["throttle"] == 500 and message.get("guid") is None and message.get("topic") is None


async def test_a_roll_call_is_answered_as_often_as_it_says(
    hot: HotMesh, heard: Heard, eventually: Eventually
) -> None:  # fmt: skip
    await hot.pub_quorum(
        {"type": "rollcall", "interval": 0.05, "topic": T, "guid": hot.guid, "max": 2, "signature": True}
    )
    await eventually(lambda: len(heard.of("pong")) >= 2)
    assert {message["originator"] for message in heard.of("pong")} == {None}
    signatures = [message["profile"]["signature"] for message in heard.of("pong")]
    assert all("async def work" in signature[f"graph:quorum/{T}"] for signature in signatures)


async def test_users_messages_are_heard_by_those_of_the_app(
    hot: HotMesh, heard: Heard, redis_url: str, namespace: str, eventually: Eventually
) -> None:  # fmt: skip
    async with await HotMesh.init("other", redis_url, namespace=namespace, readonly=True) as other:
        elsewhere = Heard()
        await other.sub_quorum(elsewhere)
        await other.pub_quorum({"type": "news", "from": "other"})
        await hot.pub_quorum({"type": "news", "n": 1, "topic": "weather"})
        await eventually(lambda: heard.of("news") and elsewhere.of("news"))
        assert heard.all == [("weather", {"type": "news", "n": 1, "topic": "weather"})]
        assert elsewhere.of("news") == [{"type": "news", "from": "other"}]


async def test_who_wants_to_hear_no_more_does_not(hot: HotMesh, heard: Heard, eventually: Eventually) -> None:
    second = Heard()
    await hot.sub_quorum(second)
    await hot.sub_quorum(second)
    await hot.unsub_quorum(heard)
    await hot.unsub_quorum(heard)
    await hot.pub_quorum({"type": "news"})
    await eventually(lambda: second.all)
    assert (len(second.all), heard.all) == (1, [])


@pytest.mark.parametrize("message", [{}, {"type": 1}, "news"])
async def test_what_is_no_message_is_refused(hot: HotMesh, message: Any) -> None:
    with pytest.raises(InvalidOptions, match="message"):
        await hot.pub_quorum(message)


async def test_what_cannot_be_a_rate_is_refused(hot: HotMesh) -> None:
    for wrong in (-2, 2**31, 1.5):
        with pytest.raises(InvalidOptions):
            await hot.throttle(wrong)  # type: ignore[arg-type] # what is wrong is the point
