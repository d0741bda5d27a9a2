"""Pages by offset and by cursor on a still index: each record once, in order, whatever the sort; and marks in texts."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from meshdata.errors import InvalidOptions, QueryInvalid, SearchUnavailable
from meshdata.search import Condition, Find, Index, Numeric, Record, Tag, Text, match_all, meta, schema_of
from meshdata.search.query import DEPTH_LIMIT
from meshdata.store.store import Store
from tests.search_store import open_store, write_all


class Post(Record, entity="post"):
    id: str
    shelf: Annotated[str, Tag()] = "a"
    body: Annotated[str, Text(weight=2.0)] = ""
    votes: Annotated[int | None, Numeric(sortable=True)] = None
    price: float | None = None


SCHEMA = schema_of(Post)
SIZE = 230


@pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
async def store(redis_url: str, namespace: str, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    chance = random.Random(5)
    async with open_store(redis_url, namespace, request.param) as opened:
        await Index(opened).create(SCHEMA)
        posts = [
            {
                "id": f"p{n:03}",
                "shelf": chance.choice("abc"),
                "votes": chance.choice([None, 1, 1, 1, 2, 3]),
                "price": chance.choice([None, 0.1, 1.25, 1e9]),
                "body": chance.choice(["red dog", "a dog and a red cat", "the cat runs"]),
            }
            for n in range(SIZE)
        ]
        await write_all(opened, SCHEMA, posts)
        yield opened


class Plain:
    """The same store, on a server without the module."""

    has_search = False

    def __init__(self, store: Store) -> None:
        self.keys, self.partitions, self.command = store.keys, store.partitions, store.command
        self.changes = store.changes


ORDERS: list[tuple[Any, ...]] = [
    (),
    (Post.votes,),
    (-Post.votes,),
    (Post.votes, -Post.id),
    (-Post.price, Post.id),
    (Post.shelf,),
    (-Post.shelf, Post.votes),
    (meta.created,),
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("size", [7, 40])
async def test_cursors_go_through_all_hits_once_and_in_order(store: Store, order: tuple[Any, ...], size: int) -> None:
    find = Find(store, "post", SCHEMA).where(match_all()).sort(*order)
    whole = await find.limit(SIZE).ids()
    page = await find.limit(size)
    seen = [post.id for post in page]
    while page.cursor is not None:
        page = await find.limit(size).after(page.cursor)
        assert page.total == SIZE
        seen += [post.id for post in page]
    assert sorted(seen) == sorted(whole) and len(set(seen)) == SIZE
    if store.partitions == 1:
        assert seen == whole


async def test_a_cursor_may_be_taken_up_by_iteration_ids_and_pages_of_another_size(store: Store) -> None:
    find = Find(store, "post", SCHEMA).sort(-Post.votes, Post.id)
    whole = await find.limit(SIZE).ids()
    page = await find.limit(100)
    assert page.cursor is not None
    behind = find.after(page.cursor)
    assert [post.id async for post in behind] == whole[100:]
    assert await behind.limit(11).ids() == whole[100:111]
    next_page = await behind.limit(20)
    assert [post.id for post in next_page] == whole[100:120]
    assert next_page.next is not None
    assert [post.id for post in await next_page.next] == whole[120:140]


async def test_pages_by_offset_and_cursor_are_the_same_without_the_module(store: Store) -> None:
    for plain in (store, Plain(store)):
        find = Find(plain, "post", SCHEMA).where(Post.votes >= 1).sort(Post.votes, Post.id)
        by_offset, by_cursor = await find.limit(30, offset=30), await find.limit(30)
        assert by_cursor.cursor is not None
        behind = await find.limit(30).after(by_cursor.cursor)
        assert (behind.items, behind.total) == (by_offset.items, by_offset.total)


async def test_a_cursor_of_another_query_is_refused(store: Store) -> None:
    find = Find(store, "post", SCHEMA).sort(Post.votes)
    cursor = (await find.limit(5)).cursor
    assert cursor is not None
    for other in (find.where(Post.shelf == "a"), find.sort(-Post.votes)):
        with pytest.raises(InvalidOptions, match="other conditions"):
            await other.after(cursor)
    for wrong in ("", "abc", "WzFd", cursor[:-4]):
        with pytest.raises(InvalidOptions, match=r"page\.cursor"):
            await find.after(wrong)
    with pytest.raises(InvalidOptions, match="offset"):
        await find.limit(5, offset=5).after(cursor)
    assert (await find.limit(5).after(None)).items == (await find.limit(5)).items


async def test_found_words_are_marked(store: Store) -> None:
    find = Find(store, "post", SCHEMA).where(Post.body.match("dog"))
    for q in (find.sort(Post.votes), find):
        page = await q.highlight(Post.body, opening="[", closing="]").limit(300)
        assert {post.body for post in page} == {"red [dog]", "a [dog] and a red cat"}
    part = await find.highlight("body").select(Post.id, Post.body).first()
    assert "<b>dog</b>" in part.body


async def test_long_texts_are_cut_to_what_was_found(store: Store) -> None:
    text = " ".join(["blank"] * 200 + ["needle"] + ["filler"] * 200)
    await write_all(store, SCHEMA, [{"id": "long", "body": text}])
    find = Find(store, "post", SCHEMA).where(Post.body.match("needle"))
    item = await find.summarize(Post.body, fragments=1, words=5, separator=" ...").highlight(Post.body).first()
    assert item is not None
    assert "<b>needle</b>" in item.body and item.body.endswith(" ...") and len(item.body) < 80


async def test_marks_that_cannot_be_made_are_refused(store: Store) -> None:
    find = Find(store, "post", SCHEMA).where(Post.body.match("dog"))
    with pytest.raises(QueryInvalid, match=r"Text\(\)"):
        find.highlight(Post.shelf)
    with pytest.raises(QueryInvalid, match="one sort field"):
        await find.sort(Post.votes, Post.id).highlight(Post.body)
    with pytest.raises(InvalidOptions, match="fragments"):
        find.summarize(Post.body, fragments=0)
    with pytest.raises(SearchUnavailable, match="highlight"):
        await Find(Plain(store), "post", SCHEMA).where(Post.body.match("dog")).highlight(Post.body)


async def test_conditions_may_be_nested_as_deep_as_the_module_reads(store: Store) -> None:
    for put in (lambda a, b: a | b, lambda a, b: b | a):
        tree: Condition = Post.shelf == "none"
        for n in range(DEPTH_LIMIT // 2 - 1):
            tree = put(tree, Post.id == f"p{n:03}") & (Post.price.is_none() | (Post.price > 0))
        expected = {f"p{n:03}" for n in range(DEPTH_LIMIT // 2 - 1)}
        for one in (store, Plain(store)):
            assert set(await Find(one, "post", SCHEMA).where(tree).limit(SIZE).ids()) == expected
    with pytest.raises(QueryInvalid, match="nested"):
        for _ in range(5):
            tree = ~((tree | (Post.votes == 1)) & (Post.shelf == "a"))
        Find(store, "post", SCHEMA).where(tree)
