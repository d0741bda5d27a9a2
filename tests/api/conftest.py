"""An app over a mesh, asked without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Annotated, Any

import httpx
import pytest

from meshdata import MeshData, workflow
from meshdata.api import create_app
from meshdata.search import Numeric, Record, Tag, Text

LOCAL = "http://127.0.0.1:3010"
TOKEN = "a token of sixteen".replace(" ", "-")


class User(Record, entity="user"):
    """A user."""

    id: str
    plan: Annotated[str, Tag(sortable=True)] = "free"
    age: Annotated[int | None, Numeric(sortable=True)] = None
    bio: Annotated[str, Text()] = ""
    joined: datetime | None = None


async def sign_up(plan: str, age: int) -> str:
    if age < 0:
        raise ValueError("too young")
    await workflow.state.set(plan=plan, age=age)
    return f"{plan} at {age}"


async def bill(amount: int) -> str:
    await workflow.state.set(bio=f"owes {amount}")
    return f"billed {amount}"


async def add(a: int, b: int) -> int:
    return a + b


async def patient(key: str) -> Any:
    return await workflow.wait_for(key)


Client = Callable[..., Any]


@pytest.fixture
async def mesh(redis_url: str, namespace: str, no_leaks: set[str]) -> AsyncIterator[MeshData]:
    async with MeshData(redis_url, namespace=namespace) as mesh:
        user = await mesh.connect("user", sign_up, model=User)
        await user.hook("bill")(bill)
        await mesh.connect("patient", patient)
        await mesh.connect("add", add)
        await mesh.create_index(User)
        yield mesh


@pytest.fixture
async def client_of(mesh: MeshData) -> AsyncIterator[Client]:
    """Makes clients of apps over the mesh: `client_of(writes=True, ...)`; base_url is where requests seem to go."""
    async with AsyncExitStack() as stack:

        async def make(*, base_url: str = LOCAL, headers: dict[str, str] | None = None, **options: Any) -> Any:
            transport = httpx.ASGITransport(create_app(mesh, **options))
            client = httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers)
            return await stack.enter_async_context(client)

        yield make


@pytest.fixture
async def web(client_of: Client) -> httpx.AsyncClient:
    """A client that may write."""
    client: httpx.AsyncClient = await client_of(writes=True)
    return client


@pytest.fixture
async def people(mesh: MeshData) -> AsyncIterator[list[str]]:
    """Five users without a job: u0 to u4, aged 20 to 24, the even ones pro; removed afterwards."""
    ids = [f"u{number}" for number in range(5)]
    for number, id in enumerate(ids):
        plan = "free" if number % 2 else "pro"
        joined = datetime.fromisoformat(f"2026-0{number + 1}-01T00:00:00Z")
        await mesh.create(User(id=id, plan=plan, age=20 + number, bio=f"likes number {number}", joined=joined))
    yield ids
    for id in ids:
        await mesh.flush("user", id)
