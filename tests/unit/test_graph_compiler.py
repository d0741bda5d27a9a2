"""Models become graphs: what every part is compiled to, and what activities read of each other."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from meshdata.graph.compiled import App, Await, Cycle, Edge, Hook, Interrupt, Signal, Special, Trigger, Worker
from meshdata.graph.compiler import compile_app
from meshdata.graph.mapping import Mapper
from meshdata.graph.pipes.values import UNDEFINED

ORDER = """
app:
  id: shop
  version: 3
  settings: {currency: EUR}
  graphs:
    - subscribes: order.placed
      publishes: order.done
      expire: 60
      activities:
        t1:
          type: trigger
          title: An order comes in
          stats:
            id: '{$self.input.data.id}'
            key: '{$self.input.data.customer}'
            granularity: 1h
            measures:
              - {measure: count, target: '{$self.input.data.size}'}
              - {measure: sum, target: '{t1.input.data.lines.price}'}
          job: {maps: {id: '{$self.output.data.id}', done: false}}
        w1:
          type: worker
          topic: card.charge
          retry: {'500': [3, x], 599: [2]}
          emit: true
          input: {maps: {id: '{t1.output.data.id}', tax: '{$app.settings.tax}'}}
          job:
            maps:
              total: '{$self.output.data.total}'
              address: {city: '{t1.output.data.address.city}', lines: ['{t1.output.data.address.lines}', x]}
              found[25]: '{$self.output.data.found}'
              mark[-]: {'@pipe': [['-w', 1], ['{@object.create}']]}
              _status: paid
              record[_]: {_total: '{$self.output.data.total}'}
        h1:
          type: activity
          output: {maps: {was: '{w1.output.data.total}'}}
          job: {maps: {done: '{$self.hook.data.done}', was: '{$self.output.data.was}'}}
        s1: {type: signal, subtype: all, topic: order.ready, key_name: customer, key_value: '{t1.output.data.customer}',
             signal: {maps: {done: true}}, scrub: true, resolver: {maps: {data: {customer: x}}}}
        c1: {type: cycle, ancestor: w1, input: {maps: {n: 1}}}
        i1: {type: interrupt, reason: late, throw: false, statusThreshold: 1}
        a1: {type: await, subtype: ship.order, topic: ignored, await: false}
      transitions:
        t1:
          - to: w1
        w1:
          - to: h1
            conditions:
              code: [200, 202]
              gate: or
              match:
                - {expected: true, actual: '{$self.output.data.ok}'}
                - {expected: null, actual: null}
          - to: h1
            conditions: {code: 422}
          - {to: i1, code: 500, conditions: {code: '500'}}
        h1:
          - {to: s1}
          - {to: c1, conditions: {match: [{expected: 1, actual: '{w1.output.data.tries}'}]}}
          - {to: a1}
      hooks:
        order.ready:
          - to: h1
            conditions:
              match:
                - {expected: '{t1.output.data.customer}', actual: '{$self.hook.data.customer}'}
"""


@pytest.fixture(scope="module")
def shop() -> App:
    return compile_app(ORDER)


def given(mapper: Mapper | None, scope: dict[str, Any] | None = None) -> Any:
    assert mapper is not None
    return mapper(scope or {})


def test_an_app_has_its_graphs_activities_and_hooks(shop: App) -> None:
    assert (shop.id, shop.version, shop.settings) == ("shop", "3", {"currency": "EUR"})
    graph = shop.graphs["order.placed"]
    assert (graph.topic, graph.publishes, graph.trigger) == ("order.placed", "order.done", "t1")
    assert graph.activities == ("t1", "w1", "h1", "s1", "c1", "i1", "a1") == tuple(shop.activities)
    assert given(graph.expire) == 60
    assert graph.hooks == ("order.ready",) == tuple(shop.hooks)
    assert shop.worker_topics == {"card.charge"}
    assert not graph.validates and graph.input_schema is None


def test_activities_know_who_is_above_them(shop: App) -> None:
    assert [shop.activities[id].parent for id in ("t1", "w1", "h1", "c1")] == [None, "t1", "w1", "h1"]
    assert shop.activities["t1"].ancestors == ()
    assert shop.activities["c1"].ancestors == ("t1", "w1", "h1")


def test_an_alias_is_a_hook_and_what_a_cycle_goes_back_to_stays_open(shop: App) -> None:
    assert shop.activities["h1"].type == "hook"
    assert [id for id, one in shop.activities.items() if one.is_cycled] == ["w1"]


def test_each_type_has_its_own_part(shop: App) -> None:
    own = {id: one.own for id, one in shop.activities.items()}
    trigger, worker, hook, signal, wait, stop = (own[id] for id in ("t1", "w1", "h1", "s1", "a1", "i1"))
    assert isinstance(trigger, Trigger) and trigger.stats is not None
    assert trigger.stats.granularity == "1h"
    assert [(one.kind, one.path) for one in trigger.stats.measures] == [("count", "size"), ("sum", "lines/price")]
    assert given(trigger.stats.id, {"$self": {"input": {"data": {"id": "o1"}}}}) == "o1"
    assert isinstance(worker, Worker) and given(worker.topic) == "card.charge"
    assert isinstance(hook, Hook) and hook.sleep is None and hook.rule is shop.hooks["order.ready"]
    assert isinstance(signal, Signal) and signal.kind == "all" and given(signal.topic) == "order.ready"
    assert given(signal.payload) == {"done": True} and given(signal.scrub) is True
    assert given(signal.resolver) == {"data": {"customer": "x"}} and given(signal.key_name) == "customer"
    assert own["c1"] == Cycle("w1")
    assert isinstance(wait, Await) and given(wait.topic) == "ship.order" and given(wait.wait) is False
    assert isinstance(stop, Interrupt) and given(stop.reason) == "late" and given(stop.throw) is False
    assert stop.target is None and given(shop.activities["i1"].threshold) == 1


def test_edges_have_codes_as_text_and_conditions(shop: App) -> None:
    first, second, third = shop.activities["w1"].edges
    assert (first.to, first.codes, first.gate) == ("h1", {"200", "202"}, "or")
    (expected, actual), (nothing, null) = first.match
    assert expected is True and actual({"$self": {"output": {"data": {"ok": 5}}}}) == 5
    assert nothing is None and null({}) is None
    assert (second.to, second.codes, second.match) == ("h1", {"422"}, ())
    assert (third.to, third.codes) == ("i1", {"500"})
    assert shop.activities["t1"].edges == (Edge("w1"),)
    assert shop.activities["h1"].edges[1].codes == {"200"}


def test_of_an_activity_others_read_what_is_kept(shop: App) -> None:
    assert shop.activities["t1"].produced == (
        ("output", "data", "address", "city"),
        ("output", "data", "address", "lines"),
        ("output", "data", "customer"),
        ("output", "data", "id"),
    )
    assert shop.activities["w1"].produced == (("output", "data", "total"), ("output", "data", "tries"))
    assert shop.activities["w1"].reads == {"t1"}
    assert shop.activities["h1"].reads == {"w1", "t1"}  # t1 by its hook's rule


def test_a_waiting_hook_keeps_for_its_second_leg_what_its_first_put_out(shop: App) -> None:
    assert shop.activities["h1"].produced == (("output", "data", "was"),)


def test_job_maps_tell_paths_and_special_keys(shop: App) -> None:
    assert shop.graphs["order.placed"].job_paths == (
        ("id",), ("done",), ("total",), ("address", "city"), ("address", "lines", "0"), ("address", "lines", "1"),
        ("was",),
    )  # fmt: skip
    assert shop.activities["w1"].job_specials == {
        "found[25]": Special("slots", "found", 25),
        "mark[-]": Special("markers", "mark"),
        "record[_]": Special("record", "record"),
    }
    assert given(shop.activities["w1"].job_maps)["mark[-]"] == {"-w": 1}


def test_retries_by_code_and_maps_that_are_literals(shop: App) -> None:
    worker = shop.activities["w1"]
    assert worker.retry == {"500": 3, "599": 2}
    assert given(worker.emit) is True and worker.persist is None
    assert given(worker.input_maps, {"$app": {"settings": {"tax": 20}}}) == {"tax": 20}
    assert given(worker.input_maps) == {}  # what is undefined is left out


def test_a_stored_model_compiles_to_the_same(shop: App) -> None:
    again = compile_app(shop.source)
    assert again.source == shop.source
    for id, activity in shop.activities.items():
        other = again.activities[id]
        facts = ("id", "type", "ancestors", "produced", "reads", "is_cycled", "retry", "job_specials")
        assert [getattr(other, name) for name in facts] == [getattr(activity, name) for name in facts]


def test_what_has_no_effect_is_warned_of(shop: App) -> None:
    assert shop.warnings == (
        "line 44, graph order.placed, activity a1, field subtype: no graph of the app subscribes to ship.order",
        "line 58, graph order.placed, activity w1, field transitions.2.code: the key 'code' has no effect",
    )


def warnings_of(activities: str, *, more: str = "") -> list[str]:
    text = f"""
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order.placed
      activities:
        t1: {{type: trigger}}
{textwrap.indent(textwrap.dedent(activities), " " * 8)}
{textwrap.indent(textwrap.dedent(more), " " * 6)}
"""
    return [warning.partition(": ")[2] for warning in compile_app(text).warnings]


@pytest.mark.parametrize(
    ("maps", "warning"),
    [
        ("'{t1.output.data}'", "{t1.output.data}: data are kept by their keys, not as a whole, so this is undefined"),
        ("'{t1.input.data.x}'", "{t1.input.data.x}: inputs are not kept, so this is undefined"),
        ("'{h2.output.data.x}'", "{h2.output.data.x}: h2 is no ancestor of h1, so this is always undefined"),
        (
            "'{t1.data.x}'",
            "{t1.data.x}: an activity has output.data, output.metadata and hook.data, so this is undefined",
        ),
        ("'{$job.data.y}'", "{$job.data.y}: no job.maps of the graph sets it"),
    ],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_is_warned_of(maps: str, warning: str) -> None:
    found = warnings_of(
        f"h1: {{type: hook, job: {{maps: {{x: {maps}}}}}}}\nh2: {{type: hook}}",
        more="transitions: {t1: [{to: h1}, {to: h2}]}",
    )
    assert found == [warning]


def test_other_things_that_are_not_meant_so_are_warned_of() -> None:
    found = warnings_of(
        """
        h.1: {type: hook, colour: red, statusThresholdType: x}
        h2: {type: hook, retry: {500: [1]}, job: {maps: {'@pipe': [[1]]}}}
        s1: {type: signal, topic: nowhere}
        """,
        more="""
        outputs: {}
        x-parts: {}
        transitions: {t1: [{to: h.1, conditions: {code: [200, '201']}}, {to: h2}]}
        hooks:
          one: [{to: h2, conditions: {match: [{expected: 1, actual: 1}, {expected: 2, actual: 2}]}},
                {to: h2, conditions: {match: [{expected: 1, actual: 1}]}}]
          two: [{to: h2, conditions: {match: [{expected: 1, actual: 1}]}}]
        """,
    )
    assert sorted(found) == sorted([
        "nobody can read data of 'h.1': a reference ends an id at its first dot",
        "the key 'colour' is not known",
        "the key 'statusThresholdType' has no effect",
        "a hook is not tried again",
        "a pipe in place of job maps names no paths, so it sets nothing",
        "no transition leads to s1",
        "no graph of the app has a hook nowhere",
        "the key 'outputs' is not known",
        "only the numbers of a list of codes count",
        "only the first match of a rule counts",
        "only the first rule of a topic counts",
        "h2 has a topic already: one",
    ])  # fmt: skip


# --- schemas ----------------------------------------------------------------------------------------------------------

SCHEMAS = """
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order.placed
      settings: {validate: true}
      input: {schema: {type: object, properties: {size: {type: integer}}, required: [size]}}
      output: {schema: {type: object}}
      activities:
        t1: {type: trigger}
        w1:
          type: worker
          topic: x
          input: {schema: {properties: {lines: {items: {$ref: '#/$defs/line'}}}, $defs: {line: {type: string}}}}
          output: {schema: {type: object}}
        h1: {type: hook, hook: {schema: {type: object}}}
        h2: {type: hook, hook: {type: string}}
      transitions: {t1: [{to: w1}], w1: [{to: h1}, {to: h2}]}
    - subscribes: other
      input: {schema: {type: wrong}}
      activities: {t2: {type: trigger}}
"""


def test_schemas_are_enforced_where_a_model_asks_for_it() -> None:
    app = compile_app(SCHEMAS)
    graph, trigger, worker = app.graphs["order.placed"], app.activities["t1"], app.activities["w1"]
    assert graph.validates and not app.graphs["other"].validates
    assert graph.output_schema is not None and worker.output_schema is not None
    h1, h2 = app.activities["h1"].output_schema, app.activities["h2"].output_schema
    assert h1 is not None and h2 is not None
    h1({})
    h2("a text")
    assert app.activities["t2"].output_schema is None
    assert trigger.output_schema is not None and worker.input_schema is not None
    trigger.output_schema({"size": 3})
    with pytest.raises(ValueError, match=r"^size: 'big' is not of type 'integer'$"):
        trigger.output_schema({"size": "big"})
    with pytest.raises(ValueError, match=r"^'size' is a required property$"):
        trigger.output_schema({})
    with pytest.raises(ValueError, match=r"^lines\.1: 5 is not of type 'string'$"):
        worker.input_schema({"lines": ["a", 5]})


def test_the_setting_of_the_app_holds_for_graphs_that_say_nothing() -> None:
    text = SCHEMAS.replace("version: '1'", "version: '1'\n  settings: {validate: true}")
    text = text.replace("settings: {validate: true}\n      input", "settings: {validate: false}\n      input")
    text = text.replace("type: wrong", "type: object")
    app = compile_app(text)
    assert not app.graphs["order.placed"].validates and app.graphs["other"].validates
    assert app.activities["t1"].output_schema is None and app.activities["t2"].output_schema is not None


def test_a_condition_that_leaves_out_a_value_compares_what_is_undefined() -> None:
    text = ORDER.replace("{expected: null, actual: null}", "{expected: 1}")
    (_, (_, actual)) = compile_app(text).activities["w1"].edges[0].match
    assert actual({}) is UNDEFINED
