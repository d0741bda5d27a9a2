"""Pages of the documentation that are made from code and models are what these say today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import generate_gallery, generate_pipes
from meshdata.graph.compiler import compile_app
from meshdata.graph.loading import load
from meshdata.graph.mapping import compile_maps
from meshdata.graph.pipes import FAMILIES


def test_the_page_of_pipes_is_current() -> None:
    assert generate_pipes.PAGE.read_text("utf-8") == generate_pipes.page(), "`make pages` writes it anew"


def test_every_function_of_pipes_tells_what_it_gives() -> None:
    untold = [
        f"{family.name}.{name}"
        for family in FAMILIES.values()
        for name, function in family.functions.items()
        if not (function.__doc__ or "").rstrip().endswith(".")
    ]
    assert untold == []


def test_the_gallery_is_current() -> None:
    assert generate_gallery.PAGE.read_text("utf-8") == generate_gallery.page(), "`make pages` writes it anew"


@pytest.mark.parametrize("name", generate_gallery.TITLES)
def test_a_drawing_of_the_gallery_is_current(name: str) -> None:
    drawn = (generate_gallery.DRAWINGS / f"{name}.svg").read_text("utf-8")
    assert drawn == generate_gallery.drawing(name), "`make pages` writes it anew"


@pytest.mark.parametrize("name", generate_gallery.TITLES)
def test_a_model_of_the_gallery_is_warned_of_nothing(name: str) -> None:
    assert generate_gallery.app_of(name).warnings == ()


def test_the_examples_of_the_guide_do_what_it_says() -> None:
    guide = (generate_pipes.PAGE.parent / "graphs.md").read_text("utf-8")
    model, transitions, hooks, pipes = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert compile_app(model).warnings == ()
    parts = load(f"{transitions}{hooks}{pipes}").document
    assert set(parts["transitions"]) == {"charge"} and set(parts["hooks"]) == {"order.approve"}
    scope = {
        "$job": {"data": {"net": 2.5}},
        "$app": {"settings": {"tax": 1.2}},
        "placed": {"output": {"data": {"lines": [{"name": "tea"}, {"name": "cup"}]}}},
    }
    assert compile_maps(parts["total"])(scope) == "3.00"
    assert compile_maps(parts["names"])(scope) == ["TEA", "CUP"]


def test_all_models_are_in_the_gallery() -> None:
    models = generate_gallery.MODELS.glob("*.yaml")
    assert {Path(model).stem for model in models} == set(generate_gallery.TITLES)
