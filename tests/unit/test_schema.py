"""A model's schema: what it infers, how it writes and reads records, how it names what does not fit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, field_validator

from meshdata.errors import CorruptRecord, InvalidOptions, QueryInvalid
from meshdata.search import Numeric, Record, Tag, Text, Vector, meta, schema_of
from meshdata.search.tree import (
    OneOf,
)


class Plan(Enum):
    FREE = "free"
    PRO = "pro"


class User(Record, entity="user"):
    id: str
    plan: Annotated[str, Tag()]
    bio: Annotated[str, Text(weight=2.0, sortable=True)] = ""
    age: Annotated[int | None, Numeric(sortable=True)] = None
    joined: datetime = datetime(2024, 1, 1, tzinfo=UTC)


class Inferred(BaseModel):
    a: bool
    b: int
    c: float | None = None
    d: Decimal
    e: str
    f: Plan
    g: Literal["x", "y"]
    h: UUID
    i: datetime
    j: list[str]
    k: set[Plan]
    l: dict[str, Any]  # noqa: E741 - the next letter
    m: User


def test_the_kind_follows_from_the_type_where_nothing_is_said() -> None:
    schema = schema_of(Inferred, "inferred")
    kinds = {name: column.kind for name, column in schema.fields.items()}
    nested = {"m.id": "TAG", "m.plan": "TAG", "m.bio": "TEXT", "m.age": "NUMERIC", "m.joined": "NUMERIC"}
    assert kinds == dict.fromkeys("aefghjk", "TAG") | dict.fromkeys("bcdi", "NUMERIC") | {"l": ""} | nested


def test_a_record_is_an_ordinary_pydantic_class() -> None:
    user = User(id="u", plan="pro", age=3)
    assert (user.plan, user.age, user.bio) == ("pro", 3, "")
    assert user.model_dump()["plan"] == "pro"
    assert User.model_json_schema()["required"] == ["id", "plan"]
    assert not hasattr(User, "nonsense")
    with pytest.raises(AttributeError):
        _ = user.nonsense  # type: ignore[attr-defined]


def test_fields_are_expressions_on_the_class_only() -> None:
    condition = User.plan == "pro"
    assert isinstance(condition, OneOf)
    assert (condition.column.name, condition.texts) == ("plan", ("pro",))
    assert repr(User.meta.status == "done") == repr(meta.status == "done")


def test_a_subclass_may_redefine_a_field_without_a_warning() -> None:
    class Admin(User, entity="admin"):
        plan: Annotated[str, Tag()] = "pro"
        level: int = 1

    assert Admin(id="a").plan == "pro"
    assert schema_of(Admin).entity == "admin"
    assert schema_of(User).entity == "user"


def test_the_version_changes_with_the_index_and_only_then() -> None:
    class Same(Record, entity="user"):
        id: str
        plan: Annotated[str, Tag()]
        bio: Annotated[str, Text(weight=2.0, sortable=True)] = "another default"
        age: Annotated[float | None, Numeric(sortable=True)] = None
        joined: datetime = datetime(2024, 1, 1, tzinfo=UTC)

    class Other(Record, entity="user"):
        id: str
        plan: Annotated[str, Tag(sortable=True)]

    assert schema_of(User).version == schema_of(Same).version != schema_of(Other).version


def test_the_system_fields_are_in_every_index() -> None:
    words = schema_of(Inferred, "inferred").index_arguments()
    for name in ("_id", "_status", "_created", "_updated", "_ended", "_error"):
        assert name in words


def test_a_whole_record_is_checked_and_written_with_its_defaults() -> None:
    setting, gone = schema_of(User).to_hash({"id": "u", "plan": "pro"})
    assert setting == {"id": "u", "plan": "pro", "bio": "", "joined": "1704067200000"}
    assert gone == ["age"]


def test_a_change_writes_only_what_it_names_and_none_deletes() -> None:
    setting, gone = schema_of(User).to_hash({"age": "30", "plan": None, "bio": ""}, partial=True)
    assert setting == {"age": "30", "bio": ""}
    assert gone == ["plan"]


def test_an_instance_is_read_back() -> None:
    schema = schema_of(User)
    user = User(id="u", plan="", bio="two\nlines", age=-1, joined=datetime(2020, 2, 29, 1, 2, 3, 456, tzinfo=UTC))
    setting, _ = schema.to_hash(user)
    assert schema.instance(setting) == user
    assert schema.instance({name.encode(): str(value).encode() for name, value in setting.items()}) == user


@pytest.mark.parametrize(
    ("values", "partial", "argument", "why"),
    [
        ({"plan": "pro", "id": "u", "plam": 1}, False, "plam", "no such field"),
        ({"plam": 1}, True, "plam", "no such field"),
        ({"id": "u"}, False, "plan", "required"),
        ({"age": "old"}, True, "age", "integer"),
        ({"id": "other"}, True, "id", "is not the record's id"),
    ],
)
def test_what_does_not_fit_names_model_record_and_field(values: Any, partial: bool, argument: str, why: str) -> None:
    with pytest.raises(InvalidOptions, match=why) as refused:
        schema_of(User).to_hash(values, partial=partial, id="u")
    assert refused.value.argument == argument
    assert "User record 'u'" in str(refused.value)


def test_a_models_own_validators_see_a_change() -> None:
    class Shout(Record, entity="shout"):
        word: str = ""

        @field_validator("word")
        @classmethod
        def loud(cls, value: str) -> str:
            return value.upper()

    assert schema_of(Shout).to_hash({"word": "hey"}, partial=True)[0] == {"word": "HEY"}


def test_a_frozen_model_is_checked_by_the_fields_own_constraints() -> None:
    class Fixed(BaseModel, frozen=True):
        n: Annotated[int, Field(gt=0)]

    schema = schema_of(Fixed, "fixed")
    assert schema.to_hash({"n": "3"}, partial=True)[0] == {"n": "3"}
    with pytest.raises(InvalidOptions, match="greater than 0"):
        schema.to_hash({"n": 0}, partial=True)


def test_aliases_are_for_the_outside_and_names_for_the_record() -> None:
    class Aliased(BaseModel):
        plan_name: str = Field(alias="planName")

    schema = schema_of(Aliased, "aliased")
    assert schema.to_hash({"plan_name": "pro"})[0] == {"plan_name": "pro"}
    assert schema.instance({"plan_name": "pro"}).plan_name == "pro"


def test_a_record_that_is_not_complete_yet_is_an_instance_without_what_is_missing() -> None:
    user = schema_of(User).instance({"_id": "u", "age": "3"})
    assert (user.id, user.age, user.bio) == ("u", 3, "")
    assert not hasattr(user, "plan")


def test_a_stored_value_that_does_not_fit_names_the_field() -> None:
    with pytest.raises(CorruptRecord, match="User, field 'age'"):
        schema_of(User).instance({"_id": "u", "plan": "pro", "age": "old"})


def test_reading_gives_typed_values_and_leaves_the_system_fields_out() -> None:
    schema = schema_of(User)
    stored = {b"_id": b"u", b"_rev": b"4", b"age": b"7", b"joined": b"0", b"extra": b"text"}
    read = schema.from_hash(stored)
    assert read == {"id": "u", "age": 7, "joined": datetime(1970, 1, 1, tzinfo=UTC), "extra": "text"}
    assert schema.from_hash(stored, ["age", "plan", "_id"]) == {"age": 7, "plan": None, "_id": "u"}


def test_some_fields_are_read_as_a_model_of_just_these() -> None:
    part: Any = schema_of(User).partial({"_id": "u", "age": "7", "_status": "done"}, ("id", "age", "plan", "_status"))
    assert part.model_dump() == {"id": "u", "age": 7, "plan": None, "status": "done"}


@pytest.mark.parametrize(
    ("annotation", "option"),
    [(int, Text()), (str, Numeric()), (dict[str, int], Tag()), (list[str], Text()), (float, Vector(dim=2))],
)
def test_a_kind_that_does_not_fit_the_type_is_refused_with_the_model(annotation: Any, option: Any) -> None:
    from pydantic import create_model

    model = create_model("Bad", x=(Annotated[annotation, option], ...))
    if isinstance(option, Vector):
        with pytest.raises(InvalidOptions, match="x"):
            schema_of(model, "bad").to_hash({"x": 1.0}, partial=True)
    else:
        with pytest.raises(InvalidOptions, match="x: Bad"):
            schema_of(model, "bad")


def test_an_unknown_field_is_named_with_those_there_are() -> None:
    with pytest.raises(QueryInvalid, match="User has no field 'plam'; its fields are id, plan, bio, age, joined"):
        schema_of(User).column("plam")


def test_a_plain_model_needs_an_entity() -> None:
    with pytest.raises(InvalidOptions, match="entity"):
        schema_of(Inferred)
