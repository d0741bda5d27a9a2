"""Dead letters: runs that took too many processes with them, and work nobody could do; put back or thrown away here."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from meshdata.engine.entry import parse
from meshdata.errors import CorruptRecord, InvalidOptions, JobError, JobNotFound, ScriptFailed
from meshdata.store.messages import Argument, Claim, StartJob
from meshdata.store.store import Store

logger = logging.getLogger(__name__)

MOST_LETTERS: Final = 10_000
"""About how many a partition keeps; as in lua/take_over.lua."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter.

    Attributes:
        number: what it is known by, "<partition>/<stream id>"; at: when it was put there.
        job: "<entity>:<id>"; dimension: "0" for its main function; position: the call, for an activity's work, else "".
        body: the arguments, as JSON; topic, ttl: where and how the run was started; "" in one an earlier version wrote.
    """

    number: str
    at: datetime
    job: str
    dimension: str
    position: str
    error: str
    body: bytes
    topic: str
    ttl: str
    hookable: bool
    name: str


async def letters(store: Store, *, limit: int) -> list[DeadLetter]:
    """The oldest dead letters of every partition, by their age."""
    found = []
    for partition in range(store.partitions):
        entries = await store.command(partition, "XRANGE", store.keys.dead(partition), "-", "+", "COUNT", limit)
        found += [_letter(partition, number, fields) for number, fields in entries]
    return sorted(found, key=lambda letter: letter.at)[:limit]


async def letter(store: Store, number: str) -> DeadLetter:
    """One dead letter.

    Raises:
        InvalidOptions: this is no number; JobNotFound: there is no such letter.
    """
    partition, id = _address(store, number)
    entries = await store.command(partition, "XRANGE", store.keys.dead(partition), id, id)
    if not entries:
        raise JobNotFound(f"There is no dead letter {number}.")
    return _letter(partition, *entries[0])


async def bury(store: Store, partition: int, claim: Claim, error: str, *, position: str = "") -> None:
    """Make a dead letter of what a script refuses for good, and consume the message that led to it.

    Keys are left as they are, for whoever looks into it. What cannot be read of them is missing in the letter; of an
    activity's work `position` is the call.

    Raises:
        StoreError: it could not be written.
    """
    is_call = claim.run.startswith("x ")
    fields: dict[str, Argument] = {"run": claim.run, "error": error, "topic": claim.stream.partition(":q:")[2]}
    if position or is_call:
        fields["position"] = position or "call"
    if not is_call:
        try:
            header = await store.header(claim.run)
            told = {"topic": position and fields["topic"], "ttl": "", "hookable": ""}
            fields |= {name: known or header.get(name, b"") for name, known in told.items()}
            start = parse(0, (await store.entries(claim.run, 0, 1))[0])
            fields |= {"body": start.payload, "name": start.name}
        except (CorruptRecord, IndexError, ScriptFailed):
            logger.warning("a dead letter lacks what cannot be read", extra={"run": claim.run})
    flat = [part for pair in fields.items() for part in pair]
    await store.command(partition, "XADD", store.keys.dead(partition), "MAXLEN", "~", MOST_LETTERS, "*", *flat)
    if claim.stream:
        await store.command(partition, "XACK", claim.stream, "g", claim.message)
        await store.command(partition, "XDEL", claim.stream, claim.message)


async def drop(store: Store, number: str) -> bool:
    """Throw one away; True if it was there."""
    partition, id = _address(store, number)
    return bool(await store.command(partition, "XDEL", store.keys.dead(partition), id))


async def requeue(store: Store, number: str) -> str:
    """Run what a letter holds once more, from its beginning and under its name, and drop the letter.

    Returns:
        The run: "<dim> <job>".

    Raises:
        JobError: it is an activity's work, whose workflow was told of the failure; or it ended well meanwhile.
    """
    found = await letter(store, number)
    if found.dimension == "x":
        raise JobError(
            f"{number} is a call of {found.topic}; whoever awaited it was told that it failed. Drop it",
            job_id=found.job,
        )
    if found.position:
        raise JobError(
            f"{number} is the work of an activity; {found.job} was told that it failed, and has gone on. Drop it",
            job_id=found.job,
        )
    topic = found.topic or found.job.partition(":")[0]
    if found.dimension != "0":
        word, dimension = await store.hook(found.job, topic=topic, body=found.body, name=found.name)
        if word != "OK":
            raise JobError(f"{found.job} takes no hooks any more; drop the letter", job_id=found.job)
    else:
        start = StartJob(
            found.job, topic, found.body, found.name, found.ttl, hookable=found.hookable, record=True,
            policy="retry", token=f"dead {number}",
        )  # fmt: skip
        outcome = await store.start_job(start)
        if outcome.word == "DONE":
            raise JobError(f"{found.job} has ended well meanwhile; drop the letter", job_id=found.job)
        dimension = "0"
    await drop(store, number)
    return f"{dimension} {found.job}"


def _address(store: Store, number: str) -> tuple[int, str]:
    partition, slash, id = number.partition("/")
    if not slash or not partition.isdecimal() or int(partition) >= store.partitions:
        raise InvalidOptions(f"{number!r} is no dead letter; `meshdata dead ls` shows them", argument="number")
    milliseconds, dash, count = id.partition("-")
    if not (milliseconds.isdecimal() and dash and count.isdecimal()):
        raise InvalidOptions(f"{number!r} is no dead letter; `meshdata dead ls` shows them", argument="number")
    return int(partition), id


def _letter(partition: int, number: bytes, fields: Any) -> DeadLetter:
    pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
    text = {name.decode(): value for name, value in pairs}

    def said(name: str) -> str:
        return str(text.get(name, b""), "utf-8", "replace")

    dimension, _, job = said("run").partition(" ")
    id = number.decode()
    return DeadLetter(
        number=f"{partition}/{id}",
        at=datetime.fromtimestamp(int(id.partition("-")[0]) / 1000, UTC),
        job=job,
        dimension=dimension,
        position=said("position"),
        error=said("error"),
        body=text.get("body", b""),
        topic=said("topic"),
        ttl=said("ttl"),
        hookable=said("hookable") != "0",
        name=said("name") or job.partition(":")[0],
    )
