"""Entities and records over HTTP: the schema, lists by query and cursor, create, read, change, remove, figures."""

from __future__ import annotations

import httpx
import pytest

from meshdata import MeshData, MeshOS, workflow

ONE = "/entities/user/records/{}"
MANY = "/entities/user/records"


async def test_entities_are_listed_and_described(web: httpx.AsyncClient) -> None:
    listed = {one["entity"]: one for one in (await web.get("/entities")).json()["entities"]}
    assert listed["user"] == {
        "entity": "user", "functions": ["user", "user.bill"], "model": True, "indexed": True,
    }  # fmt: skip
    assert "user.bill" not in listed

    told = (await web.get("/entities/user")).json()
    assert told["schema"]["properties"]["plan"]["default"] == "free"
    assert told["index"]["age"] == "NUMERIC"
    assert told["signatures"]["user"] == "(plan: 'str', age: 'int') -> 'str'"
    assert (await web.get("/entities/nobody")).status_code == 404


async def test_a_class_is_one_entity_with_its_methods(web: httpx.AsyncClient, mesh: MeshData) -> None:
    class Ticket(MeshOS, entity="ticket", version="v1", ttl="1 minute"):
        """A ticket."""

        seat: str = ""

        @workflow.run
        async def book(self, seat: str) -> None: ...

        @workflow.hook
        async def move(self, seat: str) -> bool: ...

    await mesh.register(Ticket)
    listed = [one for one in (await web.get("/entities")).json()["entities"] if "ticket" in one["entity"]]
    assert listed == [
        {"entity": "ticket", "functions": ["ticket.book", "ticket.move"], "model": True, "indexed": True},
    ]
    told = (await web.get("/entities/ticket")).json()
    assert told["schema"]["properties"].keys() == {"id", "seat"}
    assert told["signatures"]["ticket.move"] == "(seat: 'str') -> 'bool'"
    created = await web.post("/entities/ticket/records", json={"id": "t1", "seat": "4a"})
    assert created.json() == {"id": "t1", "seat": "4a"}
    assert (await web.delete("/entities/ticket/records/t1")).status_code in (200, 204)


async def test_a_record_is_created_read_changed_and_removed(web: httpx.AsyncClient) -> None:
    made = await web.post(MANY, json={"id": "ann", "plan": "pro", "age": 40})
    assert (made.status_code, made.headers["location"]) == (201, ONE.format("ann"))
    assert made.json() == {"id": "ann", "plan": "pro", "age": 40, "bio": ""}

    read = await web.get(made.headers["location"])
    assert (read.json(), read.headers["etag"]) == (made.json(), made.headers["etag"])
    assert (await web.get(ONE.format("ann"), params={"fields": "age,plan"})).json() == {"age": 40, "plan": "pro"}

    changed = await web.patch(ONE.format("ann"), json={"plan": "max", "age": None})
    assert changed.json() == {"id": "ann", "plan": "max", "bio": ""}
    assert changed.headers["etag"] != made.headers["etag"]

    assert (await web.delete(ONE.format("ann"))).status_code == 204
    gone = await web.delete(ONE.format("ann"))
    assert (gone.status_code, gone.json()["error"]) == (404, "RecordNotFound")


async def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused(web: httpx.AsyncClient) -> None:
    seen = (await web.post(MANY, json={"id": "ann"})).headers["etag"]
    assert (await web.patch(ONE.format("ann"), json={"age": 1}, headers={"If-Match": seen})).status_code == 200
    late = await web.patch(ONE.format("ann"), json={"age": 2}, headers={"If-Match": seen})
    assert (late.status_code, late.json()["error"]) == (409, "RevisionConflict")
    assert (await web.get(ONE.format("ann"))).json()["age"] == 1
    odd = await web.patch(ONE.format("ann"), json={"age": 2}, headers={"If-Match": "yesterday"})
    assert (odd.status_code, odd.json()["argument"]) == (422, "If-Match")
    await web.delete(ONE.format("ann"))


async def test_an_id_may_come_in_the_url_or_be_made_up(web: httpx.AsyncClient, mesh: MeshData) -> None:
    made = await web.post("/entities/note/records", params={"id": "a/b c", "ttl": "1 minute"}, json={"text": "x"})
    assert made.headers["location"] == "/entities/note/records/a%2Fb%20c"
    assert (await web.get(made.headers["location"])).json() == {"id": "a/b c", "text": "x"}
    minted = (await web.post("/entities/note/records", params={"ttl": "1 minute"}, json={"text": "y"})).json()["id"]
    assert await mesh.get("note", minted) == {"text": "y"}


async def test_what_does_not_fit_is_refused_by_name(web: httpx.AsyncClient) -> None:
    assert (await web.post(MANY, json={"id": "ann"})).status_code == 201
    taken = await web.post(MANY, json={"id": "ann"})
    assert (taken.status_code, taken.json()["error"], taken.json()["id"]) == (409, "RecordExists", "ann")
    wrong = await web.post(MANY, json={"id": "bob", "age": "old"})
    assert (wrong.status_code, wrong.json()["argument"]) == (422, "age")
    assert wrong.headers["content-type"] == "application/problem+json"
    unknown = await web.patch(ONE.format("ann"), json={"wings": 2})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "wings")
    nothing = await web.patch(ONE.format("ann"), json={})
    assert (nothing.status_code, nothing.json()["argument"]) == (422, "fields")
    absent = await web.patch(ONE.format("nobody"), json={"age": 1})
    assert (absent.status_code, absent.json()["code"]) == (404, 404)
    await web.delete(ONE.format("ann"))


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("plan=pro", ["u0", "u2", "u4"]),
        ("plan.ne=pro", ["u1", "u3"]),
        ("age=22", ["u2"]),
        ("age.ge=21&age.lt=24&plan=free", ["u1", "u3"]),
        ("age.between=21,22", ["u1", "u2"]),
        ("id.in=u1,u4,u9", ["u1", "u4"]),
        ("bio.match=number 3", ["u3"]),
        ("joined.gt=2026-03-15", ["u3", "u4"]),
        ("age.missing=true", []),
        ("id.startswith=u&limit=2&offset=3", ["u3", "u4"]),
    ],
)
async def test_records_are_found_by_the_parameters_of_the_url(
    web: httpx.AsyncClient, people: list[str], query: str, ids: list[str]
) -> None:
    found = await web.get(f"{MANY}?{query}&sort=id")
    assert found.status_code == 200, found.text
    assert [one["id"] for one in found.json()["items"]] == ids


async def test_a_list_is_paged_by_its_cursor(web: httpx.AsyncClient, people: list[str]) -> None:
    seen, place = [], f"{MANY}?sort=-age&limit=2"
    while place:
        page = await web.get(place)
        assert page.json()["total"] == 5
        seen += [one["id"] for one in page.json()["items"]]
        place = page.links["next"]["url"] if "next" in page.links else ""
        assert bool(place) == (page.json()["next"] is not None)
    assert seen == ["u4", "u3", "u2", "u1", "u0"]


async def test_a_list_gives_the_fields_it_is_asked_for(web: httpx.AsyncClient, people: list[str]) -> None:
    found = await web.get(MANY, params={"select": "id,age", "age": 21})
    assert found.json() == {"items": [{"id": "u1", "age": 21}], "total": 1, "next": None}


@pytest.mark.parametrize(
    ("query", "status", "argument"),
    [
        ("wings=2", 400, None),
        ("limit=many", 422, "limit"),
        ("limit=5000", 422, "limit"),
        ("sort=id&sort=age", 422, "sort"),
        ("age.ge=old", 400, None),
        ("age.between=1", 400, None),
        ("age.near=1,2", 400, None),
        ("cursor=nonsense", 422, "cursor"),
    ],
)
async def test_a_question_that_cannot_be_asked_is_refused(
    web: httpx.AsyncClient, query: str, status: int, argument: str | None
) -> None:
    told = await web.get(f"{MANY}?{query}")
    assert (told.status_code, told.json().get("argument")) == (status, argument), told.text


async def test_a_body_asks_what_a_url_cannot(web: httpx.AsyncClient, people: list[str]) -> None:
    asked = {"where": [{"field": "plan", "is": "=", "value": "pro"}, {"field": "age", "is": ">", "value": 20}]}
    found = (await web.post("/entities/user/find", json=asked | {"sort": ["-age"], "limit": 1})).json()
    assert ([one["id"] for one in found["items"]], found["total"]) == (["u4"], 2)
    again = (await web.post("/entities/user/find", json=asked | {"sort": ["-age"], "cursor": found["next"]})).json()
    assert [one["id"] for one in again["items"]] == ["u2"]
    odd = await web.post("/entities/user/find", json={"order": "age"})
    assert (odd.status_code, odd.json()["argument"]) == (422, "order")


async def test_figures_are_asked_for_by_a_body(web: httpx.AsyncClient, people: list[str]) -> None:
    asked = {"group_by": ["plan"], "reduce": {"n": "count", "mean": "avg:age"}, "having": ["@n > 0"], "sort": ["-n"]}
    told = (await web.post("/entities/user/aggregate", json=asked)).json()
    assert told == {"rows": [{"plan": "pro", "n": 3, "mean": 22.0}, {"plan": "free", "n": 2, "mean": 22.0}]}
    odd = await web.post("/entities/user/aggregate", json={"reduce": {"n": "guess:age"}})
    assert (odd.status_code, odd.json()["argument"]) == (422, "reduce.n")


async def test_an_entity_without_an_index_says_so(web: httpx.AsyncClient) -> None:
    told = await web.get("/entities/nothing/records")
    assert (told.status_code, told.json()["error"]) == (404, "IndexNotFound")
