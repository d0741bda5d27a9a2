"""A function as the mesh sees it: names, arity, and values made again from its annotations."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging
import typing
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

from meshdata.errors import InvalidOptions
from meshdata.values import from_json, to_json
from meshdata.workflow.function import Function


class Plan(enum.Enum):
    PRO = "pro"


class Address(pydantic.BaseModel):
    zip: int


class User(pydantic.BaseModel):
    name: str
    address: Address
    joined: datetime


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    at: datetime


@dataclasses.dataclass
class Blob:
    data: bytes


class Pair(typing.NamedTuple):
    left: bytes
    right: int


class Options(TypedDict):
    key: bytes


def through_json(value: Any) -> Any:
    return from_json(to_json(value, argument="value"))


# --- names and kinds --------------------------------------------------------------------------------------------------


class Greeter:
    def greet(self, name: str, *, loud: bool = False) -> str:
        return f"{self}{name}{loud}"

    async def greet_async(self, day: datetime) -> datetime:
        return day

    @classmethod
    def make(cls, count: int) -> int:
        return count

    @staticmethod
    def plain(count: int) -> int:
        return count


class AsyncCall:
    async def __call__(self, day: datetime) -> datetime:
        return day


async def fetch(day: datetime, times: int = 1) -> datetime:
    return day * times  # type: ignore[operator]


def wrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        return await fn(*args, **kwargs)

    return inner


@pytest.mark.parametrize(
    ("fn", "name", "is_async"),
    [
        (fetch, "fetch", True),
        (Greeter().greet, "greet", False),
        (Greeter().greet_async, "greet_async", True),
        (Greeter.make, "make", False),
        (Greeter.plain, "plain", False),
        (functools.partial(fetch, times=2), "fetch", True),
        (AsyncCall(), "AsyncCall", True),
        (wrapped(fetch), "fetch", True),
        (len, "len", False),
        (lambda: None, "<lambda>", False),
    ],
)
def test_every_kind_of_callable_has_a_name_and_a_kind(fn: Any, name: str, is_async: bool) -> None:
    function = Function(fn)
    assert (function.fn, function.name, function.is_async) == (fn, name, is_async)


def test_a_name_of_ones_own_wins() -> None:
    assert Function(fetch, "user.fetch").name == "user.fetch"


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@pytest.mark.parametrize("fn", [generator, async_generator, functools.partial(generator), 7])
def test_what_does_not_return_one_value_is_refused(fn: Any) -> None:
    with pytest.raises(InvalidOptions) as refusal:
        Function(fn)
    assert refusal.value.argument == "fn"


# --- bind -------------------------------------------------------------------------------------------------------------


def fixed(a: int, b: int = 2, *, c: int = 3) -> None: ...
def needs_name(a: int, *, c: int) -> None: ...
def by_position(a: int, b: int = 2, /, **rest: int) -> None: ...
def open_ended(a: int, *args: int, **kwargs: int) -> None: ...


@pytest.mark.parametrize(
    ("fn", "args", "kwargs"),
    [
        (fixed, [1], {}),
        (fixed, [1, 2], {"c": 3}),
        (fixed, [], {"a": 1, "b": 2}),
        (needs_name, [1], {"c": 1}),
        (by_position, [1], {"b": 1, "z": 2}),
        (open_ended, [1, 2, 3], {"z": 4}),
        (Greeter().greet, ["ann"], {"loud": True}),
        (functools.partial(fixed, 1), [2], {}),
        (max, [1, 2, 3], {"key": None}),
    ],
)
def test_a_call_that_fits_is_accepted(fn: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    Function(fn).bind(args, kwargs)


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "argument"),
    [
        (fixed, [], {}, "a"),
        (fixed, [], {"b": 1}, "a"),
        (fixed, [1, 2, 3], {}, "args[2]"),
        (fixed, [1], {"d": 1}, "kwargs.d"),
        (fixed, [1], {"a": 1}, "a"),
        (needs_name, [1], {}, "c"),
        (by_position, [], {"a": 1}, "a"),
        (open_ended, [], {}, "a"),
        (Greeter().greet, [], {}, "name"),
        (functools.partial(fixed, 1), [2, 3], {}, "args[1]"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_by_name(
    fn: Any, args: list[Any], kwargs: dict[str, Any], argument: str
) -> None:
    with pytest.raises(InvalidOptions) as refusal:
        Function(fn).bind(args, kwargs)
    assert refusal.value.argument == argument


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(InvalidOptions, match="did you mean 'loud'"):
        Function(Greeter().greet).bind(["ann"], {"lout": True})


@given(st.lists(st.integers(), max_size=4), st.dictionaries(st.sampled_from("abcdz"), st.integers(), max_size=4))
def test_bind_agrees_with_python(args: list[int], kwargs: dict[str, int]) -> None:
    for fn in (fixed, needs_name, by_position, open_ended, functools.partial(fixed, 1), functools.partial(fixed, b=1)):
        try:
            fn(*args, **kwargs)
            fits = True
        except TypeError:
            fits = False
        try:
            Function(fn).bind(args, kwargs)
            bound = True
        except InvalidOptions:
            bound = False
        assert fits == bound, (fn, args, kwargs)


# --- values -----------------------------------------------------------------------------------------------------------

NOW = datetime(2025, 1, 31, 12, tzinfo=UTC)
ANN = User(name="ann", address=Address(zip=1234), joined=NOW)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (datetime, NOW),
        (timedelta, timedelta(minutes=5)),
        (Decimal, Decimal("1.10")),
        (uuid.UUID, uuid.UUID(int=7)),
        (Plan, Plan.PRO),
        (bytes, b"\xff\xfe"),
        (User, ANN),
        (Strict, Strict(at=NOW)),
        (Blob, Blob(b"\xff\xfe")),
        (Pair, Pair(b"\xff", 1)),
        (Options, {"key": b"\xff"}),
        (list[User], [ANN]),
        (dict[int, Blob], {1: Blob(b"\xff")}),
        (tuple[int, ...], (1, 2)),
        (set[str], {"a", "b"}),
        (User | None, ANN),
        (User | None, None),
        (Annotated[int, pydantic.Field(gt=0)], 3),
    ],
)
def test_a_typed_value_survives_the_way_through_json(hint: Any, value: Any) -> None:
    def echo(it, *rest, named, **others): ...  # type: ignore[no-untyped-def]

    echo.__annotations__ = {"it": hint, "rest": hint, "named": hint, "others": hint, "return": hint}
    function = Function(echo)
    args, kwargs = function.arguments(through_json([value, value]), through_json({"named": value, "other": value}))
    assert args == [value, value] and kwargs == {"named": value, "other": value}
    assert function.result(through_json(value)) == value


def untyped(a, b: Any, c: object, *rest): ...  # type: ignore[no-untyped-def]


def test_what_is_not_annotated_costs_nothing() -> None:
    args, kwargs = [1], {"b": 2}
    found = Function(untyped).arguments(args, kwargs)
    assert found[0] is args and found[1] is kwargs
    assert Function(untyped).result(args) is args


def test_text_that_spells_a_number_is_taken_for_one() -> None:
    assert Function(fixed).arguments(["7"], {"c": "8"}) == ([7], {"c": 8})


@pytest.mark.parametrize(
    ("args", "kwargs", "argument"),
    [
        ([{"name": "ann", "address": {"zip": "x"}, "joined": "2025-01-31"}], {}, "user.address.zip"),
        ([through_json(ANN), [1, "x"]], {}, "marks[1]"),
        ([through_json(ANN), [], "x"], {}, "args[2]"),
        ([], {"user": None}, "user"),
        ([], {"extra": "x"}, "extra"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_path(args: list[Any], kwargs: dict[str, Any], argument: str) -> None:
    def enroll(user: User, marks: list[int], *more: int, **others: int) -> None: ...

    with pytest.raises(InvalidOptions) as refusal:
        Function(enroll).arguments(args, kwargs)
    assert refusal.value.argument == argument


def test_a_refused_value_is_not_shown_for_it_may_be_secret() -> None:
    with pytest.raises(InvalidOptions) as refusal:
        Function(fixed).arguments(["hunter2"], {})
    assert "hunter2" not in str(refusal.value)


def test_a_result_that_does_not_fit_says_so() -> None:
    def count() -> int: ...  # type: ignore[empty-body]

    with pytest.raises(InvalidOptions) as refusal:
        Function(count).result("many")
    assert refusal.value.argument == "return"


def test_an_awaitable_is_typed_by_what_it_gives() -> None:
    def later() -> Awaitable[datetime]: ...  # type: ignore[empty-body]
    def soon() -> Coroutine[Any, Any, datetime]: ...  # type: ignore[empty-body]

    assert Function(later).result(through_json(NOW)) == NOW
    assert Function(soon).result(through_json(NOW)) == NOW
    assert Function(Greeter().greet_async).result(through_json(NOW)) == NOW
    assert Function(AsyncCall()).arguments([through_json(NOW)], {}) == ([NOW], {})


def test_a_decorated_function_keeps_its_types() -> None:
    assert Function(wrapped(fetch)).arguments([through_json(NOW)], {}) == ([NOW], {})
    assert Function(functools.partial(fetch, times=2)).arguments([through_json(NOW)], {}) == ([NOW], {})


T = TypeVar("T")


def test_an_annotation_that_says_nothing_leaves_the_others_their_types(caplog: pytest.LogCaptureFixture) -> None:
    def odd(a: Missing, b: "not a type", c: logging.Logger, d: T, e: datetime) -> Nowhere: ...  # type: ignore[name-defined,valid-type,empty-body]  # noqa: F722, F821

    with caplog.at_level(logging.DEBUG, logger="meshdata"):
        args, _ = Function(odd).arguments([1, "x", 3, 4, through_json(NOW)], {})
    assert args == [1, "x", 3, 4, NOW]
    assert Function(odd).result("as it is") == "as it is"
    assert {record.__dict__["parameter"] for record in caplog.records} == {"a", "b", "c"}


def test_a_type_local_to_the_place_of_definition_is_found_when_the_body_uses_it() -> None:
    class Local(pydantic.BaseModel):
        x: int

    def make(it: Local) -> Local:
        return Local(x=it.x)

    assert Function(make).arguments([{"x": 1}], {}) == ([Local(x=1)], {})


def test_a_name_defined_after_the_function_was_connected_is_found_at_its_first_call() -> None:
    names: dict[str, Any] = {}
    exec("def early(it: 'Late') -> 'Late': ...", names)
    function = Function(names["early"])
    names["Late"] = datetime
    assert function.arguments([through_json(NOW)], {}) == ([NOW], {})
