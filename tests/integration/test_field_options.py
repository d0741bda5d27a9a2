"""Every option of the search module: told to it as it is written, and doing what it says."""

from typing import Annotated, Any

import pytest

from meshdata import MeshData
from meshdata.errors import InvalidOptions, QueryInvalid
from meshdata.search import Geo, Numeric, Point, Record, Tag, Text, Vector, schema_of


class All(Record, entity="all"):
    id: str
    parted: Annotated[list[str], Tag(separator=";")] = []  # noqa: RUF012 - pydantic copies it
    folded: Annotated[str, Tag(case_sensitive=False, sortable=True, unf=False, suffix=True)] = ""
    plain: Annotated[str | None, Tag(index_missing=False, index_empty=False)] = None
    kept: Annotated[str, Tag(index=False, sortable=True)] = ""
    heavy: Annotated[str, Text(weight=5.0, sortable=True, suffix=True)] = ""
    light: Annotated[str, Text(weight=0.5, nostem=True, index_empty=False, index_missing=False)] = "x"
    sound: Annotated[str, Text(phonetic="dm:en", exact=True, unf=False, sortable=True)] = ""
    number: Annotated[float, Numeric(sortable=True, index_missing=False)] = 0
    hidden: Annotated[int, Numeric(index=False, sortable=True)] = 0
    spot: Annotated[Point | None, Geo(index_missing=False)] = None
    near: Annotated[
        list[float],
        Vector(dim=2, metric="L2", initial_cap=100, m=8, ef_construction=50, ef_runtime=20, epsilon=0.1),
    ] = [0.0, 0.0]  # noqa: RUF012
    flat: Annotated[
        list[float], Vector(dim=2, algorithm="FLAT", type="FLOAT64", metric="IP", initial_cap=9, block_size=64)
    ] = [0.0, 0.0]  # noqa: RUF012
    half: Annotated[list[float] | None, Vector(dim=2, type="FLOAT16")] = None
    brain: Annotated[list[float] | None, Vector(dim=2, type="BFLOAT16", index_missing=False)] = None


WORDS = {
    "parted": "TAG SEPARATOR ; CASESENSITIVE INDEXEMPTY INDEXMISSING",
    "folded": "TAG SEPARATOR \x1f WITHSUFFIXTRIE INDEXEMPTY INDEXMISSING SORTABLE",
    "plain": "TAG SEPARATOR \x1f CASESENSITIVE",
    "kept": "TAG SEPARATOR \x1f CASESENSITIVE SORTABLE UNF NOINDEX",
    "heavy": "TEXT WEIGHT 5.0 WITHSUFFIXTRIE INDEXEMPTY INDEXMISSING SORTABLE UNF",
    "light": "TEXT WEIGHT 0.5 NOSTEM",
    "sound": "TEXT WEIGHT 1.0 PHONETIC dm:en INDEXEMPTY INDEXMISSING SORTABLE sound AS sound__exact TAG SEPARATOR \x1f "
    "CASESENSITIVE INDEXEMPTY INDEXMISSING",
    "number": "NUMERIC SORTABLE",
    "hidden": "NUMERIC SORTABLE NOINDEX",
    "spot": "GEO",
    "near": "VECTOR HNSW 16 TYPE FLOAT32 DIM 2 DISTANCE_METRIC L2 INITIAL_CAP 100 M 8 EF_CONSTRUCTION 50 EF_RUNTIME 20 "
    "EPSILON 0.1 INDEXMISSING",
    "flat": "VECTOR FLAT 10 TYPE FLOAT64 DIM 2 DISTANCE_METRIC IP INITIAL_CAP 9 BLOCK_SIZE 64 INDEXMISSING",
    "half": "VECTOR HNSW 6 TYPE FLOAT16 DIM 2 DISTANCE_METRIC COSINE INDEXMISSING",
    "brain": "VECTOR HNSW 6 TYPE BFLOAT16 DIM 2 DISTANCE_METRIC COSINE",
}


@pytest.mark.parametrize("name", WORDS)
def test_the_index_is_told_what_the_annotation_says(name: str) -> None:
    words = schema_of(All).fields[name].index_arguments()
    assert words[:3] == [name, "AS", name]
    assert " ".join(words[3:]) == WORDS[name]


async def test_the_module_takes_them_all_and_does_what_they_say(mesh: MeshData) -> None:
    await mesh.create_index(All)
    one = All(
        id="a", parted=["x,y", "z"], folded="Pro", plain="p", heavy="running far", light="walking", sound="Smith",
        number=2.5, hidden=3, spot=Point(1, 2), near=[1, 1], flat=[2, 2], half=[0.5, 1.5], brain=[1.0, -2.5],
    )  # fmt: skip
    two = All(id="b", folded="amber", light="walked", number=1, hidden=4, near=[9, 9], half=[2.0, 0.1])
    (await mesh.create_many(All, [one, two], ttl="1 minute")).raise_for_failures()
    assert await mesh.get(All, "a") == one

    async def ids(condition: Any) -> str:
        return "".join(sorted(await mesh.find(All).where(condition).ids()))

    assert await ids(All.parted.contains("x,y")) == "a"
    assert await ids(All.folded == "PRO") == "a"
    assert await ids(All.folded.contains("mber")) == "b"
    assert await ids(All.plain == "p") == "a"
    assert await ids(All.heavy.match("run")) == "a"
    assert await ids(All.light.match("walk")) == ""
    assert await ids(All.sound.match("smyth")) == "a"
    assert await ids(All.sound == "Smith") == "a"
    assert await ids(All.half == None) == ""  # noqa: E711 - how it is asked
    assert await ids(All.near.knn([0.9, 1.0], 1)) == "a"
    assert await ids(All.half.knn([0.5, 1.5], 1)) == "a"
    assert await ids(All.brain.knn([1.0, -2.5], 1)) == "a"
    assert [row.id for row in await mesh.find(All).where(All.number > 0).sort(-All.hidden)] == ["b", "a"]
    assert (await mesh.list_indexes())[0].failures == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda: All.plain == None,  # noqa: E711
        lambda: All.plain.is_missing(),
        lambda: All.plain == "",
        lambda: All.plain.in_(["a", ""]),
        lambda: All.light.is_none(),
        lambda: All.number.is_none(),
        lambda: All.spot.is_none(),
        lambda: All.brain.is_none(),
        lambda: All.kept == "x",
        lambda: All.hidden == 3,
    ],
)
def test_what_an_option_leaves_out_cannot_be_asked(ask: Any) -> None:
    with pytest.raises(QueryInvalid):
        ask()


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Tag(separator="ab"), "separator"),
        (lambda: Text(weight=0), "weight"),
        (lambda: Text(weight=float("inf")), "weight"),
        (lambda: Vector(dim=0), "dim"),
        (lambda: Vector(dim=2, m=0), "m"),
        (lambda: Vector(dim=2, m=True), "m"),
        (lambda: Vector(dim=2, block_size=3), "block_size"),
        (lambda: Vector(dim=2, algorithm="FLAT", ef_runtime=3), "ef_runtime"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(make: Any, argument: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        make()
    assert caught.value.argument == argument


def test_a_vector_of_halves_is_rounded_and_refuses_what_is_beyond_it() -> None:
    schema = schema_of(All)
    setting, _ = schema.to_hash({"half": [0.1, 65504], "brain": [0.1, 3e38]}, partial=True)
    read = schema.from_hash(setting)
    assert read["half"] == pytest.approx([0.1, 65504], rel=1e-3)
    assert read["brain"] == pytest.approx([0.1, 3e38], rel=1e-2)
    for fields in ({"half": [1e6, 0]}, {"brain": [1e39, 0]}):
        with pytest.raises(InvalidOptions):
            schema.to_hash(fields, partial=True)
