"""The OpenAPI document is valid, and says what is served."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from meshdata import MeshData
from meshdata.search import Record

from .conftest import TOKEN, Client


@pytest.mark.parametrize("options", [{}, {"writes": True}, {"writes": True, "token": TOKEN}])
async def test_the_document_is_what_openapi_says_one_is(client_of: Client, options: dict[str, Any]) -> None:
    client = await client_of(headers={"Authorization": f"Bearer {TOKEN}"}, **options)
    told = (await client.get("/openapi.json")).json()
    assert told["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(told).validate()
    assert ("security" in told) == ("token" in options)


async def test_it_has_only_what_is_allowed(client_of: Client) -> None:
    paths = (await (await client_of()).get("/openapi.json")).json()["paths"]
    assert set(paths["/entities/user/records"]) == {"get"} and "/rpc/exec" not in paths and "/rpc/info" in paths
    paths = (await (await client_of(writes=True)).get("/openapi.json")).json()["paths"]
    assert set(paths["/entities/user/records/{id}"]) == {"get", "patch", "delete"} and "/rpc/exec" in paths


async def test_its_schemas_fit_what_is_served(web: httpx.AsyncClient, people: list[str]) -> None:
    told = (await web.get("/openapi.json")).json()

    def check(value: Any, path: str, method: str, status: str) -> None:
        (content,) = told["paths"][path][method]["responses"][status]["content"].values()
        jsonschema.validate(value, content["schema"] | {"components": told["components"]})

    check((await web.get("/entities/user/records")).json(), "/entities/user/records", "get", "200")
    check((await web.get("/entities/user/records/u1")).json(), "/entities/user/records/{id}", "get", "200")
    check((await web.get("/entities/user/records/u9")).json(), "/entities/user/records/{id}", "get", "404")
    check((await web.post("/entities/user/aggregate", json={})).json(), "/entities/user/aggregate", "post", "200")


async def test_every_path_in_it_is_served(web: httpx.AsyncClient) -> None:
    told = (await web.get("/openapi.json")).json()
    for path, methods in told["paths"].items():
        place = path.replace("{entity}", "user").replace("{id}", "nobody")
        for method in methods:
            answer = await web.request(method, place, **({} if method in ("get", "delete") else {"json": {"data": 7}}))
            assert answer.status_code not in (405, 500), (method, path)
            assert not (answer.status_code == 404 and answer.json()["detail"] == "Not Found"), (method, path)


async def test_two_models_of_one_name_are_two_schemas(mesh: MeshData, web: httpx.AsyncClient) -> None:
    class User(Record, entity="visitor"):
        id: str
        seen: int = 0

    mesh.registry.learn(User)
    told = (await web.get("/openapi.json")).json()
    OpenAPIV31SpecValidator(told).validate()
    assert "seen" in told["components"]["schemas"]["User_"]["properties"]
    assert "plan" in told["components"]["schemas"]["User"]["properties"]
