"""Compiled graphs are drawn: their boxes, arrows and labels, as Mermaid and as SVG; a job's path is marked."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

import pytest

from meshdata.errors import InvalidOptions
from meshdata.graph.compiled import App
from meshdata.graph.compiler import compile_app
from meshdata.graph.ledger import Ledger
from meshdata.graph.picture import condition, mermaid, picture_of, states_of
from meshdata.graph.svg import svg

MODEL = """
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order.placed
      publishes: order.done
      activities:
        t1: {type: trigger, title: 'An "order" <comes> in'}
        h0: {type: hook}
        w1: {type: worker, topic: card.charge}
        h1: {type: hook}
        h2: {type: hook, sleep: 5}
        s1: {type: signal, topic: order.ready}
        s2: {type: signal, topic: order.ready, subtype: all}
        c1: {type: cycle, ancestor: h0}
        i1: {type: interrupt}
        a1: {type: await, topic: ship.order}
      transitions:
        t1: [{to: h0}]
        h0: [{to: w1}]
        w1:
          - {to: h1}
          - {to: h1, conditions: {code: 422}}
          - {to: i1, conditions: {code: 500}}
          - {to: c1, conditions: {match: [{expected: true, actual: '{$self.output.data.again}'}]}}
        h1: [{to: s1}, {to: s2}, {to: a1}, {to: h2}]
      hooks:
        order.ready: [{to: h1, conditions: {match: [{expected: 1, actual: '{$self.hook.data.id}'}]}}]
    - subscribes: ship.order
      activities: {t2: {type: trigger}}
"""


@pytest.fixture(scope="module")
def shop() -> App:
    return compile_app(MODEL)


def test_mermaid_has_a_shape_for_each_type_and_a_line_for_each_way(shop: App) -> None:
    assert mermaid(picture_of(shop)).splitlines() == [
        "flowchart TD",
        '  subgraph g0["order.placed → order.done"]',
        '    n0(["t1<br/>An #quot;order#quot; #lt;comes#gt; in"])',
        '    n1{{"h0"}}',
        '    n2["w1<br/>card.charge"]',
        '    n3{{"h1<br/>waits for order.ready"}}',
        '    n4{{"h2<br/>sleeps"}}',
        '    n5>"s1<br/>order.ready"]',
        '    n6>"s2<br/>order.ready"]',
        '    n7(("c1"))',
        '    n8[/"i1"/]',
        '    n9[["a1<br/>ship.order"]]',
        "  end",
        '  subgraph g1["ship.order"]',
        '    n10(["t2"])',
        "  end",
        "  n0 --> n1",
        "  n1 --> n2",
        "  n2 --> n3",
        '  n2 -->|"422"| n3',
        '  n2 -->|"500"| n8',
        '  n2 -->|"again = true"| n7',
        "  n3 --> n5",
        "  n3 --> n6",
        "  n3 --> n9",
        "  n3 --> n4",
        "  n5 -.-> n3",
        '  n6 -.->|"all"| n3',
        "  n7 -.-> n1",
        "  n9 ==> n10",
    ]


def test_one_graph_is_drawn_alone(shop: App) -> None:
    assert mermaid(picture_of(shop, topic="ship.order")).splitlines() == [
        "flowchart TD", '  subgraph g0["ship.order"]', '    n0(["t2"])', "  end",
    ]  # fmt: skip
    with pytest.raises(InvalidOptions, match=r"no graph subscribes to order; there are order\.placed, ship\.order"):
        picture_of(shop, topic="order")


def test_a_jobs_path_is_marked(shop: App) -> None:
    picture = picture_of(shop, topic="ship.order", states={"t2": "done", "unknown": "waiting"})
    assert mermaid(picture).splitlines()[-1] == "  class n0 done"
    drawn = svg(picture_of(shop, states={"t1": "done", "h0": "done", "w1": "waiting"}))
    assert len(re.findall(r'class="way taken"', drawn)) == 2
    assert drawn.count('fill="#d7f0dd"') == 2 and drawn.count('fill="#fff1cc"') == 1


# --- SVG --------------------------------------------------------------------------------------------------------------


def boxes_of(drawn: str) -> dict[str, tuple[float, float, float, float]]:
    """The boxes by their names: left, top, width, height."""
    found = {}
    for group in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g"):
        rect, text = (group.find(f"{{http://www.w3.org/2000/svg}}{kind}") for kind in ("rect", "text"))
        assert rect is not None and text is not None and text.text is not None
        found[text.text] = tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    return found  # type: ignore[return-value]  # four of them


def test_svg_draws_children_below_their_parents_and_no_box_over_another(shop: App) -> None:
    drawn = svg(picture_of(shop))
    boxes = boxes_of(drawn)
    assert set(boxes) == {*shop.activities}
    for id, activity in shop.activities.items():
        if activity.parent:
            assert boxes[id][1] > boxes[activity.parent][1]
    spread = list(boxes.items())
    for index, (_, (left, top, width, height)) in enumerate(spread):
        for _, (other_left, other_top, other_width, other_height) in spread[index + 1 :]:
            beside = left + width <= other_left or other_left + other_width <= left
            assert beside or top + height <= other_top or other_top + other_height <= top
    root = ET.fromstring(drawn)
    _, _, right, bottom = (float(one) for one in root.attrib["viewBox"].split())
    assert all(
        left >= 0 and left + width <= right and top + height <= bottom for left, top, width, height in boxes.values()
    )


def test_svg_holds_hostile_names() -> None:
    app = compile_app(MODEL.replace("card.charge", "'<script>&\"'").replace("ship.order", "'a<b&c'"))
    ET.fromstring(svg(picture_of(app)))


def test_a_graph_of_a_thousand_in_a_row_is_drawn() -> None:
    ids = [f"h{n}" for n in range(1000)]
    activities: dict[str, Any] = {"t1": {"type": "trigger"}} | {id: {"type": "hook"} for id in ids}
    edges = {one: [{"to": to}] for one, to in zip(["t1", *ids], ids, strict=False)}
    graph = {"subscribes": "x", "activities": activities, "transitions": edges}
    app = compile_app({"app": {"id": "x", "version": "1", "graphs": [graph]}})
    assert len(boxes_of(svg(picture_of(app)))) == 1001


# --- labels and states ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "label"),
    [
        (None, ""),
        ({}, "200"),
        ({"code": 422}, "422"),
        ({"code": [200, 598]}, "200 | 598"),
        ({"match": [{"expected": None, "actual": "{$job.data.x}"}]}, "$job.x = null"),
        (
            {
                "code": 500, "gate": "or",
                "match": [
                    {"expected": 1, "actual": "{w1.hook.data.n}"}, {"expected": "a", "actual": "{$job.metadata.key}"},
                ],
            },
            "500, w1.n = 1 or $job.metadata.key = a",
        ),
        (
            {"match": [{"expected": True, "actual": {"@pipe": [["{a.b}", 5], ["{@conditional.less_than}"]]}}]},
            "a.b < 5",
        ),
        (
            {"match": [{"expected": False, "actual": {"@pipe": [["{$app.settings.x}", None],
                                                                ["{@conditional.equality}"]]}}]},
            "not $app.x = null",
        ),
        ({"match": [{"expected": 3, "actual": {"@pipe": [["{a.b}", 5], ["{@math.add}"]]}}]}, "add(…) = 3"),
        ({"match": [{"expected": 1, "actual": {"@pipe": [[1]]}}]}, "… = 1"),
    ],
)  # fmt: skip
def test_conditions_are_told_in_a_few_words(conditions: Mapping[str, Any] | None, label: str) -> None:
    assert condition(conditions) == label


def test_how_activities_stand_is_read_of_their_ledgers(shop: App) -> None:
    asked = Ledger.seeded().enter_leg_1().leave_leg_1()
    fields: dict[str, bytes | None] = {
        ":": b"1",
        "l:t1": b"%d" % Ledger.of_trigger(),
        "l:h0": b"%d" % Ledger.seeded().enter_leg_1().pass_through(stays_open=True),
        "l:w1": b"%d" % asked.enter_leg_2().leave_leg_2(closes=True),
        "l:w1/h0:1": b"%d" % asked,
        "l:h1": b"%d" % Ledger.seeded(),
        "l:gone": b"%d" % asked.enter_leg_2().leave_leg_2(closes=False),
        "l:no": None,
    }
    assert states_of(shop, fields) == {
        "t1": "done", "h0": "done", "w1": "waiting", "h1": "running", "gone": "waiting"
    }  # fmt: skip
