"""The verbs on indexes and queries that a mesh has."""

from collections.abc import Callable
from typing import Any

from meshdata import search
from meshdata.entity.jobs import JobVerbs
from meshdata.values import check_entity


class QueryVerbs(JobVerbs):
    """Build indexes, find records and do something to the jobs behind them, ask for figures."""

    async def create_index(
        self,
        model: type[Any],
        *,
        entity: str | None = None,
        force: bool = False,
        hold: bool = False,
        progress: "Callable[[float], None] | None" = None,
    ) -> bool:
        """Build the index of a model's records, or change it to fit; queries use it from then on.

        Fields that are new are added to the index there is; for any other change a new one is built beside it and used
        once it is full. An index that newer code made is left as it is.

        Args:
            force: change it even so, to go back to an earlier model.
            hold: only build it; `swap_index` makes queries use it.
            progress: is told how far a build is, 0 to 1.

        Returns:
            Whether there was anything to do.

        Raises:
            IndexOutdated: newer code made the index, and it lacks fields of this model.
            SearchUnavailable: this Redis has no search module.
        """
        self._need_open()
        schema = self._registry.learn(model, entity)
        return await search.Index(self._store).create(schema, force=force, hold=hold, progress=progress)

    async def swap_index(self, model: type[Any], *, entity: str | None = None) -> bool:
        """Make queries use the index that `create_index(model, hold=True)` built; False if they do already."""
        self._need_open()
        return await search.Index(self._store).swap(self._registry.learn(model, entity))

    async def verify_index(self, model: "type[Any] | str", *, limit: int = 1_000) -> "search.Verification":
        """Hold an index against the records: how many of each, and which records are not in it, and why."""
        from meshdata.search.verify import verify

        self._need_open()
        if isinstance(model, str):
            return await verify(self._store, check_entity(model), self._registry.schemas.get(model), limit=limit)
        schema = self._registry.learn(model)
        return await verify(self._store, schema.entity, schema, limit=limit)

    async def list_indexes(self) -> Any:
        """The indexes of this namespace."""
        self._need_open()
        return await search.Index(self._store).list()

    async def drop_index(self, model: "type[Any] | str") -> bool:
        """Remove an index; the records stay."""
        self._need_open()
        entity = model if isinstance(model, str) else self._registry.learn(model).entity
        return await search.Index(self._store).drop(entity)

    def find(self, model: "type[Any] | str") -> "search.Find[Any]":
        """A query over live records: `await mesh.find(User).where(User.plan == "pro").sort(-User.age).limit(20)`."""
        self._need_open()
        if isinstance(model, str):
            return search.Find(self._store, check_entity(model), self._registry.schemas.get(model), self)
        schema = self._registry.learn(model)
        return search.Find(self._store, schema.entity, schema, self)

    def aggregate(self, model: "type[Any] | str") -> "search.Aggregate":
        """Figures over live records: `await mesh.aggregate(User).group_by(User.plan).reduce(n=count())`."""
        self._need_open()
        if isinstance(model, str):
            return search.Aggregate(self._store, check_entity(model), self._registry.schemas.get(model))
        schema = self._registry.learn(model)
        return search.Aggregate(self._store, schema.entity, schema)
