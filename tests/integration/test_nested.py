"""Nested models: each of their fields is a field of the record, stored, searched and changed by itself."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from meshdata import MeshData, workflow
from meshdata.errors import InvalidOptions, QueryInvalid, RecordInvalid
from meshdata.search import Numeric, Point, Record, Tag, Text, avg, count, field, schema_of
from meshdata.search.fields import Geo


class Place(BaseModel):
    spot: Annotated[Point | None, Geo()] = None
    country: str = "DE"


class Address(BaseModel):
    city: str
    street: Annotated[str | None, Text(exact=True)] = None
    number: Annotated[int | None, Numeric(sortable=True)] = Field(None, ge=1)
    place: Place = Place()
    zip_code: str | None = Field(None, alias="zip")


class Empty(BaseModel):
    note: str | None = None


class Person(Record, entity="person"):
    id: str
    name: Annotated[str, Tag(sortable=True)] = ""
    address: Address | None = None
    more: Empty = Empty()
    former: list[Address] = Field(default=[])


def person(id: str, city: str, number: int | None = None, **more: Any) -> Person:
    address = Address(city=city, number=number, zip="1" * (number or 0), **more)
    return Person(id=id, name=id.upper(), address=address)


@pytest.fixture
async def people(mesh: MeshData) -> MeshData:
    await mesh.create_index(Person)
    berlin = Place(spot=Point(13.4, 52.5))
    made = [
        person("a", "Berlin", 3, street="Long street 1", place=berlin),
        person("b", "Köln", 7),
        person("c", "x y"),
        Person(id="d"),
    ]
    (await mesh.create_many(Person, made, ttl="1 minute")).raise_for_failures()
    return mesh


async def test_it_is_read_as_it_was_written(people: MeshData) -> None:
    read = await people.get(Person, "a")
    assert read == person("a", "Berlin", 3, street="Long street 1", place=Place(spot=Point(13.4, 52.5)))
    assert isinstance(read.address, Address)
    assert (await people.get(Person, "d")).address is None
    assert await people.all("person", "d") == {"name": "", "more": Empty(), "former": []}
    raw = await people.raw("person", "a")
    assert (raw["address.city"], raw["address.place.country"]) == (b"Berlin", b"DE")
    assert raw["more"] == b"{}"
    assert "address" not in raw


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (Person.address.city == "Berlin", "a"),
        (Person.address.city.in_(["x y", "Köln"]), "bc"),
        (Person.address.number > 3, "b"),
        (Person.address.street.match("street"), "a"),
        (Person.address.street == "Long street 1", "a"),
        (Person.address.place.country == "DE", "abc"),
        (Person.address.place.spot.near(13.4, 52.5, 5), "a"),
        (Person.address.zip_code == "111", "a"),
        (Person.address.city == None, "d"),  # noqa: E711 - how it is asked
        (Person.address.city.startswith("B") | (field(Person, "address.number") == 7), "ab"),
        ([{"field": "address.city", "value": "Berlin"}], "a"),
        (~(Person.address.city == "Berlin") & (Person.name != ""), "bc"),
    ],
)
async def test_its_fields_are_searched(people: MeshData, condition: Any, found: str) -> None:
    page = await people.find(Person).where(condition).sort(Person.id)
    assert "".join(one.id for one in page.items) == found


async def test_its_fields_are_sorted_by_selected_and_grouped(people: MeshData) -> None:
    some = people.find(Person).where(Person.address.number > 0)
    assert [one.id for one in await some.sort(-Person.address.number)] == ["b", "a"]
    (part, _) = await some.sort(Person.address.number).select(Person.id, Person.address.city, Person.address.place.spot)
    assert part.model_dump() == {"id": "a", "address": {"city": "Berlin", "place": {"spot": Point(13.4, 52.5)}}}
    rows = (
        await people.aggregate(Person)
        .where(Person.address.number > 0)
        .group_by(Person.address.place.country)
        .reduce(n=count(), mean=avg(Person.address.number))
    )
    assert [(row["n"], row["mean"]) for row in rows] == [(2, 5.0)]


async def test_it_is_searched_by_callers_without_the_model(people: MeshData, open_mesh: Any) -> None:
    stranger = await open_mesh()
    rows = (await stranger.find("person").where([{"field": "address.city", "value": "Berlin"}])).items
    assert [row["id"] for row in rows] == ["a"]


async def test_one_of_its_fields_is_changed_and_the_others_stay(people: MeshData) -> None:
    await people.set(Person, "a", {"address.city": "Bonn"})
    await people.incr(Person, "a", "address.number", 2)
    await people.update(Person, "a", {"address.place.country": None})
    assert await people.get(Person, "a", "address.city", "address.number", "address.place.country") == {
        "address.city": "Bonn", "address.number": 5, "address.place.country": None,
    }  # fmt: skip
    read = await people.get(Person, "a", "address")
    assert (read["address"].city, read["address"].street, read["address"].place.country) == (
        "Bonn", "Long street 1", "DE",
    )  # fmt: skip
    one = await people.get(Person, "b")
    assert one.address is not None
    one.address.city = "Kiel"
    assert await people.update(one) == 1
    assert await people.find(Person).where(Person.address.city == "Kiel").count() == 1


async def test_as_a_whole_it_is_replaced_or_taken_away(people: MeshData) -> None:
    await people.set(Person, "a", {"address": {"city": "Ulm"}})
    assert await people.get(Person, "a", "address") == {"address": Address(city="Ulm")}
    assert await people.find(Person).where(Person.address.number == 3).count() == 0
    await people.set(Person, "a", {"address": None})
    assert (await people.get(Person, "a")).address is None
    assert not [name for name in await people.raw("person", "a") if name.startswith("address")]
    assert await people.delete(Person, "b", "address") > 0
    assert (await people.get(Person, "b")).address is None


async def test_what_does_not_fit_is_told_by_its_path(people: MeshData) -> None:
    for fields, path in (
        ({"address.number": 0}, "address.number"),
        ({"address.numbr": 1}, "address.numbr"),
        ({"address": {"city": "x", "number": 0}}, "address.number"),
        ({"address": {}}, "address.city"),
    ):
        with pytest.raises(RecordInvalid) as caught:
            await people.set(Person, "a", fields)
        assert (caught.value.field, caught.value.model, caught.value.id) == (path, "Person", "a")


async def test_in_a_workflow(people: MeshData) -> None:
    async def move(city: str) -> Any:
        await workflow.state.set({"address.city": city})
        whole = await workflow.state.get("address")
        await workflow.state.set(address=Address(city=city, number=1))
        await workflow.state.delete("address")
        return [whole.city, await workflow.state.get("address"), await workflow.state.mget("name", "address.city")]

    await people.connect("person", move, model=Person)
    assert await people.exec(entity="person", args=["Bern"]) == ["Bern", None, [None, None]]


async def test_what_a_process_without_the_model_stored_as_json_is_read(people: MeshData, open_mesh: Any) -> None:
    stranger = await open_mesh()
    await stranger.set("person", "c", {"address": {"city": "Aachen"}})
    read = (await people.get(Person, "c")).address
    assert read is not None
    assert read.city == "x y"  # a field of its own says more than the whole
    await people.delete(Person, "c", "address.city")
    await stranger.set("person", "c", {"address": {"city": "Aachen"}})
    assert (await people.get(Person, "c", "address"))["address"].city == "Aachen"


def test_expressions_say_what_they_are() -> None:
    assert repr(Person.address) == "field('address')"
    with pytest.raises(AttributeError, match=r"did you mean 'city'"):
        _ = Person.address.cty
    for compare in (lambda: Person.address == "x", lambda: Person.address < 1):
        with pytest.raises(QueryInvalid, match=r"address\.city"):
            compare()
    with pytest.raises(QueryInvalid, match="is a model"):
        schema_of(Person).column("address")


class Node(Record, entity="node"):
    id: str
    inner: "Node | None" = None


def test_a_model_that_holds_itself_is_one_field() -> None:
    schema = schema_of(Node)
    assert {name: one.kind for name, one in schema.fields.items()} == {"id": "TAG", "inner": ""}
    node = Node(id="a", inner=Node(id="b"))
    setting, _ = schema.to_hash(node)
    assert schema.instance(setting) == node


def test_two_fields_of_one_name_in_the_index_are_refused() -> None:
    class Twice(Record, entity="twice"):
        address: Address
        address__city: str

    with pytest.raises(InvalidOptions, match="both"):
        schema_of(Twice)
