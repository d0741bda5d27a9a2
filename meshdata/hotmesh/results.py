"""Hearing of what jobs come to: a part of the door."""

from meshdata.hotmesh.subscriptions import Callback, Subscriptions


class ResultVerbs:
    """The verbs of `HotMesh` by which results are heard."""

    _subscriptions: Subscriptions

    async def sub(self, topic: str, callback: Callback) -> None:
        """Hear what the jobs of a graph come to that publishes to a topic; `<topic>.<job id>` hears of one job.

        Args:
            callback: sync or async; given the topic and a `JobOutput`, for the end and for every interim state.
        """
        await self._subscriptions.add(topic, callback, is_pattern=False)

    async def psub(self, pattern: str, callback: Callback) -> None:
        """The same for every `<topic>.<job id>` that a pattern fits: `orders.*`."""
        await self._subscriptions.add(pattern, callback, is_pattern=True)

    async def unsub(self, topic: str) -> None:
        """Hear no more of a topic."""
        self._subscriptions.remove(topic, is_pattern=False)

    async def punsub(self, pattern: str) -> None:
        """Hear no more by a pattern."""
        self._subscriptions.remove(pattern, is_pattern=True)
