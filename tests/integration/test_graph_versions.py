"""Versions of apps: deployed, made ready by every engine that lives, activated; whoever missed the news looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson
import pytest
import redis

from meshdata.engine.bus import Bus
from meshdata.errors import InvalidOptions, QuorumNotReached, VersionNotFound
from meshdata.graph import definitions
from meshdata.graph.compiled import App
from meshdata.graph.definitions import Definitions
from meshdata.store.redis import Connections
from meshdata.store.store import Store

Eventually = Callable[..., Awaitable[Any]]


def compiled(source: Mapping[str, Any]) -> App:
    """An app that has nothing but its model: versions are no matter of what is in it."""
    if source["app"].get("newer"):
        raise ValueError("unknown activity type")
    return App(source["app"]["id"], source["app"]["version"], {}, {}, source=source)


def app(version: str, *, id: str = "shop", **more: Any) -> App:
    return App(id, version, {}, {}, source={"app": {"id": id, "version": version, **more}})


class Engine:
    """One process that knows apps."""

    def __init__(self, store: Store, bus: Bus, definitions: Definitions) -> None:
        self.store, self.bus, self.definitions = store, bus, definitions
        self.changes: list[str] = []
        self.definitions.on_change.append(lambda app: self.changes.append(app.version))

    async def open(self) -> None:
        await self.definitions.open()

    @property
    def version(self) -> str:
        return self.definitions.current().version


MakeEngine = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def make_engine(redis_url: str, namespace: str, partitions: int, no_leaks: set[str]) -> AsyncIterator[MakeEngine]:
    """Engines in processes of their own, as far as Redis can tell."""
    no_leaks |= {"app:shop", "app:other"}
    made: list[Engine] = []

    async def make(process: str, *, app: str = "shop", look_s: float = 60.0) -> Engine:
        connections = await Connections.open(redis_url, name=process)
        store = await Store.open(connections, namespace, process=process, partitions=partitions)
        bus = Bus(store)
        made.append(Engine(store, bus, Definitions(store, app, compiled, bus=bus, look_s=look_s)))
        return made[-1]

    yield make
    for engine in made:
        await engine.definitions.close()
        await engine.bus.close()
        await engine.store.close()


@pytest.fixture
async def one(make_engine: MakeEngine) -> Engine:
    return await make_engine("one")


@pytest.fixture
async def two(make_engine: MakeEngine) -> Engine:
    return await make_engine("two")


# --- deploying --------------------------------------------------------------------------------------------------------


async def test_nothing_is_carried_out_before_it_is_activated(one: Engine) -> None:
    await one.open()
    assert await one.definitions.deploy(app("1"))
    with pytest.raises(VersionNotFound, match="no active version"):
        one.definitions.current()
    assert await one.definitions.activate("1")
    await one.definitions.deploy(app("2"))
    await one.definitions.refresh()
    assert (one.version, one.changes) == ("1", ["1"])


async def test_a_model_deployed_twice_or_by_two_at_once_is_one_version(one: Engine, two: Engine) -> None:
    found = await asyncio.gather(*(engine.definitions.deploy(app("1")) for engine in (one, two, one)))
    assert sorted(found) == [False, False, True]
    assert [kept.version for kept in await one.definitions.versions()] == ["1"]


async def test_any_text_is_a_version(one: Engine) -> None:
    await one.open()
    for label in ("1", "2024-06-01", "1.2.0-rc.1", "with blanks"):
        await one.definitions.deploy(app(label))
        assert await one.definitions.activate(label)
        assert one.version == label
    kept = await one.definitions.versions()
    assert sorted(one.version for one in kept) == ["1", "1.2.0-rc.1", "2024-06-01", "with blanks"]
    assert [one.version for one in kept if one.is_active] == ["with blanks"]
    assert all(one.activated == one.deployed and one.activated_ms >= one.deployed_ms for one in kept)


@pytest.mark.parametrize("label", ["", "a\nb", "x" * 201, 3])
async def test_what_is_no_version_is_refused_before_anything_is_written(one: Engine, label: Any) -> None:
    with pytest.raises(InvalidOptions, match="version"):
        await one.definitions.deploy(app(label))
    with pytest.raises(InvalidOptions, match="version"):
        await one.definitions.activate(label)
    assert await one.definitions.versions() == []


async def test_a_version_deployed_anew_is_carried_out_when_it_is_activated_anew(one: Engine, two: Engine) -> None:
    await one.open()
    await two.open()
    await one.definitions.deploy(app("1", title="old"))
    await one.definitions.activate("1")
    assert await one.definitions.deploy(app("1", title="new"))
    await two.definitions.refresh()
    assert two.definitions.current().source["app"]["title"] == "old"
    assert await one.definitions.activate("1")
    assert two.definitions.current().source["app"]["title"] == "new"


async def test_models_that_no_version_refers_to_are_forgotten(
    one: Engine, redis_client: redis.Redis
) -> None:  # fmt: skip
    await one.open()
    for title in ("a", "b", "c"):
        await one.definitions.deploy(app("1", title=title))
    await one.definitions.activate("1")
    await one.definitions.deploy(app("1", title="d"))
    await one.definitions.deploy(app("2", title="e"))
    names = redis_client.hgetall(one.store.keys.app("shop"))
    titles = [orjson.loads(text)["app"]["title"] for name, text in names.items() if name.startswith(b"m:")]
    assert sorted(titles) == ["c", "d", "e"]


async def test_a_label_that_was_deployed_anew_names_what_was_activated(one: Engine) -> None:
    await one.open()
    assert await one.definitions.version("1") is None
    await one.definitions.deploy(app("1", title="a"))
    first = await one.definitions.version("1")
    assert first is not None and first.source["app"]["title"] == "a"
    await one.definitions.activate("1")
    await one.definitions.deploy(app("1", title="b"))
    await one.definitions.refresh()
    again = await one.definitions.version("1")
    assert again is not None and again.source["app"]["title"] == "a"


async def test_apps_do_not_know_each_other(one: Engine, make_engine: MakeEngine) -> None:
    await one.open()
    other = await make_engine("one", app="other")
    await other.open()
    for engine, each in ((one, app("1")), (other, app("7", id="other"))):
        await engine.definitions.deploy(each)
        await engine.definitions.activate(each.version)
    assert (one.version, other.version) == ("1", "7")
    with pytest.raises(InvalidOptions, match="is of app 'other'"):
        await one.definitions.deploy(app("1", id="other"))


async def test_a_process_that_is_no_engine_looks_when_it_is_asked(one: Engine) -> None:
    with pytest.raises(VersionNotFound):
        await one.definitions.active()
    await one.definitions.deploy(app("1"))
    await one.definitions.activate("1")
    assert (await one.definitions.active()).version == "1"
    assert await one.store.apps.engines("shop") == set()


# --- activating -------------------------------------------------------------------------------------------------------


async def test_when_activate_returns_every_engine_carries_the_version_out(one: Engine, two: Engine) -> None:
    for engine in (one, two):
        await engine.open()
    await one.definitions.deploy(app("1"))
    assert await one.definitions.activate("1", delay=10)
    assert (one.version, two.version, two.changes) == ("1", "1", ["1"])


async def test_a_process_that_is_no_engine_may_activate(one: Engine, two: Engine) -> None:
    await two.open()
    await one.definitions.deploy(app("1"))
    assert await one.definitions.activate("1", delay=10)
    assert two.changes == ["1"]


async def test_activations_at_once_all_succeed(one: Engine, two: Engine) -> None:
    for engine in (one, two):
        await engine.open()
    await one.definitions.deploy(app("1"))
    await one.definitions.deploy(app("2"))
    found = await asyncio.gather(
        *(engine.definitions.activate(label, delay=10) for engine in (one, two) for label in ("1", "1", "2"))
    )
    assert all(found)
    await asyncio.gather(one.definitions.refresh(), two.definitions.refresh())
    [active] = [kept.version for kept in await one.definitions.versions() if kept.is_active]
    assert one.version == two.version == active


async def test_a_version_that_was_never_deployed_cannot_be_activated(one: Engine) -> None:
    await one.open()
    with pytest.raises(VersionNotFound, match=r"^Version 9 does not exist for app shop$") as caught:
        await one.definitions.activate("9")
    assert (caught.value.app, caught.value.version) == ("shop", "9")


async def test_an_engine_that_lives_and_does_not_answer_stands_in_the_way(one: Engine, two: Engine) -> None:
    await one.open()
    await two.open()
    two.definitions._subscription.close()  # type: ignore[union-attr] # it hears nothing, and its sign holds
    await one.definitions.deploy(app("1"))
    with pytest.raises(QuorumNotReached, match=r"^Quorum not reached\. Version 1 not activated\.$") as caught:
        await one.definitions.activate("1", delay="10 ms")
    assert caught.value.missing == ("two",)
    assert not any(kept.is_active for kept in await one.definitions.versions())


async def test_an_engine_that_died_stands_in_the_way_until_its_sign_lapses(
    one: Engine, redis_client: redis.Redis
) -> None:  # fmt: skip
    await one.open()
    await one.definitions.deploy(app("1"))
    seconds, micros = redis_client.time()
    engines = one.store.keys.engines("shop")
    redis_client.zadd(engines, {"dead": (seconds - 1) * 1000 + micros // 1000})
    assert await one.definitions.activate("1", delay=10)
    await one.definitions.deploy(app("2"))
    redis_client.zadd(engines, {"just died": (seconds + 100) * 1000})
    with pytest.raises(QuorumNotReached):
        await one.definitions.activate("2", delay="10 ms")


async def test_an_engine_that_answers_late_is_asked_again(
    one: Engine, two: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    await one.open()
    await two.open()
    asked = 0
    heard = two.definitions._answer

    async def second_time(message: dict[str, Any]) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            await heard(message)

    monkeypatch.setattr(two.definitions, "_answer", second_time)
    await one.definitions.deploy(app("1"))
    assert await one.definitions.activate("1", delay="100 ms")
    assert two.version == "1"


async def test_an_engine_that_cannot_carry_a_version_out_says_why(one: Engine, two: Engine) -> None:
    await one.open()
    await two.open()
    await one.definitions.deploy(app("1", newer=True))
    with pytest.raises(QuorumNotReached) as caught:
        await one.definitions.activate("1", delay=10)
    assert caught.value.problems == {"two": "ValueError: unknown activity type"}


async def test_a_model_deployed_while_engines_make_another_ready_is_made_ready_too(
    one: Engine, two: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    await one.open()
    await one.definitions.deploy(app("1", title="a"))
    activate = one.store.apps.activate
    calls = []

    async def deployed_meanwhile(*args: Any, **options: Any) -> str:
        if not calls:
            await two.definitions.deploy(app("1", title="b"))
        calls.append(await activate(*args, **options))
        return calls[-1]

    monkeypatch.setattr(one.store.apps, "activate", deployed_meanwhile)
    assert await one.definitions.activate("1", delay=10)
    assert calls == ["CHANGED", "OK"]
    assert one.definitions.current().source["app"]["title"] == "b"


# --- news that is missed ----------------------------------------------------------------------------------------------


async def test_an_engine_that_comes_later_carries_out_what_is_active(one: Engine, two: Engine) -> None:
    await one.definitions.deploy(app("1"))
    await one.definitions.activate("1")
    await two.open()
    assert two.version == "1"


async def test_an_engine_that_hears_nothing_looks_by_itself(
    one: Engine, make_engine: MakeEngine, eventually: Eventually
) -> None:  # fmt: skip
    deaf = await make_engine("deaf", look_s=0.02)
    await deaf.open()
    deaf.definitions._subscription.close()  # type: ignore[union-attr] # as if each message were lost
    await one.definitions.deploy(app("1"))
    await one.store.apps.activate("shop", "1", digest=(await one.store.apps.kept("shop", "1")).deployed)
    await eventually(lambda: deaf.changes == ["1"])


async def test_after_a_lost_connection_an_engine_looks_at_once(
    one: Engine, two: Engine, redis_client: redis.Redis, eventually: Eventually
) -> None:  # fmt: skip
    await two.open()
    two.definitions._subscription.close()  # type: ignore[union-attr] # it looks once a minute
    await one.definitions.deploy(app("1"))
    await one.store.apps.activate("shop", "1", digest=(await one.store.apps.kept("shop", "1")).deployed)
    for connection in redis_client.client_list():
        if str(connection["name"]).startswith("two"):
            redis_client.client_kill_filter(_id=connection["id"])
    await eventually(lambda: two.changes == ["1"])


async def test_an_active_version_that_cannot_be_compiled_leaves_the_one_before(
    one: Engine, two: Engine, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    await one.open()
    await one.definitions.deploy(app("1"))
    await one.definitions.activate("1")
    await two.definitions.deploy(app("2", newer=True))
    await two.store.apps.activate("shop", "2", digest=(await two.store.apps.kept("shop", "2")).deployed)
    await one.definitions.refresh()
    assert one.version == "1" and "the active version cannot be compiled" in caplog.text


async def test_an_engine_that_leaves_is_not_asked_any_more(one: Engine, two: Engine) -> None:
    await one.open()
    await two.open()
    assert await one.store.apps.engines("shop") == {"one", "two"}
    await two.definitions.close()
    assert await one.store.apps.engines("shop") == {"one"}


async def test_many_versions_are_compiled_and_not_all_are_kept(one: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "MOST_COMPILED", 3)
    await one.open()
    for label in map(str, range(6)):
        await one.definitions.deploy(app(label))
    assert len(one.definitions._compiled) == 3
    first = await one.definitions.version("0")
    assert first is not None and first.version == "0"
