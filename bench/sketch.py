"""The floor of a workflow of 3 activities: the product's own scripts on the lane, with as little Python as works.

It keeps no journal, checks nothing, suspends nothing, and its worker knows one workflow. What the product spends beyond
it is the price of everything the product adds.
"""

import asyncio
import json
import secrets
from functools import partial
from types import TracebackType
from typing import Any

from meshdata.store import scripts
from meshdata.store.keys import GROUP, Keys
from meshdata.store.lane import Lane
from meshdata.store.messages import StartJob
from meshdata.store.redis import Connections

ACTIVITIES = 3
TOPIC = "sketch"
AT_ONCE = 64
LONGEST_S = 120


class _Role:
    """One process of the sketch: its connection, and the scripts by name."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._keys = Keys(namespace)
        self._process = f"sketch-{secrets.token_hex(5)}"
        self._sha = {name: scripts.load(name).sha for name in ("join", "start", "step", "finish")}

    async def __aenter__(self) -> "_Role":
        self._connections = await Connections.open(self._url, name=self._process)
        self._lane: Lane = self._connections.lane()
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.aclose()

    async def _open(self) -> None:
        """What the role does first."""


class Client(_Role):
    """Starts jobs and hears of their ends."""

    async def _open(self) -> None:
        await self._lane.subscribe(self._keys.hint_channel(0, self._process), self._heard)

    async def run(self, count: int, at_once: int) -> None:
        """So many jobs, so many of them at a time."""
        self._left, self._open_jobs = count, 0
        self._done = asyncio.get_running_loop().create_future()
        body = json.dumps({"a": [ACTIVITIES]}).encode()
        self._spec = StartJob("", TOPIC, body, "chain").spec(self._process)[1:]
        for _ in range(min(count, at_once)):
            self._start()
        await asyncio.wait_for(self._done, LONGEST_S)

    def _start(self) -> None:
        self._left -= 1
        self._open_jobs += 1
        job = f"sketch:{secrets.token_urlsafe(16)}"
        self._lane.call("EVALSHA", self._sha["start"], 1, self._keys.base(0), "", 0, job, *self._spec)

    def _heard(self, hint: bytes) -> None:
        json.loads(hint.partition(b"\n")[2])
        self._open_jobs -= 1
        if self._left > 0:
            self._start()
        elif self._open_jobs == 0:
            self._done.set_result(None)


class Worker(_Role):
    """Reads jobs, writes three steps and the end of each."""

    async def _open(self) -> None:
        await self._lane.call("EVALSHA", self._sha["join"], 1, self._keys.base(0), "", 0, self._process, 600_000, TOPIC)
        self._read_lane = await self._connections.dedicated()
        self._reading = asyncio.create_task(self._read())

    async def __aexit__(self, *raised: Any) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await super().__aexit__(*raised)

    async def _read(self) -> None:
        stream = self._keys.work(0, TOPIC)
        while True:
            reply = await self._read_lane.call(
                "XREADGROUP", "GROUP", GROUP, self._process, "COUNT", AT_ONCE, "BLOCK", 1000, "STREAMS", stream, ">"
            )
            for messages in (reply or {}).values():
                for number, fields in messages:
                    json.loads(fields[7])
                    self._step((fields[1].decode(), fields[3].decode(), stream, number), 1, None)

    def _step(self, claim: tuple[str, str, str, bytes], seq: int, _: Any) -> None:
        run, fence, stream, message = claim
        if seq > ACTIVITIES:
            self._lane.call(
                "EVALSHA", self._sha["finish"], 1, self._keys.base(0), "", 0, run, fence, self._process, "", "", "",
                "completed", "ok", json.dumps(seq), "",
            )  # fmt: skip
            return
        future = self._lane.call(
            "EVALSHA", self._sha["step"], 1, self._keys.base(0), "", 0, run, fence, seq, self._process, seq,
            stream if seq == 1 else "", message if seq == 1 else "",
            "done", 5, f"0:{seq}", "activity", "ok", "work", json.dumps(seq),
        )  # fmt: skip
        future.add_done_callback(partial(self._step, claim, seq + 1))
