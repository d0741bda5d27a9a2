"""The records of a class on one mesh: make, read, change, remove, find and count them."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from pydantic import ValidationError

from meshdata.entity.classes import key_of as class_key
from meshdata.errors import InvalidOptions, RecordNotFound
from meshdata.mesh import MeshData
from meshdata.meshos.dicts import aggregate_of
from meshdata.meshos.place import Place, placed, reference
from meshdata.search.aggregate import Aggregate
from meshdata.search.find import Find
from meshdata.search.layout import key_of
from meshdata.search.plan import Plan
from meshdata.search.record import Record
from meshdata.search.reply import Row
from meshdata.search.schema import schema_of
from meshdata.values import Duration, mint_id

M = TypeVar("M", bound=Record)


class ClassRecords(Generic[M]):
    """A class on a mesh: `Order.on(mesh)`. The verbs of `Order` itself are these, on the mesh it is bound to."""

    def __init__(self, model: type[M], mesh: MeshData) -> None:
        self.model = model
        self.mesh = mesh
        self.entity = model.__entity__
        if not self.entity:
            raise InvalidOptions(
                f"{model.__name__} names no entity: class {model.__name__}(MeshOS, entity=...)", argument="entity"
            )

    def __repr__(self) -> str:
        return f"{self.model.__name__}.on({self.mesh.namespace!r})"

    def of(self, id: str | None = None) -> M:
        """The object of an id, whether or not there is a record; a new id where none is given."""
        return reference(self.model, id, Place(self.mesh))

    async def create(
        self, fields: "Mapping[str, Any] | M | None" = None, /, *, ttl: Duration | None = None, **named: Any
    ) -> M:
        """Make a record without a job; without an id it is given a new one.

        Raises:
            RecordExists: there is one. RecordInvalid: a field does not fit.
        """
        if isinstance(fields, self.model):
            named = {name: fields.__dict__[name] for name in fields.model_fields_set} | named
        elif fields is not None:
            named = {**fields, **named}  # type: ignore[dict-item]  # no instance: a mapping
        made = self._checked({**named, "id": named.get("id") or mint_id()})
        await self.mesh.create(made, ttl=ttl)
        return placed(made, Place(self.mesh))

    def _checked(self, values: dict[str, Any]) -> M:
        """An instance of values by the names of fields, with the class's defaults."""
        schema, id = schema_of(self.model, self.entity), str(values["id"])
        schema.check_names(values, id)
        fields = self.model.model_fields
        try:
            return self.model.model_validate(
                {key_of(name, fields[name]) if name in fields else name: value for name, value in values.items()}
            )
        except ValidationError as problem:
            first = problem.errors(include_url=False, include_context=False)[0]
            path = ".".join(str(part) for part in first["loc"])
            raise schema.problem(path, f"{first['msg']} (got {first['input']!r:.80})", id) from problem

    async def get(self, id: str) -> M:
        """A record as an instance.

        Raises:
            RecordNotFound: there is none.
        """
        return placed(await self.mesh.get(self.model, id), Place(self.mesh))

    async def retrieve(self, id: str, *, sparse: bool = False) -> dict[str, Any]:
        """A record as a dict of all the class's fields, None for those it lacks; `sparse`: only its id.

        Raises:
            RecordNotFound: there is none.
        """
        if sparse:
            if not await self.mesh.exists(self.entity, id):
                raise RecordNotFound(self.entity, id)
            return {"id": id}
        names = [name for name in self.model.model_fields if name != "id"]
        found = await self.mesh.all(self.entity, id)
        return {"id": id, **{name: found.get(name) for name in names}}

    async def update(
        self, id: str, fields: Mapping[str, Any] | None = None, /, *, expected_rev: int | None = None, **named: Any
    ) -> M:
        """Change fields of a record that is there, at once; None takes one away. Returns the record as it is then.

        Raises:
            RecordNotFound: there is none. RevisionConflict: it has not the revision expected.
        """
        self.mesh.registry.learn(self.model)
        await self.mesh.update(self.entity, id, {**(fields or {}), **named}, expected_rev=expected_rev)
        return await self.get(id)

    async def delete(self, id: str) -> bool:
        """Remove a record, and its job if it has one. False if there was nothing."""
        return await self.mesh.flush(self.entity, id)

    def find(self, *conditions: Any) -> Find[M]:
        """A query: `await Order.find(Order.status == "depleted")`, or `async for order in Order.find(...)`.

        Args:
            conditions: expressions, or lists of dicts; none for every record.
        """
        schema = self.mesh.registry.learn(self.model)
        query = Found[M](self.mesh.store, schema.entity, schema, self.mesh)
        return query.where(*conditions) if any(_says(one) for one in conditions) else query

    async def count(self, *conditions: Any) -> int:
        """How many records meet the conditions."""
        return await self.find(*conditions).count()

    def aggregate(self, *conditions: Any, **request: Any) -> Aggregate:
        """Figures over the records: `Order.aggregate().group_by(Order.status).reduce(n=count())`.

        Args:
            request: the same said in dicts: `filter`, `apply`, `rows`, `columns`, `reduce`, `sort`, `start`, `size`;
                see `meshdata.meshos.dicts`.
        """
        query = self.mesh.aggregate(self.model)
        if any(_says(one) for one in conditions):
            query = query.where(*conditions)
        return aggregate_of(query, request) if request else query


class Found(Find[M]):
    """A query of a class: it waits for the index that is made when the class is registered, and its hits know the mesh
    they were found on."""

    async def _plan(self) -> Plan:
        model = self._schema.model if self._schema is not None else None
        await cast("MeshData", self._actions).served(class_key(self._entity, getattr(model, "__version__", "")))
        return await super()._plan()

    def _item(self, plan: Plan, row: Row) -> Any:
        item = super()._item(plan, row)
        if plan.schema is None or type(item) is not plan.schema.model:
            return item
        return placed(item, Place(cast("MeshData", self._actions)))


def _says(condition: Any) -> bool:
    """Whether it is a condition: an empty list of dicts is none."""
    return not (isinstance(condition, Sequence | Mapping) and not condition)
