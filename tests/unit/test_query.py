"""Conditions: what the operators build, what makes no sense, and what the tree means for one record."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdata.errors import QueryInvalid
from meshdata.search import Condition, Geo, Numeric, Record, Tag, Text, Vector, field, match_all, schema_of, unsafe_raw
from meshdata.search.predicate import predicate
from meshdata.search.query import bind, condition_of
from meshdata.search.tree import (
    And,
    Not,
    Nothing,
    Or,
    Range,
)


class Plan(Enum):
    FREE = "free"
    PRO = "pro"


class Item(Record, entity="item"):
    id: str = ""
    tag: str = ""
    plan: Plan = Plan.FREE
    tags: list[str] = []  # noqa: RUF012 - pydantic copies it
    endings: Annotated[str, Tag(suffix=True)] = ""
    lower: Annotated[str, Tag(case_sensitive=False)] = ""
    text: Annotated[str, Text()] = ""
    both: Annotated[str, Text(exact=True)] = ""
    n: int | None = None
    price: Decimal = Decimal(0)
    flag: bool = False
    at: datetime | None = None
    took: timedelta = timedelta()
    place: Annotated[tuple[float, float] | None, Geo()] = None
    vec: Annotated[list[float] | None, Vector(dim=2)] = None
    stored: Annotated[str, Tag(index=False)] = ""


def holds(condition: Any, **values: Any) -> bool:
    schema = schema_of(Item)
    setting, _ = schema.to_hash(values, partial=True)
    return predicate(bind(condition_of(condition), schema))(setting)


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        (Item.tag == "a", {"tag": "a"}, {"tag": "A"}),
        (Item.tag == "", {"tag": ""}, {}),
        (Item.tag != "a", {}, {"tag": "a"}),
        (Item.tag == "a ", {"tag": " a"}, {"tag": "a b"}),
        (Item.lower == "ABC", {"lower": "aBc"}, {"lower": "ab"}),
        (Item.plan == Plan.PRO, {"plan": "pro"}, {"plan": "free"}),
        (Item.plan == "pro", {"plan": "pro"}, {"plan": "free"}),
        (Item.tag.in_(["a", "b"]), {"tag": "b"}, {"tag": "c"}),
        (Item.tag.in_([]), None, {"tag": "a"}),
        (Item.tag.not_in(["a", "b"]), {}, {"tag": "b"}),
        (Item.tag.startswith("ab"), {"tag": "abc"}, {"tag": "cab"}),
        (Item.tag.startswith(""), {"tag": ""}, {}),
        (Item.tag.contains("b c"), {"tag": "ab cd"}, {"tag": "abcd"}),
        (Item.tags.contains("x"), {"tags": ["a", "x"]}, {"tags": ["ax"]}),
        (Item.tags == "x", {"tags": ["x"]}, {"tags": []}),
        (Item.tags.in_(["x", "y"]), {"tags": ["z", "y"]}, {"tags": ["z"]}),
        (Item.n == 3, {"n": 3}, {"n": 4}),
        (Item.n != 3, {}, {"n": 3}),
        (Item.n < 3, {"n": 2}, {"n": 3}),
        (Item.n <= 3, {"n": 3}, {"n": 4}),
        (Item.n > 2.5, {"n": 3}, {"n": 2}),
        (Item.n >= 3, {"n": 3}, {}),
        (Item.n.between(1, 3), {"n": 3}, {"n": 0}),
        (Item.n.in_([1, 5]), {"n": 5}, {"n": 3}),
        (Item.price == Decimal("0.10"), {"price": "0.1"}, {"price": "0.11"}),
        (Item.flag == True, {"flag": True}, {"flag": False}),  # noqa: E712 - makes a condition
        (Item.at >= date(2024, 1, 1), {"at": datetime(2024, 1, 1, tzinfo=UTC)}, {"at": datetime(2023, 12, 31, 23)}),
        (Item.at == "2024-01-01T00:00:00+01:00", {"at": datetime(2023, 12, 31, 23)}, {"at": datetime(2024, 1, 1)}),
        (Item.took > timedelta(seconds=1), {"took": timedelta(seconds=2)}, {"took": timedelta(seconds=1)}),
        (Item.text.match("one TWO"), {"text": "two, one"}, {"text": "one"}),
        (Item.text.match("tw*"), {"text": "one two"}, {"text": "one"}),
        (Item.text.match("one"), {"text": "line\none\nline"}, {"text": "lineone"}),
        (Item.text.match("!?"), None, {"text": "!?"}),
        (Item.text.phrase("one two"), {"text": "zero one two"}, {"text": "two one"}),
        (Item.text.fuzzy("helo"), {"text": "hello you"}, {"text": "heaven"}),
        (Item.both == "one Two", {"both": "one Two"}, {"both": "one two"}),
        (Item.both.match("two"), {"both": "one Two"}, {"both": "one"}),
        (Item.tag.is_none(), {}, {"tag": ""}),
        (Item.tag == None, {}, {"tag": "a"}),  # noqa: E711 - makes a condition
        (Item.tag != None, {"tag": "a"}, {}),  # noqa: E711 - makes a condition
        (Item.place.near(13.4, 52.5, 10), {"place": (13.41, 52.51)}, {"place": (13.4, 53.5)}),
        (match_all(), {}, None),
        ((Item.n > 1) & (Item.tag == "a") | (Item.flag == True), {"n": 2, "tag": "a"}, {"n": 2}),  # noqa: E712 - makes a condition
        (~((Item.n > 1) & (Item.tag == "a")), {"n": 2}, {"n": 2, "tag": "a"}),
        (Item.meta.status.is_none(), {}, None),
        ({"field": "plan", "is": "=", "value": "pro"}, {"plan": "pro"}, {"plan": "free"}),
        ([{"field": "n", "is": ">", "value": 1}, {"field": "n", "is": "<", "value": "3"}], {"n": 2}, {"n": 3}),
        ({"field": "n", "is": "[]", "value": [1, 3]}, {"n": 3}, {"n": 4}),
        ({"field": "text", "is": "=", "value": "one two"}, {"text": "one two"}, {"text": "two one"}),
        ({"field": "tag", "is": "not in", "value": ["a"]}, {"tag": "b"}, {"tag": "a"}),
        ({"field": "tag", "value": None}, {}, {"tag": "a"}),
    ],
)
def test_a_condition_means(condition: Any, yes: dict[str, Any] | None, no: dict[str, Any] | None) -> None:
    if yes is not None:
        assert holds(condition, **yes)
    if no is not None:
        assert not holds(condition, **no)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Item.tag < "a",
        lambda: Item.tag.match("a"),
        lambda: Item.text == "a",
        lambda: Item.text.startswith("a"),
        lambda: Item.n.match("a"),
        lambda: Item.n == "many",
        lambda: Item.n == float("nan"),
        lambda: Item.n > True,
        lambda: Item.plan == "gold",
        lambda: Item.flag == "yes",
        lambda: Item.tag == 3,
        lambda: Item.tags == ["a"],
        lambda: Item.tag.in_("abc"),
        lambda: Item.at > 3,
        lambda: Item.at > "yesterday",
        lambda: Item.place == (1, 2),
        lambda: Item.place.near(200, 0, 1),
        lambda: Item.place.near(0, 0, 0),
        lambda: Item.vec.knn([1.0], 3),
        lambda: Item.vec.knn([1.0, 2.0], 0),
        lambda: Item.stored == "a",
        lambda: Item.text.fuzzy("a", 4),
        lambda: Item.text.phrase("that that"),
        lambda: Item.both.startswith("a"),
        lambda: Item.endings.contains("a"),
        lambda: condition_of([]),
        lambda: condition_of("n > 3"),
        lambda: condition_of(True),
        lambda: condition_of(Item.flag),
        lambda: condition_of({"field": "n", "is": "~", "value": 1}),
        lambda: condition_of({"n": 3}),
        lambda: condition_of({"field": "n", "is": "between", "value": 3}),
        lambda: bind(field("nope") == 1, schema_of(Item)),
        lambda: bind(condition_of({"field": "n", "is": "match", "value": "x"}), schema_of(Item)),
        lambda: bind(~Item.vec.knn([1, 2], 1), schema_of(Item)),
        lambda: bind(Item.vec.knn([1, 2], 1) | (Item.n == 1), schema_of(Item)),
        lambda: unsafe_raw("@n:[$p1 $p1]", p1=3),
    ],
)
def test_what_makes_no_sense_is_a_typed_error_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(QueryInvalid):
        wrong()


def test_the_error_names_the_field_and_the_remedy() -> None:
    with pytest.raises(QueryInvalid, match=r"text: == cannot be asked of this field; .*Text\(exact=True\)"):
        _ = Item.text == "a"


def test_and_or_not_and_chained_comparisons_do_not_pass_for_conditions() -> None:
    with pytest.raises(TypeError, match=r"write & \| ~"):
        _ = (Item.n == 1) and (Item.tag == "a")
    with pytest.raises(TypeError, match="between"):
        _ = 1 < Item.n < 3
    with pytest.raises(TypeError, match="brackets"):
        _ = (Item.n == 1) & True


def test_long_chains_stay_flat() -> None:
    chain: Condition = Item.n == 0
    for n in range(1, 2000):
        chain = chain | (Item.n == n)
    assert isinstance(chain, Or)
    assert len(chain.parts) == 2000
    double = ~~(Item.tag == "a")
    assert not isinstance(double, Not)
    assert isinstance((Item.n == 1) & (Item.n == 2) & (Item.n == 3), And)


def test_what_cannot_be_stored_equals_nothing_stored() -> None:
    for value in ("a\0", "a\x1fb", "x" * 5000):
        assert (Item.tag == value) == Nothing()
    assert (Item.n == 2**53 + 1) == Nothing()
    assert (Item.n == 10**400) == Nothing()
    assert Item.tag.in_(["a", "b\0"]) == (Item.tag == "a")


EXACT = st.one_of(st.integers(-(2**70), 2**70), st.decimals(allow_nan=False, allow_infinity=False, places=3))


@given(st.integers(-(2**53), 2**53), EXACT)
def test_comparisons_of_doubles_say_what_comparisons_of_the_exact_numbers_say(stored: int, asked: Any) -> None:
    for condition, expected in [
        (Item.n == asked, stored == asked),
        (Item.n < asked, stored < asked),
        (Item.n <= asked, stored <= asked),
        (Item.n > asked, stored > asked),
        (Item.n >= asked, stored >= asked),
    ]:
        assert holds(condition, n=stored) == expected


def test_without_a_model_the_kind_follows_from_the_value() -> None:
    bound = bind((field("age") > 3) & (field("plan") == "pro") & field("bio").match("x"), None)
    assert predicate(bound)({"age": "4", "plan": "pro", "bio": "an x"})
    assert not predicate(bound)({"age": "4", "plan": "pro", "bio": "y"})
    assert isinstance(bind(field("n") == 3, None), Range)


def test_a_field_of_another_model_is_held_against_the_schema() -> None:
    class Other(Record, entity="other"):
        tag: Annotated[str, Text()] = ""
        extra: int = 0

    with pytest.raises(QueryInvalid, match="searched otherwise"):
        bind(Other.tag.match("a"), schema_of(Item))
    with pytest.raises(QueryInvalid, match="no field 'extra'"):
        bind(Other.extra == 1, schema_of(Item))


def test_fields_of_a_plain_model_are_named() -> None:
    from pydantic import BaseModel

    from meshdata.errors import InvalidOptions

    class Plain(BaseModel):
        n: Annotated[int, Numeric()] = 0

    assert isinstance(field(Plain, "n") == 1, Range)
    with pytest.raises(InvalidOptions):
        field(Plain, "m")
