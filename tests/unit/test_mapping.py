"""The mapping language: references, maps, pipes and reductions."""

import copy
from typing import Any

import pytest

from meshdata.graph.mapping import Reference, compile_maps, compile_pipe, expressions, references
from meshdata.graph.pipes.values import UNDEFINED, PipeError

SCOPE: dict[str, Any] = {
    "a1": {
        "output": {
            "data": {"name": "Ada", "n": 3, "list": [{"name": "x"}, {"name": "y"}], "nothing": None,
                     "o": {"b": 2, "1": 1}},
            "metadata": {"aid": "a1"},
        },
        "hook": {"data": {"done": True}},
    },
    "$self": {"output": {"data": {"own": "mine"}}},
    "$job": {"data": {"shared": [1, 2]}, "metadata": {"jid": "j-1"}},
    "$hook": {"data": {"id": 7}},
}  # fmt: skip


def mapped(value: Any) -> Any:
    return compile_maps(value)(SCOPE)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("{a1.output.data.name}", "Ada"),
        ("{a1.output.data.list.1.name}", "y"),
        ("{a1.output.data.list.length}", 2),
        ("{a1.output.data.list.9.name}", UNDEFINED),
        ("{a1.output.data.name.0}", "A"),
        ("{a1.output.data.n.x}", UNDEFINED),
        ("{a1.output.data.nothing}", None),
        ("{a1.output.data.nothing.x}", UNDEFINED),
        ("{a1.hook.data.done}", True),
        ("{a1.output.metadata.aid}", "a1"),
        ("{$self.output.data.own}", "mine"),
        ("{$job.data.shared.0}", 1),
        ("{$job.metadata.jid}", "j-1"),
        ("{$hook.data.id}", 7),
        ("{a2.output.data.x}", UNDEFINED),
        ("{$app.id}", UNDEFINED),
        ("{$graph.x}", UNDEFINED),
        ("{$item}", UNDEFINED),
        ("{@symbol.whitespace}", " "),
        ("plain", "plain"),
        ("{ not closed", "{ not closed"),
        (5, 5),
        (None, None),
        (True, True),
        ("", ""),
    ],
)
def test_a_cell_resolves(cell: Any, expected: Any) -> None:
    found = mapped(cell)
    assert found == expected and type(found) is type(expected)


def test_maps_are_walked_and_what_is_undefined_is_left_out() -> None:
    assert mapped(
        {"who": "{a1.output.data.name}", "gone": "{a1.output.data.no}", "address": {"city": "Paris", "deep": {"n": 1}},
         "empty": "", "null": None, "list": ["a", "{a1.output.data.n}"]}
    ) == {
        "who": "Ada", "address": {"city": "Paris", "deep": {"n": 1}}, "empty": "", "null": None,
        "list": {"0": "a", "1": 3},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["{a1.output.data.n}", 2], ["{@math.add}"]], 5),
        ([["a", "b"], ["{@string.concat}", "c"], ["{@string.concat}"]], "abc"),
        ([["only"]], "only"),
        ([["{@symbol.null}"]], None),
        ([[]], UNDEFINED),
        ([[], ["{@math.add}", 2], ["{@math.add}"]], 2),
        ([[], {"@reduce": [["{$item}"]]}], None),
        # a function takes the whole row before it, and what it does not take is passed over
        ([["abc", 1, 2, "unused"], ["{@string.substring}"]], "b"),
        # fan out, fan in
        ([{"@pipe": [["x"], ["{@string.toUpperCase}"]]}, {"@pipe": [["y"]]}, ["{@string.concat}"]], "Xy"),
        # the row before nested pipes is lost
        ([["a"], {"@pipe": [["b"]]}, ["{@string.concat}"]], "b"),
        # a nested pipe does not see the outer row
        ([["a"], {"@pipe": [["b"], ["{@string.concat}", "c"], ["{@string.concat}"]]}, ["{@string.concat}"]], "bc"),
        # ends on a pipe: the last row of cells counts
        ([["a"], {"@pipe": [["b"]]}], "a"),
    ],
)
def test_a_pipe_runs(rows: Any, expected: Any) -> None:
    assert mapped({"@pipe": rows}) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["{$job.data.shared}", 0], {"@reduce": [["{$output}", "{$item}"], ["{@math.add}"]]}], 3),
        ([[[5, 6], []], {"@reduce": [["{$output}", "{$index}"], ["{@array.push}"]]}], [0, 1]),
        ([["{a1.output.data.o}", ""], {"@reduce": [["{$output}", "{$key}"], ["{@string.concat}"]]}], "1b"),
        ([["{a1.output.data.list}", ""], {"@reduce": [["{$output}", "{$item.name}"], ["{@string.concat}"]]}], "xy"),
        ([["abc", 0], {"@reduce": [["{$output}", 1], ["{@math.add}"]]}], 3),
        ([[None, "start"], {"@reduce": [["{$output}", 1], ["{@math.add}"]]}], "start"),
        ([[[1, 2]], {"@reduce": [["{$item}"]]}], 2),
        # the row after a reduce gets its result alone
        ([[[1, 2], 0, "lost"], {"@reduce": [["{$output}", "{$item}"], ["{@math.add}"]]}, ["{@math.add}", 10],
          ["{@math.add}"]], 13),
        # nested: its own variables, and none of the outer ones
        ([[[[1, 2], [3]], 0],
          {"@reduce": [["{$output}"],
                       {"@pipe": [["{$item}", 0], {"@reduce": [["{$output}", "{$item}"], ["{@math.add}"]]}]},
                       {"@pipe": [["{$output}"]]},
                       ["{@math.add}"]]}], 6),
        # the accumulator of the first row of a reduce
        ([[[1, 2], 1], {"@reduce": [["{@math.add}"]]}], 1),
    ],
)  # fmt: skip
def test_a_reduction_goes_through_a_collection(rows: Any, expected: Any) -> None:
    assert mapped({"@pipe": rows}) == expected


def test_neither_the_model_nor_the_data_is_changed_by_what_runs() -> None:
    model = {
        "a": {"@pipe": [[[1, 2], 3], ["{@array.push}"]]},
        "b": {"@pipe": [["{$job.data.shared}", 9], ["{@array.push}"]]},
    }
    scope, before = copy.deepcopy(SCOPE), copy.deepcopy(model)
    mapper = compile_maps(model)
    for _ in range(3):
        assert mapper(scope) == {"a": [1, 2, 3], "b": [1, 2, 9]}
    assert model == before and scope == SCOPE


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "list of rows"),
        ("x", "list of rows"),
        ([["a"], ["b"]], "begins with a function"),
        ([["a"], [5]], "begins with a function"),
        ([["a"], []], "a row is"),
        ([["a"], {"@pipe": [["b"]], "x": 1}], "a row is"),
        ([["a"], "{@math.add}"], "a row is"),
        ([{"@reduce": [["{$item}"]]}], "needs a row before it"),
        ([{"@pipe": [["a"]]}], "takes their results"),
        ([["a"], ["{@math.nope}"]], "Unknown domain function"),
        ([["{@nope.x}"]], "Unknown domain name"),
        ([["a"], {"@reduce": []}], "list of rows"),
    ],
)
def test_a_malformed_pipe_is_refused_when_it_is_compiled(rows: Any, told: str) -> None:
    with pytest.raises(PipeError) as caught:
        compile_pipe(rows)
    assert told in str(caught.value)


def test_a_function_that_cannot_do_its_work_says_so() -> None:
    with pytest.raises(PipeError):
        mapped({"@pipe": [["{a1.output.data.no}"], ["{@string.trim}"]]})


def test_what_a_model_refers_to_is_found_wherever_it_is() -> None:
    part = {"a": ["{a1.output.data.x}", {"@pipe": [["{$job.data.y}", "{$item.z}"], ["{@math.add}"]]}], "b": "text"}
    assert list(references(part)) == [Reference(("a1", "output", "data", "x")), Reference(("$job", "data", "y"))]
    assert list(expressions(part)) == ["{a1.output.data.x}", "{$job.data.y}", "{$item.z}", "{@math.add}"]
    assert Reference(("a1", "output")).text == "{a1.output}"
