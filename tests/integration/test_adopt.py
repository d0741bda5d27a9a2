"""`meshdata adopt`: what it proposes is Python that runs, and nothing is changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meshdata import MeshData
from meshdata.cli import app
from meshdata.cli.adopt import entity_name

ROOT = Path(__file__).parents[2]

SHOP = """
import functools
import socket
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

from pydantic import BaseModel

from meshdata import activity


class Plan(Enum):
    FREE = "free"
    PRO = "pro"


@dataclass
class Address:
    city: str


@dataclass
class User:
    id: str
    joined: datetime
    plan: Plan = Plan.FREE
    tags: list[str] = field(default_factory=list)
    address: Address | None = None
    level: Literal["a", "b"] = "a"
    score: float = 1.5


class Invoice(TypedDict):
    number: int
    total: Decimal
    note: NotRequired[str]


class Point(NamedTuple):
    x: int
    y: int = 0


class Parcel(BaseModel):
    id: str
    weight: float = 0.0


@dataclass
class Odd:
    made: dict[str, int] = field(default_factory=lambda: {"a": 1})


def get_user(user_id: str) -> User | None:
    return User(user_id, datetime(2026, 1, 1))

async def create_invoice(user_id: str, *, cents: int) -> Invoice: ...
def find_point(name) -> "Point": ...
def fetch_parcel(number: int) -> Awaitable[Parcel]: ...
def load_odd(socket: socket.socket) -> Odd: ...
def total(a: int, b: int = 2) -> float: ...
def list_users() -> list[User]: ...
def things(): ...
def anything(*args: Any, **kwargs: Any) -> dict[str, Any]: ...
def broken(a) -> "Nowhere": ...

def generate():
    yield 1

@activity
async def charge() -> None: ...

class Till:
    def count(self) -> int:
        return 1

till = Till()
bound = functools.partial(total, 1)
number = 3
"""

Adopt = Callable[..., "tuple[int, dict[str, Any]]"]


@pytest.fixture
def adopt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adopt]:
    """Runs the command beside the shop; (exit code, what it printed as JSON)."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(target: str, *words: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(app, ["adopt", target, *words, "--json"])
        return done.exit_code, json.loads(done.stdout or done.stderr)

    yield run
    sys.modules.pop("shop", None)


@pytest.mark.parametrize(
    ("function", "connect", "fields"),
    [
        (
            "get_user",
            'user = mesh.connect("user", get_user, model=UserRecord)',
            ["id: str", "joined: datetime", "plan: Plan = Plan.FREE", "tags: list[str] = []",
             "address: Address | None = None", "level: Literal['a', 'b'] = 'a'", "score: float = 1.5"],
        ),
        (
            "create_invoice",
            'invoice = mesh.connect("invoice", create_invoice, model=InvoiceRecord)',
            ["number: int", "total: Decimal", "note: str | None = None"],
        ),
        ("find_point", 'point = mesh.connect("point", find_point, model=PointRecord)', ["x: int", "y: int = 0"]),
        ("fetch_parcel", 'parcel = mesh.connect("parcel", fetch_parcel, model=Parcel)', []),
        ("load_odd", 'odd = mesh.connect("odd", load_odd, model=OddRecord)', ["made: dict[str, int]"]),
        ("total", 'total_ = mesh.connect("total", total)', []),
        ("list_users", 'list_users_ = mesh.connect("list_users", list_users)', []),
        ("things", 'things_ = mesh.connect("things", things)', []),
        ("anything", 'anything_ = mesh.connect("anything", anything)', []),
        ("broken", 'broken_ = mesh.connect("broken", broken)', []),
        ("till.count", 'count = mesh.connect("count", till.count)', []),
        ("bound", 'total = mesh.connect("total", bound)', []),
    ],
)  # fmt: skip
def test_what_is_proposed_runs(adopt: Adopt, tmp_path: Path, function: str, connect: str, fields: list[str]) -> None:
    code, told = adopt(f"shop:{function}")
    assert (code, told["connect"], told["function"]) == (0, connect, function)
    lines = told["program"].splitlines()
    written = [line.strip() for line in lines if line.startswith("    ")]
    assert written == fields and connect in lines
    names = run_program(told["program"])
    assert names["mesh"].entities == [told["entity"]]


def run_program(source: str) -> dict[str, Any]:
    """The names that a program leaves; without what this module imports from __future__."""
    names: dict[str, Any] = {"__name__": "proposal"}
    exec(compile(source, "proposal", "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("get_user", "plain function"),
        ("things", "does not say what it returns"),
        ("list_users", "returns several"),
        ("load_odd", "'socket' cannot be sent"),
        ("load_odd", "'made' is made at run time"),
    ],
)
def test_what_the_signature_does_not_tell_is_noted(adopt: Adopt, function: str, says: str) -> None:
    assert says in " ".join(adopt(f"shop:{function}")[1]["notes"])


def test_the_entity_may_be_named(adopt: Adopt) -> None:
    code, told = adopt("shop:get_user", "--entity", "person")
    assert (code, told["entity"]) == (0, "person")
    assert 'class UserRecord(Record, entity="person"):' in told["program"]
    assert adopt("shop:get_user", "--entity", "not a name!")[0] == 2


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("shop:nothing", "shop has no"),
        ("nowhere:nothing", "no module"),
        ("shop", "module:object"),
        ("shop:number", "no function"),
        ("shop:User", "a class"),
        ("shop:Till.count", "needs an instance"),
        ("shop:generate", "generator"),
        ("shop:charge", "activity already"),
    ],
)
def test_what_cannot_be_adopted_is_wrong_usage(adopt: Adopt, target: str, says: str) -> None:
    code, told = adopt(target)
    assert code == 2 and says in told["error"]["message"], told


@pytest.mark.parametrize(
    ("function", "entity"),
    [
        ("get_user", "user"), ("fetch_open_orders", "open_orders"), ("_load_tax", "tax"), ("get", "get"),
        ("getter", "getter"), ("send_mail", "send_mail"), ("look_up_price", "price"),
    ],
)  # fmt: skip
def test_an_entity_is_named_after_what_the_function_is_about(function: str, entity: str) -> None:
    assert entity_name(function) == entity


def test_people_are_shown_the_program(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    done = subprocess.run(
        [sys.executable, "-c", "from meshdata.cli import main; main()", "adopt", "shop:get_user"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# a model types") and "options(id=user_id" in done.stdout
    compile(done.stdout, "shown", "exec")


async def test_the_proposal_served_answers_as_the_function_does(
    adopt: Adopt, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHDATA_URL", redis_url)
    monkeypatch.setenv("MESHDATA_NAMESPACE", namespace)
    names = run_program(adopt("shop:get_user")[1]["program"])
    mesh: MeshData = names["mesh"]
    async with mesh:
        answer = await names["user"].options(id="ann", ttl="1 second")("ann")
        assert (type(answer).__name__, answer.id) == ("User", "ann")
        await mesh.flush("user", "ann")


def test_what_the_guide_to_refactoring_shows_is_what_the_command_prints() -> None:
    guide = (ROOT / "docs" / "guides" / "refactoring.md").read_text("utf-8")
    ((target, said),) = re.findall(r"```sh\n\$ .*?adopt (.*?)\n(.*?)```", guide, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", "from meshdata.cli import main; main()", "adopt", target],
        cwd=ROOT / "examples" / "refactoring", env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=30,
    )  # fmt: skip
    assert done.stdout.rstrip() == said.rstrip()
