"""What triggers count, asked for by payload and time: figures, ids, and the jobs a signal to all is for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from meshdata.engine.bus import Bus
from meshdata.errors import InvalidOptions
from meshdata.graph.begin import Beginning, identify
from meshdata.graph.compiler import compile_app
from meshdata.graph.definitions import Definitions
from meshdata.graph.figures import AppFigures, Listing
from meshdata.graph.steps import Steps
from meshdata.store.redis import Connections
from meshdata.store.store import Store

MODEL = """app:
  id: shop
  version: '1'
  graphs:
    - subscribes: order.placed
      expire: 60
      activities:
        t1:
          type: trigger
          stats:
            id: '{$self.input.data.id}'
            key: '{$self.input.data.seller}'
            granularity: 5m
            measures:
              - {measure: count, target: '{t1.output.data.color}'}
              - {measure: sum, target: '{t1.output.data.price}'}
              - {measure: avg, target: '{t1.output.data.price}'}
              - {measure: mdn, target: '{t1.output.data.price}'}
              - {measure: max, target: '{t1.output.data.price}'}
              - {measure: min, target: '{t1.output.data.price}'}
              - {measure: index, target: '{t1.output.data.color}'}
    - subscribes: order.held
      expire: 60
      activities:
        t2:
          type: trigger
          stats:
            id: '{$self.input.data.id}'
            key: '{$self.input.data.seller}'
            granularity: infinity
            measures:
              - {measure: index, target: '{t2.output.data.batch}'}
        h2: {type: hook}
      transitions:
        t2: [{to: h2}]
      hooks:
        order.release:
          - to: h2
            conditions:
              match:
                - {expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}
"""
TEN = int(datetime(2024, 5, 6, 10, 2, tzinfo=UTC).timestamp() * 1000)


class Shop:
    """An engine of the app whose time tests set."""

    def __init__(self, store: Store, definitions: Definitions, clock: list[int]) -> None:
        self.store, self.clock = store, clock
        self.figures = AppFigures(store, "shop", definitions.active)
        self._definitions = definitions
        self._steps = Steps(store, definitions, listed=self._none)

    async def _none(self, broadcast: Any) -> Listing:
        return Listing()

    async def start(self, topic: str, **data: Any) -> str:
        app = self._definitions.current()
        id, key = identify(app, app.graphs[topic], data)
        outcome = await self._steps.start(Beginning(topic, data, id, key))
        assert outcome.word == "CREATED"
        return id


@pytest.fixture
async def shop(redis_url: str, namespace: str, partitions: int, no_leaks: set[str]) -> AsyncIterator[Shop]:
    no_leaks |= {"app:shop", "inseq", "outseq"}
    clock = [TEN]
    connections = await Connections.open(redis_url, name="shop")
    store = await Store.open(
        connections, namespace, process="shop", partitions=partitions, clock=lambda: clock[0]
    )  # fmt: skip
    bus = Bus(store)
    definitions = Definitions(store, "shop", compile_app, bus=bus)
    await definitions.deploy(compile_app(MODEL))
    await definitions.activate("1")
    await definitions.active()
    try:
        yield Shop(store, definitions, clock)
    finally:
        for id in ("a", "b", "c", "late"):
            await store.flush(f"shop:{id}")
        await definitions.close()
        await bus.close()
        await store.close()


@pytest.fixture
async def orders(shop: Shop) -> Shop:
    """Three orders of one seller, in two buckets."""
    await shop.start("order.placed", id="a", seller="ann", color="red", price=5)
    await shop.start("order.placed", id="b", seller="ann", color="red", price=2)
    shop.clock[0] += 300_000
    await shop.start("order.placed", id="c", seller="ann", color="blue", price=11)
    return shop


ANN = {"data": {"seller": "ann"}}


async def test_a_question_is_answered_over_all_buckets_and_partitions(orders: Shop) -> None:
    answer = await orders.figures.stats("order.placed", {**ANN, "end": "NOW", "range": "10m"})
    assert (answer["key"], answer["count"]) == ("ann", 3)
    assert {(one["type"], one["target"]): one["value"] for one in answer["measures"]} == {
        ("count", "color:red"): 2, ("count", "color:blue"): 1, ("sum", "price"): 18, ("avg", "price"): 6,
        ("mdn", "price"): 5, ("max", "price"): 11, ("min", "price"): 2,
    }  # fmt: skip
    assert [(one["time"], one["count"]) for one in answer["segments"]] == [
        ("2024-05-06T09:55Z", 0), ("2024-05-06T10:00Z", 2), ("2024-05-06T10:05Z", 1),
    ]  # fmt: skip


async def test_of_another_key_or_time_nothing_is_counted(orders: Shop) -> None:
    bob = await orders.figures.stats("order.placed", {"data": {"seller": "bob"}, "end": "NOW", "range": "1h"})
    past = await orders.figures.stats("order.placed", {**ANN, "end": "2024-05-06T09:00Z", "range": "1h"})
    assert (bob["count"], past["count"], past["measures"]) == (0, 0, [])


async def test_ids_are_listed_by_what_was_counted_or_by_name(orders: Shop) -> None:
    query = {**ANN, "start": "2024-05-06T10:00Z", "end": "NOW"}
    answer = await orders.figures.ids("order.placed", query)
    assert answer["counts"] == [{"facet": "color:blue", "count": 1}, {"facet": "color:red", "count": 2}]
    first = answer["segments"][0]["measures"]
    assert {one["target"]: sorted(one["ids"]) for one in first} == {"color:blue": [], "color:red": ["a", "b"]}
    named = await orders.figures.ids("order.placed", query, ["color:blue"])
    assert named["facets"] == ["color:blue"] and named["segments"][1]["measures"][0]["ids"] == ["c"]


async def test_a_query_is_resolved_without_being_answered(orders: Shop) -> None:
    assert await orders.figures.resolve("order.placed", {**ANN, "end": "NOW", "range": "1h"}) == {
        "key": "ann", "granularity": "5m", "start": None, "end": "NOW", "range": "1h", "sparse": False,
    }  # fmt: skip


async def test_an_unknown_topic_and_facets_that_are_none_are_refused(orders: Shop) -> None:
    with pytest.raises(InvalidOptions, match=r"no graph subscribes to order\.gone; there are order\.held"):
        await orders.figures.stats("order.gone", ANN)
    with pytest.raises(InvalidOptions, match="facets are texts"):
        await orders.figures.ids("order.held", ANN, "batch:1")
    with pytest.raises(InvalidOptions, match=r"unable to find hook rule for topic order\.gone"):
        await orders.figures.listing("order.gone", ANN, [])


async def test_a_signal_to_all_is_for_living_jobs_and_what_was_read_is_scrubbed(shop: Shop) -> None:
    for id in ("a", "b"):
        await shop.start("order.held", id=id, seller="ann", batch=7)
    await shop.start("order.held", id="c", seller="bob", batch=7)
    await shop.store.flush("shop:b")
    listing = await shop.figures.listing("order.release", ANN, ["batch:7"])
    assert (listing.ids, listing.names) == (["a"], ["shop:s:ann:0:index:batch:7"])
    await shop.start("order.held", id="late", seller="ann", batch=7)
    await shop.figures.scrub(listing)
    again = await shop.figures.listing("order.release", ANN, [])
    assert again.ids == ["late"]
    assert (await shop.figures.listing("order.release", ANN, ["batch:8"])).names == []
