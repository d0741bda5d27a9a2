"""Schemas of graphs are enforced where a model asks: of payloads, inputs, replies, results; errors name the path."""

from __future__ import annotations

from typing import Any

import pytest

from meshdata import HotMesh
from meshdata.errors import InvalidOptions, JobFailed
from meshdata.hotmesh import StreamData, StreamReply
from tests.integration.conftest import OpenMesh

MODEL = """
app:
  id: shop
  version: '1'
  settings: {validate: true}
  graphs:
    - subscribes: order.placed
      input: {schema: {type: object, required: [size], properties: {size: {type: integer}}}}
      output: {schema: {type: object, properties: {price: {type: number}}}}
      activities:
        t1: {type: trigger}
        w1:
          type: worker
          topic: price
          input:
            schema: {properties: {lines: {type: array, items: {maximum: 5}}}}
            maps: {lines: {'@pipe': [['{@symbol.array}', '{t1.output.data.size}'], ['{@array.push}']]}}
          output: {schema: {type: object, required: [price]}}
          job: {maps: {price: '{$self.output.data.price}'}}
        h1: {type: hook, job: {maps: {kept: '{w1.output.data.price}', told: '{w1.output.metadata.$error.message}'}}}
        a1:
          type: await
          topic: other
          input: {maps: {x: '{t1.output.data.size}'}}
          output: {schema: {properties: {x: {maximum: 2}}}}
      transitions:
        t1: [{to: w1}]
        w1:
          - {to: h1, conditions: {code: 500, match: [{expected: 3, actual: '{t1.output.data.size}'}]}}
          - {to: a1, conditions: {code: 200}}
    - subscribes: other
      activities: {t2: {type: trigger, job: {maps: {x: '{$self.output.data.x}'}}}}
    - subscribes: trusting
      settings: {validate: false}
      input: {schema: {type: string}}
      activities: {t3: {type: trigger}}
"""

ANSWERS: dict[int, Any] = {1: {"price": 9.5}, 2: {"price": "cheap"}, 3: {"cost": 1}, 5: {"price": 5}}


def answer(asked: StreamData) -> Any:
    size = asked.data["lines"][0]
    return StreamReply({"cost": 1}, status="pending") if size == 4 else ANSWERS[size]


async def test_what_does_not_fit_is_refused_or_fails(open_mesh: OpenMesh, no_leaks: set[str]) -> None:
    no_leaks |= {"app:shop"}
    async with await HotMesh.init("shop", await open_mesh(), workers=[("price", answer)]) as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")

        async def placed(data: Any) -> Any:
            return (await hot.pubsub("order.placed", data, timeout=10)).data

        assert await placed({"size": 1}) == {"price": 9.5}
        with pytest.raises(
            InvalidOptions, match=r"the payload of order\.placed does not fit its schema: size: 'big' is not"
        ):
            await placed({"size": "big"})
        with pytest.raises(InvalidOptions, match="'size' is a required property"):
            await placed({})
        with pytest.raises(JobFailed, match=r"the input of w1 does not fit its schema: lines\.0: 9 is greater than"):
            await placed({"size": 9})
        with pytest.raises(
            JobFailed, match=r"the result of order\.placed does not fit its schema: price: 'cheap' is not"
        ):
            await placed({"size": 2})
        with pytest.raises(JobFailed, match="the reply of w1 does not fit its schema: 'price' is a required property"):
            await placed({"size": 4})  # also one that says there will be more
        with pytest.raises(
            JobFailed, match="the reply of a1 does not fit its schema: x: 5 is greater than the maximum"
        ):
            await placed({"size": 5})
        # An error like any other: an edge may take it, and the data that did not fit are not kept.
        told = {"told": "data: the reply of w1 does not fit its schema: 'price' is a required property"}
        assert await placed({"size": 3}) == told
        assert (await hot.pubsub("trusting", {"not": "a text"}, timeout=10)).data is None
