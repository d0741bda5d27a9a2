"""Uses that a type checker must take, and uses it must refuse: each line marked `# wrong`, and no other.

Read by mypy and pyright in `tests/house/test_types.py`; it is never run.
"""

from typing import Annotated, Any, assert_type

from meshdata import MeshCall, MeshData, MeshFlow, MeshOS, RetryPolicy, activity, workflow
from meshdata.meshflow import WorkflowHandle
from meshdata.meshos import ClassRecords
from meshdata.search import Find, Record, Tag


@activity
async def charge(card: str, cents: int) -> bool:
    return cents > 0 and bool(card)


@activity(retry=RetryPolicy(max_attempts=3), queue="paper")
def render(name: str) -> bytes:
    return name.encode()


class User(Record, entity="user"):
    id: str
    age: int = 0


async def records(mesh: MeshData) -> None:
    user = await mesh.create(User(id="a"), ttl="1 day")
    assert_type(user, User)
    assert_type(await mesh.get(User, "a"), User)
    assert_type(await mesh.get(User, "a", "age"), dict[str, Any])
    assert_type(await mesh.get("user", "a"), dict[str, Any])
    assert_type(await mesh.create(User, "a", {"age": 1}), int)
    assert_type(await mesh.update(user, if_unchanged=True), int)
    assert_type(await mesh.update("user", "a", {"age": 1}, expected_rev=3), int)
    assert_type((await mesh.create_many(User, [user])).created, int)
    assert_type(await mesh.delete(user), int)
    assert_type(await mesh.exists(User, "a"), bool)
    await mesh.create("user", {"age": 1})  # wrong
    await mesh.update("user", "a", {"age": 1}, if_unchanged=True)  # wrong
    await mesh.delete("user")  # wrong
    await mesh.get(int, "a")  # wrong


async def ship(items: list[str]) -> int:
    return len(items)


async def order(name: str, amount: int = 1) -> dict[str, int]:
    assert_type(await charge("visa", 5), bool)
    assert_type(await render("bill"), bytes)
    await charge("visa", "five")  # wrong
    await charge("visa")  # wrong
    await render(name=3)  # wrong
    await render("bill", pages=2)  # wrong
    remote = workflow.proxy(ship, queue="harbour")
    assert_type(await remote(["tea"]), int)
    await remote([1])  # wrong
    assert_type(await workflow.child(ship, id="s-1").exec(["tea"]), int)
    assert_type(await workflow.child(ship).start(["tea"]), str)
    await workflow.child(ship).exec("tea")  # wrong
    await workflow.child(ship, idd="s-1").exec(["tea"])  # wrong
    assert_type(await workflow.exec_child(ship, [["tea"]], id="s-2", parent_close="cancel"), int)
    assert_type(await workflow.exec_child("ship", [["tea"]]), Any)
    await workflow.exec_child(ship, [["tea"]], parent_close="never")  # wrong
    await workflow.start_child(ship, workflow_id="s-3")  # wrong
    assert_type(await workflow.once(ship, ["tea"]), Any)
    assert_type(activity.info().attempt, int)
    assert_type(workflow.random().random(), float)
    assert_type(await workflow.sleep_for("1 day"), float)
    await workflow.sleep_for(None)  # wrong
    return {name: amount}


async def calls(mesh: MeshData, client: MeshFlow.Client) -> None:
    orders = mesh.connect("order", order, ttl="1 day")
    assert_type(await orders("tea", 2), dict[str, int])
    assert_type(await orders.options(id="o-1")("tea"), dict[str, int])
    await orders(2)  # wrong
    await orders("tea", amount="two")  # wrong
    handle = await client.start(order, args=["tea"], id="o-1", ttl="1 minute")
    assert_type(handle, WorkflowHandle[dict[str, int]])
    assert_type(await handle, dict[str, int])
    assert_type(await handle.result(timeout=5), dict[str, int])
    assert_type(await client.execute(order, ["tea"]), dict[str, int])
    assert_type(await client.start("order", ["tea"]), WorkflowHandle[Any])
    assert_type(client.handle("o-1", workflow=order), WorkflowHandle[dict[str, int]])
    assert_type(await client.options(order, id="o-2").execute("tea", amount=2), dict[str, int])
    await client.options(order, id="o-2").start("tea", "two")  # wrong
    await client.options(order).start()  # wrong
    await client.start(order, args=["tea"], workflow_id="o-3")  # wrong
    await client.start(order, args=["tea"], ttl=object())  # wrong
    MeshFlow.Worker("redis://localhost", workflows=[order], activities=[charge, render])
    MeshFlow.Worker("redis://localhost", workflows=order)  # wrong


class Order(MeshOS, entity="order", version="v1", ttl="1 day"):
    quantity: int = 0
    status: Annotated[str, Tag()] = "available"

    @workflow.run
    async def create(self, quantity: int, fast: bool = False) -> str:
        assert_type(await self.charge(1.5), int)
        assert_type(await self.weigh(quantity), float)
        assert_type(await self.ship(["tea"]), list[str])
        await self.charge("much")  # wrong
        await self.ship("tea")  # wrong
        assert_type(self.id, str)
        assert_type(await self.state.get("quantity"), Any)
        await self.incr_quantity(by="one")  # wrong
        return self.status

    @workflow.run(retry=RetryPolicy(max_attempts=2))
    def ship(self, items: list[str]) -> list[str]:
        return items

    @workflow.hook
    async def incr_quantity(self, by: int) -> None:
        await self.state.incr("quantity", by)

    @workflow.hook(concurrency=3)
    def peek(self, what: str) -> int:
        return len(what)

    @activity
    async def charge(self, amount: float) -> int:
        return round(amount)

    @activity(retry=RetryPolicy(max_attempts=3))
    def weigh(self, quantity: int) -> float:
        return quantity * 1.5


@workflow.run(retries=3)  # wrong
async def unknown_option(self: Any) -> None: ...


async def pay(name: str) -> int:
    assert_type(await workflow.hook("user.bill", ["x"]), str)
    assert_type(await workflow.hook(pay, ["x"], id="o-1"), str)
    assert_type(await workflow.hook(Order.incr_quantity, [1], id="o-1", entity="order"), str)
    await workflow.hook(pay)  # wrong
    await workflow.hook("user.bill", args=3)  # wrong
    return len(name)


async def classes(mesh: MeshData) -> None:
    mesh.register(Order)
    mesh.register(Record)  # wrong
    order = Order(id="o1")
    assert_type(await order.create(1), str)
    assert_type(await order.create(1, fast=True), str)
    assert_type(await (await order.create.start(1)), str)
    assert_type(await (await order.create.options(ttl="1 day").start(1)).result(timeout=5), str)
    assert_type(await order.ship(["tea"]), list[str])
    assert_type(await order.incr_quantity(-1), None)
    assert_type(await order.peek("x"), int | None)
    assert_type(await (await order.peek.start("x")).result(), int)
    assert_type(await order.charge(2.5), int)
    await order.create("one")  # wrong
    await order.create()  # wrong
    await order.create.start(1, slow=True)  # wrong
    await order.create.options(wait=False)(1)  # wrong
    await order.peek.start(3)  # wrong
    assert_type(await Order.get("o1"), Order)
    assert_type(Order.of("o1"), Order)
    assert_type(await Order.retrieve("o1"), dict[str, Any])
    assert_type(Order.find(Order.status == "depleted"), Find[Order])
    assert_type((await Order.find()).items, list[Order])
    assert_type(await Order.count(Order.quantity > 1), int)
    assert_type(await Order.update("o1", {"quantity": 1}), Order)
    assert_type(await order.update(quantity=1), Order)
    assert_type(await Order.delete("o1"), bool)
    assert_type(await order.delete(), bool)
    assert_type(Order.on(mesh), ClassRecords[Order])
    assert_type(await Order.on(mesh).of("o1").create(1), str)
    assert_type(await Order.on(mesh).create(quantity=1), Order)
    await Order.get(1)  # wrong
    await Order.update(3, {"quantity": 1})  # wrong
    await order.delete("o1")  # wrong
    print(order.price)  # wrong


async def add(a: int, b: int = 1) -> int:
    return a + b


def shout(text: str) -> str:
    return text.upper()


async def remote_calls(call: MeshCall) -> None:
    added = await call.connect("math.add", add)
    assert_type(await added(1, b=2), int)
    assert_type(await added.options(id="auto", ttl="1 hour", near_cache=True)(1), int)
    await added("one")  # wrong
    await added.options(expire="1 hour")(1)  # wrong
    assert_type(await (await call.connect("shout", shout))("a"), str)
    await call.exec("shout", args=["a"], id="k", ttl=60, tags=["t"], stale="1 day")
    await call.exec("shout", args=["a"], timeout=[1])  # wrong
    assert_type(await call.flush(tag="t"), bool)


@MeshCall("embedded://").function("decorated")
async def decorated(n: int) -> int:
    return n


async def stays_itself() -> None:
    assert_type(await decorated(1), int)
    await decorated("1")  # wrong
