"""Calls of topics that have limits, and calls with a priority: jobs, which wait in the store for their turn."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshdata.call.caller import Caller, Served
from meshdata.engine.engine import Engine
from meshdata.engine.limits import Priority
from meshdata.errors import InvalidOptions, MeshTimeout
from meshdata.values import Duration, to_json

GIVEN_UP = "nobody waits for it any more"


class LimitedCalls:
    """Makes jobs of calls, and remembers which topics it was for."""

    def __init__(self, engine: Engine, caller: Caller) -> None:
        self._engine = engine
        self._caller = caller
        self._topics: set[str] = set()
        self._made: set[str] = set()

    def knows(self, topic: str) -> bool:
        """Whether a call of this topic had to be a job before, in this process."""
        return topic in self._topics

    async def may_know(self, topic: str) -> bool:
        """Whether an answer of this topic may be a job's."""
        return topic in self._made or await self._engine.store.is_limited(topic)

    async def exec(
        self,
        topic: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        served: Served,
        *,
        id: str | None,
        ttl: Duration | None,
        stale: Duration | None,
        failure_ttl: Duration | None,
        tags: Sequence[str],
        flush: bool,
        retry_failed: bool,
        timeout: Duration | None,
        stay: bool,
        priority: Priority | None,
        limit_key: str | None,
    ) -> Any:
        """Call a function as a job, and await its answer; one that is not begun in time is taken back, unless it stays.

        Raises:
            InvalidOptions: it asks for what only a call without limits has. MeshTimeout: no answer in time.
        """
        for name, value in (("stale", stale), ("failure_ttl", failure_ttl), ("tags", tags or None)):
            if value is not None:
                raise InvalidOptions(
                    f"calls of {topic!r} have a limit or a priority, and are jobs, which do not have it; leave it out",
                    argument=name,
                )
        start = self._caller.start_of(
            topic, args, kwargs, served, id=id, ttl=ttl, flush=flush, retry_failed=retry_failed, priority=priority,
            limit_key=limit_key,
        )  # fmt: skip
        self._made.add(topic)
        if priority is None and limit_key is None:
            self._topics.add(topic)
        try:
            return await self._caller.exec(start, served, timeout)
        except MeshTimeout:
            if not stay and id is None:
                await self._take_back(f"0 {start.job}")
            raise

    async def _take_back(self, run: str) -> None:
        header = await self._engine.store.header(run)
        if header.get("status") == b"queued":
            said = {"type": "JobCancelled", "message": GIVEN_UP, "code": 410, "reason": GIVEN_UP}
            await self._engine.store.cancel(run, payload=to_json(said, argument="reason"), problem=GIVEN_UP)

    async def forget(self, job: str) -> bool:
        """Forget the answer of a job; whether there was any."""
        return await self._engine.store.flush(job) > 0

    async def interrupt(self, job: str, payload: bytes, reason: str | None) -> bool:
        """End a job that is under way; whether there was one."""
        word = await self._engine.store.interrupt(
            job, payload=payload, problem=reason or "", descend=True, throw=True, ttl=""
        )
        return word == "OK"
