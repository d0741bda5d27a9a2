"""Hits of a query as JSON: a page, and one hit with its id."""

from typing import Any

from pydantic import BaseModel

from meshdata.search import Find
from meshdata.search.origin import origin_of


async def page_of(query: Find[Any]) -> dict[str, Any]:
    """One page of hits: {items, total, next}."""
    page = await query
    return {"items": [_item(one) for one in page.items], "total": page.total, "next": page.cursor}


def _item(item: Any) -> Any:
    if not isinstance(item, BaseModel):
        return item
    origin = origin_of(item)
    told = item.model_dump()
    return told if origin is None or "id" in told else {"id": origin.fields.get("_id"), **told}
