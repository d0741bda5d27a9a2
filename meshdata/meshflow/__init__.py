"""MeshFlow: workflows as code without entities: `MeshFlow.Client` starts them, `MeshFlow.Worker` runs them.

Nothing here is new to the floors below: a workflow started so is a job like any other, of the entity "workflow"; its id
is unique among them whatever function it runs. Its record, its hooks and signals are those of `MeshData`. The verbs a
workflow function may use are in `meshdata.workflow`.
"""

from meshdata.meshflow.client import Client, Starter, StartOptions
from meshdata.meshflow.handle import WorkflowHandle
from meshdata.meshflow.worker import Worker

__all__ = ["Client", "StartOptions", "Starter", "Worker", "WorkflowHandle"]
