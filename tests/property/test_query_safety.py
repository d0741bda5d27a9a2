"""No value can widen, narrow or break a query: for each operator, random values against the real module.

A corpus of awkward values and the random one are stored; the module's answer must be what plain Python says of the
values themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search import Condition, Numeric, Record, Tag, Text, schema_of
from meshdata.search.fulltext import compile_query
from meshdata.search.query import bind
from meshdata.search.words import words
from meshdata.store.keys import Keys

BLANKS = " \t\n\v\f\r"
AWKWARD = ["", " ", "a", "A", "a b", "a,b", "a\\b", "a\\", "*", "a*", "?", "%a%", "$p1", "@tag:{a}", "{a}", "a|b", "-a",
           "(a)", '"a"', "'a'", "a:b", "é", "É", "日本", "a\nb", "ab", "~a", "w'a'", "\u00a0a", "x" * 4096, "a\x01b",
           "[1 2]"]  # fmt: skip


class Doc(Record, entity="doc"):
    tag: Annotated[str | None, Tag()] = None
    tags: list[str] | None = None
    text: Annotated[str | None, Text(nostem=True)] = None
    both: Annotated[str | None, Text(exact=True, nostem=True)] = None
    n: Annotated[float | None, Numeric()] = None


SCHEMA = schema_of(Doc)
SPICE = st.sampled_from([*"aAbB *?%$@{}|()[]\\\"':;,.<>!~&=+-_#^`/é日\n\t\x0b\u3000", "OR", "$p1", "*)", "\\*"])
VALUES = st.one_of(
    st.lists(SPICE, max_size=12).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3).map(
        lambda part: (part * 10_240)[:10_240]
    ),
)
checked = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


class Corpus:
    """Records with one value each under the index; asks the module, and says which records it found."""

    def __init__(self, client: redis.Redis, namespace: str, field: str) -> None:
        self.client, self.field = client, field
        self.keys = Keys(namespace)
        self.name = self.keys.index(0, "doc", "1")
        prefix = self.keys.record_prefix(0, "doc")
        head = ("FT.CREATE", self.name, "ON", "HASH", "PREFIX", 1, prefix, "STOPWORDS", 0, "SCHEMA")
        client.execute_command(*head, *SCHEMA.index_arguments())
        self.values: dict[str, Any] = {}
        for at, value in enumerate(AWKWARD):
            self.store(f"corpus-{at}", value)
        client.hset(self.keys.record("doc:nothing"), mapping={"_id": "nothing", "_created": 1})
        self.values["nothing"] = None

    def store(self, id: str, value: Any) -> None:
        """Store a value where it may be stored; one that is refused is not in the corpus."""
        key = self.keys.record(f"doc:{id}")
        self.client.delete(key)
        self.values.pop(id, None)
        try:
            setting, _ = SCHEMA.to_hash({self.field: value}, partial=True)
        except InvalidOptions:
            return
        self.client.hset(key, mapping={"_id": id, "_created": 1, **setting})
        self.values[id] = value

    def found(self, condition: Condition) -> set[str]:
        query = compile_query(bind(condition, SCHEMA))
        words = ["FT.SEARCH", self.name, query.text, "RETURN", 1, "_id", "LIMIT", 0, 100, "TIMEOUT", 5000]
        reply = self.client.execute_command(*words, *query.arguments())
        assert reply[b"warning"] == []
        return {hit[b"id"].decode().rpartition(":")[2] for hit in reply[b"results"]}

    def expected(self, holds: Callable[[Any], bool]) -> set[str]:
        return {id for id, value in self.values.items() if value is not None and holds(value)}


def agree(
    corpus: Corpus, ask: Callable[[Any], Condition], means: Callable[[Any, Any], bool], *, stored: bool = True
) -> None:
    """Hold the module's answers against `means(asked, stored value)`."""

    @checked
    @example("", "")
    @example("a\\", "a\\")
    @example("a*b ", "a*b c")
    @example("a?\\* ", "a?\\* c")
    @given(VALUES, VALUES)
    def check(asked: str, other: str) -> None:
        corpus.store("same", asked)
        corpus.store("longer", asked + other)
        corpus.store("other", other)
        assert corpus.found(ask(asked)) == corpus.expected(lambda value: means(asked, value))
        everything = set(corpus.values)
        assert corpus.found(~ask(asked)) == everything - corpus.expected(lambda value: means(asked, value))

    check()


def plain(value: str) -> str:
    return value.strip(BLANKS)


def storable(value: str) -> bool:
    return "\0" not in value and "\x1f" not in value and len(value.encode()) <= 4096


@pytest.mark.parametrize("name", ["tag", "both"])
def test_equality(redis_client: redis.Redis, namespace: str, name: str) -> None:
    field = getattr(Doc, name)
    agree(
        Corpus(redis_client, namespace, name),
        lambda asked: field == asked,
        lambda asked, value: storable(asked) and plain(asked) == plain(value),
    )


def test_one_of(redis_client: redis.Redis, namespace: str) -> None:
    agree(
        Corpus(redis_client, namespace, "tag"),
        lambda asked: Doc.tag.in_([asked, "a|b"]),
        lambda asked, value: plain(value) == "a|b" or (storable(asked) and plain(asked) == plain(value)),
    )


def test_beginnings(redis_client: redis.Redis, namespace: str) -> None:
    agree(
        Corpus(redis_client, namespace, "tag"),
        lambda asked: Doc.tag.startswith(asked),
        lambda asked, value: storable(asked) and plain(value).startswith(asked),
    )


def test_parts(redis_client: redis.Redis, namespace: str) -> None:
    agree(
        Corpus(redis_client, namespace, "tag"),
        lambda asked: Doc.tag.contains(asked),
        lambda asked, value: storable(asked) and asked in plain(value),
    )


def test_membership_of_a_list(redis_client: redis.Redis, namespace: str) -> None:
    corpus = Corpus(redis_client, namespace, "tags")

    @checked
    @given(st.lists(VALUES, max_size=3), VALUES)
    def check(stored: list[str], asked: str) -> None:
        corpus.store("list", stored)
        wanted = asked and storable(asked) and plain(asked)
        if wanted:
            found = {id for id, value in corpus.values.items() if value and wanted in [plain(part) for part in value]}
            assert corpus.found(Doc.tags.contains(asked)) == found

    check()


def test_words(redis_client: redis.Redis, namespace: str) -> None:
    def means(asked: str, value: str) -> bool:
        wanted = words(asked)
        return bool(wanted) and set(wanted) <= set(words(value))

    corpus = Corpus(redis_client, namespace, "text")

    @checked
    @given(VALUES.map(lambda value: value.replace("*", "")), VALUES)
    def check(asked: str, other: str) -> None:
        corpus.store("same", asked)
        corpus.store("both", f"{asked}\n{other}")
        corpus.store("other", other)
        assert corpus.found(Doc.text.match(asked)) == corpus.expected(lambda value: means(asked, value))

    check()


def test_phrases(redis_client: redis.Redis, namespace: str) -> None:
    def means(asked: str, value: str) -> bool:
        wanted, there = words(asked), words(value)
        size = len(wanted)
        return bool(wanted) and any(there[at : at + size] == wanted for at in range(len(there)))

    corpus = Corpus(redis_client, namespace, "text")

    @checked
    @given(VALUES.filter(lambda value: len(value) < 100), VALUES)
    @example("a b a", "a b")
    def check(asked: str, other: str) -> None:
        corpus.store("same", asked)
        corpus.store("within", f"first {asked} last")
        corpus.store("other", other)
        if any(word == after for word, after in pairwise(words(asked))):
            with pytest.raises(QueryInvalid):  # the one thing the index cannot tell
                Doc.text.phrase(asked)
        else:
            assert corpus.found(Doc.text.phrase(asked)) == corpus.expected(lambda value: means(asked, value))

    check()


def test_beginnings_of_words_and_near_misses_never_break(redis_client: redis.Redis, namespace: str) -> None:
    corpus = Corpus(redis_client, namespace, "text")

    @checked
    @given(VALUES)
    def check(asked: str) -> None:
        corpus.store("same", asked)
        prefixed = re.sub(r"[^\w*]", " ", asked, flags=re.ASCII)
        if "same" in corpus.values and words(asked):
            near = corpus.found(Doc.text.fuzzy(asked))
            # the module's automaton takes words of up to 126 bytes, of characters of 16 bits
            assert "same" in near or len(asked) > 30 or max(asked) > "\uffff"
            if words(prefixed) == words(asked):
                assert "same" in corpus.found(Doc.text.match(prefixed))

    check()


def test_numbers(redis_client: redis.Redis, namespace: str) -> None:
    corpus = Corpus(redis_client, namespace, "n")
    numbers = st.floats(allow_nan=False, allow_infinity=False)

    @checked
    @given(numbers, st.one_of(numbers, st.integers(), st.floats(allow_nan=False)))
    def check(stored: float, asked: Any) -> None:
        corpus.store("one", stored)
        for near in (asked, stored):
            for condition, holds in [
                (Doc.n == near, lambda value, near=near: value == near),
                (Doc.n != near, None),
                (Doc.n < near, lambda value, near=near: value < near),
                (Doc.n <= near, lambda value, near=near: value <= near),
                (Doc.n > near, lambda value, near=near: value > near),
                (Doc.n >= near, lambda value, near=near: value >= near),
            ]:
                if holds is None:
                    assert corpus.found(condition) == set(corpus.values) - corpus.expected(lambda v, n=near: v == n)
                else:
                    assert corpus.found(condition) == corpus.expected(holds)

    corpus.values = {id: value for id, value in corpus.values.items() if value is None}
    check()
