"""Who may ask, what may be changed, what a broken request is told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from meshdata import MeshData
from meshdata.api import check_binding, create_app
from meshdata.errors import InvalidOptions

from .conftest import LOCAL, TOKEN, Client

BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_writes_are_off_unless_they_are_switched_on(client_of: Client) -> None:
    reader = await client_of()
    for ask, place in (
        (reader.post, "/entities/user/records"),
        (reader.patch, "/entities/user/records/ann"),
        (reader.post, "/rpc/exec"),
        (reader.post, "/rpc/signal"),
        (reader.post, "/rpc/flush"),
    ):
        refused = await ask(place, json={})
        assert (refused.status_code, "writes" in refused.json()["detail"]) == (403, True)
    assert (await reader.delete("/entities/user/records/ann")).status_code == 403
    assert (await reader.post("/entities/user/find", json={})).status_code == 200
    assert (await reader.post("/rpc/health", json={})).json()["data"]["reachable"] is True
    listed = {one["method"]: one["allowed"] for one in (await reader.get("/rpc")).json()["methods"]}
    assert (listed["exec"], listed["info"]) == (False, True)


async def test_with_a_token_every_request_must_bear_it(client_of: Client) -> None:
    client = await client_of(token=TOKEN, base_url="http://mesh.example.org")
    refused = await client.get("/entities")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for wrong in ("Bearer another-token-as-long", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer \xe4"):
        headers = {"Authorization": wrong.encode("latin-1")}
        assert (await client.get("/entities", headers=headers)).status_code == 401
    assert (await client.get("/entities", headers=BEARER)).status_code == 200


@pytest.mark.parametrize("base_url", [LOCAL, "http://localhost", "http://[::1]:3010"])
async def test_without_a_token_this_machine_is_served(client_of: Client, base_url: str) -> None:
    assert (await (await client_of(base_url=base_url)).get("/entities")).status_code == 200


@pytest.mark.parametrize(
    ("base_url", "headers"),
    [
        ("http://10.0.0.7:3010", {}),
        ("http://mesh.example.org", {}),
        (LOCAL, {"Host": "rebound.example.org"}),  # a page whose name was made to lead here
        ("http://10.0.0.7:3010", {"Host": "localhost"}),
    ],
)
async def test_without_a_token_nobody_else_is(client_of: Client, base_url: str, headers: dict[str, str]) -> None:
    refused = await (await client_of(base_url=base_url)).get("/entities", headers=headers)
    assert (refused.status_code, "token" in refused.json()["detail"]) == (403, True)


async def test_an_app_that_sees_to_it_itself_is_trusted(client_of: Client) -> None:
    client = await client_of(base_url="http://mesh.example.org", trusted=True)
    assert (await client.get("/entities")).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "mesh.example.org"])
def test_beyond_loopback_a_token_is_required(host: str) -> None:
    with pytest.raises(InvalidOptions, match="give a token") as caught:
        check_binding(host, None)
    assert caught.value.argument == "token"
    check_binding(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "::1", "[::1]"])
def test_on_loopback_none_is(host: str) -> None:
    check_binding(host, None)


@pytest.mark.parametrize("token", ["", "short", "with a blank in it", "mit-einem-ä-darin", 12345678901234567])
def test_a_token_that_protects_nothing_is_refused(mesh: MeshData, token: Any) -> None:
    with pytest.raises(InvalidOptions, match="token"):
        create_app(mesh, token=token)


async def test_anybody_may_ask_whether_it_is_well_and_learns_no_more(client_of: Client) -> None:
    client = await client_of(token=TOKEN, base_url="http://mesh.example.org")
    assert (await client.get("/health")).json() == {"ok": True}


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"a=b", 415),
        ("application/json", b"{", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b"\xff", 400),
        ("application/json", b'{"age": NaN}', 400),
        ("application/json", b'{"\\ud800": 1}', 400),
        ("application/json", b"[]", 400),
        ("application/json", b'"' + b"x" * 16_000_001 + b'"', 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    web: httpx.AsyncClient, kind: str, body: bytes, status: int
) -> None:
    refused = await web.post("/entities/user/records", content=body, headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["status"]) == (status, status)
    assert refused.headers["content-type"] == "application/problem+json"


async def test_no_such_path_and_no_such_method_are_problems_too(web: httpx.AsyncClient) -> None:
    assert (await web.get("/nothing")).json()["status"] == 404
    refused = await web.put("/entities")
    assert (refused.status_code, refused.json()["title"]) == (405, "Method Not Allowed")


async def test_mounted_in_an_app_it_serves_the_mesh_that_is_open_there(redis_url: str, namespace: str) -> None:
    mesh = MeshData(redis_url, namespace=namespace)
    app = Starlette(routes=[Mount("/mesh", create_app(mesh, writes=True))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=LOCAL) as client:
        assert (await client.get("/mesh/health")).status_code == 503
        assert (await client.get("/mesh/entities")).json()["status"] == 503
        async with mesh:
            assert (await client.get("/mesh/health")).json() == {"ok": True}
            made = await client.post("/mesh/entities/note/records?ttl=1", json={"id": "n", "text": "x"})
            assert made.headers["location"] == "/mesh/entities/note/records/n"
            assert (await client.get(made.headers["location"])).json() == {"id": "n", "text": "x"}
            assert (await client.get("/mesh/openapi.json")).json()["servers"] == [{"url": "/mesh"}]


async def test_served_by_itself_it_opens_the_mesh_and_closes_it(redis_url: str, namespace: str) -> None:
    mesh = MeshData(redis_url, namespace=namespace)
    app = create_app(mesh)
    async with app.router.lifespan_context(app):
        assert mesh.is_open
    assert not mesh.is_open
    async with mesh:
        async with app.router.lifespan_context(app):
            pass
        assert mesh.is_open  # it was not the app that opened it
