"""What this process knows of entities: the functions it serves under their names, and the models of their records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshdata.call.caller import NOTHING_KNOWN, Served
from meshdata.engine.policy import RetryPolicy
from meshdata.errors import InvalidOptions
from meshdata.search.codec import untyped_to_hash
from meshdata.search.schema import Schema, schema_of
from meshdata.store.messages import Argument
from meshdata.values import Duration, check_entity
from meshdata.workflow.function import Function
from meshdata.workflow.home import Home, decoder_of, topic_of
from meshdata.workflow.state import checked_field


@dataclass(slots=True)
class Connected:
    """One function served under a name."""

    name: str
    function: Function
    queue: str | None = None
    ttl: Duration | None = None
    retry: RetryPolicy | None = None
    concurrency: int | None = None
    served: Served = field(default_factory=Served)

    @property
    def topic(self) -> str:
        """Where its work arrives."""
        return topic_of(self.name, self.queue)

    @property
    def home(self) -> Home:
        """Where its calls go."""
        return Home(self.name, self.name, self.topic, self.served.decode, self.function)


class Registry:
    """Entity name → function, hooks, model."""

    def __init__(self) -> None:
        self.functions: dict[str, Connected] = {}
        self.schemas: dict[str, Schema[Any]] = {}

    def connect(
        self,
        name: str,
        target: Callable[..., Any],
        *,
        model: type[Any] | None = None,
        queue: str | None = None,
        ttl: Duration | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int | None = None,
    ) -> Connected:
        """Take in a function under a name.

        Raises:
            InvalidOptions: the name is taken by another function, or an option is wrong.
        """
        check_entity(name)
        function = Function(target, argument="target")
        known = self.functions.get(name)
        if known is not None and known.function.fn is not target:
            raise InvalidOptions(
                f"{name!r} is connected to {known.function.name}; one name stands for one function", argument="entity"
            )
        one = Connected(name, function, queue, ttl, retry, concurrency)
        one.served = Served(function.bind, function.check_arguments, decoder_of(function), ttl, one.topic, retry)
        self.functions[name] = one
        if model is not None:
            self.learn(model, name)
        return one

    def learn(self, model: type[Any], entity: str | None = None) -> Schema[Any]:
        """Take in the model of an entity's records."""
        if entity is None and not getattr(model, "__entity__", ""):
            # A plain pydantic class says no entity itself; it was named where it was connected or indexed.
            known = [schema for schema in self.schemas.values() if schema.model is model]
            if len(known) == 1:
                return known[0]
        schema = schema_of(model, entity)
        self.schemas[schema.entity] = schema
        return schema

    def served(self, name: str) -> Served:
        """What is known of an entity for calling it."""
        known = self.functions.get(name)
        return NOTHING_KNOWN if known is None else known.served

    # --- records ------------------------------------------------------------------------------------------------------

    def to_hash(self, entity: str, fields: Mapping[str, Any]) -> tuple[dict[str, Argument], list[str]]:
        """Fields as a record stores them, and the names of those to take away."""
        if not isinstance(fields, Mapping):
            raise InvalidOptions(f"fields are a mapping; got {type(fields).__name__}", argument="fields")
        for name in fields:
            checked_field(name)
        schema = self.schemas.get(entity)
        if schema is not None:
            changes, gone = schema.to_hash(dict(fields), partial=True)
            return {**changes}, gone
        gone = [name for name, value in fields.items() if value is None]
        return dict(untyped_to_hash({k: v for k, v in fields.items() if v is not None})), gone

    def from_hash(self, entity: str, stored: Mapping[str, bytes]) -> dict[str, Any]:
        """Stored fields with the model's types; as text where there is no model."""
        schema = self.schemas.get(entity)
        if schema is not None:
            return schema.from_hash(dict(stored))
        return {name: value.decode() for name, value in stored.items()}

    def seeds(self, entity: str, state: Mapping[str, Any]) -> Sequence[Argument]:
        """Seed fields, flat."""
        if not isinstance(state, Mapping):
            raise InvalidOptions(f"state is a mapping of fields; got {type(state).__name__}", argument="state")
        changes, _ = self.to_hash(entity, state)
        return [part for pair in changes.items() for part in pair]
