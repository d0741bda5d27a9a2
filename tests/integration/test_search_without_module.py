"""Without the module: the predicate over the same tree gives what the module gives, on generated queries."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest

from meshdata.errors import SearchUnavailable
from meshdata.search import (
    Condition,
    Find,
    Geo,
    Index,
    Record,
    Tag,
    Text,
    field,
    match_all,
    schema_of,
)
from meshdata.search import scan as scan_module
from meshdata.store.store import Store
from tests.search_store import open_store, write_all

WORDS = ["red", "green", "blue", "e-mail", "a_b", "über", "two\nlines"]
TAGS = ["", "a", "A", "a b", "a,b", "x\\y", "é*", "{z}", " a"]
QUERIES, AT_ONCE = 10_000, 50
START = datetime(2024, 1, 1, tzinfo=UTC)


class Doc(Record, entity="doc"):
    id: str
    tag: str | None = None
    lower: Annotated[str | None, Tag(case_sensitive=False)] = None
    tags: list[str] | None = None
    text: Annotated[str | None, Text(nostem=True)] = None
    exact: Annotated[str | None, Text(nostem=True, exact=True)] = None
    n: int | None = None
    f: float | None = None
    at: datetime | None = None
    flag: bool | None = None
    spot: Annotated[tuple[float, float] | None, Geo()] = None


SCHEMA = schema_of(Doc)


class Generator:
    """Random records and conditions, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def text(self) -> str:
        return self.chance.choice([" ", ", ", "\n"]).join(self.chance.choices(WORDS, k=self.chance.randint(1, 4)))

    def number(self) -> float:
        return self.chance.choice([-1, 0, 0.5, 1, 2, 3, 1e6, 2.25])

    def spot(self) -> tuple[float, float]:
        return self.chance.uniform(-2, 2), self.chance.uniform(-2, 2)

    def record(self, n: int) -> dict[str, Any]:
        values = {
            "tag": self.chance.choice(TAGS),
            "lower": self.chance.choice(["a", "B", "Ab"]),
            "tags": self.chance.sample(TAGS, k=self.chance.randint(1, 3)),
            "text": self.text(),
            "exact": self.text(),
            "n": int(self.number()),
            "f": self.number(),
            "at": START + timedelta(days=self.chance.randint(0, 5)),
            "flag": self.chance.random() < 0.5,
            "spot": self.spot(),
        }
        kept = {name: value for name, value in values.items() if self.chance.random() < 0.8}
        return {"id": f"d{n:03}", **kept}

    def leaf(self) -> Condition:
        chance = self.chance
        tag, word = chance.choice(TAGS), chance.choice(WORDS)
        number = self.number()
        return chance.choice(
            [
                lambda: Doc.tag == tag,
                lambda: Doc.tag != tag,
                lambda: Doc.tag.in_(chance.sample(TAGS, k=2)),
                lambda: Doc.tag.startswith(tag),
                lambda: Doc.tag.contains(tag[:1]),
                lambda: Doc.lower == chance.choice(["A", "b", "aB"]),
                lambda: Doc.lower.startswith("A"),
                lambda: Doc.tags.contains(tag or "a"),
                lambda: Doc.text.match(word),
                lambda: Doc.text.match(f"{chance.choice(WORDS)} {word[:2]}*"),
                lambda: Doc.text.phrase(f"{word} and"[:-4]),
                lambda: Doc.text.phrase("red green") if chance.random() < 0.5 else Doc.text.phrase("blue e mail"),
                lambda: Doc.text.fuzzy(chance.choice(["rad", "gren", "blu"])),
                lambda: Doc.exact == self.text(),
                lambda: Doc.n == number,
                lambda: Doc.n.between(-1, number),
                lambda: Doc.f < number,
                lambda: Doc.f >= number,
                lambda: Doc.f.not_in([number, 1]),
                lambda: Doc.at > START + timedelta(days=2),
                lambda: Doc.flag == True,  # noqa: E712 - makes a condition
                lambda: Doc.spot.near(0, 0, chance.choice([50, 100, 200])),
                lambda: chance.choice([Doc.tag, Doc.text, Doc.n, Doc.spot, Doc.tags]).is_none(),
                match_all,
            ]
        )()

    def tree(self, depth: int) -> Condition:
        if depth == 0 or self.chance.random() < 0.2:
            return self.leaf()
        kind = self.chance.random()
        if kind < 0.2:
            return ~self.tree(depth - 1)
        left, right = self.tree(depth - 1), self.tree(depth - 1)
        return left & right if kind < 0.6 else left | right


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    async with open_store(redis_url, namespace, 2) as opened:
        await Index(opened).create(SCHEMA)
        make = Generator(3)
        await write_all(opened, SCHEMA, [make.record(n) for n in range(150)])
        yield opened


class Plain:
    """The same store, on a server without the module."""

    has_search = False

    def __init__(self, store: Store) -> None:
        self.keys, self.partitions, self.command = store.keys, store.partitions, store.command


@pytest.mark.timeout(240)
async def test_the_predicate_says_what_the_module_says(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # the scan is read once: it is the predicate that is tried here
    records = await scan_module.scan_records(Plain(store), "doc")

    async def remembered(*_: Any) -> list[dict[str, Any]]:
        return records

    monkeypatch.setattr("meshdata.search.fetch.scan_records", remembered)
    make = Generator(11)
    for _ in range(QUERIES // AT_ONCE):
        trees = [make.tree(make.chance.randint(0, 3)) for _ in range(AT_ONCE)]
        told = await asyncio.gather(*(Find(store, "doc", SCHEMA).where(tree).limit(200).ids() for tree in trees))
        for tree, found in zip(trees, told, strict=True):
            without = await Find(Plain(store), "doc", SCHEMA).where(tree).limit(200).ids()
            assert sorted(found) == sorted(without), tree


async def test_pages_order_and_items_are_the_same(store: Store) -> None:
    for order in ((Doc.id,), (-Doc.n, Doc.id), (Doc.tag, Doc.f, -Doc.id)):
        pages = [await Find(s, "doc", SCHEMA).sort(*order).limit(20, offset=15) for s in (store, Plain(store))]
        assert pages[0].items == pages[1].items
        assert pages[0].total == pages[1].total == 150
    found = [doc async for doc in Find(Plain(store), "doc", SCHEMA).where(Doc.n > 0)]
    assert found == [doc async for doc in Find(store, "doc", SCHEMA).where(Doc.n > 0)]


async def test_without_a_model_either(store: Store) -> None:
    find: Find[dict[str, str]] = Find(Plain(store), "doc")
    rows = await find.where((field("n") > 0) & (field("lower") == "B")).sort("-n")
    assert rows.total > 0
    assert [float(row["n"]) for row in rows] == sorted((float(row["n"]) for row in rows), reverse=True)


async def test_it_is_said_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    plain = Plain(store)
    with caplog.at_level(logging.WARNING, logger="meshdata.search"):
        for _ in range(3):
            await Find(plain, "doc", SCHEMA)
    assert [record.message for record in caplog.records] == [
        "searching without the search module: records are read one by one"
    ]


async def test_it_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "SCAN_LIMIT", 149)
    with pytest.raises(SearchUnavailable, match="more than 149 records"):
        await Find(Plain(store), "doc", SCHEMA)
