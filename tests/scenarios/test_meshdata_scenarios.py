"""The life story of an entity's records and their search, told from outside: a process that serves, one that asks.

Source: the scenarios of the reference family on data and search, in our spelling; where that has a defect, the right
outcome is asked for. The numbers are theirs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from meshdata import MeshData, RetryPolicy, activity, workflow
from meshdata.errors import JobNotFound, QueryInvalid, RecordNotFound
from meshdata.search import Record, Tag, Text, match_all

SPECIAL = "floe@example.com"


class Greeting(Record, entity="greeting"):
    email: Annotated[str, Text(sortable=True, exact=True)] = ""
    newsletter: Annotated[str, Tag()] = ""
    reason: str | None = None
    response: str | None = None
    fred: str | None = None
    barney: str | None = None
    wilma: str | None = None
    bce: float | None = None


sent: Counter[str] = Counter()
refused: Counter[str] = Counter()


@activity
async def send_newsletter(email: str) -> str:
    sent[email] += 1
    return f"sent to {email}"


async def greeting(email: str, first_name: str) -> str:
    await workflow.state.set(email=email, newsletter="yes")
    for _ in range(3):
        await send_newsletter(email)
    if email == SPECIAL:
        await workflow.hook("greeting.subscribe", [])
    sentence = f"Hello, {first_name}. Your email is [{email}]."
    await workflow.state.set(response=sentence)
    return sentence


async def subscribe() -> None:
    while await workflow.state.get("newsletter") == "yes":
        await workflow.state.set(newsletter="no")


async def unsubscribe(reason: str) -> None:
    await workflow.state.set(newsletter="no", reason=reason)


async def sleeper(email: str) -> str:
    for _ in range(3):
        await send_newsletter(email)
        await workflow.sleep_for(0.02)
    return "slept"


async def nervous(email: str, first_name: str) -> str:
    refused[email] += 1
    if refused[email] == 1:
        raise ValueError("not yet")
    return await greeting(email, first_name)


async def scales() -> list[float]:
    return [await workflow.state.mult("multer", 12), await workflow.state.mult("multer", 10)]


@pytest.fixture(params=[1, 4], ids=["p1", "p4"])
async def caller(
    redis_url: str, namespace: str, no_leaks: set[str], request: pytest.FixtureRequest
) -> AsyncIterator[MeshData]:
    """A process that only asks; another one serves. At the end every record is flushed."""
    no_leaks |= {"inseq", "outseq"}
    sent.clear()
    refused.clear()
    options: dict[str, Any] = {"namespace": namespace, "partitions": request.param}
    async with MeshData(redis_url, **options) as server, MeshData(redis_url, **options) as opened:
        for name, fn in {
            "greeting": greeting, "greeting.subscribe": subscribe, "greeting.unsubscribe": unsubscribe,
            "sleeper": sleeper, "nervous": nervous, "scales": scales,
        }.items():  # fmt: skip
            model = Greeting if name in ("greeting", "nervous") else None
            await server.connect(name, fn, model=model)
        await opened.create_index(Greeting)  # (52) idempotent
        assert not await opened.create_index(Greeting)
        yield opened
        await opened.find(Greeting).where(match_all()).flush()


async def greet(mesh: MeshData, id: str | None, email: str = "jdoe@example.com", **options: Any) -> Any:
    return await mesh.exec(entity="greeting", args=[email, "Jan"], id=id, **options)


SENTENCE = "Hello, Jan. Your email is [jdoe@example.com]."
SEEDS = {"fred": "flintstone", "barney": "rubble"}


async def test_17_multiplication_counts_from_one(caller: MeshData) -> None:
    twelve, hundred_and_twenty = await caller.exec(entity="scales")
    assert twelve == 12 and hundred_and_twenty == pytest.approx(120)


async def test_33_started_without_waiting_it_has_its_id_at_once(caller: MeshData) -> None:
    handle = await greet(caller, "jan", wait=False, hookable=False, ttl="1 minute")
    assert (handle.entity, handle.id) == ("greeting", "jan")
    assert await handle.result(timeout=10) == SENTENCE


async def test_34_35_37_38_a_seeded_record_is_read_in_three_ways(caller: MeshData) -> None:
    assert await greet(caller, "jdoe", ttl="60 seconds", hookable=False, state=SEEDS) == SENTENCE

    raw = await caller.raw("greeting", "jdoe")
    assert (raw["fred"], raw["response"], raw["_status"]) == (b"flintstone", SENTENCE.encode(), b"completed")
    everything = await caller.all("greeting", "jdoe")
    assert everything["fred"] == "flintstone" and not [name for name in everything if name.startswith("_")]
    assert await caller.get("greeting", "jdoe", "fred", "newsletter") == {"fred": "flintstone", "newsletter": "yes"}


async def test_36_each_activity_of_a_sleeper_runs_once(caller: MeshData) -> None:
    assert await caller.exec(entity="sleeper", args=["once@example.com"], hookable=False) == "slept"
    assert sent["once@example.com"] == 3


async def test_39_40_41_fields_are_counted_as_they_come_and_go(caller: MeshData) -> None:
    await greet(caller, "jdoe", ttl="60 seconds")
    # one of the three was there
    assert (
        await caller.set("greeting", "jdoe", {"wilma": "pebbles", "bce": -1_000_000, "email": "new@example.com"}) == 2
    )
    assert await caller.incr("greeting", "jdoe", "bce", 1) == -999_999
    assert await caller.delete("greeting", "jdoe", "wilma", "bce", "fred") == 2


async def test_42_43_44_what_is_flushed_is_gone_with_its_hooks(caller: MeshData) -> None:
    assert await greet(caller, "abc123", ttl="1 second") == SENTENCE
    sentence = await greet(caller, "abc456", SPECIAL, ttl="infinity")
    assert sentence == f"Hello, Jan. Your email is [{SPECIAL}]."
    async with asyncio.timeout(10):
        while (await caller.get("greeting", "abc456", "newsletter"))["newsletter"] != "no":  # the hook's doing
            await asyncio.sleep(0.005)
    assert await caller.find(Greeting).where(Greeting.email == SPECIAL).ids() == ["abc456"]

    assert await caller.flush("greeting", "abc456")
    with pytest.raises(JobNotFound):
        await caller.info("greeting", "abc456")
    with pytest.raises(RecordNotFound):
        await caller.all("greeting", "abc456")
    assert await caller.find(Greeting).where(Greeting.email == SPECIAL).count() == 0


async def test_45_46_a_function_that_fails_once_is_tried_again(caller: MeshData) -> None:
    retry = RetryPolicy(max_attempts=3, coefficient=1, initial=0.02)
    args = ["x@example.com", "Jan"]
    sentence = await caller.exec(entity="nervous", args=args, id="x", ttl="60 seconds", retry=retry)
    assert sentence == "Hello, Jan. Your email is [x@example.com]." and refused["x@example.com"] == 2
    assert (await caller.info("nervous", "x")).status == "completed"
    await caller.flush("nervous", "x")


async def test_48_49_a_hook_changes_the_open_record_and_the_export_tells_of_it(caller: MeshData) -> None:
    await greet(caller, "x", ttl="60 seconds")
    assert (await caller.get("greeting", "x", "newsletter"))["newsletter"] == "yes"
    hook = await caller.hook(entity="greeting", id="x", hook_entity="greeting.unsubscribe", args=["it was too much"])
    await hook
    assert await caller.get("greeting", "x", "newsletter", "reason") == {
        "newsletter": "no", "reason": "it was too much",
    }  # fmt: skip
    exported = await caller.export("greeting", "x", block=["transitions"], values=False)
    assert exported.data["response"] == SENTENCE
    assert exported.transitions is None and exported.timeline


@pytest.fixture
async def readers(caller: MeshData) -> MeshData:
    """Seven greetings, of which three unsubscribed."""
    await asyncio.gather(*(greet(caller, f"g{n}", f"g{n}@example.com", ttl="60 seconds") for n in range(7)))
    for n in (1, 3, 5):
        await (await caller.hook("greeting", f"g{n}", "greeting.unsubscribe", [f"reason {n}"]))
    return caller


async def test_50_51_jobs_are_found_by_their_entity_or_all_together(readers: MeshData) -> None:
    await readers.set("other", "o", {"a": 1})
    ids = await readers.find("greeting").ids()
    assert set(ids) == {f"g{n}" for n in range(7)}
    found = [one.email async for one in readers.find("greeting").sort("-email")]
    assert found == [f"g{n}@example.com" for n in reversed(range(7))]
    await readers.flush("other", "o")


async def test_52_an_index_is_made_again_without_harm_and_listed(readers: MeshData) -> None:
    await readers.create_index(Greeting)
    [index] = await readers.list_indexes()
    assert (index.entity, index.documents, index.failures) == ("greeting", 7, 0)


@pytest.mark.parametrize("form", ["expression", "dict", "by name"])
async def test_53_records_are_found_by_a_tag_with_the_fields_asked_for(readers: MeshData, form: str) -> None:
    told = [{"field": "newsletter", "is": "=", "value": "no"}]
    query = readers.find("greeting" if form == "by name" else Greeting)
    query = query.where(Greeting.newsletter == "no" if form == "expression" else told)
    page = await query.sort("email").select("email", "newsletter", "reason")
    rows = [dict(one) for one in page]
    assert rows == [{"email": f"g{n}@example.com", "newsletter": "no", "reason": f"reason {n}"} for n in (1, 3, 5)]
    assert page.total == 3


async def test_54_a_page_is_as_large_as_asked_for(readers: MeshData) -> None:
    query = readers.find(Greeting).where(Greeting.newsletter == "no").sort("email")
    first = await query.limit(1)
    assert ([one.reason for one in first], first.total) == (["reason 1"], 3)
    second = await query.limit(1, offset=1)
    assert [one.reason for one in second] == ["reason 3"]


async def test_55_a_count_is_a_number(readers: MeshData) -> None:
    assert await readers.find(Greeting).where(Greeting.newsletter == "no").count() == 3
    with pytest.raises(QueryInvalid):
        readers.find(Greeting).where([])


async def test_the_whole_story_is_seen_by_who_watches(caller: MeshData) -> None:
    """What the reference's readers would poll for: each unsubscription, as it happens."""
    watch = caller.find(Greeting).where(Greeting.newsletter == "no").watch()
    following = asyncio.ensure_future(anext(watch))
    while watch.cursor is None:
        await asyncio.sleep(0.005)
    await greet(caller, "w", ttl="60 seconds")
    await caller.hook("greeting", "w", "greeting.unsubscribe", ["enough"])
    change = await asyncio.wait_for(following, 10)
    assert change.item is not None
    assert (change.kind, change.id, change.item.reason) == ("enter", "w", "enough")
    assert await caller.find(Greeting).where(Greeting.newsletter == "no").flush()
    change = await asyncio.wait_for(anext(watch), 10)
    assert (change.kind, change.id) == ("leave", "w")
    await watch.aclose()
