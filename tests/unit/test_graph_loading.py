"""Models are read from paths, texts and stored documents: version 1.2's scalars, references to other files, lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshdata.errors import ModelError
from meshdata.graph import loading
from meshdata.graph.compiler import compile_app
from meshdata.graph.loading import load


def test_plain_scalars_are_read_as_version_1_2_reads_them() -> None:
    text = """
    app: {id: x}
    on: off
    yes: no
    time: 12:30
    date: 2024-01-02
    octal: [0o17, 017, 0x1F, 0b11]
    numbers: [1, -2, +3, 1_000, 1.5, 1e3, .5, 2.0, 100000000000000000000]
    special: [.inf, -.inf, ~, null, '', "null", True, FALSE, tRUE]
    500: code
    """
    found = load(text).document
    assert found["on"] == "off" and found["yes"] == "no"
    assert found["time"] == "12:30" and found["date"] == "2024-01-02"
    assert found["octal"] == [15, 17, 31, 3]
    assert found["numbers"] == [1, -2, 3, 1000, 1.5, 1000, 0.5, 2, 1e20]
    assert found["special"] == [float("inf"), float("-inf"), None, None, "", "null", True, False, "tRUE"]
    assert found["500"] == "code"


def test_tags_and_merges_hold() -> None:
    text = "app: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}\ne: {c: 5, <<: [*a, {f: 1}]}\ng: [!!str 5, !!int '7', !!float 1]\n"
    found = load(text).document
    assert found["d"] == {"b": 1, "c": 3}
    assert found["e"] == {"b": 1, "c": 5, "f": 1}
    assert found["g"] == ["5", 7, 1]


def test_every_part_has_its_line() -> None:
    model = load("app:\n  id: x\n  graphs:\n    - a: 1\n      b:\n\n        c: 2\n    -\n      d\n")
    lines = {
        "": 1, "app": 1, "app.id": 2, "app.graphs": 3, "app.graphs.0": 4, "app.graphs.0.b": 5, "app.graphs.0.b.c": 7,
        "app.graphs.1": 9, "app.graphs.0.b.c.d": 7,
    }  # fmt: skip
    for path, line in lines.items():
        assert model.place(path.split(".") if path else []).line == line


# --- where from -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["app: {id: x}", "\n\n  app: {id: x}", "# a model\napp:\n  id: x\n", '{"app": {"id": "x"}}']
)
def test_a_text_is_told_from_a_path(source: str) -> None:
    assert load(source).document == {"app": {"id": "x"}}


def test_a_path_is_read_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("app: {id: x}", "utf-8")
    assert load(path).document == load(str(path)).document == {"app": {"id": "x"}}
    assert load(path).place(["app"]).file == str(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_stored_model_is_as_it_is() -> None:
    stored = {"app": {"id": "x"}}
    model = load(stored)
    assert model.document is stored
    assert model.place(["app", "id"]).line is None


def test_what_is_no_file_is_told_in_both_readings(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load("myapp.yaml")
    assert str(caught.value) == (
        "'myapp.yaml' was read as a path, and there is no file at it; as the text of a model it would begin with `app:`"
    )
    with pytest.raises(ModelError, match=r"^there is a folder at "):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"m\.yaml: the model is empty$"),
        (b"\xff\xfe\x00", r"m\.yaml: this is no text in UTF-8$"),
        (b"app: [", r"m\.yaml:\d: this is no YAML: "),
        (b"a: 1\n---\nb: 2\n", r"m\.yaml:2: this is no YAML: but found another document$"),
        (b"{[1]: 2}", r"m\.yaml:1: a key is a text, not a list or an object$"),
        (b"a: !!int x", r"m\.yaml:1: 'x' is no int$"),
        (b"a: {<<: 5}", r"m\.yaml:1: << merges objects only$"),
        (b"a: *b", r"m\.yaml:1: this is no YAML: found undefined alias$"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(path)


def test_aliases_of_aliases_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MOST_PARTS", 1_000)
    text = "app: 1\na: &a [1,1,1,1,1,1,1,1,1,1]\n"
    for name, before in zip("bcdef", "abcde", strict=True):
        text += f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    with pytest.raises(ModelError, match="the model has more than 1000 parts"):
        load(text)


# --- $ref -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "maps.yaml").write_text(
        "order:\n  id: 1\n  city: {$ref: 'more.yaml#/a~1b/1'}\nself: {$ref: '#/order/id'}\n", "utf-8"
    )
    (tmp_path / "parts" / "more.yaml").write_text("a/b: [x, y z]\n'c d': {e: {$ref: '#/f'}}\nf: {g: 9}\n", "utf-8")
    return tmp_path


def referring(folder: Path, text: str) -> Any:
    path = folder / "app.yaml"
    path.write_text(text, "utf-8")
    return load(path)


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("parts/maps.yaml#/order", {"id": 1, "city": "y z"}),
        ("./parts/maps.yaml#/self", 1),
        ("parts/more.yaml#/c%20d", {"e": {"g": 9}}),
        ("parts/more.yaml#/f", {"g": 9}),
        ("parts/more.yaml", {"a/b": ["x", "y z"], "c d": {"e": {"g": 9}}, "f": {"g": 9}}),
        ("parts/more.yaml#", {"a/b": ["x", "y z"], "c d": {"e": {"g": 9}}, "f": {"g": 9}}),
        ("#/b", 5),
    ],
)
def test_a_reference_stands_for_a_part_of_a_file(files: Path, reference: str, found: Any) -> None:
    assert referring(files, f"a: {{$ref: '{reference}'}}\nb: 5\n").document["a"] == found


def test_keys_beside_a_reference_are_added_and_prevail(files: Path) -> None:
    model = referring(files, "a:\n  $ref: parts/maps.yaml#/order\n  id: 2\n  new: 3\n")
    assert model.document["a"] == {"id": 2, "city": "y z", "new": 3}
    assert (model.place(["a", "id"]).file, model.place(["a", "id"]).line) == (str(files / "app.yaml"), 3)
    assert (model.place(["a", "city"]).file, model.place(["a", "city"]).line) == (str(files / "parts/maps.yaml"), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {$ref: parts/none.yaml}", r"app\.yaml:1: there is no file .*none\.yaml$"),
        ("\na: {$ref: 'parts/more.yaml#/x'}", r"app\.yaml:2: parts/more\.yaml#/x leads nowhere$"),
        ("a: {$ref: 'parts/more.yaml#x'}", r"leads nowhere$"),
        ("a: {$ref: 'parts/more.yaml#/a~1b/7'}", r"leads nowhere$"),
        ("a: {$ref: 'parts/more.yaml#/f/g/h'}", r"leads nowhere$"),
        ("a: {$ref: 'https://x.org/a.yaml'}", r"is not on this machine; a model refers to files beside it$"),
        ("a: {$ref: '#/b'}\nb: {c: {$ref: '#/a'}}", r"lead back to themselves: .*#/b -> .*#/a -> .*#/b$"),
        ("a: {$ref: '#'}", r"lead back to themselves"),
        ("a: {$ref: '#/b', c: 1}\nb: 5", r"keys beside a \$ref are for objects only$"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_told(files: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        referring(files, text)


def test_a_text_refers_to_itself_only() -> None:
    assert load("app: {$ref: '#/b'}\nb: 5\n").document["app"] == 5
    with pytest.raises(ModelError, match="a model given as text has no folder; give its path"):
        load("app: {$ref: 'x.yaml'}\n")


def test_a_schema_keeps_what_it_refers_to_in_itself(files: Path) -> None:
    model = referring(
        files,
        "schema:\n"
        "  properties:\n"
        "    {a: {$ref: '#/$defs/x'}, b: {$ref: '#'}, c: {$ref: '#/shared'}, d: {$ref: 'parts/more.yaml#/f'}}\n"
        "  $defs: {x: {type: string}}\n"
        "shared: {type: number}\n",
    )  # fmt: skip
    assert model.document["schema"]["properties"] == {
        "a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#"}, "c": {"type": "number"}, "d": {"g": 9},
    }  # fmt: skip


def test_a_model_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ModelError, match="nested too deeply"):
        compile_app("app: " + "{a: " * 900 + "1" + "}" * 900)
