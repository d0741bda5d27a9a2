"""MeshOS: a class per entity, with its record's fields, and its workflows, hooks and activities as methods.

    class Order(MeshOS, entity="order", version="v1"):
        quantity: Annotated[int, Numeric()] = 0

        @workflow.run
        async def create(self, quantity: int) -> str: ...

    async with Order.served(mesh):
        await Order(id="o1").create(1)
        await Order.find(Order.quantity == 0)

`Profiles` opens several databases and namespaces with their classes, and tells of them.
"""

from meshdata.meshos.model import MeshOS
from meshdata.meshos.profiles import Namespace, Profile, Profiles
from meshdata.meshos.records import ClassRecords

__all__ = ["MeshOS", "ClassRecords", "Namespace", "Profile", "Profiles"]
