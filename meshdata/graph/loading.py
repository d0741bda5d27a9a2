"""Reads a model: from a path, a text or an expanded model; takes in what it refers to, and knows the line of each part.

`$ref: file.yaml#/pointer` stands for a part of another file, named from the folder of the file it is in; `#/pointer`
for a part of the same file. Keys beside it are added to what it stands for, and prevail. In a JSON schema a pointer
that leads somewhere in the schema itself is left to whoever reads the schema.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from meshdata.errors import ModelError
from meshdata.graph.yaml12 import MERGE, Unreadable, key_of, line_of, merged, read, scalar

Source = str | Path | Mapping[str, Any]
"""A path, a text, or a model as `App.source` holds it."""

MOST_PARTS: Final = 500_000
"""Parts of one model, what it refers to counted each time: aliases of aliases grow without end."""

REF: Final = "$ref"
SCHEMA: Final = "schema"
ACTIVITIES: Final = "activities"


class Place(NamedTuple):
    """Where a part of a model is written: its file (None for a text), its line, and where its own parts are."""

    file: str | None
    line: int | None
    inside: Mapping[str, "Place"]


NO_PARTS: Final[Mapping[str, Place]] = {}
NOWHERE: Final = Place(None, None, NO_PARTS)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with everything it refers to taken in; keys are texts, values fit JSON."""

    document: Any
    root: Place = NOWHERE

    def place(self, path: Sequence[str]) -> Place:
        """Where a part is written; where it is not written at all, the innermost part around it."""
        found = self.root
        for step in path:
            inner = found.inside.get(step)
            if inner is None:
                break
            found = inner
        return found


def load(source: Source) -> LoadedModel:
    """Read a model.

    Args:
        source: a text has more than one line, or begins with `app:`; any other str is a path.

    Raises:
        ModelError: there is no such file, it is no YAML, or it refers to what is not there.
    """
    if isinstance(source, Mapping):
        return LoadedModel(source)
    if isinstance(source, str) and is_text(source):
        return _Loader().load(_File(None, source))
    path = Path(source)
    if not _is_file(path):
        raise ModelError(_no_file(path, source))
    return _Loader().load(_File(path, _text_of(path)))


def is_text(source: str) -> bool:
    """Whether it is read as a model rather than as the path of one."""
    return "\n" in source.strip() or source.lstrip().startswith(("app:", "{"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no path at all: too long, or with a zero in it
        return False


def _no_file(path: Path, source: str | Path) -> str:
    found = "a folder" if path.is_dir() else "no file"
    if isinstance(source, Path):
        return f"there is {found} at {source}"
    return (
        f"{source!r} was read as a path, and there is {found} at it; as the text of a model it would begin with `app:`"
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError("this is no text in UTF-8", file=str(path)) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


class _File:
    """A file, or a text without one, as nodes."""

    def __init__(self, path: Path | None, text: str) -> None:
        self.path = path
        self.name = None if path is None else str(path)
        try:
            self.root = read(text)
        except Unreadable as error:
            raise ModelError(error.message, line=error.line, file=self.name) from error

    def find(self, pointer: str) -> Node | None:
        """The node that a JSON pointer leads to."""
        return None if self.root is None else _find(self.root, pointer)


def _find(node: Node, pointer: str) -> Node | None:
    found: Node | None = node
    for step in _steps(pointer):
        if isinstance(found, MappingNode):
            found = next((value for key, value in found.value if key.value == step), None)
        elif isinstance(found, SequenceNode) and step.isdecimal() and int(step) < len(found.value):
            found = found.value[int(step)]
        else:
            return None
    return found


def _steps(pointer: str) -> Iterator[str]:
    """The keys a JSON pointer goes through; that without any is the whole."""
    for step in pointer.removeprefix("/").split("/") if pointer not in ("", "/") else ():
        yield unquote(step).replace("~1", "/").replace("~0", "~")


@dataclass(frozen=True, slots=True)
class _Around:
    """What is around a part: its file, the references that led to it, the schema it is in."""

    file: _File
    trail: tuple[tuple[str | None, str], ...] = ()
    schema: Node | None = None


class _Loader:
    """Builds one model."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}
        self._parts = 0
        self._above: set[tuple[int, int]] = set()

    def load(self, file: _File) -> LoadedModel:
        """Build the model that begins in a file."""
        if file.path is not None:
            self._files[file.path.resolve()] = file
        if file.root is None:
            raise ModelError("the model is empty", file=file.name)
        document, root = self._build(file.root, _Around(file), "")
        return LoadedModel(document, root)

    def _build(self, node: Node, around: _Around, key: str) -> tuple[Any, Place]:
        """The value of a node and where its parts are; `key` is what it is under."""
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise self._problem(f"the model has more than {MOST_PARTS} parts", node, around)
        if isinstance(node, ScalarNode):
            try:
                return scalar(node), Place(around.file.name, line_of(node), NO_PARTS)
            except Unreadable as error:
                raise self._problem(error.message, node, around) from error
        here = (id(node), len(around.trail))  # a reference may lead to what is around it, and is refused by its trail
        if here in self._above:
            raise self._problem("an alias that is inside of what it stands for", node, around)
        self._above.add(here)
        if isinstance(node, SequenceNode):
            built = self._build_list(node, around)
        else:
            built = self._build_object(node, around, key)
        self._above.discard(here)
        return built

    def _build_list(self, node: SequenceNode, around: _Around) -> tuple[Any, Place]:
        built = [self._build(one, around, "") for one in node.value]
        inside = {str(at): place for at, (_, place) in enumerate(built)}
        return [value for value, _ in built], Place(around.file.name, line_of(node), inside)

    def _build_object(self, node: Node, around: _Around, under: str) -> tuple[Any, Place]:
        members = self._members(node, around, under)
        document: dict[str, Any] = {}
        inside: dict[str, Place] = {}
        reference = members.get(REF)
        if reference is not None and _is_text(reference[1]) and not _is_of_schema(reference[1], around):
            del members[REF]
            document, place = self._follow(reference[1], around, under)
            if not members:
                return document, place
            if not isinstance(document, dict):
                raise self._problem("keys beside a $ref are for objects only", reference[0], around)
            document, inside = dict(document), dict(place.inside)
        for name, (key, value) in members.items():
            inner = around
            if name == SCHEMA and around.schema is None and isinstance(value, MappingNode):
                inner = _Around(around.file, around.trail, value)
            document[name], place = self._build(value, inner, name)
            # The line of the key: where the value begins further down, a reader looks for its name.
            inside[name] = Place(around.file.name, line_of(key), place.inside)
        return document, Place(around.file.name, line_of(node), inside)

    def _members(self, node: Node, around: _Around, under: str) -> dict[str, tuple[Node, Node]]:
        """Keys and values by name; what `<<` merges is replaced by a key that is written, and nothing else is."""
        assert isinstance(node, MappingNode)
        members: dict[str, tuple[Node, Node]] = {}
        try:
            for key, value in merged(node):
                members[key_of(key)] = (key, value)
            written: set[str] = set()
            for key, value in node.value:
                if key.tag == MERGE:
                    continue
                name = key_of(key)
                if name in written:
                    raise self._twice(name, key, around, under)
                written.add(name)
                members[name] = (key, value)
        except Unreadable as error:
            raise ModelError(error.message, line=error.line, file=around.file.name) from error
        return members

    def _follow(self, node: Node, around: _Around, under: str) -> tuple[Any, Place]:
        """What a reference stands for."""
        name, _, pointer = str(node.value).partition("#")
        file = self._file(name, node, around) if name else around.file
        step = (file.name, pointer)
        if step in around.trail:
            way = " -> ".join(f"{of or ''}#{at}" for of, at in (*around.trail, step))
            raise self._problem(f"references that lead back to themselves: {way}", node, around)
        found = file.find(pointer)
        if found is None:
            raise self._problem(f"{node.value} leads nowhere", node, around)
        schema = around.schema if not name else None
        return self._build(found, _Around(file, (*around.trail, step), schema), under)

    def _file(self, name: str, node: Node, around: _Around) -> _File:
        if "://" in name:
            raise self._problem(f"{name} is not on this machine; a model refers to files beside it", node, around)
        if around.file.path is None:
            raise self._problem(f"{name}: a model given as text has no folder; give its path", node, around)
        path = around.file.path.parent / unquote(name)
        key = path.resolve()
        if key not in self._files:
            if not path.is_file():
                raise self._problem(f"there is no file {path}", node, around)
            self._files[key] = _File(path, _text_of(path))
        return self._files[key]

    def _twice(self, name: str, key: Node, around: _Around, under: str) -> ModelError:
        if under == ACTIVITIES:
            message = f"Duplicate activity id found: {name}"
            return ModelError(message, activity=name, line=line_of(key), file=around.file.name)
        return self._problem(f"the key {name!r} is there twice", key, around)

    def _problem(self, message: str, node: Node, around: _Around) -> ModelError:
        return ModelError(message, line=line_of(node), file=around.file.name)


def _is_text(node: Node) -> bool:
    return isinstance(node, ScalarNode) and isinstance(node.value, str)


def _is_of_schema(node: Node, around: _Around) -> bool:
    """Whether a reference points into the schema it is in."""
    name, _, pointer = str(node.value).partition("#")
    return around.schema is not None and not name and _find(around.schema, pointer) is not None
