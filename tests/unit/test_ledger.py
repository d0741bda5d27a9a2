"""The 15 digits of an activity's ledger."""

import pytest

from meshdata.graph.ledger import Ledger

S = Ledger.seeded()


@pytest.mark.parametrize(
    ("what", "found", "expected"),
    [
        ("seeded", S, 999_000_000_000_000),
        ("a trigger", Ledger.of_trigger(), 888_000_001_000_001),
        ("leg 1 entered", S.enter_leg_1(), 899_000_000_000_000),
        ("leg 1 left", S.enter_leg_1().leave_leg_1(), 889_000_000_000_000),
        ("leg 2 entered", Ledger(889_000_000_000_000).enter_leg_2(), 889_000_001_000_000),
        ("a pending reply dealt with", Ledger(889_000_001_000_000).leave_leg_2(closes=False), 889_000_001_000_001),
        ("a second reply", Ledger(889_000_001_000_001).enter_leg_2(), 889_000_002_000_001),
        ("the final reply dealt with", Ledger(889_000_002_000_001).leave_leg_2(closes=True), 888_000_002_000_002),
        ("passed through", Ledger(899_000_000_000_000).pass_through(stays_open=False), 888_000_001_000_001),
        ("passed through, open", Ledger(899_000_000_000_000).pass_through(stays_open=True), 889_000_001_000_001),
        ("a cycle gone back", Ledger(899_000_000_000_000).leave_cycle(), 888_000_000_000_000),
    ],
)
def test_each_step_changes_its_digits(what: str, found: int, expected: int) -> None:
    assert found == expected, what


def test_what_the_digits_tell() -> None:
    assert S.enter_leg_1().is_entered_once and not S.enter_leg_1().enter_leg_1().is_entered_once
    assert not Ledger(889_000_000_000_000).enter_leg_1().is_entered_once
    assert Ledger(899_000_001_000_000).is_forbidden and not Ledger(889_000_001_000_000).is_forbidden
    assert Ledger(888_000_001_000_001).enter_leg_2().is_closed and S.enter_leg_2().is_forbidden
    assert [Ledger(889_000_000_000_000 + n * 1_000_000).index for n in (1, 2, 3)] == [0, 1, 2]
