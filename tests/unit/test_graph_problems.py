"""Models that cannot be compiled: each mistake has its message, its place and its line, and none hides another."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshdata.errors import ModelError, ModelProblem
from meshdata.graph.compiler import compile_app

GOOD = """\
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order.placed
      activities:
        t1:
          type: trigger
        w1:
          type: worker
          topic: card.charge
        h1:
          type: hook
      transitions:
        t1:
          - to: w1
        w1:
          - to: h1
      hooks:
        order.ready:
          - to: h1
            conditions:
              match:
                - expected: '{$job.metadata.jid}'
                  actual: '{$self.hook.data.id}'
"""


def problems_of(text: str) -> tuple[ModelProblem, ...]:
    with pytest.raises(ModelError) as caught:
        compile_app(text)
    return caught.value.problems


def test_the_model_that_the_mistakes_are_made_in_is_good() -> None:
    assert compile_app(GOOD).warnings == ()


GRAPH = "order.placed"

MISTAKES: dict[str, tuple[str, str, ModelProblem]] = {
    "reserved app id": ("id: shop", "id: a", ModelProblem("the id 'a' is reserved", None, None, "app.id", 2)),
    "app id": (
        "id: shop", "id: my shop",
        ModelProblem("id: string should match pattern '^[A-Za-z0-9-]+$'; it is 'my shop'", None, None, "app.id", 2),
    ),
    "no version": ("  version: '1'\n", "", ModelProblem("version is needed", None, None, "app.version", 1)),
    "no graphs": (
        GOOD[GOOD.index("    - sub") :], "    []", ModelProblem("graphs must not be empty", None, None, "app.graphs", 4)
    ),
    "no subscribes": (
        "subscribes: order.placed", "publishes: x", ModelProblem("subscribes is needed", "#1", None, "subscribes", 5)
    ),
    "no activities": (
        GOOD[GOOD.index("      act") :], "", ModelProblem("activities is needed", GRAPH, None, "activities", 5)
    ),
    "no trigger": (
        "type: trigger", "type: hook",
        ModelProblem("the graph has no activity of type trigger (collator-trigger-activity-not-found)", GRAPH, line=5),
    ),
    "second trigger": (
        "type: hook", "type: trigger", ModelProblem("a graph has one trigger; t1 is one already", GRAPH, "h1", None, 12)
    ),
    "duplicate activity": (
        "        h1:\n", "        t1:\n", ModelProblem("Duplicate activity id found: t1", None, "t1", None, 12)
    ),
    "no type": ("type: hook", "title: x", ModelProblem("type is needed", GRAPH, "h1", "type", 12)),
    "unknown type": (
        "type: hook", "type: sleeper",
        ModelProblem(
            "activity type sleeper not found; there are trigger, worker, await, hook, activity, signal, cycle, "
            "interrupt", GRAPH, "h1", "type", 13,
        ),
    ),
    "type without work": (
        "type: hook", "type: emit",
        ModelProblem(
            "activity type emit not found; there are trigger, worker, await, hook, activity, signal, cycle, interrupt",
            GRAPH, "h1", "type", 13,
        ),
    ),
    "activity is no object": (
        "  type: hook", "  - hook", ModelProblem("h1 has to be an object", GRAPH, "h1", None, 12)
    ),
    "activity id": (
        "        h1:\n          type: hook", "        h1: {type: hook}\n        a/b: {type: hook}",
        ModelProblem(
            "an activity's id has no white space and none of / : { }, and does not begin with $ or @; this is 'a/b'",
            GRAPH, "a/b", None, 13,
        ),
    ),
    "no topic": (
        "          topic: card.charge\n", "",
        ModelProblem("topic is needed: whom the worker asks", GRAPH, "w1", "topic", 9),
    ),
    "edge to nowhere": (
        "to: w1", "to: w9",
        ModelProblem(
            "a transition leads to w9, which is no activity of the graph", GRAPH, "t1", "transitions.0.to", 16
        ),
    ),
    "edge from nowhere": (
        "        w1:\n          - to: h1", "        w9:\n          - to: h1",
        ModelProblem("a transition leaves w9, which is no activity of the graph", GRAPH, "w9", "transitions", 17),
    ),
    "edges are no list": (
        "- to: w1", "to: w1", ModelProblem("the transitions of an activity are a list", GRAPH, "t1", "transitions", 15)
    ),
    "edge without target": (
        "- to: w1", "- two: w1", ModelProblem("to is needed", GRAPH, "t1", "transitions.0.to", 16)
    ),
    "bad gate": (
        "- to: w1", "- to: w1\n            conditions: {gate: xor}",
        ModelProblem(
            "gate: input should be 'and' or 'or'; it is 'xor'", GRAPH, "t1", "transitions.0.conditions.gate", 17
        ),
    ),
    "two parents": (
        "- to: w1", "- to: w1\n          - to: h1",
        ModelProblem("h1 has two parents, t1 and w1; an activity has one", GRAPH, "w1", "transitions.0", 19),
    ),
    "loop": (
        "      hooks:", "        h1:\n          - to: w1\n      hooks:",
        ModelProblem(
            "the transitions lead round: w1 -> h1 -> w1; go back with a cycle activity", GRAPH, "h1",
            "transitions.0", 20,
        ),
    ),
    "loop to itself": (
        "      hooks:", "        h1:\n          - to: h1\n      hooks:",
        ModelProblem(
            "the transitions lead round: h1 -> h1; go back with a cycle activity", GRAPH, "h1", "transitions.0", 20
        ),
    ),
    "hook rule on nothing": (
        "          - to: h1\n            cond", "          - to: h9\n            cond",
        ModelProblem(
            "a hook leads to h9, which is no activity of the graph", GRAPH, None, "hooks.order.ready.0.to", 21
        ),
    ),
    "hook rule on a worker": (
        "          - to: h1\n            cond", "          - to: w1\n            cond",
        ModelProblem("a hook leads to w1, which is a worker", GRAPH, None, "hooks.order.ready.0.to", 21),
    ),
    "hook rules without a match": (
        GOOD[GOOD.index("                - exp") :], "                []",
        ModelProblem("match must not be empty", GRAPH, None, "hooks.order.ready.0.conditions.match", 23),
    ),
    "hook rules are no list": (
        GOOD[GOOD.index("          - to: h1\n            cond") :], "          to: h1",
        ModelProblem("the rules of a hook's topic are a list", GRAPH, None, "hooks.order.ready", 20),
    ),
    "unknown activity in a map": (
        "topic: card.charge", "topic: x\n          input: {maps: {a: {b: '{w9.output.data.x}'}}}",
        ModelProblem(
            "Mapping statement references non-existent activity: {w9.output.data.x}", GRAPH, "w1", "input.maps.a.b", 12
        ),
    ),
    "unknown activity in a pipe": (
        "topic: card.charge", "topic: x\n          emit:\n            '@pipe':\n              - ['{x.y}']",
        ModelProblem(
            "Mapping statement references non-existent activity: {x.y}", GRAPH, "w1", "emit.@pipe.0.0", 14
        ),
    ),
    "unknown activity in a condition": (
        "- to: w1", "- {to: w1, conditions: {match: [{expected: 1, actual: '{x.output.data.y}'}]}}",
        ModelProblem(
            "Mapping statement references non-existent activity: {x.output.data.y}", GRAPH, "t1",
            "transitions.0.conditions.match.0.actual", 16,
        ),
    ),
    "unknown activity in expire": (
        "      activities", "      expire: '{x.output.data.y}'\n      activities",
        ModelProblem("Mapping statement references non-existent activity: {x.output.data.y}", GRAPH, None, "expire", 6),
    ),
    "unknown family": (
        "topic: card.charge", "topic: '{@card.topic}'",
        ModelProblem("Unknown domain name [{@card.topic}]: card", GRAPH, "w1", "topic", 11),
    ),
    "unknown function": (
        "topic: card.charge", "topic: x\n          job: {maps: {a: [1, '{@math.plus}']}}",
        ModelProblem("Unknown domain function [{@math.plus}]: math.plus", GRAPH, "w1", "job.maps.a.1", 12),
    ),
    "pipe is no list": (
        "topic: card.charge", "topic: {'@pipe': 5}",
        ModelProblem("a pipe is a list of rows; this is 5", GRAPH, "w1", "topic", 11),
    ),
    "row without a function": (
        "type: hook", "type: hook\n          sleep: {'@pipe': [[1, 2], [math.add]]}",
        ModelProblem(
            "a row begins with a function once there is a row before it; this one with 'math.add'", GRAPH, "h1",
            "sleep", 14,
        ),
    ),
    "reduce first": (
        "type: hook", "type: hook\n          sleep: {'@pipe': [{'@reduce': [['{$item}']]}]}",
        ModelProblem("a reduce needs a row before it: collection and first result", GRAPH, "h1", "sleep", 14),
    ),
    "pipe of pipes": (
        "type: hook", "type: hook\n          sleep: {'@pipe': [{'@pipe': [[1]]}]}",
        ModelProblem("a pipe of pipes ends with a row that takes their results", GRAPH, "h1", "sleep", 14),
    ),
    "bad granularity": (
        "type: trigger", "type: trigger\n          stats: {granularity: 7m}",
        ModelProblem(
            "granularity: input should be '5m', '10m', '15m', '30m', '1h' or 'infinity'; it is '7m'", GRAPH, "t1",
            "stats.granularity", 9,
        ),
    ),
    "bad measure": (
        "type: trigger", "type: trigger\n          stats: {measures: [{measure: most, target: '{t1.output.data.x}'}]}",
        ModelProblem(
            "measure: input should be 'count', 'sum', 'avg', 'mdn', 'index', 'max' or 'min'; it is 'most'", GRAPH, "t1",
            "stats.measures.0.measure", 9,
        ),
    ),
    "bad target": (
        "type: trigger", "type: trigger\n          stats: {measures: [{measure: sum, target: '{t1.output.data}'}]}",
        ModelProblem(
            "a target refers to data, like {$self.output.data.size}; this is {t1.output.data}", GRAPH, "t1",
            "stats.measures.0.target", 9,
        ),
    ),
    "cycle to nowhere": (
        "type: hook", "type: cycle\n          ancestor: x",
        ModelProblem("x is not an ancestor of h1; above it there is t1, w1", GRAPH, "h1", "ancestor", 14),
    ),
    "cycle to itself": (
        "type: hook", "type: cycle\n          ancestor: h1",
        ModelProblem("h1 is not an ancestor of h1; above it there is t1, w1", GRAPH, "h1", "ancestor", 14),
    ),
    "cycle to the trigger": (
        "type: hook", "type: cycle\n          ancestor: t1",
        ModelProblem("t1 is a trigger, which cannot be gone back to", GRAPH, "h1", "ancestor", 14),
    ),
    "cycle without ancestor": (
        "type: hook", "type: cycle", ModelProblem("ancestor is needed", GRAPH, "h1", "ancestor", 12)
    ),
    "retry": (
        "topic: card.charge", "topic: x\n          retry: {500: [often]}",
        ModelProblem(
            "tries are a list that begins with their number, like [3]; this is ['often']", GRAPH, "w1", "retry.500", 12
        ),
    ),
    "slots": (
        "topic: card.charge", "topic: x\n          job: {maps: {'a[5000]': 1}}",
        ModelProblem("'a[5000]': slots have a name, and there are at most 1000", GRAPH, "w1", "job.maps.a[5000]", 12),
    ),
    "signal to all by a map": (
        "type: hook", "type: signal\n          subtype: all\n          topic: '{t1.output.data.x}'",
        ModelProblem("the topic of a signal to all is a text, not a map", GRAPH, "h1", "topic", 15),
    ),
    "signal of another kind": (
        "type: hook", "type: signal\n          subtype: some\n          topic: x",
        ModelProblem("subtype: input should be 'one' or 'all'; it is 'some'", GRAPH, "h1", "subtype", 14),
    ),
    "signal without a topic": (
        "type: hook", "type: signal", ModelProblem("topic is needed", GRAPH, "h1", "topic", 12)
    ),
    "no JSON schema": (
        "      activities", "      settings: {validate: true}\n      input: {schema: {type: wrong}}\n      activities",
        ModelProblem(
            "this is no JSON schema: type: 'wrong' is not valid under any of the given schemas", GRAPH, None,
            "input.schema", 7,
        ),
    ),
    "no YAML": ("id: shop", "id: [shop", ModelProblem("this is no YAML: did not find expected ',' or ']'", line=3)),
    "key twice": (
        "  version: '1'", "  version: '1'\n  id: x", ModelProblem("the key 'id' is there twice", line=4)
    ),
    "tag": ("id: shop", "id: !shop x", ModelProblem("the tag !shop is not known", line=2)),
    "alias inside itself": (
        "    - subscribes", "    - &g\n      x: *g\n      subscribes",
        ModelProblem("an alias that is inside of what it stands for", line=5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_place(mistake: str) -> None:
    good, bad, problem = MISTAKES[mistake]
    assert GOOD.count(good) >= 1
    assert problem in problems_of(GOOD.replace(good, bad, 1))


def test_all_mistakes_are_told_at_once_in_the_order_of_the_model() -> None:
    text = GOOD
    for mistake in ("reserved app id", "bad granularity", "no topic", "row without a function", "hook rule on nothing"):
        good, bad, _ = MISTAKES[mistake]
        text = text.replace(good, bad, 1)
    found = problems_of(text)
    assert [problem.line for problem in found] == [2, 9, 10, 14, 22]


def test_one_id_is_in_one_graph_only() -> None:
    second = "    - subscribes: other\n      activities:\n        w1: {type: trigger}\n    - subscribes: other\n"
    second += "      activities:\n        t9: {type: trigger}\n"
    assert problems_of(GOOD + second) == (
        ModelProblem("Duplicate activity id found: w1", "other", "w1", None, 28),
        ModelProblem("two graphs subscribe to other", "other", None, "subscribes", 29),
    )


@pytest.mark.parametrize("form", ["{$item.x}", "{$hook.data.x}", "{$app.settings.x}", "{$graph.x}", "{$index}"])
def test_forms_that_stand_for_no_activity_are_accepted(form: str) -> None:
    compile_app(GOOD.replace("topic: card.charge", f"topic: x\n          emit: '{form}'"))


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(GOOD.replace("id: shop", "id: a"), "utf-8")
    with pytest.raises(ModelError, match=r"shop\.yaml:2, field app\.id: the id 'a' is reserved$"):
        compile_app(path)


def test_an_expanded_model_has_no_lines() -> None:
    with pytest.raises(ModelError) as caught:
        compile_app({"app": {"id": "a", "version": "1", "graphs": []}})
    assert caught.value.line is None
