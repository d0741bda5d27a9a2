"""The retry policy as data: who is run again, and after what pause."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from meshdata import RetryAfter, RetryPolicy
from meshdata.engine.policy import ONCE, asked_ms
from meshdata.errors import ActivityFailed, Fatal, FatalFailure, InvalidOptions, RetriesExhausted, TimedOut


def test_pauses_grow_by_the_coefficient_up_to_the_cap() -> None:
    policy = RetryPolicy(max_attempts=None, initial=1, coefficient=10, max_interval=120)
    assert [policy.delay_ms(n) for n in (1, 2, 3, 4, 5)] == [1_000, 10_000, 100_000, 120_000, 120_000]


def test_a_pause_after_very_many_attempts_is_still_the_cap() -> None:
    assert RetryPolicy(max_attempts=None).delay_ms(10**6) == 120_000


def test_jitter_shortens_pauses_by_at_most_its_share() -> None:
    policy = RetryPolicy(initial=10, jitter=0.5)
    assert [policy.delay_ms(1, dice=lambda share=dice: share) for dice in (0.0, 0.5, 1.0)] == [10_000, 7_500, 5_000]


@pytest.mark.parametrize(
    ("error", "ms"),
    [
        (RetryAfter(3), 3_000),
        (RetryAfter("2 minutes"), 120_000),
        (RetryAfter(timedelta(seconds=1.5)), 1_500),
        (RetryAfter(0), 0),
        (RetryAfter("soon"), None),
        (RetryAfter(-1), None),
        (ValueError("x"), None),
    ],
)
def test_an_error_may_name_its_pause(error: Exception, ms: int | None) -> None:
    assert asked_ms(error) == ms


def test_any_exception_with_that_attribute_names_its_pause() -> None:
    error = OSError("429")
    error.retry_after = "30"  # type: ignore[attr-defined]  # as a header has it
    assert RetryPolicy().pause_ms(1, error) == 30_000


def test_a_pause_that_was_asked_for_takes_the_place_of_the_policys_and_its_cap() -> None:
    policy = RetryPolicy(initial=1, max_interval=2)
    assert policy.pause_ms(1, RetryAfter(600)) == 600_000
    assert policy.pause_ms(1, ValueError()) == 1_000


def test_a_pause_that_was_asked_for_grants_no_more_attempts_than_the_policy() -> None:
    assert RetryPolicy(max_attempts=2).pause_ms(2, RetryAfter(1)) is None


def test_where_nobody_asked_for_retries_but_the_function_it_gets_those_of_the_default() -> None:
    error = RetryAfter(1)
    assert [ONCE.pause_ms(n, error) for n in (1, 2, 3)] == [1_000, 1_000, None]
    assert ONCE.is_used_up(3, error)
    assert ONCE.pause_ms(1, ValueError()) is None
    assert not ONCE.is_used_up(1, ValueError())


@pytest.mark.parametrize(
    "error", [Fatal("x"), FatalFailure("x"), RetriesExhausted("x"), TimedOut("x"), ActivityFailed("x", code=598)]
)
def test_what_is_final_is_not_run_again_and_not_called_used_up(error: Exception) -> None:
    policy = RetryPolicy(max_attempts=3)
    assert policy.pause_ms(1, error) is None
    assert not policy.is_used_up(3, error)


def test_what_is_not_retryable_is_told_by_its_name_or_that_of_a_base_or_of_what_it_stands_for() -> None:
    policy = RetryPolicy(non_retryable=(LookupError, "OSError"))
    for error in (KeyError("k"), ConnectionError(), ActivityFailed("x", type="OSError")):
        assert policy.pause_ms(1, error) is None
    assert policy.pause_ms(1, ValueError()) == 1_000


def test_attempts_are_used_up_when_only_their_number_stands_in_the_way() -> None:
    policy = RetryPolicy(max_attempts=2, non_retryable=("KeyError",))
    assert policy.is_used_up(2, ValueError())
    assert not policy.is_used_up(1, ValueError())
    assert not policy.is_used_up(2, KeyError())


def test_a_policy_survives_as_data() -> None:
    policy = RetryPolicy(7, 0.5, 3.0, 60.0, 0.1, ("KeyError",))
    assert RetryPolicy.from_data(policy.to_data()) == policy


@pytest.mark.parametrize(
    ("argument", "bad"),
    [
        ("max_attempts", 0),
        ("max_attempts", True),
        ("coefficient", 0.5),
        ("jitter", 2),
        ("initial", "soon"),
        ("max_interval", -1),
        ("non_retryable", "ValueError"),
        ("throw_on_error", "no"),
    ],
)
def test_a_policy_that_cannot_be_names_what_is_wrong(argument: str, bad: Any) -> None:
    with pytest.raises(InvalidOptions) as caught:
        RetryPolicy(**{argument: bad})
    assert caught.value.argument == argument
