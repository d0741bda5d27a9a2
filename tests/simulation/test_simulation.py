"""Two workers, a client, the clock, and whatever may go wrong between any two steps: the promises hold in every world.

A seed makes a world: how slow and lossy its network is, which processes die, lose their connections or stand still at
which command, and which workflows run meanwhile. A failure names its seed; `SEED=123 pytest tests/simulation` runs that
one alone and shows what happened in it. `make soak` goes through more seeds, from SEEDS_FROM on if that is set.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator

import pytest

from tests.simulation.checks import run_seed
from tests.simulation.loop import Stuck

SEEDS, SOAKED, CHUNK = 2_000, 20_000, 100
SHOWN = 400
"""How many of its last events a seed that is run alone shows."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A world's warnings are its weather; and nobody else's dice are to fall by its seeds."""
    logger, dice = logging.getLogger("meshdata"), random.getstate()
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
    logger.propagate = True
    random.setstate(dice)


def run_seeds(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        try:
            run_seed(seed, monkeypatch)
        except (Exception, Stuck) as error:
            pytest.fail(
                f"seed {seed} broke a promise: {error!r}\nsee it again, with all that happened: "
                f"SEED={seed} pytest tests/simulation"
            )


@pytest.mark.skipif("SEED" in os.environ, reason="one seed is asked for")
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_the_promises_hold_in_every_world(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run_seeds(range(first, first + CHUNK), monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, SOAKED, CHUNK))
def test_the_promises_hold_in_many_more_worlds(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = int(os.environ.get("SEEDS_FROM", SEEDS)) + first
    run_seeds(range(begin, begin + CHUNK), monkeypatch)


@pytest.mark.skipif("SEED" not in os.environ, reason="no seed is asked for")
def test_the_seed_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        run_seed(int(os.environ["SEED"]), monkeypatch, keep_log=True)
    except (Exception, Stuck) as error:
        print("\n".join(error.world.lines[-SHOWN:]))  # type: ignore[union-attr]
        raise


@pytest.mark.parametrize("seed", [8, 17, 30])
def test_a_seed_goes_the_same_way_each_time(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (run_seed(seed, monkeypatch, keep_log=True).lines for _ in range(2))
    assert len(first) > 100
    assert first == second
