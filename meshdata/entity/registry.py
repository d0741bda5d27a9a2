"""What this process knows of entities: the functions it serves under their names, and the models of their records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from meshdata.call.caller import NOTHING_KNOWN, Served
from meshdata.engine.limits import Limits
from meshdata.engine.policy import RetryPolicy
from meshdata.entity.difference import changed_fields, claimed, without_id
from meshdata.errors import InvalidOptions
from meshdata.search.codec import untyped_to_hash
from meshdata.search.fields import Numeric
from meshdata.search.schema import Schema, schema_of
from meshdata.store.messages import Argument
from meshdata.values import Duration, check_entity
from meshdata.workflow.function import Function
from meshdata.workflow.home import Home, decoder_of, topic_of
from meshdata.workflow.state import checked_field


@dataclass(slots=True)
class Connected:
    """One function served under a name.

    Attributes:
        entity: whose jobs its runs are, where it is not that of its own name: a method's.
        is_hook: whether it is a hook method.
    """

    name: str
    function: Function
    queue: str | None = None
    ttl: Duration | None = None
    retry: RetryPolicy | None = None
    concurrency: int | None = None
    served: Served = field(default_factory=Served)
    entity: str = ""
    is_hook: bool = False
    limits: Limits | None = None

    @property
    def topic(self) -> str:
        """Where its work arrives."""
        return topic_of(self.name, self.queue)

    @property
    def home(self) -> Home:
        """Where its calls go."""
        return Home(self.entity or self.name, self.name, self.topic, self.served.decode, self.function)


class Registry:
    """Entity name → function, hooks, model."""

    def __init__(self) -> None:
        self.functions: dict[str, Connected] = {}
        self.schemas: dict[str, Schema[Any]] = {}
        self.parts: dict[str, str] = {}  # the entity of jobs that are parts of a class's own → the class's
        self._shared: dict[str, Schema[Any]] = {}
        self._partitions = 1

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
        limits: Limits | None = None,
        key: Callable[..., Any] | None = None,
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
        one = Connected(name, function, queue, ttl, retry, concurrency, limits=limits)
        one.served = Served(function.bind, function.check_arguments, decoder_of(function), ttl, one.topic, retry, key)
        self.functions[name] = one
        if model is not None:
            self.learn(model, name)
        return one

    def add(self, method: Connected) -> None:
        """Take in a method of a class; versions of a class have methods of the same names, on topics of their own.

        Raises:
            InvalidOptions: the name is taken by another function.
        """
        known = self.functions.setdefault(method.topic, method)
        if known.function.fn is not method.function.fn:
            raise InvalidOptions(
                f"{method.topic!r} is connected to {known.function.name}; one name stands for one function",
                argument="classes",
            )

    def share(self, model: type[Any], entity: str) -> None:
        """Take in what several models of one entity's records have in common: the fields of all of them."""
        self._shared[entity] = self.schemas[entity] = schema_of(model, entity)

    def learn(self, model: type[Any], entity: str | None = None) -> Schema[Any]:
        """Take in the model of an entity's records."""
        if entity is None and not getattr(model, "__entity__", ""):
            # A plain pydantic class says no entity itself; it was named where it was connected or indexed.
            known = [schema for schema in self.schemas.values() if schema.model is model]
            if len(known) == 1:
                return known[0]
        schema = schema_of(model, entity)
        self._check_unique(schema)
        shared = self._shared.get(schema.entity)
        if shared is None or not schema.fields.keys() <= shared.fields.keys():
            self.schemas[schema.entity] = schema
        return schema

    def spread_over(self, partitions: int) -> None:
        """Take in how many partitions the namespace has.

        Raises:
            InvalidOptions: a model known by now has unique fields, and there are several.
        """
        self._partitions = partitions
        for schema in self.schemas.values():
            self._check_unique(schema)

    def _check_unique(self, schema: Schema[Any]) -> None:
        # A claim is made in the script that writes the record, and a script sees one partition.
        if schema.unique and self._partitions > 1:
            names = ", ".join(one.name for one in schema.unique)
            raise InvalidOptions(
                f"{schema.entity!r} has unique fields ({names}), which need a namespace with one partition; "
                f"this one has {self._partitions}",
                argument="model",
            )

    def _schema(self, entity: str) -> Schema[Any] | None:
        return self.schemas.get(entity) or self.schemas.get(self.parts.get(entity, ""))

    def served(self, name: str) -> Served:
        """What is known of an entity for calling it."""
        known = self.functions.get(name)
        return NOTHING_KNOWN if known is None else known.served

    # --- records ------------------------------------------------------------------------------------------------------

    def to_hash(
        self, entity: str, fields: Mapping[str, Any], id: str | None = None
    ) -> tuple[dict[str, Argument], list[str]]:
        """Fields as a record stores them, the claims of unique ones too, and the names of those to take away."""
        if not isinstance(fields, Mapping):
            raise InvalidOptions(f"fields are a mapping; got {type(fields).__name__}", argument="fields")
        for name in fields:
            checked_field(name)
        schema = self._schema(entity)
        if schema is not None:
            changes, gone = schema.to_hash(dict(fields), partial=True, id=id)
            return claimed(schema, changes), gone
        gone = [name for name, value in fields.items() if value is None]
        return dict(untyped_to_hash({k: v for k, v in fields.items() if v is not None})), gone

    def whole(self, entity: str, record: Mapping[str, Any] | BaseModel, id: str) -> dict[str, Argument]:
        """A whole record as it is stored: defaults are written, required fields must be there."""
        schema = self._schema(entity)
        if schema is None:
            assert isinstance(record, Mapping)
            return self.to_hash(entity, record)[0]
        if isinstance(record, BaseModel):
            # One that was made without being validated (`model_construct`, a bare reference) may lack defaults.
            fields = type(record).model_fields
            lacking = {
                name: one for name, one in fields.items() if name not in record.__dict__ and not one.is_required()
            }
            defaults = {name: one.get_default(call_default_factory=True) for name, one in lacking.items()}
            record = record.model_copy(update=defaults) if lacking else record
        else:
            for name in record:
                checked_field(name)
            if schema.key and schema.key not in record:
                record = {**record, schema.key: id}
        return claimed(schema, without_id(schema, schema.to_hash(record, id=id)[0]))

    def difference(self, schema: Schema[Any], record: BaseModel, id: str) -> tuple[dict[str, Argument], list[str]]:
        """What is to be written so that the record is as its instance: fields, claims and names to take away."""
        changes, gone = changed_fields(schema, record, id)
        return claimed(schema, without_id(schema, changes)), gone

    def from_hash(self, entity: str, stored: Mapping[str, bytes]) -> dict[str, Any]:
        """Stored fields with the model's types; as text where there is no model."""
        schema = self._schema(entity)
        if schema is not None:
            return schema.from_hash(dict(stored))
        return {name: value.decode() for name, value in stored.items()}

    def named(self, entity: str, names: Sequence[str], stored: Mapping[str, bytes | None]) -> dict[str, Any]:
        """Some fields with the model's types, None for those that are not stored."""
        there = {name: value for name, value in stored.items() if value is not None}
        schema = self._schema(entity)
        if schema is not None:
            return schema.from_hash(there, list(names))
        return {name: there[name].decode() if name in there else None for name in names}

    def stored_names(self, entity: str, names: Sequence[str], *, strict: bool = False) -> list[str]:
        """The hash fields of some fields; a nested model has several.

        Raises:
            RecordInvalid: `strict`, and the model has no such field.
        """
        schema = self._schema(entity)
        if schema is None:
            return list(names)
        if strict:
            schema.check_names(names)
        return list(dict.fromkeys(one for name in names for one in schema.below(name)))

    def elements(self, entity: str, field: str, values: Iterable[Any], id: str | None = None) -> list[Argument]:
        """The arguments of a change to a list or set, in the words of lua/lib/elements.lua."""
        schema = self._schema(entity)
        if schema is None:
            raise InvalidOptions(
                f"no model of {entity!r} is known here that says it is a list; connect(model=...) or give the class",
                argument=field,
            )
        separator, is_set, texts = schema.elements(field, values, id)
        if not texts:
            raise InvalidOptions("give at least one value", argument="values")
        return [field, separator, "set" if is_set else "list", *texts]

    def check_count(self, entity: str, field: str, by: float) -> None:
        """Refuse to count where the model has no number, or with a fraction where it has whole ones."""
        schema = self._schema(entity)
        if schema is None:
            return
        schema.check_names([field])
        one = schema.fields.get(field)
        if one is None:
            if field in schema.groups:
                raise schema.problem(field, "it holds no number", None)
        elif one.unique or one.codec.kind is not Numeric:
            raise schema.problem(field, "it holds no number that could be counted with", None)
        elif one.codec.whole and by != int(by):
            raise schema.problem(field, f"it is a whole number, and {by!r} is none", None)

    def seeds(self, entity: str, state: Mapping[str, Any]) -> Sequence[Argument]:
        """Seed fields, flat."""
        if not isinstance(state, Mapping):
            raise InvalidOptions(f"state is a mapping of fields; got {type(state).__name__}", argument="state")
        schema = self._schema(entity)
        for one in schema.unique if schema is not None else ():
            if state.get(one.name) is not None:
                raise InvalidOptions(
                    "a unique field is claimed by set() or create(), not by what a job begins with", argument=one.name
                )
        changes, _ = self.to_hash(entity, state)
        return [part for pair in changes.items() for part in pair]
