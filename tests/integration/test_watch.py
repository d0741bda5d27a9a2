"""Live queries: what matches now, then how that changes; nothing lost unnoticed, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
import redis

from meshdata import MeshData, workflow
from meshdata.errors import InvalidOptions, QueryInvalid, StoreUnavailable
from meshdata.search import Change, Numeric, Record, Tag, Text, Vector, Watch, unsafe_raw
from meshdata.search import watch as watch_module
from tests.integration.conftest import Eventually, OpenMesh


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()] = "free"
    age: Annotated[int, Numeric()] = 0
    bio: Annotated[str, Text()] = ""
    tags: list[str] = []  # noqa: RUF012 - pydantic copies it
    vec: Annotated[list[float] | None, Vector(dim=2)] = None


@pytest.fixture(params=[True, False], ids=["module", "scan"])
async def users(request: pytest.FixtureRequest, mesh: MeshData, no_leaks: set[str]) -> AsyncIterator[MeshData]:
    """A mesh with records of users, with the module and without it; the records are taken away at the end."""
    mesh._registry.learn(User)
    if request.param:
        await mesh.create_index(User)
    else:
        mesh._store.has_search = False
    yield mesh
    mesh._store.has_search = True
    for key in (
        await mesh.find("user").ids()
        if request.param
        else [f"u{n}" for n in (*range(20), *(f"{hand}{n}" for hand in "ab" for n in range(7)))]
    ):
        await mesh.flush("user", key)


PRO = User.plan == "pro"


async def put(mesh: MeshData, id: str, plan: str, **more: Any) -> None:
    await mesh.set("user", id, {"plan": plan, **more})


async def take(watch: Watch[Any], count: int = 1, within: float = 10.0) -> list[tuple[str, str]]:
    return [(change.kind, change.id) for change in await take_changes(watch, count, within)]


async def take_changes(watch: Watch[Any], count: int = 1, within: float = 10.0) -> list[Change[Any]]:
    async with asyncio.timeout(within):
        return [await anext(watch) for _ in range(count)]


async def begun(watch: Watch[Any]) -> Watch[Any]:
    """A watch of nothing yet that has registered: it was read until it waits."""
    task = asyncio.ensure_future(anext(watch))
    while watch.cursor is None:
        await asyncio.sleep(0.005)
        assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return watch


async def test_first_what_matches_then_what_changes(users: MeshData) -> None:
    for id, plan in [("u1", "pro"), ("u2", "free"), ("u3", "pro")]:
        await put(users, id, plan)
    watch = users.find(User).where(PRO).watch()
    assert sorted(await take(watch, 2)) == [("match", "u1"), ("match", "u3")]

    await put(users, "u2", "pro")
    assert await take(watch) == [("enter", "u2")]
    await put(users, "u2", "pro", age=5)
    [change] = await take_changes(watch)
    assert (change.kind, change.item) == ("update", User(id="u2", plan="pro", age=5))
    await put(users, "u1", "free")
    [change] = await take_changes(watch)
    assert (change.kind, change.id, change.item) == ("leave", "u1", User(id="u1", plan="free"))
    await put(users, "u1", "none")
    await users.flush("user", "u3")
    [change] = await take_changes(watch)
    assert (change.kind, change.id, change.item) == ("leave", "u3", None)


async def test_every_way_to_change_a_record_is_seen(users: MeshData) -> None:
    watch = await begun(users.find(User).where(User.age > 0).watch())
    await put(users, "u1", "free", age=1)
    await users.incr("user", "u1", "age", 4)
    await users.mult("user", "u1", "age", 2)
    await users.delete("user", "u1", "plan")
    await users.delete("user", "u1", "plan")  # there is none any more: no change
    await users.set("user", "u1", {"age": None})
    changes = await take_changes(watch, 5)
    assert [(c.kind, c.item.age) for c in changes] == [
        ("enter", 1), ("update", 5), ("update", 10), ("update", 10), ("leave", 0),
    ]  # fmt: skip
    await users.flush("user", "u1")


async def test_whole_records_lists_and_many_at_once_are_seen(users: MeshData) -> None:
    watch = await begun(users.find(User).where(PRO).watch())
    await users.create(User(id="u1", plan="pro", tags=["a"]))
    await users.append("user", "u1", "tags", "b")
    await users.remove("user", "u1", "tags", "a")
    await users.remove("user", "u1", "tags", "nothing")
    await users.update("user", "u1", {"age": 7})
    changes = await take_changes(watch, 4)
    assert [(c.kind, c.item.tags, c.item.age) for c in changes] == [
        ("enter", ["a"], 0), ("update", ["a", "b"], 0), ("update", ["b"], 0), ("update", ["b"], 7),
    ]  # fmt: skip
    assert await users.delete("user", "u1") == 1
    assert await take(watch) == [("leave", "u1")]
    await users.create_many(User, [User(id=f"u{n}", plan="pro") for n in range(10)])
    assert sorted(await take(watch, 10)) == [("enter", f"u{n}") for n in range(10)]
    await users.update_many(User, [{"id": f"u{n}", "plan": "free"} for n in range(5)])
    assert sorted(await take(watch, 5)) == [("leave", f"u{n}") for n in range(5)]


async def test_a_workflow_is_seen_from_its_start_to_its_end(users: MeshData) -> None:
    async def sign_up(plan: str) -> str:
        await workflow.state.set(plan=plan)
        return "welcome"

    await users.connect("user", sign_up, model=User)
    watch = await begun(users.find(User).where(User.meta.status.in_(["running", "completed"])).watch())
    await users.exec(entity="user", args=["pro"], id="u1", ttl="1 hour", state={"age": 3})
    changes = await take_changes(watch, 3)
    assert [(c.kind, c.item.plan, c.item.age) for c in changes] == [
        ("enter", "free", 3), ("update", "pro", 3), ("update", "pro", 3),
    ]  # fmt: skip
    await users.flush("user", "u1")
    assert await take(watch) == [("leave", "u1")]


async def test_a_watch_goes_on_behind_a_cursor(users: MeshData) -> None:
    for id, plan in [("u1", "pro"), ("u2", "pro"), ("u3", "free")]:
        await put(users, id, plan)
    query = users.find(User).where(PRO)
    changes = await take_changes(query.watch(), 2)
    assert changes[0].cursor is None
    cursor = changes[1].cursor
    assert cursor is not None

    await put(users, "u1", "pro", age=1)  # it matched before the cursor, and in no change since
    await put(users, "u2", "free")
    await put(users, "u3", "pro")
    await put(users, "u4", "free")
    await put(users, "u3", "free")
    expected = {("update", "u1"), ("leave", "u2"), ("enter", "u3"), ("leave", "u3")}
    again = query.watch(after=cursor)
    first = await take_changes(again, 4)
    assert {(c.kind, c.id) for c in first} == expected
    second = await take(query.watch(after=first[1].cursor), 2)
    assert second == [(c.kind, c.id) for c in first[2:]]

    await begun(again)
    await put(users, "u1", "pro", age=2)
    await put(users, "u5", "pro")
    assert set(await take(again, 2)) == {("update", "u1"), ("enter", "u5")}


async def test_a_record_that_expires_leaves(
    users: MeshData, redis_client: redis.Redis, keys: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "LOOK_S", 0.05)
    await put(users, "u1", "pro")
    await put(users, "u2", "pro")
    watch = users.find(User).where(PRO).watch()
    await take(watch, 2)
    redis_client.pexpire(next(key for key in keys() if key.endswith("r:user:u1")), 1)
    [change] = await take_changes(watch)
    assert (change.kind, change.id, change.item) == ("leave", "u1", None)
    await put(users, "u1", "pro")
    assert await take(watch) == [("enter", "u1")]


async def test_who_says_what_it_knows_hears_of_what_expired_meanwhile(
    users: MeshData, redis_client: redis.Redis, keys: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "LOOK_S", 0.05)
    for id in ("u1", "u2", "u3"):
        await put(users, id, "pro")
    query = users.find(User).where(PRO)
    cursor = (await take_changes(query.watch(), 3))[-1].cursor
    redis_client.delete(next(key for key in keys() if key.endswith("r:user:u1")))
    await put(users, "u2", "free")
    watch = query.watch(after=cursor, known={"u1", "u2", "u3"})
    assert await take(watch, 2) == [("leave", "u2"), ("leave", "u1")]
    for bad in ({"known": "u1", "after": cursor}, {"known": ["u1"]}):
        with pytest.raises(InvalidOptions, match="known"):
            query.watch(**bad)


async def test_after_a_gap_who_says_what_it_knows_is_told_the_difference(
    users: MeshData, redis_client: redis.Redis, keys: Callable[[], set[str]]
) -> None:
    for id in ("u1", "u2"):
        await put(users, id, "pro")
    query = users.find(User).where(PRO)
    cursor = (await take_changes(query.watch(), 2))[-1].cursor
    for key in keys():
        if ":watch:" in key:
            redis_client.delete(key)
    await put(users, "u1", "free")
    await put(users, "u3", "pro")
    changes = await take(query.watch(after=cursor, known=["u1", "u2"]), 4)
    assert changes[0] == ("gap", "") and set(changes[1:]) == {("leave", "u1"), ("update", "u2"), ("enter", "u3")}


async def test_a_slow_reader_loses_nothing_within_the_bound(users: MeshData) -> None:
    watch = await begun(users.find(User).where(PRO).watch())
    for n in range(1_000):
        await put(users, "u1", "pro" if n % 2 == 0 else "free", age=n)
    changes = await take_changes(watch, 1_000)
    assert [c.item.age for c in changes] == list(range(1_000))
    assert [c.kind for c in changes] == ["enter", "leave"] * 500


async def test_who_falls_behind_the_bound_is_told_and_reads_anew(
    users: MeshData, redis_client: redis.Redis, keys: Callable[[], set[str]]
) -> None:
    for id in ("u1", "u2"):
        await put(users, id, "pro")
    watch = users.find(User).where(PRO).watch()
    await take(watch, 2)
    await put(users, "u1", "free")
    await put(users, "u3", "pro")
    await put(users, "u2", "pro", age=1)
    for n in range(4, 20):
        await put(users, f"u{n}", "free")
    for key in keys():
        if ":ch:" in key:
            redis_client.xtrim(key, maxlen=1, approximate=False)

    changes = await take_changes(watch, 4)
    assert changes[0].kind == "gap"
    assert (changes[0].id, changes[0].item, changes[0].cursor) == ("", None, None)
    assert {(c.kind, c.id) for c in changes[1:]} == {("leave", "u1"), ("enter", "u3"), ("update", "u2")}
    assert [c.cursor is None for c in changes[1:]] == [True, True, False]
    await put(users, "u1", "pro")
    assert await take(watch) == [("enter", "u1")]


async def test_a_cursor_that_is_too_old_is_told_of(
    users: MeshData, redis_client: redis.Redis, keys: Callable[[], set[str]]
) -> None:
    await put(users, "u1", "pro")
    query = users.find(User).where(PRO)
    [change] = await take_changes(query.watch())
    await users._store.changes.close()
    for key in keys():
        if ":watch:" in key or ":ch:" in key:
            redis_client.delete(key)
    assert await take(query.watch(after=change.cursor), 2) == [("gap", ""), ("match", "u1")]


async def test_nothing_is_written_while_nobody_watches(
    users: MeshData, keys: Callable[[], set[str]], eventually: Eventually
) -> None:
    await put(users, "u1", "pro")
    assert not [key for key in keys() if ":ch:" in key or ":watch:" in key]
    watch = users.find(User).where(PRO).watch(keep=1)
    await take(watch)
    await put(users, "u1", "pro", age=1)
    await users.set("other", "o", {"a": 1})
    assert {key.rsplit(":", 2)[1] for key in keys() if ":ch:" in key} == {"ch"}
    assert not [key for key in keys() if ":ch:other" in key]
    await watch.aclose()
    await eventually(lambda: not [key for key in keys() if ":ch:" in key or ":watch:" in key])
    await users.flush("other", "o")


def watch_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "meshdata watch"]


async def test_leaving_the_loop_ends_it(users: MeshData, eventually: Eventually, redis_client: redis.Redis) -> None:
    await put(users, "u1", "pro")
    async for change in users.find(User).where(PRO).watch():
        assert change.id == "u1"
        assert len(watch_tasks()) == 1
        break
    gc.collect()
    await eventually(lambda: not watch_tasks())
    namespace = users.namespace
    await eventually(
        lambda: not [c for c in redis_client.pubsub_channels() if f"{namespace}".encode() in c and b"changed" in c]
    )


async def test_closing_it_ends_who_waits(users: MeshData) -> None:
    async with users.find(User).where(PRO).watch() as watch:
        await begun(watch)
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.sleep(0)
        await watch.aclose()
        assert await asyncio.wait_for(waiting, 5) is None


async def test_closing_the_mesh_tells_who_waits(users: MeshData, open_mesh: OpenMesh) -> None:
    other = await open_mesh()
    if not users._store.has_search:
        other._store.has_search = False
    watch = await begun(other.find(User).where(PRO).watch())
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    await other.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await asyncio.wait_for(waiting, 5)


async def test_an_impatient_reader_loses_nothing(users: MeshData) -> None:
    for n in range(12):
        await put(users, f"u{n}", "pro")
    watch = users.find(User).where(PRO).watch()

    async def impatient(count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            try:
                async with asyncio.timeout(0.0005):
                    found.append((await anext(watch)).id)
            except TimeoutError:
                pass
        return found

    async with asyncio.timeout(20):
        assert sorted(await impatient(12)) == sorted(f"u{n}" for n in range(12))
        for n in range(12):
            await put(users, f"u{n}", "free")
        assert sorted(await impatient(12)) == sorted(f"u{n}" for n in range(12))


async def test_connections_cut_cost_nothing(users: MeshData, redis_client: redis.Redis) -> None:
    watch = await begun(users.find(User).where(PRO).watch())
    for n in range(5):
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        for kind in ("normal", "pubsub"):
            redis_client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        await put(users, f"u{n}", "pro")
        assert (await asyncio.wait_for(waiting, 10)).id == f"u{n}"


async def test_two_meshes_watch_and_write(users: MeshData, open_mesh: OpenMesh) -> None:
    other = await open_mesh()
    watches = [await begun(users.find(User).where(PRO).watch()) for _ in range(3)]
    for n in range(20):
        await other.set("user", f"u{n}", {"plan": "pro"})
    for watch in watches:
        assert sorted(await take(watch, 20)) == sorted(("enter", f"u{n}") for n in range(20))


async def test_a_watch_opened_in_the_middle_of_writing_misses_nothing(users: MeshData) -> None:
    """Whatever is told, replayed onto a picture, is the truth."""

    async def write() -> None:
        for n in range(300):
            await put(users, f"u{n % 17}", "pro" if n % 3 else "free", age=n)

    writing = asyncio.ensure_future(write())
    watch = users.find(User).where(PRO).watch()
    picture: dict[str, int] = {}

    def truth() -> dict[str, int]:
        last = {f"u{n % 17}": n for n in range(300)}
        return {id: n for id, n in last.items() if n % 3}

    async with asyncio.timeout(20):
        while not (writing.done() and picture == truth()):
            change = await anext(watch)
            assert change.kind != "gap"
            assert (change.kind in ("match", "enter")) == (change.kind != "leave" and change.id not in picture)
            if change.kind == "leave":
                del picture[change.id]
            else:
                picture[change.id] = change.item.age


async def test_a_projection_gives_its_fields(users: MeshData) -> None:
    watch = await begun(users.find(User).where(PRO).select(User.age).watch())
    await put(users, "u1", "pro", age=7)
    [change] = await take_changes(watch)
    assert change.item.model_dump() == {"age": 7}


async def test_records_without_a_model_and_too_wide_to_be_copied(mesh: MeshData) -> None:
    mesh._store.has_search = False
    watch = await begun(mesh.find("thing").where([{"field": "plan", "value": "pro"}]).watch())
    await mesh.set("thing", "t", {"plan": "pro", "n": 1})
    [change] = await take_changes(watch)
    assert (change.kind, change.item) == ("enter", {"id": "t", "plan": "pro", "n": "1"})
    await mesh.set("thing", "t", {f"f{n}": n for n in range(600)})
    [change] = await take_changes(watch)
    assert (change.kind, change.item["f599"]) == ("update", "599")
    await mesh.set("thing", "t", {"plan": "free"})
    assert await take(watch) == [("leave", "t")]
    await mesh.set("thing", "t", {"plan": "pro"})
    assert await take(watch) == [("enter", "t")]
    await mesh.flush("thing", "t")
    assert await take(watch) == [("leave", "t")]


async def test_what_cannot_be_watched_is_refused_at_once(mesh: MeshData) -> None:
    query = mesh.find(User)
    with pytest.raises(InvalidOptions, match="limit"):
        query.limit(3).watch()
    with pytest.raises(QueryInvalid, match="watched"):
        query.where(unsafe_raw("*")).watch()
    with pytest.raises(QueryInvalid, match="watched"):
        query.where(User.vec.knn([1.0, 2.0], 3)).watch()  # type: ignore[union-attr]
    for keep in (0, "2 days"):
        with pytest.raises(InvalidOptions, match="keep"):
            query.watch(keep=keep)
    for cursor in ("", "5", "1-2.x", 7):
        with pytest.raises(InvalidOptions, match="after"):
            query.watch(after=cursor)  # type: ignore[arg-type]


async def test_fake_redis_is_watched_as_well(eventually: Eventually) -> None:
    async with MeshData("fake://") as mesh:
        watch = await begun(mesh.find("user").where([{"field": "plan", "value": "pro"}]).watch(keep=1))
        waiting = asyncio.ensure_future(anext(watch))
        await mesh.set("user", "u1", {"plan": "pro"})
        assert (await asyncio.wait_for(waiting, 5)).kind == "enter"
        await mesh.set("user", "u1", {"plan": "free"})
        assert await take(watch) == [("leave", "u1")]
        await watch.aclose()
        await eventually(lambda: not watch_tasks())


@pytest.mark.parametrize("seed", range(3))
async def test_a_picture_carried_from_cursor_to_cursor_stays_true(users: MeshData, seed: int) -> None:
    """The reader goes away and comes back again and again, while two hands write; each change is told as what it is."""
    chance = random.Random(seed)
    writing = asyncio.ensure_future(asyncio.gather(*(scribble(users, chance, f"{hand}") for hand in "ab")))
    query = users.find(User).where((User.plan == "pro") & (User.age < 900))
    picture: dict[str, int] = {}
    cursor: str | None = None

    async def truth() -> dict[str, int]:
        return {one.id: one.age async for one in query}

    async with asyncio.timeout(40):
        while not writing.done() or picture != await truth():
            watch = query.watch(after=cursor)
            for _ in range(chance.randint(1, 40)):
                try:
                    change = await asyncio.wait_for(anext(watch), 0.2)
                except TimeoutError:
                    break
                known = change.id in picture
                assert (change.kind, known) in {
                    ("match", False), ("enter", False), ("update", True), ("leave", True),
                }  # fmt: skip
                if change.kind == "leave":
                    del picture[change.id]
                else:
                    assert change.item is not None
                    picture[change.id] = change.item.age
            if watch.cursor is None:  # it was still drawing the picture: that begins anew
                picture.clear()
            cursor = watch.cursor
            await watch.aclose()
    await writing


async def scribble(mesh: MeshData, chance: random.Random, hand: str) -> None:
    for n in range(250):
        id = f"u{hand}{chance.randint(0, 6)}"
        match chance.randint(0, 9):
            case 0:
                await mesh.flush("user", id)
            case 1:
                await mesh.incr("user", id, "age", 500)
            case 2:
                await mesh.delete("user", id, "plan")
            case _:
                await put(mesh, id, chance.choice(["pro", "free"]), age=n)
