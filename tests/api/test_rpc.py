"""Methods of the mesh called over HTTP: values, what is not waited for, errors by their codes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from meshdata import MeshData
from meshdata.api.verbs import METHODS


async def call(web: httpx.AsyncClient, method: str, data: Any, **metadata: Any) -> httpx.Response:
    return await web.post(f"/rpc/{method}", json={"data": data, "metadata": metadata})


async def test_a_function_is_executed_and_its_answer_kept(web: httpx.AsyncClient) -> None:
    asked = {"entity": "user", "args": ["pro", 30], "id": "ann", "ttl": "1 minute"}
    assert (await call(web, "exec", asked)).json() == {"data": "pro at 30"}
    assert (await call(web, "exec", {"entity": "user", "id": "ann", "args": ["x", 1]})).json() == {"data": "pro at 30"}
    assert (await web.get("/entities/user/records/ann")).json()["plan"] == "pro"


async def test_arguments_come_by_name_or_in_order_the_entity_beside_them(web: httpx.AsyncClient) -> None:
    assert (await call(web, "exec", ["user", ["pro", 30]])).json() == {"data": "pro at 30"}
    assert (await call(web, "exec", [["pro", 31]], entity="user")).json() == {"data": "pro at 31"}
    assert (await call(web, "exec", {"args": ["pro", 32]}, entity="user")).json() == {"data": "pro at 32"}


async def test_what_is_not_waited_for_is_accepted_and_asked_about_later(web: httpx.AsyncClient) -> None:
    begun = await call(
        web, "exec", {"args": ["go"], "id": "p1", "ttl": "1 minute"}, **{"entity": "patient", "await": False}
    )
    assert (begun.status_code, begun.json()) == (202, {"data": {"entity": "patient", "id": "p1"}})
    assert begun.headers["location"] == "/entities/patient/records/p1"
    late = await call(web, "result", {"entity": "patient", "id": "p1", "timeout": 0.05})
    assert (late.status_code, late.json()["error"], late.json()["job_id"]) == (504, "MeshTimeout", "patient:p1")
    await call(web, "signal", ["go", {"so": "it goes"}])
    assert (await call(web, "result", ["patient", "p1"])).json() == {"data": {"so": "it goes"}}
    assert (await call(web, "info", ["patient", "p1"])).json()["data"]["status"] == "completed"
    told = (await call(web, "export", {"entity": "patient", "id": "p1", "allow": ["status"]})).json()["data"]
    assert told["status"] is not None


async def test_a_hook_runs_on_a_living_job(web: httpx.AsyncClient) -> None:
    await call(web, "exec", {"entity": "user", "args": ["pro", 30], "id": "ann", "ttl": "1 minute"})
    told = await call(web, "hook", {"entity": "user", "id": "ann", "hook_entity": "user.bill", "args": [9]})
    assert told.json() == {"data": "billed 9"}
    assert (await call(web, "get", {"entity": "user", "id": "ann", "names": ["bio"]})).json() == {
        "data": {"bio": "owes 9"}
    }


async def test_a_job_is_interrupted_and_says_so(web: httpx.AsyncClient) -> None:
    await call(web, "exec", {"entity": "patient", "args": ["k"], "id": "p", "ttl": "1 minute", "wait": False})
    assert (await call(web, "interrupt", {"entity": "patient", "id": "p", "reason": "enough"})).json() == {"data": True}
    told = await call(web, "result", ["patient", "p"])
    assert (told.status_code, told.json()["reason"]) == (410, "enough")
    assert (await call(web, "flush", ["patient", "p"])).json() == {"data": True}
    gone = await call(web, "info", ["patient", "p"])
    assert (gone.status_code, gone.json()["error"]) == (404, "JobNotFound")


async def test_a_failure_tells_what_was_raised_and_no_traceback(web: httpx.AsyncClient) -> None:
    told = await call(web, "exec", {"entity": "user", "args": ["pro", -1]})
    assert (told.status_code, told.json()["error"], told.json()["raised"]) == (500, "JobFailed", "ValueError")
    assert "too young" in told.json()["detail"] and "Traceback" not in told.text


@pytest.mark.parametrize(
    ("method", "data", "status", "argument"),
    [
        ("exec", {"entity": "user", "argz": []}, 422, "argz"),
        ("exec", {"entity": 3}, 422, "entity"),
        ("exec", {"entity": "user", "args": ["pro"]}, 422, "age"),
        ("exec", {"entity": "user", "args": ["pro", 3], "id": "x", "ttl": "soon"}, 422, "ttl"),
        ("exec", {}, 422, "entity"),
        ("exec", "user", 422, "data"),
        ("info", ["user", "x", "y"], 422, "data"),
        ("conquer", [], 404, None),
        ("close", [], 404, None),
    ],
)
async def test_a_call_that_does_not_fit_is_refused_by_name(
    web: httpx.AsyncClient, method: str, data: Any, status: int, argument: str | None
) -> None:
    told = await call(web, method, data)
    assert (told.status_code, told.json().get("argument")) == (status, argument), told.text


async def test_a_job_that_lives_is_not_started_twice(web: httpx.AsyncClient) -> None:
    asked = {"entity": "patient", "args": ["k"], "id": "p", "ttl": "1 minute", "wait": False, "conflict": "fail"}
    assert (await call(web, "exec", asked)).status_code == 202
    assert (await call(web, "exec", asked)).status_code == 409
    await call(web, "flush", ["patient", "p"])


async def test_another_namespace_is_not_served(web: httpx.AsyncClient, mesh: MeshData) -> None:
    assert (await call(web, "health", [], namespace=mesh.namespace, database="redis")).status_code == 200
    assert (await call(web, "health", [], namespace="elsewhere")).status_code == 404
    assert (await call(web, "health", [], colour="red")).json()["argument"] == "metadata.colour"
    for metadata in ([], None, "user"):
        refused = await web.post("/rpc/health", json={"metadata": metadata})
        assert (refused.status_code, refused.json()["argument"]) == (422, "metadata")


async def test_methods_are_listed_and_known_by_the_names_of_the_reference_family_too(web: httpx.AsyncClient) -> None:
    told = (await web.get("/rpc")).json()["methods"]
    assert {one["method"] for one in told} == set(METHODS)
    assert all(one["allowed"] and one["says"] for one in told)
    assert (await call(web, "listIndexes", [])).json()["data"][0]["entity"] == "user"
    for ask in (web.get, web.post):
        assert "user" in [one["entity"] for one in (await ask("/rpc/getManifest")).json()["data"]["entities"]]


async def test_a_function_is_called_without_a_job_and_its_answer_kept_and_forgotten(web: httpx.AsyncClient) -> None:
    asked = {"topic": "add", "args": [1, 2], "id": "x", "ttl": "1 minute"}
    assert (await call(web, "call", asked)).json() == {"data": 3}
    assert (await call(web, "call", asked | {"args": [5, 5]})).json() == {"data": 3}
    assert (await call(web, "forget", ["add", "x"])).json() == {"data": True}
    assert (await call(web, "call", ["add", [5, 5]])).json() == {"data": 10}
    nobody = await call(web, "call", {"topic": "nobody", "timeout": 0.05})
    assert (nobody.status_code, nobody.json()["error"]) == (504, "NotConnected")


async def test_processes_are_called_up_and_slowed_down(web: httpx.AsyncClient, mesh: MeshData) -> None:
    assert [one["process"] for one in (await call(web, "rollCall", [])).json()["data"]] == [mesh.process]
    assert (await call(web, "throttle", {"ms": 50, "topic": "user"})).json() == {"data": None}
    assert (await call(web, "throttles", [])).json()["data"]["topics"] == {"user": 50}
    await call(web, "throttle", {"ms": 0})
    assert (await call(web, "throttle", {"ms": "slow"})).json()["argument"] == "ms"


async def test_the_paths_of_the_reference_family_lead_to_the_same(web: httpx.AsyncClient) -> None:
    asked = {"data": [["pro", 30]], "metadata": {"entity": "user"}}
    assert (await web.post("/meshdata/exec", json=asked)).json() == {"data": "pro at 30"}
    assert (await web.get("/meshdata/getManifest")).json() == (await web.get("/rpc/getManifest")).json()
    assert (await web.post("/meshdata/conquer", json={})).status_code == 404


async def test_records_and_schedules_have_their_methods_too(
    web: httpx.AsyncClient, mesh: MeshData, people: list[str]
) -> None:
    where = [{"field": "plan", "is": "=", "value": "pro"}]
    assert (await call(web, "count", {"entity": "user", "where": where})).json() == {"data": 3}
    assert (await call(web, "ids", {"entity": "user", "where": where, "sort": ["id"]})).json() == {
        "data": ["u0", "u2", "u4"]
    }
    found = (await call(web, "find", {"entity": "user", "where": where, "sort": ["-id"], "limit": 1})).json()["data"]
    assert ([one["id"] for one in found["items"]], found["total"]) == (["u4"], 3)
    assert (await call(web, "aggregate", {"entity": "user"})).json() == {"data": [{"n": 5}]}
    assert (await call(web, "incr", ["user", "u0", "age", 5])).json() == {"data": 25}
    assert (await call(web, "set", ["user", "u0", {"plan": "max"}])).json() == {"data": 0}
    assert (await call(web, "exists", ["user", "u9"])).json() == {"data": False}
    await mesh.schedule("user", ["pro", 3], id="daily", interval="1 day")
    assert [one["id"] for one in (await call(web, "schedules", [])).json()["data"]] == ["daily"]
    assert (await call(web, "unschedule", ["user", "daily"])).json() == {"data": True}
