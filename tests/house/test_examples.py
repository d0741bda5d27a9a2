"""The examples run as a reader would run them, on a Redis of their own, and on one that is given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from meshdata.store.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
SERVED = {"service"}
"""Folders of programs that run until they are stopped: they have tests of their own."""

FURTHER = sorted(
    str(path.relative_to(ROOT / "examples"))
    for path in (ROOT / "examples").glob("*/*.py")
    if path.parent.name not in SERVED
)

LAST_LINES = {
    "cache.py": "failed with LookupError: no user nobody (3 runs)",
    "cron.py": "interrupted: True, and again: False",
    "calls.py": "flushed: True",
    "first.py": "completed, kept for 60000 ms",
    "migrate_model.py": "counted often meanwhile, wrong 0 times",
    "order.py": "{'ok': False, 'problem': 'the card was refused'}",
    "orders_dashboard.py": "leave o13: 9 open, 1775",
    "records.py": "100 found",
    "saga.py": "Job 'trip:hamlet' was cancelled: the rest is silence.",
    "search.py": "a hostile value: 0",
    "test_subscription.py": "2 passed in ",
    "semantic_search.py": "bob on cats and dogs: Took the puppy to the vet",
    "subscription.py": "cancelled after ",  # how many months go by depends on the machine
    "two_processes.py": "step 5 done by process two",
    "meshos/inventory.py": "deleted: [True, True, False]",
    "meshos/versions.py": "[('i1', 10, 'EUR'), ('i2', 20, 'EUR')]",
    "graphs/fan_out.py": "gear {'0': 12, '1': 9, '2': 14} best 9",
    "graphs/human_task.py": "{'question': 'Anybody?', 'state': 'lapsed'}",
    "graphs/order_approval.py": "402 the card was refused",
    "graphs/polling.py": "{'asked': 4, 'url': 'https://reports/r1.pdf'}",
    "graphs/statistics_of_orders.py": "big ones: 2",
    "graphs/trip.py": "back with the room in Atlantis, because of no airport",
    "demos/demo_hotmesh.py": "RESPONSE hello world",
    "demos/demo_meshcall.py": "cron: new True and again False stopped True",
    "demos/demo_meshdata.py": "count 1 found {'id': 'gold', 'plan': 'pro', 'active': 'yes'}",
    "demos/demo_meshflow.py": "RESPONSE ¡Hola, HotMesh!",
    "meshflow/cancellation.py": "sent True, then no more",
    "meshflow/child.py": "done on its own",
    "meshflow/continue_as_new.py": "nothing lost, nothing twice: True in several runs: True",
    "meshflow/expense_approval.py": "tip: nobody answered within 50 ms {'status': 'lapsed'}",
    "meshflow/hello_activity.py": "Hello, World!",
    "meshflow/parallel.py": "800 words in the book",
    "meshflow/patching.py": "['new is fine', 'invoice for new']",
    "meshflow/polling.py": "ready when asked 4 times",
    "meshflow/retry.py": "Fatal after 1: the account is closed",
    "meshflow/signals.py": "['Hello, early bird', 'Hello, Ada', 'Hello, Grace']",
    "meshflow/subscription_billing.py": "Ada paid 10 … Ada paid 25 {'active': 'no'}",
    "meshflow/timer_race.py": "given up",
    "refactoring/before.py": "stock: {'cup': 1, 'tea': 7} customers looked up: 3",
    "refactoring/step_1.py": "stock: {'cup': 1, 'tea': 7} customers looked up: 3",
    "refactoring/step_2.py": "stock: {'cup': 1, 'tea': 7} customers looked up: 3",
    "refactoring/after.py": "stock: {'cup': 1, 'tea': 7} customers looked up: 3",
}


def run(example: str, **environment: str) -> str:
    """Its output. Its errors may hold warnings (a worker was killed, after all), but no traceback."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHDATA_")}
    if not any(found.name == "meshdata" for found in entry_points(group="pytest11")):
        kept["PYTEST_PLUGINS"] = "meshdata.testing.plugin"  # it is not installed, so pytest does not find it by itself
    ran = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{example}"],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr and "never" not in ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def given_redis() -> Iterator[str]:
    """The URL of a server that stays while the examples come and go; not the one of all tests, for they leave keys."""
    with EmbeddedServer() as server:
        yield server.url


def test_every_example_is_tried() -> None:
    assert set(LAST_LINES) == {*EXAMPLES, *FURTHER}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_on_a_redis_of_its_own(example: str) -> None:
    assert run(example).splitlines()[-1].startswith(LAST_LINES[example])


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_can_be_run_twice_on_a_redis_that_keeps_its_data(example: str, given_redis: str) -> None:
    for _ in range(2):
        assert run(example, MESHDATA_URL=given_redis).splitlines()[-1].startswith(LAST_LINES[example])


@pytest.mark.parametrize("example", FURTHER)
def test_an_example_of_a_kind_runs(example: str, given_redis: str) -> None:
    assert run(example, MESHDATA_URL=given_redis).splitlines()[-1].startswith(LAST_LINES[example])


def test_every_step_of_the_refactoring_gives_the_answers_of_the_code_before(given_redis: str) -> None:
    steps = [example for example in FURTHER if example.startswith("refactoring/")]
    said = {step: run(step, MESHDATA_URL=given_redis) for step in steps}
    assert len(steps) == 4 and len(set(said.values())) == 1
