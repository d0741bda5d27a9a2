"""Do something to every job or record a query finds: signal, hook, cancel, interrupt, flush, set.

The ids are collected first, so that it does not matter how the verb changes what the query would find. Then a few
records are worked on at a time, at the rate asked for; what came of each is in the report. Between the two a record may
have changed: a verb that does not fit any more skips it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from meshdata.errors import InvalidOptions, JobError, RecordNotFound, StoreUnavailable, UsageError
from meshdata.search.schema import Schema
from meshdata.values import to_json

MOST_IDS: Final = 1_000_000
"""Records a verb is given at most; a query that finds more has to be narrowed, or given a limit."""

_AT_ONCE: Final = 50

Progress = Callable[[int, int], None]


class Actions(Protocol):
    """What is done to one job or record: `MeshData`'s own verbs."""

    async def signal(self, key: str, payload: Any = None) -> bool: ...
    async def hook(
        self, entity: str, id: str, hook_entity: str | Callable[..., Any], args: Sequence[Any] = ()
    ) -> Any: ...
    async def cancel(self, entity: str, id: str, reason: str | None = None) -> bool: ...
    async def interrupt(
        self, entity: str, id: str, *, reason: str | None = None, code: int = 410, descend: bool = True
    ) -> bool: ...
    async def flush(self, entity: str, id: str) -> bool: ...
    async def set(self, entity: str, id: str, fields: Mapping[str, Any], *, create: bool = True) -> int: ...


@dataclass(slots=True)
class Report:
    """What came of a verb, record by record.

    Attributes:
        verb: signal, hook, cancel, interrupt, flush or set.
        dry_run: nothing was done: `done` has the ids it would have been done to.
        done: ids.
        skipped: ids to which it did not apply any more, each with the reason.
        failed: ids with the error of each.
    """

    verb: str
    dry_run: bool = False
    done: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.done) + len(self.skipped) + len(self.failed)

    def __bool__(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    def __str__(self) -> str:
        would = "would be done" if self.dry_run else "done"
        return f"{self.verb}: {len(self.done)} {would}, {len(self.skipped)} skipped, {len(self.failed)} failed"


class Skipped(Exception):
    """A verb does not apply to the record; says why."""


class Verbs:
    """The verbs of a query. Each needs a condition; `match_all()` is how to say "every record"."""

    _entity: str
    _schema: Schema[Any] | None
    _actions: Actions | None

    async def _all_ids(self, most: int) -> list[str]:
        """The ids of what the query finds, at most so many and one more."""
        raise NotImplementedError

    async def signal(
        self,
        key: str | Callable[[str], str],
        payload: Any = None,
        *,
        dry_run: bool = False,
        rate: float | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Send a signal for each record found.

        Args:
            key: where "{id}" stands in it comes the record's id; or a function of the id.
            payload: the same for all.
            dry_run: only say for which it would be done.
            rate: at most so many a second.
            progress: called with how many are through, and of how many.

        Raises:
            QueryInvalid: there is no condition.
            InvalidOptions: a key that is neither text nor a function, or a payload that JSON does not know.
        """
        if not callable(key) and not isinstance(key, str):
            raise InvalidOptions('text such as "approve:{id}", or a function of the id', argument="key")
        to_json(payload, argument="payload")
        key_of = key if callable(key) else lambda id: key.replace("{id}", id)
        actions = self._acting()

        async def send(id: str) -> None:
            await actions.signal(key_of(id), payload)

        return await self._each("signal", send, dry_run, rate, progress)

    async def hook(
        self,
        hook_entity: str | Callable[..., Any],
        args: Sequence[Any] = (),
        *,
        dry_run: bool = False,
        rate: float | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Run a further function on each job found; those that take no hooks are skipped.

        Args:
            hook_entity, args: as for `MeshData.hook`; the others as for `signal`.
        """
        actions, entity = self._acting(), self._entity

        async def hook(id: str) -> None:
            await actions.hook(entity, id, hook_entity, args)

        return await self._each("hook", hook, dry_run, rate, progress)

    async def cancel(
        self,
        reason: str | None = None,
        *,
        dry_run: bool = False,
        rate: float | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Ask each job found to end itself; those that are over are skipped. See `MeshData.cancel` and `signal`."""
        actions, entity = self._acting(), self._entity

        async def cancel(id: str) -> None:
            if not await actions.cancel(entity, id, reason):
                raise Skipped("it is over")

        return await self._each("cancel", cancel, dry_run, rate, progress)

    async def interrupt(
        self,
        *,
        reason: str | None = None,
        code: int = 410,
        descend: bool = True,
        dry_run: bool = False,
        rate: float | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """End each job found, now; those that are over are skipped. See `MeshData.interrupt` and `signal`."""
        actions, entity = self._acting(), self._entity

        async def interrupt(id: str) -> None:
            await actions.interrupt(entity, id, reason=reason, code=code, descend=descend)

        return await self._each("interrupt", interrupt, dry_run, rate, progress)

    async def flush(
        self, *, dry_run: bool = False, rate: float | None = None, progress: Progress | None = None
    ) -> Report:
        """Remove each record found, with its job and all that left. See `signal` for the arguments."""
        actions, entity = self._acting(), self._entity

        async def flush(id: str) -> None:
            if not await actions.flush(entity, id):
                raise Skipped("it is gone")

        return await self._each("flush", flush, dry_run, rate, progress)

    async def set(
        self,
        fields: Mapping[str, Any],
        *,
        dry_run: bool = False,
        rate: float | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Write these fields of each record found; None takes one away. See `signal` for the other arguments."""
        if not isinstance(fields, Mapping) or not fields:
            raise InvalidOptions("name at least one field", argument="fields")
        if self._schema is not None:
            self._schema.to_hash(fields, partial=True)
        actions, entity = self._acting(), self._entity

        async def change(id: str) -> None:
            await actions.set(entity, id, fields, create=False)

        return await self._each("set", change, dry_run, rate, progress)

    # --- one after the other ------------------------------------------------------------------------------------------

    def _acting(self) -> Actions:
        if self._actions is None:
            raise UsageError("this query can only be asked; make it by mesh.find()")
        return self._actions

    async def _each(
        self,
        verb: str,
        act: Callable[[str], Awaitable[None]],
        dry_run: bool,
        rate: float | None,
        progress: Progress | None,
    ) -> Report:
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e9):
            raise InvalidOptions("so many a second, more than 0", argument="rate")
        ids = await self._all_ids(MOST_IDS)
        if len(ids) > MOST_IDS:
            raise InvalidOptions(
                f"it finds more than {MOST_IDS:,} records; narrow it, or give a limit", argument="limit"
            )
        if dry_run:
            return Report(verb, dry_run=True, done=ids)
        report = Report(verb)
        left, pace = iter(ids), _Pace(rate)

        async def work() -> None:
            for id in left:
                await pace.wait()
                await _one(id, act, report)
                if progress is not None:
                    progress(len(report), len(ids))
                if isinstance(report.failed.get(id), StoreUnavailable):
                    _leave_out(left, report)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(ids))):
                    group.create_task(work())
        except ExceptionGroup as group_of_one:  # only `progress` can raise here
            raise group_of_one.exceptions[0] from None
        return report


async def _one(id: str, act: Callable[[str], Awaitable[None]], report: Report) -> None:
    try:
        await act(id)
    except Skipped as reason:
        report.skipped[id] = str(reason)
    except RecordNotFound:
        report.skipped[id] = "it is gone"
    except JobError as reason:  # it is over or gone, or takes no hooks
        report.skipped[id] = str(reason)
    except Exception as problem:  # of the caller's own functions too: the others have their turn, and it is told
        report.failed[id] = problem
    else:
        report.done.append(id)


def _leave_out(ids: Iterator[str], report: Report) -> None:
    """Redis is away: what is left would only wait for it, each for itself."""
    for id in ids:
        report.skipped[id] = "not tried, because Redis was away"


class _Pace:
    """Lets so many a second pass, evenly; None lets all."""

    def __init__(self, rate: float | None) -> None:
        self._step = 0.0 if rate is None else 1 / rate
        self._next = 0.0

    async def wait(self) -> None:
        if not self._step:
            return
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._step
        await asyncio.sleep(at - now)
