"""The pytest plugin: `mesh`, `mesh_clock`, `mesh_run`, `mesh_options`. Loaded by pytest wherever meshdata is installed.

Nothing of meshdata is imported before a test asks for a fixture. A fixture of the same name in a user's conftest wins.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from meshdata import MeshData
    from meshdata.testing.clock import Clock

F = TypeVar("F", bound=Callable[..., Any])

try:
    import pytest_asyncio

    _fixture: Any = pytest_asyncio.fixture
except ImportError:  # anyio's plugin runs plain fixtures of this kind
    _fixture = pytest.fixture


def _async_fixture(fn: F) -> F:
    fixture: F = _fixture(fn)
    return fixture


USES_CLOCK = frozenset({"mesh_clock", "mesh_run"})


@pytest.fixture
def mesh_options() -> dict[str, Any]:
    """What `mesh` is opened with besides, e.g. `{"partitions": 4}`; override it in a conftest."""
    return {}


@pytest.fixture
def mesh_clock() -> Clock:
    """The clock of `mesh`: it stands still until `await mesh_clock.advance("1 month")`."""
    from meshdata.testing.clock import Clock

    return Clock()


@_async_fixture
async def mesh(request: pytest.FixtureRequest, mesh_options: dict[str, Any]) -> AsyncIterator[MeshData]:
    """A mesh in this process, without a server, its data its own; closed after the test, which fails if a run is
    parked because its function took another path than its journal.

    Time is real unless the test uses `mesh_clock` or `mesh_run` too.
    """
    from meshdata import MeshData

    name = secrets.token_hex(6)
    clock = request.getfixturevalue("mesh_clock") if USES_CLOCK.intersection(request.fixturenames) else None
    options = {"namespace": f"test-{name}", "clock": clock, **mesh_options}
    opened = MeshData(f"fake://{name}", **options)
    await opened.start()
    try:
        yield opened
        parked = await opened.store.parked_runs()
        assert not parked, f"runs were parked, for their functions do not fit their journals: {parked}"
    finally:
        await opened.close(drain=0)


@pytest.fixture
def mesh_run(mesh: MeshData) -> Callable[[], Awaitable[None]]:
    """`await mesh_run()` lets all be done that can be done without time or input."""
    from meshdata.testing.idle import run_until_idle

    async def run() -> None:
        await run_until_idle(mesh)

    return run
