"""Functions as a durable, cached, searchable data layer on Redis."""

from meshdata import meshflow as MeshFlow
from meshdata import workflow
from meshdata.engine.policy import RetryPolicy
from meshdata.errors import RetryAfter
from meshdata.mesh import MeshData
from meshdata.workflow.activity import activity

__all__ = ["MeshData", "MeshFlow", "RetryAfter", "RetryPolicy", "activity", "workflow"]
