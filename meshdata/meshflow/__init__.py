"""MeshFlow: workflows as code without entities: `MeshFlow.Client` starts them, `MeshFlow.Worker` runs them.

Nothing here is new to the floors below: a workflow started so is a job like any other, of the entity "workflow"; its id
is unique among them whatever function it runs. Its record, its hooks and signals are those of `MeshData`.
"""

from typing import Final

from meshdata import workflow as _workflow
from meshdata.meshflow.client import Client as _Client
from meshdata.meshflow.client import Starter
from meshdata.meshflow.handle import WorkflowHandle
from meshdata.meshflow.worker import Worker as _Worker


class MeshFlow:
    """The door: `MeshFlow.Client(url)` and `MeshFlow.Worker(url, workflows=[...])`."""

    Client = _Client
    Worker = _Worker
    workflow: Final = _workflow


__all__ = ["MeshFlow", "Starter", "WorkflowHandle"]
