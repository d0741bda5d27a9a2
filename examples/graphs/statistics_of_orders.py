"""Orders counted as they begin: what a customer has ordered in the last hour, and which orders those were."""

import asyncio
import os
from pathlib import Path

from meshdata import HotMesh

URL = os.environ.get("MESHDATA_URL", "embedded://")
MODEL = Path(__file__).with_suffix(".yaml")
ORDERS = [("ann", "big", 30), ("ann", "small", 5), ("ann", "big", 50), ("bob", "small", 7)]


async def main() -> None:
    async with await HotMesh.init("stats", URL, namespace="statistics") as hot:
        await hot.deploy(MODEL)
        await hot.activate("1")
        for customer, size, price in ORDERS:
            await hot.pub("order.count", {"customer": customer, "size": size, "price": price})

        query = {"data": {"customer": "ann"}, "end": "NOW", "range": "1h", "sparse": True}
        found = await hot.get_stats("order.count", query)
        print(found["count"], "orders of", found["key"])
        for measure in sorted(found["measures"], key=lambda one: (one["type"], one["target"])):
            print(measure["type"], measure["target"], measure["value"])

        ids = await hot.get_ids("order.count", query, ["size:big"])
        big = [id for part in ids["segments"] for one in part["measures"] for id in one["ids"]]
        print("big ones:", len(big))


if __name__ == "__main__":
    asyncio.run(main())
