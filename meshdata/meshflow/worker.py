"""Runs workflows and activities for the clients of its queues."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions
from meshdata.meshflow.handle import DEFAULT_QUEUE
from meshdata.opening import Address, Opening
from meshdata.values import Duration, check_entity
from meshdata.workflow.activity import Activity
from meshdata.workflow.function import Function
from meshdata.workflow.interceptor import Interceptor

Functions = Sequence[Callable[..., Any]] | Mapping[str, Callable[..., Any]]


class Worker:
    """Serves functions under one queue or several: `async with worker: ...`, or `await worker.run()`.

    Args:
        url: as for `MeshData`; or a MeshData to work on.
        queue: the queue, or queues, it reads; each function is served under all of them.
        workflows: workflow and hook functions, by their own names, or a mapping from other names.
        activities: those that workflows call by this queue (`@activity(queue="gpu")`). Activities without a queue run
            where their workflow does and need no mention. A worker may have activities alone.
        namespace: that of the clients; by default "meshdata".
        concurrency: how many functions it works on at once; those that only wait do not count.
        retry: how often a failed run of a workflow function is repeated where its start does not say.
        name, partitions, life_sign, linger, resident_limit, interceptors: see `MeshData`.
    """

    def __init__(
        self,
        url: Address = None,
        *,
        queue: str | Sequence[str] = DEFAULT_QUEUE,
        workflows: Functions = (),
        activities: Sequence[Callable[..., Any]] = (),
        namespace: str | None = None,
        concurrency: int | None = None,
        retry: RetryPolicy | None = None,
        name: str | None = None,
        partitions: int | None = None,
        life_sign: Duration | None = None,
        linger: Duration | None = None,
        resident_limit: int | None = None,
        interceptors: Sequence[Interceptor] | None = None,
    ) -> None:
        self.queues = [queue] if isinstance(queue, str) else list(queue)
        for one in self.queues:
            check_entity(one, argument="queue")
        self.workflows = _by_name(workflows)
        self._activities = list(activities)
        if not self.queues:
            raise InvalidOptions("name at least one queue", argument="queue")
        if not self.workflows and not self._activities:
            raise InvalidOptions("a worker needs workflows or activities to serve", argument="workflows")
        self._retry = retry
        self._opening = Opening(
            url, namespace=namespace, concurrency=concurrency, name=name, partitions=partitions, life_sign=life_sign,
            linger=linger, resident_limit=resident_limit, interceptors=interceptors,
        )  # fmt: skip
        self.mesh = self._opening.mesh

    async def __aenter__(self) -> "Worker":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect and serve; what waits in the queues is picked up."""
        mesh = await self._opening.opened()
        try:
            for queue in self.queues:
                await mesh.serve_workflows(queue, self.workflows, retry=self._retry)
                if self._activities:
                    await mesh.serve_activities(queue, *self._activities)
        except BaseException:
            await self.close()
            raise

    async def close(self, drain: Duration = 10) -> None:
        """Stop taking work, let what is under way end for at most `drain`, hand the rest over.

        A mesh that was handed in is its owner's: it goes on serving until that closes it.
        """
        await self._opening.close(drain)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with self:
            await asyncio.Event().wait()


def _by_name(workflows: Functions) -> dict[str, Callable[..., Any]]:
    if isinstance(workflows, Mapping):
        return dict(workflows)
    named: dict[str, Callable[..., Any]] = {}
    for fn in workflows:
        if isinstance(fn, Activity):
            raise InvalidOptions(f"{fn.name} is an activity; it goes with activities=", argument="workflows")
        name = Function(fn, argument="workflows").name
        if named.setdefault(name, fn) is not fn:
            raise InvalidOptions(f"two of them are called {name!r}; give a mapping from names", argument="workflows")
    return named
