"""Read and change one record from outside its functions."""

from collections.abc import Mapping
from typing import Any, NoReturn

from meshdata.call.options import job_of
from meshdata.entity.registry import Registry
from meshdata.errors import InvalidOptions, RecordNotFound, RevisionConflict
from meshdata.store.messages import Argument
from meshdata.store.store import Store
from meshdata.workflow.state import checked_field, checked_number, number


class Records:
    """The records of a namespace."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def get(self, entity: str, id: str, names: tuple[str, ...]) -> dict[str, Any]:
        """The named user fields, None where absent; all of them when none is named.

        Raises:
            RecordNotFound: there is no record.
        """
        job = job_of(entity, id)
        if not names:
            return await self.all(entity, id)
        stored = await self._store.read(job, (*names, "_rev"))
        rev = stored.pop("_rev")
        if rev is None and all(value is None for value in stored.values()):
            raise RecordNotFound(entity, id)
        typed = self._registry.from_hash(entity, {k: v for k, v in stored.items() if v is not None})
        return {name: typed.get(name) for name in names}

    async def all(self, entity: str, id: str) -> dict[str, Any]:
        """Every user field."""
        stored = await self.raw(entity, id)
        return self._registry.from_hash(entity, {k: v for k, v in stored.items() if not k.startswith("_")})

    async def raw(self, entity: str, id: str) -> dict[str, bytes]:
        """The whole hash as stored, system fields too."""
        stored = await self._store.read(job_of(entity, id))
        if not stored:
            raise RecordNotFound(entity, id)
        return {name: value for name, value in stored.items() if value is not None}

    async def set(
        self, entity: str, id: str, fields: Mapping[str, Any], *, create: bool, expected_rev: int | None
    ) -> int:
        """Write fields; None takes one away. Returns the number of new fields."""
        job = job_of(entity, id)
        if not fields:
            raise InvalidOptions("name at least one field", argument="fields")
        changes, gone = self._registry.to_hash(entity, fields)
        flat = [part for pair in changes.items() for part in pair]
        args: list[Argument] = [len(changes), *flat, *gone]
        return int(await self._change(entity, id, job, "set", *args, create=create, expected_rev=expected_rev))

    async def delete(self, entity: str, id: str, names: tuple[str, ...]) -> int:
        """Take fields away. Returns how many there were."""
        if not names:
            raise InvalidOptions("name at least one field; flush() removes the whole record", argument="names")
        return int(await self._change(entity, id, job_of(entity, id), "delete", *map(checked_field, names)))

    async def incr(self, entity: str, id: str, field: str, by: float) -> int | float:
        """Add to a number. Returns the new value."""
        amount = checked_number(by, "by")
        text = await self._change(entity, id, job_of(entity, id), "incr", checked_field(field), amount)
        return number(text.encode())

    async def mult(self, entity: str, id: str, field: str, by: float) -> int | float:
        """Multiply a number. Returns the new value."""
        factor = checked_number(by, "by")
        text = await self._change(entity, id, job_of(entity, id), "mult", checked_field(field), factor)
        return number(text.encode())

    async def _change(
        self,
        entity: str,
        id: str,
        job: str,
        op: str,
        *args: Argument,
        create: bool = True,
        expected_rev: int | None = None,
    ) -> str:
        word, text = await self._store.change(job, op, *args, create=create, expected_rev=expected_rev)
        if word != "OK":
            _refused(word, text, entity, id, expected_rev)
        return text


def _refused(word: str, text: str, entity: str, id: str, expected_rev: int | None) -> NoReturn:
    if word == "NOTFOUND":
        raise RecordNotFound(entity, id)
    if word == "CONFLICT":
        raise RevisionConflict(entity, id, expected_rev or 0, int(text))
    raise InvalidOptions(f"{text!r} of {entity}:{id} holds no number that could be counted with", argument=text)
