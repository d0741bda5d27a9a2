"""Writing records: many at once beside the same hashes sent by hand, and one alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from bench.harness import NAMESPACE, Bench, apart, compared, count_commands, lane_of, percentile
from bench.report import Line
from meshdata import MeshData
from meshdata.search import Numeric, Record, Tag, Text, schema_of

BULK_SHARE = 0.6
IN_FLIGHT = 1_000
"""HSETs under way at once in the floor: as many as a pipeline of redis-py usually has."""


class Order(Record, entity="order"):
    """Ten fields, all but one in the index."""

    id: str
    customer: str
    status: Annotated[str, Tag(sortable=True)]
    total: Annotated[float, Numeric(sortable=True)]
    pieces: int
    placed: datetime
    note: Annotated[str, Text()]
    city: str
    paid: bool
    secret: Annotated[str, Tag(index=False)]


def orders(count: int) -> list[Order]:
    """Orders that differ as real ones do."""
    placed = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Order(
            id=f"o{n:06}", customer=f"c{n % 997}", status=("open", "paid", "sent")[n % 3], total=n * 1.25, pieces=n % 9,
            placed=placed, note=f"please ring twice at number {n % 50}", city=f"city {n % 100}", paid=n % 2 == 0,
            secret="x" * 16,
        )
        for n in range(count)
    ]  # fmt: skip


async def bulk(bench: Bench) -> list[Line]:
    """`create_many` of ten thousand models, by turns with HSETs of the very hashes it leaves, on one connection."""
    count = bench.size(10_000, 2_000)
    await apart(bench)
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        await mesh.create_index(Order)
        lane, schema = lane_of(mesh), schema_of(Order)
        made = orders(count)
        plain = [(mesh.store.keys.record(f"order:{one.id}"), _flat(schema.to_hash(one)[0])) for one in made]

        async def raw(*, system: bool) -> None:
            for at in range(0, count, IN_FLIGHT):
                await asyncio.gather(
                    *(
                        lane.call("HSET", key, *fields, *(_SYSTEM if system else ()))
                        for key, fields in plain[at : at + IN_FLIGHT]
                    )
                )

        async def ours() -> None:
            (await mesh.create_many(Order, made)).raise_for_failures()

        async def empty() -> None:
            for key, _ in plain:
                lane.call("UNLINK", key)
            await lane.call("PING")

        shares, rates = [], []
        for _ in range(bench.size(5, 3)):
            seconds = {}
            for name, work in (("ours", ours), ("raw", lambda: raw(system=False)), ("same", lambda: raw(system=True))):
                seconds[name] = await _seconds(work)
                await empty()
            shares.append((seconds["raw"] / seconds["ours"], seconds["same"] / seconds["ours"]))
            rates.append(count / seconds["ours"])
    share = percentile([one for one, _ in shares], 0.5)
    figures = {
        "records_per_s": percentile(rates, 0.5),
        "share_of_hset": share,
        "share_of_hset_with_system_fields": percentile([one for _, one in shares], 0.5),
        "records": count,
    }
    return [
        Line("bulk create", figures, f">= {BULK_SHARE:.0%} of pipelined HSET with the same index", share >= BULK_SHARE)
    ]


def _flat(fields: dict[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


_SYSTEM = (
    "_entity", "order", "_id", "o", "_created", "1767225600000", "_updated", "1767225600000", "_rev", "1",
)  # fmt: skip


async def single_set(bench: Bench) -> list[Line]:
    """One `set` of three fields of a record that is there."""
    await apart(bench)
    async with MeshData(bench.url, namespace=NAMESPACE) as mesh:
        await mesh.create_index(Order)
        await mesh.create(orders(1)[0])
        record = await mesh.get(Order, "o000000")
        turn = 0

        async def write() -> None:
            nonlocal turn
            turn += 1
            await mesh.set(Order, "o000000", {"status": "paid", "total": turn, "paid": True})

        async def change() -> None:
            record.pieces += 1
            await mesh.update(record)

        await write()
        operations = 50

        async def several() -> None:
            for _ in range(operations):
                await write()
                await change()

        commands = await count_commands(bench, several)
        found = await compared(mesh, write, trips=1, count=bench.size(2000, 200))
    figures = {**commands.figures(2 * operations), **found.figures()}
    return [Line("set, update", figures, "1 command", commands.total == 2 * operations)]


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun
