"""The ledger of an activity: how often it was entered and left, as one number of 15 digits. Pure arithmetic.

    A B C DDDDDD EEEEEE
    A  entries of leg 1: 9 none, 8 one, 7 a second one        D  entries of leg 2
    B  leg 1 left: 9 no, 8 yes                                E  exits of leg 2
    C  leg 2: 9 open, 8 closed

It begins at 999000000000000, and every step adds or takes away what it did; so it can be read afterwards.
"""

from typing import Final

SEED: Final = 999_000_000_000_000
OF_TRIGGER: Final = 888_000_001_000_001

LEG_1_ENTERED: Final = -100_000_000_000_000
LEG_1_LEFT: Final = -10_000_000_000_000
LEG_2_CLOSED: Final = -1_000_000_000_000
LEG_2_ENTERED: Final = 1_000_000
LEG_2_LEFT: Final = 1


class Ledger(int):
    """A ledger's value. Each method gives the value after a step."""

    @classmethod
    def seeded(cls) -> "Ledger":
        """Of an activity that is to begin."""
        return cls(SEED)

    @classmethod
    def of_trigger(cls) -> "Ledger":
        """Of a trigger, which is done with when its job is there."""
        return cls(OF_TRIGGER)

    def enter_leg_1(self) -> "Ledger":
        """It begins."""
        return Ledger(self + LEG_1_ENTERED)

    def leave_leg_1(self) -> "Ledger":
        """It has asked, and waits."""
        return Ledger(self + LEG_1_LEFT)

    def leave_cycle(self) -> "Ledger":
        """A cycle has gone back to its ancestor."""
        return Ledger(self + LEG_1_LEFT + LEG_2_CLOSED)

    def pass_through(self, *, stays_open: bool) -> "Ledger":
        """It waits for nobody: both legs are done with at once."""
        done = self + LEG_1_LEFT + LEG_2_ENTERED + LEG_2_LEFT
        return Ledger(done if stays_open else done + LEG_2_CLOSED)

    def enter_leg_2(self) -> "Ledger":
        """A reply has come."""
        return Ledger(self + LEG_2_ENTERED)

    def leave_leg_2(self, *, closes: bool) -> "Ledger":
        """The reply is dealt with."""
        return Ledger(self + LEG_2_LEFT + (LEG_2_CLOSED if closes else 0))

    @property
    def is_entered_once(self) -> bool:
        """Whether leg 1 was entered for the first time, and not left yet."""
        return self == SEED + LEG_1_ENTERED

    @property
    def is_forbidden(self) -> bool:
        """Whether a reply has come before leg 1 was left."""
        return self // 10**13 % 10 != 8

    @property
    def is_closed(self) -> bool:
        """Whether no more replies are taken."""
        return self // 10**12 % 10 == 8

    @property
    def index(self) -> int:
        """The index of the reply that was entered last: 0 for the first."""
        return self // 1_000_000 % 1_000_000 - 1
