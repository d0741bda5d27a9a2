"""Whatever a model holds, it compiles or is refused with its problems; what compiles, compiles again to the same."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshdata.errors import ModelError, ModelProblem
from meshdata.graph.compiled import App
from meshdata.graph.compiler import compile_app
from meshdata.graph.loading import load
from meshdata.graph.picture import mermaid, picture_of
from meshdata.graph.svg import svg

MODEL = load("""
app:
  id: shop
  version: '1'
  settings: {validate: false}
  graphs:
    - subscribes: order.placed
      publishes: order.done
      expire: {'@pipe': [['{$job.data.x}', 2], ['{@math.add}']]}
      input: {schema: {type: object}}
      activities:
        t1:
          type: trigger
          stats: {id: '{$self.input.data.id}', measures: [{measure: sum, target: '{t1.output.data.x}'}]}
        w1: {type: worker, topic: work.do, retry: {'500': [3]}, input: {maps: {a: ['{t1.output.data.a}', {b: 1}]}}}
        h1: {type: hook, sleep: 5, job: {maps: {'x[3]': '{$self.hook.data.x}', 'm[-]': {}, _f: 1}}}
        c1: {type: cycle, ancestor: w1}
        s1: {type: signal, topic: order.ready, signal: {maps: {id: '{$job.metadata.jid}'}}}
        a1: {type: await, topic: other, await: '{$job.data.x}'}
        i1: {type: interrupt, reason: x}
      transitions:
        t1: [{to: w1}]
        w1:
          - {to: h1}
          - {to: c1, conditions: {code: [500], gate: or, match: [{expected: 1, actual: '{$self.output.data.n}'}]}}
        h1: [{to: s1}, {to: a1}, {to: i1}]
      hooks:
        order.ready: [{to: h1, conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$hook.data.id}'}]}}]
    - {subscribes: other, activities: {t2: {type: trigger}}}
""").document

Path = tuple[str | int, ...]


def paths(value: Any, path: Path = ()) -> list[Path]:
    """Every place of a model."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, part in inner for one in paths(part, (*path, key)))]


WORDS = st.sampled_from([
    "t1", "w1", "h1", "order.placed", "other", "hook", "cycle", "emit", "", "a", " ", "{", "{}", "{.}", "{w1}", "{@}",
    "{@math.add}", "{@math.}", "{$self}", "{$item.x}", "{t1.output.data.x.y}", "{x.y}", "x[", "x[-]", "[_]", "x[9]",
])  # fmt: skip
KEYS = WORDS | st.sampled_from(["maps", "type", "@pipe", "@reduce", "to", "conditions", "match", "schema", "$ref"])
SCALARS = st.none() | st.booleans() | st.integers(-1, 500) | st.floats() | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
CHANGES = st.lists(st.tuples(st.sampled_from(paths(MODEL)), VALUES | st.just(...)), min_size=1, max_size=3)


def changed(changes: list[tuple[Path, Any]]) -> Any:
    """The model with parts of it replaced, or taken away."""
    model = {"root": copy.deepcopy(MODEL)}
    for path, value in changes:
        holder: Any = model
        *way, last = ("root", *path)
        try:
            for step in way:
                holder = holder[step]
            if value is ...:
                del holder[last]
            else:
                holder[last] = value
        except (KeyError, IndexError, TypeError):  # another change was above it
            continue
    return model.get("root", {})


def compiled(source: Any) -> App | tuple[ModelProblem, ...]:
    """The app, or the problems it is refused with."""
    try:
        return compile_app(source)
    except ModelError as error:
        return error.problems


def facts(app: App) -> Any:
    """What of an app can be compared."""
    names = ("type", "parent", "ancestors", "produced", "reads", "is_cycled", "job_specials", "retry")
    return {id: [getattr(one, name) for name in names] for id, one in app.activities.items()}, app.worker_topics


@settings(max_examples=300, deadline=None)
@given(CHANGES)
@example([(("app", "graphs", 1, "subscribes"), 0)])
def test_a_model_compiles_or_is_refused_with_its_problems(changes: list[tuple[Path, Any]]) -> None:
    model = changed(changes)
    app = compiled(model if isinstance(model, dict) else {"app": model})
    if not isinstance(app, App):
        assert app and all(problem.message for problem in app)
        return
    assert facts(compile_app(app.source)) == facts(app)
    picture = picture_of(app)
    assert mermaid(picture) and svg(picture)


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_as_a_text_a_model_is_refused_with_lines(changes: list[tuple[Path, Any]]) -> None:
    app = compiled("# as JSON, which is YAML\n" + json.dumps(changed(changes), indent=1))
    assert isinstance(app, App) or all(problem.line is not None for problem in app)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ap: \n{}[]-&*<>!'\"#|%@x1.~,?", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    app = compiled("app:\n" + text)
    assert isinstance(app, App) or app
