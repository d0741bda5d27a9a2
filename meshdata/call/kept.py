"""Calls without a job: what a caller may ask for, checked; the call made; its end as a value or as the error."""

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Final, Never, TypedDict

import orjson

from meshdata.call.caller import Caller, Served
from meshdata.call.limited import LimitedCalls
from meshdata.call.options import check_flags, refuse_unknown, seconds
from meshdata.call.outcome import value_of
from meshdata.engine.engine import Engine
from meshdata.engine.limits import Priority
from meshdata.engine.near import Near
from meshdata.errors import CODE_INTERRUPTED, InvalidOptions
from meshdata.store.calls import Ask, Kept
from meshdata.store.messages import Outcome
from meshdata.values import Duration, check_entity, check_id, duration_ms, from_json, to_json
from meshdata.workflow.child import start_body, ttl_text

AUTO: Final = "auto"
"""The id that stands for one made of the arguments."""

MOST_TAGS: Final = 32
DEFAULT_TIMEOUT: Final = 30


class CallOptions(TypedDict, total=False):
    """What a call may say.

    Attributes:
        id: what its answer is known by: callers of one topic and id share one run. "auto" makes one of the arguments.
        ttl: how long the answer of an id is kept, "infinity" until it is flushed. None: those who ask while it runs
            share it, and nothing is kept.
        stale: for so long after the ttl the old answer is given at once, while one run brings a newer one.
        failure_ttl: how long a failure is kept, which raises again until then; 0 for not at all. By default the ttl.
        tags: groups the answer belongs to; `flush(tag=...)` forgets all of one.
        flush: run it anew, whatever is kept. retry_failed: run it anew if a failure is kept.
        timeout: how long to wait, 30 seconds by default; None for as long as it takes.
        stay: a call nobody has begun when `timeout` is over is begun later all the same; by default it is taken back.
        near_cache: keep the answer in this process too; the server tells of its changes.
        priority, limit_key: see `MeshData.exec`.
    """

    id: str | None
    ttl: Duration | None
    stale: Duration | None
    failure_ttl: Duration | None
    tags: Sequence[str]
    flush: bool
    retry_failed: bool
    timeout: Duration | None
    stay: bool
    near_cache: bool
    priority: Priority | None
    limit_key: str | None


class KeptCalls:
    """Calls of one process, and the answers that are kept of them."""

    def __init__(self, engine: Engine, caller: Caller, near: Near) -> None:
        self._limited = LimitedCalls(engine, caller)
        self._calls = engine.calls
        self._scripts = engine.store.calls
        self._near = near

    def near_answer(self, topic: str, id: str, served: Served) -> "tuple[Any] | None":
        """An answer kept in this process, as the only part of a tuple.

        Raises:
            JobFailed: what is kept is a failure.
        """
        kept = self._near.get(f"{topic}:{id}")
        return None if kept is None else (_value(kept, topic, id, served),)

    async def exec(
        self,
        topic: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        served: Served,
        *,
        id: str | None = None,
        ttl: Duration | None = None,
        stale: Duration | None = None,
        failure_ttl: Duration | None = None,
        tags: Sequence[str] = (),
        flush: bool = False,
        retry_failed: bool = False,
        timeout: Duration | None = DEFAULT_TIMEOUT,
        stay: bool = False,
        near_cache: bool = False,
        priority: Priority | None = None,
        limit_key: str | None = None,
        **unknown: Never,
    ) -> Any:
        """Call a function and await its answer; see `CallOptions`.

        Raises:
            InvalidOptions: an argument is wrong; nothing was written.
            NotConnected: nobody serves the topic. MeshTimeout: no answer in time.
            JobFailed: the function raised. JobInterrupted: the call was interrupted.
        """
        if unknown:
            refuse_unknown("exec", unknown, CallOptions.__annotations__)
        check_entity(topic, argument="topic")
        check_flags(flush=flush, retry_failed=retry_failed, stay=stay, near_cache=near_cache)
        if served.bind is not None:
            served.bind(args, {} if kwargs is None else kwargs)
        body = start_body(args, kwargs, None)
        if served.check is not None:
            served.check(body)
        timeout_s = seconds(timeout, argument="timeout")
        if id is None:
            _refuse_without_id(ttl=ttl, stale=stale, failure_ttl=failure_ttl, tags=tags or None)
            _refuse_without_id(flush=flush or None, retry_failed=retry_failed or None, near_cache=near_cache or None)
        elif id == AUTO:
            id = auto_id(topic, args, kwargs)
        job = partial(
            self._limited.exec, topic, args, kwargs, served, id=id, ttl=ttl, stale=stale, failure_ttl=failure_ttl,
            tags=tags, flush=flush, retry_failed=retry_failed, timeout=timeout, stay=stay, priority=priority,
            limit_key=limit_key,
        )  # fmt: skip
        if priority is not None or limit_key is not None or self._limited.knows(topic):
            return await job()
        if id is None:
            outcome = await self._calls.once(topic, body, timeout_s=timeout_s, stay=stay)
            return await job() if outcome.word == "LIMITED" else value_of(outcome, topic, served.decode)
        ask = Ask(
            f"{topic}:{check_id(id)}", topic, body, ttl_text(ttl), _stale_text(stale, ttl),
            _failure_text(failure_ttl, ttl), "all" if flush else "failed" if retry_failed else "", check_tags(tags),
        )  # fmt: skip
        if near_cache:
            await self._near.open()
        if ask.anew:
            self._near.drop(ask.entry)
        kept = await self._calls.ask(ask, timeout_s=timeout_s, stay=stay, near=self._near if near_cache else None)
        return await job() if kept.word == "LIMITED" else _value(kept, topic, id, served)

    async def forget(self, topic: str, id: str) -> bool:
        """Forget the answer of an id; whether there was any. Who awaits it gets it all the same."""
        entry = _entry(topic, id)
        self._near.drop(entry)
        removed = await self._scripts.forget(entry, topic)
        self._near.drop(entry)
        if await self._limited.may_know(topic):
            removed = await self._limited.forget(entry) or removed
        return removed

    async def forget_tag(self, tag: str) -> bool:
        """Forget the answers of a group; whether there were any. None is given after this, in any process."""
        (tag,) = check_tags([tag], argument="tag")
        removed = await self._scripts.flush_tag(tag)
        return removed > 0

    async def interrupt(self, topic: str, id: str, reason: str | None) -> bool:
        """End the call under way for an id: who awaits it gets JobInterrupted. Whether there was one."""
        entry = _entry(topic, id)
        said = {"type": "JobInterrupted", "message": reason or "", "code": CODE_INTERRUPTED, "reason": reason or ""}
        payload = to_json(said, argument="reason")
        ended = await self._scripts.forget(entry, topic, end_by=payload)
        if not ended and await self._limited.may_know(topic):
            return await self._limited.interrupt(entry, payload, reason)
        return ended


def auto_id(topic: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> str:
    """The id that `id="auto"` stands for: the same for equal arguments, in every process and version.

    Raises:
        InvalidOptions: an argument cannot be sent.
    """
    said = [topic, from_json(start_body(args, kwargs, None))]
    canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return f"{AUTO}:{blake2b(canonical, digest_size=16).hexdigest()}"


def check_tags(tags: Any, *, argument: str = "tags") -> tuple[str, ...]:
    """Tags as the scripts take them.

    Raises:
        InvalidOptions: no list of names, or too many.
    """
    if not tags:
        return ()
    if not isinstance(tags, list | tuple | set | frozenset):
        raise InvalidOptions(f"tags are a list of names; got {type(tags).__name__}", argument=argument)
    if len(tags) > MOST_TAGS:
        raise InvalidOptions(f"at most {MOST_TAGS} tags, not {len(tags)}", argument=argument)
    return tuple(dict.fromkeys(check_id(tag, argument=argument) for tag in tags))


def _entry(topic: str, id: str) -> str:
    return f"{check_entity(topic, argument='topic')}:{check_id(id)}"


def _value(kept: Kept, topic: str, id: str, served: Served) -> Any:
    if kept.code == "ok":
        return served.decode(kept.payload)
    return value_of(Outcome("DONE", kept.code, kept.payload), f"{topic}:{id}", served.decode)


def _refuse_without_id(**options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise InvalidOptions(
                "it is about the answer of an id, and none was given; add id=..., or id='auto' for one made of the "
                "arguments, or leave it out",
                argument=name,
            )


def _stale_text(stale: Duration | None, ttl: Duration | None) -> str:
    if stale is None:
        return ""
    ms = duration_ms(stale, argument="stale")
    if ttl is None or duration_ms(ttl, argument="ttl", infinity=True) is None:
        raise InvalidOptions("an answer is stale after its ttl; give a ttl that ends", argument="stale")
    return str(ms) if ms else ""


def _failure_text(failure_ttl: Duration | None, ttl: Duration | None) -> str:
    if failure_ttl is None:
        return ttl_text(ttl)
    if ttl is None:
        raise InvalidOptions("without a ttl nothing is kept, no failure either; add ttl=...", argument="failure_ttl")
    ms = duration_ms(failure_ttl, argument="failure_ttl", infinity=True)
    return "inf" if ms is None else str(ms)
