"""Query text: the shape each condition takes, and that values are bound, never written."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdata.search import Condition, Geo, Numeric, Record, Text, Vector, match_all, schema_of, unsafe_raw
from meshdata.search.fulltext import compile_query
from meshdata.search.query import bind, condition_of


class Doc(Record, entity="doc"):
    tag: str = ""
    text: Annotated[str, Text()] = ""
    both: Annotated[str, Text(exact=True)] = ""
    n: Annotated[float, Numeric()] = 0
    place: Annotated[tuple[float, float] | None, Geo()] = None
    vec: Annotated[list[float] | None, Vector(dim=2)] = None


NEVER = "(ismissing(@_created) -ismissing(@_created))"


@pytest.mark.parametrize(
    ("condition", "text", "params"),
    [
        (match_all(), "*", []),
        (~match_all(), NEVER, []),
        (Doc.tag == "a b", "@tag:{$p1}", ["a b"]),
        (Doc.tag == "a\\b", "@tag:{$p1}", ["a\\\\b"]),
        (Doc.tag.in_(["a", "b", "a"]), "@tag:{$p1|$p2}", ["a", "b"]),
        (Doc.tag != "a", "(-@tag:{$p1})", ["a"]),
        (Doc.tag.startswith("a*"), "@tag:{$p1*}", ["a*"]),
        (Doc.tag.contains("a"), "@tag:{*$p1*}", ["a"]),
        (Doc.tag.contains("a b "), "@tag:{*$p1*}", ["a\\ b\\ "]),
        (Doc.both == "a", "@both__exact:{$p1}", ["a"]),
        (Doc.n == 1, "@n:[$p1 $p2]", ["1.0", "1.0"]),
        (Doc.n > 1, "@n:[($p1 +inf]", ["1.0"]),
        (Doc.n <= 1.5, "@n:[-inf $p1]", ["1.5"]),
        (Doc.text.match("One two*"), "(@text:($p1) @text:($p2*))", [b"one", b"two"]),
        (Doc.text.phrase("one two"), '@text:"one two"', []),
        (Doc.text.fuzzy("one", 2), "(@text:(%%$p1%%))", [b"one"]),
        (Doc.text.is_none(), "ismissing(@text)", []),
        (Doc.place.near(1, 2, 3), "@place:[$p1 $p2 $p3 km]", ["1.0", "2.0", "3.0"]),
        ((Doc.n > 1) & (Doc.tag == "a"), "(@n:[($p1 +inf] @tag:{$p2})", ["1.0", "a"]),
        (((Doc.n > 1) | (Doc.tag == "a")) & match_all(), "(@n:[($p1 +inf]|@tag:{$p2})", ["1.0", "a"]),
        (~((Doc.n > 1) | (Doc.tag == "a")), "(-(@n:[($p1 +inf]|@tag:{$p2}))", ["1.0", "a"]),
        ((Doc.n > 1) | (Doc.tag != "a"), "(-((-@n:[($p1 +inf]) @tag:{$p2}))", ["1.0", "a"]),
        (~Doc.text.match("one"), "(-(@text:($p1) @text:($p1)))", [b"one"]),
        (unsafe_raw("@n:[$low 5]", low=1) & (Doc.tag == "a"), "((@n:[$low 5]) @tag:{$p2})", [1, "a"]),
    ],
)
def test_a_condition_is_written(condition: Condition, text: str, params: list[Any]) -> None:
    query = compile_query(bind(condition, schema_of(Doc)))
    assert query.text == text
    assert list(query.params.values()) == params


def test_nearest_neighbours_stand_behind_what_filters_them() -> None:
    query = compile_query(bind((Doc.tag == "a") & Doc.vec.knn([1, 2], 5), schema_of(Doc)))
    assert query.text == "(@tag:{$p1})=>[KNN 5 @vec $p2 AS _distance]" or query.text == (
        "((@tag:{$p1}))=>[KNN 5 @vec $p2 AS _distance]"
    )
    assert isinstance(query.params["p2"], bytes)
    assert query.arguments()[-2:] == ["DIALECT", 2]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_value_changes_the_text_of_a_query(value: str) -> None:
    for condition, texts in [
        (Doc.tag == value, {"@tag:{$p1}"}),
        (Doc.tag.startswith(value), {"@tag:{$p1*}", "(-ismissing(@tag))"}),
        (Doc.tag.contains(value), {"@tag:{*$p1*}", "(-ismissing(@tag))"}),
        (condition_of({"field": "tag", "is": "in", "value": [value]}), {"@tag:{$p1}"}),
    ]:
        assert compile_query(bind(condition, schema_of(Doc))).text in texts | {NEVER}
