"""A graph job as one document, and how it is seen by telemetry: of fields as a job leaves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from meshdata.engine.entry import Entry
from meshdata.errors import InvalidOptions
from meshdata.graph import spans
from meshdata.graph.begin import Beginning
from meshdata.graph.compiled import Activity
from meshdata.graph.compiler import compile_app
from meshdata.graph.effects import reply
from meshdata.graph.export import flow_export, process_export, timeline, transitions
from meshdata.graph.pipes.values import UNDEFINED
from meshdata.graph.state import State
from meshdata.graph.transition import Transition

MODEL = """app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order
      activities:
        t1: {type: trigger, job: {maps: {id: '{$self.input.data.id}'}}}
        a1: {type: hook, cycle: true}
        w1: {type: worker, topic: work, job: {maps: {n: '{$self.output.data.n}'}}}
        c1: {type: cycle, ancestor: a1, input: {maps: {}}}
        h1: {type: hook, job: {maps: {seen: '{w1.output.data.n}', '_kind': 'order', '-mark': 1}}}
      transitions:
        t1: [{to: a1}]
        a1: [{to: w1}]
        w1:
          - {to: c1, conditions: {match: [{expected: 1, actual: '{$self.output.data.n}'}]}}
          - {to: h1, conditions: {match: [{expected: 2, actual: '{$self.output.data.n}'}]}}
"""
NOW = 1_714_990_000_123
Fields = dict[str, bytes | None]


@pytest.fixture(scope="module")
def find() -> Callable[[str], Activity | None]:
    return compile_app(MODEL).activities.get


@pytest.fixture(scope="module")
def fields() -> Fields:
    """The state of a job whose loop went round twice."""
    app = compile_app(MODEL)
    state = State({}, whole=True)
    transition = Transition(app, "j1", state, now_ms=NOW, partition=lambda name: 0)
    transition.begin(Beginning("order", {"id": "j1"}, "j1", ""))
    transition.run()
    for number, position in ((1, "w1"), (2, "w1/a1:1")):
        state = State(_after(state, transition), whole=True)
        transition = Transition(app, "j1", state, now_ms=NOW + 1000 * number, partition=lambda name: 0)
        transition.receive(Entry(0, NOW, position, "reply", "ok", "", reply({"n": number})))
        transition.run()
    assert transition.how == "completed"
    return _after(state, transition)


def _after(state: State, transition: Transition) -> Fields:
    state.changes(transition.updated)
    return {name: value for name, value in state.after().items() if value is not None}


def test_each_pass_stands_under_its_address(fields: Fields, find: Any) -> None:
    found = process_export(fields, find)
    assert (found["dependencies"], found["status"]) == ([], "0")
    process = found["process"]
    assert sorted(process) == ["$order", "0"]
    assert process["$order"]["data"] == {"id": "j1", "n": 2, "seen": 2}
    assert process["$order"]["metadata"]["jid"] == "j1" and process["$order"]["metadata"]["js"] == 0
    assert "t1" in process["0"] and "a1" in process["0"]["0"] and "w1" in process["0"]["0"]["0"]
    again = process["0"]["1"]["0"]["w1"]["output"]
    assert again["data"] == {"n": 2} and again["metadata"]["dad"] == ",0,1,0"


def test_ledgers_are_those_of_the_table(fields: Fields, find: Any) -> None:
    process = process_export(fields, find)["process"]

    def ledger(node: Any, id: str) -> int:
        found: int = node[id]["output"]["metadata"]["as"]
        return found

    assert ledger(process["0"], "t1") == 888000001000001
    assert ledger(process["0"]["0"], "a1") == 889000002000002
    assert ledger(process["0"]["0"]["0"], "w1") == 888000001000001
    assert ledger(process["0"]["0"]["0"]["0"], "c1") == 888000000000000


def test_what_no_version_knows_is_left_out(fields: Fields) -> None:
    assert sorted(process_export(fields, lambda id: None)["process"]) == ["$order"]


def test_a_story_has_the_parts_that_are_asked_for(fields: Fields, find: Any) -> None:
    story = flow_export(fields, {"kind": "order"}, find)
    assert list(story) == ["data", "state", "status", "timeline", "transitions"]
    assert (story["data"], story["status"], story["state"]["data"]["seen"]) == ({"kind": "order"}, 0, 2)
    assert story["timeline"] == [{"key": "mark", "index": 0, "value": 1}]
    assert list(flow_export(fields, {}, find, allow=["status", "data"], block=["data"])) == ["status"]
    for wrong in ({"allow": ["all"]}, {"block": "data"}):
        with pytest.raises(InvalidOptions, match="parts are data, state"):
            flow_export(fields, {}, find, **wrong)  # type: ignore[arg-type] # what is wrong is the point


def test_transitions_tell_when_each_pass_was(fields: Fields, find: Any) -> None:
    found = [(one["activity"], one["dimensions"]) for one in transitions(fields, find)]
    assert found[:3] == [("t1", ",0"), ("a1", ",0,0"), ("w1", ",0,0,0")]
    assert ("w1", ",0,1,0") in found and found[-1][0] == "h1"
    assert transitions(fields, find)[0]["created"] == "20240506100640.123"


def test_markers_are_in_the_order_of_their_names_parts() -> None:
    names = ("-wait,0,0,1-5-", "-sleep,0,0-13-", "-sleep,0,0-2-", "-proxy-1-2-", "-proxy-1-1-", "-free text")
    found = timeline({name: orjson.dumps(name) for name in names})
    assert [(one["key"], one["index"], one.get("dimension"), one.get("secondary")) for one in found] == [
        ("free text", 0, None, None), ("proxy", 1, None, 1), ("proxy", 1, None, 2), ("sleep", 2, ",0,0", None),
        ("sleep", 13, ",0,0", None), ("wait", 5, ",0,0,1", None),
    ]  # fmt: skip
    assert "value" not in timeline({"-x": b"1"}, values=False)[0]
    assert timeline({"-x": b"plain"})[0]["value"] == "plain"


# --- telemetry --------------------------------------------------------------------------------------------------------


def test_spans_have_the_names_of_the_family(find: Any) -> None:
    worker = find("w1")
    assert spans.job_name("shop", "order") == "JOB/shop/order/1"
    assert spans.activity_name("shop", worker, 2) == "WORKER/shop/w1/2"
    assert spans.stream_name("EXECUTE", "shop", "w1", "work") == "EXECUTE/shop/w1/work"
    assert spans.stream_name("FANIN", "shop", "w1") == "FANIN/shop/w1"


def test_attributes_are_what_opentelemetry_takes() -> None:
    job = spans.job_attributes({"jid": "j", "js": 1, "trc": "t", "px": True, "odd": {"a": 1}})
    assert job == {"app.job.jid": "j", "app.job.js": 1, "app.job.px": True}
    leg = spans.activity_attributes(
        {"aid": "w1"}, 2, status=0, messages={"mid": "1-0"}, data={"amount": 2.5, "none": None, "gone": UNDEFINED}
    )
    assert leg == {
        "app.activity.aid": "w1", "app.activity.leg": 2, "app.job.jss": 0, "app.activity.mid": "1-0",
        "app.activity.data.amount": 2.5,
    }  # fmt: skip
    assert spans.stream_attributes({"aid": "w1", "trc": "t", "spn": "s"}) == {"app.stream.aid": "w1"}


def test_without_opentelemetry_spans_are_empty_blocks(find: Any) -> None:
    beginning = Beginning("order", {}, "j1", "")
    with (
        spans.job_span("shop", beginning) as begun,
        spans.activity_span("shop", find("w1"), 1, {}, trace=None, parent=None),
        spans.stream_span("EXECUTE", "shop", {"aid": "w1"}) as span,
    ):
        assert span is None and begun is beginning
