"""Models of the real redis-om, as they stand: its field options decide how the mesh searches them.

redis-om brings type stubs that hide redis-py's own types from the checkers, so it is not among the development
packages: `pip install "meshdata[redis-om]"` beside them, and this file runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshdata import MeshData
from meshdata.errors import QueryInvalid
from meshdata.search import field, schema_of

redis_om = pytest.importorskip("redis_om", exc_type=ImportError)
VectorFieldOptions = redis_om.VectorFieldOptions


class Address(redis_om.EmbeddedJsonModel):  # type: ignore[misc, name-defined]
    city: str = redis_om.Field(index=True)
    note: str = "none"


class Customer(redis_om.JsonModel, index=True):  # type: ignore[misc, name-defined, call-arg]
    name: str = redis_om.Field(index=True)
    bio: str = redis_om.Field(default="", index=True, full_text_search=True)
    age: int = redis_om.Field(default=0, index=True, sortable=True)
    tags: list[str] = redis_om.Field(default_factory=list, index=True, separator=",")
    secret: str = "s"
    spot: redis_om.Coordinates | None = redis_om.Field(default=None, index=True)
    vec: list[float] = redis_om.Field(
        default_factory=lambda: [0.0, 1.0],
        vector_options=VectorFieldOptions.hnsw(
            type=VectorFieldOptions.TYPE.FLOAT32, dimension=2, m=8,
            distance_metric=VectorFieldOptions.DISTANCE_METRIC.COSINE,
        ),
    )  # fmt: skip
    address: Address | None = None


class Ticket(redis_om.HashModel, index=True):  # type: ignore[misc, name-defined, call-arg]
    number: str = redis_om.Field(primary_key=True)
    price: float = redis_om.Field(default=0.0, index=True)


@pytest.fixture
async def shop(redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MeshData]:
    # A JsonModel asks its own Redis for a module when it is made; the mesh stores hashes, in its own.
    monkeypatch.setattr("redis_om.model.model.has_redis_json", lambda connection: True)
    monkeypatch.setattr(Customer, "db", lambda self: None)
    async with MeshData(redis_url, namespace=namespace) as mesh:
        await mesh.create_index(Customer, entity="customer")
        await mesh.create_index(Ticket, entity="ticket")
        yield mesh


def test_its_options_are_ours() -> None:
    schema = schema_of(Customer, "customer")
    told = {name: column.kind for name, column in schema.fields.items()}
    assert told == {
        "pk": "TAG", "name": "TAG", "bio": "TEXT", "age": "NUMERIC", "tags": "TAG", "secret": "", "spot": "GEO",
        "vec": "VECTOR", "address.pk": "", "address.city": "TAG", "address.note": "",
    }  # fmt: skip
    words = " ".join(schema.index_arguments())
    assert "age AS age NUMERIC INDEXMISSING SORTABLE" in words
    assert "tags AS tags TAG SEPARATOR ," in words
    assert "vec AS vec VECTOR HNSW 8 TYPE FLOAT32 DIM 2 DISTANCE_METRIC COSINE M 8" in words


async def test_its_instances_are_records(shop: MeshData) -> None:
    spot = redis_om.Coordinates.__origin__(longitude=1.5, latitude=2.5)
    ada = Customer(
        name="Ada L", bio="counts and writes", age=36, tags=["a b", "c"], spot=spot, vec=[1.0, 0.0],
        address=Address(city="London"),
    )  # fmt: skip
    await shop.create(ada)
    await shop.create(Customer(name="Bob", age=20))
    read = await shop.get(Customer, ada.pk)
    assert read.model_dump(exclude={"address"}) == ada.model_dump(exclude={"address"})
    assert read.address.city == "London"
    read.age = 37
    assert await shop.update(read) == 1

    def named(*conditions: Any) -> Any:
        return shop.find(Customer).where(*conditions)

    for condition in (
        field(Customer, "name") == "ada l",  # redis-om's tags do not tell case
        field(Customer, "bio").match("writes"),
        field(Customer, "bio") == "counts and writes",
        field(Customer, "age") > 36,
        field(Customer, "tags").contains("a b"),
        field(Customer, "spot").near(1.5, 2.5, 1),
        field(Customer, "vec").knn([1.0, 0.1], 1),
        field(Customer, "address").city == "london",
        field(Customer, "pk") == ada.pk,
    ):
        assert [one.name for one in (await named(condition)).items] == ["Ada L"], condition
    with pytest.raises(QueryInvalid):
        await named(field(Customer, "secret") == "s").count()


async def test_its_primary_key_is_the_id(shop: MeshData) -> None:
    await shop.create(Ticket(number="t-1", price=1.25))
    assert (await shop.get(Ticket, "t-1")).price == 1.25
    assert (await shop.find(Ticket).where(field(Ticket, "number") == "t-1").first()).price == 1.25
