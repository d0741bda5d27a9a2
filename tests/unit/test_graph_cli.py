"""`meshdata graph check` and `graph show`, which ask no server."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from meshdata.cli import app

MODEL = """\
app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order.placed
      activities:
        t1: {type: trigger}
        w1: {type: worker, topic: card.charge, colour: red}
      transitions: {t1: [{to: w1}]}
"""


def invoke(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["graph", *words], input=typed)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(MODEL, "utf-8")
    return path


def test_check_tells_that_a_model_is_right_and_warns(model: Path) -> None:
    ran = invoke("check", str(model))
    assert ran.exit_code == 0
    assert ran.stdout == "shop version 1 is right: 1 graph, 2 activities\n"
    assert "activity w1, field colour: the key 'colour' is not known" in ran.stderr


def test_check_tells_all_that_is_wrong_and_ends_with_1(model: Path) -> None:
    model.write_text(MODEL.replace("worker", "wrker").replace("id: shop", "id: a"), "utf-8")
    ran = invoke("check", str(model))
    assert ran.exit_code == 1 and ran.stdout == ""
    assert f"{model}:2, field app.id: the id 'a' is reserved" in ran.stderr
    assert f"{model}:8, graph order.placed, activity w1, field type: activity type wrker not found" in ran.stderr


def test_check_as_json_is_for_editors(model: Path) -> None:
    facts = json.loads(invoke("check", str(model), "--json").stdout)
    assert facts["graphs"] == {"order.placed": ["t1", "w1"]} and facts["workers"] == ["card.charge"]
    assert len(facts["warnings"]) == 1
    model.write_text(MODEL.replace("worker", "wrker"), "utf-8")
    ran = invoke("check", str(model), "--json")
    (problem,) = json.loads(ran.stdout)["problems"]
    assert ran.exit_code == 1
    assert (problem["activity"], problem["field"], problem["line"]) == ("w1", "type", 8)


def test_a_model_may_come_by_standard_input() -> None:
    assert invoke("check", "-", typed=MODEL).exit_code == 0


def test_a_model_that_is_not_there_is_wrong_usage() -> None:
    ran = invoke("show", "nowhere.yaml")
    assert ran.exit_code == 2 and "there is no file at nowhere.yaml" in ran.stderr
    assert invoke("check", "nowhere.yaml").exit_code == 1


def test_show_prints_mermaid(model: Path) -> None:
    ran = invoke("show", str(model))
    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[0] == "flowchart TD"
    assert "  n0 --> n1" in ran.stdout.splitlines()
    assert json.loads(invoke("show", str(model), "--json").stdout)["mermaid"] == ran.stdout


def test_show_draws_to_a_file(model: Path, tmp_path: Path) -> None:
    to = tmp_path / "shop.svg"
    ran = invoke("show", str(model), "--svg", str(to), "--topic", "order.placed")
    assert (ran.exit_code, ran.stdout) == (0, "")
    ET.parse(to)
    assert invoke("show", str(model), "--svg", str(tmp_path / "no" / "shop.svg")).exit_code == 2
    assert invoke("show", str(model), "--topic", "nothing").exit_code == 2


def test_a_job_is_looked_for_only_when_the_model_is_right(model: Path) -> None:
    assert invoke("show", str(model), "--job", "x", "--url", "redis://127.0.0.1:1").exit_code == 4
    model.write_text(MODEL.replace("worker", "wrker"), "utf-8")
    assert invoke("show", str(model), "--job", "x", "--url", "redis://127.0.0.1:1").exit_code == 2
