"""How classes are declared: inheritance, lists of names, versions, and what is refused while a class is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import pytest

from meshdata import MeshData, MeshOS, RetryPolicy, activity, workflow
from meshdata.errors import InvalidOptions, NotInWorkflow, UsageError
from meshdata.search import Numeric, Tag, Text
from tests.integration.conftest import Eventually, OpenMesh

# --- inheritance ------------------------------------------------------------------------------------------------------


class Parcel(MeshOS):
    """What all parcels have; no entity, so no parcel is just that."""

    weight: Annotated[float, Numeric()] = 0
    place: Annotated[str, Tag()] = "desk"

    @workflow.run(ttl="1 minute")
    async def send(self, to: str) -> list[str]:
        return [await self.stamp(to), await self.travel(to)]

    @workflow.run
    async def travel(self, to: str) -> str:
        return f"{type(self).__name__} travels to {to}"

    @workflow.hook
    async def move(self, place: str) -> str:
        await self.state.set(place=place)
        return f"moved to {place}"

    @activity
    async def stamp(self, to: str) -> str:
        return f"{self.price()} to {to}"

    def price(self) -> str:
        return "plain"


class Letter(Parcel, entity="letter", ttl="1 minute"):
    pages: Annotated[int, Numeric()] = 1

    def price(self) -> str:
        return "cheap"


class Express(Parcel, entity="express", ttl="1 minute"):
    async def travel(self, to: str) -> str:  # it overrides a workflow, so it is one
        return f"{await super().travel(to)} by air"

    async def stamp(self, to: str) -> str:  # and this an activity
        return f"dear {await super().stamp(to)}"

    async def move(self, place: str) -> str:
        return f"{await super().move(place)} at once"


async def test_classes_inherit_fields_and_methods_and_override_them(mesh: MeshData) -> None:
    await mesh.register(Letter, Express)
    assert await Letter(id="1").send("Rome") == ["cheap to Rome", "Letter travels to Rome"]
    assert await Express(id="1").send("Rome") == ["dear plain to Rome", "Express travels to Rome by air"]
    assert await Letter(id="1").move("bag") == "moved to bag"
    assert await Express(id="1").move("bag") == "moved to bag at once"
    assert [one.pages for one in await Letter.find(Letter.place == "bag")] == [1]
    assert [type(one) for one in await Express.find(Express.place == "bag")] == [Express]
    told = (await mesh.export("express", "1")).timeline
    assert [one.key for one in told or () if one.dimension is None] == ["activity", "child"]


async def test_a_class_without_an_entity_has_no_jobs() -> None:
    with pytest.raises(UsageError, match="belongs to no mesh"):
        await Parcel(id="1").send("Rome")
    with pytest.raises(UsageError, match="without an entity"):
        _ = Parcel.send.home


# --- the older style --------------------------------------------------------------------------------------------------


class Old(MeshOS, entity="old", ttl="1 minute"):
    workflow_functions: ClassVar = ["begin", {"name": "child", "options": {"concurrency": 2}}]
    hook_functions = ("remark",)
    proxy_functions = ({"name": "work", "options": {"retry": RetryPolicy(max_attempts=3, initial="1 ms")}},)

    remarks: str = ""
    tries: ClassVar[list[int]] = []

    async def begin(self, name: str) -> str:
        await self.remark(name)
        return f"{await self.work(name)}, {await self.child(name)}, {self.aside(name)}"

    async def child(self, name: str) -> str:
        return f"child {name}"

    async def remark(self, text: str) -> None:
        await self.state.set(remarks=text)

    async def work(self, name: str) -> str:
        self.tries.append(1)
        if len(self.tries) < 3:
            raise ValueError("again")
        return f"worked {name}"

    def aside(self, name: str) -> str:
        return f"aside {name}"


async def test_lists_of_names_stand_for_decorators(mesh: MeshData, eventually: Eventually) -> None:
    await mesh.register(Old)
    Old.tries.clear()
    old = Old("o1")  # an id alone, as it was
    assert await old.begin("x") == "worked x, child x, aside x"
    assert await eventually(lambda: Old.on(mesh).count(Old.remarks == "x"))
    assert await old.remark("later") is None
    assert (await Old.get("o1")).remarks == "later"
    assert not hasattr(Old, "workflow_functions")


async def test_lists_name_methods_of_classes_above_too(mesh: MeshData) -> None:
    class Plain(MeshOS):
        async def go(self) -> str:
            return await self.work()

        async def work(self) -> str:
            return f"{type(self).__name__} works"

    class Listed(Plain, entity="listed", ttl="1 minute"):
        workflow_functions = ("go",)
        proxy_functions = ("work",)

    await mesh.register(Listed)
    assert await Listed(id="l").go() == "Listed works"


# --- versions ---------------------------------------------------------------------------------------------------------


class Bill(MeshOS, entity="bill", version="v1", ttl="1 minute"):
    total: Annotated[int, Numeric()] = 0
    note: Annotated[str, Text()] = ""

    @workflow.run
    async def issue(self, total: int) -> str:
        await self.state.set(total=total, note=f"{type(self).__name__} of {total}")
        return f"v1 {total}"

    @workflow.hook
    async def pay(self, amount: int) -> str:
        return f"v1 {await self.state.incr('total', -amount)}"


class Bill2(Bill, version="v2"):
    currency: Annotated[str, Tag()] = "EUR"

    async def issue(self, total: int) -> str:
        await self.state.set(total=total, currency="CHF")
        return f"v2 {total}"

    async def pay(self, amount: int) -> str:
        return f"v2 {await self.state.incr('total', -amount)}"


async def test_versions_are_served_side_by_side_on_the_records_of_one_entity(mesh: MeshData) -> None:
    await mesh.register(Bill, Bill2)
    assert await Bill(id="old").issue(10) == "v1 10"
    assert await Bill2(id="new").issue(20) == "v2 20"
    assert await Bill(id="new").pay(1) == "v1 19"  # whose method is called decides, not who began the job
    assert await Bill2(id="old").pay(1) == "v2 9"
    assert sorted([(one.id, one.total) async for one in Bill.find(Bill.total > 0)]) == [("new", 19), ("old", 9)]
    assert [(one.id, one.currency) async for one in Bill2.find(Bill2.currency == "CHF")] == [("new", "CHF")]
    found = await Bill2.get("old")
    assert (type(found), found.note, found.currency) == (Bill2, "Bill of 10", "EUR")
    assert type(await Bill.get("new")) is Bill


async def test_a_version_is_served_by_those_who_have_it(open_mesh: OpenMesh) -> None:
    one, two = await open_mesh(), await open_mesh()
    await one.register(Bill)
    started = await Bill2.on(one).of("b").issue.start(5)
    assert await Bill.on(two).of("a").issue(1) == "v1 1"
    assert await started.status() == "queued"  # nobody has v2 yet
    await two.register(Bill2)
    assert await started == "v2 5"


async def test_versions_cannot_have_a_field_of_two_types(mesh: MeshData, keys: Callable[[], set[str]]) -> None:
    class Other(MeshOS, entity="bill", version="v3"):
        total: Annotated[str, Tag()] = ""

    class Same(MeshOS, entity="bill", version="v1"):
        pass

    await mesh.register(Bill)
    with pytest.raises(InvalidOptions, match="a field is of one type") as refused:
        mesh.register(Other)
    assert refused.value.argument == "total"
    with pytest.raises(InvalidOptions, match="'bill' v1 is Bill here"):
        mesh.register(Same)
    mesh.register(Bill)  # the same class may be registered again
    assert not any("v3" in key for key in keys())


async def test_required_fields_of_one_version_may_be_missing_in_another(mesh: MeshData) -> None:
    class One(MeshOS, entity="doc", version="a", ttl="1 minute"):
        title: str

        @workflow.run
        async def write(self) -> str:
            await self.state.set(title="t")
            return "a"

    class Two(MeshOS, entity="doc", version="b", ttl="1 minute"):
        heading: str

        @workflow.run
        async def write(self) -> str:
            await self.state.set(heading="h")
            return "b"

    await mesh.register(One, Two)
    assert [await One.of("1").write(), await Two.of("2").write()] == ["a", "b"]
    assert ((await One.get("1")).title, (await Two.get("2")).heading) == ("t", "h")
    with pytest.raises(AttributeError, match="was not read"):
        _ = (await One.get("2")).title


# --- what is refused --------------------------------------------------------------------------------------------------


def listed(**lists: Any) -> Callable[[], Any]:
    async def work(self: Any) -> None: ...

    body = {"__module__": __name__, "__qualname__": "Made", "work": work, "number": property(lambda self: 1), **lists}
    return lambda: type(MeshOS)("Made", (MeshOS,), body, entity="made")


def with_field(name: str) -> Callable[[], Any]:
    body = {"__module__": __name__, "__qualname__": "Made", "__annotations__": {name: int}}
    return lambda: type(MeshOS)("Made", (MeshOS,), body)


def with_method(name: str, decorate: Any) -> Callable[[], Any]:
    async def method(self: Any) -> None: ...

    body = {"__module__": __name__, "__qualname__": "Made", name: decorate(method)}
    return lambda: type(MeshOS)("Made", (MeshOS,), body, entity="made")


async def without_self() -> None: ...


async def several(self: Any) -> Any:
    yield 1


@pytest.mark.parametrize(
    ("make", "argument", "message"),
    [
        (listed(workflow_functions=["wrok"]), "workflow_functions", "did you mean 'work'"),
        (listed(hook_functions=["zzz"]), "hook_functions", "its methods are work"),
        (listed(proxy_functions="work"), "proxy_functions", "a list of names"),
        (listed(proxy_functions=[{"name": "work", "retries": 3}]), "proxy_functions", "'options'"),
        (listed(workflow_functions=["work"], hook_functions=["work"]), "hook_functions", "was listed before"),
        (listed(workflow_functions=["number"]), "workflow_functions", "is no method"),
        (listed(workflow_functions=[{"name": "work", "options": {"queue": "q"}}]), "queue", "no option 'queue'"),
        (listed(proxy_functions=[{"name": "work", "options": {"maximumAttempts": 3}}]), "maximumAttempts", "no option"),
        (listed(proxy_functions=[{"name": "work", "options": ["retry"]}]), "proxy_functions", "'options'"),
        (lambda: workflow.run(concurrency=0), "concurrency", "from 1 on"),
        (with_field("find"), "find", "a field cannot be called so"),
        (with_field("state"), "state", "a field cannot be called so"),
        (with_method("find", workflow.run), "find", "a method cannot be called so"),
        (with_method("get", activity), "get", "a method cannot be called so"),
        (lambda: workflow.run(without_self), "without_self", "takes no self"),
        (lambda: workflow.run(several), "run", "generator"),
        (lambda: workflow.run(retry=3), "retry", "RetryPolicy"),
        (lambda: type(MeshOS)("Made", (MeshOS,), {}, entity="a:b"), "entity", "colon"),
        (lambda: type(MeshOS)("Made", (MeshOS,), {}, entity="a", version="v 1"), "version", "space"),
        (lambda: type(MeshOS)("Made", (MeshOS,), {}, entity="a", ttl="soon"), "ttl", "soon"),
        (lambda: Old("a", "b"), "id", "one id"),
        (lambda: Old(id=3), "id", "id"),
    ],
)
def test_a_class_that_makes_no_sense_is_refused_when_it_is_read(
    make: Callable[[], Any], argument: str, message: str
) -> None:
    def made() -> Any:
        done = make()
        return done(without_self_but_one) if callable(done) and not isinstance(done, type) else done

    with pytest.raises(InvalidOptions, match=message) as refused:
        made()
    assert refused.value.argument == argument


async def without_self_but_one(self: Any) -> None: ...


def test_a_listed_method_may_not_have_another_role_by_its_decorator() -> None:
    with pytest.raises(InvalidOptions, match="is a hook by its decorator"):

        class Twice(MeshOS, entity="twice"):
            workflow_functions = ("work",)

            @workflow.hook
            async def work(self) -> None: ...


def test_the_verb_hook_outside_a_workflow_says_so() -> None:
    with pytest.raises(NotInWorkflow):
        workflow.hook("user.bill")
    with pytest.raises(NotInWorkflow):
        workflow.hook(without_self, [])
    assert repr(workflow.hook(without_self_but_one)) == "without_self_but_one"
