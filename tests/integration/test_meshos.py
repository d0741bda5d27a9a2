"""Classes of entities: their methods as workflows, hooks and activities."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import pytest
import redis
from pydantic import Field

from meshdata import MeshData, MeshFlow, MeshOS, RetryPolicy, activity, workflow
from meshdata.cli.check import functions_of
from meshdata.errors import (
    InvalidOptions,
    JobExists,
    JobFailed,
    JobNotFound,
    NotInWorkflow,
    UsageError,
)
from meshdata.search import Numeric, Tag
from meshdata.testing import replay
from meshdata.workflow import sync
from tests.handover import hand_over, journal_of, positions, until_resident
from tests.integration.conftest import Eventually, OpenMesh

done: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


class Order(MeshOS, entity="order", version="v1", ttl="1 minute"):
    """Orders of a shop."""

    quantity: Annotated[int, Numeric(sortable=True)] = 0
    status: Annotated[str, Tag()] = "available"

    @workflow.run
    async def create(self, quantity: int) -> str:
        await self.state.set(quantity=quantity, status="available")
        return await self.charge(quantity * 1.5)

    @workflow.hook
    async def incr_quantity(self, by: int) -> int:
        left = await self.state.incr("quantity", by)
        if left <= 0:
            await self.state.set(status="depleted")
        return int(left)

    @activity
    async def charge(self, amount: float) -> str:
        done[f"charge {self.id}"] += 1
        return f"{self.id} paid {amount}"


async def test_a_class_is_an_entity_whose_methods_are_durable(mesh: MeshData) -> None:
    async with Order.served(mesh):
        order = Order(id="o1")
        assert await order.create(1) == "o1 paid 1.5"
        assert await order.incr_quantity(-1) == 0
        found = await Order.find(Order.status == "depleted")
        assert [one.id for one in found] == ["o1"]
        assert (found[0].quantity, type(found[0])) == (0, Order)
        assert await Order.get("o1") == found[0]
        assert await order.create(7) == "o1 paid 1.5"  # the answer that is kept
        assert done == {"charge o1": 1}
        assert await Order.delete("o1")
        assert not await Order.delete("o1")


async def test_a_class_keeps_its_records_until_they_are_deleted(
    mesh: MeshData, keys: Callable[[], set[str]], redis_client: redis.Redis
) -> None:
    class Kept(MeshOS, entity="kept"):
        @workflow.run
        async def begin(self) -> str:
            return self.id

    await mesh.register(Kept)
    kept = Kept()
    assert await kept.begin() == kept.id
    assert {redis_client.pttl(key) for key in keys() if key.endswith(kept.id)} == {-1}
    assert await kept.delete()
    assert [key for key in keys() if key.endswith(kept.id)] == []


async def test_a_class_is_called_from_processes_that_do_not_serve_it(open_mesh: OpenMesh) -> None:
    server, client = await open_mesh(), await open_mesh()
    await server.register(Order)
    client.register(Order, serve=False)
    handle = await Order.on(client).of("o1").create.start(2)
    assert (await handle, handle.job_id) == ("o1 paid 3.0", "order:o1")
    began = await Order.on(client).of("o1").incr_quantity.start(3)
    assert await began == 5
    assert await Order.on(client).of("o1").handle.state("quantity") == {"quantity": 5}


async def test_classes_registered_before_the_mesh_is_open_are_served_when_it_is(
    redis_url: str, namespace: str, no_leaks: set[str]
) -> None:
    mesh = MeshData(redis_url, namespace=namespace)
    mesh.register(Order)
    async with mesh:
        assert await Order(id="early").create(2) == "early paid 3.0"


async def test_a_url_is_enough_to_serve_a_class(redis_url: str, namespace: str, no_leaks: set[str]) -> None:
    async with Order.served(redis_url, namespace=namespace) as mesh:
        assert await Order.of("o1").create(2) == "o1 paid 3.0"
        assert mesh.namespace == namespace
    with pytest.raises(UsageError, match="is not open"):
        Order.find()


async def test_a_call_may_have_options(mesh: MeshData) -> None:
    await mesh.register(Order)
    order = Order(id="o1")
    reserved = await order.create.options(pending="1 minute", state={"quantity": 9}).start(1)
    assert await reserved.status() == "pending"
    assert await reserved.state("quantity") == {"quantity": 9}
    assert await reserved.resume()
    assert await reserved == "o1 paid 1.5"
    assert await order.create.options(flush=True)(4) == "o1 paid 6.0"
    for options, argument in (
        ({"pending": "1 minute"}, "pending"),
        ({"wait": False}, "wait"),
        ({"flush": "yes"}, "flush"),
        ({"parent_close": "abandon"}, "parent_close"),
    ):
        with pytest.raises(InvalidOptions) as refused:
            await order.create.options(**options)(1)
        assert refused.value.argument == argument


async def test_arguments_are_checked_before_anything_is_written(mesh: MeshData, keys: Callable[[], set[str]]) -> None:
    await mesh.register(Order)
    before = keys()
    order: Any = Order(id="o1")
    with pytest.raises(InvalidOptions, match="quantity"):
        await order.create()
    with pytest.raises(InvalidOptions, match="quantity"):
        await order.create("many")
    with pytest.raises(InvalidOptions, match="by"):
        await order.incr_quantity(to=3)
    assert keys() == before


async def test_a_hook_needs_a_job(mesh: MeshData) -> None:
    await mesh.register(Order)
    with pytest.raises(JobNotFound):
        await Order(id="nobody").incr_quantity(1)


class Trip(MeshOS, entity="trip", ttl="1 minute"):
    """Everything a method may do with others of its class."""

    stage: Annotated[str, Tag()] = ""

    @workflow.run
    async def travel(self, to: str) -> list[str]:
        await self.state.set(stage="begun")
        said = [await self.book(to)]
        said.append(await self.ride(to))
        said.append(await Trip.of(f"{self.id}-back").ride(f"{to} and home"))
        await self.note("on the way")
        said.append(await workflow.wait_for(f"noted-{self.id}"))
        return said

    @workflow.run
    async def ride(self, to: str) -> str:
        await self.state.set(stage=f"riding to {to}")
        return f"{self.id.partition('/')[0]} rode to {to}"

    @workflow.hook
    async def note(self, text: str) -> str:
        await self.state.set(stage=text)
        await workflow.signal(f"noted-{self.id}", f"{self.id} noted {text}")
        return text

    @activity
    def book(self, to: str) -> str:
        done[f"book {to}"] += 1
        return f"{self.id} booked {to}"


async def test_methods_call_each_other_as_activities_children_and_hooks(mesh: MeshData) -> None:
    await mesh.register(Trip)
    assert await Trip(id="t1").travel("Rome") == [
        "t1 booked Rome",
        "trip.t1 rode to Rome",
        "t1-back rode to Rome and home",
        "t1 noted on the way",
    ]
    # A child of `self` is a part of its job; one of another object is that object's job, with its record.
    assert sorted([one.id async for one in Trip.find()]) == ["t1", "t1-back"]
    assert (await Trip.get("t1")).stage == "on the way"
    assert (await Trip.get("t1-back")).stage == "riding to Rome and home"


async def test_a_job_of_a_class_goes_on_in_another_process(open_mesh: OpenMesh, eventually: Eventually) -> None:
    meshes = [await open_mesh(), await open_mesh()]

    class Walk(MeshOS, entity="walk", ttl="1 minute"):
        noted: str = ""

        @workflow.run
        async def go(self) -> list[str]:
            said = [await self.step("first"), await self.rest("a while")]
            await self.note("half")
            said.append(await workflow.wait_for(f"go-{self.id}"))
            return [*said, await self.step("last"), str(await self.state.get("noted"))]

        @workflow.run
        async def rest(self, long: str) -> str:
            return f"rested {long}"

        @workflow.hook
        async def note(self, text: str) -> None:
            await self.state.set(noted=text)

        @activity
        async def step(self, name: str) -> str:
            done[name] += 1
            return f"{self.id}: {name}"

    for mesh in meshes:
        await mesh.register(Walk)
    handle = await Walk(id="w1").go.start()
    for _ in range(2):
        holder, run = await until_resident(meshes, "walk:w1")
        await eventually(lambda run=run: run.is_waiting)
        await hand_over(holder, run)
    holder, _ = await until_resident(meshes, "walk:w1")
    recorded = positions(await journal_of(holder, "walk:w1"))
    assert await meshes[0].signal("go-w1", "on")
    assert await handle == ["w1: first", "rested a while", "on", "w1: last", "half"]
    assert done == {"first": 1, "last": 1}
    assert positions(await journal_of(holder, "walk:w1"))[: len(recorded)] == recorded


async def test_a_hook_method_goes_on_in_another_process(open_mesh: OpenMesh, eventually: Eventually) -> None:
    meshes = [await open_mesh(), await open_mesh()]

    class Stay(MeshOS, entity="stay", ttl="1 minute"):
        guests: list[str] = Field(default_factory=list)

        @workflow.run
        async def open_it(self) -> str:
            return self.id

        @workflow.hook
        async def welcome(self, guest: str) -> list[str]:
            await self.note(guest)
            await self.state.append("guests", guest)
            await workflow.wait_for(f"leave-{self.id}")
            await self.note(f"{guest} left")
            return list(await self.state.get("guests"))

        @activity
        async def note(self, text: str) -> None:
            done[f"{self.id} {text}"] += 1

    for mesh in meshes:
        await mesh.register(Stay)
    assert await Stay(id="s1").open_it() == "s1"
    handle = await Stay(id="s1").welcome.start("ann")
    holder, run = await until_resident(meshes, "stay:s1", dimension="1")
    await eventually(lambda: run.is_waiting and done["s1 ann"])
    await hand_over(holder, run)
    await meshes[0].signal("leave-s1")
    assert await handle == ["ann"]
    assert done == {"s1 ann": 1, "s1 ann left": 1}


async def test_a_recorded_job_of_a_class_is_replayed_without_a_server(mesh: MeshData) -> None:
    await mesh.register(Order)
    await Order(id="o1").create(2)
    export = await mesh.export("order", "o1")
    replayed = replay(export, Order.create, model=Order)
    assert (replayed.status, replayed.result) == ("completed", "o1 paid 3.0")


async def test_each_run_has_an_object_of_its_own(mesh: MeshData) -> None:
    selves = []

    class Odd(MeshOS, entity="odd", ttl="1 minute"):
        size: int = 0

        @workflow.run
        async def grow(self) -> bool:
            selves.append(self)
            return "size" in self.__dict__

    await mesh.register(Odd)
    assert await asyncio.gather(Odd(id="a").grow(), Odd(id="b").grow()) == [False, False]
    assert {one.id for one in selves} == {"a", "b"}


async def test_a_method_neither_reads_nor_writes_fields_as_attributes(mesh: MeshData) -> None:
    class Careless(MeshOS, entity="careless", ttl="1 minute"):
        size: int = 3

        @workflow.run
        async def read(self) -> int:
            return self.size

        @workflow.run
        async def write(self) -> None:
            self.size = 4

    await mesh.register(Careless)
    with pytest.raises(JobFailed, match=r"self\.state\.get\('size'\)"):
        await Careless(id="r").read()
    with pytest.raises(JobFailed, match=r"self\.state\.set\(size=...\)"):
        await Careless(id="w").write()
    with pytest.raises(AttributeError, match=r"Careless\.get\('r'\)"):
        _ = Careless(id="r").size
    with pytest.raises(NotInWorkflow):
        await Careless(id="r").state.get("size")


async def test_an_id_stands_for_the_job_of_one_method(mesh: MeshData) -> None:
    await mesh.register(Trip)
    assert await Trip(id="t").ride("Rome") == "t rode to Rome"
    assert await Trip(id="t").ride("Rome") == "t rode to Rome"
    with pytest.raises(JobExists, match=r"is a run of trip\.ride"):
        await Trip(id="t").travel("Rome")
    handles = await asyncio.gather(
        *(Trip(id="u").ride.start("Oslo") for _ in range(5)), Trip(id="u").travel.start("Oslo"), return_exceptions=True
    )
    outcomes = await asyncio.gather(*(one for one in handles if not isinstance(one, BaseException)))
    assert len({str(one) for one in outcomes}) == 1  # whichever came first
    assert sum(isinstance(one, JobExists) for one in handles) in (1, 5)


async def test_plain_methods_are_plain(mesh: MeshData) -> None:
    class Counted(MeshOS, entity="counted", ttl="1 minute"):
        @workflow.run
        async def double(self, number: int) -> int:
            return self.twice(number)

        def twice(self, number: int) -> int:
            return number * 2

        @activity
        async def add(self, one: int, other: int) -> int:
            return one + other

    await mesh.register(Counted)
    counted = Counted(id="c")
    assert counted.twice(4) == 8
    assert await counted.add(1, 2) == 3  # outside a workflow
    assert await counted.double(4) == 8
    assert await Counted.double.fn(counted, 5) == 10


async def test_sync_methods_are_workflows_hooks_and_activities_too(mesh: MeshData) -> None:
    class Slow(MeshOS, entity="slow", ttl="1 minute"):
        marked: str = ""

        @workflow.run
        def work(self, pieces: int) -> list[int]:
            first = sync.run(self.piece(pieces))
            return [first, sync.run(self.part(pieces))]

        @workflow.run
        def part(self, pieces: int) -> int:
            return pieces * 100

        @workflow.hook
        def mark(self, text: str) -> str:
            sync.state.set(marked=text)
            return f"{self.id} {text}"

        @activity
        def piece(self, pieces: int) -> int:
            return pieces * 10

    await mesh.register(Slow)
    assert await Slow(id="s").work(3) == [30, 300]
    assert await Slow(id="s").mark("x") == "s x"
    assert await mesh.get("slow", "s", "marked") == {"marked": "x"}


async def test_a_method_has_retries_of_its_own(mesh: MeshData) -> None:
    often = RetryPolicy(max_attempts=3, initial="1 ms", coefficient=1)

    class Flaky(MeshOS, entity="flaky", ttl="1 minute"):
        @workflow.run(retry=often)
        async def run_it(self) -> int:
            done["run"] += 1
            if done["run"] < 3:
                raise ValueError("not yet")
            return done["run"]

        @workflow.hook(retry=often)
        async def hook_it(self) -> int:
            done["hook"] += 1
            if done["hook"] < 2:
                raise ValueError("not yet")
            return done["hook"]

        @workflow.run
        async def once(self) -> None:
            done["once"] += 1
            raise ValueError("never")

    await mesh.register(Flaky)
    assert await Flaky(id="f").run_it() == 3
    assert await Flaky(id="f").hook_it() == 2
    with pytest.raises(JobFailed, match="never"):
        await Flaky(id="g").once()
    with pytest.raises(JobFailed, match="never"):
        await Flaky(id="g").once.options(retry_failed=True)()
    assert done["once"] == 2


async def test_workflows_of_functions_call_methods(mesh: MeshData) -> None:
    await mesh.register(Trip, Order)

    async def plan(name: str) -> list[Any]:
        ride = await Trip.of(f"{name}-1").ride("Rome")
        child = await workflow.exec_child(Trip.ride, ["Oslo"], id=f"{name}-2")
        started = await workflow.start_child(Order.create, [2], id=f"{name}-3", ttl="1 minute")
        return [ride, child, started]

    expected = ["p-1 rode to Rome", "p-2 rode to Oslo", "p-3"]
    await mesh.connect("plan", plan)
    assert await mesh.exec(entity="plan", args=["p"]) == expected
    worker = MeshFlow.Worker(mesh, workflows=[plan])
    async with worker, MeshFlow.Client(mesh) as client:
        assert await client.execute(plan, ["q"]) == [one.replace("p-", "q-") for one in expected]
    assert (await Trip.get("q-1")).stage == "riding to Rome"


async def test_hooks_on_other_objects_and_starts_in_a_workflow(mesh: MeshData, eventually: Eventually) -> None:
    class Pair(MeshOS, entity="pair", ttl="1 minute"):
        told: str = ""

        @workflow.run
        async def lead(self) -> str:
            await Pair.of("other").tell(self.id)
            await workflow.hook(Pair.tell, ["myself"])
            with pytest.raises(UsageError, match="start_child"):
                await Pair.of("third").follow.start()
            with pytest.raises(UsageError, match=r"workflow\.hook"):
                await self.tell.start("x")
            return "led"

        @workflow.run
        async def follow(self) -> str:
            return "followed"

        @workflow.hook
        async def tell(self, text: str) -> None:
            await self.state.set(told=text)

    await mesh.register(Pair)
    await Pair(id="other").follow()
    assert await Pair(id="one").lead() == "led"

    async def told(id: str) -> Any:
        return (await mesh.get("pair", id, "told"))["told"]

    assert await eventually(lambda: told("other")) == "one"
    assert await eventually(lambda: told("one")) == "myself"


async def test_activities_with_a_queue_run_on_the_workers_of_that_queue(open_mesh: OpenMesh) -> None:
    class Film(MeshOS, entity="film", version="v2", ttl="1 minute"):
        @workflow.run
        async def make(self, title: str) -> str:
            return await self.render(title)

        @activity(queue="gpu")
        async def render(self, title: str) -> str:
            done["rendered"] += 1
            return f"{type(self).__name__} {self.id}: {title}"

    home, gpu = await open_mesh(), await open_mesh()
    await home.register(Film)
    handle = await Film(id="f").make.start("Dune")
    await gpu.serve_activities("gpu", Film.render)
    assert await handle == "Film f: Dune"
    assert await Film(id="f").render("here") == "Film f: here"
    assert done == {"rendered": 2}


async def test_methods_are_hooked_on_all_that_a_query_finds(mesh: MeshData, eventually: Eventually) -> None:
    await mesh.register(Order)
    for id in ("a", "b", "c"):
        await Order(id=id).create(2)
    report = await Order.find(Order.quantity == 2).hook(Order.incr_quantity, [5])
    assert report.done == ["a", "b", "c"]

    async def all_have(quantity: int) -> bool:
        return await Order.count(Order.quantity == quantity) == 3

    assert await eventually(lambda: all_have(7))
    handle = await mesh.hook("order", "a", Order.incr_quantity, [1])
    assert await handle == 8


async def test_a_class_cannot_be_called_as_a_function(mesh: MeshData) -> None:
    await mesh.register(Order)
    with pytest.raises(InvalidOptions, match=r"is the class Order; call one of its methods: order\.create"):
        await mesh.exec(entity="order", args=[1], id="o1")
    with pytest.raises(InvalidOptions, match="a name is a str"):
        await mesh.hook("order", "o1", print)
    assert mesh.entities == ["order.create", "order.incr_quantity"]


async def test_a_query_waits_for_the_index_of_a_class_just_registered(mesh: MeshData) -> None:
    mesh.register(Order)
    assert (await Order.find(Order.quantity > 0)).total == 0


async def test_classes_work_without_the_search_module(namespace: str) -> None:
    async with MeshData("fake://", namespace=namespace) as mesh, Order.served(mesh):
        assert await Order(id="o1").create(1) == "o1 paid 1.5"
        assert await Order(id="o1").incr_quantity(-1) == 0
        assert [one.id for one in await Order.find(Order.status == "depleted")] == ["o1"]
        assert await Order.delete("o1")


def test_the_check_of_recorded_runs_knows_methods() -> None:
    assert functions_of("examples.meshos.versions", set()).keys() >= {"invoice.issue", "invoice.message", "main"}


def test_a_method_outside_a_class_of_the_mesh_says_what_is_missing() -> None:
    class Plain:
        @workflow.run
        async def work(self) -> None: ...

    with pytest.raises(UsageError, match="no MeshOS"):
        _ = Plain().work
